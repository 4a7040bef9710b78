//! Reading values one by one, so that every mistake is found and each knows its layer.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Value, ValueKind};

use super::layers::{DEFAULT_ORIGIN, ENVIRONMENT_ORIGIN, FLAG_ORIGIN};
use super::problem::ConfigProblem;

/// A table of the merged configuration. Reading a value that is wrong notes a problem and yields
/// `None`, so that the reader goes on to the next.
pub(super) struct Section<'a> {
    path: Vec<String>,
    table: Option<&'a Value>,
    fallback: Option<&'a Value>,
    context: &'a Context,
}

/// What all sections of one reading share.
pub(super) struct Context {
    /// The folder of the configuration file, to which the paths in it are relative.
    folder: PathBuf,
    problems: RefCell<Vec<ConfigProblem>>,
}

impl Context {
    pub(super) fn new(file: Option<&Path>, problems: Vec<ConfigProblem>) -> Self {
        let folder = file.and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        Self { folder, problems: RefCell::new(problems) }
    }

    pub(super) fn into_problems(self) -> Vec<ConfigProblem> {
        self.problems.into_inner()
    }
}

impl<'a> Section<'a> {
    pub(super) fn root(root: &'a Value, context: &'a Context) -> Self {
        Self { path: Vec::new(), table: Some(root), fallback: None, context }
    }

    /// A table below this one, which may be absent.
    pub(super) fn section(&self, name: &str) -> Self {
        let table = self.value(name);
        let section = Section { path: self.below(name), table, fallback: None, context: self.context };
        if table.is_some_and(|table| !matches!(table.kind, ValueKind::Table(_))) {
            self.refuse(name, "is not a section with keys of its own");
        }
        section
    }

    /// The tables of a list, each of which begins with `[[name]]` in TOML.
    pub(super) fn sections(&self, name: &str) -> Vec<Self> {
        let tables = match self.value(name).map(|value| &value.kind) {
            None => &[][..],
            Some(ValueKind::Array(tables)) => tables,
            Some(_) => {
                self.refuse(name, format!("is not a list of sections, each under [[{}]]", key_of(&self.path, name)));
                &[]
            }
        };
        let section = |(index, table): (usize, &'a Value)| {
            let path = self.below(&list_item(name, index));
            if !matches!(table.kind, ValueKind::Table(_)) {
                self.refuse(name, format!("{} is not a section with keys of its own", shown(table)));
            }
            Section { path, table: Some(table), fallback: None, context: self.context }
        };
        tables.iter().enumerate().map(section).collect()
    }

    /// The same with values to take where it has none of its own.
    pub(super) fn or(mut self, defaults: &Self) -> Self {
        self.fallback = defaults.table;
        self
    }

    /// Names in this table, sorted.
    pub(super) fn names(&self) -> Vec<&'a str> {
        let mut names = match self.table.map(|table| &table.kind) {
            Some(ValueKind::Table(table)) => table.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        names.sort_unstable();
        names
    }

    /// Whether a key has a value, given or by default.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Whether somebody wrote this key, in exactly this section.
    pub(super) fn is_written(&self, name: &str) -> bool {
        let own = self.table.and_then(|table| member(table, name));
        own.is_some_and(is_written)
    }

    /// Whether somebody wrote anything here.
    pub(super) fn is_configured(&self) -> bool {
        self.names().into_iter().any(|name| self.is_written(name))
    }

    /// Notes a mistake about a key, with the layer its value came from.
    pub(super) fn refuse(&self, name: &str, message: impl Into<String>) {
        let key = key_of(&self.path, name);
        let value = self.value(name).filter(|value| !matches!(value.kind, ValueKind::Table(_)));
        let source = value.and_then(|value| origin_of(value, &self.below(name)));
        self.context.problems.borrow_mut().push(ConfigProblem { key, message: message.into(), source });
    }

