//! Name constraints of signing certificates (RFC 5280 §4.2.1.10): which names may stand below one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::spiffe::trust_domain::TrustDomain;

use super::budget::Budget;
use super::comparable::{ComparableName, names_of, of_form};
use super::der::{self, Reader, SEQUENCE};
use super::hosts::Hosts;
use super::names::{Form, owned, read_name};
use super::path::Step;
use super::rejection::{Breach, Fault, Limit};
use super::subtree::{Comparison, Subtree};
use super::text;

/// A nameConstraints extension, its subtrees as encoded.
#[derive(Debug)]
pub(super) struct NameConstraints<'a> {
    permitted: Cow<'a, [u8]>,
    excluded: Cow<'a, [u8]>,
}

/// Why a certificate may not stand below another.
enum ConstraintFault {
    /// A name that is excluded, or not permitted.
    Name(Fault),
    /// The constraints themselves can't be read or processed.
    Constraints(Fault),
    /// Too many names to compare.
    Exhausted(Limit),
}

/// Checks a complete path, the authority its last step, from there down (RFC 5280 §6.1.3). Self-issued certificates
/// are exempt, but for the leaf.
pub(super) fn check_path<'s, 'a>(
    path: &[Step<'s, 'a>],
    budget: &mut Budget,
) -> Result<Result<(), (Step<'s, 'a>, Fault)>, Limit> {
    for (at, step) in path.iter().enumerate().rev() {
        let above = path[at + 1..].iter().rev();
        let mut above =
            above.filter_map(|signer| Some((signer, signer.certificate.extensions.name_constraints.as_ref()?)));
        let Some(first) = above.next() else { continue };
        if step.signer.is_some() && step.certificate.is_self_issued() {
            continue;
        }
        let names = names_of(step.certificate);
        for (signer, constraints) in std::iter::once(first).chain(above) {
            match constraints.check(&names, budget) {
                Ok(()) => {}
                Err(ConstraintFault::Exhausted(limit)) => return Err(limit),
                Err(ConstraintFault::Name(fault)) => return Ok(Err((*step, fault))),
                Err(ConstraintFault::Constraints(fault)) => return Ok(Err((*signer, fault))),
            }
        }
    }
    Ok(Ok(()))
}

impl<'a> NameConstraints<'a> {
    /// Reads the contents of the extension, its subtrees only when they are compared with.
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, Fault> {
        let mut fields = Reader::only(value, SEQUENCE, "nameConstraints")?;
        let permitted = fields.optional(der::constructed(0))?.map(|list| list.contents);
        let excluded = fields.optional(der::constructed(1))?.map(|list| list.contents);
        fields.end()?;
        match (permitted, excluded) {
            (None, None) | (Some([]), _) | (_, Some([])) => Err(fields.fault()),
            _ => Ok(Self { permitted: permitted.unwrap_or(&[]).into(), excluded: excluded.unwrap_or(&[]).into() }),
        }
    }

