//! Showing a page again and again.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use super::connection::now;
use super::error::CliError;
use super::output::{Page, printable};

/// Shows a new page after each interval until Ctrl-C. A failure is shown too, and the watch goes on.
pub(super) async fn run(
    interval: Duration,
    mut page: impl AsyncFnMut() -> Result<Page, CliError>,
) -> Result<(), CliError> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            _ = &mut interrupted => return Ok(()),
            shown = page() => show(shown)?,
        }
        tokio::select! {
            _ = &mut interrupted => return Ok(()),
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// Redraws a terminal; appends to anything else, with errors on their own stream.
fn show(page: Result<Page, CliError>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match (page, out.is_terminal()) {
        (page, true) => {
            out.write_all(redrawn(&page).as_bytes())?;
            out.flush()
        }
        (Ok(page), false) => page.write(out),
        (Err(error), false) => writeln!(io::stderr(), "{}", told(&error)),
    }
}

fn redrawn(page: &Result<Page, CliError>) -> String {
    let body = match page {
        Ok(page) => page.to_string(),
        Err(error) => told(error) + "\n",
    };
    let lines: String = body.lines().map(|line| format!("{line}{CLEAR_REST_OF_LINE}\n")).collect();
    format!("{HOME}{}{CLEAR_REST_OF_LINE}\n{CLEAR_REST_OF_LINE}\n{lines}{CLEAR_BELOW}", now())
}

fn told(error: &CliError) -> String {
    printable(&format!("error: {}: {error}; trying again", error.code()))
}

const HOME: &str = "\x1b[H";
const CLEAR_REST_OF_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrawn_page_leaves_nothing_of_the_last_one() {
        let mut page = Page::default();
        page.line("one");
        page.line("two");
        let drawn = redrawn(&Ok(page));
        assert!(drawn.starts_with(HOME) && drawn.ends_with("one\x1b[K\ntwo\x1b[K\n\x1b[J"), "{drawn:?}");
    }

    #[test]
    fn a_failure_takes_the_place_of_the_page() {
        let error = CliError::Fetch { code: "no-socket".into(), detail: "gone\x1b".into() };
        let drawn = redrawn(&Err(error));
        assert!(drawn.ends_with("error: no-socket: gone\\u{1b}; trying again\x1b[K\n\x1b[J"), "{drawn:?}");
    }
}
