//! What may be odd about a certificate.

use fastrand::Rng;

use super::super::der::SEQUENCE;
use super::super::testing::element;
use super::keys::{Digest, Key, Kind, Scheme};
use super::mint::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mutation {
    Expired,
    NotYetValid,
    UnknownCritical,
    UnknownExtension,
    ExtensionTwice,
    Version1,
    NegativeSerial,
    LongSerial,
    BadSignature,
    OtherSigner,
    Sha1,
    OtherIssuer,
    IssuerSpelledDifferently,
    NoAuthorityKeyId,
    WrongAuthorityKeyId,
    NoSubjectKeyId,
    WrongSubjectKeyId,
    NoKeyUsage,
    KeyUsageNotCritical,
    NothingSigned,
    ServerOnly,
    ClientOnly,
    NeitherRole,
    AnyPurpose,
    BothRoles,
    EmptySubject,
    Policies,
    PolicyRequired,
    Constrained,
    ConstraintsBroken,
    ConstraintsOfOtherForm,
    AllUris,
    UriExcluded,
    HostExcluded,
    // Of CAs
    NoBasicConstraints,
    CaFalse,
    BasicConstraintsNotCritical,
    PathLength,
    OwnUri,
    UriWithPath,
    ForeignUri,
    NamesOfCa,
    AddressUri,
    // Of leaves
    TwoUris,
    NoUri,
    RootId,
    ForeignDomain,
    OddId,
    CaTrue,
    MaySign,
    AddressAsDomain,
    SubjectAddress,
    Wildcard,
    SanCritical,
}

use Mutation as M;

/// Of any certificate; what comes twice is chosen twice as often.
const ANY_PLACE: &[M] = &[
    M::Expired,
    M::NotYetValid,
    M::UnknownCritical,
    M::UnknownExtension,
    M::ExtensionTwice,
    M::Version1,
    M::NegativeSerial,
    M::LongSerial,
    M::BadSignature,
    M::OtherSigner,
    M::Sha1,
    M::OtherIssuer,
    M::IssuerSpelledDifferently,
    M::NoAuthorityKeyId,
    M::WrongAuthorityKeyId,
    M::NoSubjectKeyId,
    M::WrongSubjectKeyId,
    M::NoKeyUsage,
    M::KeyUsageNotCritical,
    M::NothingSigned,
    M::ServerOnly,
    M::ClientOnly,
    M::NeitherRole,
    M::AnyPurpose,
    M::BothRoles,
    M::EmptySubject,
    M::Policies,
    M::PolicyRequired,
];
const OF_CAS: &[M] = &[
    M::Constrained,
    M::Constrained,
    M::Constrained,
    M::Constrained,
    M::Constrained,
    M::Constrained,
    M::Constrained,
    M::Constrained,
    M::ConstraintsBroken,
    M::ConstraintsOfOtherForm,
    M::AllUris,
    M::NoBasicConstraints,
    M::CaFalse,
    M::BasicConstraintsNotCritical,
    M::PathLength,
    M::PathLength,
    M::PathLength,
    M::PathLength,
    M::OwnUri,
    M::UriWithPath,
    M::ForeignUri,
    M::NamesOfCa,
];
const OF_LEAVES: &[M] = &[
    M::TwoUris,
    M::NoUri,
    M::RootId,
    M::ForeignDomain,
    M::OddId,
    M::CaTrue,
    M::MaySign,
    M::AddressAsDomain,
    M::SubjectAddress,
    M::SanCritical,
];

pub(super) fn choose(rng: &mut Rng, is_leaf: bool) -> Mutation {
    let own = if is_leaf { OF_LEAVES } else { OF_CAS };
    let number = rng.usize(..ANY_PLACE.len() + own.len());
    *ANY_PLACE.get(number).unwrap_or_else(|| &own[number - ANY_PLACE.len()])
}

/// How a certificate is signed.
#[derive(Clone, Copy)]
pub(super) enum Seal {
    Good,
    /// One bit of the signature is another.
    Bad,
    /// By another key.
    Other,
    Sha1,
}

