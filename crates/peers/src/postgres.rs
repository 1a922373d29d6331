//! A PostgreSQL server of a test's own.
//!
//! The binaries are looked for in `DACAPO_POSTGRES_BIN`, then `/usr/lib/postgresql/*/bin` (the newest),
//! then the `PATH`. The server refuses to run as root; for root it is run as [`UNPRIVILEGED_UID`].

mod standby;
mod tls;

use crate::process;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// `nobody` nearly everywhere; nothing depends on its name.
pub(crate) const UNPRIVILEGED_UID: u32 = 65_534;
/// A start or a stop that takes longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The superuser of each server; connections from 127.0.0.1 need no password.
pub const USER: &str = "dacapo";

const HOW_TO_GET_IT: &str = "PostgreSQL's server is needed for this test and was not found. Install it \
(Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql), \
or name the directory of its initdb and postgres in DACAPO_POSTGRES_BIN.";

/// Ended, and its files removed, when dropped.
pub struct Postgres {
    bin: PathBuf,
    directory: TempDir,
    port: u16,
    settings: Vec<String>,
    server: Option<Child>,
}

impl Postgres {
    /// With durable writes, as in earnest. `settings` are lines of `postgresql.conf`: `name = value`.
    ///
    /// # Panics
    /// When it cannot be had or does not start; the message says what to do.
    pub fn start(settings: &[&str]) -> Self {
        let bin = binaries().unwrap_or_else(|| panic!("{HOW_TO_GET_IT}"));
        let directory = TempDir::with_prefix("dacapo-pg-").expect("a place for files");
        let mut server = Self {
            bin,
            directory,
            port: free_port(),
            settings: settings.iter().map(ToString::to_string).collect(),
            server: None,
        };
        server.make();
        server.up();
        server
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The postmaster's process id, for signals.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().map_or(0, Child::id)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Where the server's tools are (`pg_basebackup`, `psql`, …).
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// Down and up again: at once, without tidying up, as after a power failure, when `immediate`.
    pub fn restart(&mut self, immediate: bool) {
        self.down(if immediate { "QUIT" } else { "INT" });
        self.up();
    }

    /// SIGKILL to the postmaster; its children notice and end.
    pub fn kill(&mut self) {
        self.down("KILL");
    }

    /// A line of `pg_hba.conf` that comes before all others.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn admit_first(&self, line: &str) {
        let file = self.data_dir().join("pg_hba.conf");
        let given = fs::read_to_string(&file).expect("initdb wrote it");
        fs::write(&file, format!("{line}\n{given}")).expect("is writable");
        self.reload();
    }

    /// SIGHUP: reads its settings again.
    pub fn reload(&self) {
        process::signal(self.pid(), "HUP");
    }

    /// After [`Self::kill`].
    pub fn up(&mut self) {
        let log = File::options().create(true).append(true).open(self.log()).expect("a log file");
        let mut command = self.tool("postgres");
        command.arg("-D").arg(self.data_dir());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let mut child = command.spawn().expect("starts");
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("PostgreSQL ended at once ({status}):\n{}", self.last_words());
            }
            assert!(Instant::now() < deadline, "PostgreSQL did not start:\n{}", self.last_words());
            process::pause(LOOK_EVERY);
        }
        self.server = Some(child);
    }

    /// What a statement answers, as `psql -At` prints it.
    ///
    /// # Errors
    /// What `psql` says, or that there is none beside the server.
    pub fn ask(&self, database: &str, statement: &str) -> std::io::Result<String> {
        let mut psql = self.tool("psql");
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement]).arg(self.url(database));
        let answer = psql.stdin(Stdio::null()).output()?;
        if !answer.status.success() {
            return Err(std::io::Error::other(String::from_utf8_lossy(&answer.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&answer.stdout).trim_end().to_owned())
    }

    /// What the log ends with.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn make(&self) {
        process::hand_over(self.directory.path(), UNPRIVILEGED_UID);
        let mut initdb = self.tool("initdb");
        initdb.arg("-D").arg(self.data_dir()).args([
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        let made = initdb.stdin(Stdio::null()).output().expect("initdb runs");
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let ours = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nmax_connections = 300\n\
             shared_buffers = 64MB\n{}\n",
            self.port,
            self.settings.join("\n")
        );
        let file = self.data_dir().join("postgresql.conf");
        let given = fs::read_to_string(&file).expect("initdb wrote it");
        fs::write(&file, format!("{given}\n{ours}")).expect("is writable");
    }

    fn answers(&self) -> bool {
        // A connection is taken only once recovery is over; before, it is told so and closed.
        process::says_ready(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)), USER)
    }

    fn down(&mut self, signal: &str) {
        let Some(mut child) = self.server.take() else { return };
        process::signal(child.id(), signal);
        let deadline = Instant::now() + PATIENCE;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                process::signal(child.id(), "KILL");
            }
            process::pause(LOOK_EVERY);
        }
        // Its children hold the shared memory until they have noticed.
        while process::any_child_of(&self.data_dir()) && Instant::now() < deadline {
            process::pause(LOOK_EVERY);
        }
    }

    fn tool(&self, name: &str) -> Command {
        process::as_user(&self.bin.join(name), UNPRIVILEGED_UID, self.directory.path())
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.down("QUIT");
    }
}

fn binaries() -> Option<PathBuf> {
    let is_one = |directory: &PathBuf| directory.join("initdb").exists() && directory.join("postgres").exists();
    if let Some(named) = std::env::var_os("DACAPO_POSTGRES_BIN") {
        return Some(PathBuf::from(named)).filter(is_one);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut packaged: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, directory)| is_one(directory))
        .collect();
    packaged.sort();
    packaged
        .pop()
        .map(|(_, directory)| directory)
        .or_else(|| std::env::split_paths(&std::env::var_os("PATH")?).find(is_one))
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("is bound").port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_up_goes_down_and_comes_back() {
        let mut server = Postgres::start(&[]);
        let first = server.pid();
        server.restart(true);
        assert_ne!(server.pid(), first);
        server.kill();
        assert!(!server.answers());
        server.up();
        assert!(server.answers());
    }
}
