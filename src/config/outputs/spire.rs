//! `[[outputs.spire]]`: SPIRE servers whose federated bundles we keep.

use std::path::PathBuf;

use crate::authorities::spire_server::SpireServer;
use crate::config::check::required_path;
use crate::config::places::default_state_file;
use crate::config::section::Section;
use crate::config::users::socket_owner;
use crate::export::spire_server::SpireOutput;
use crate::spiffe::public_key::Fingerprint;

use super::{selection, shown};

pub(super) fn spire(section: &Section<'_>, store_url: Option<&str>) -> Vec<SpireOutput> {
    let mut outputs: Vec<SpireOutput> = Vec::new();
    for section in section.sections("spire") {
        let Some(output) = one(&section, store_url) else { continue };
        if outputs.iter().any(|other| other.server.socket() == output.server.socket()) {
            section.refuse("socket", "is there twice; the two would delete each other's bundles");
        } else if outputs.iter().any(|other| other.state == output.state) {
            section.refuse("state", "belongs to another output already");
        }
        outputs.push(output);
    }
    outputs
}

fn one(section: &Section<'_>, store_url: Option<&str>) -> Option<SpireOutput> {
    let socket = required_path(section, "socket", "the admin socket of a SPIRE server, by its path");
    let server = socket.and_then(|socket| {
        let server = SpireServer::at(&socket);
        if server.is_none() {
            section.refuse("socket", "is not an absolute path such as \"/tmp/spire-server/private/api.sock\"");
        }
        server
    });
    let server = server.map(|server| server.owned_by(socket_owner(section, &["socket"])));
    let selection = selection(section);
    let take_over = section.boolean("take_over").unwrap_or(false);
    let state = server.as_ref().and_then(|server| state(section, server, store_url));
    Some(SpireOutput { server: server?, selection: selection?, state: state?, take_over })
}

/// Beside the store unless somebody says where.
fn state(section: &Section<'_>, server: &SpireServer, store_url: Option<&str>) -> Option<PathBuf> {
    if section.has("state") {
        return section.path("state");
    }
    let digest = Fingerprint::of(server.socket().as_os_str().as_encoded_bytes()).to_string();
    let file = default_state_file(store_url?, &format!("spire-{}.json", &digest[..12]));
    if file.is_none() {
        section.refuse("state", "required, since the store has no file: where to remember what was put there");
    }
    file
}

/// In a line, for people.
pub(super) fn described(output: &SpireOutput) -> String {
    let take_over = if output.take_over { ", others' bundles replaced" } else { "" };
    let which = shown(&output.selection);
    format!("{which} to {}{take_over}, remembered in {}", output.server, output.state.display())
}
