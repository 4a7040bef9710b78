//! Every rule broken one at a time, at every place of a path, for every kind of key.

mod rows;
mod signatures;

use std::sync::Arc;

use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::bundle::Bundle;

use super::super::snapshot::DomainTrust;
use super::super::testing::{NOW, time};
use super::super::x509::Usage;
use super::keys::{Digest, Key, Kind, Scheme, key};
use super::mint::Draft;
use rows::{ROWS, Row};
use signatures::{SIGNATURES, Signature};

/// Leaf, two intermediates, authority.
const LENGTH: usize = 4;
const AUTHORITY: usize = LENGTH - 1;
const SUBJECTS: [&str; LENGTH] = ["leaf", "lower", "upper", "root"];
const PLACES: [&str; LENGTH] = ["leaf", "lower intermediate", "upper intermediate", "authority"];

/// Kinds of keys and how they sign: one for all certificates of a path. All that the verifier knows.
const SCHEMES: [(Kind, Scheme); 16] = [
    (Kind::P256, Scheme::Ecdsa(Digest::Sha256)),
    (Kind::P256, Scheme::Ecdsa(Digest::Sha384)),
    (Kind::P256, Scheme::Ecdsa(Digest::Sha512)),
    (Kind::P384, Scheme::Ecdsa(Digest::Sha256)),
    (Kind::P384, Scheme::Ecdsa(Digest::Sha384)),
    (Kind::P384, Scheme::Ecdsa(Digest::Sha512)),
    (Kind::P521, Scheme::Ecdsa(Digest::Sha256)),
    (Kind::P521, Scheme::Ecdsa(Digest::Sha384)),
    (Kind::P521, Scheme::Ecdsa(Digest::Sha512)),
    (Kind::Ed25519, Scheme::Ed25519),
    (Kind::Rsa2048, Scheme::Pkcs1(Digest::Sha256)),
    (Kind::Rsa2048, Scheme::Pkcs1(Digest::Sha384)),
    (Kind::Rsa2048, Scheme::Pkcs1(Digest::Sha512)),
    (Kind::Rsa2048, Scheme::Pss { digest: Digest::Sha256, salt: 32 }),
    (Kind::Rsa2048, Scheme::Pss { digest: Digest::Sha384, salt: 48 }),
    (Kind::Rsa2048, Scheme::Pss { digest: Digest::Sha512, salt: 64 }),
];

/// One certificate of a path before it is signed.
struct Minting {
    draft: Draft,
    kind: Kind,
    signer: &'static Key,
    scheme: Scheme,
}

/// A path that is good, to be broken in one place.
struct Good {
    kind: Kind,
    scheme: Scheme,
    der: [Vec<u8>; LENGTH],
    /// Its authority, which has accepted it: from then on the authority's key is kept ready.
    trust: DomainTrust,
}

impl Good {
    fn new((kind, scheme): (Kind, Scheme)) -> Self {
        let der = std::array::from_fn(|place| Minting::new(kind, scheme, place).sign());
        let trust = trust_in(&der[AUTHORITY]).unwrap();
        assert_eq!(code(&trust, &der), "accepted", "{scheme:?}");
        Self { kind, scheme, der, trust }
    }

    fn minting(&self, place: usize) -> Minting {
        Minting::new(self.kind, self.scheme, place)
    }

    /// The code of the verdict, where this certificate stands in that place.
    fn code_with(&self, place: usize, der: Vec<u8>) -> &'static str {
        let mut path = self.der.clone();
        path[place] = der;
        let Some(trust) = trust_in(&path[AUTHORITY]) else { return "no authority" };
        let verdict = code(&trust, &path);
        let is_same = place == AUTHORITY || verdict == code(&self.trust, &path);
        if is_same { verdict } else { "another one when the key is ready" }
    }
}

fn trust_in(authority: &[u8]) -> Option<DomainTrust> {
    let authorities = [Authority::X509(X509Authority::from_der(authority).ok()?)].into_iter().collect();
    Some(DomainTrust::new(Arc::new(Bundle::new("a.test".parse().unwrap(), authorities, None, None)), 1))
}

fn code(trust: &DomainTrust, [leaf, lower, upper, _]: &[Vec<u8>; LENGTH]) -> &'static str {
    let verdict = trust.verify_x509(leaf, &[lower, upper], Usage::Server, time(NOW));
    verdict.map_or_else(|rejection| rejection.code(), |_| "accepted")
}

impl Minting {
    fn new(kind: Kind, scheme: Scheme, place: usize) -> Self {
        let own = key(kind, place);
        let above = (place + 1).min(AUTHORITY);
        let draft = if place == 0 { Draft::leaf(SUBJECTS[0], own) } else { Draft::ca(SUBJECTS[place], own) };
        let signer = key(kind, above);
        Self { draft: draft.issued_by(SUBJECTS[above], signer), kind, signer, scheme }
    }

    /// A key of the same kind that no certificate of the path has.
    fn other_key(&self) -> &'static Key {
        key(self.kind, LENGTH)
    }

    fn sign(&self) -> Vec<u8> {
        self.draft.sign(self.signer, self.scheme)
    }
}

/// Calls `judge` for each scheme, and returns what it says is wrong.
fn of_all_schemes(judge: impl Fn(&Good) -> Vec<String> + Sync) -> Vec<String> {
    std::thread::scope(|scope| {
        let judge = &judge;
        let threads: Vec<_> = SCHEMES.iter().map(|scheme| scope.spawn(move || judge(&Good::new(*scheme)))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn x5_01_to_22_every_rule_is_held_at_every_place_for_every_key() {
    let wrong = of_all_schemes(|good| {
        let cases = ROWS.iter().flat_map(|row| (0..LENGTH).map(move |place| (row, place)));
        let judged = cases.filter_map(|(Row { id, name, change, expected }, place)| {
            let mut minting = good.minting(place);
            change(&mut minting);
            let code = good.code_with(place, minting.sign());
            let told = || format!("{id} {name}, {} {:?}: {code}, not {}", PLACES[place], good.scheme, expected[place]);
            (code != expected[place]).then(told)
        });
        judged.collect()
    });
    assert!(wrong.is_empty(), "{} wrong verdicts:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn x5_12_22_every_signature_is_checked_at_every_place_for_every_key() {
    let wrong = of_all_schemes(|good| {
        let cases = SIGNATURES.iter().flat_map(|row| (0..LENGTH).map(move |place| (row, place)));
        let judged = cases.filter_map(|(Signature { name, sign, expected }, place)| {
            // The signature of an authority is not looked at; one intermediate that can't be read is left out.
            let expected = match (place, expected) {
                (AUTHORITY, [_, of_authority]) => of_authority,
                (0, ["malformed", _]) => &"malformed-certificate",
                (_, ["malformed", _]) => &"unknown-authority",
                (_, [code, _]) => code,
            };
            let code = good.code_with(place, sign(&good.minting(place))?);
            let told = || format!("{name}, {} {:?}: {code}, not {expected}", PLACES[place], good.scheme);
            (code != *expected).then(told)
        });
        judged.collect()
    });
    assert!(wrong.is_empty(), "{} wrong verdicts:\n{}", wrong.len(), wrong.join("\n"));
}
