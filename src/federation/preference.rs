//! The preference `wait` of HTTP (RFC 7240 §4.3), in requests and in answers that honour it.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

use std::time::Duration;

/// What is asked for: up to how long the answer may be waited for. `None` if nothing is, or not in whole seconds.
///
/// Several fields count as one list, and the first `wait` in it alone (§2); what can't be read is passed over.
pub(crate) fn wanted<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Option<Duration> {
    let value = wait(fields)??;
    let seconds: u64 = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok())??;
    Some(Duration::from_secs(seconds))
}

/// Whether an answer says that its server waited (§3), however long it says.
pub(crate) fn is_applied<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> bool {
    wait(fields).is_some()
}

/// As it stands in a `Prefer` or `Preference-Applied` field.
pub(crate) fn field(wait: Duration) -> String {
    format!("wait={}", wait.as_secs())
}

/// The value of the first `wait`, if it has one.
fn wait<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Option<Option<String>> {
    let text = fields.into_iter().take(MAX_FIELDS).filter_map(|field| std::str::from_utf8(field).ok());
    let mut preferences = text.flat_map(|field| split(field, ','));
    preferences.find_map(|preference| {
        // Parameters of a preference say nothing of it that we know.
        let preference = split(preference, ';').next()?;
        let (name, value) = match preference.split_once('=') {
            Some((name, value)) => (name, Some(unquoted(value.trim()))),
            None => (preference, None),
        };
        name.trim().eq_ignore_ascii_case("wait").then_some(value)
    })
}

/// Parts between separators that are in no quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |char| {
        let is_separator = char == separator && !quoted;
        quoted ^= char == '"' && !escaped;
        escaped = quoted && char == '\\' && !escaped;
        is_separator
    })
}

/// Without the quotes and escapes of a quoted string (RFC 9110 §5.6.4).
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut escaped = false;
    let kept = |char: &char| {
        escaped = *char == '\\' && !escaped;
        !escaped
    };
    inner.chars().filter(kept).collect()
}

/// Nobody needs more.
const MAX_FIELDS: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_7240_the_first_wait_of_all_fields_counts() {
        for (fields, expected) in [
            (&["wait=10"][..], Some(10)),
            (&["Wait=10"], Some(10)),
            (&["wait = 10"], Some(10)),
            (&["wait=\"10\""], Some(10)),
            (&["wait=\"1\\0\""], Some(10)),
            (&["wait=0"], Some(0)),
            (&["wait=010"], Some(10)),
            (&["respond-async, wait=10"], Some(10)),
            (&["respond-async;wait=5, wait=10"], Some(10)),
            (&["wait=10;wait=5, wait=7"], Some(10)),
            (&["return=minimal; foo=\"a, wait=5\"", "wait=10", "wait=20"], Some(10)),
            (&["\"wait=5\", wait=10"], Some(10)),
            (&["x=\"\\\", wait=5\", wait=10"], Some(10)),
            (&[",, ,wait=10"], Some(10)),
            (&["wait=ten, wait=10"], None),
            (&["wait"], None),
            (&["wait="], None),
            (&["wait=-1"], None),
            (&["wait=+1"], None),
            (&["wait=1.5"], None),
            (&["wait=99999999999999999999"], None),
            (&["await=10"], None),
            (&["\u{e9}", ""], None),
            (&[], None),
        ] {
            let read = wanted(fields.iter().map(|field| field.as_bytes()));
            assert_eq!(read, expected.map(Duration::from_secs), "{fields:?}");
        }
        assert_eq!(wanted([&b"\xff, wait=10"[..]]), None);
    }

    #[test]
    fn rfc_7240_an_answer_says_that_it_was_waited_for() {
        for (field, expected) in
            [("wait", true), ("wait=10", true), ("WAIT", true), ("return=minimal, wait", true), ("waited", false)]
        {
            assert_eq!(is_applied([field.as_bytes()]), expected, "{field}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_beside_it_is_passed_over(
            before in prop::collection::vec("[a-z]{1,9}(=([a-z0-9]{0,5}|\"[a-z,;=]{0,9}\"))?", 0..4),
            seconds: u32,
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = wanted([bytes.as_slice(), bytes.as_slice()]);
            prop_assume!(!before.iter().any(|preference| preference.starts_with("wait")));
            let wait = Duration::from_secs(seconds.into());
            let all = before.into_iter().chain([field(wait)]).collect::<Vec<_>>().join(", ");
            prop_assert_eq!(wanted([all.as_bytes()]), Some(wait));
        }
    }
}