impl Seal {
    pub(super) fn sign(self, draft: &Draft, signer: &Key, other: &Key) -> Vec<u8> {
        match self {
            Self::Good => draft.sign(signer, signer.kind.scheme()),
            Self::Other => draft.sign(other, other.kind.scheme()),
            Self::Sha1 => draft.sign(signer, sha1(signer.kind)),
            Self::Bad => {
                let mut der = draft.sign(signer, signer.kind.scheme());
                *der.last_mut().unwrap() ^= 1;
                der
            }
        }
    }
}

/// The weakest that such a key is ever used with.
fn sha1(kind: Kind) -> Scheme {
    match kind {
        Kind::Rsa2048 | Kind::Rsa1024 => Scheme::Pkcs1(Digest::Sha1),
        Kind::Ed25519 => Scheme::Ed25519,
        _ => Scheme::Ecdsa(Digest::Sha1),
    }
}

impl Mutation {
    pub(super) fn apply(self, draft: &mut Draft, seal: &mut Seal, rng: &mut Rng) {
        match self {
            Self::Expired => draft.not_after = utc_time("250101000000Z"),
            Self::NotYetValid => draft.not_before = utc_time("270101000000Z"),
            Self::UnknownCritical => draft.add_other(&[42, 3], true, &[5, 0]),
            Self::UnknownExtension => draft.add_other(&[42, 4], false, &[5, 0]),
            Self::ExtensionTwice => {
                draft.add_other(&[42, 5], false, &[5, 0]);
                draft.add_other(&[42, 5], false, &[5, 0]);
            }
            Self::Version1 => draft.version.clear(),
            Self::NegativeSerial => draft.serial = vec![0x80, 1],
            Self::LongSerial => draft.serial = vec![0x11; 21],
            Self::BadSignature => *seal = Seal::Bad,
            Self::OtherSigner => *seal = Seal::Other,
            Self::Sha1 => *seal = Seal::Sha1,
            Self::OtherIssuer => draft.issuer = common_name("nobody"),
            Self::IssuerSpelledDifferently => draft.issuer = in_capitals(&draft.issuer),
            Self::NoAuthorityKeyId => draft.unset(AUTHORITY_KEY_ID),
            Self::WrongAuthorityKeyId => draft.set_authority_key_id(&[7; 20]),
            Self::NoSubjectKeyId => draft.unset(SUBJECT_KEY_ID),
            Self::WrongSubjectKeyId => draft.set(SUBJECT_KEY_ID, false, &[4, 1, 7]),
            Self::NoKeyUsage => draft.unset(KEY_USAGE),
            Self::KeyUsageNotCritical => draft.set_critical(KEY_USAGE, &[]),
            Self::NothingSigned => draft.set(KEY_USAGE, true, &[3, 2, 5, 0x20]),
            Self::ServerOnly => purposes(draft, &[SERVER]),
            Self::ClientOnly => purposes(draft, &[CLIENT]),
            Self::NeitherRole => purposes(draft, &[CODE_SIGNING]),
            Self::AnyPurpose => purposes(draft, &[ANY]),
            Self::BothRoles => purposes(draft, &[SERVER, CLIENT]),
            Self::EmptySubject => draft.subject = element(SEQUENCE, &[]),
            Self::Policies => draft.set(32, true, &[0x30, 5, 0x30, 3, 6, 1, 42]),
            Self::PolicyRequired => draft.set(36, true, &[0x30, 3, 0x80, 1, 0]),
            Self::NoBasicConstraints => draft.unset(BASIC_CONSTRAINTS),
            Self::CaFalse => draft.set(BASIC_CONSTRAINTS, true, &[0x30, 0]),
            Self::BasicConstraintsNotCritical => draft.set_critical(BASIC_CONSTRAINTS, &[]),
            Self::PathLength => draft.limit(rng.u8(..3)),
            Self::CaTrue => draft.set(BASIC_CONSTRAINTS, true, CA),
            Self::MaySign => draft.set(KEY_USAGE, true, &[3, 2, 2, 0x84]),
            Self::SanCritical => draft.set_critical(SUBJECT_ALT_NAME, &[1, 1, 0xff]),
            named => named.rename(draft, rng),
        }
    }

