//! Real payloads and foreign clients: every GitHub example of `@octokit/webhooks-examples` arrives byte for byte, its
//! signatures hold for code that is not ours, and Convoy's own client runs unchanged. The scripts are in `tests/sdk`.

use anyhow::{Context, Result, ensure};
use dacapo_testkit::product::Product;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// Installing from the registries, once.
const SETUP_WITHIN: Duration = Duration::from_secs(300);
/// One script against the product.
const SCRIPT_WITHIN: Duration = Duration::from_secs(180);

static INSTALLED: OnceCell<()> = OnceCell::const_new();

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sdk")
}

async fn script(within: Duration, command: &mut Command) -> Result<()> {
    let child = command.current_dir(folder()).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(within, child.output()).await.context("did not end")??;
    let tell = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    eprintln!("{}", tell(&output.stdout));
    ensure!(output.status.success(), "{}\n{}\n{}", output.status, tell(&output.stdout), tell(&output.stderr));
    Ok(())
}

/// Both tests need the packages; one of them installs.
async fn installed() -> Result<()> {
    let install = async || script(SETUP_WITHIN, &mut Command::new("./setup.sh")).await;
    INSTALLED.get_or_try_init(install).await.context("tests/sdk/setup.sh")?;
    Ok(())
}

fn with_keys<'a>(command: &'a mut Command, product: &Product) -> &'a mut Command {
    let keys = product.keys();
    command
        .env("DACAPO_URL", product.url())
        .env("DACAPO_PROJECT_ID", &keys.project_id)
        .env("DACAPO_API_KEY", &keys.api_key)
        .env("DACAPO_CONNECT_KEY", &keys.connect_key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_payloads_arrive_byte_for_byte_and_signed() -> Result<()> {
    installed().await?;
    let product = Product::fresh().await?;
    let dir = tempfile::tempdir()?;
    let received = dir.path().join("received.jsonl");
    let mut send = Command::new("node");
    send.arg("real_input.mjs").arg(&received);
    script(SCRIPT_WITHIN, with_keys(&mut send, &product)).await.with_context(|| product.log_tail())?;
    script(SCRIPT_WITHIN, Command::new(".venv/bin/python").arg("verify.py").arg(&received)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn convoys_own_client_runs_unchanged() -> Result<()> {
    installed().await?;
    let product = Product::fresh().await?;
    let mut smoke = Command::new(".venv/bin/python");
    smoke.arg("smoke.py");
    script(SCRIPT_WITHIN, with_keys(&mut smoke, &product)).await.with_context(|| product.log_tail())
}
