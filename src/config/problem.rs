//! Everything that is wrong with a configuration, at once.

use std::fmt;

/// One mistake: where, what, from which layer, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigProblem {
    /// The key with its sections, as in `federation."b.example".profile`; empty for the whole.
    pub(crate) key: String,
    /// The value and what would be right.
    pub(crate) message: String,
    /// The file, environment variable or flag it came from; `None` for what is missing.
    pub(crate) source: Option<String>,
}

/// All mistakes of a configuration, by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigErrors(Vec<ConfigProblem>);

impl ConfigErrors {
    /// Sorts by key. An empty list is no error, hence `None`.
    pub(super) fn new(mut problems: Vec<ConfigProblem>) -> Option<Self> {
        problems.sort_by(|a, b| a.key.cmp(&b.key));
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// A mistake that hides all others, such as a file that is no TOML.
    pub(super) fn whole(source: String, message: String) -> Self {
        Self(vec![ConfigProblem { key: String::new(), message, source: Some(source) }])
    }

    /// The mistakes.
    pub(crate) fn problems(&self) -> &[ConfigProblem] {
        &self.0
    }

    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        "config-rejected"
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} problem{} in the configuration", if count == 1 { "" } else { "s" })?;
        let width = |of: fn(&ConfigProblem) -> &String, most| {
            self.0.iter().map(|problem| of(problem).chars().count()).filter(|width| *width <= most).max().unwrap_or(0)
        };
        let keys = width(|problem| &problem.key, 60);
        let messages = width(|problem| &problem.message, 90);
        for ConfigProblem { key, message, source } in &self.0 {
            match source {
                Some(source) => write!(f, "\n  {key:keys$}  {message:messages$}  ({source})")?,
                None => write!(f, "\n  {key:keys$}  {message}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_stand_in_columns() {
        let problem = |key: &str, message: &str, source: Option<&str>| ConfigProblem {
            key: key.into(),
            message: message.into(),
            source: source.map(str::to_owned),
        };
        let errors = ConfigErrors::new(vec![
            problem("store.url", "\"x\" is wrong", Some("comity.toml")),
            problem("admin.socket", "required", None),
            problem("log.level", "no", Some("COMITY__LOG__LEVEL")),
        ]);
        let expected = "3 problems in the configuration
  admin.socket  required
  log.level     no            (COMITY__LOG__LEVEL)
  store.url     \"x\" is wrong  (comity.toml)";
        assert_eq!(errors.unwrap().to_string(), expected);
        assert_eq!(ConfigErrors::new(vec![]), None);
    }
}
