//! The contract on this engine, and what only this engine can do wrong.

mod faults;
mod growth;
mod versions;

use super::{FILE_NAME, SqliteStore};
use crate::Store;
use crate::conformance::Place;
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A directory; after a crash, a copy of it.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(TempDir::new().expect("a place for files"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(FILE_NAME)
    }

    fn open_store(&self) -> crate::Result<SqliteStore> {
        SqliteStore::open(self.0.path())
    }
}

#[async_trait]
impl Place for Directory {
    async fn open(&self) -> crate::Result<Arc<dyn Store>> {
        Ok(Arc::new(self.open_store()?))
    }

    /// Copies the file and its log while they are open: closing would tidy up.
    async fn crash(&mut self) {
        let next = Self::new();
        for suffix in ["", "-wal"] {
            let name = format!("{FILE_NAME}{suffix}");
            let from = self.0.path().join(&name);
            if from.exists() {
                std::fs::copy(from, next.0.path().join(&name)).expect("copies");
            }
        }
        *self = next;
    }
}

fn directory() -> Box<dyn Place> {
    Box::new(Directory::new())
}

mod conformance {
    crate::conformance::suite!(super::super::directory);
}
