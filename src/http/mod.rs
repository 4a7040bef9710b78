//! The listeners: public bundle endpoints, operations, admin, authorization.

pub(crate) mod admin;
pub(crate) mod authorization;
pub(crate) mod bundles;
pub(crate) mod challenges;
mod conditional;
mod connections;
pub(crate) mod distribution;
pub(crate) mod endpoint;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code")]
mod fixtures;
mod health;
mod key_pair;
pub(crate) mod listener;
pub(crate) mod metrics;
pub(crate) mod oidc;
pub(crate) mod operations;
mod output_metrics;
mod pool;
mod problem;
mod relationships;
mod rotation;
mod state_metrics;
pub(crate) mod tls;
pub(crate) mod verification;
pub(crate) mod waits;
mod xfcc;
