//! A standby that follows a server, and takes its place.

use super::{Postgres, free_port};
use std::fs;
use std::process::Stdio;
use tempfile::TempDir;

/// The standby's name to its primary.
const NAME: &str = "standby";

impl Postgres {
    /// Another server that follows this one by streaming. From here on a commit here is acknowledged once
    /// it is on both.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn synchronous_standby(&self) -> Self {
        let directory = TempDir::with_prefix("dacapo-pg-").expect("a place for files");
        let mut standby =
            Self { bin: self.bin.clone(), directory, port: free_port(), settings: Vec::new(), server: None };
        crate::process::hand_over(standby.directory.path(), super::UNPRIVILEGED_UID);
        let primary = format!("host=127.0.0.1 port={} user={} application_name={NAME}", self.port, super::USER);
        let mut backup = standby.tool("pg_basebackup");
        backup.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]);
        backup.arg("--pgdata").arg(standby.data_dir()).arg("--dbname").arg(primary);
        let made = backup.stdin(Stdio::null()).output().expect("pg_basebackup runs");
        assert!(made.status.success(), "pg_basebackup failed: {}", String::from_utf8_lossy(&made.stderr));
        let file = standby.data_dir().join("postgresql.conf");
        let given = fs::read_to_string(&file).expect("was copied");
        // The last word counts. A primary that is gone is looked for again soon.
        let own = format!("port = {}\nwal_retrieve_retry_interval = 500ms\n", standby.port);
        fs::write(&file, format!("{given}\n{own}")).expect("is writable");
        standby.up();
        // After the copy, which therefore does not wait for a standby when it takes over.
        let wait = format!("ALTER SYSTEM SET synchronous_standby_names = '{NAME}'");
        self.ask("postgres", &wait).expect("is set");
        self.reload();
        self.wait_for("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", "1");
        standby
    }

    /// A standby becomes a primary.
    ///
    /// # Panics
    /// When it does not.
    pub fn promote(&self) {
        self.ask("postgres", "SELECT pg_promote(true, 30)").expect("is promoted");
        self.wait_for("SELECT pg_is_in_recovery()", "f");
    }

    fn wait_for(&self, question: &str, wanted: &str) {
        let deadline = std::time::Instant::now() + super::PATIENCE;
        while self.ask("postgres", question).ok().as_deref() != Some(wanted) {
            assert!(std::time::Instant::now() < deadline, "{question}: not {wanted}\n{}", self.last_words());
            crate::process::pause(super::LOOK_EVERY);
        }
    }
}
