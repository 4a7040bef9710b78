//! Every key there is, and those that are known but not there yet.

use config::{Value, ValueKind};

use super::problem::ConfigProblem;
use super::section::{key_of, list_item, origin_of};

/// Sections and their keys. The two endpoint profiles and all relationships have a section each;
/// `federation.*` stands for any of the latter.
pub(super) const KEYS: &[(&str, &[&str])] = &[
    ("", &["trust_domain"]),
    ("store", &["url"]),
    ("authorities", &["x509", "jwt", "wit", "workload_api", "spire_server", "socket_owner", "refresh_hint"]),
    ("authorities.url", &["url", "root_certificates", "interval"]),
    ("authorities.oidc", &["issuer", "jwks_url", "root_certificates", "bearer_token_file", "interval"]),
    (
        "endpoint.https_web",
        &["listen", "path", "certificate", "private_key", "max_connections", "max_waits", "max_waits_per_address"],
    ),
    (
        "endpoint.https_web.acme",
        &[
            "domains",
            "contact",
            "terms_of_service_agreed",
            "directory",
            "directory_root_certificates",
            "eab_kid",
            "eab_hmac_key_file",
        ],
    ),
    (
        "endpoint.https_spiffe",
        &[
            "listen",
            "path",
            "svid",
            "private_key",
            "workload_api",
            "socket_owner",
            "spiffe_id",
            "max_connections",
            "max_waits",
            "max_waits_per_address",
        ],
    ),
    ("operations", &["listen"]),
    ("admin", &["socket"]),
    (
        "authorization",
        &["socket", "listen", "certificate", "svid", "private_key", "proxies", "path", "allow", "require_hash"],
    ),
    ("outputs.files", &["folder", "trust_domains", "shared_authorities", "mode", "command"]),
    ("outputs.spire", &["socket", "socket_owner", "trust_domains", "shared_authorities", "state", "take_over"]),
    ("outputs.object_storage", &["url", "endpoint", "region", "credentials_file"]),
    ("outputs.http", &["listen", "certificate", "private_key", "trust_domains", "shared_authorities"]),
    ("outputs.oidc", &["issuer"]),
    ("outputs.grpc", &["socket", "workload_api", "shared_authorities", "sds", "sds_all", "sds_own"]),
    ("outputs.grpc.allow", &["uid", "gid", "trust_domains"]),
    ("log", &["format", "level"]),
    (
        "federation.*",
        &[
            "endpoint_url",
            "fallback_urls",
            "profile",
            "endpoint_spiffe_id",
            "endpoint_host_speaks_for_domain",
            "bootstrap_bundle",
            "pinned_authority",
            "root_certificates",
            "change_control",
            "two_routes",
            "key_notice",
            "maximum_staleness",
            "minimum_interval",
            "maximum_interval",
            "redirects",
            "allow_link_local",
            "proxy",
            "wait",
            "svid_types",
            "spiffe_ids",
            "jwt_audiences",
            "jwt_maximum_lifetime",
            "not_after",
            "signing_domains",
            "scoped_paths",
            "minimum_key_strength",
            "shared_authorities",
            "shared_unscoped",
            "svid_checks",
        ],
    ),
];

/// Keys of a relationship that are refused until what they promise exists.
const LATER: &[(&str, &str)] = &[("approvals", "approval by several people")];

/// Finds keys that nothing would read.
pub(super) fn unknown(root: &Value) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    walk(root, &mut Vec::new(), &mut problems);
    problems
}

fn walk(value: &Value, path: &mut Vec<String>, problems: &mut Vec<ConfigProblem>) {
    if let ValueKind::Array(values) = &value.kind {
        return walk_list(values, path, problems);
    }
    let ValueKind::Table(table) = &value.kind else { return };
    let known = known_below(path);
    for (name, value) in table {
        path.push(name.clone());
        if known.contains(&"*") || known.contains(&name.as_str()) {
            walk(value, path, problems);
        } else {
            let key = key_of(&path[..path.len() - 1], name);
            problems.push(ConfigProblem { key, message: refusal(path, &known), source: origin_of(value, path) });
        }
        path.pop();
    }
}

/// The tables of a list, such as `[[authorities.url]]`: their path has the position in it.
fn walk_list(values: &[Value], path: &mut Vec<String>, problems: &mut Vec<ConfigProblem>) {
    let Some(name) = path.pop() else { return };
    for (index, value) in values.iter().enumerate() {
        path.push(list_item(&name, index));
        walk(value, path, problems);
        path.pop();
    }
    path.push(name);
}

/// Names that may follow a path: sections and keys alike.
fn known_below(path: &[String]) -> Vec<&'static str> {
    let path = pattern(path);
    let below = |section: &'static str| -> Option<&'static str> {
        let rest = if path.is_empty() { section } else { section.strip_prefix(&path)?.strip_prefix('.')? };
        rest.split('.').next().filter(|name| !name.is_empty())
    };
    let sections = KEYS.iter().filter_map(|(section, _)| below(section));
    let keys = KEYS.iter().filter(|(section, _)| *section == path).flat_map(|(_, keys)| keys.iter().copied());
    let mut known: Vec<_> = sections.chain(keys).collect();
    known.dedup();
    known
}

fn pattern(path: &[String]) -> String {
    match path {
        [federation, _] if federation == "federation" => "federation.*".into(),
        _ => path.iter().map(|name| name.split('[').next().unwrap_or(name)).collect::<Vec<_>>().join("."),
    }
}

fn refusal(path: &[String], known: &[&str]) -> String {
    let name = path.last().map_or("", String::as_str);
    let later = LATER.iter().find(|(later, _)| *later == name && path.len() == 3);
    if let Some((_, what)) = later {
        return format!("not supported yet: {what}");
    }
    let nearest = known.iter().map(|known| (distance(name, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 3 && distance < known.len() => {
            format!("unknown key; did you mean {known}?")
        }
        _ if known.is_empty() => "unknown key; nothing goes below a plain value".into(),
        _ => format!("unknown key; known here: {}", known.join(", ")),
    }
}

/// Letters to insert, delete or replace to turn one name into the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, a) in (1..).zip(a.chars()) {
        let mut diagonal = std::mem::replace(&mut row[0], i);
        for (j, b) in (1..).zip(b.chars()) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j];
            row[j] = replaced.min(row[j] + 1).min(row[j - 1] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (a, b, expected) in [("listen", "listen", 0), ("listn", "listen", 1), ("", "abc", 3), ("url", "uri", 1)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
