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
            "{}: a pooler in between loses prepared statements; turn them off with --database-prepared false",
            words(error)
        ));
    }
    let passes = PASSING.contains(&&code.code()[..2])
        || [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT].contains(code);
    if passes { StoreError::Unavailable(words(error)) } else { StoreError::Refused(words(error)) }
}

/// What an operator does about it.
fn fix(code: &SqlState) -> Option<&'static str> {
    const FIXES: &[(SqlState, &str)] = &[
        (SqlState::INVALID_PASSWORD, "check the user and the password in the database URL"),
        (
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "check the user in the database URL, and that pg_hba.conf lets it in from here",
        ),
        (
            SqlState::INVALID_CATALOG_NAME,
            "check the database's name in the URL, or make it: CREATE DATABASE … ENCODING 'UTF8'",
        ),
        (
            SqlState::INSUFFICIENT_PRIVILEGE,
            "its role needs to own the database, or: GRANT CONNECT, CREATE ON DATABASE …, GRANT USAGE, CREATE ON SCHEMA public, and \
             where functions are not everybody's, GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public",
        ),
        (
            SqlState::TOO_MANY_CONNECTIONS,
            "a node holds up to 16: raise max_connections or the role's CONNECTION LIMIT, or put PgBouncer in between",
        ),
        (SqlState::DISK_FULL, "free space on the database server; events are refused until then, none is lost"),
        (
            SqlState::READ_ONLY_SQL_TRANSACTION,
            "this is a standby or set read-only: name the primary, or several hosts with target_session_attrs=read-write",
        ),
    ];
    FIXES.iter().find(|(known, _)| known == code).map(|(_, fix)| *fix)
}

/// Errors print their causes' texts only when asked.
fn words(error: &Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(told), _) => {
            let said = format!("{} ({})", told.message(), told.code().code());
            fix(told.code()).map_or_else(|| said.clone(), |fix| format!("{said}; {fix}"))
        }
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
