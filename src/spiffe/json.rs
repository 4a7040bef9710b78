//! JSON as the standards mean it: one value, no member twice, bounded depth, exact integers.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A JSON value, as much of it as bundles need.
///
/// It has no `Debug`, because it may hold a private key that a peer published by mistake.
pub(crate) enum Json {
    /// An integer from 0 to 2^64 - 1, exactly (SEQ-03).
    Unsigned(u64),
    String(String),
    Array(Box<[Self]>),
    Object(Object),
    /// Anything else: what it is, for people.
    Other(&'static str),
}

/// The members of an object, each name once.
pub(crate) struct Object(Box<[(String, Json)]>);

impl Json {
    /// Deepest nesting; a value that contains none is 1 deep.
    pub(crate) const MAX_DEPTH: usize = 16;

    /// Reads exactly one value: bytes before it, a byte order mark included, or after it are refused.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let fault = Cell::new(None);
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let value = Level { depth: 0, fault: &fault }.deserialize(&mut deserializer);
        let whole = value.and_then(|value| deserializer.end().map(|()| value));
        whole.map_err(|error| fault.take().unwrap_or_else(|| JsonError::Malformed { detail: error.to_string() }))
    }

    pub(crate) fn as_unsigned(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    pub(crate) fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// What it is, for people: a string quoted, escaped and cut, of others only the kind.
    pub(crate) fn excerpt(&self) -> String {
        match self {
            Self::String(text) => quote(text),
            Self::Unsigned(number) => number.to_string(),
            Self::Array(_) => "an array".into(),
            Self::Object(_) => "an object".into(),
            Self::Other(kind) => (*kind).into(),
        }
    }
}

impl Object {
    /// The member with exactly this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        let at = self.0.binary_search_by(|(member, _)| member.as_str().cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// All members, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// Why bytes are not one JSON value as we accept it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// No JSON, cut off, preceded by a byte order mark or followed by other bytes (BND-01, BND-23).
    #[error("not one JSON value: {detail}")]
    Malformed {
        /// What is wrong, and where.
        detail: String,
    },
    /// An object, at any depth, with two members of one name (BND-22, BND-28).
    #[error("an object has member {name} twice")]
    DuplicateMember {
        /// Which, quoted and escaped; long names are cut.
        name: String,
    },
    /// Nested deeper than 16 levels.
    #[error("nested deeper than {} levels", Json::MAX_DEPTH)]
    TooDeep,
}

impl JsonError {
    /// Stable identifier; see docs/problems.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed-json",
            Self::DuplicateMember { .. } => "duplicate-member",
            Self::TooDeep => "document-too-deep",
        }
    }
}

/// Quotes and escapes peer-supplied text, of which at most 64 characters are shown.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Reads a value inside `depth` others. What only we refuse goes into `fault`, as serde's error has no room for it.
#[derive(Clone, Copy)]
struct Level<'f> {
    depth: usize,
    fault: &'f Cell<Option<JsonError>>,
}

impl Level<'_> {
    fn fail<E: Error>(self, fault: JsonError) -> E {
        let error = E::custom(&fault);
        self.fault.set(Some(fault));
        error
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        if self.depth == Json::MAX_DEPTH {
            return Err(self.fail(JsonError::TooDeep));
        }
        deserializer.deserialize_any(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other("null"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other("a boolean"))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Unsigned(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(u64::try_from(number).map_or(OTHER_NUMBER, Json::Unsigned))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(OTHER_NUMBER)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Json::Array(values.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut members = Vec::<(String, Json)>::new();
        while let Some(name) = entries.next_key()? {
            members.push((name, entries.next_value_seed(self)?));
        }
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        match members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(self.fail(JsonError::DuplicateMember { name: quote(&pair[0].0) })),
            None => Ok(Json::Object(Object(members.into()))),
        }
    }
}

const OTHER_NUMBER: Json = Json::Other("a number that is no unsigned 64-bit integer");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(bytes: &[u8]) -> Result<(), &'static str> {
        Json::parse(bytes).map(drop).map_err(|error| error.code())
    }

    #[test]
    fn bnd_01_22_23_only_one_value_with_unique_names_is_read() {
        for (bytes, expected) in [
            (r#"{"a":1,"b":{"a":1}}"#, Ok(())),
            (r#" [ ] "#, Ok(())),
            (r#"{"a":1,"A":1}"#, Ok(())),
            (r#"{"a":1,"a":1}"#, Err("duplicate-member")),
            (r#"{"a":1,"b":2,"\u0061":1}"#, Err("duplicate-member")),
            (r#"{"x":[{"y":{"a":1,"a":1}}]}"#, Err("duplicate-member")),
            ("", Err("malformed-json")),
            ("\u{feff}{}", Err("malformed-json")),
            ("{}{}", Err("malformed-json")),
            ("{} x", Err("malformed-json")),
            (r#"{"a":[1,2"#, Err("malformed-json")),
            (r#"{"a":1,}"#, Err("malformed-json")),
            ("<html>", Err("malformed-json")),
            (r#"{"a":"\ud800"}"#, Err("malformed-json")),
        ] {
            assert_eq!(code(bytes.as_bytes()), expected, "{bytes}");
        }
        assert_eq!(code(b"{\"a\":\"\xff\"}"), Err("malformed-json"));
    }

    #[test]
    fn sixteen_levels_are_read_and_no_more() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert_eq!(code(&nested(16)), Ok(()));
        assert_eq!(code(&nested(17)), Err("document-too-deep"));
        assert_eq!(code(&vec![b'['; 1 << 20]), Err("document-too-deep"));
    }

    #[test]
    fn seq_03_integers_are_exact_and_other_numbers_are_told_apart() {
        for (text, expected) in [
            ("0", Some(0)),
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("-0", None),
            ("1.0", None),
            ("1e3", None),
            ("1e30", None),
            ("\"1\"", None),
            ("true", None),
            ("null", None),
        ] {
            assert_eq!(Json::parse(text.as_bytes()).ok().unwrap().as_unsigned(), expected, "{text}");
        }
    }

    #[test]
    fn excerpts_are_escaped_and_cut() {
        assert_eq!(quote("a\u{1b}[2J"), r#""a\u{1b}[2J""#);
        assert_eq!(quote(&"é".repeat(65)), format!("\"{}\"…", "é".repeat(64)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            drop(Json::parse(&bytes));
        }
    }
}
