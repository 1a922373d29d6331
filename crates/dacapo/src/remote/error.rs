//! What can go wrong on the way to a gateway, in words that say what to do.

use http::StatusCode;
use serde_json::Value;
use std::error::Error;

#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error("cannot reach {url}: {cause}; is the gateway running there (dacapo serve)?")]
    Unreachable { url: String, cause: String },
    #[error("{url} has not answered in time; the call may have been carried out")]
    Silent { url: String },
    #[error("{url} broke off its answer: {cause}; the call may have been carried out")]
    BrokenOff { url: String, cause: String },
    #[error("{url} broke off in the middle: {cause}; what was written is not all of it")]
    Half { url: String, cause: String },
    #[error("what answers at {url} is no Dacapo gateway")]
    NoGateway { url: String },
    #[error("the key was not accepted: {0} (--key, DACAPO_API_KEY)")]
    Key(String),
    #[error("{0}")]
    Refused(String),
    /// The gateway's own trouble: the same call may go through later.
    #[error("the gateway answered {status}: {text}")]
    Failed { status: StatusCode, text: String },
}

impl RemoteError {
    /// With the cause at the bottom, which is the one that tells people something.
    pub fn unreachable(url: &str, error: &dyn Error) -> Self {
        let mut cause = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Self::Unreachable { url: url.to_owned(), cause: cause.to_string() }
    }

    /// A refusal in other words.
    pub fn reworded(error: anyhow::Error, words: fn(&str) -> String) -> anyhow::Error {
        match error.downcast::<Self>() {
            Ok(Self::Refused(text)) => Self::Refused(words(&text)).into(),
            Ok(other) => other.into(),
            Err(error) => error,
        }
    }

    pub fn refused(status: StatusCode, body: &[u8]) -> Self {
        let message =
            serde_json::from_slice::<Value>(body).ok().and_then(|body| Some(body["message"].as_str()?.to_owned()));
        let text = message.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Key(text),
            _ if status.is_client_error() && !text.is_empty() => Self::Refused(text),
            _ => Self::Failed { status, text },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_said_in_the_gateways_words() {
        let refused = |status, body: &str| RemoteError::refused(status, body.as_bytes()).to_string();
        let envelope = r#"{"status":false,"message":"from: \"soon\" is no time"}"#;
        assert_eq!(refused(StatusCode::BAD_REQUEST, envelope), "from: \"soon\" is no time");
        assert!(refused(StatusCode::UNAUTHORIZED, r#"{"message":"authorization failed"}"#).contains("--key"));
        assert_eq!(refused(StatusCode::BAD_GATEWAY, "<html>"), "the gateway answered 502 Bad Gateway: <html>");
        assert_eq!(refused(StatusCode::NOT_FOUND, ""), "the gateway answered 404 Not Found: ");
    }
}
