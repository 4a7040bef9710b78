use std::path::Path;

use super::*;
use crate::config::watch::restart_needed;

fn spire(keys: &str) -> String {
    with(&format!("[[outputs.spire]]\n{keys}\n"))
}

fn object(keys: &str) -> String {
    with(&format!("[[outputs.object_storage]]\n{keys}\n"))
}

#[test]
fn each_output_says_what_goes_where() {
    let folder = Folder::new();
    let text = spire(
        "socket = \"/s.sock\"\ntrust_domains = [\"b.example\"]\nshared_authorities = true\ntake_over = true\n\
         [[outputs.spire]]\nsocket = \"/t.sock\"\nstate = \"t.json\"\n\
         [[outputs.object_storage]]\nurl = \"gs://b/x.json\"\n[authorities]\nspire_server = \"unix:///s.sock\"",
    );
    let config = folder.load(&text).unwrap();
    let [first, second] = config.outputs.spire.as_slice() else { panic!("{:?}", config.outputs) };
    assert_eq!(first.state.parent(), Some(Path::new("/var/lib/comity")), "beside the store");
    assert_eq!(second.state, folder.0.path().join("t.json"));
    let described = describe(&config);
    for line in [
        "output        b.example with shared authorities to unix:///s.sock, others' bundles replaced, remembered in /var",
        "output        all trust domains to unix:///t.sock, remembered in ",
        "output        own bundle to gs://b/x.json",
        "source        own bundle of unix:///s.sock, every 5s",
    ] {
        assert!(described.contains(line), "{line} is not in\n{described}");
    }
    assert_eq!(restart_needed(&config, &folder.load(&with("")).unwrap()), ["authorities", "outputs"]);
}

#[test]
fn a_storage_gets_its_variables_and_no_others() {
    let folder = Folder::new();
    let file = folder.write("comity.toml", &object("url = \"s3://b/x.json\""));
    let environment = variables(&[("AWS_SECRET_ACCESS_KEY", "geheim"), ("HOME", "/root")]);
    let shown = format!("{:?}", load(Some(&file), &environment, &[]).unwrap().outputs);
    assert!(shown.contains("aws_secret_access_key") && !shown.contains("geheim") && !shown.contains("home"), "{shown}");
}

#[test]
fn whose_socket_is_believed_is_said_for_each() {
    let folder = Folder::new();
    let text = "socket = \"/s.sock\"\nsocket_owner = 1000\n[authorities]\nsocket_owner = 1001\n\
                spire_server = \"unix:///s.sock\"\nworkload_api = \"unix:///a.sock\"\n[endpoint.https_spiffe]\n\
                listen = \"127.0.0.1:0\"\nworkload_api = \"unix:///a.sock\"\nsocket_owner = 1002";
    let config = folder.load(&spire(text)).unwrap();
    let server = SpireServer::at(Path::new("/s.sock")).unwrap();
    let agent: WorkloadApi = "unix:///a.sock".parse().unwrap();
    assert_eq!(config.outputs.spire[0].server, server.clone().owned_by(Some(1000)));
    assert_eq!(config.spire_server, Some(server.owned_by(Some(1001))));
    assert_eq!(config.workload_api, Some(agent.clone().owned_by(Some(1001))));
    let EndpointKeys::WorkloadApi(request) = &config.endpoints[0].keys else { panic!("{:?}", config.endpoints) };
    assert_eq!(request.api, agent.owned_by(Some(1002)));
}

#[test]
fn every_mistake_of_an_output_is_told() {
    let memory = |keys: &str| format!("{}[store]\nurl = \"memory:\"\n", spire(keys));
    let twice = "socket = \"/s\"\n[[outputs.spire]]\nsocket = \"/s\"";
    let one_state = "socket = \"/s\"\nstate = \"x\"\n[[outputs.spire]]\nsocket = \"/t\"\nstate = \"x\"";
    for (text, key, message) in [
        (spire(""), "outputs.spire[0].socket", "required"),
        (spire("socket = \"\""), "outputs.spire[0].socket", "is not a path"),
        (spire("socket = \"/s\"\nsocket_owner = \"spire\""), "outputs.spire[0].socket_owner", "not a whole number"),
        (spire("socket = \"/s\"\nsocket_owner = 65534"), "outputs.spire[0].socket_owner", "no number on this machine"),
        (with("[authorities]\nsocket_owner = 1"), "authorities.socket_owner", "is for workload_api or spire_server"),
        (
            with("[endpoint.https_spiffe]\nsocket_owner = 1"),
            "endpoint.https_spiffe.socket_owner",
            "is for workload_api, which is not set",
        ),
        (spire("socket = \"/s\"\nsockets = 1"), "outputs.spire[0].sockets", "did you mean socket"),
        (spire("socket = \"/s\"\ntrust_domains = []"), "outputs.spire[0].trust_domains", "is empty"),
        (spire("socket = \"/s\"\ntrust_domains = [\"B\"]"), "outputs.spire[0].trust_domains", "B"),
        (spire(twice), "outputs.spire[1].socket", "is there twice"),
        (spire(one_state), "outputs.spire[1].state", "another output"),
        (memory("socket = \"/s\""), "outputs.spire[0].state", "required"),
        (with("[authorities]\nspire_server = \"/s\""), "authorities.spire_server", "unix:///tmp"),
        (with("[authorities]\nspire_server = \"unix://s\""), "authorities.spire_server", "unix:///tmp"),
        (object(""), "outputs.object_storage[0].url", "required"),
        (object("url = \"bundle.json\""), "outputs.object_storage[0].url", "s3://bucket/bundle.json"),
        (object("url = \"https://b/x\""), "outputs.object_storage[0].url", "s3://bucket/bundle.json"),
        (object("url = \"s3:///x\""), "outputs.object_storage[0].url", "the bucket is missing"),
        (object("url = \"s3://b\""), "outputs.object_storage[0].url", "the name of the object"),
        (object("url = \"s3://b/x/\""), "outputs.object_storage[0].url", "the name of the object"),
        (object("url = \"s3://u:p@b/x\""), "outputs.object_storage[0].url", "no place in it"),
        (object("url = \"gs://b/x?y\""), "outputs.object_storage[0].url", "no place in it"),
        (object("url = \"file://x/y\""), "outputs.object_storage[0].url", "three slashes"),
        (object("url = \"file:///x\"\nregion = \"r\""), "outputs.object_storage[0].region", "needs none"),
        (object("url = \"gs://b/x\"\nregion = \"r\""), "outputs.object_storage[0].region", "only s3"),
        (object("url = \"s3://b/x\"\nendpoint = \"http://m\""), "outputs.object_storage[0].endpoint", "use https"),
        (object("url = \"s3://b/x\"\nendpoint = \"m:9000\""), "outputs.object_storage[0].endpoint", "not a URL"),
        (
            object("url = \"s3://b/x\"\n[[outputs.object_storage]]\nurl = \"s3://b/x\""),
            "outputs.object_storage[1].url",
            "is there twice",
        ),
    ] {
        let told = messages(Folder::new().load(&text));
        let found = told.iter().any(|(at, said)| at == key && said.contains(message));
        assert!(found, "{key}: {message} is not in {told:?}\n{text}");
    }
}
