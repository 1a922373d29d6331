//! Errors of the client as outcomes with a text a user can act on.

use super::connector::{ConnectError, Dialled};
use crate::transport::Failure;
use http::Extensions;
use hyper_util::client::legacy;
use std::error::Error;
use std::net::IpAddr;

/// An exchange without an answer.
pub(super) struct Stopped {
    pub ip: Option<IpAddr>,
    pub failure: Failure,
}

impl Stopped {
    pub(super) fn from_client(error: legacy::Error) -> Self {
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(connect) = cause.downcast_ref::<ConnectError>() {
                return Self { ip: connect.ip, failure: connect.failure.clone() };
            }
            source = cause.source();
        }
        let mut extras = Extensions::new();
        if let Some(connected) = error.connect_info() {
            connected.get_extras(&mut extras);
        }
        let ip = extras.get::<Dialled>().map(|dialled| dialled.0);
        // The outermost layer only says "client error (SendRequest)".
        let text = error.source().map_or_else(|| "the URL is not absolute".to_owned(), chain);
        Self { ip, failure: Failure::Broken(text) }
    }
}

/// An error and its causes, outermost first, each said once.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}
