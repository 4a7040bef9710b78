//! Chains at random: good ones, broken ones, constrained ones, with strangers and namesakes among them.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::spiffe::authority::X509Authority;

use super::super::rejection::Place;
use super::super::testing::NOW;
use super::super::x509::Usage;
use super::keys::{Key, Kind, key};
use super::mint::{Draft, ID, SUBJECT_ALT_NAME, URI, names};
use super::mutations::{self, Mutation};

/// What is sent and what is trusted, and what is odd about each certificate of it.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) leaf: Vec<u8>,
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) authorities: Vec<Vec<u8>>,
    /// Whose authorities they are.
    pub(super) trust_domain: &'static str,
    pub(super) usage: Usage,
    /// Unix seconds.
    pub(super) at: u64,
    pub(super) odd: BTreeMap<Vec<u8>, Vec<Mutation>>,
    /// CA certificates between leaf and authority.
    pub(super) depth: usize,
    /// Whether names, keys or issuers are there more than once.
    pub(super) is_ambiguous: bool,
}

impl Sample {
    pub(super) fn new(seed: u64) -> Self {
        Self::naming(ID, seed)
    }

    /// The same, with a leaf that names somebody else.
    pub(super) fn naming(spiffe_id: &'static str, seed: u64) -> Self {
        Minter { spiffe_id, ..Minter::new(Rng::with_seed(seed)) }.sample()
    }

    /// The certificate in this place.
    pub(super) fn at(&self, place: Place) -> Option<&[u8]> {
        match place {
            Place::Leaf => Some(&self.leaf),
            Place::Intermediate(index) => Some(&self.sent[index]),
            Place::Authority(id) => {
                let is_it = |der: &&Vec<u8>| X509Authority::from_der(der).is_ok_and(|it| it.fingerprint() == id);
                self.authorities.iter().find(is_it).map(Vec::as_slice)
            }
        }
    }

    /// One path of it, leaf first and authority last, and nothing else.
    pub(super) fn narrowed(&self, path: &[Vec<u8>]) -> Self {
        let (leaf, sent, authorities) = match path {
            [leaf, sent @ .., root] => (leaf.clone(), sent.to_vec(), vec![root.clone()]),
            _ => (self.leaf.clone(), Vec::new(), Vec::new()),
        };
        let mut odd = self.odd.clone();
        odd.retain(|der, _| path.contains(der));
        Self { leaf, sent, authorities, odd, ..self.clone() }
    }

    /// Whether a certificate has one of these oddities.
    pub(super) fn is_odd(&self, der: &[u8], mutations: &[Mutation]) -> bool {
        self.odd.get(der).is_some_and(|odd| odd.iter().any(|one| mutations.contains(one)))
    }

    /// Whether any has.
    pub(super) fn has(&self, mutations: &[Mutation]) -> bool {
        self.odd.values().flatten().any(|one| mutations.contains(one))
    }

    /// Whether any certificate has name constraints.
    pub(super) fn is_constrained(&self) -> bool {
        self.has(&[
            Mutation::Constrained,
            Mutation::ConstraintsBroken,
            Mutation::ConstraintsOfOtherForm,
            Mutation::AllUris,
            Mutation::UriExcluded,
            Mutation::HostExcluded,
        ])
    }

    /// All of it, to be looked at with other tools.
    pub(super) fn dump(&self) -> String {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let line = |role: &str, der: &Vec<u8>| {
            let odd = self.odd.get(der).map(Vec::as_slice).unwrap_or_default();
            format!("{role} {odd:?} {}\n", STANDARD.encode(der))
        };
        let sent = self.sent.iter().map(|der| line("  sent", der));
        let authorities = self.authorities.iter().map(|der| line("  authority", der));
        [line("  leaf", &self.leaf)].into_iter().chain(sent).chain(authorities).collect()
    }
}

/// One certificate of the path, and what it takes to issue others.
struct Ca {
    draft: Draft,
    key: &'static Key,
    name: String,
    der: Vec<u8>,
}

