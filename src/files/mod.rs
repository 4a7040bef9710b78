//! Files that carry trust: who may write them, and when they change.

pub(crate) mod trusted;
pub(crate) mod watch;
