//! What one output may show of the trust snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::federation::timestamp::Timestamp;
use crate::spiffe::authority::{Authority, SvidType};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::policy::Policy;
use crate::verify::snapshot::{DomainTrust, TrustSnapshot};

/// Which trust domains an output shows, and on what terms.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Selection {
    /// `None` is every one, our own among them.
    pub(crate) trust_domains: Option<BTreeSet<TrustDomain>>,
    /// Whether CA keys that several domains share are shown too. Who reads them can't be relied on to demand that
    /// their paths be scoped, as our verifier does.
    pub(crate) shared_authorities: bool,
}

/// Bundles of an output, each under its own name and never together (REL-02).
///
/// Of foreign domains those that verify something now: a stale, expired or revoked one is left out (REL-06, SDS-07).
/// Our own is shown as it is. Bundles hold X.509 and JWT authorities of the SVID types that the policy admits, those that
/// other software can read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) bundles: BTreeMap<TrustDomain, Arc<Bundle>>,
    /// Why domains of the snapshot are missing, or some of their keys.
    pub(crate) lacking: BTreeMap<TrustDomain, Lack>,
    /// First second in which one of these bundles may have lapsed by time alone.
    pub(crate) until: Option<Timestamp>,
}

/// Why an output doesn't show a domain, or all of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Its bundle is too old.
    Stale,
    /// The relationship's last day has passed.
    Over,
    /// It revoked everything.
    Revoked,
    /// Keys are other domains' too.
    Shared,
    /// Much other software can't read some of its keys, or verify anything with them.
    Unreadable,
}

impl Lack {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Stale => "bundle-stale",
            Self::Over => "policy-not-after",
            Self::Revoked => "domain-revoked",
            Self::Shared => "shared-authority-not-shown",
            Self::Unreadable => "unreadable-authority-not-shown",
        }
    }
}

impl Selection {
    /// This domain and no other.
    pub(crate) fn only(trust_domain: &TrustDomain) -> Self {
        Self { trust_domains: Some([trust_domain.clone()].into()), ..Self::default() }
    }

    /// What there is to show at this instant; `own` is our own domain.
    pub(crate) fn of(&self, snapshot: &TrustSnapshot, own: &TrustDomain, at: Timestamp) -> Selected {
        let mut selected = Selected::default();
        for name in snapshot.trust_domains().filter(|name| self.admits(name)) {
            let Some(trust) = snapshot.domain(name) else { continue };
            let (bundle, lacking) = self.shown(trust, name == own, at);
            if let Some(bundle) = bundle {
                selected.until = ends(trust).chain(selected.until).min();
                selected.bundles.insert(name.clone(), bundle);
            }
            selected.lacking.extend(lacking.map(|lack| (name.clone(), lack)));
        }
        selected
    }

    /// Whether it may show anything of this domain.
    pub(crate) fn admits(&self, trust_domain: &TrustDomain) -> bool {
        self.trust_domains.as_ref().is_none_or(|admitted| admitted.contains(trust_domain))
    }

    /// The bundle to show, if any, and what is missing in comparison with the snapshot.
    fn shown(&self, trust: &DomainTrust, is_own: bool, at: Timestamp) -> (Option<Arc<Bundle>>, Option<Lack>) {
        let (policy, bundle) = (trust.policy(), trust.readable());
        match () {
            () if trust.is_stale(at.into()) => return (None, Some(Lack::Stale)),
            () if policy.not_after.is_some_and(|last| last < at.into()) => return (None, Some(Lack::Over)),
            () if trust.bundle().authorities().is_empty() && !is_own => return (None, Some(Lack::Revoked)),
            () => {}
        }
        let any = |is_such: &dyn Fn(&Authority) -> bool| bundle.authorities().iter().any(is_such);
        let lacking = match () {
            () if any(&|authority| self.withholds(authority, policy)) => Some(Lack::Shared),
            () if !Arc::ptr_eq(bundle, trust.bundle()) => Some(Lack::Unreadable),
            () => None,
        };
        let shown = match any(&|authority| self.hides(authority, policy)) {
            true => Arc::new(bundle.retain(|authority| !self.hides(authority, policy))),
            false => bundle.clone(),
        };
        (Some(shown).filter(|shown| is_own || !shown.authorities().is_empty()), lacking)
    }

    fn hides(&self, authority: &Authority, policy: &Policy) -> bool {
        let svid_type = authority.svid_type();
        let admitted = policy.svid_types.as_ref().is_none_or(|admitted| admitted.contains(&svid_type));
        svid_type == SvidType::WitSvid || !admitted || self.withholds(authority, policy)
    }

    fn withholds(&self, authority: &Authority, policy: &Policy) -> bool {
        let may_show = self.shared_authorities || policy.shared_unscoped || policy.shared_keys.is_empty();
        !may_show && policy.shared_keys.contains(&authority.key().thumbprint())
    }
}

