//! What `docs/problems.md` says of a code, on the terminal.

use super::output::Page;

/// The paragraph of a code.
pub(super) fn advice(code: &str) -> Option<&'static str> {
    let (_, text) = PROBLEMS.split_once(&format!("\n### {code}\n"))?;
    Some(text.split("\n#").next()?.trim())
}

const PROBLEMS: &str = include_str!("../../docs/problems.md");

/// Text in lines of bounded length.
pub(super) fn wrapped(text: &str, page: &mut Page) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if line.len() + word.len() >= WIDTH {
            page.line(std::mem::take(&mut line));
        }
        line.extend((!line.is_empty()).then_some(' '));
        line.push_str(word);
    }
    page.line(line);
}

/// Columns of advice.
const WIDTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_the_paragraph_of_the_code_alone() {
        for code in ["expired", "malformed-input", "weak-key", "foreign-authority", "config-rejected"] {
            let advice = advice(code).unwrap();
            assert!(advice.len() > 40 && !advice.contains("\n#") && !advice.starts_with('#'), "{code}: {advice}");
        }
        assert_eq!(advice("no-such-code"), None);
        let mut page = Page::default();
        wrapped(&"word ".repeat(60), &mut page);
        assert!(page.as_str().lines().all(|line| line.len() <= WIDTH), "{page}");
        assert_eq!(page.as_str().split_whitespace().count(), 60);
    }
}
