//! `[outputs]`: where accepted bundles are delivered to.

mod grpc;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::export::files::{AfterChange, FilesOutput};
use crate::outputs::selection::Selection;
use crate::spiffe::trust_domain::TrustDomain;

use super::check::required_path;
use super::section::Section;

pub(crate) use self::grpc::GrpcConfig;

/// All outputs; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutputsConfig {
    pub(crate) files: Vec<FilesOutput>,
    /// The socket at which workloads ask.
    pub(crate) grpc: Option<GrpcConfig>,
}

impl OutputsConfig {
    /// Each output in a line, for people.
    pub(super) fn described(&self) -> Vec<String> {
        let files = self.files.iter().map(|it| format!("files in {} of {}", it.folder.display(), of(&it.selection)));
        files.chain(self.grpc.iter().map(GrpcConfig::described)).collect()
    }
}

fn of(selection: &Selection) -> String {
    let names = |names: &BTreeSet<TrustDomain>| names.iter().map(TrustDomain::as_str).collect::<Vec<_>>().join(", ");
    selection.trust_domains.as_ref().map_or_else(|| "all trust domains".into(), names)
}

/// `taken` are the sockets of other listeners.
pub(super) fn outputs(section: &Section<'_>, taken: &[&Path]) -> OutputsConfig {
    let files: Vec<_> = section.sections("files").iter().filter_map(files).collect();
    for (index, output) in files.iter().enumerate() {
        if files[..index].iter().any(|other| other.folder == output.folder) {
            section
                .refuse("files", format!("{} is there twice; each output has its own folder", output.folder.display()));
        }
    }
    OutputsConfig { files, grpc: grpc::grpc(&section.section("grpc"), taken) }
}

fn files(section: &Section<'_>) -> Option<FilesOutput> {
    let folder = required_path(section, "folder", "an existing folder that only the service may write");
    let selection = selection(section);
    let mode = if section.has("mode") { section.parsed("mode", mode) } else { Some(DEFAULT_MODE) };
    let command = section.list("command", "a program and its arguments", |word| Ok::<_, String>(word.to_owned()))?;
    let command = match command.split_first() {
        None => None,
        Some((program, arguments)) => Some(after_change(section, program, arguments)?),
    };
    Some(FilesOutput { folder: folder?, selection: selection?, mode: mode?, command })
}

fn after_change(section: &Section<'_>, program: &str, arguments: &[String]) -> Option<AfterChange> {
    let program = PathBuf::from(program);
    if !program.is_absolute() {
        section.refuse("command", format!("{program:?} is no absolute path of a program"));
        return None;
    }
    Some(AfterChange { program, arguments: arguments.to_vec() })
}

/// Whoever reads a file can be asked for, not whoever writes it: that is the service alone.
fn mode(text: &str) -> Result<u32, &'static str> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode & 0o400 == 0o400 && mode & !0o644 == 0 => Ok(mode),
        _ => Err("not a mode of files such as \"0644\", \"0640\" or \"0600\""),
    }
}

/// The keys by which every output says what it shows.
pub(super) fn selection(section: &Section<'_>) -> Option<Selection> {
    let named = section.has("trust_domains");
    let trust_domains =
        section.list("trust_domains", "trust domains such as [\"bank-b.example\"]", str::parse::<TrustDomain>)?;
    if named && trust_domains.is_empty() {
        section.refuse("trust_domains", "is empty, so nothing would be shown; without this key all are");
        return None;
    }
    let trust_domains = named.then(|| trust_domains.into_iter().collect());
    Some(Selection { trust_domains, shared_authorities: section.boolean("shared_authorities").unwrap_or(false) })
}

const DEFAULT_MODE: u32 = 0o644;