struct Minter {
    rng: Rng,
    spiffe_id: &'static str,
    kind: Kind,
    serial: u8,
    odd: BTreeMap<Vec<u8>, Vec<Mutation>>,
    is_ambiguous: bool,
    /// Of the leaf, to be constrained.
    has_many_names: bool,
    /// Half of the intermediates.
    has_self_issued: bool,
}

/// Keys of the path come first, then those of strangers.
const STRANGERS: usize = 10;

impl Minter {
    fn new(mut rng: Rng) -> Self {
        let kinds = [Kind::P384, Kind::P521, Kind::Ed25519, Kind::Rsa2048];
        let kind = if rng.u8(..16) == 0 { kinds[rng.usize(..kinds.len())] } else { Kind::P256 };
        Self {
            rng,
            spiffe_id: ID,
            kind,
            serial: 0,
            odd: BTreeMap::new(),
            is_ambiguous: false,
            has_many_names: false,
            has_self_issued: false,
        }
    }

    fn one_in(&mut self, number: u8) -> bool {
        self.rng.u8(..number) == 0
    }

    fn sample(mut self) -> Sample {
        let depth = if self.one_in(50) { self.rng.usize(6..=7) } else { self.rng.usize(0..=3) };
        let mut mutations = self.mutations(depth + 2);
        let mut path: Vec<Ca> = Vec::new();
        for level in 0..=depth {
            let ca = self.ca(level, path.last(), &mutations.remove(&level).unwrap_or_default());
            path.push(ca);
        }
        let leaf = self.leaf(&path, &mutations.remove(&(depth + 1)).unwrap_or_default());
        let mut sent: Vec<_> = path[1..].iter().map(|ca| ca.der.clone()).collect();
        let mut authorities = vec![path[0].der.clone()];
        self.add_others(&path, &mut sent, &mut authorities);
        self.rng.shuffle(&mut sent);
        self.rng.shuffle(&mut authorities);
        let usage = if self.rng.bool() { Usage::Server } else { Usage::Client };
        let is_ambiguous = self.is_ambiguous;
        let odd = self.odd.get(&leaf).map(Vec::as_slice).unwrap_or_default();
        let trust_domain = if odd.last() == Some(&Mutation::AddressAsDomain) { "10.0.0.1" } else { "a.test" };
        Sample { leaf, sent, authorities, trust_domain, usage, at: NOW, odd: self.odd, depth, is_ambiguous }
    }

    /// None, one or two oddities, each at a place of the path, which has so many certificates, the authority first.
    fn mutations(&mut self, places: usize) -> BTreeMap<usize, Vec<Mutation>> {
        let mut mutations: BTreeMap<usize, Vec<Mutation>> = BTreeMap::new();
        // Too rare to be met by chance.
        match self.rng.u8(..50) {
            0 => return [(0, vec![Mutation::UriExcluded]), (1, vec![Mutation::AddressUri])].into(),
            1 => return [(0, vec![Mutation::HostExcluded]), (places - 1, vec![Mutation::Wildcard])].into(),
            2 => {
                self.has_self_issued = true;
                return [((places - 1) / 2, vec![Mutation::PathLength])].into();
            }
            _ => {}
        }
        if self.one_in(4) {
            self.has_many_names = true;
            for place in 0..places - 1 {
                let constrained = self.rng.bool().then_some(Mutation::Constrained);
                let named = (self.rng.u8(..4) == 0).then_some(Mutation::NamesOfCa);
                mutations.insert(place, constrained.into_iter().chain(named).collect());
            }
            if self.one_in(4) {
                mutations.insert(places - 1, vec![Mutation::SubjectAddress]);
            }
            return mutations;
        }
        let count = [0, 0, 1, 1, 1, 1, 1, 2, 2, 3][self.rng.usize(..10)];
        for _ in 0..count {
            let place = self.rng.usize(..places);
            let mutation = mutations::choose(&mut self.rng, place + 1 == places);
            let others = mutations.entry(place).or_default();
            if !others.contains(&mutation) {
                others.push(mutation);
            }
        }
        mutations
    }

