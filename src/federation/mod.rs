//! The exchange itself: publish our bundle, poll those of others, decide what to trust.

pub(crate) mod acceptance;
pub(crate) mod clock;
pub(crate) mod counters;
pub(crate) mod early_poll;
pub(crate) mod endpoint_client;
pub(crate) mod hold;
pub(crate) mod known;
pub(crate) mod outcome;
pub(crate) mod ownership;
pub(crate) mod published_bundle;
pub(crate) mod relationship;
pub(crate) mod schedule;
pub(crate) mod status;
pub(crate) mod timestamp;
pub(crate) mod trust_feed;
