//! Who may see which bundles: decided by the user and the group of the process that asks.

use std::collections::BTreeSet;
use std::iter::once;

use crate::outputs::selection::Selection;
use crate::spiffe::trust_domain::TrustDomain;

/// The process at the other end of a Unix socket, as the kernel vouches for it at the moment when it connects.
///
/// The group is the effective one: supplementary groups are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Caller {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What a rule asks of a process, all of it; and what it then may see besides our own bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AccessRule {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    /// `None` is every one.
    pub(crate) trust_domains: Option<BTreeSet<TrustDomain>>,
}

/// All rules. A process that none of them fits may see nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AccessRules {
    pub(crate) allow: Vec<AccessRule>,
    /// See [`Selection`]; for every process alike, since it depends on how their software verifies.
    pub(crate) shared_authorities: bool,
}

impl AccessRules {
    /// What a process may see: all that the rules which fit it name, and our own domain (WL-07). `None` if no rule fits.
    pub(crate) fn selection(&self, caller: Caller, own: &TrustDomain) -> Option<Selection> {
        let mut fitting = self.allow.iter().filter(|rule| rule.fits(caller)).peekable();
        fitting.peek()?;
        let named: Option<Vec<_>> = fitting.map(|rule| rule.trust_domains.as_ref()).collect();
        let trust_domains = named.map(|sets| sets.into_iter().flatten().chain(once(own)).cloned().collect());
        Some(Selection { trust_domains, shared_authorities: self.shared_authorities })
    }
}

impl AccessRule {
    fn fits(&self, caller: Caller) -> bool {
        self.uid.is_none_or(|uid| uid == caller.uid) && self.gid.is_none_or(|gid| gid == caller.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> TrustDomain {
        name.parse().unwrap()
    }

    fn rule(uid: Option<u32>, gid: Option<u32>, domains: Option<&[&str]>) -> AccessRule {
        let trust_domains = domains.map(|names| names.iter().map(|name| domain(name)).collect());
        AccessRule { uid, gid, trust_domains }
    }

    #[test]
    fn wl_11_whoever_no_rule_fits_sees_nothing_and_others_what_all_fitting_rules_name() {
        let rules = AccessRules {
            allow: vec![
                rule(Some(1000), None, Some(&["b"])),
                rule(None, Some(50), Some(&["c", "b"])),
                rule(Some(2000), Some(60), None),
                rule(Some(3000), None, Some(&[])),
            ],
            shared_authorities: false,
        };
        for (name, uid, gid, expected) in [
            ("by user", 1000, 1, Some(Some(vec!["b", "own"]))),
            ("by group", 7, 50, Some(Some(vec!["b", "c", "own"]))),
            ("by both", 1000, 50, Some(Some(vec!["b", "c", "own"]))),
            ("all", 2000, 60, Some(None)),
            ("the user of a rule that asks for a group too", 2000, 61, None),
            ("the group of one that asks for a user too", 2001, 60, None),
            ("a user whose number is a rule's group", 50, 1, None),
            ("nothing but ours", 3000, 1, Some(Some(vec!["own"]))),
            ("root is nobody special", 0, 0, None),
        ] {
            let selection = rules.selection(Caller { uid, gid }, &domain("own"));
            let shown = |set: BTreeSet<TrustDomain>| set.iter().map(ToString::to_string).collect::<Vec<_>>();
            let found = selection.map(|selection| selection.trust_domains.map(shown));
            let expected = expected.map(|all| all.map(|names| names.into_iter().map(str::to_owned).collect()));
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(AccessRules::default().selection(Caller { uid: 0, gid: 0 }, &domain("own")), None);
    }
}
