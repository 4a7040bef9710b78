//! One order, from its beginning to the certificate (RFC 8555 §7.4).

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use crate::federation::endpoint_client::escaped;
use crate::http::challenges::{Answering, ChallengeError, Challenges};

use super::error::AcmeError;

/// A chain in PEM, leaf first, and its private key in PEM, made here.
pub(super) struct Obtained {
    pub(super) chain: String,
    pub(super) private_key: String,
}

/// Orders a certificate for exactly these domains. Challenges are answered for as long as it takes.
pub(super) async fn obtain(
    account: &Account,
    domains: &[String],
    challenges: &Challenges,
) -> Result<Obtained, AcmeError> {
    let identifiers: Vec<_> = domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let asked = order.state().authorizations.len();
    if asked > domains.len() {
        return Err(AcmeError::Malformed { detail: format!("it asks for {asked} proofs of {} names", domains.len()) });
    }
    let answering = prove(&mut order, domains, challenges).await?;
    match order.poll_ready(&POLLING).await {
        Ok(OrderStatus::Ready) => drop(answering),
        Ok(_) => return Err(unproven(&mut order).await.unwrap_or_else(unexplained)),
        Err(error @ instant_acme::Error::Api(_)) => {
            return Err(unproven(&mut order).await.unwrap_or_else(|| error.into()));
        }
        Err(error) => return Err(error.into()),
    }
    let (request, private_key) = request(domains).map_err(ChallengeError::from)?;
    order.finalize_csr(&request).await?;
    let chain = order.poll_certificate(&POLLING).await?;
    Ok(Obtained { chain, private_key })
}

/// Has the server look for proof of each domain that it doesn't believe us yet.
async fn prove(order: &mut Order, domains: &[String], challenges: &Challenges) -> Result<Vec<Answering>, AcmeError> {
    let mut answering = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let domain = authorization.identifier().to_string();
        if !domains.contains(&domain) {
            let detail = format!("it asks for proof of {}, which we did not order", escaped(&domain));
            return Err(AcmeError::Malformed { detail });
        }
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
        let mut challenge = challenge.ok_or_else(|| AcmeError::NoChallenge { domain: domain.clone() })?;
        answering.push(challenges.answer(&domain, challenge.key_authorization().as_str())?);
        challenge.set_ready().await?;
    }
    Ok(answering)
}

/// What the server found wrong, which it tells where it looked.
async fn unproven(order: &mut Order) -> Option<AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let domain = escaped(&authorization.identifier().to_string());
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Some(AcmeError::NotProven { domain, detail: escaped(&problem.to_string()) });
        }
    }
    None
}

fn unexplained() -> AcmeError {
    AcmeError::Malformed { detail: "the order is invalid, and no authorization says why".into() }
}

/// A request for a certificate and its new private key: DER and PEM.
fn request(domains: &[String]) -> Result<(Vec<u8>, String), rcgen::Error> {
    let mut params = CertificateParams::new(domains)?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate()?;
    Ok((params.serialize_request(&key)?.der().to_vec(), key.serialize_pem()))
}

/// For how long the server may take over each of its two tasks, proof and issuance.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
const POLLING: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).backoff(1.5).timeout(PATIENCE);