    /// Those about names, and what constrains them.
    fn rename(self, draft: &mut Draft, rng: &mut Rng) {
        match self {
            Self::Constrained => constrain(draft, rng),
            Self::ConstraintsBroken => break_constraints(draft, rng),
            Self::ConstraintsOfOtherForm => draft.set(NAME_CONSTRAINTS, true, &name_constraints(&[(0x88, &[42])], &[])),
            Self::AllUris => {
                let all: &[(u8, &[u8])] = &[(URI, b"")];
                let lists = if rng.bool() { (all, &[][..]) } else { (&[][..], all) };
                draft.set(NAME_CONSTRAINTS, true, &name_constraints(lists.0, lists.1));
            }
            Self::UriExcluded => {
                draft.set(NAME_CONSTRAINTS, true, &name_constraints(&[], &[(URI, b"b.test")]));
            }
            Self::HostExcluded => {
                draft.set(NAME_CONSTRAINTS, true, &name_constraints(&[], &[(DNS, b"www.a.test")]));
            }
            Self::AddressUri => uris(draft, &["https://10.0.0.1/"]),
            Self::Wildcard => draft.set(SUBJECT_ALT_NAME, false, &names(&[(URI, ID.as_bytes()), (DNS, b"*.a.test")])),
            Self::OwnUri => uris(draft, &["spiffe://a.test"]),
            Self::UriWithPath => uris(draft, &["spiffe://a.test/ca"]),
            Self::ForeignUri => uris(draft, &["spiffe://b.test"]),
            Self::NamesOfCa => {
                let all = [*pick(rng, NAMES), *pick(rng, URIS)];
                let of_either = rng.usize(..2);
                draft.set(SUBJECT_ALT_NAME, false, &names(&all[of_either..=rng.usize(of_either..2)]));
            }
            Self::TwoUris => uris(draft, &[ID, "https://h.test/"]),
            Self::NoUri => draft.set(SUBJECT_ALT_NAME, false, &names(&[(DNS, b"a.test")])),
            Self::RootId => uris(draft, &["spiffe://a.test"]),
            Self::ForeignDomain => uris(draft, &["spiffe://b.test/x"]),
            Self::OddId => uris(draft, &[*pick(rng, ODD_IDS)]),
            Self::AddressAsDomain => uris(draft, &["spiffe://10.0.0.1/x"]),
            Self::SubjectAddress => {
                let address = *pick(rng, &["x@a.test", "x@b.test"]);
                draft.subject = distinguished_name(&[(EMAIL_ADDRESS, 0x16, address.as_bytes())]);
            }
            other => unreachable!("{other:?} is about no name"),
        }
    }
}

/// More names for a leaf.
pub(super) fn add_names(rng: &mut Rng, draft: &mut Draft, spiffe_id: &str) {
    let mut all: Vec<(u8, &[u8])> = vec![(URI, spiffe_id.as_bytes())];
    all.extend((0..rng.usize(1..4)).map(|_| *pick(rng, NAMES)));
    draft.set(SUBJECT_ALT_NAME, false, &names(&all));
}

fn purposes(draft: &mut Draft, purposes: &[u8]) {
    draft.set(EXTENDED_KEY_USAGE, false, &extended_key_usage(purposes));
}

fn uris(draft: &mut Draft, uris: &[&str]) {
    let uris: Vec<(u8, &[u8])> = uris.iter().map(|uri| (URI, uri.as_bytes())).collect();
    draft.set(SUBJECT_ALT_NAME, false, &names(&uris));
}

fn pick<'a, T>(rng: &mut Rng, all: &'a [T]) -> &'a T {
    &all[rng.usize(..all.len())]
}

