//! What holds across the parts: the shape of the sources, the documents that must agree with them, and
//! whole services in journeys with their peers.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod architecture;
mod authorization;
mod cache;
mod change_control;
mod cli;
mod clock;
mod codes;
mod conformance;
mod convert;
mod doctor;
mod documents;
mod endpoint;
mod endurance;
mod examples;
mod health;
mod history;
mod hostile;
mod lint;
mod metrics;
mod openapi;
mod own_bundle;
mod ownership;
mod packaging;
mod partner;
mod pin;
mod policy;
mod poll;
mod probe;
mod process;
mod publish;
mod publisher;
mod readers;
mod routes;
mod scripted;
mod seeded;
mod sequence;
mod serve;
mod service;
mod settings;
mod sources;
mod support;
mod trust;
mod verify;
mod wire;
