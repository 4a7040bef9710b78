//! Chains that another program made, and verifies as well (`benches/go_spiffe.sh`).

use std::path::Path;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use comity::Usage;
use rustls::pki_types::UnixTime;
use serde::Deserialize;

use super::chains::snapshot_of;

#[derive(Deserialize)]
struct Case {
    root: String,
    chains: Vec<Vec<String>>,
}

/// Prints what a verdict costs for the chains of each file in a folder, each verified once before.
pub(crate) fn verify_folder(folder: &Path) {
    let now = UnixTime::now();
    for file in std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("readable").path()) {
        let case: Case = serde_json::from_slice(&std::fs::read(&file).expect("readable")).expect("a case");
        let decode = |text: &String| STANDARD.decode(text).expect("base64");
        let chains: Vec<Vec<Vec<u8>>> = case.chains.iter().map(|chain| chain.iter().map(decode).collect()).collect();
        let snapshot = snapshot_of(["a.test".to_owned()], &decode(&case.root));
        let verify_all = || {
            for chain in &chains {
                let (leaf, sent) = chain.split_first().expect("a leaf");
                let sent: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
                snapshot.verify_x509(leaf, &sent, Usage::Server, now).expect("a valid chain");
            }
        };
        verify_all();
        let began = Instant::now();
        verify_all();
        let each = began.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(chains.len()).expect("a few"));
        println!("comity {} {each:.2} us", file.file_stem().expect("a name").display());
    }
}
