//! PgBouncer in front of a server, on a free port in a directory of its own.

use crate::postgres::{LOOK_EVERY, PATIENCE, Postgres, UNPRIVILEGED_UID, USER, free_port};
use crate::process;
use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::time::Instant;
use tempfile::TempDir;

const HOW_TO_GET_IT: &str = "PgBouncer is needed for this test and was not found. Install it \
(Debian, Ubuntu: apt-get install pgbouncer; Fedora: dnf install pgbouncer; macOS: brew install pgbouncer).";

/// When a client's server connection goes back to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    Session,
    Transaction,
}

/// Ended when dropped.
pub struct PgBouncer {
    port: u16,
    process: Child,
    _directory: TempDir,
}

impl PgBouncer {
    /// With at most `connections` to the server.
    ///
    /// # Panics
    /// When it cannot be had or does not start; the message says what to do.
    pub fn start(server: &Postgres, pooling: Pooling, connections: usize) -> Self {
        let program = process::find("pgbouncer").unwrap_or_else(|| panic!("{HOW_TO_GET_IT}"));
        let directory = TempDir::with_prefix("dacapo-pgb-").expect("a place for files");
        process::hand_over(directory.path(), UNPRIVILEGED_UID);
        let port = free_port();
        let mode = match pooling {
            Pooling::Session => "session",
            Pooling::Transaction => "transaction",
        };
        // The driver's parameters at its start that the pooler does not follow are left aside.
        let settings = format!(
            "[databases]\n* = user={USER} host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = {connections}\n\
             max_client_conn = 200\nignore_startup_parameters = extra_float_digits\n",
            server.port()
        );
        let file = directory.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("is writable");
        let log = File::create(directory.path().join("log")).expect("a log file");
        let mut command = process::as_user(&program, UNPRIVILEGED_UID, directory.path());
        command.arg(&file).stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let process = command.spawn().expect("starts");
        let pooler = Self { port, process, _directory: directory };
        let deadline = Instant::now() + PATIENCE;
        while !process::takes_connections(port) {
            let words = fs::read_to_string(pooler._directory.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "PgBouncer did not start:\n{words}");
            process::pause(LOOK_EVERY);
        }
        pooler
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        process::end(&mut self.process);
    }
}