    fn ca(&mut self, level: usize, above: Option<&Ca>, mutations: &[Mutation]) -> Ca {
        let name = match above {
            Some(above) if self.one_in(if self.has_self_issued { 2 } else { 6 }) => {
                self.is_ambiguous = true;
                above.name.clone()
            }
            _ => format!("ca {level}"),
        };
        let key = key(self.kind, level);
        let draft = Draft::ca(&name, key);
        let (draft, signer) = match above {
            Some(above) => (draft.issued_by(&above.name, above.key), above.key),
            None => (draft, key),
        };
        let (draft, der) = self.mint(draft, signer, mutations);
        Ca { draft, key, name, der }
    }

    fn leaf(&mut self, path: &[Ca], mutations: &[Mutation]) -> Vec<u8> {
        let Some(above) = path.last() else { return Vec::new() };
        let mut draft = Draft::leaf("workload", key(self.kind, STRANGERS - 1)).issued_by(&above.name, above.key);
        draft.set(SUBJECT_ALT_NAME, false, &names(&[(URI, self.spiffe_id.as_bytes())]));
        if self.has_many_names || self.one_in(8) {
            mutations::add_names(&mut self.rng, &mut draft, self.spiffe_id);
        }
        self.mint(draft, above.key, mutations).1
    }

    fn mint(&mut self, mut draft: Draft, signer: &'static Key, mutations: &[Mutation]) -> (Draft, Vec<u8>) {
        self.serial += 1;
        draft.serial = vec![1 + self.rng.u8(..100), self.serial];
        let mut seal = mutations::Seal::Good;
        for mutation in mutations {
            mutation.apply(&mut draft, &mut seal, &mut self.rng);
        }
        let der = seal.sign(&draft, signer, key(self.kind, STRANGERS));
        if !mutations.is_empty() {
            self.odd.insert(der.clone(), mutations.to_vec());
        }
        (draft, der)
    }

    /// Certificates that aren't needed, or may be taken for those that are.
    fn add_others(&mut self, path: &[Ca], sent: &mut Vec<Vec<u8>>, authorities: &mut Vec<Vec<u8>>) {
        if self.one_in(6) {
            sent.push(path[0].der.clone());
        }
        if let (true, Some(first)) = (self.one_in(8), sent.first().cloned()) {
            sent.push(first);
        }
        if self.one_in(6) {
            let stranger = self.stranger("stranger", STRANGERS + 1);
            sent.push(stranger);
        }
        if self.one_in(8) {
            let namesake = self.stranger(&path[0].name, STRANGERS + 2);
            authorities.push(namesake);
            self.is_ambiguous = true;
        }
        for chance in [10, 10] {
            if self.one_in(chance) {
                let ca = &path[self.rng.usize(..path.len())];
                self.add_twin(ca, sent, authorities);
                self.is_ambiguous = true;
            }
        }
    }

    fn stranger(&mut self, name: &str, number: usize) -> Vec<u8> {
        let key = key(self.kind, number);
        self.mint(Draft::ca(name, key), key, &[]).1
    }

    /// Another certificate for the name and key of `ca`: renewed, outlived, or signed by another authority.
    fn add_twin(&mut self, ca: &Ca, sent: &mut Vec<Vec<u8>>, authorities: &mut Vec<Vec<u8>>) {
        let other = key(self.kind, STRANGERS + 3);
        let mut twin = Draft::ca(&ca.name, ca.key).issued_by("other root", other);
        twin.subject.clone_from(&ca.draft.subject);
        let mutation = match self.rng.u8(..4) {
            0 => vec![Mutation::Expired],
            1 => vec![mutations::choose(&mut self.rng, false)],
            _ => vec![],
        };
        sent.push(self.mint(twin, other, &mutation).1);
        if self.rng.bool() {
            let root = self.stranger("other root", STRANGERS + 3);
            authorities.push(root);
        }
    }
}
