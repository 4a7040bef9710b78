//! The header `x-forwarded-client-cert` (XFCC), in which a proxy tells whose certificate it met.
//!
//! Syntax alone: what it says is as true as the proxy is honest. Stands on its own, so that fuzzing can build it.

/// The only element of the only header line, without the keys that prove nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// As it was written.
    pub(super) hash: Option<String>,
    /// What should be the leaf in PEM; of this and `chain` at least one is there.
    pub(super) cert: Option<Vec<u8>>,
    /// What should be the leaf and its intermediates in PEM.
    pub(super) chain: Option<Vec<u8>>,
}

impl Element {
    /// Reads all lines of the header, as they came.
    pub(super) fn read<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, XfccError> {
        let mut lines = lines.into_iter();
        let line = lines.next().ok_or(XfccError::Missing)?;
        if lines.next().is_some() {
            return Err(XfccError::Ambiguous("it is there in several lines"));
        }
        if line.len() > MAX_BYTES {
            return Err(XfccError::Malformed("it is longer than 128 KiB"));
        }
        let text = std::str::from_utf8(line).ok().filter(|text| text.bytes().all(is_printable));
        Pairs::read(text.ok_or(XfccError::Malformed("it has bytes that are not printable ASCII"))?)?.into_element()
    }
}

/// Why the header names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum XfccError {
    #[error("no client certificate in x-forwarded-client-cert")]
    Missing,
    #[error("x-forwarded-client-cert is ambiguous: {0}")]
    Ambiguous(&'static str),
    #[error("x-forwarded-client-cert is malformed: {0}")]
    Malformed(&'static str),
    #[error("x-forwarded-client-cert has no Hash")]
    HashMissing,
    #[error("Hash in x-forwarded-client-cert is not the SHA-256 of the client certificate")]
    HashMismatch,
}

impl XfccError {
    /// Stable identifier; see docs/problems.md.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Missing => "xfcc-missing",
            Self::Ambiguous(_) => "xfcc-ambiguous",
            Self::Malformed(_) => "xfcc-malformed",
            Self::HashMissing => "xfcc-hash-missing",
            Self::HashMismatch => "xfcc-hash-mismatch",
        }
    }
}

/// Values of the keys that count, as they were written.
#[derive(Default)]
struct Pairs<'a> {
    hash: Option<&'a str>,
    cert: Option<&'a str>,
    chain: Option<&'a str>,
    subject: Option<&'a str>,
}

impl<'a> Pairs<'a> {
    fn read(text: &'a str) -> Result<Self, XfccError> {
        let mut pairs = Self::default();
        let mut rest = Some(text).filter(|text| !text.is_empty());
        while let Some(text) = rest {
            let (key, after) = text.split_once('=').ok_or(XfccError::Malformed("a part of it is no key and value"))?;
            let (value, after) = value(after)?;
            pairs.put(key, value)?;
            rest = next_pair(after)?;
        }
        Ok(pairs)
    }

    /// Keys are compared without case. A certificate may have several names, and so may the proxy's.
    fn put(&mut self, key: &str, value: &'a str) -> Result<(), XfccError> {
        let place = match key.to_ascii_lowercase().as_str() {
            "by" | "uri" | "dns" => return Ok(()),
            "hash" => &mut self.hash,
            "cert" => &mut self.cert,
            "chain" => &mut self.chain,
            "subject" => &mut self.subject,
            _ if key.contains(',') => return Err(SEVERAL_ELEMENTS),
            _ => return Err(XfccError::Malformed("it has an unknown key")),
        };
        match place.replace(value) {
            Some(_) => Err(XfccError::Ambiguous("a key is there twice")),
            None => Ok(()),
        }
    }

    fn into_element(self) -> Result<Element, XfccError> {
        let given = |value: Option<&'a str>| value.filter(|value| !value.is_empty());
        let cert = given(self.cert).map(url_decoded).transpose()?;
        let chain = given(self.chain).map(url_decoded).transpose()?;
        match (&cert, &chain) {
            (None, None) => Err(XfccError::Missing),
            _ => Ok(Element { hash: self.hash.map(str::to_owned), cert, chain }),
        }
    }
}

/// A value, without its quotes if it has some, and what follows it.
fn value(text: &str) -> Result<(&str, &str), XfccError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return match value.contains(['=', '"', '\\']) {
            true => Err(XfccError::Malformed("a value should be in quotes")),
            false => Ok((value, after)),
        };
    };
    let mut escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok((&quoted[..at], &quoted[at + 1..])),
            _ => {}
        }
    }
    Err(XfccError::Malformed("a quote is not closed"))
}

/// The next pair of the same element; `None` at the end.
fn next_pair(after: &str) -> Result<Option<&str>, XfccError> {
    match after.split_at_checked(1) {
        None => Ok(None),
        Some((";", "")) => Err(XfccError::Malformed("it ends with a semicolon")),
        Some((";", pair)) => Ok(Some(pair)),
        Some((",", _)) => Err(SEVERAL_ELEMENTS),
        Some(_) => Err(XfccError::Malformed("something follows a closing quote")),
    }
}

/// Whatever an encoder must encode is refused in the clear, so that there is one reading.
fn url_decoded(text: &str) -> Result<Vec<u8>, XfccError> {
    let fault = XfccError::Malformed("a certificate in it is not URL-encoded");
    let (mut decoded, mut bytes) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(fault),
            },
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => byte,
            _ => return Err(fault),
        });
    }
    Ok(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

const SEVERAL_ELEMENTS: XfccError = XfccError::Ambiguous("it has several elements, of several proxies");

/// More than HTTP servers take as a whole head.
const MAX_BYTES: usize = 128 << 10;

#[cfg(test)]
mod tests;