/// Up to three subtrees permitted and up to two excluded, one at least.
fn constrain(draft: &mut Draft, rng: &mut Rng) {
    let subtrees = subtrees();
    let mut list = |most: usize| -> Vec<(u8, &[u8])> {
        let count = rng.usize(..=most);
        (0..count).map(|_| pick(rng, &subtrees)).map(|(tag, base)| (*tag, base.as_slice())).collect()
    };
    let (permitted, excluded) = match (list(3), list(2)) {
        (permitted, excluded) if permitted.is_empty() && excluded.is_empty() => (vec![(URI, &b"a.test"[..])], vec![]),
        lists => lists,
    };
    draft.set(NAME_CONSTRAINTS, true, &name_constraints(&permitted, &excluded));
}

fn break_constraints(draft: &mut Draft, rng: &mut Rng) {
    let base = *pick(rng, &[&b"spiffe://a.test"[..], b"a.test:443", b"a.test.", b"10.0.0.1"]);
    draft.set(NAME_CONSTRAINTS, true, &name_constraints(&[(URI, base), (URI, b"a.test")], &[]));
}

const ODD_IDS: &[&str] = &["spiffe://A.test/x", "SPIFFE://a.test/x", "spiffe://a.test/x/"];

const NAMES: &[(u8, &[u8])] = &[
    (DNS, b"a.test"),
    (DNS, b"www.a.test"),
    (DNS, b"WWW.A.TEST"),
    (DNS, b"*.a.test"),
    (DNS, b"b.test"),
    (DNS, b"a"),
    (DNS, b"xa.test"),
    (DNS, b"*.www.a.test"),
    (DIRECTORY, &[0x30, 0]),
    (EMAIL, b"x@a.test"),
    (EMAIL, b"X@A.TEST"),
    (EMAIL, b"x@www.a.test"),
    (EMAIL, b"y@b.test"),
    (EMAIL, b"y@xa.test"),
    (IP, &[10, 0, 0, 1]),
    (IP, &[192, 168, 0, 1]),
    (IP, &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
];

/// Of CAs, which aren't SPIFFE IDs.
const URIS: &[(u8, &[u8])] = &[
    (URI, b"https://a.test/"),
    (URI, b"https://A.TEST/"),
    (URI, b"https://www.a.test/"),
    (URI, b"https://a.test:443/x"),
    (URI, b"https://b.test@a.test/"),
    (URI, b"https://10.0.0.1/"),
    (URI, b"https://[::1]/"),
    (URI, b"https://a.test./"),
    (URI, b"https:///x"),
    (URI, b"urn:a.test"),
    (URI, b"https://a.test?b.test"),
];

fn subtrees() -> Vec<(u8, Vec<u8>)> {
    let text =
        |tag: u8, bases: &[&str]| -> Vec<_> { bases.iter().map(|base| (tag, base.as_bytes().to_vec())).collect() };
    let directory = |names: &[&str]| -> Vec<_> { names.iter().map(|name| (DIRECTORY, common_name(name))).collect() };
    [
        text(URI, &["a.test", "a.test", "a.test", "A.TEST", ".a.test", ".test", "test", "b.test"]),
        text(DNS, &["a.test", "www.a.test", ".a.test", "b.test", ""]),
        text(EMAIL, &["a.test", ".a.test", "x@a.test", "b.test"]),
        vec![
            (IP, vec![10, 0, 0, 0, 255, 0, 0, 0]),
            (IP, vec![10, 0, 0, 0, 255, 0, 255, 0]),
            (IP, vec![192, 168, 0, 0, 255, 255, 0, 0]),
            (IP, vec![0; 32]),
        ],
        directory(&["workload", "WORKLOAD", "ca 0", "other"]),
        vec![(DIRECTORY, element(SEQUENCE, &[]))],
    ]
    .concat()
}

/// The same name in capitals.
fn in_capitals(name: &[u8]) -> Vec<u8> {
    // Header and identifier of one commonName.
    let (head, text) = name.split_at(name.len().min(13));
    [head, &text.to_ascii_uppercase()].concat()
}

const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