    pub(super) fn into_owned(self) -> NameConstraints<'static> {
        NameConstraints { permitted: owned(self.permitted), excluded: owned(self.excluded) }
    }

    /// Checks the names of one certificate, and that the constraints can be processed. Every subtree that is read,
    /// and every comparison with one, is taken from `budget`.
    fn check(&self, names: &[ComparableName<'_>], budget: &mut Budget) -> Result<(), ConstraintFault> {
        for subtree in Subtrees::of(&self.excluded) {
            let subtree = subtree.map_err(ConstraintFault::Constraints)?;
            budget.take_comparison(subtree.size())?;
            for name in of_form(names, subtree.form) {
                match compare(&subtree, name, budget)? {
                    Comparison::Outside if subtree.may_hold(name) => return Err(violation(name, Breach::Unclear)),
                    Comparison::Outside => {}
                    Comparison::Inside => return Err(violation(name, Breach::Excluded)),
                    Comparison::Unclear => return Err(violation(name, Breach::Unclear)),
                }
            }
        }
        self.check_permitted(names, budget)
    }

    fn check_permitted(&self, names: &[ComparableName<'_>], budget: &mut Budget) -> Result<(), ConstraintFault> {
        let mut standing: BTreeMap<Form, Vec<bool>> = BTreeMap::new();
        for subtree in Subtrees::of(&self.permitted) {
            let subtree = subtree.map_err(ConstraintFault::Constraints)?;
            budget.take_comparison(subtree.size())?;
            let names = of_form(names, subtree.form);
            let standing = standing.entry(subtree.form).or_insert_with(|| vec![false; names.len()]);
            for (name, is_permitted) in names.iter().zip(standing) {
                match compare(&subtree, name, budget)? {
                    Comparison::Unclear => return Err(violation(name, Breach::Unclear)),
                    // Excluded wins, so a wildcard that is inside in part is inside here only if in whole.
                    comparison => *is_permitted |= comparison == Comparison::Inside && subtree.covers(name),
                }
            }
        }
        let mut judged = standing.iter().flat_map(|(form, standing)| of_form(names, *form).iter().zip(standing));
        match judged.find(|(_, is_permitted)| !**is_permitted) {
            Some((name, _)) => Err(violation(name, Breach::NotPermitted)),
            None => Ok(()),
        }
    }
}

fn compare(
    subtree: &Subtree<'_>,
    name: &ComparableName<'_>,
    budget: &mut Budget,
) -> Result<Comparison, ConstraintFault> {
    let bytes = if subtree.form == Form::Directory { subtree.size() + name.source.len() } else { 0 };
    budget.take_comparison(bytes)?;
    Ok(subtree.compare(name))
}

/// Whether the URI subtrees that signing certificates permit, intersected, are exactly one trust domain.
///
/// Not so if none of them permits any URI, since then they permit all; what is excluded narrows nothing to one
/// domain. More subtrees, or more pairs to compare, than make sense are not so either.
pub(super) fn is_scoped_to<'c>(
    constraints: impl Iterator<Item = &'c NameConstraints<'c>>,
    trust_domain: &TrustDomain,
) -> bool {
    let mut scope: Option<Vec<Hosts<'c>>> = None;
    for one in constraints {
        let subtrees = Subtrees::of(&one.permitted).take(MAX_SCOPE + 1).collect::<Result<Vec<_>, _>>();
        let Ok(subtrees) = subtrees else { return false };
        let permitted: Vec<_> = subtrees.iter().filter_map(Subtree::hosts).collect();
        if subtrees.len() > MAX_SCOPE {
            return false;
        }
        if permitted.is_empty() {
            continue;
        }
        scope = match scope {
            None => Some(permitted),
            Some(scope) if scope.len() * permitted.len() > MAX_SCOPE => return false,
            Some(scope) => {
                let pairs = scope.iter().flat_map(|a| permitted.iter().map(move |b| a.intersect(b)));
                Some(pairs.flatten().collect())
            }
        };
    }
    scope.is_some_and(|scope| !scope.is_empty() && scope.iter().all(|hosts| hosts.is_exactly(trust_domain.as_str())))
}

/// Subtrees of one certificate, and pairs of them with what those before permit.
const MAX_SCOPE: usize = 1_000;

fn violation(name: &ComparableName<'_>, breach: Breach) -> ConstraintFault {
    let name = match name.form {
        Form::Ip | Form::Directory | Form::Other => format!("{:?}", name.form),
        Form::Uri | Form::Dns | Form::Email => text::shown(name.source),
    };
    ConstraintFault::Name(Fault::NameConstraint { name, breach })
}

impl From<Limit> for ConstraintFault {
    fn from(limit: Limit) -> Self {
        Self::Exhausted(limit)
    }
}

/// The subtrees of a list, read one by one.
struct Subtrees<'a>(Reader<'a>);

impl<'a> Subtrees<'a> {
    fn of(list: &'a [u8]) -> Self {
        Self(Reader::new(list, "nameConstraints"))
    }

    fn read(&mut self) -> Result<Subtree<'a>, Fault> {
        let malformed = |what| Fault::InvalidNameConstraints { what };
        let subtree = self.0.expect(SEQUENCE).map_err(|_| malformed("a subtree is no sequence"))?;
        let mut fields = Reader::new(subtree.contents, "nameConstraints");
        let base = fields.next().map_err(|_| malformed("a subtree has no base"))?;
        let minimum = fields.optional(der::primitive(0)).map_err(|_| malformed("a minimum is no number"))?;
        if minimum.is_some_and(|minimum| minimum.contents != [0]) || !fields.is_empty() {
            return Err(malformed("a subtree has a minimum or maximum"));
        }
        match read_name(base) {
            Some((Form::Other, _)) => Err(Fault::UnsupportedNameConstraint),
            Some((form, base)) => {
                Subtree::new(form, base).ok_or_else(|| malformed("the base of a subtree is no name of its form"))
            }
            None => Err(malformed("the base of a subtree is no name")),
        }
    }
}

impl<'a> Iterator for Subtrees<'a> {
    type Item = Result<Subtree<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| self.read())
    }
}

#[cfg(test)]
mod tests;
