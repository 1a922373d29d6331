//! What the operator decided, checked and typed. The options themselves are in [`table`].

pub mod show;
mod sources;
pub mod table;
mod values;

use http::Method;
use ipnet::IpNet;
pub use sources::{Flags, Sources};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use table::{ROWS, Row};

/// Names a file when `--config` does not.
pub const FILE_VARIABLE: &str = "DACAPO_CONFIG";

/// Nearer than this (0 to 1) and a mistyped key is taken for the known one.
const SIMILARITY_MIN: f64 = 0.75;

#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    pub public_url: Option<String>,
    /// `None`: the embedded store.
    pub database_url: Option<String>,
    pub database_read_url: Option<String>,
    pub database_direct_url: Option<String>,
    pub database_prepared: bool,
    pub allow_networks: Vec<IpNet>,
    pub ping_methods: Vec<Method>,
    pub skip_ping_validation: bool,
    /// `None` keeps everything.
    pub retention: Option<Duration>,
    pub drain_timeout: Duration,
    pub log_level: String,
    pub log_json: bool,
    pub body_bytes_max: usize,
    pub response_body_bytes_max: usize,
    pub lane_concurrency_max: usize,
    pub lane_window_max: usize,
    pub fan_out_at_once_max: usize,
    pub exchanges_max: usize,
}

/// Everything that is wrong, a line each.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The `DACAPO_…` variables of this process. One that is not UTF-8 is read with replacement
/// characters, and then refused for its value.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, _)| name.starts_with("DACAPO_"))
        .collect()
}

/// `file` comes from `--config`; without it the environment may name one.
pub fn gather(file: Option<&Path>, environment: &BTreeMap<String, String>, flags: &Flags) -> Result<Sources, Problems> {
    let named = environment.get(FILE_VARIABLE).filter(|path| !path.is_empty()).map(Path::new);
    Sources::new(file.or(named), environment, flags).map_err(|problem| Problems(vec![problem]))
}

impl Config {
    pub fn from_sources(sources: &Sources) -> Result<Self, Problems> {
        let mut config = Self::unset();
        let mut problems: Vec<String> = sources.unknown().iter().map(unknown).collect();
        for row in ROWS {
            let Some(found) = sources.find(row) else { continue };
            if (row.set)(&found.texts, &mut config).is_none() {
                problems.push(refused(row, &found.texts, &found.origin));
            }
        }
        if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
    }

    /// Every field is set from the table, which has the defaults; none of these survive.
    fn unset() -> Self {
        Self {
            data_dir: PathBuf::new(),
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            public_url: None,
            database_url: None,
            database_read_url: None,
            database_direct_url: None,
            database_prepared: false,
            allow_networks: Vec::new(),
            ping_methods: Vec::new(),
            skip_ping_validation: false,
            retention: None,
            drain_timeout: Duration::ZERO,
            log_level: String::new(),
            log_json: false,
            body_bytes_max: 0,
            response_body_bytes_max: 0,
            lane_concurrency_max: 0,
            lane_window_max: 0,
            fan_out_at_once_max: 0,
            exchanges_max: 0,
        }
    }
}

fn refused(row: &Row, texts: &[String], origin: &str) -> String {
    format!("{} = {:?} (from {origin}); allowed: {}", row.key, values::without_password(&texts.join(", ")), row.allowed)
}

fn unknown((key, origin): &(String, String)) -> String {
    let nearest = ROWS
        .iter()
        .map(|row| (strsim::jaro_winkler(row.key, &key.replace('-', "_")), row.key))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match nearest {
        Some((_, meant)) => format!("{key:?} is no option (from {origin}); did you mean {meant:?}?"),
        None => format!("{key:?} is no option (from {origin}); `dacapo serve --help` lists them"),
    }
}

#[cfg(test)]
mod tests;
