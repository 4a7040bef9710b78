//! How long a rotation takes from a peer's endpoint to our verifiers, and on to who hears of it by SDS and by the
//! Workload API, where the endpoint is waited on.
//!
//! `cargo bench --bench propagation -- [ROTATIONS]` runs the service in this process with a relationship to each of a few
//! endpoints that wait (`Prefer: wait`), over real TLS on loopback. They rotate in turn, each while it is waited on; what
//! counts is when each has the new authority. See `docs/performance.md`.

mod consumers;
mod peers;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use comity::{App, Trust, TrustDomain};
use rustls::time_provider::DefaultTimeProvider;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::consumers::{Consumers, Held};
use self::peers::Peers;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[actix_web::main]
async fn main() -> Result<()> {
    let rotations = std::env::args().skip(1).find_map(|word| word.parse::<usize>().ok()).unwrap_or(200);
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| "another provider is installed")?;
    let peers = Arc::new(Peers::start(PEERS)?);
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
    let app = App::open(&configure(folder.path(), &peers)?, Arc::new(DefaultTimeProvider)).await?;
    let (trust, stop) = (app.trust(), CancellationToken::new());
    let mut service = JoinSet::new();
    service.spawn(app.run(stop.clone().cancelled_owned()));

    // SDS refuses names that nobody knows yet.
    while trust.load().trust_domains().count() < PEERS {
        tokio::time::sleep(LOOK).await;
    }
    let mut listening = JoinSet::new();
    let names = (0..PEERS).map(|number| format!("spiffe://{}", Peers::name(number))).collect();
    let consumers = Consumers::connect(&folder.path().join("grpc.sock"), names, &mut listening).await?;
    let mut measuring = JoinSet::new();
    for number in 0..PEERS {
        let consumers = consumers.clone();
        measuring.spawn(measure(number, rotations.div_ceil(PEERS), peers.clone(), trust.clone(), consumers));
    }
    let mut times = [const { Vec::new() }; 3];
    while let Some(measured) = measuring.join_next().await {
        for rotation in measured?? {
            times.iter_mut().zip(rotation).for_each(|(times, time)| times.push(time));
        }
    }
    listening.shutdown().await;
    stop.cancel();
    while service.join_next().await.is_some() {}
    for (name, times) in ["verifier", "SDS", "Workload API"].into_iter().zip(times) {
        print!("{}", report(name, times));
    }
    Ok(())
}

/// Rotates one peer so many times; how long each rotation took to each of those who hear of it.
async fn measure(
    number: usize,
    rotations: usize,
    peers: Arc<Peers>,
    trust: Trust,
    consumers: Consumers,
) -> Result<Vec<[Duration; 3]>> {
    let id = format!("spiffe://{}", Peers::name(number));
    let domain: TrustDomain = Peers::name(number).parse()?;
    let mut times = Vec::new();
    for _ in 0..rotations {
        peers.until_waited_on(number).await;
        // Somewhere in the wait, which may end meanwhile.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..1_500))).await;
        let [sds, workload] =
            [&consumers.sds, &consumers.workload].map(|heard| (heard.clone(), heard.borrow().get(&id).cloned()));
        let began = Instant::now();
        let sequence = peers.rotate(number);
        let is_there = || trust.load().domain(&domain).is_some_and(|it| it.bundle().sequence() >= Some(sequence));
        let verifier = async {
            while !is_there() {
                tokio::time::sleep(LOOK).await;
            }
            began.elapsed()
        };
        let hears = |(mut heard, before): (watch::Receiver<Held>, Option<Vec<u8>>)| {
            let id = &id;
            async move {
                heard.wait_for(|held| held.get(id) != before.as_ref()).await.map_err(|_| "nobody listens any more")?;
                Result::Ok(began.elapsed())
            }
        };
        let (verifier, sds, workload) = tokio::join!(verifier, hears(sds), hears(workload));
        times.push([verifier, sds?, workload?]);
    }
    Ok(times)
}

fn configure(folder: &Path, peers: &Peers) -> Result<std::path::PathBuf> {
    let at = |name: &str| folder.join(name).display().to_string();
    fs::write(folder.join("root.pem"), &peers.root)?;
    let mut text = format!(
        "trust_domain = \"a.example\"\nstore.url = \"sqlite://{}\"\nadmin.socket = \"{}\"\nlog.level = \"off\"\n\
         [outputs.grpc]\nsocket = \"{}\"\nsds = true\n[[outputs.grpc.allow]]\nuid = {}\n\
         [federation.\"*\"]\nminimum_interval = \"1s\"\nmaximum_interval = \"{}s\"\n",
        at("comity.db"),
        at("admin.sock"),
        at("grpc.sock"),
        rustix::process::getuid().as_raw(),
        WAIT.as_secs(),
    );
    for number in 0..PEERS {
        let name = Peers::name(number);
        write!(
            text,
            "[federation.\"{name}\"]\nprofile = \"https_web\"\nendpoint_url = \"https://{}/{number}\"\n\
             root_certificates = \"{}\"\n",
            peers.address,
            at("root.pem")
        )?;
    }
    let file = folder.join("comity.toml");
    fs::write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

fn report(name: &str, mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let quantile = |per_mille: usize| times[(times.len() * per_mille / 1000).min(times.len() - 1)];
    let mut text = format!("{} rotations to the {name}\n", times.len());
    for (name, per_mille) in [("p50", 500), ("p90", 900), ("p99", 990), ("longest", 1000)] {
        writeln!(text, "  {name:8}{:8.1} ms", quantile(per_mille).as_secs_f64() * 1e3).expect("a string takes all");
    }
    for upper in [5, 10, 20, 50, 100, 250, 1_000, 2_000, 5_000] {
        let within = times.iter().filter(|time| **time <= Duration::from_millis(upper)).count();
        writeln!(text, "  <= {upper:5} ms {within:6}").expect("a string takes all");
    }
    text
}

/// Rotations of one peer are seconds apart, so there are several.
const PEERS: usize = 20;
/// Of each wait: short, so that whatever slows us down after a change is over soon.
const WAIT: Duration = Duration::from_secs(3);
/// Between two looks at what verifiers have.
const LOOK: Duration = Duration::from_millis(1);
