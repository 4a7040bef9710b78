//! What reaches the terminal: pages of escaped lines, aligned tables, JSON.

use std::fmt::{self, Write as _};
use std::io;

use serde::Serialize;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    #[value(alias = "pretty")]
    Text,
    /// For scripts; times are RFC 3339, durations seconds
    Json,
}

/// Text with every character escaped that a terminal might act on or hide: controls, bidirectional
/// overrides, invisible spaces. Line breaks too, so it stays one line. Escaping twice changes nothing.
pub(super) fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        match character {
            '\\' | '\'' | '"' => out.push(character),
            _ => out.extend(character.escape_debug()),
        }
        out
    })
}

/// Lines for the terminal. They can only be added escaped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn line(&mut self, text: impl AsRef<str>) {
        self.0.push_str(printable(text.as_ref()).trim_end());
        self.0.push('\n');
    }

    /// A table below its heading, columns two spaces apart.
    pub(super) fn table(&mut self, table: &Table) {
        let widths = table.widths();
        for row in std::iter::once(&table.heading).chain(&table.rows) {
            self.line(aligned(row, &widths));
            row.notes.iter().for_each(|note| self.line(format!("  {note}")));
        }
    }

    /// A value as indented JSON, followed by a line break.
    pub(super) fn json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self(printable_json(&serde_json::to_string_pretty(value)?) + "\n"))
    }

    /// A value as JSON on one line.
    pub(super) fn json_line(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self(printable_json(&serde_json::to_string(value)?) + "\n"))
    }

    pub(super) fn append(&mut self, other: Self) {
        self.0.push_str(&other.0);
    }

    #[cfg(test)]
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn write(&self, mut to: impl io::Write) -> io::Result<()> {
        to.write_all(self.0.as_bytes())?;
        to.flush()
    }

    pub(super) fn print(&self) -> io::Result<()> {
        self.write(io::stdout().lock())
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Rows of cells under a heading, each row with notes of its own.
#[derive(Debug, Default)]
pub(super) struct Table {
    heading: Row,
    rows: Vec<Row>,
}

/// One row: cells that are aligned, and notes indented below it.
#[derive(Debug, Default)]
pub(super) struct Row {
    cells: Vec<String>,
    notes: Vec<String>,
}

impl Row {
    pub(super) fn new(cells: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { cells: cells.into_iter().map(|cell| printable(&cell.into())).collect(), notes: Vec::new() }
    }

    pub(super) fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }
}

impl Table {
    pub(super) fn new(heading: impl IntoIterator<Item = &'static str>) -> Self {
        Self { heading: Row::new(heading), rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Columns that the longest row takes, notes left aside.
    pub(super) fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![0; self.heading.cells.len()];
        for row in std::iter::once(&self.heading).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

/// Pairs of a label and a value, the values aligned.
#[derive(Debug, Default)]
pub(super) struct Facts(Vec<(&'static str, String)>);

impl Facts {
    pub(super) fn add(&mut self, label: &'static str, value: impl fmt::Display) {
        self.0.push((label, value.to_string()));
    }

    pub(super) fn onto(&self, page: &mut Page) {
        let width = self.0.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        self.0.iter().for_each(|(label, value)| page.line(format!("{label:width$}  {value}")));
    }
}

const GAP: usize = 2;

fn aligned(row: &Row, widths: &[usize]) -> String {
    let cells: Vec<_> = row.cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    cells.join(&" ".repeat(GAP))
}

/// JSON text whose strings spell what a terminal might act on as `\uXXXX`: the same JSON value.
fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\n' || printable(character.encode_utf8(&mut [0; 4])).chars().eq([character]) {
            out.push(character);
        } else {
            let units = character.encode_utf16(&mut [0; 2]).iter().fold(String::new(), |mut text, unit| {
                write!(text, "\\u{unit:04x}").expect("a String takes everything");
                text
            });
            out.push_str(&units);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_from_the_wire_can_act_on_the_terminal() {
        for (text, expected) in [
            ("plain text, \"quoted\" and \\ and é", "plain text, \"quoted\" and \\ and é"),
            ("\x1b[2J", "\\u{1b}[2J"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\nb\r\tc\0", "a\\nb\\r\\tc\\0"),
            ("\u{202e}evil", "\\u{202e}evil"),
            ("a\u{200b}b\u{2028}", "a\\u{200b}b\\u{2028}"),
            ("\x7f", "\\u{7f}"),
        ] {
            assert_eq!(printable(text), expected, "{text:?}");
        }
    }

    #[test]
    fn json_for_a_terminal_is_the_same_json() {
        let value = serde_json::json!({ "a\u{9b}": "\x1b \u{202e} \u{e0001} é \" \\ \n", "b": [1, null] });
        let page = Page::json(&value).unwrap();
        assert!(page.as_str().chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{page}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(page.as_str()).unwrap(), value);
        assert_eq!(Page::json_line(&value).unwrap().as_str().lines().count(), 1);
    }

    #[test]
    fn a_table_stays_aligned_around_what_it_escapes() {
        let mut table = Table::new(["NAME", "STATE"]);
        table.push(Row::new(["a\nb", "x"]).with_notes(vec!["note\x07".to_owned()]));
        table.push(Row::new(["long-name", ""]));
        let mut page = Page::default();
        page.table(&table);
        assert_eq!(page.as_str(), "NAME       STATE\na\\nb       x\n  note\\u{7}\nlong-name\n");
        assert_eq!(table.width(), 16);
    }

    proptest! {
        #[test]
        fn a_printable_text_is_one_line_and_stays_as_it_is(text in any::<String>()) {
            let once = printable(&text);
            prop_assert!(!once.contains(char::is_control));
            prop_assert_eq!(printable(&once), once);
        }
    }
}
