//! `dacapo migrate`: brings the shared database's schema up to date, or says what it is.

use crate::config::Config;
use crate::{gateway, terminal};
use anyhow::{Context, Result, bail};
use dacapo_store::postgres::PostgresStore;

/// With `check` nothing is changed, and a schema that is not up to date is an error.
pub async fn run(config: &Config, check: bool) -> Result<()> {
    let Some(options) = gateway::database(config, "dacapo migrate") else {
        bail!("the embedded store migrates by itself at each start; name a database with --database-url postgres://…");
    };
    let done = PostgresStore::migrate(&options, check).await.context("cannot migrate the database")?;
    if check && done.found != done.known {
        bail!("the schema has version {}, this program wants {}: run `dacapo migrate`", done.found, done.known);
    }
    terminal::print(&match done.found == done.known {
        true => format!("The schema is up to date (version {}).\n", done.known),
        false => format!("The schema went from version {} to {}.\n", done.found, done.known),
    });
    Ok(())
}
