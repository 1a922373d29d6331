//! When the store cannot commit, nothing is acknowledged: 503 with `Retry-After`, not ready, and it recovers by itself.
//! Another process holds SQLite's write lock, which is what a full or locked disk looks like from inside.

use anyhow::{Context, Result, bail, ensure};
use dacapo_testkit::product::{Product, wait_until};
use dacapo_testkit::sink::{Keep, Plan, Sink};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

/// The engine may wait for the lock before it gives up, but not long.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Between two tries for the write lock, which the writer thread holds now and then.
const LOCK_TIMEOUT_SECONDS: u32 = 20;

/// Another process with the write lock, until dropped.
struct Lock {
    holder: Child,
    release: Option<ChildStdin>,
}

impl Lock {
    fn take(database: &Path) -> Result<Self> {
        let program = format!(
            "import sqlite3, sys\n\
             db = sqlite3.connect(sys.argv[1], timeout={LOCK_TIMEOUT_SECONDS}, isolation_level=None)\n\
             db.execute('BEGIN EXCLUSIVE')\n\
             print('locked', flush=True)\n\
             sys.stdin.readline()\n\
             db.execute('ROLLBACK')\n"
        );
        let mut holder = Command::new("python3")
            .args(["-c", &program])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("python3 holds the lock")?;
        let release = holder.stdin.take();
        let out = holder.stdout.take();
        let lock = Self { holder, release };
        let mut line = String::new();
        BufReader::new(out.context("no output")?).read_line(&mut line)?;
        ensure!(line.trim() == "locked", "the lock could not be had: {line:?}");
        Ok(lock)
    }

    fn release(mut self) -> Result<()> {
        if let Some(mut stdin) = self.release.take() {
            stdin.write_all(b"\n")?;
        }
        ensure!(self.holder.wait()?.success(), "the holder of the lock failed");
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The one file in the data directory that is an SQLite database.
fn database(data_dir: &Path) -> Result<PathBuf> {
    for entry in std::fs::read_dir(data_dir)? {
        let path = entry?.path();
        let mut magic = [0; 15];
        let is_file = path.is_file();
        if is_file && std::fs::File::open(&path)?.read_exact(&mut magic).is_ok() && &magic == b"SQLite format 3" {
            return Ok(path);
        }
    }
    bail!("no SQLite database in {}", data_dir.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_commit_refuses_and_recovers_by_itself() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = Sink::start(Plan::default(), Keep { markers: 100, requests: 0 }).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    product.send(&endpoint, "test.event", &json!({"n": 1})).await?.expect(201)?;

    let lock = Lock::take(&database(product.data_dir())?)?;
    let refused = wait_until(REFUSED_WITHIN, "503", async || {
        let reply = product.send(&endpoint, "test.event", &json!({"n": 2})).await?;
        Ok((reply.status == 503).then_some(reply))
    })
    .await?;
    let retry_after: u64 = refused.header("retry-after").parse().context("Retry-After in whole seconds")?;
    ensure!(retry_after >= 1, "Retry-After: {retry_after}");
    ensure!(refused.body["status"] == false, "not in the surface's shape: {}", refused.text);
    wait_until(READY_WITHIN, "not ready", async || {
        let reply = product.client().get("/readyz", None).await?;
        Ok((reply.status != 200).then_some(()))
    })
    .await?;
    ensure!(product.client().get("/healthz", None).await?.status == 200, "alive all the same");

    lock.release()?;
    wait_until(READY_WITHIN, "ready again", async || {
        let reply = product.client().get("/readyz", None).await?;
        Ok((reply.status == 200).then_some(()))
    })
    .await?;
    product.send(&endpoint, "test.event", &json!({"n": 3})).await?.expect(201)?;
    wait_until(READY_WITHIN, "what was acknowledged is delivered", async || {
        let ledger = sink.record().ledger();
        Ok((ledger.count(1) == 1 && ledger.count(3) == 1).then_some(()))
    })
    .await?;
    // Nothing was said about it, so nothing is known of it: 503 means it is not there.
    ensure!(sink.record().ledger().count(2) == 0, "a refused event was delivered");
    Ok(())
}
