//! `[outputs]`, right and wrong.

use std::path::Path;

use super::*;
use crate::config::watch::restart_needed;
use crate::grpc::access::{AccessRule, Caller};

fn grpc(rest: &str) -> Result<Config, ConfigErrors> {
    Folder::new().load(&with(&format!("[outputs.grpc]\nsocket = \"/run/w.sock\"\n{rest}")))
}

#[test]
fn the_rules_of_the_grpc_socket_are_read() {
    let config = grpc(
        "[[outputs.grpc.allow]]\nuid = 1000\ntrust_domains = [\"b.example\"]\n\
         [[outputs.grpc.allow]]\ngid = 50\ntrust_domains = []\n[[outputs.grpc.allow]]\nuid = 0\ngid = 0",
    );
    let grpc = config.unwrap().outputs.grpc.unwrap();
    assert_eq!((grpc.socket.as_path(), grpc.workload_api), (Path::new("/run/w.sock"), true));
    let rule = |uid, gid, domains: Option<&[&str]>| AccessRule {
        uid,
        gid,
        trust_domains: domains.map(|names| names.iter().map(|name| name.parse().unwrap()).collect()),
    };
    let expected =
        [rule(Some(1000), None, Some(&["b.example"])), rule(None, Some(50), Some(&[])), rule(Some(0), Some(0), None)];
    assert_eq!((grpc.rules.allow.as_slice(), grpc.rules.shared_authorities), (&expected[..], false));
}

#[test]
fn mistakes_about_the_grpc_socket_say_what_would_be_right() {
    let rule = |text: &str| format!("[[outputs.grpc.allow]]\n{text}");
    for (rest, key, message) in [
        (rule(""), "outputs.grpc.allow[0].uid", "required: the number of a user, or gid for that of a group"),
        (rule("uid = \"web\""), "outputs.grpc.allow[0].uid", "\"web\" is not a whole number from 0 to 4294967294"),
        (
            rule("gid = 65534"),
            "outputs.grpc.allow[0].gid",
            "65534 is whoever has no number on this machine, such as all users of some container",
        ),
        (rule("uid = 4294967295"), "outputs.grpc.allow[0].uid", "4294967295 is above the maximum of 4294967294"),
        (rule("uid = 1\nusr = 2"), "outputs.grpc.allow[0].usr", "unknown key; did you mean uid?"),
        (
            "workload_api = false".into(),
            "outputs.grpc.workload_api",
            "is false as sds is, so the socket would have nothing to serve",
        ),
    ] {
        assert_eq!(messages(grpc(&rest)), [(key.to_owned(), message.to_owned())], "{rest}");
    }
    let taken = "[admin]\nsocket = \"/run/a.sock\"\n[outputs.grpc]\nsocket = \"/run/a.sock\"";
    let missing = "[[outputs.grpc.allow]]\nuid = 1";
    for (text, message) in [
        (taken, "is the socket of another listener; each has its own"),
        (missing, "required: the path of a Unix socket such as \"/run/comity/workload.sock\""),
    ] {
        let found = messages(Folder::new().load(&with(text)));
        assert_eq!(found, [("outputs.grpc.socket".to_owned(), message.to_owned())]);
    }
}

#[test]
fn sds_01_the_names_of_secrets_are_read_and_mistakes_told() {
    let names = |rest: &str| grpc(rest).unwrap().outputs.grpc.unwrap().sds.map(|names| (names.all, names.own));
    let pair = |all: &str, own: &str| Some((all.to_owned(), own.to_owned()));
    assert_eq!(names(""), None);
    assert_eq!(names("sds = true"), pair("ALL", "ROOTCA"));
    assert_eq!(names("workload_api = false\nsds = true\nsds_all = \"every\"\nsds_own = \"us\""), pair("every", "us"));
    for (rest, key, message) in [
        ("sds_all = \"\"", "sds_all", "\"\": a Secret needs a name, such as \"ALL\""),
        ("sds_all = \"*\"", "sds_all", "\"*\": stands for all Secrets in SDS; take another name, such as \"ALL\""),
        ("sds_own = \"ALL\"", "sds_own", "is the name of sds_all too; each Secret has its own"),
        (
            "sds_own = \"spiffe://a\"",
            "sds_own",
            "\"spiffe://a\": is for the Secret of that trust domain; take a name without spiffe://",
        ),
        ("sds = 7", "sds", "7 is neither true nor false"),
    ] {
        assert_eq!(messages(grpc(rest)), [(format!("outputs.grpc.{key}"), message.to_owned())], "{rest}");
    }
}

#[test]
fn wl_11_the_rules_of_the_grpc_socket_need_no_restart_and_all_else_does() {
    let rule = |uid: u32| format!("[[outputs.grpc.allow]]\nuid = {uid}");
    let (running, off) = (grpc(&rule(1)).unwrap(), Folder::new().load(&with("")).unwrap());
    let changed = grpc(&format!("shared_authorities = true\n{}", rule(2))).unwrap();
    assert_eq!(restart_needed(&running, &changed), Vec::<&str>::new());
    assert_eq!(restart_needed(&running, &off), ["outputs"]);
    let own = "a.example".parse().unwrap();
    let selection = changed.outputs.grpc.unwrap().rules.selection(Caller { uid: 2, gid: 9 }, &own).unwrap();
    assert!(selection.trust_domains.is_none() && selection.shared_authorities);
}
