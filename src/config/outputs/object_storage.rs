//! `[[outputs.object_storage]]`: where our own bundle is put for others to serve.

use std::collections::HashMap;

use url::Url;

use crate::config::section::Section;
use crate::export::object_storage::place::{ObjectPlace, Variables, is_loopback};

pub(super) fn object_storage(section: &Section<'_>, environment: &HashMap<String, String>) -> Vec<ObjectPlace> {
    let mut places: Vec<ObjectPlace> = Vec::new();
    for section in section.sections("object_storage") {
        let Some(place) = one(&section, environment) else { continue };
        if places.iter().any(|other| other.url == place.url && other.endpoint == place.endpoint) {
            section.refuse("url", "is there twice");
        }
        places.push(place);
    }
    places
}

fn one(section: &Section<'_>, environment: &HashMap<String, String>) -> Option<ObjectPlace> {
    section.required("url", RIGHT);
    let url = section.parsed("url", object_url);
    let endpoint = section.parsed("endpoint", endpoint);
    let region = section.text("region").map(str::to_owned);
    let credentials_file = section.path("credentials_file");
    let scheme = url.as_ref().map(Url::scheme);
    for name in ["endpoint", "region", "credentials_file"].into_iter().filter(|name| section.has(name)) {
        if scheme == Some("file") {
            section.refuse(name, "a file needs none");
        } else if name == "region" && scheme.is_some_and(|scheme| scheme != "s3") {
            section.refuse(name, "only s3:// has regions");
        }
    }
    Some(ObjectPlace { url: url?, endpoint, region, credentials_file, environment: Variables::of(environment) })
}

fn object_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}; {RIGHT}"))?;
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    let names_an_object = url.path().len() > 1 && !url.path().ends_with('/');
    let has_more = !url.username().is_empty() || url.password().is_some();
    match url.scheme() {
        "s3" | "gs" | "az" if !has_host => Err("the bucket is missing".into()),
        "file" if has_host => Err("a file of this machine has three slashes, as in file:///srv/www/bundle.json".into()),
        "s3" | "gs" | "az" | "file" if !names_an_object => Err("the name of the object is missing".into()),
        "s3" | "gs" | "az" | "file" if has_more || url.query().is_some() || url.fragment().is_some() => {
            Err("user, query and fragment have no place in it; credentials are in credentials_file".into())
        }
        "s3" | "gs" | "az" | "file" => Ok(url),
        _ => Err(RIGHT.into()),
    }
}

fn endpoint(text: &str) -> Result<String, &'static str> {
    let scheme = text.parse::<Url>().ok().filter(Url::has_host).map(|url| url.scheme().to_owned());
    match scheme.as_deref() {
        Some("https") => Ok(text.to_owned()),
        Some("http") if is_loopback(text) => Ok(text.to_owned()),
        Some("http") => Err("http goes only to this machine itself; use https"),
        _ => Err("not a URL such as https://minio.example:9000"),
    }
}

const RIGHT: &str =
    "an object such as s3://bucket/bundle.json, gs://..., az://container/... or file:///srv/www/bundle.json";
