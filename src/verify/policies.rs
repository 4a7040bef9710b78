//! Certificate policies, as far as they can fail a path though the verifier asks for none (RFC 5280 §6.1).
//!
//! They can once a certificate of the path requires an explicit policy: that is not processed. Where none does, the
//! other extensions about policies change nothing, and need only be well formed.

use super::der::{self, OID, Reader, SEQUENCE};
use super::rejection::Fault;

/// Whether nothing in certificatePolicies but the two qualifiers that RFC 5280 §4.2.1.4 defines.
pub(super) fn can_read(value: &[u8]) -> Result<bool, Fault> {
    let mut policies = list(value, "certificatePolicies")?;
    let mut can_read = true;
    while !policies.is_empty() {
        let mut policy = Reader::new(policies.expect(SEQUENCE)?.contents, "certificatePolicies");
        policy.expect(OID)?;
        if policy.is_empty() {
            continue;
        }
        let mut qualifiers = list(policy.next()?.whole, "certificatePolicies")?;
        while !qualifiers.is_empty() {
            let mut parts = Reader::new(qualifiers.expect(SEQUENCE)?.contents, "certificatePolicies");
            can_read &= QUALIFIERS.contains(&parts.expect(OID)?.contents);
            parts.next()?;
            parts.end()?;
        }
        policy.end()?;
    }
    Ok(can_read)
}

/// Whether policyConstraints require an explicit policy, now or later. Critical or not, that can fail a path.
pub(super) fn require_policy(value: &[u8]) -> Result<bool, Fault> {
    let mut fields = list(value, "policyConstraints")?;
    let explicit = fields.optional(der::primitive(0))?;
    let mapping = fields.optional(der::primitive(1))?;
    for number in explicit.iter().chain(&mapping) {
        fields.unsigned(number.contents)?;
    }
    fields.end()?;
    Ok(explicit.is_some())
}

/// policyMappings map one policy to another, and never any policy (RFC 5280 §6.1.4 (a)).
pub(super) fn check_mappings(value: &[u8]) -> Result<(), Fault> {
    let mut mappings = list(value, "policyMappings")?;
    while !mappings.is_empty() {
        let mut pair = Reader::new(mappings.expect(SEQUENCE)?.contents, "policyMappings");
        let (from, to) = (pair.expect(OID)?.contents, pair.expect(OID)?.contents);
        pair.end()?;
        if from == ANY_POLICY || to == ANY_POLICY {
            return Err(pair.fault());
        }
    }
    Ok(())
}

/// inhibitAnyPolicy is a number.
pub(super) fn check_inhibition(value: &[u8]) -> Result<(), Fault> {
    let mut number = Reader::new(value, "inhibitAnyPolicy");
    number.integer()?;
    number.end()
}

/// The elements of a list, one at least.
fn list<'a>(value: &'a [u8], what: &'static str) -> Result<Reader<'a>, Fault> {
    let list = Reader::only(value, SEQUENCE, what)?;
    if list.is_empty() { Err(list.fault()) } else { Ok(list) }
}

/// A pointer to a statement, and a notice: 1.3.6.1.5.5.7.2.1 and .2
const QUALIFIERS: [&[u8]; 2] = [&[0x2b, 6, 1, 5, 5, 7, 2, 1], &[0x2b, 6, 1, 5, 5, 7, 2, 2]];
/// 2.5.29.32.0
const ANY_POLICY: &[u8] = &[0x55, 0x1d, 32, 0];
