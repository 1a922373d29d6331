//! The first start on a data directory: something to log in and to send with.

use crate::files;
use anyhow::{Context, Result};
use dacapo_control::Control;
use dacapo_control::bootstrap::{self, BootstrapError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const FILE: &str = "first-run.json";
const ORGANISATION: &str = "My organisation";
const ADMIN_EMAIL: &str = "admin@dacapo.local";

/// `first-run.json`. Has no `Debug`: these are secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstRun {
    pub url: String,
    pub organisation_id: String,
    pub project_id: String,
    pub api_key: String,
    pub connect_key: String,
    pub admin_email: String,
    pub admin_password: String,
}

pub enum Start {
    First(FirstRun),
    /// Set up before; the file may have been put elsewhere since.
    Later {
        file_exists: bool,
    },
}

pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Sets an empty store up. `url`: where this server is reached; a file from before learns a new one.
pub async fn prepare(control: &Control, data_dir: &Path, url: &str) -> Result<Start> {
    if !control.is_empty() {
        return follow(data_dir, url);
    }
    let keep = |made: &bootstrap::FirstRun| files::write_json(data_dir, FILE, &FirstRun::of(made, url));
    match control.bootstrap(ORGANISATION, ADMIN_EMAIL, keep).await {
        Ok(made) => Ok(Start::First(FirstRun::of(&made, url))),
        // Another node was faster: the keys are with it.
        Err(BootstrapError::NotEmpty) => follow(data_dir, url),
        Err(cause) => Err(cause).context("cannot set up the first project"),
    }
}

impl FirstRun {
    fn of(made: &bootstrap::FirstRun, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            organisation_id: made.organisation_id.to_string(),
            project_id: made.project_id.to_string(),
            api_key: made.api_key.clone(),
            connect_key: made.connect_key.clone(),
            admin_email: made.admin_email.clone(),
            admin_password: made.admin_password.clone(),
        }
    }
}

fn follow(data_dir: &Path, url: &str) -> Result<Start> {
    let Ok(text) = std::fs::read(path(data_dir)) else { return Ok(Start::Later { file_exists: false }) };
    // What somebody changed by hand is left alone.
    if let Ok(before) = serde_json::from_slice::<FirstRun>(&text)
        && before.url != url
    {
        save(data_dir, &FirstRun { url: url.to_owned(), ..before })?;
    }
    Ok(Start::Later { file_exists: true })
}

fn save(data_dir: &Path, first_run: &FirstRun) -> Result<()> {
    files::write_json(data_dir, FILE, first_run).with_context(|| format!("cannot write {}", path(data_dir).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(url: &str) -> FirstRun {
        let text = || "x".to_owned();
        FirstRun {
            url: url.to_owned(),
            organisation_id: text(),
            project_id: text(),
            api_key: text(),
            connect_key: text(),
            admin_email: text(),
            admin_password: text(),
        }
    }

    #[test]
    fn a_later_start_keeps_the_keys_and_learns_the_new_address() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(follow(directory.path(), "u"), Ok(Start::Later { file_exists: false })));
        save(directory.path(), &sample("http://127.0.0.1:1")).unwrap();
        assert!(matches!(follow(directory.path(), "http://127.0.0.1:2"), Ok(Start::Later { file_exists: true })));
        let text = std::fs::read(path(directory.path())).unwrap();
        assert!(serde_json::from_slice::<FirstRun>(&text).unwrap() == sample("http://127.0.0.1:2"));
    }
}
