//! The built program as a process of its own: its files, its commands, its signals and its log.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::wire::{Connection, Response};

/// A folder of mode 0700 with everything that one `comity serve` needs; `a.example` unless it says otherwise.
pub(crate) struct Home(TempDir);

impl Home {
    /// With this configuration, in which `{home}` is the folder; store, socket and JSON log are added.
    pub(crate) fn new(config: &str) -> Self {
        let home = Self(tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap());
        home.configure(config);
        home
    }

    /// Replaces the configuration in one step.
    pub(crate) fn configure(&self, config: &str) {
        let text = format!("trust_domain = \"a.example\"\n{BASE}\n{config}");
        self.write("next.toml", text.replace("{home}", self.0.path().to_str().unwrap()));
        fs::rename(self.path("next.toml"), self.config()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("comity.toml")
    }

    /// Writes a file of mode 0600, with the folder it is in.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        self.chmod(name, 0o600);
    }

    pub(crate) fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    /// Removes the store with what SQLite keeps beside it.
    pub(crate) fn wipe_store(&self) {
        for name in ["comity.db", "comity.db-wal", "comity.db-shm"] {
            // The last two are there only after a crash.
            drop(fs::remove_file(self.path(name)));
        }
    }

    /// `comity serve`, once it answers.
    pub(crate) async fn start(&self) -> Service {
        self.start_with(&[]).await
    }

    /// The same with more arguments.
    pub(crate) async fn start_with(&self, arguments: &[&str]) -> Service {
        let mut service = self.launch(arguments);
        service.answers(self).await;
        service
    }

    /// `comity serve` with more arguments, whatever becomes of it.
    pub(crate) fn launch(&self, arguments: &[&str]) -> Service {
        let mut command = comity();
        command.arg("serve").arg("--config").arg(self.config()).args(arguments);
        // As Kubernetes sets it for a service of our name.
        command.env("COMITY_SERVICE_HOST", "10.0.0.1").env("COMITY_PORT", "tcp://10.0.0.1:8443");
        Service::spawn(command)
    }

    /// `comity serve` with at most so many open files, once it answers.
    pub(crate) async fn start_with_files(&self, limit: usize) -> Service {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &limit.to_string(), env!("CARGO_BIN_EXE_comity")]);
        command.env_clear().arg("serve").arg("--config").arg(self.config()).kill_on_drop(true);
        let mut service = Service::spawn(command);
        service.answers(self).await;
        service
    }

    /// A command that asks the service of this home.
    pub(crate) async fn ask(&self, arguments: &[&str]) -> Finished {
        let mut command = comity();
        command.args(arguments).arg("--config").arg(self.config());
        Finished::of(command).await
    }

    /// A command that goes on until it is told to stop, with its first lines.
    pub(crate) async fn watch(&self, arguments: &[&str], lines: usize) -> (Child, Vec<String>) {
        let mut child = comity().args(arguments).arg("--config").arg(self.config()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = Vec::new();
        while seen.len() < lines {
            seen.push(within(out.next_line()).await.unwrap().expect("it goes on"));
        }
        (child, seen)
    }

    /// A request to the admin API.
    pub(crate) async fn admin(&self, method: &str, path: &str) -> Response {
        let mut connection = Connection::unix(&self.path("admin.sock")).await.unwrap();
        connection.ask(method, path, &[]).await.unwrap()
    }

    /// The relationship with `b.example` after a poll.
    pub(crate) async fn refreshed(&self) -> Value {
        self.admin("POST", "/v1/relationships/b.example/refresh").await.json()
    }
}

