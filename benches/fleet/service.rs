//! The service under measurement: the real binary, as its operator sees it.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Result;
use super::domain::Domain;
use super::peers::Peers;

/// A running service with its files.
pub(crate) struct Service {
    folder: TempDir,
    process: Child,
    operations: String,
}

impl Service {
    pub(crate) fn start(n: usize, peers: &Peers) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let operations = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let at = |name: &str| folder.path().join(name);
        let mut config = format!(
            "trust_domain = \"fleet.example\"\n[store]\nurl = \"sqlite://{}\"\n[operations]\nlisten = \"{operations}\"\n\
             [admin]\nsocket = \"{}\"\n",
            at("comity.db").display(),
            at("admin.sock").display(),
        );
        for number in 0..n {
            write!(
                config,
                "[federation.\"d{number}.example\"]\nprofile = \"https_web\"\nendpoint_url = \"https://{}/{number}\"\n",
                peers.address
            )?;
        }
        fs::write(at("comity.toml"), config)?;
        fs::write(at("root.pem"), &peers.root)?;
        let mut command = Command::new(binary());
        command.arg("serve").arg("--config").arg(at("comity.toml")).env("SSL_CERT_FILE", at("root.pem"));
        let log = fs::File::create(at("log"))?;
        let process = command.stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn()?;
        Ok(Self { folder, process, operations: format!("http://{operations}/metrics") })
    }

    /// Waits until so many relationships are current.
    pub(crate) async fn until_current(&self, expected: usize, limit: Duration) -> Result<()> {
        let began = Instant::now();
        loop {
            let current = self.metrics().await.map_or(0, |text| {
                let is_current = |line: &&str| line.starts_with("comity_relationship_state{") && line.ends_with("} 1");
                text.lines().filter(is_current).filter(|line| line.contains("state=\"current\"")).count()
            });
            if current >= expected {
                return Ok(());
            }
            if began.elapsed() > limit {
                let log = fs::read_to_string(self.folder.path().join("log"))?;
                let last = log.lines().rev().take(5).collect::<Vec<_>>().join("\n");
                return Err(format!("{current} of {expected} are current after {limit:?}; {last}").into());
            }
            tokio::time::sleep(LOOK * u32::try_from(expected)?).await;
        }
    }

    async fn metrics(&self) -> Result<String> {
        Ok(reqwest::get(&self.operations).await?.text().await?)
    }

    /// How late polls have begun so far.
    pub(crate) async fn lateness(&self) -> Result<Lateness> {
        let metrics = self.metrics().await?;
        let buckets = metrics.lines().filter_map(|line| {
            let (bound, count) = line.strip_prefix("comity_poll_lateness_seconds_bucket{le=\"")?.split_once("\"} ")?;
            Some((bound.to_owned(), count.parse().ok()?))
        });
        Ok(Lateness(buckets.collect()))
    }

    /// Processor time so far, of all threads.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.proc("stat").unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
        let ticks = [11, 12].map(|at| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0));
        Duration::from_millis(ticks.iter().sum::<u64>() * 1000 / TICKS_PER_SECOND)
    }

    pub(crate) fn resident_megabytes(&self) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1000.0)
    }

    pub(crate) fn open_files(&self) -> Result<usize> {
        let pid = self.process.id().ok_or("the service has ended")?;
        Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
    }

    fn proc(&self, file: &str) -> Result<String> {
        let pid = self.process.id().ok_or("the service has ended")?;
        Ok(fs::read_to_string(format!("/proc/{pid}/{file}"))?)
    }

    pub(crate) async fn refresh(&self, domain: &Domain) -> Result<()> {
        self.comity(&["federation", "refresh", &domain.name], None).await
    }

    /// Verdicts per second about workloads that the service meets for the first time, asked in one batch.
    pub(crate) async fn verdicts_per_second(&self, domains: &[Domain], round: usize) -> Result<f64> {
        let known = domains.iter().cycle().skip(1 + round).step_by(7).take(VERDICTS);
        let lines: String = known.map(|domain| json!({ "chain": [domain.leaf()] }).to_string() + "\n").collect();
        let batch = self.folder.path().join("batch");
        fs::write(&batch, lines)?;
        let began = Instant::now();
        self.comity(&["verify", "x509", "--batch"], Some(&batch)).await?;
        Ok(f64::from(u32::try_from(VERDICTS)?) / began.elapsed().as_secs_f64())
    }

    async fn comity(&self, arguments: &[&str], file: Option<&Path>) -> Result<()> {
        let mut command = Command::new(binary());
        command.args(arguments).args(file).arg("--socket").arg(self.folder.path().join("admin.sock"));
        let done = command.output().await?;
        match done.status.success() {
            true => Ok(()),
            false => Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&done.stderr)).into()),
        }
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }
}

/// Polls begun, by an upper bound of how late: cumulative, as Prometheus counts.
pub(crate) struct Lateness(Vec<(String, u64)>);

impl Lateness {
    pub(crate) fn since(mut self, before: &Self) -> Self {
        self.0.iter_mut().zip(&before.0).for_each(|((_, now), (_, then))| *now -= then);
        self
    }

    /// The bucket that the quantile is in.
    pub(crate) fn quantile(&self, quantile: f64) -> String {
        let all = self.0.last().map_or(0, |(_, count)| *count);
        let within = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let bucket = self.0.iter().find(|(_, count)| all > 0 && within(*count) >= quantile * within(all));
        bucket.map_or_else(|| "none".to_owned(), |(bound, _)| format!("<{bound}s"))
    }
}

fn binary() -> PathBuf {
    std::env::var_os("COMITY_BIN").map_or_else(|| env!("CARGO_BIN_EXE_comity").into(), PathBuf::from)
}

/// Per relationship, so that looking is a small part of what is seen.
const LOOK: Duration = Duration::from_micros(200);
const TICKS_PER_SECOND: u64 = 100;
const VERDICTS: usize = 2_000;
