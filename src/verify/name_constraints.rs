//! Name constraints of signing certificates (RFC 5280 §4.2.1.10): which names may stand below one.

use std::borrow::Cow;

use crate::spiffe::trust_domain::TrustDomain;

use super::certificate::Certificate;
use super::der::{self, Reader, SEQUENCE};
use super::names::{Form, email_addresses, owned, read_name};
use super::rejection::{Breach, Fault};
use super::subtree::{Comparison, Hosts, Subtree};

/// A nameConstraints extension, its subtrees as encoded.
#[derive(Debug)]
pub(super) struct NameConstraints<'a> {
    permitted: Cow<'a, [u8]>,
    excluded: Cow<'a, [u8]>,
}

/// Why a certificate may not stand below another.
pub(super) enum ConstraintFault {
    /// A name that is excluded, or not permitted.
    Name(Fault),
    /// The constraints themselves can't be read or processed.
    Constraints(Fault),
    /// Too many names to compare.
    Exhausted,
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

    /// Checks the names of one certificate, and that the constraints can be processed.
    ///
    /// Each comparison of a name with a subtree takes one from `comparisons_left`.
    pub(super) fn check(
        &self,
        certificate: &Certificate<'_>,
        comparisons_left: &mut usize,
    ) -> Result<(), ConstraintFault> {
        let names = names_of(certificate);
        let mut compare = |subtree: &Subtree<'_>, (form, name): &(Form, &[u8])| {
            *comparisons_left = comparisons_left.checked_sub(1).ok_or(ConstraintFault::Exhausted)?;
            Ok(subtree.compare(*form, name))
        };
        for subtree in Subtrees::of(&self.excluded) {
            let subtree = subtree.map_err(ConstraintFault::Constraints)?;
            for name in names.iter().filter(|(form, _)| *form == subtree.form) {
                match compare(&subtree, name)? {
                    Comparison::Outside => {}
                    Comparison::Inside => return Err(violation(name, Breach::Excluded)),
                    Comparison::Unclear => return Err(violation(name, Breach::Unclear)),
                }
            }
        }
        let mut standing = vec![None; names.len()];
        for subtree in Subtrees::of(&self.permitted) {
            let subtree = subtree.map_err(ConstraintFault::Constraints)?;
            let of_form = names.iter().zip(&mut standing).filter(|((form, _), _)| *form == subtree.form);
            for (name, standing) in of_form {
                let is_inside = match compare(&subtree, name)? {
                    Comparison::Unclear => return Err(violation(name, Breach::Unclear)),
                    // Excluded wins, so a wildcard that is inside in part is inside here only if in whole.
                    comparison => comparison == Comparison::Inside && subtree.covers(name.1),
                };
                *standing = Some(is_inside || *standing == Some(true));
            }
        }
        match names.iter().zip(standing).find(|(_, standing)| *standing == Some(false)) {
            Some((name, _)) => Err(violation(name, Breach::NotPermitted)),
            None => Ok(()),
        }
    }
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

/// The names that constraints apply to: alternative ones, the subject, and its e-mail addresses if there
/// is none among the former.
fn names_of<'c>(certificate: &'c Certificate<'_>) -> Vec<(Form, &'c [u8])> {
    let alternative = certificate.extensions.names.iter().map(|name| (name.form, &*name.value));
    let mut names: Vec<_> = alternative.filter(|(form, _)| *form != Form::Other).collect();
    if !names.iter().any(|(form, _)| *form == Form::Email) {
        names.extend(email_addresses(&certificate.subject).into_iter().map(|address| (Form::Email, address)));
    }
    if !certificate.has_empty_subject() {
        names.push((Form::Directory, &certificate.subject));
    }
    names
}

fn violation((form, name): &(Form, &[u8]), breach: Breach) -> ConstraintFault {
    let mut name = match form {
        Form::Ip | Form::Directory | Form::Other => format!("{form:?}"),
        _ => String::from_utf8_lossy(name).escape_debug().to_string(),
    };
    name.truncate(name.floor_char_boundary(MAX_NAME_IN_MESSAGE));
    ConstraintFault::Name(Fault::NameConstraint { name, breach })
}

const MAX_NAME_IN_MESSAGE: usize = 256;

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
