//! Where the binary under test is.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Folders above the running test that may hold `dacapo`: `deps/` and the profile's folder.
const FOLDERS_UP_MAX: usize = 2;

/// `$DACAPO_BIN`, or the newest `dacapo` beside the running test or in the workspace's target folder.
pub fn binary() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("DACAPO_BIN") {
        let path = PathBuf::from(named);
        if path.is_file() {
            return Ok(path.canonicalize()?);
        }
        bail!("DACAPO_BIN names no file: {}", path.display());
    }
    let own = std::env::current_exe().context("own path")?;
    let beside = own.ancestors().skip(1).take(FOLDERS_UP_MAX).map(Path::to_owned);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let built = ["test-bin", "debug"].into_iter().map(|profile| workspace.join(profile));
    let found = beside.chain(built).map(|folder| folder.join("dacapo")).filter(|path| path.is_file());
    if let Some(newest) = found.max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok()) {
        return Ok(newest.canonicalize()?);
    }
    bail!("no `dacapo` binary: build it (`cargo build -p dacapo`) or name it in DACAPO_BIN")
}

/// A binary in the same folder as the running one.
pub fn sibling(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe().context("own path")?.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    bail!("no `{name}` beside the running binary: build it in the same profile")
}
