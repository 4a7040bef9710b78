//! The gRPC listener on a Unix socket: who may ask, what each may see, and the services that tell it.

pub(crate) mod access;
mod authority;
mod connection;
pub(crate) mod feed;
pub(crate) mod listener;
mod places;
pub(crate) mod services;
pub(crate) mod workload;
