//! Dacapo, the program: crypto provider → configuration → telemetry → build → announce → serve → drain.

mod announce;
mod cli;
mod config;
mod copy;
mod events;
mod files;
mod first_run;
mod gateway;
mod listen;
mod migrate;
mod nodes;
mod ping;
mod remote;
mod replay;
mod serve;
mod server;
mod shutdown;
mod telemetry;
mod terminal;
mod threads;

use anyhow::Result;
use clap::Parser;
use cli::{Cli, ConfigOptions, ServerOptions, Verb};
use config::{Config, Sources};
use std::process::ExitCode;

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit code of a start that was refused for what it was told.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::error(&format!("{error:#}"));
            ExitCode::from(if error.is::<config::Problems>() { EXIT_USAGE } else { 1 })
        }
    }
}

fn run(command: Verb) -> Result<()> {
    // TLS is the transport's business, which names its provider itself; this is for whoever does not.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match command {
        Verb::Serve(options) => {
            let config = Config::from_sources(&gather(&options)?)?;
            telemetry::start(&config);
            raise_open_files_limit();
            let delivery = threads::delivery()?;
            threads::intake()?.block_on(serve::run(config, delivery.handles.clone()))
        }
        Verb::Listen(options) => threads::intake()?.block_on(listen::run(options)),
        Verb::Migrate(options) => {
            let config = Config::from_sources(&gather(&options.server)?)?;
            threads::intake()?.block_on(migrate::run(&config, options.check))
        }
        Verb::Nodes(options) => {
            let config = Config::from_sources(&gather(&options.server)?)?;
            threads::intake()?.block_on(nodes::run(&config, options.json))
        }
        Verb::Copy(options) => threads::intake()?.block_on(copy::run(options)),
        Verb::Replay(options) => threads::intake()?.block_on(replay::run(*options)),
        Verb::Events(options) => threads::intake()?.block_on(events::run(*options)),
        Verb::Config(options) => show_config(&options),
    }
}

fn show_config(options: &ConfigOptions) -> Result<()> {
    if options.markdown {
        terminal::print(&config::show::markdown());
        return Ok(());
    }
    let sources = gather(&options.server)?;
    // What does not pass the checks is not in force.
    Config::from_sources(&sources)?;
    terminal::print(&config::show::effective(&sources));
    Ok(())
}

fn gather(options: &ServerOptions) -> Result<Sources, config::Problems> {
    config::gather(options.file.as_deref(), &config::environment(), &options.flags)
}

/// Each connection is an open file, and shells allow few by default.
fn raise_open_files_limit() {
    const OPEN_FILES_WANTED: u64 = 65_536;
    match rlimit::increase_nofile_limit(OPEN_FILES_WANTED) {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}
