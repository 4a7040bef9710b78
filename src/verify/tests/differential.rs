//! Thousands of chains at random, judged by us and by others: where we differ, the difference has a name.

mod classes;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::bundle::Bundle;

use super::super::certificate::Certificate;
use super::super::rejection::{Breach, Fault, Place, Rejection};
use super::super::snapshot::DomainTrust;
use super::super::testing::time;
use super::super::verified::Verified;
use super::judges::{Judge, Reason};
use super::mutations::Mutation;
use super::random::Sample;
use classes::{CLASSES, Class};

const SAMPLES: u64 = 2_000;
const NIGHTLY_SAMPLES: u64 = 30_000;

/// One path that a judge and we differ about: what it is, and who says what of it alone.
struct Difference {
    sample: Sample,
    judge: Judge,
    ours: Result<Verified, Rejection>,
    theirs: Result<Vec<Vec<u8>>, Reason>,
}

impl Difference {
    /// Narrows a difference about a chain down to the path that one of the two accepts.
    fn new(
        chain: &Sample,
        judge: Judge,
        ours: &Result<Verified, Rejection>,
        theirs: &Result<Vec<Vec<u8>>, Reason>,
    ) -> Self {
        let path = match (ours, theirs) {
            (Ok(ours), _) => ours.path.iter().filter_map(|place| chain.at(*place)).map(<[u8]>::to_vec).collect(),
            (Err(_), Ok(theirs)) => theirs.clone(),
            (Err(_), Err(_)) => Vec::new(),
        };
        let sample = chain.narrowed(&path);
        let (ours, theirs) = (verdict(&sample), judge.verdict(&sample));
        Self { sample, judge, ours, theirs }
    }

    /// Whether OpenSSL says this.
    fn theirs_is(&self, number: i32) -> bool {
        matches!(self.theirs, Err(Reason::OpenSsl(error)) if error.as_raw() == number)
    }

    fn code(&self) -> &'static str {
        code(&self.ours)
    }

    /// Whether we refuse with one of these codes, and the certificate at fault is odd in one of these ways.
    fn is_ours(&self, codes: &[&str], mutations: &[Mutation]) -> bool {
        let place = match &self.ours {
            Err(Rejection::Certificate { place, .. } | Rejection::UnknownAuthority { place, .. }) => Some(*place),
            _ => None,
        };
        let is_odd = |place| self.sample.at(place).is_some_and(|der| self.sample.is_odd(der, mutations));
        codes.contains(&self.code()) && self.sample.has(mutations) && place.is_none_or(is_odd)
    }

    /// Whether two signers of the path bear one name: then others may try one of them only.
    fn has_namesakes(&self) -> bool {
        let signers = self.sample.sent.iter().chain(&self.sample.authorities);
        let subjects: Vec<_> = signers.filter_map(|der| Some(Certificate::parse(der).ok()?.subject.der)).collect();
        subjects.iter().enumerate().any(|(at, subject)| subjects[at + 1..].contains(subject))
    }

    /// Whether we refuse a name for this breach of constraints.
    fn breaks(&self, wanted: Breach) -> bool {
        let Err(Rejection::Certificate { fault: Fault::NameConstraint { breach, .. }, .. }) = &self.ours else {
            return false;
        };
        *breach == wanted
    }

    /// Whether the name that we refuse is one.
    fn has_wildcard(&self) -> bool {
        let Err(Rejection::Certificate { fault: Fault::NameConstraint { name, .. }, .. }) = &self.ours else {
            return false;
        };
        name.starts_with("*.")
    }

    fn is_about(&self, wanted: fn(&Place) -> bool) -> bool {
        matches!(&self.ours, Err(Rejection::Certificate { place, .. }) if wanted(place))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = self.ours.as_ref().map_or_else(ToString::to_string, |_| "accepted".to_owned());
        let theirs = self.theirs.as_ref().map_or_else(ToString::to_string, |_| "accepted".to_owned());
        write!(f, "of one path we say \"{ours}\", {} \"{theirs}\"\n{}", self.judge.name(), self.sample.dump())
    }
}

