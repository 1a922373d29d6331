//! Every option, once: flags, environment, file, checks, help and `docs/configuration.md` come from
//! this table.

use super::Config;
use super::values::{bytes, count, duration, methods, networks, one, period, postgres_url, public_url};
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What a source said: one text, or several where an option may be repeated.
pub type Given<'a> = &'a [String];

pub struct Row {
    /// As in the file; `--with-dashes` as a flag, `DACAPO_IN_CAPITALS` in the environment.
    pub key: &'static str,
    /// Stands for the value in the help.
    pub placeholder: &'static str,
    /// Empty: not set.
    pub default: &'static str,
    pub about: &'static str,
    /// Ends the sentence "allowed: …".
    pub allowed: &'static str,
    /// May be given several times; one text with commas in the environment.
    pub repeated: bool,
    /// Puts the value into the configuration; `None` when it is not one of the allowed ones.
    pub set: fn(Given<'_>, &mut Config) -> Option<()>,
}

impl Row {
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    pub fn variable(&self) -> String {
        format!("DACAPO_{}", self.key.to_uppercase())
    }
}

const COUNT: &str = "a whole number from 1 to 1000000";
const BYTES: &str = "a whole number of bytes from 1 to 1 GiB, also with KiB or MiB (512KiB)";

/// In the order in which the help shows them.
pub const ROWS: &[Row] = &[
    Row {
        key: "data_dir",
        placeholder: "DIR",
        default: "./dacapo-data",
        about: "Where the embedded store and first-run.json live; one process at a time",
        allowed: "a directory's path",
        repeated: false,
        set: |given, config| {
            config.data_dir = PathBuf::from(one(given).filter(|path| !path.is_empty())?);
            Some(())
        },
    },
    Row {
        key: "listen",
        placeholder: "ADDR",
        default: "127.0.0.1:5005",
        about: "Where to take requests; port 0 takes a free one",
        allowed: "an IP address with a port: 127.0.0.1:5005, 0.0.0.0:5005, [::]:5005",
        repeated: false,
        set: |given, config| {
            config.listen = one(given)?.parse().ok()?;
            Some(())
        },
    },
    Row {
        key: "public_url",
        placeholder: "URL",
        default: "",
        about: "How clients reach this server, when it is not the listen address",
        allowed: "an http or https URL without a query",
        repeated: false,
        set: |given, config| {
            config.public_url = Some(public_url(one(given)?)?);
            Some(())
        },
    },
    Row {
        key: "database_url",
        placeholder: "URL",
        default: "sqlite:",
        about: "The store: sqlite: is the embedded one in the data directory, postgres:// is shared by all nodes",
        allowed: "sqlite: or postgres://user:password@host:port/database, also with ?sslmode=verify-full&sslrootcert=FILE",
        repeated: false,
        set: |given, config| {
            config.database_url = match one(given)? {
                "" | "sqlite:" | "sqlite://" => None,
                url => Some(postgres_url(url)?),
            };
            Some(())
        },
    },
    Row {
        key: "database_read_url",
        placeholder: "URL",
        default: "",
        about: "A PostgreSQL replica for lists; it may lag behind",
        allowed: "a postgres:// URL",
        repeated: false,
        set: |given, config| {
            config.database_read_url = Some(postgres_url(one(given)?)?);
            Some(())
        },
    },
    Row {
        key: "database_direct_url",
        placeholder: "URL",
        default: "",
        about: "Straight to PostgreSQL, for LISTEN, when database_url leads to a pooler in transaction mode",
        allowed: "a postgres:// URL",
        repeated: false,
        set: |given, config| {
            config.database_direct_url = Some(postgres_url(one(given)?)?);
            Some(())
        },
    },
    Row {
        key: "database_prepared",
        placeholder: "BOOL",
        default: "true",
        about: "Keep prepared statements; false behind PgBouncer before 1.21 in transaction mode",
        allowed: "true or false",
        repeated: false,
        set: |given, config| {
            config.database_prepared = one(given)?.parse().ok()?;
            Some(())
        },
    },
    Row {
        key: "allow_network",
        placeholder: "CIDR",
        default: "",
        about: "A private network that deliveries may go to; all are refused otherwise [repeatable]",
        allowed: "networks such as 10.0.0.0/8, fd00::/8 or a single address, separated by commas",
        repeated: true,
        set: |given, config| {
            config.allow_networks = networks(given)?;
            Some(())
        },
    },
    Row {
        key: "ping_methods",
        placeholder: "METHODS",
        default: "HEAD,GET,POST",
        about: "How an https endpoint is tried out when it is saved, in turn; a 2xx to one is enough [repeatable]",
        allowed: "HEAD, GET and POST, one or several, separated by commas",
        repeated: true,
        set: |given, config| {
            config.ping_methods = methods(given)?;
            Some(())
        },
    },
    Row {
        key: "skip_ping_validation",
        placeholder: "BOOL",
        default: "false",
        about: "Save https endpoints without trying them out",
        allowed: "true or false",
        repeated: false,
        set: |given, config| {
            config.skip_ping_validation = one(given)?.parse().ok()?;
            Some(())
        },
    },
    Row {
        key: "retention",
        placeholder: "TIME",
        default: "off",
        about: "Events older than this are forgotten, once none of their deliveries waits",
        allowed: "a time of at least a minute such as 30d, 12h or 90m, or off",
        repeated: false,
        set: |given, config| {
            config.retention = period(one(given)?)?;
            Some(())
        },
    },
    Row {
        key: "drain_timeout",
        placeholder: "TIME",
        default: "30s",
        about: "How long a stop waits for what is in flight",
        allowed: "a time up to an hour such as 30s or 2m",
        repeated: false,
        set: |given, config| {
            config.drain_timeout = duration(one(given)?).filter(|time| time.as_secs() <= 3_600)?;
            Some(())
        },
    },
    Row {
        key: "log_level",
        placeholder: "LEVEL",
        default: "info",
        about: "What is logged, in all or by part: info,dacapo_engine=debug",
        allowed: "off, error, warn, info, debug or trace, or a list part=level",
        repeated: false,
        set: |given, config| {
            let level = one(given)?;
            // Alone, any word passes the filter's own check, as the name of a part.
            level.split(',').try_for_each(|part| {
                let named = part.rsplit('=').next().unwrap_or(part);
                named.parse::<LevelFilter>().ok().map(|_| ())
            })?;
            EnvFilter::try_new(level).ok().filter(|_| !level.is_empty())?;
            config.log_level = level.to_owned();
            Some(())
        },
    },
    Row {
        key: "log_format",
        placeholder: "FORMAT",
        default: "pretty",
        about: "Lines for people, or an object a line for machines",
        allowed: "pretty or json",
        repeated: false,
        set: |given, config| {
            config.log_json = match one(given)? {
                "pretty" => false,
                "json" => true,
                _ => return None,
            };
            Some(())
        },
    },
    Row {
        key: "body_bytes_max",
        placeholder: "BYTES",
        default: "16MiB",
        about: "The largest request body taken; a larger one is answered 413",
        allowed: BYTES,
        repeated: false,
        set: |given, config| {
            config.body_bytes_max = bytes(one(given)?)?;
            Some(())
        },
    },
    Row {
        key: "response_body_bytes_max",
        placeholder: "BYTES",
        default: "50KiB",
        about: "How much of an endpoint's answer is read and kept with the attempt",
        allowed: BYTES,
        repeated: false,
        set: |given, config| {
            config.response_body_bytes_max = bytes(one(given)?)?;
            Some(())
        },
    },
    Row {
        key: "lane_concurrency_max",
        placeholder: "COUNT",
        default: "64",
        about: "Requests under way at once to one endpoint",
        allowed: COUNT,
        repeated: false,
        set: |given, config| {
            config.lane_concurrency_max = count(one(given)?)?;
            Some(())
        },
    },
    Row {
        key: "lane_window_max",
        placeholder: "COUNT",
        default: "8192",
        about: "Deliveries per endpoint and class kept in memory; the rest waits in the store",
        allowed: COUNT,
        repeated: false,
        set: |given, config| {
            config.lane_window_max = count(one(given)?)?;
            Some(())
        },
    },
    Row {
        key: "fan_out_at_once_max",
        placeholder: "COUNT",
        default: "1000",
        about: "Deliveries of one event written in its transaction; the rest follows in parts",
        allowed: COUNT,
        repeated: false,
        set: |given, config| {
            config.fan_out_at_once_max = count(one(given)?)?;
            Some(())
        },
    },
    Row {
        key: "exchanges_max",
        placeholder: "COUNT",
        default: "2048",
        about: "Requests under way at once to all endpoints together",
        allowed: COUNT,
        repeated: false,
        set: |given, config| {
            config.exchanges_max = count(one(given)?)?;
            Some(())
        },
    },
];
