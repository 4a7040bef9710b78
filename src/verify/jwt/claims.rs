//! The claims of a token (JWT-SVID §3).

use std::time::Duration;

use rustls::pki_types::UnixTime;
use serde_json::{Map, Value};

use crate::spiffe::json::Json;
use crate::spiffe::spiffe_id::SpiffeId;

use super::Audiences;
use super::fault::TokenFault;

/// All claims of a token, and whom it names.
pub(super) struct Claims {
    pub(super) spiffe_id: SpiffeId,
    pub(super) all: Map<String, Value>,
}

impl Claims {
    /// Reads the bytes of a payload as far as is needed to know whose token it is.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, TokenFault> {
        let malformed = TokenFault::Malformed { what: "its claims are no JSON object with each member once" };
        // Of two members with one name, others would read the first, and serde the last (JW-13).
        if Json::parse(bytes).is_err() {
            return Err(malformed);
        }
        let Ok(all) = serde_json::from_slice::<Map<String, Value>>(bytes) else { return Err(malformed) };
        let subject = match all.get("sub") {
            None => return Err(TokenFault::MissingClaim { claim: "sub" }),
            Some(Value::String(subject)) => subject,
            Some(_) => return Err(TokenFault::InvalidClaim { claim: "sub", expected: "text" }),
        };
        let spiffe_id: SpiffeId = subject.parse().map_err(TokenFault::InvalidSpiffeId)?;
        if spiffe_id.is_root() {
            return Err(TokenFault::RootSpiffeId);
        }
        Ok(Self { spiffe_id, all })
    }

    /// The audiences, of which there is at least one, and none is empty (JW-08).
    pub(super) fn audiences(&self) -> Result<Vec<&str>, TokenFault> {
        const INVALID: TokenFault =
            TokenFault::InvalidClaim { claim: "aud", expected: "text or a list of it, none of it empty" };
        let audiences: Vec<_> = match self.all.get("aud") {
            None => return Err(TokenFault::MissingClaim { claim: "aud" }),
            Some(Value::Array(values)) => values.iter().map(Value::as_str).collect(),
            Some(value) => vec![value.as_str()],
        };
        let audiences: Option<Vec<&str>> = audiences.into_iter().collect();
        audiences.filter(|all| !all.is_empty() && !all.contains(&"")).ok_or(INVALID)
    }

    /// One of its audiences must be one of ours, to the letter.
    pub(super) fn check_audience(&self, expected: &Audiences) -> Result<(), TokenFault> {
        let found = self.audiences()?;
        if expected.iter().any(|ours| found.contains(&ours)) { Ok(()) } else { Err(TokenFault::Audience) }
    }

    /// First and last second in which it is valid, leeway included.
    ///
    /// `iat` is no test of validity: one in the future is accepted (JW-10).
    pub(super) fn validity(&self) -> Result<(u64, u64), TokenFault> {
        self.time("iat")?;
        let expires = self.expires()?.saturating_add(LEEWAY);
        let begins = self.time("nbf")?.unwrap_or_default().saturating_sub(LEEWAY);
        let up = |time: Duration| time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).min(YEAR_9999);
        Ok((up(begins), up(expires).saturating_sub(1)))
    }

    pub(super) fn expires(&self) -> Result<Duration, TokenFault> {
        self.time("exp")?.ok_or(TokenFault::MissingClaim { claim: "exp" })
    }

    /// Checks that it is valid at an instant, to be told in which seconds it is.
    pub(super) fn check_validity(&self, at: UnixTime) -> Result<(u64, u64), TokenFault> {
        let ((not_before, not_after), at) = (self.validity()?, at.as_secs());
        match () {
            () if at > not_after => Err(TokenFault::Expired { not_after, at }),
            () if at < not_before => Err(TokenFault::NotYetValid { not_before, at }),
            () => Ok((not_before, not_after)),
        }
    }

    /// A NumericDate (RFC 7519 §2), which may have a fraction.
    fn time(&self, claim: &'static str) -> Result<Option<Duration>, TokenFault> {
        let Some(value) = self.all.get(claim) else { return Ok(None) };
        let seconds = match (value.as_u64(), value.as_f64()) {
            (Some(whole), _) => Some(Duration::from_secs(whole)),
            (None, Some(seconds)) => Duration::try_from_secs_f64(seconds).ok(),
            (None, None) => None,
        };
        seconds.map(Some).ok_or(TokenFault::InvalidClaim { claim, expected: "a time from 1970 on, in seconds" })
    }
}

/// The end of the last year that dates are written in; times beyond are cut to it.
const YEAR_9999: u64 = 253_402_300_799;
/// For clocks that differ, on both ends (JWT-SVID §3.3).
const LEEWAY: Duration = Duration::from_secs(30);
