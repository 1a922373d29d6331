//! The verbs about events and replays.

use super::remote::RemoteOptions;
use super::selector::SelectorOptions;
use clap::{Args, Subcommand};
use dacapo_model::Status;
use dacapo_model::replay::State;
use serde_json::{Value, json};

#[derive(Args)]
pub struct ReplayOptions {
    #[command(flatten)]
    pub remote: RemoteOptions,
    #[command(subcommand)]
    pub verb: ReplayVerb,
}

#[derive(Subcommand)]
pub enum ReplayVerb {
    /// Say what a replay would do: how many, which, to where, how long, and three requests as they would go out
    Plan(StartOptions),
    /// Start a replay
    Start(StartOptions),
    /// The project's replays, newest first: how far each is, when it was started, and who asked
    List {
        /// So many at most, up to 1000
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = parse_list_limit)]
        limit: u64,
        /// run: replays of many events; single: events replayed by one call; resend: deliveries sent again
        #[arg(long, value_name = "KIND", default_value = "run", value_parser = ["run", "single", "resend", "all"])]
        kind: String,
        /// Those alone that are planned, running, paused, completed, failed or cancelled (repeatable)
        #[arg(long, value_name = "STATUS", value_parser = State::ALL.map(State::as_str))]
        status: Vec<String>,
    },
    /// One replay
    Show {
        /// As `list` shows it
        id: String,
    },
    /// What a replay is made of, newest first: each event to each endpoint, what became of it and why
    Items {
        /// As `list` shows it
        id: String,
        /// Those alone that are Scheduled, Processing, Retry, Success, Failure or Discarded (repeatable)
        #[arg(long, value_name = "STATUS", value_parser = parse_status)]
        status: Vec<Status>,
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = parse_limit)]
        limit: u64,
    },
    /// Write down every item of a replay, oldest first: a line of JSON each (NDJSON)
    Report {
        /// As `list` shows it
        id: String,
        /// Those alone that are Scheduled, Processing, Retry, Success, Failure or Discarded (repeatable)
        #[arg(long, value_name = "STATUS", value_parser = parse_status)]
        status: Vec<Status>,
    },
    /// Follow a replay until it is over; ends with 1 unless it was completed
    Watch {
        /// As `list` shows it
        id: String,
    },
    /// Stop sending for a while
    Pause {
        /// As `list` shows it
        id: String,
    },
    /// Go on where it was paused
    Resume {
        /// As `list` shows it
        id: String,
    },
    /// Give up what was not sent
    Cancel {
        /// As `list` shows it
        id: String,
    },
    /// Change how fast it goes, while it runs
    Rate {
        /// As `list` shows it
        id: String,
        /// First attempts a second, or "none" for as fast as it goes
        #[arg(long, value_name = "N|none", value_parser = parse_rate)]
        rate: Option<Rate>,
        /// Exchanges at the same time, on each node
        #[arg(long, value_name = "N")]
        concurrency: Option<u32>,
        /// Exchanges a second with any one endpoint, or "none"
        #[arg(long, value_name = "N|none", value_parser = parse_rate)]
        endpoint_rate: Option<Rate>,
        /// Exchanges at the same time with any one endpoint, or "none"
        #[arg(long, value_name = "N|none", value_parser = parse_rate)]
        endpoint_concurrency: Option<Rate>,
    },
}

#[derive(Args)]
pub struct StartOptions {
    #[command(flatten)]
    pub selector: SelectorOptions,
    #[command(flatten)]
    pub pace: PaceOptions,
    /// What people call it
    #[arg(long, default_value = "")]
    pub name: String,
    /// Why it is done, for the record
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Start nothing; print the plan
    #[arg(long)]
    pub dry_run: bool,
    /// Follow it until it is over
    #[arg(long)]
    pub watch: bool,
    /// Start (and plan) only if the set holds exactly so many, as the plan said
    #[arg(long, value_name = "N")]
    pub expected_count: Option<u64>,
    /// Yes, everything back to the oldest event kept
    #[arg(long)]
    pub confirm_unbounded: bool,
    /// The same key starts the same replay once
    #[arg(long, value_name = "KEY")]
    pub request_key: Option<String>,
}

