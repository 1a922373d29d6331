//! `forwarder --target URL`: the baseline of the benchmark as a process of its own, so that its CPU time can be told
//! from the generator's and the sink's. Prints its address as the first line.

use anyhow::{Context, Result};
use clap::Parser;
use dacapo_testkit::forwarder;
use std::io::Write;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A forwarder without storage, to compare Dacapo with.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 picks one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Where every body goes
    #[arg(long)]
    target: http::Uri,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind(&arguments.listen).await.context("forwarder: bind")?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}", listener.local_addr()?)?;
    out.flush()?;
    forwarder::serve(listener, arguments.target).await
}
