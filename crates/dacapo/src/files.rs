//! Files in the data directory that other programs read: whole or not there at all.

use serde::Serialize;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Result, Write};
use std::path::Path;

/// Makes the data directory for this user alone, if there is none: secrets live in it.
pub fn make_directory(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Readable by this user alone; durable when it returns.
pub fn write_json(directory: &Path, name: &str, content: &impl Serialize) -> Result<()> {
    let (path, half) = (directory.join(name), directory.join(format!(".{name}.new")));
    let mut text = serde_json::to_vec_pretty(content)?;
    text.push(b'\n');
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // A half-written one of a killed process may have another mode.
    let _ = std::fs::remove_file(&half);
    let mut file = options.open(&half)?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(&half, &path)?;
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_written_is_for_this_user_alone() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b");
        make_directory(&directory).unwrap();
        for round in 0..2 {
            write_json(&directory, "keys.json", &round).unwrap();
            let path = directory.join("keys.json");
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{round}\n"));
        }
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    }
}