#[derive(Args)]
#[command(next_help_heading = "How")]
pub struct PaceOptions {
    /// First attempts a second [default: as fast as it goes]
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
    /// Exchanges at the same time, on each node
    #[arg(long, value_name = "N")]
    pub concurrency: Option<u32>,
    /// Exchanges a second with any one endpoint
    #[arg(long, value_name = "N")]
    pub endpoint_rate: Option<u32>,
    /// Exchanges at the same time with any one endpoint
    #[arg(long, value_name = "N")]
    pub endpoint_concurrency: Option<u32>,
    /// unordered, or per_endpoint: oldest first, the next when the one before is settled
    #[arg(long, value_name = "ORDER")]
    pub order: Option<String>,
    /// Send also what the endpoint has had already
    #[arg(long)]
    pub include_succeeded: bool,
    /// The endpoint's url, headers or secret as they were when the event came
    #[arg(long, value_name = "PART", value_parser = ["url", "headers", "secret"])]
    pub original: Vec<String>,
    /// Send to this endpoint instead
    #[arg(long, value_name = "ID", conflicts_with = "to_url")]
    pub to_endpoint: Option<String>,
    /// Send to this address instead
    #[arg(long, value_name = "URL")]
    pub to_url: Option<String>,
    /// Signs what goes to --to-url
    #[arg(long, value_name = "SECRET", requires = "to_url")]
    pub to_secret: Option<String>,
}

impl PaceOptions {
    pub fn to_json(&self) -> Value {
        let mut options = serde_json::Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                options.insert(name.to_owned(), value);
            }
        };
        put("rate", self.rate.map(Value::from));
        put("concurrency", self.concurrency.map(Value::from));
        put("endpoint_rate", self.endpoint_rate.map(Value::from));
        put("endpoint_concurrency", self.endpoint_concurrency.map(Value::from));
        put("order", self.order.clone().map(Value::from));
        put("include_succeeded", self.include_succeeded.then_some(true.into()));
        let original = self.original.iter().map(|part| (part.clone(), Value::from("original")));
        put("as_of", (!self.original.is_empty()).then(|| Value::Object(original.collect())));
        put("target", self.to_endpoint.as_ref().map(|id| json!({"endpoint_id": id})));
        put(
            "target",
            self.to_url.as_ref().map(|url| json!({"url": url, "secret": self.to_secret.as_deref().unwrap_or("")})),
        );
        Value::Object(options)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub Option<u32>);

fn parse_rate(text: &str) -> Result<Rate, String> {
    if text == "none" {
        return Ok(Rate(None));
    }
    text.parse().map(|rate| Rate(Some(rate))).map_err(|_| "a whole number, or none".to_owned())
}

/// Replays that one answer of the gateway holds.
const LIST_MAX: u64 = 1_000;

fn parse_limit(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| "a whole number from 1 on".to_owned())
}

fn parse_list_limit(text: &str) -> Result<u64, String> {
    let limit = parse_limit(text).ok().filter(|limit| *limit <= LIST_MAX);
    limit.ok_or_else(|| format!("a whole number from 1 to {LIST_MAX}"))
}

fn parse_status(text: &str) -> Result<Status, String> {
    let known = Status::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text));
    known.ok_or_else(|| format!("one of {}", Status::ALL.map(Status::as_str).join(", ")))
}

#[derive(Args)]
pub struct EventsOptions {
    #[command(flatten)]
    pub remote: RemoteOptions,
    #[command(subcommand)]
    pub verb: EventsVerb,
}

#[derive(Subcommand)]
pub enum EventsVerb {
    /// Events a selector means, newest first
    Search(SearchOptions),
    /// How many events a selector means, and for how many endpoints
    Count {
        #[command(flatten)]
        selector: SelectorOptions,
    },
}

#[derive(Args)]
pub struct SearchOptions {
    #[command(flatten)]
    pub selector: SelectorOptions,
    /// So many events at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = parse_limit)]
    pub limit: u64,
    /// Oldest first
    #[arg(long)]
    pub oldest_first: bool,
}
