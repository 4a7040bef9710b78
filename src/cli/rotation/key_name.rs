//! Naming a key of ours.

use std::fmt;
use std::str::FromStr;

use crate::spiffe::authority::AuthorityId;
use crate::spiffe::public_key::Fingerprint;

/// The beginning of a fingerprint, a `kid`, or a whole identity as other commands print it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyName {
    text: String,
    /// 12 to 64 hexadecimal digits, if it could be those.
    digits: Option<String>,
}

impl KeyName {
    pub(super) fn of(fingerprint: Fingerprint) -> Self {
        let digits = fingerprint.to_string();
        Self { text: format!("x509:{digits}"), digits: Some(digits) }
    }

    /// Whether this key is meant. A `kid` is never cut: the next key's often begins like the last one's.
    pub(super) fn names(&self, id: &AuthorityId) -> bool {
        let begins = |print: &Fingerprint| {
            self.digits.as_ref().is_some_and(|digits| print.to_string().starts_with(digits.as_str()))
        };
        match id {
            AuthorityId::X509(fingerprint) => begins(fingerprint),
            AuthorityId::Jwt(thumbprint, key_id) | AuthorityId::Wit(thumbprint, key_id) => {
                **key_id == *self.text || id.to_string() == self.text || begins(thumbprint)
            }
        }
    }
}

impl FromStr for KeyName {
    type Err = EmptyName;

    fn from_str(text: &str) -> Result<Self, EmptyName> {
        if text.is_empty() {
            return Err(EmptyName);
        }
        let plain = ["x509:", "sha256:"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
        // openssl puts colons between the bytes.
        let digits = plain.replace(':', "").to_ascii_lowercase();
        let fits = (12..=64).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        Ok(Self { text: text.to_owned(), digits: fits.then_some(digits) })
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// No name at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is named by at least 12 digits of its fingerprint, or by its kid")]
pub(super) struct EmptyName;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_the_beginning_of_its_fingerprint_or_by_its_whole_kid() {
        let print = Fingerprint::of(b"key");
        let digits = print.to_string();
        let colons: Vec<_> = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
        let x509 = AuthorityId::X509(print);
        let [jwt, wit] = [AuthorityId::Jwt(print, "2026-12".into()), AuthorityId::Wit(print, "2026-12".into())];
        for (name, named) in [
            (&*digits, [true; 3]),
            (&digits[..12], [true; 3]),
            (&digits[..11], [false; 3]),
            (&digits.to_uppercase(), [true; 3]),
            (&colons.join(":").to_uppercase(), [true; 3]),
            (&format!("sha256:{digits}"), [true; 3]),
            (&x509.to_string(), [true; 3]),
            (&jwt.to_string(), [false, true, false]),
            (&wit.to_string(), [false, false, true]),
            ("2026-12", [false, true, true]),
            ("2026-1", [false; 3]),
            (&"0".repeat(64), [false; 3]),
        ] {
            let key: KeyName = name.parse().unwrap();
            assert_eq!([&x509, &jwt, &wit].map(|id| key.names(id)), named, "{name}");
        }
        assert_eq!("".parse::<KeyName>(), Err(EmptyName));
        assert!(KeyName::of(print).names(&x509));
        let hexadecimal = AuthorityId::Jwt(Fingerprint::of(b"other"), "0123456789abcdef".into());
        assert!("0123456789abcdef".parse::<KeyName>().unwrap().names(&hexadecimal), "a kid may look like digits");
    }
}
