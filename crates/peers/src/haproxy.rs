//! HAProxy in front of a primary and a standby: to the first while it lives, then to the second.

use crate::postgres::{LOOK_EVERY, PATIENCE, Postgres, UNPRIVILEGED_UID, USER, free_port};
use crate::process;
use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::time::Instant;
use tempfile::TempDir;

const HOW_TO_GET_IT: &str = "HAProxy is needed for this test and was not found. Install it \
(Debian, Ubuntu: apt-get install haproxy; Fedora: dnf install haproxy; macOS: brew install haproxy).";

/// Ended when dropped.
pub struct Haproxy {
    port: u16,
    process: Child,
    _directory: TempDir,
}

impl Haproxy {
    /// # Panics
    /// When it cannot be had or does not start; the message says what to do.
    pub fn start(primary: &Postgres, standby: &Postgres) -> Self {
        let program = process::find("haproxy").unwrap_or_else(|| panic!("{HOW_TO_GET_IT}"));
        let directory = TempDir::with_prefix("dacapo-hap-").expect("a place for files");
        process::hand_over(directory.path(), UNPRIVILEGED_UID);
        let port = free_port();
        // As docs/operations.md says.
        let settings = format!(
            "global\n  maxconn 500\ndefaults\n  mode tcp\n  timeout connect 2s\n  timeout client 5m\n  timeout server 5m\n\
             listen postgres\n  bind 127.0.0.1:{port}\n  option pgsql-check user {USER}\n\
             \x20 default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions\n\
             \x20 server primary 127.0.0.1:{} check\n  server standby 127.0.0.1:{} check backup\n",
            primary.port(),
            standby.port()
        );
        let file = directory.path().join("haproxy.cfg");
        fs::write(&file, settings).expect("is writable");
        let log = File::create(directory.path().join("log")).expect("a log file");
        let mut command = process::as_user(&program, UNPRIVILEGED_UID, directory.path());
        command.arg("-db").arg("-f").arg(&file);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let process = command.spawn().expect("starts");
        let balancer = Self { port, process, _directory: directory };
        let deadline = Instant::now() + PATIENCE;
        while !process::takes_connections(port) {
            let words = fs::read_to_string(balancer._directory.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "HAProxy did not start:\n{words}");
            process::pause(LOOK_EVERY);
        }
        balancer
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        process::end(&mut self.process);
    }
}
