//! `dacapo listen`: a receiver on this machine that shows what arrives and checks its signature.

mod show;
mod verify;

use crate::cli::ListenOptions;
use crate::shutdown::{self, Signals};
use crate::{server, terminal};
use anyhow::{Context, Result};
use axum::body::Body;
use bytes::Bytes;
use dacapo_model::Clock;
use dacapo_model::clock::SystemClock;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use show::Arrival;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A longer body is answered 413.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A body that takes longer is answered 408.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// For answers under way when the receiver is stopped.
const STOP_WITHIN: Duration = Duration::from_secs(1);

pub async fn run(options: ListenOptions) -> Result<()> {
    let signals = Signals::listen().context("cannot watch for signals")?;
    let listener = server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, options.port))).await?;
    terminal::print(&greeting(listener.local_addr()?, &options));
    let options = Arc::new(options);
    let handler = move |request| receive(options.clone(), request);
    server::serve(listener, handler, shutdown::requested(signals), STOP_WITHIN).await;
    Ok(())
}

fn greeting(address: SocketAddr, options: &ListenOptions) -> String {
    let checked = match &options.secret {
        Some(_) => "signatures are checked",
        None => "signatures are not checked (--secret)",
    };
    format!("Receiving on http://{address}/, answering {}; {checked}. Ctrl-C ends it.\n\n", options.status)
}

async fn receive(options: Arc<ListenOptions>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = match whole(body).await {
        Ok(body) => body,
        Err(status) => {
            terminal::print(&format!("{} {}: {status}, not read\n", head.method, head.uri));
            return answer(status);
        }
    };
    let now = SystemClock.now();
    let verdict = verify::verdict(options.secret.as_deref(), &head.headers, &body, now);
    let arrival = Arrival { at: now, head: &head, body: &body, verdict, status: options.status };
    terminal::print(&show::text(&arrival, options.compact, terminal::colours(&std::io::stdout())));
    tokio::time::sleep(Duration::from_millis(options.delay_ms)).await;
    answer(StatusCode::from_u16(options.status).unwrap_or(StatusCode::OK))
}

async fn whole(body: Body) -> Result<Bytes, StatusCode> {
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    match collected {
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

fn answer(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