fn code(verdict: &Result<Verified, Rejection>) -> &'static str {
    verdict.as_ref().map_or_else(Rejection::code, |_| "accepted")
}

fn verdict(sample: &Sample) -> Result<Verified, Rejection> {
    let authorities = sample.authorities.iter().filter_map(|der| X509Authority::from_der(der).ok());
    let trust_domain = sample.trust_domain.parse().unwrap();
    let bundle = Bundle::new(trust_domain, authorities.map(Authority::X509).collect(), None, None);
    let sent: Vec<_> = sample.sent.iter().map(Vec::as_slice).collect();
    DomainTrust::new(Arc::new(bundle), 1).verify_x509(&sample.leaf, &sent, sample.usage, time(sample.at))
}

/// How often each class occurred, and what no class explains.
#[derive(Default)]
struct Tally {
    accepted: u64,
    agreed: u64,
    classes: BTreeMap<&'static str, u64>,
    unexplained: Vec<String>,
}

impl Tally {
    fn judge(&mut self, seed: u64) {
        let sample = &Sample::new(seed);
        let ours = &verdict(sample);
        self.accepted += u64::from(ours.is_ok());
        if sample.odd.is_empty() && !sample.is_ambiguous && sample.depth < 6 {
            assert_eq!(code(ours), "accepted", "seed {seed}: nothing is wrong\n{}", sample.dump());
        }
        for judge in Judge::ALL {
            if judge == Judge::Webpki && sample.is_constrained() {
                continue;
            }
            let theirs = &judge.verdict(sample);
            if ours.is_ok() == theirs.is_ok() {
                self.agreed += 1;
                continue;
            }
            let difference = Difference::new(sample, judge, ours, theirs);
            match CLASSES.iter().find(|class| class.explains(&difference)) {
                Some(class) => *self.classes.entry(class.name).or_default() += 1,
                None => self.unexplained.push(format!("seed {seed}: {difference}{}", sample.dump())),
            }
        }
    }

    fn add(mut self, other: Self) -> Self {
        self.accepted += other.accepted;
        self.agreed += other.agreed;
        for (class, count) in other.classes {
            *self.classes.entry(class).or_default() += count;
        }
        self.unexplained.extend(other.unexplained);
        self
    }
}

/// Judges as many samples, on two threads.
fn judge_all(samples: u64) -> Tally {
    let next = AtomicU64::new(0);
    let judge = || {
        let mut tally = Tally::default();
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                seed if seed < samples => tally.judge(seed),
                _ => return tally,
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(judge));
        threads.into_iter().fold(Tally::default(), |tally, thread| tally.add(thread.join().unwrap()))
    })
}

#[test]
fn x5_12_where_others_decide_otherwise_the_difference_has_a_name() {
    let samples = std::env::var_os("COMITY_NIGHTLY").map_or(SAMPLES, |_| NIGHTLY_SAMPLES);
    let tally = judge_all(samples);
    println!("{samples} chains, {} accepted, {} agreements: {:#?}", tally.accepted, tally.agreed, tally.classes);
    let unexplained = &tally.unexplained;
    assert!(unexplained.is_empty(), "{} unexplained:\n{}", unexplained.len(), unexplained.join("\n"));
    let idle: Vec<_> = CLASSES.iter().filter(|class| !tally.classes.contains_key(class.name)).collect();
    let idle: Vec<_> = idle.iter().map(|Class { name, .. }| name).collect();
    assert!(idle.is_empty(), "never met: {idle:#?}");
}

/// `docs/verification.md` has a row for each class, that says who accepts, and no others.
#[test]
fn every_difference_is_told() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verification.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, table) = page.split_once("| difference |").unwrap();
    let rows = table.lines().skip(2).map_while(|line| line.strip_prefix("| "));
    let told: Vec<_> = rows.map(|row| row.split(" | ").take(3).collect::<Vec<_>>().join(" | ")).collect();
    assert_eq!(told, CLASSES.iter().map(Class::row).collect::<Vec<_>>());
}
