//! The X.509 authorities of a bundle document as PEM.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::error::CliError;
use super::output::Page;

/// The certificates of one document, and how many of its keys PEM has no place for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pem {
    pub(super) page: Page,
    pub(super) left_out: usize,
}

impl Pem {
    pub(super) fn of(document: &Value) -> Result<Self, CliError> {
        let keys = document.get("keys").and_then(Value::as_array).ok_or(CliError::NotABundle)?;
        let mut pem = Self::default();
        for key in keys {
            match certificate(key) {
                Some(der) => pem.push(&der),
                None => pem.left_out += 1,
            }
        }
        Ok(pem)
    }

    fn push(&mut self, der: &[u8]) {
        self.page.line("-----BEGIN CERTIFICATE-----");
        let mut rest = STANDARD.encode(der);
        while !rest.is_empty() {
            let next = rest.split_off(rest.len().min(LINE));
            self.page.line(rest);
            rest = next;
        }
        self.page.line("-----END CERTIFICATE-----");
    }
}

/// Characters of a line (RFC 7468 §2).
const LINE: usize = 64;

fn certificate(key: &Value) -> Option<Vec<u8>> {
    if key.get("use")?.as_str()? != "x509-svid" {
        return None;
    }
    STANDARD.decode(key.get("x5c")?.get(0)?.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn certificates_become_pem_and_the_rest_is_counted() {
        let der: Vec<u8> = (0..60).collect();
        let document = json!({ "keys": [
            { "use": "x509-svid", "x5c": [STANDARD.encode(&der)] },
            { "use": "jwt-svid", "kid": "k" },
            { "use": "x509-svid", "x5c": ["not base64\n-----BEGIN"] },
        ]});
        let pem = Pem::of(&document).unwrap();
        let lines: Vec<_> = pem.page.as_str().lines().collect();
        assert_eq!(lines.iter().map(|line| line.len()).collect::<Vec<_>>(), [27, 64, 16, 25]);
        assert_eq!(STANDARD.decode(lines[1..3].concat()).unwrap(), der);
        assert_eq!(pem.left_out, 2);
    }

    #[test]
    fn a_document_without_keys_is_told() {
        assert_eq!(Pem::of(&json!({})).unwrap_err().code(), "no-keys");
        assert_eq!(Pem::of(&json!({ "keys": [] })).unwrap(), Pem::default());
    }
}
