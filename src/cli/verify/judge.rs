//! Who answers: files, or the running service.

use crate::cli::client::{AdminClient, ClientError};
use crate::cli::connection::now;
use crate::http::verification::question::Question;
use crate::http::verification::verdict::Verdict;
use crate::verify::verifier::Verifier;

/// Whoever answers questions.
pub(super) enum Judge {
    /// Bundles of files, with no consequences.
    Files(Verifier),
    /// The service, with what it trusts.
    Service(AdminClient),
}

impl Judge {
    pub(super) async fn one(&self, question: &impl Question) -> Result<Verdict, ClientError> {
        match self {
            Self::Files(verifier) => Ok(question.judge(verifier, now())),
            Self::Service(service) => service.verify(question).await,
        }
    }

    /// As many verdicts, in order.
    pub(super) async fn all(&self, questions: &[impl Question]) -> Result<Vec<Verdict>, ClientError> {
        match self {
            _ if questions.is_empty() => Ok(Vec::new()),
            Self::Files(verifier) => Ok(questions.iter().map(|it| it.judge(verifier, now()).in_a_batch()).collect()),
            Self::Service(service) => service.verify_all(questions).await,
        }
    }
}
