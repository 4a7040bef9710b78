//! What outputs share: which of the accepted bundles each may show, and how far each has come.

pub(crate) mod nobody;
pub(crate) mod progress;
pub(crate) mod selection;
pub(crate) mod served;
mod told;
pub(crate) mod view;
