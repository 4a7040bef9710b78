//! What to do at a SPIRE server: only what touches nobody else's.

use std::collections::{BTreeMap, BTreeSet};

use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

use super::record::Record;

/// What is known before anything is done, each bundle by its contents.
pub(super) struct Situation<'a> {
    pub(super) wanted: &'a BTreeMap<TrustDomain, Fingerprint>,
    pub(super) there: &'a BTreeMap<TrustDomain, Fingerprint>,
    pub(super) record: &'a Record,
    /// Whose bundles the server fetches by itself.
    pub(super) fetched: &'a BTreeSet<TrustDomain>,
    /// What the output may show; `None` is all.
    pub(super) selected: Option<&'a BTreeSet<TrustDomain>>,
    pub(super) take_over: bool,
}

/// What to do, and what to leave alone. A domain that is in none of these is as it should be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) create: BTreeSet<TrustDomain>,
    pub(super) update: BTreeSet<TrustDomain>,
    /// Of `update`, those that are not ours yet.
    pub(super) take_over: BTreeSet<TrustDomain>,
    pub(super) delete: BTreeSet<TrustDomain>,
    /// Gone, or somebody else's by now, which is no concern of ours.
    pub(super) forget: BTreeSet<TrustDomain>,
    pub(super) leave: BTreeMap<TrustDomain, Left>,
}

/// Why something is not as it should be, and stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Somebody else put a bundle there before us.
    NotOurs,
    /// Somebody else changed what we put there.
    Changed,
    /// The server fetches that bundle by itself, and would overwrite ours.
    Fetched,
}

impl Situation<'_> {
    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        for (name, contents) in self.wanted {
            self.bring(&mut plan, name, *contents);
        }
        for name in self.record.trust_domains().filter(|name| !self.wanted.contains_key(*name)) {
            self.take_away(&mut plan, name);
        }
        plan
    }

    fn bring(&self, plan: &mut Plan, name: &TrustDomain, wanted: Fingerprint) {
        let there = self.there.get(name);
        let is_ours = there.is_some_and(|there| self.record.is_ours(name, *there));
        let left = match there {
            _ if self.fetched.contains(name) => Left::Fetched,
            None => {
                plan.create.insert(name.clone());
                return;
            }
            Some(there) if *there == wanted => return,
            Some(_) if is_ours || self.take_over => {
                plan.update.insert(name.clone());
                plan.take_over.extend((!is_ours).then(|| name.clone()));
                return;
            }
            Some(_) if self.record.has(name) => Left::Changed,
            Some(_) => Left::NotOurs,
        };
        plan.leave.insert(name.clone(), left);
    }

    fn take_away(&self, plan: &mut Plan, name: &TrustDomain) {
        let is_selected = self.selected.is_none_or(|selected| selected.contains(name));
        match self.there.get(name) {
            Some(there) if self.record.is_ours(name, *there) && !self.fetched.contains(name) => {
                plan.delete.insert(name.clone());
            }
            Some(_) if is_selected && !self.fetched.contains(name) => {
                plan.leave.insert(name.clone(), Left::Changed);
            }
            _ => {
                plan.forget.insert(name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &[u8] = b"old";
    const NEW: &[u8] = b"new";
    const THEIRS: &[u8] = b"theirs";

    /// What becomes of one domain, in a word.
    fn fate(plan: &Plan) -> &'static str {
        let name = &"b.example".parse().unwrap();
        match () {
            () if plan.create.contains(name) => "create",
            () if plan.take_over.contains(name) && plan.update.contains(name) => "take over",
            () if plan.update.contains(name) => "update",
            () if plan.delete.contains(name) => "delete",
            () if plan.forget.contains(name) => "forget",
            () => match plan.leave.get(name) {
                None => "nothing",
                Some(Left::NotOurs) => "not ours",
                Some(Left::Changed) => "changed",
                Some(Left::Fetched) => "fetched",
            },
        }
    }

    #[test]
    fn only_what_we_put_there_and_nobody_changed_is_replaced_or_deleted() {
        let name: TrustDomain = "b.example".parse().unwrap();
        for (case, wanted, there, ours, flags, expected) in [
            ("new", Some(NEW), None, None, "", "create"),
            ("an operator deleted ours", Some(NEW), None, Some(NEW), "", "create"),
            ("as it should be", Some(NEW), Some(NEW), Some(NEW), "", "nothing"),
            ("another Comity's, the same", Some(NEW), Some(NEW), None, "", "nothing"),
            ("rotation", Some(NEW), Some(OLD), Some(OLD), "", "update"),
            ("there before us", Some(NEW), Some(THEIRS), None, "", "not ours"),
            ("changed since", Some(NEW), Some(THEIRS), Some(OLD), "", "changed"),
            ("there before us, asked for", Some(NEW), Some(THEIRS), None, "take over", "take over"),
            ("changed since, asked for", Some(NEW), Some(THEIRS), Some(OLD), "take over", "take over"),
            ("fetched by the server", Some(NEW), None, None, "fetched", "fetched"),
            ("fetched by the server by now", Some(NEW), Some(OLD), Some(OLD), "fetched take over", "fetched"),
            ("over", None, Some(OLD), Some(OLD), "", "delete"),
            ("over, and never ours", None, Some(THEIRS), None, "take over", "nothing"),
            ("over, and changed since", None, Some(THEIRS), Some(OLD), "take over", "changed"),
            ("over, and deleted by an operator", None, None, Some(OLD), "", "forget"),
            ("over, and fetched by the server", None, Some(OLD), Some(OLD), "fetched", "forget"),
            ("no longer selected", None, Some(OLD), Some(OLD), "unselected", "delete"),
            ("no longer selected, changed since", None, Some(THEIRS), Some(OLD), "unselected", "forget"),
        ] {
            let of = |contents: Option<&[u8]>| contents.map(|it| (name.clone(), Fingerprint::of(it))).into_iter();
            let mut record = Record::default();
            of(ours).for_each(|(name, contents)| record.done(&name, contents));
            let selected = BTreeSet::new();
            let situation = Situation {
                wanted: &of(wanted).collect(),
                there: &of(there).collect(),
                record: &record,
                fetched: &flags.contains("fetched").then(|| name.clone()).into_iter().collect(),
                selected: flags.contains("unselected").then_some(&selected),
                take_over: flags.contains("take over"),
            };
            assert_eq!(fate(&situation.plan()), expected, "{case}");
        }
    }
}
