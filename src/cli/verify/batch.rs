//! Questions line by line, answered line by line.

use std::io;

use serde::Deserialize;
use tokio::task::spawn_blocking;

use crate::cli::error::CliError;
use crate::cli::output::Page;
use crate::files::trusted::FileError;
use crate::http::verification::question::{Id, Question};
use crate::http::verification::verdict::Verdict;

use super::input::Source;
use super::judge::Judge;
use super::lines::{Line, Lines, MAX_LINE_BYTES};

/// Answers every line with a line, in order, as soon as no more lines are there. `complete` adds to a question what the
/// line doesn't say.
pub(super) async fn answer<Q: Question>(
    source: &Source,
    judge: &Judge,
    complete: impl Fn(&mut Q),
) -> Result<(), CliError> {
    let mut lines = Lines::new(source.open()?);
    loop {
        // Elsewhere, so that the connection to the service goes on meanwhile.
        let read = spawn_blocking(move || {
            let chunk = lines.next_chunk();
            (lines, chunk)
        });
        let (rest, chunk) = read.await.map_err(io::Error::other)?;
        lines = rest;
        let chunk = chunk.map_err(|error| source.failed(FileError::Unreadable(error)))?;
        if chunk.is_empty() {
            return Ok(());
        }
        let asked = chunk.iter().map(|line| question(line, &complete)).collect();
        let mut page = Page::default();
        for verdict in verdicts(judge, asked).await? {
            page.append(Page::json_line(&verdict)?);
        }
        page.print()?;
    }
}

async fn verdicts<Q: Question>(judge: &Judge, asked: Vec<Result<Q, Box<Verdict>>>) -> Result<Vec<Verdict>, CliError> {
    let mut questions = Vec::new();
    let places: Vec<_> = asked.into_iter().map(|asked| asked.map(|question| questions.push(question))).collect();
    let mut verdicts = judge.all(&questions).await?.into_iter();
    // There is one for each question, which the judge has seen to.
    Ok(places
        .into_iter()
        .filter_map(|place| place.map_or_else(|verdict| Some(*verdict), |()| verdicts.next()))
        .collect())
}

fn question<Q: Question>(line: &Line, complete: impl Fn(&mut Q)) -> Result<Q, Box<Verdict>> {
    let Line::Whole(text) = line else {
        let detail = format!("the line has more than {MAX_LINE_BYTES} bytes");
        return Err(Box::new(Verdict::malformed_input(detail)));
    };
    let malformed = |detail: String| Box::new(Verdict { id: id_of(text), ..Verdict::malformed_input(detail) });
    let mut question: Q = serde_json::from_slice(text).map_err(|error| malformed(error.to_string()))?;
    complete(&mut question);
    question.check().map_err(|detail| malformed(detail.to_owned()))?;
    Ok(question)
}

/// The ID of a question that makes no sense otherwise.
fn id_of(line: &[u8]) -> Option<Id> {
    #[derive(Deserialize)]
    struct Named {
        id: Option<Id>,
    }
    serde_json::from_slice(line).ok().and_then(|Named { id }| id)
}
