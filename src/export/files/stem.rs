//! File names of trust domains, whose own names may be anything legal.

use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

/// What the files of a domain begin with: its name, unless that is too long, hidden or looks like an option. Those have
/// their SHA-256, behind a sign that no trust domain has, so that none can be taken for another.
pub(super) fn stem(trust_domain: &TrustDomain) -> String {
    let name = trust_domain.as_str();
    match name.starts_with(['.', '-']) || name.len() > LONGEST {
        true => format!("sha256={}", Fingerprint::of(name.as_bytes())),
        false => name.to_owned(),
    }
}

/// A file name has at most 255 bytes, its ending and that of an editor's or a copying tool's temporary file included.
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_never_each_others() {
        let stem = |name: &str| stem(&name.parse().unwrap());
        for plain in ["bank-b.example", "a", "_x", "sha256-0", &"a".repeat(200)] {
            assert_eq!(stem(plain), plain);
        }
        for odd in ["..", ".hidden", "-rf", "--", &"a".repeat(201), &"a".repeat(255)] {
            let stem = stem(odd);
            assert!(stem.starts_with("sha256=") && stem.len() == 71, "{odd}: {stem}");
            assert!(stem.parse::<TrustDomain>().is_err(), "no trust domain's name");
        }
        assert_ne!(stem(".."), stem("."));
    }
}
