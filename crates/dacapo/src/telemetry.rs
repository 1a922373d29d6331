//! Logs, on standard error. Nothing logs secrets: types that hold them have no `Debug` that shows them.

use crate::config::Config;
use crate::terminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

pub fn start(config: &Config) {
    let filter = EnvFilter::try_new(&config.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if config.log_json {
        lines.json().flatten_event(true).init();
        return;
    }
    lines.compact().with_ansi(terminal::colours(&std::io::stderr())).init();
}
