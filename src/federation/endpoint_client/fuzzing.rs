//! Heads of answers as fuzzing makes them up: what we send back can be sent, and what is followed is an endpoint.

use std::time::Duration;

use reqwest::header::{AGE, ETAG, HeaderMap, HeaderName, HeaderValue, LOCATION};
use rustls::pki_types::UnixTime;

use crate::federation::relationship::EndpointUrl;
use crate::verify::text::is_fit_to_tell;

use super::hop::{MAX_ETAG_BYTES, age, clock_ahead, etag};
use super::next_url;

/// `Age`, `Date`, `ETag` and `Location`, in lines of their own.
pub fn answer_head(head: &[u8]) {
    let lines = head.split(|byte| *byte == b'\n').take(MOST_HEADERS).filter_map(header);
    let headers: HeaderMap = lines.collect();
    if let Some(tag) = etag(&headers) {
        assert!(tag.len() <= MAX_ETAG_BYTES);
        let sent = HeaderValue::from_str(&tag).expect("what can be sent");
        assert_eq!(etag(&HeaderMap::from_iter([(ETAG, sent)])), Some(tag));
    }
    let seconds = age(&headers).map(|age| age.as_secs());
    if let Some(ahead) = clock_ahead(&headers, NOW) {
        // A cache that claims to be older puts its server's clock further ahead.
        let older = seconds.unwrap_or_default().saturating_add(1).to_string();
        let mut headers = headers.clone();
        headers.append(AGE, HeaderValue::from_str(&older).expect("digits"));
        assert!(clock_ahead(&headers, NOW).is_none_or(|further| further >= ahead));
    }
    headers.get_all(LOCATION).iter().for_each(|location| redirect(location.as_bytes()));
}

fn redirect(location: &[u8]) {
    let start: EndpointUrl = START.parse().expect("an endpoint URL");
    let next = match next_url(std::slice::from_ref(&start), location, 5) {
        Ok(next) => next,
        Err(error) => return assert!(is_fit_to_tell(&error.to_string()), "{error}"),
    };
    let url = next.as_url();
    assert!(url.scheme() == "https" && url.username().is_empty() && url.password().is_none(), "{url}");
    assert!(url.host_str().is_some_and(|host| !host.is_empty()) && url.fragment().is_none(), "{url}");
    assert_eq!(next.to_string().parse::<EndpointUrl>().as_ref(), Ok(&next), "{url}");
    let visited = [start, next.clone()];
    assert!(next_url(&visited, next.to_string().as_bytes(), 5).is_err(), "{url} is a loop");
    assert!(next_url(&visited[..1], location, 0).is_err(), "redirects are switched off");
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) =
        (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()));
    Some((name.ok()?, value.ok()?))
}

const START: &str = "https://b.example/bundle?x=1";
const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
/// As many as the library reads.
const MOST_HEADERS: usize = 100;
