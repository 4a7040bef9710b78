//! Envoy's secret discovery service (SDS v3): bundles as Envoy's SPIFFE validator reads them.
#![cfg_attr(not(test), expect(dead_code, reason = "the listener serves it next"))]

mod delta;
mod dialogue;
mod nobody;
pub(crate) mod secrets;
mod state_of_the_world;
