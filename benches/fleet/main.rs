//! How one service fares with very many relationships.
//!
//! `cargo bench --bench fleet -- [--stalled] [--wait] [--steady SECONDS] N…` starts the real binary with N relationships to
//! endpoints that this process serves with real TLS, and prints a row per N; see `docs/performance.md`. `--stalled` lets
//! one endpoint in a hundred never answer, `--wait` lets all of them wait when they are asked to.

mod domain;
mod peers;
mod service;
mod swap;

use std::error::Error;
use std::time::{Duration, Instant};

use self::domain::Domain;
use self::peers::Peers;
use self::service::Service;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[actix_web::main]
async fn main() -> Result<()> {
    let asked = Asked::from_command_line()?;
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| "another provider is installed")?;
    println!("{HEAD}");
    for n in &asked.fleets {
        println!("{}", measure(*n, &asked).await?);
    }
    Ok(())
}

struct Asked {
    fleets: Vec<usize>,
    stalled: bool,
    wait: bool,
    steady: Duration,
}

impl Asked {
    fn from_command_line() -> Result<Self> {
        let mut asked = Self { fleets: Vec::new(), stalled: false, wait: false, steady: HINT };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            match word.as_str() {
                "--stalled" => asked.stalled = true,
                "--wait" => asked.wait = true,
                "--steady" => asked.steady = Duration::from_secs(words.next().ok_or("--steady SECONDS")?.parse()?),
                number => asked.fleets.push(number.parse()?),
            }
        }
        if asked.fleets.is_empty() {
            asked.fleets.push(100);
        }
        Ok(asked)
    }
}

/// One row.
async fn measure(n: usize, asked: &Asked) -> Result<String> {
    let domains: Vec<Domain> = (0..n).map(Domain::new).collect();
    let peers = Peers::start(&domains, asked.stalled, asked.wait)?;
    let began = Instant::now();
    let service = Service::start(n, &peers)?;
    let current = n - peers.stalled();
    service.until_current(current, LONGEST_START).await?;
    let (start, start_cpu) = (began.elapsed(), service.cpu());

    let (cpu, lateness, at) = (service.cpu(), service.lateness().await?, Instant::now());
    tokio::time::sleep(asked.steady).await;
    let steady = (service.cpu() - cpu).div_f64(at.elapsed().as_secs_f64());
    let lateness = service.lateness().await?.since(&lateness);
    service.until_current(current, Duration::from_secs(5)).await?;
    let files = service.open_files()?;

    let calm = service.verdicts_per_second(&domains, 0).await?;
    let unchanged = refreshes(&service, &domains, 1, steady).await?;
    domains.iter().for_each(|domain| peers.rotate(domain));
    let changed = refreshes(&service, &domains, 3, steady).await?;
    let ((), busy) = tokio::try_join!(
        async { refreshes(&service, &domains, 5, steady).await.map(drop) },
        service.verdicts_per_second(&domains, 1)
    )?;
    let row = format!(
        "{n:>6} {:>8.1} {:>8.1} {:>8.2} {:>7.1} {:>9} {:>9} {:>9.2} {:>9.2} {:>8.0} {:>9.0} {:>9.0} {files:>6}",
        start.as_secs_f64(),
        start_cpu.as_secs_f64(),
        steady.as_secs_f64() * 100.0,
        service.resident_megabytes()?,
        lateness.quantile(0.5),
        lateness.quantile(0.99),
        unchanged.as_secs_f64() * 1e3,
        changed.as_secs_f64() * 1e3,
        swap::median(&domains).as_secs_f64() * 1e6,
        calm,
        busy,
    );
    service.stop().await?;
    Ok(row)
}

/// The service's CPU time per refresh, of some domains that do answer; `steady` is what it needs for its schedule in a
/// second.
async fn refreshes(service: &Service, domains: &[Domain], from: usize, steady: Duration) -> Result<Duration> {
    let some: Vec<_> = domains.iter().skip(from).step_by((domains.len() / REFRESHES).max(10)).collect();
    let (before, began) = (service.cpu(), Instant::now());
    for domain in &some {
        service.refresh(domain).await?;
    }
    let schedule = steady.mul_f64(began.elapsed().as_secs_f64());
    Ok((service.cpu() - before).saturating_sub(schedule) / u32::try_from(some.len())?)
}

const HEAD: &str = "     N  start s  its CPU  steady%  RSS MB   p50 late  p99 late  same ms   new ms  swap us  verdict/s  and busy  files";
/// The refresh hint of every bundle; the steady time is as long.
const HINT: Duration = Duration::from_secs(300);
const LONGEST_START: Duration = Duration::from_secs(300);
const REFRESHES: usize = 200;
