//! PostgreSQL's answers in the store's words: by their codes, never by their texts, which are
//! translated.

use crate::StoreError;
use deadpool_postgres::PoolError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Raised by the functions of schema.sql.
pub const STALE_CATALOG: &str = "DC001";

/// Classes (the first two characters of a code) that pass: connection exceptions, transaction
/// rollbacks (serialization, deadlock), insufficient resources, lock not available, operator
/// intervention, system errors, and rights that an administrator will have to give.
const PASSING: [&str; 7] = ["08", "40", "53", "55", "57", "58", "28"];

/// As [`StoreError::Unavailable`] where trying again later may work.
pub fn from_postgres(error: &Error) -> StoreError {
    let Some(code) = error.code() else {
        // No code: it never came to an answer (connection, TLS, protocol, a value that does not fit).
        let is_ours = std::error::Error::source(error).is_none() && !error.is_closed();
        return if is_ours { StoreError::Refused(words(error)) } else { StoreError::Unavailable(words(error)) };
    };
    if [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT].contains(code) {
        return StoreError::Refused(format!(
            "{}: a pooler in between loses prepared statements; turn them off",
            words(error)
        ));
    }
    let passes = PASSING.contains(&&code.code()[..2])
        || [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT].contains(code);
    if passes { StoreError::Unavailable(words(error)) } else { StoreError::Refused(words(error)) }
}

/// Errors print their causes' texts only when asked.
fn words(error: &Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(told), _) => format!("{} ({})", told.message(), told.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        from_postgres(&error)
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(cause) => match from_postgres(&cause) {
                // Nothing was asked of the server yet: whatever it is, it may pass.
                Self::Refused(text) => Self::Unavailable(text),
                other => other,
            },
            PoolError::Timeout(_) => Self::Unavailable("no connection became free in time".to_owned()),
            PoolError::Closed => closed(),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

pub fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}
