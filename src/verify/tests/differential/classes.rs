//! The differences by name, each a row of `docs/verification.md`.

use super::super::super::rejection::{Breach, Place};
use super::super::judges::{Judge, Reason};
use super::super::mutations::Mutation as M;
use super::Difference;

pub(super) struct Class {
    /// As the page has it.
    pub(super) name: &'static str,
    judges: &'static [Judge],
    /// Whether we are the ones who accept.
    we_accept: bool,
    applies: fn(&Difference) -> bool,
}

impl Class {
    pub(super) fn explains(&self, difference: &Difference) -> bool {
        self.judges.contains(&difference.judge)
            && difference.ours.is_ok() == self.we_accept
            && (self.applies)(difference)
    }

    /// The first cells of its row.
    pub(super) fn row(&self) -> String {
        let judges = match self.judges {
            [Judge::OpenSsl, Judge::OpenSslStrict] => "OpenSSL",
            [one] => one.name(),
            _ => "OpenSSL, webpki",
        };
        format!("{} | {judges} | {}", self.name, if self.we_accept { "we" } else { "they" })
    }
}

const ALL: &[Judge] = &Judge::ALL;
const OPENSSL: &[Judge] = &[Judge::OpenSsl, Judge::OpenSslStrict];
const STRICT: &[Judge] = &[Judge::OpenSslStrict];
const WEBPKI: &[Judge] = &[Judge::Webpki];

const fn they_accept(name: &'static str, judges: &'static [Judge], applies: fn(&Difference) -> bool) -> Class {
    Class { name, judges, we_accept: false, applies }
}

const fn we_accept(name: &'static str, judges: &'static [Judge], applies: fn(&Difference) -> bool) -> Class {
    Class { name, judges, we_accept: true, applies }
}

/// The first that applies is the one.
pub(super) const CLASSES: &[Class] = &[
    // They accept.
    they_accept("the SPIFFE ID of a leaf", ALL, |it| {
        let codes =
            ["several-uri-names", "no-spiffe-id", "root-spiffe-id", "invalid-spiffe-id", "foreign-trust-domain"];
        it.is_ours(&codes, &[M::TwoUris, M::NoUri, M::RootId, M::ForeignDomain, M::OddId, M::AddressAsDomain, M::AddressUri])
            // A certificate of version 1 has no extensions at all.
            || it.is_ours(&["no-spiffe-id"], &[M::Version1])
    }),
    they_accept("the SPIFFE ID of a signer", ALL, |it| {
        it.is_ours(&["foreign-signer", "signer-has-path"], &[M::UriWithPath, M::ForeignUri, M::OwnUri])
    }),
    they_accept("a leaf that may sign", ALL, |it| {
        it.is_ours(&["leaf-is-ca", "leaf-may-sign"], &[M::CaTrue, M::MaySign])
    }),
    they_accept("keyUsage of a leaf", ALL, |it| {
        it.is_ours(&["leaf-key-usage"], &[M::NoKeyUsage, M::KeyUsageNotCritical, M::NothingSigned])
    }),
    they_accept("keyUsage of a signer", ALL, |it| {
        it.is_ours(&["issuer-may-not-sign"], &[M::NoKeyUsage, M::NothingSigned])
    }),
    they_accept("one role alone", ALL, |it| {
        it.is_ours(&["extended-key-usage"], &[M::ServerOnly, M::ClientOnly]) && it.is_about(|it| *it == Place::Leaf)
    }),
    they_accept("an empty subject", ALL, |it| it.is_ours(&["san-not-critical"], &[M::EmptySubject])),
    they_accept("how strictly certificates are read", ALL, |it| {
        let odd = [M::Version1, M::NegativeSerial, M::LongSerial, M::ExtensionTwice, M::EmptySubject];
        // What can't be read is left out, and then what it signed has no signer.
        it.is_ours(&["malformed-certificate"], &odd) || it.code() == "unknown-authority" && it.sample.has(&odd)
    }),
    they_accept("what an authority is", ALL, |it| {
        let odd = [M::NoBasicConstraints, M::CaFalse, M::Version1, M::NoKeyUsage, M::NothingSigned];
        it.code() == "domain-revoked" && it.sample.authorities.iter().any(|der| it.sample.is_odd(der, &odd))
    }),
    they_accept("SHA-1", OPENSSL, |it| it.is_ours(&["unsupported-algorithm", "unknown-authority"], &[M::Sha1])),
    they_accept("a policy that is required", ALL, |it| {
        it.is_ours(&["unsupported-critical-extension"], &[M::PolicyRequired])
    }),
    they_accept("constraints of other forms", OPENSSL, |it| {
        it.is_ours(&["unsupported-name-constraint"], &[M::ConstraintsOfOtherForm])
    }),
    they_accept("constraints that are malformed", OPENSSL, |it| {
        it.is_ours(&["invalid-name-constraints"], &[M::Constrained, M::ConstraintsBroken])
    }),
    they_accept("all URIs excluded", OPENSSL, |it| {
        it.code() == "name-constraint-violation" && it.sample.has(&[M::AllUris])
    }),
    they_accept("URIs without a host name", OPENSSL, |it| {
        it.code() == "name-constraint-violation"
            && it.sample.has(&[M::AddressUri, M::NamesOfCa, M::AddressAsDomain])
            && it.breaks(Breach::Unclear)
    }),
    they_accept("DNS wildcards of which one host is excluded", OPENSSL, |it| {
        it.code() == "name-constraint-violation" && it.breaks(Breach::Excluded) && it.has_wildcard()
    }),
    they_accept("paths of more than eight", OPENSSL, |it| {
        it.code() == "path-budget-exhausted" && it.sample.sent.len() > 6
    }),
    they_accept("an authority is more than a name and a key", WEBPKI, |it| {
        it.is_about(|place| matches!(place, Place::Authority(_)))
            && it.sample.authorities.iter().any(|der| it.sample.odd.contains_key(der))
    }),
    // We accept.
    we_accept("more paths than one", OPENSSL, |it| it.theirs.is_ok() || it.has_namesakes()),
    we_accept("key identifiers are hints", OPENSSL, |it| {
        it.theirs_is(20) && it.sample.has(&[M::WrongAuthorityKeyId, M::WrongSubjectKeyId])
    }),
    we_accept("any purpose", ALL, |it| {
        it.sample.has(&[M::AnyPurpose]) && (it.theirs_is(26) || matches!(it.theirs, Err(Reason::Webpki(_))))
    }),
    we_accept("all URIs permitted", OPENSSL, |it| it.theirs_is(47) && it.sample.has(&[M::AllUris])),
    we_accept("identifiers that a strict judge demands", STRICT, |it| {
        (it.theirs_is(85) || it.theirs_is(86)) && it.sample.has(&[M::NoAuthorityKeyId, M::NoSubjectKeyId])
    }),
    we_accept("basicConstraints that are not critical", STRICT, |it| {
        it.theirs_is(89) && it.sample.has(&[M::BasicConstraintsNotCritical])
    }),
    we_accept("policies", WEBPKI, |it| {
        // Where several signers bear one name, it reports what was wrong with the last.
        it.theirs.is_err() && it.sample.has(&[M::Policies])
    }),
    we_accept("path lengths of self-issued CAs", WEBPKI, |it| {
        it.theirs.is_err() && it.sample.has(&[M::PathLength]) && it.has_namesakes()
    }),
    we_accept("names in other letters", WEBPKI, |it| {
        it.theirs.is_err() && it.sample.has(&[M::IssuerSpelledDifferently])
    }),
];
