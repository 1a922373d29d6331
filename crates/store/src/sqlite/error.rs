//! SQLite's answers in the store's words.

use crate::StoreError;
use rusqlite::ErrorCode;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let Some(code) = error.sqlite_error_code() else {
            return Self::Refused(error.to_string());
        };
        match code {
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed => Self::Unavailable(error.to_string()),
            // Nobody but the readers' deadline interrupts.
            ErrorCode::OperationInterrupted => Self::TooSlow,
            _ => Self::Refused(error.to_string()),
        }
    }
}
