//! The real binary as a test holds it: started on a data directory, asked over HTTP, killed, stopped, started again.
//!
//! In: where the binary is, a data directory. Out: an address, the keys of its first run, a client.
//! Every wait has a deadline, and a failed start shows the end of the process's own log.

mod client;
mod locate;
mod replays;
mod verbs;
mod wait;

pub use client::{Client, Reply};
pub use locate::{binary, sibling};
pub use verbs::{content, text, uid};
pub use wait::wait_until;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// From the start of the process to ready; a million waiting deliveries take two seconds of it at most.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// From SIGTERM to the exit: a drain waits for what is in flight, which an endpoint's time-out bounds.
const STOP_WITHIN: Duration = Duration::from_secs(45);
/// Bytes of the log shown when something went wrong.
const LOG_TAIL_BYTES: usize = 4000;

/// What the first start leaves in `first-run.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FirstRun {
    pub url: String,
    pub organisation_id: String,
    pub project_id: String,
    pub api_key: String,
    pub connect_key: String,
    pub admin_email: String,
    pub admin_password: String,
}

#[derive(Debug, Deserialize)]
struct Listening {
    url: String,
    pid: u32,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub binary: PathBuf,
    pub data_dir: PathBuf,
    pub listen: String,
    /// CIDRs the SSRF guard lets through; empty leaves loopback refused.
    pub allow_networks: Vec<String>,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
}

impl Options {
    pub fn new(binary: PathBuf, data_dir: PathBuf) -> Self {
        Self {
            binary,
            data_dir,
            listen: "127.0.0.1:0".to_owned(),
            allow_networks: vec!["127.0.0.0/8".to_owned()],
            args: Vec::new(),
            env: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub struct Product {
    options: Options,
    child: Option<Child>,
    url: String,
    first_run: FirstRun,
    client: Client,
    /// The directory goes when the handle does, if the handle made it.
    _dir: Option<TempDir>,
}

impl Product {
    /// On a directory of its own, with loopback allowed.
    pub async fn fresh() -> Result<Self> {
        Self::fresh_with(|_| {}).await
    }

    pub async fn fresh_with(adjust: impl FnOnce(&mut Options)) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("dacapo-test-").tempdir()?;
        let mut options = Options::new(binary()?, dir.path().join("data"));
        adjust(&mut options);
        let mut product = Self::start(options).await?;
        product._dir = Some(dir);
        Ok(product)
    }

    /// On a directory of the caller's, which outlives the handle.
    pub async fn start(options: Options) -> Result<Self> {
        Self::start_as(options, None).await
    }

    /// As one more node of a shared database: the keys are those of the node that set it up.
    pub async fn join(options: Options, keys: FirstRun) -> Result<Self> {
        Self::start_as(options, Some(keys)).await
    }

    async fn start_as(options: Options, keys: Option<FirstRun>) -> Result<Self> {
        let mut child = spawn(&options)?;
        let url = match ready(&options, &mut child).await {
            Ok(url) => url,
            Err(error) => {
                end(&mut child);
                return Err(with_log(&error, &options));
            }
        };
        let first_run = match keys {
            Some(keys) => keys,
            None => read_json(&options.data_dir.join("first-run.json"))?,
        };
        let client = Client::new(&url);
        Ok(Self { options, child: Some(child), url, first_run, client, _dir: None })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn data_dir(&self) -> &Path {
        &self.options.data_dir
    }

    pub fn keys(&self) -> &FirstRun {
        &self.first_run
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("not running")?.id())
    }

    /// The end of what the process wrote.
    pub fn log_tail(&self) -> String {
        log_tail(&self.options)
    }

    /// SIGKILL: no goodbye.
    pub fn kill9(&mut self) -> Result<()> {
        let mut child = self.child.take().context("not running")?;
        child.kill().context("kill")?;
        child.wait().context("wait for the killed process")?;
        Ok(())
    }

    /// SIGTERM, then a drain, then exit 0.
    pub async fn stop(&mut self) -> Result<()> {
        let status = self.terminate().await?;
        ensure!(status.success(), "exit after SIGTERM: {status}\n{}", self.log_tail());
        ensure!(!self.options.data_dir.join("listening.json").exists(), "listening.json is left after a clean exit");
        Ok(())
    }

    /// SIGSTOP: it stands still, and does not know.
    pub fn freeze(&self) -> Result<()> {
        signal(self.pid()?, Signal::STOP)
    }

    /// SIGCONT: it goes on as if nothing had happened.
    pub fn thaw(&self) -> Result<()> {
        signal(self.pid()?, Signal::CONT)
    }

    async fn terminate(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("not running")?;
        signal(child.id(), Signal::TERM)?;
        let exited = wait_until(STOP_WITHIN, "exit after SIGTERM", async || Ok(child.try_wait()?)).await;
        if exited.is_err() {
            end(&mut child);
        }
        exited
    }

    /// The same data directory and port, after `kill9` or `stop`.
    pub async fn restart(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "still running");
        self.options.listen = self.url.trim_start_matches("http://").to_owned();
        let mut child = spawn(&self.options)?;
        match ready(&self.options, &mut child).await {
            Ok(url) => ensure!(url == self.url, "restarted at {url}, not at {}", self.url),
            Err(error) => {
                end(&mut child);
                return Err(with_log(&error, &self.options));
            }
        }
        self.child = Some(child);
        Ok(())
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            end(&mut child);
        }
    }
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("pid")?;
    kill_process(pid, signal).with_context(|| format!("{signal:?}"))
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn log_path(options: &Options) -> PathBuf {
    options.data_dir.with_extension("log")
}

fn spawn(options: &Options) -> Result<Child> {
    if let Some(parent) = options.data_dir.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let log = File::options().create(true).append(true).open(log_path(options))?;
    let mut command = Command::new(&options.binary);
    command.arg("serve").arg("--data-dir").arg(&options.data_dir).arg("--listen").arg(&options.listen);
    for network in &options.allow_networks {
        command.arg("--allow-network").arg(network);
    }
    command.args(&options.args);
    // What the caller's shell happens to hold must not configure the process under test.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DACAPO_")) {
        command.env_remove(name);
    }
    command.envs(options.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("start {}", options.binary.display()))
}

/// Waits for this process's own `listening.json` (an older one may lie there after a kill) and for `/readyz`.
async fn ready(options: &Options, child: &mut Child) -> Result<String> {
    let pid = child.id();
    let path = options.data_dir.join("listening.json");
    wait_until(READY_WITHIN, "ready", async || {
        if let Some(status) = child.try_wait()? {
            bail!("the process ended at its start: {status}");
        }
        let Ok(listening) = read_json::<Listening>(&path) else { return Ok(None) };
        if listening.pid != pid {
            return Ok(None);
        }
        let reply = Client::new(&listening.url).get("/readyz", None).await;
        Ok(reply.ok().filter(|reply| reply.status == 200).map(|_| listening.url.trim_end_matches('/').to_owned()))
    })
    .await
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))
}

/// The cause first: a table shows one line of it.
fn with_log(error: &anyhow::Error, options: &Options) -> anyhow::Error {
    anyhow::anyhow!("{error:#}\n{}", log_tail(options))
}

fn log_tail(options: &Options) -> String {
    let log = std::fs::read(log_path(options)).unwrap_or_default();
    let start = log.len().saturating_sub(LOG_TAIL_BYTES);
    format!("end of its log:\n{}", String::from_utf8_lossy(&log[start..]))
}