    /// A text, if there is one.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        let value = self.value(name)?;
        match &value.kind {
            ValueKind::String(text) => Some(text),
            _ => {
                self.refuse(name, format!("{} is not a text in quotes", shown(value)));
                None
            }
        }
    }

    /// A text that must be there; `right` says what would be right.
    pub(super) fn required(&self, name: &str, right: &str) -> Option<&'a str> {
        if !self.has(name) {
            self.refuse(name, format!("required: {right}"));
        }
        self.text(name)
    }

    /// A text read by `parse`; the error is said with the value.
    pub(super) fn parsed<T, E: ToString>(&self, name: &str, parse: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        let text = self.text(name)?;
        parse(text).map_err(|error| self.refuse(name, format!("{text:?}: {}", error.to_string()))).ok()
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.refuse(name, format!("{text:?} is not {}", alternatives(&words)));
        }
        found
    }

    /// A duration such as `5m`, within bounds.
    pub(super) fn duration(&self, name: &str, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let value = self.value(name)?;
        if matches!(value.kind, ValueKind::I64(_) | ValueKind::Float(_)) {
            self.refuse(name, format!("{value} has no unit; write \"{value}s\" for seconds"));
            return None;
        }
        let text = self.text(name)?;
        let Ok(duration) = humantime::parse_duration(text) else {
            self.refuse(name, format!("{text:?} is not a duration such as \"90s\", \"5m\" or \"1h 30m\""));
            return None;
        };
        self.within(name, &format!("{text:?}"), duration, bounds, |bound| humantime::format_duration(bound).to_string())
    }

    /// A whole number, within bounds.
    pub(super) fn integer(&self, name: &str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(name)?;
        let number = match &value.kind {
            ValueKind::I64(number) => u64::try_from(*number).ok(),
            ValueKind::U64(number) => Some(*number),
            ValueKind::String(text) => text.parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            self.refuse(
                name,
                format!("{} is not a whole number from {} to {}", shown(value), bounds.start(), bounds.end()),
            );
            return None;
        };
        self.within(name, &number.to_string(), number, bounds, |bound| bound.to_string())
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        let value = self.value(name)?;
        let boolean = match &value.kind {
            ValueKind::Boolean(boolean) => Some(*boolean),
            ValueKind::String(text) => text.parse().ok(),
            _ => None,
        };
        if boolean.is_none() {
            self.refuse(name, format!("{} is neither true nor false", shown(value)));
        }
        boolean
    }

    /// A path; in the configuration file it is relative to that file's folder.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let text = self.text(name)?;
        if text.is_empty() {
            self.refuse(name, "\"\" is not a path");
            return None;
        }
        Some(self.resolve(name, text))
    }

    /// Several paths: a list, one text, or commas between them in the environment and in flags.
    pub(super) fn paths(&self, name: &str) -> Vec<PathBuf> {
        let Some(value) = self.value(name) else { return Vec::new() };
        match texts(value) {
            Some(texts) if !texts.contains(&"") => texts.iter().map(|text| self.resolve(name, text)).collect(),
            _ => {
                self.refuse(name, format!("{} is not a list of paths such as [\"/etc/comity/ca/\"]", shown(value)));
                Vec::new()
            }
        }
    }

    /// Several texts, written as [`paths`](Self::paths) are, each read by `parse`; none if the key is absent.
    pub(super) fn list<T, E: ToString>(
        &self,
        name: &str,
        right: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let Some(value) = self.value(name) else { return Some(Vec::new()) };
        let Some(texts) = texts(value) else {
            self.refuse(name, format!("{} is not a list of {right}", shown(value)));
            return None;
        };
        let read =
            |text: &str| parse(text).map_err(|error| self.refuse(name, format!("{text:?}: {}", error.to_string())));
        // All of them are read, so that every mistake is told.
        let read: Vec<_> = texts.into_iter().map(read).collect();
        read.into_iter().collect::<Result<_, _>>().ok()
    }

    fn within<T: PartialOrd + Copy>(
        &self,
        name: &str,
        shown: &str,
        value: T,
        bounds: RangeInclusive<T>,
        show: impl Fn(T) -> String,
    ) -> Option<T> {
        let (least, most) = (*bounds.start(), *bounds.end());
        if value < least {
            self.refuse(name, format!("{shown} is below the minimum of {}", show(least)));
        } else if value > most {
            self.refuse(name, format!("{shown} is above the maximum of {}", show(most)));
        }
        bounds.contains(&value).then_some(value)
    }

    fn resolve(&self, name: &str, text: &str) -> PathBuf {
        match self.value(name) {
            Some(value) if is_from_process(value) => PathBuf::from(text),
            _ => self.context.folder.join(text),
        }
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        let own = self.table.and_then(|table| member(table, name));
        own.or_else(|| self.fallback.and_then(|table| member(table, name)))
    }

    fn below(&self, name: &str) -> Vec<String> {
        self.path.iter().cloned().chain([name.to_owned()]).collect()
    }
}

/// What a table of a list is called.
pub(super) fn list_item(name: &str, index: usize) -> String {
    format!("{name}[{index}]")
}

/// A key with its sections; names that hold a dot in quotes.
pub(super) fn key_of(path: &[String], name: &str) -> String {
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '[' | ']'));
    let quoted = |name: &str| if plain(name) { name.to_owned() } else { format!("{name:?}") };
    path.iter().map(String::as_str).chain([name]).map(quoted).collect::<Vec<_>>().join(".")
}

/// The layer of a value, as a person would look for it.
pub(super) fn origin_of(value: &Value, path: &[String]) -> Option<String> {
    match first_origin(value)? {
        ENVIRONMENT_ORIGIN => Some(format!("COMITY__{}", path.join("__").to_uppercase())),
        origin => Some(origin.to_owned()),
    }
}

/// A table made of several layers has no origin of its own.
fn first_origin(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::Table(table) => table.values().find_map(first_origin).or_else(|| value.origin()),
        _ => value.origin(),
    }
}

/// Of a table, whether anything in it was.
fn is_written(value: &Value) -> bool {
    match &value.kind {
        ValueKind::Table(table) => table.values().any(is_written),
        _ => value.origin() != Some(DEFAULT_ORIGIN),
    }
}

fn member<'a>(table: &'a Value, name: &str) -> Option<&'a Value> {
    match &table.kind {
        ValueKind::Table(table) => table.get(name).filter(|value| value.kind != ValueKind::Nil),
        _ => None,
    }
}

/// A list of texts, one text, or commas between them where there are no lists.
fn texts(value: &Value) -> Option<Vec<&str>> {
    match &value.kind {
        ValueKind::String(text) if is_from_process(value) => Some(text.split(',').map(str::trim).collect()),
        ValueKind::String(text) => Some(vec![text]),
        ValueKind::Array(values) => values.iter().map(as_text).collect(),
        _ => None,
    }
}

fn as_text(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

fn is_from_process(value: &Value) -> bool {
    matches!(value.origin(), Some(ENVIRONMENT_ORIGIN | FLAG_ORIGIN))
}

/// A value as one would write it.
fn shown(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Array(values) => format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", ")),
        ValueKind::Table(_) => "a section".into(),
        _ => value.to_string(),
    }
}

fn alternatives(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