/// The first seconds of its lapse by age and by agreement.
fn ends(trust: &DomainTrust) -> impl Iterator<Item = Timestamp> {
    let last = trust.policy().not_after.map(|last| Timestamp::from(last).after(Duration::from_secs(1)));
    trust.trusted_until().map(Timestamp::from).into_iter().chain(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe::authority::X509Authority;
    use crate::spiffe::fixtures::FIXTURES;

    const NOW: u64 = 1_800_000_000;

    fn domain(name: &str) -> TrustDomain {
        name.parse().unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn trust(name: &str, authorities: impl IntoIterator<Item = Authority>) -> DomainTrust {
        let bundle = Bundle::new(domain(name), authorities.into_iter().collect(), Some(1), None);
        DomainTrust::new(Arc::new(bundle), 1)
    }

    fn on_terms(trust: DomainTrust, terms: impl FnOnce(&mut Policy)) -> DomainTrust {
        let mut policy = Policy::default();
        terms(&mut policy);
        trust.with_policy(Arc::new(policy))
    }

    /// How many X.509 and JWT authorities are shown of each domain, and what is said to be missing.
    fn counted(selected: &Selected) -> (Vec<String>, Vec<String>) {
        let count = |(name, bundle): (&TrustDomain, &Arc<Bundle>)| {
            let authorities = bundle.authorities();
            assert_eq!(authorities.count(SvidType::WitSvid), 0, "{name}");
            format!("{name} {}+{}", authorities.count(SvidType::X509Svid), authorities.count(SvidType::JwtSvid))
        };
        let lacking = selected.lacking.iter().map(|(name, lack)| format!("{name} {}", lack.code()));
        (selected.bundles.iter().map(count).collect(), lacking.collect())
    }

    #[test]
    fn rel_06_sds_07_what_verifies_nothing_is_not_shown() {
        let x509 = || FIXTURES[1].x509();
        let snapshot = TrustSnapshot::new(
            7,
            [
                trust("own", []),
                trust("current", [x509(), FIXTURES[2].jwt("k"), FIXTURES[3].wit("w")]),
                trust("empty", []),
                trust("ending", [x509()]).with_trusted_until(Some(at(NOW + 9).into())),
                on_terms(trust("last-second", [x509()]), |it| it.not_after = Some(at(NOW).into())),
                on_terms(trust("over", [x509()]), |it| it.not_after = Some(at(NOW - 1).into())),
                trust("stale", [x509()]).with_trusted_until(Some(at(NOW).into())),
                on_terms(trust("jwt-alone", [x509(), FIXTURES[2].jwt("k")]), |it| {
                    it.svid_types = Some([SvidType::JwtSvid].into());
                }),
            ],
        );
        let selected = Selection::default().of(&snapshot, &domain("own"), at(NOW));
        let (shown, lacking) = counted(&selected);
        assert_eq!(shown, ["current 1+1", "ending 1+0", "jwt-alone 0+1", "last-second 1+0", "own 0+0"]);
        assert_eq!(lacking, ["empty domain-revoked", "over policy-not-after", "stale bundle-stale"]);
        assert_eq!(selected.until, Some(at(NOW + 1)));
        let one =
            Selection { trust_domains: Some([domain("current"), domain("unheard-of")].into()), ..Selection::default() };
        let selected = one.of(&snapshot, &domain("own"), at(NOW));
        assert_eq!(counted(&selected), (vec!["current 1+1".into()], vec![]));
        assert_eq!(selected.until, None);
    }

    #[test]
    fn wl_16_sds_07_what_others_cannot_read_is_left_out_and_costs_nobody_else() {
        let mut version_4 = FIXTURES[2].ca.der().to_vec();
        let version = version_4.windows(5).position(|bytes| bytes == [0xa0, 3, 2, 1, 2]).unwrap();
        version_4[version + 4] = 3;
        let strange = || Authority::X509(X509Authority::from_der(&version_4).unwrap());
        let ed25519 = || FIXTURES[4].jwt("e");
        let domains = [
            trust("one", [strange(), FIXTURES[1].x509(), FIXTURES[4].x509(), ed25519(), FIXTURES[1].jwt("k")]),
            trust("own", [strange()]),
            trust("strange", [strange(), ed25519()]),
        ];
        let (shown, lacking) =
            counted(&Selection::default().of(&TrustSnapshot::new(1, domains), &domain("own"), at(NOW)));
        assert_eq!(shown, ["one 2+1", "own 0+0"]);
        assert_eq!(lacking, ["one", "own", "strange"].map(|name| format!("{name} unreadable-authority-not-shown")));
    }

    #[test]
    fn rel_02_a_key_of_several_domains_is_shown_only_where_that_was_asked_for() {
        let (shared, own) = (FIXTURES[1].x509(), FIXTURES[2].x509());
        let keys = BTreeSet::from([shared.key().thumbprint()]);
        let snapshot = |shared_unscoped| {
            let declare = |it: &mut Policy| (it.shared_keys, it.shared_unscoped) = (keys.clone(), shared_unscoped);
            let domains = [trust("both", [shared.clone(), own.clone()]), trust("shared", [shared.clone()])];
            TrustSnapshot::new(1, domains.map(|trust| on_terms(trust, declare)))
        };
        let all = Selection { shared_authorities: true, ..Selection::default() };
        let missing = ["both shared-authority-not-shown", "shared shared-authority-not-shown"];
        for (name, selection, unscoped, shown, lacking) in [
            ("by default", &Selection::default(), false, &["both 1+0"][..], &missing[..]),
            ("by the relationship", &Selection::default(), true, &["both 2+0", "shared 1+0"], &[]),
            ("by the output", &all, false, &["both 2+0", "shared 1+0"], &[]),
        ] {
            let selected = counted(&selection.of(&snapshot(unscoped), &domain("own"), at(NOW)));
            assert_eq!(selected.0, shown, "{name}");
            assert_eq!(selected.1, lacking, "{name}");
        }
    }
}
