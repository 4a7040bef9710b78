//! How the story is told.

use std::time::Instant;

/// Prints steps with their times and remembers how they went.
pub(super) struct Narrator {
    started: Instant,
    steps: Vec<Step>,
}

struct Step {
    title: &'static str,
    observed: String,
    expected: bool,
}

impl Narrator {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), steps: Vec::new() }
    }

    /// Begins a chapter.
    pub(super) fn chapter(&self, title: &str) {
        println!("\n{title}");
    }

    /// Says what happens, without a verdict.
    pub(super) fn say(&self, text: &str) {
        println!("  {:>7.3} s  {text}", self.started.elapsed().as_secs_f64());
    }

    /// Says what was observed, and whether the story expected it.
    pub(super) fn verdict(&mut self, title: &'static str, expected: bool, observed: impl Into<String>) {
        let observed = observed.into();
        self.say(&format!("{} {title}: {observed}", if expected { "ok " } else { "NOT AS EXPECTED" }));
        self.steps.push(Step { title, observed, expected });
    }

    pub(super) fn all_as_expected(&self) -> bool {
        self.steps.iter().all(|step| step.expected)
    }

    /// The table at the end.
    pub(super) fn summary(&self) {
        println!("\nSummary");
        for Step { title, observed, expected } in &self.steps {
            println!("  {}  {title:<52}  {observed}", if *expected { "ok" } else { "NO" });
        }
        let good = self.steps.iter().filter(|step| step.expected).count();
        println!("\n  {good} of {} as expected, {:.1} s", self.steps.len(), self.started.elapsed().as_secs_f64());
    }
}