/// A command that ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    async fn of(mut command: Command) -> Self {
        Self::from(within(command.output()).await.unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// `comity` with any arguments.
pub(crate) async fn run(arguments: &[&str]) -> Finished {
    let mut command = comity();
    command.args(arguments);
    Finished::of(command).await
}

/// The same with this on standard input.
pub(crate) async fn fed(arguments: &[&str], input: &[u8]) -> Finished {
    let mut child = comity().args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = async {
        // Whoever needs no input may be gone before it is written.
        drop(stdin.write_all(input).await);
        drop(stdin);
    };
    let (output, ()) = within(async { tokio::join!(child.wait_with_output(), feed) }).await;
    Finished::from(output.unwrap())
}

/// A running `comity serve`; it is killed when dropped.
pub(crate) struct Service {
    child: Child,
    log: watch::Receiver<Vec<String>>,
    _reader: JoinSet<()>,
}

impl Service {
    fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (lines, log) = watch::channel(Vec::new());
        let mut reader = JoinSet::new();
        reader.spawn(collect(child.stderr.take().unwrap(), lines));
        Self { child, log, _reader: reader }
    }

    async fn answers(&mut self, home: &Home) {
        let socket = home.path("admin.sock");
        loop {
            if let Ok(mut connection) = Connection::unix(&socket).await
                && connection.ask("GET", "/v1/status", &[]).await.is_ok()
            {
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{status}\n{}", self.log.borrow().join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where a listener is: `https_web`, `https_spiffe`, or `operations`.
    pub(crate) async fn address(&mut self, name: &str) -> SocketAddr {
        let says = |line: &Value| match name {
            "operations" => line["message"] == "serving health and metrics",
            "outputs.http" => line["message"] == "serving accepted bundles",
            profile => line["profile"] == profile && line["message"] == "serving the bundle endpoint",
        };
        let line = self.logged(0, says).await;
        line["address"].as_str().unwrap().parse().unwrap()
    }

    /// The first log line after the first `from` that fits, once it is there.
    pub(crate) async fn logged(&mut self, from: usize, fits: impl Fn(&Value) -> bool) -> Value {
        let fits = |line: &String| serde_json::from_str(line).ok().filter(|line| fits(line));
        let found = within(self.log.wait_for(|log| log.iter().skip(from).any(|line| fits(line).is_some()))).await;
        let log = found.unwrap();
        log.iter().skip(from).find_map(fits).unwrap()
    }

    /// All log lines so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Sends a signal, as in `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        signal(&self.child, name).await;
    }

    /// Open descriptors, and resident memory in KiB.
    pub(crate) fn resources(&self) -> (usize, u64) {
        let process = Path::new("/proc").join(self.child.id().unwrap().to_string());
        let status = fs::read_to_string(process.join("status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory = memory.trim().trim_end_matches(" kB").parse().unwrap();
        (fs::read_dir(process.join("fd")).unwrap().count(), memory)
    }

    /// Processor time so far, in hundredths of a second.
    pub(crate) fn processor_time(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.child.id().unwrap())).unwrap();
        let (_, fields) = status.rsplit_once(") ").unwrap();
        fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    /// Waits for its end; what it logged until then.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let status = within(self.child.wait()).await.unwrap();
        // The reader ends, and with it the sender, when the last line is in.
        while self.log.changed().await.is_ok() {}
        (status, self.log.borrow().join("\n"))
    }

    /// Asks it to stop and waits until it did.
    pub(crate) async fn stop(self) {
        self.signal("TERM").await;
        let (status, log) = self.ended().await;
        assert!(status.success(), "{status}\n{log}");
    }

    /// `kill -9`.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Sends a signal to a process of ours.
pub(crate) async fn signal(child: &Child, name: &str) {
    let id = child.id().unwrap().to_string();
    let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status();
    assert!(sent.await.unwrap().success(), "kill -s {name}");
}

/// A limit for what must happen, far beyond what it takes on a busy machine.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("it happens within a minute")
}

/// Asks again and again until the answer fits.
pub(crate) async fn until<T>(mut question: impl AsyncFnMut() -> T, fits: impl Fn(&T) -> bool) -> T {
    within(async {
        loop {
            let answer = question().await;
            if fits(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// The program without anything of the environment that could configure it.
pub(crate) fn comity() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_comity"));
    command.env_clear().current_dir(Path::new("/")).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

async fn collect(stderr: ChildStderr, lines: watch::Sender<Vec<String>>) {
    let mut reader = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        lines.send_modify(|lines| lines.push(line));
    }
}

const BASE: &str = r#"
store.url = "sqlite://{home}/comity.db"
admin.socket = "{home}/admin.sock"
log.format = "json"
"#;
