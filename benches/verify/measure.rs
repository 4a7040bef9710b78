//! Interleaved measurements, printed as ratios.

use std::time::{Duration, Instant};

/// One contestant.
pub(crate) struct Case<'c> {
    name: &'static str,
    run: Box<dyn FnMut() + 'c>,
}

impl<'c> Case<'c> {
    pub(crate) fn new(name: &'static str, run: impl FnMut() + 'c) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// Measures all cases in turn, each as often first as last, and prints each one's median and how the first compares
/// with it. A row whose name has none of the words on the command line is left out.
pub(crate) fn compare(row: &str, cases: &mut [Case<'_>]) {
    if !is_asked_for(row) {
        return;
    }
    let mut samples = vec![Vec::new(); cases.len()];
    let runs: Vec<u32> = cases.iter_mut().map(|case| runs_per_round(case)).collect();
    for round in 0..ROUNDS {
        for turn in 0..cases.len() {
            let place = (round + turn) % cases.len();
            samples[place].push(time(&mut cases[place], runs[place]) / runs[place]);
        }
    }
    let medians: Vec<Duration> = samples.into_iter().map(median).collect();
    println!("{row}");
    for (case, median) in cases.iter().zip(&medians) {
        let ratio = medians[0].as_secs_f64() / median.as_secs_f64();
        println!("  {:<24} {:>9.2} us   ratio {ratio:.2}", case.name, median.as_secs_f64() * 1e6);
    }
}

/// How much more two threads do than one.
pub(crate) fn threads(row: &str, work: impl Fn() + Sync) {
    if !is_asked_for(row) {
        return;
    }
    let throughput = |threads: u32| {
        let samples = (0..ROUNDS).map(|_| {
            let began = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| (0..THREAD_RUNS).for_each(|_| work()));
                }
            });
            began.elapsed() / (threads * THREAD_RUNS)
        });
        median(samples.collect()).as_secs_f64()
    };
    let (one, two) = (throughput(1), throughput(2));
    println!("{row}, per verdict");
    println!("  {:<24} {:>9.2} us", "one thread", one * 1e6);
    println!("  {:<24} {:>9.2} us   {:.2} times as many", "two threads", two * 1e6, one / two);
}

fn is_asked_for(row: &str) -> bool {
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    words.is_empty() || words.iter().any(|word| row.contains(word.as_str()))
}

/// Runs of one case in all rounds together, at most.
pub(crate) const MOST_RUNS: usize = 14_000;

const ROUNDS: usize = 24;
const ROUND: Duration = Duration::from_millis(15);
const THREAD_RUNS: u32 = 20_000;

fn runs_per_round(case: &mut Case<'_>) -> u32 {
    (case.run)();
    let once = time(case, 10) / 10;
    let fitting = ROUND.as_nanos() / once.as_nanos().max(1);
    u32::try_from(fitting).unwrap_or(u32::MAX).clamp(10, 20_000)
}

fn time(case: &mut Case<'_>, runs: u32) -> Duration {
    let began = Instant::now();
    (0..runs).for_each(|_| (case.run)());
    began.elapsed()
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}
