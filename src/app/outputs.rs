//! The outputs, from configuration to service.

use crate::config::OutputsConfig;
use crate::outputs::progress::Outputs;
use crate::outputs::view::Views;

use super::Tasks;

/// Starts every output; none of them waits for another, nor holds up the service.
pub(super) fn start(_config: &OutputsConfig, _views: &Views, _outputs: &Outputs, _tasks: &mut Tasks) {}
