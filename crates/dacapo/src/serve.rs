//! `dacapo serve`: from the configuration to a clean end.

use crate::announce::Announcement;
use crate::config::Config;
use crate::first_run;
use crate::gateway::{self, Gateway};
use crate::shutdown::{self, Signals};
use crate::{files, server, terminal};
use anyhow::{Context, Result};
use dacapo_engine::DeliveryThreads;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::time::Instant;

/// Tells scripts and tests where this process is reached, as long as it runs.
const LISTENING_FILE: &str = "listening.json";

#[derive(Serialize)]
struct Listening<'a> {
    url: &'a str,
    pid: u32,
}

/// `delivery`: where deliveries are sent; see [`crate::threads`].
pub async fn run(config: Config, delivery: DeliveryThreads) -> Result<()> {
    let signals = Signals::listen().context("cannot watch for signals")?;
    files::make_directory(&config.data_dir)
        .with_context(|| format!("cannot make the data directory {}", config.data_dir.display()))?;
    let listener = server::bind(config.listen).await?;
    let url = config.public_url.clone().unwrap_or_else(|| reached_at(listener.local_addr().unwrap_or(config.listen)));
    let Gateway { control, engine, surfaces } = gateway::build(&config, &url, delivery).await?;
    let start = first_run::prepare(&control, &config.data_dir, &url).await?;

    let announcement = Announcement {
        program: &program(),
        url: &url,
        data_dir: &config.data_dir,
        loopback_allowed: config
            .allow_networks
            .iter()
            .any(|network| network.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST))),
    };
    terminal::print(&announcement.text(&start));
    let listening = LISTENING_FILE;
    files::write_json(&config.data_dir, listening, &Listening { url: &url, pid: std::process::id() })
        .with_context(|| format!("cannot write {listening}"))?;
    tracing::info!(%url, data_dir = %config.data_dir.display(), "ready");

    // Requests get half of the time to finish, deliveries the rest.
    let stop = async {
        shutdown::requested(signals).await;
        tracing::info!(within = ?config.drain_timeout, "stopping; a second signal ends at once");
    };
    let surfaces = Arc::new(surfaces);
    let handler = move |request| {
        let surfaces = surfaces.clone();
        async move { surfaces.answer(request).await }
    };
    server::serve(listener, handler, stop, config.drain_timeout / 2).await;
    let started = Instant::now();
    engine.drain(config.drain_timeout / 2).await;
    tracing::info!(took = ?started.elapsed(), "drained");
    remove(&config.data_dir.join(listening));
    Ok(())
}

/// `0.0.0.0` is no address to call.
fn reached_at(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// As it was called, so that the lines shown can be pasted.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "dacapo".to_owned(), |name| PathBuf::from(name).display().to_string())
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!(%error, path = %path.display(), "cannot remove");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_reached_on_the_loopback() {
        let reached = |text: &str| reached_at(text.parse().unwrap());
        assert_eq!(reached("0.0.0.0:5005"), "http://127.0.0.1:5005");
        assert_eq!(reached("[::]:5005"), "http://[::1]:5005");
        assert_eq!(reached("10.1.2.3:80"), "http://10.1.2.3:80");
    }
}
