//! `[[outputs.files]]`: bundles in folders.

use std::path::PathBuf;

use crate::config::check::required_path;
use crate::config::section::Section;
use crate::export::files::{AfterChange, FilesOutput};

use super::selection;

/// Reads all of them; `outputs` is the section around them.
pub(super) fn files(outputs: &Section<'_>) -> Vec<FilesOutput> {
    let mut all: Vec<FilesOutput> = Vec::new();
    for section in outputs.sections("files") {
        let Some(output) = one(&section) else { continue };
        if all.iter().any(|other| other.folder == output.folder) {
            section.refuse("folder", format!("{} is there twice; each output has its own", output.folder.display()));
        }
        all.push(output);
    }
    all
}

fn one(section: &Section<'_>) -> Option<FilesOutput> {
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

const DEFAULT_MODE: u32 = 0o644;
