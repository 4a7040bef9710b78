//! Fields as fuzzing makes them up: what is wanted is what we would write, whatever stands behind it.

use super::{field, is_applied, wanted};

/// `Prefer` or `Preference-Applied`, a field in each line.
pub fn preference(bytes: &[u8]) {
    let fields: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    let all = || fields.iter().copied();
    let wait = wanted(all());
    if let Some(wait) = wait {
        assert!(is_applied(all()), "what can be wanted can be applied");
        assert_eq!(wanted([field(wait).as_bytes()]), Some(wait), "as we write it");
    }
    // The first one counts.
    let later = fields.iter().copied().chain([&b"wait=1"[..]]);
    assert!(wait.is_none() || wanted(later.clone()) == wait);
    assert!(is_applied(later) || fields.len() >= super::MAX_FIELDS);
    assert!(wanted([&b"wait=77"[..]].into_iter().chain(all())) == wanted([&b"wait=77"[..]]), "nothing comes before it");
}
