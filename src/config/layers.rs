//! The layers of a configuration: defaults < file < environment < flags.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

use config::{Config as Builder, ConfigError, Environment, File, FileFormat, Map, Source, Value, ValueKind};

use crate::files::trusted;

use super::problem::ConfigErrors;

/// Every key that has a default, with that default; the others in comments.
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");
/// What values of [`DEFAULTS`] say about their origin.
pub(super) const DEFAULT_ORIGIN: &str = "default";
/// What values of the environment say about their origin.
pub(super) const ENVIRONMENT_ORIGIN: &str = "environment";
/// What values of flags say about their origin.
pub(super) const FLAG_ORIGIN: &str = "flag";

/// One tree of values, each of which knows its layer.
pub(super) fn merge(
    file: Option<&Path>,
    environment: &HashMap<String, String>,
    flags: &[(String, String)],
) -> Result<Value, ConfigErrors> {
    let mut layers = vec![defaults()];
    if let Some(path) = file {
        layers.push(read_file(path)?);
    }
    layers.push(read_environment(environment));
    layers.push(Layer::new(FLAG_ORIGIN, flags.iter().map(|(key, value)| (key.clone(), value.as_str().into()))));
    let merged = layers.into_iter().fold(Builder::builder(), |builder, layer| builder.add_source(layer)).build();
    merged.map(|merged| merged.cache).map_err(|error| ConfigErrors::whole("all layers".into(), error.to_string()))
}

fn defaults() -> Layer {
    let table = parse(DEFAULTS, FileFormat::Toml).expect("a test parses the embedded text");
    Layer::new(DEFAULT_ORIGIN, table)
}

fn read_file(path: &Path) -> Result<Layer, ConfigErrors> {
    let origin = path.display().to_string();
    let wrong = |message: String| ConfigErrors::whole(origin.clone(), message);
    let format =
        format_of(path).ok_or_else(|| wrong("the file's name ends in none of .toml, .yaml, .yml, .json".into()))?;
    let bytes = trusted::read(path, MAX_BYTES).map_err(|error| wrong(format!("the file {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("the file is not UTF-8 text".into()))?;
    let table = parse(&text, format).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
    Ok(Layer::new(&origin, table))
}

fn format_of(path: &Path) -> Option<FileFormat> {
    match path.extension().and_then(OsStr::to_str)? {
        "toml" => Some(FileFormat::Toml),
        "yaml" | "yml" => Some(FileFormat::Yaml),
        "json" => Some(FileFormat::Json),
        _ => None,
    }
}

fn parse(text: &str, format: FileFormat) -> Result<Map<String, Value>, ConfigError> {
    File::from_str(text, format).collect()
}

/// `COMITY__` and `__` between levels: with one `_`, the `COMITY_SERVICE_HOST` that Kubernetes sets
/// for a service of our name would be an unknown key.
fn read_environment(variables: &HashMap<String, String>) -> Layer {
    let ours = Environment::with_prefix("COMITY").prefix_separator("__").separator("__");
    let table = ours.source(Some(variables.clone())).collect().unwrap_or_default();
    Layer::new(ENVIRONMENT_ORIGIN, table)
}

/// A source whose values name it as their origin.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Layer {
    fn new(origin: &str, values: impl IntoIterator<Item = (String, Value)>) -> Self {
        let origin = origin.to_owned();
        Self(values.into_iter().map(|(key, value)| (key, stamped(&origin, value))).collect())
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

fn stamped(origin: &String, value: Value) -> Value {
    let kind = match value.kind {
        ValueKind::Table(table) => {
            ValueKind::Table(table.into_iter().map(|(key, value)| (key, stamped(origin, value))).collect())
        }
        ValueKind::Array(values) => ValueKind::Array(values.into_iter().map(|value| stamped(origin, value)).collect()),
        kind => kind,
    };
    Value::new(Some(origin), kind)
}

/// Largest configuration file in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;
