//! What others wrote, in our messages: escaped, and cut.

/// Bytes of foreign text in one message.
const MAX_BYTES: usize = 256;

/// Escapes text, what is no UTF-8 replaced, and cuts it to 256 bytes.
pub(crate) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(MAX_BYTES)]);
    let mut shown = text.escape_debug().to_string();
    shown.truncate(shown.floor_char_boundary(MAX_BYTES));
    shown
}

/// Whether a message can stand in a log: one line of at most 8 KiB, which steers no terminal.
#[cfg(all(feature = "server", any(test, fuzzing)))]
pub(crate) fn is_fit_to_tell(message: &str) -> bool {
    message.len() <= 8 << 10 && !message.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped_and_cut() {
        for (name, text, expected) in [
            ("plain", &b"CN=a"[..], "CN=a".to_owned()),
            ("controls", b"a\n\x1b", r"a\n\u{1b}".to_owned()),
            ("no text", b"a\xff", "a\u{fffd}".to_owned()),
            ("long", &[b'x'; 60_000], "x".repeat(256)),
            ("longer once it is escaped", &[b'\n'; 60_000], r"\n".repeat(128)),
            ("cut inside of a character", "é".repeat(200).as_bytes(), "é".repeat(128)),
        ] {
            assert_eq!(shown(text), expected, "{name}");
        }
    }
}
