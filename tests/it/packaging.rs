//! What is shipped beside the service: its manual and completions. Each must fit the program.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::process::{Home, run, within};

#[tokio::test]
async fn every_command_has_a_manual_page_with_its_example() {
    let home = Home::new("");
    let folder = home.path("share/man1");
    let written = run(&["man", "--dir", folder.to_str().unwrap()]).await;
    assert_eq!((written.code, written.out.as_str()), (Some(0), ""), "{written:?}");
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<String> = entries.collect();
    let mut expected = BTreeSet::new();
    pages_of("comity", &mut Vec::new(), &mut expected).await;
    assert_eq!(pages, expected);
    let accept = fs::read_to_string(folder.join("comity-bundle-accept.1")).unwrap();
    assert!(accept.contains("comity bundle accept bank\\-b.example"), "{accept}");

    let top = run(&["man"]).await;
    assert_eq!(top.out, fs::read_to_string(folder.join("comity.1")).unwrap());
    let nowhere = run(&["man", "--dir", "/dev/null/man1"]).await;
    assert!(nowhere.code == Some(1) && nowhere.err.starts_with("error: output-failed: "), "{nowhere:?}");
}

/// Names the page of a command and of all below it, as `--help` lists them.
async fn pages_of(page: &str, command: &mut Vec<String>, pages: &mut BTreeSet<String>) {
    pages.insert(format!("{page}.1"));
    let words: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    let help = run(&words).await.out;
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap();
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        command.push(name.to_owned());
        Box::pin(pages_of(&format!("{page}-{name}"), command, pages)).await;
        command.pop();
    }
}

#[tokio::test]
async fn shells_get_a_script_that_knows_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completion", shell]).await;
        assert_eq!(script.code, Some(0), "{shell}: {script:?}");
        for word in ["serve", "federation", "accept", "x509", "completion", "healthz"] {
            assert_eq!(script.out.contains(word), word != "healthz", "{shell}: {word}");
        }
    }
    let script = run(&["completion", "bash"]).await.out;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).await.unwrap();
    let parsed = within(bash.wait_with_output()).await.unwrap();
    assert!(parsed.status.success() && parsed.stderr.is_empty(), "{parsed:?}");
}
