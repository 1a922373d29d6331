//! `dacapo replay`: plan, start, watch and steer replays of a running gateway.

mod items;
mod plan;
mod show;
mod span;
mod table;
mod watch;

use crate::cli::replay::{Rate, ReplayOptions, ReplayVerb, StartOptions};
use crate::cli::words;
use crate::remote::{Remote, RemoteError, encoded};
use crate::terminal;
use anyhow::{Result, bail};
use http::Method;
use serde_json::{Map, Value, json};

pub async fn run(options: ReplayOptions) -> Result<()> {
    act(options).await.map_err(|error| RemoteError::reworded(error, words::of_replay))
}

async fn act(options: ReplayOptions) -> Result<()> {
    let remote = Remote::new(&options.remote)?;
    let json = options.remote.json;
    match options.verb {
        ReplayVerb::Plan(start) => plan(&remote, &start, json).await,
        ReplayVerb::Start(start) if start.dry_run => plan(&remote, &start, json).await,
        ReplayVerb::Start(start) => self::start(&remote, &start, json).await,
        ReplayVerb::List { limit, kind, status } => list(&remote, limit, &kind, &status, json).await,
        ReplayVerb::Show { id } => print(&remote.get(&path(&id, "")).await?, json, show::one),
        ReplayVerb::Items { id, status, limit } => items::list(&remote, &id, &status, limit, json).await,
        ReplayVerb::Report { id, status } => items::report(&remote, &id, &status).await,
        ReplayVerb::Watch { id } => watch::follow(&remote, &id, json).await,
        ReplayVerb::Pause { id } => steer(&remote, &id, "/pause", json).await,
        ReplayVerb::Resume { id } => steer(&remote, &id, "/resume", json).await,
        ReplayVerb::Cancel { id } => steer(&remote, &id, "/cancel", json).await,
        ReplayVerb::Rate { id, rate, concurrency, endpoint_rate, endpoint_concurrency } => {
            let given = [
                ("rate", rate),
                ("concurrency", concurrency.map(|most| Rate(Some(most)))),
                ("endpoint_rate", endpoint_rate),
                ("endpoint_concurrency", endpoint_concurrency),
            ];
            let said = given.into_iter().filter_map(|(name, cap)| Some((name.to_owned(), cap?.0.into())));
            let pace: Map<String, Value> = said.collect();
            if pace.is_empty() {
                bail!("say what is to change: --rate, --concurrency, --endpoint-rate or --endpoint-concurrency");
            }
            let steered = remote.call(Method::PATCH, &path(&id, ""), Some(&Value::Object(pace))).await?;
            print(&steered, json, show::steered)
        }
    }
}

fn path(id: &str, rest: &str) -> String {
    format!("/replays/{}{rest}", encoded(id))
}

fn print(data: &Value, json: bool, text: impl Fn(&Value) -> String) -> Result<()> {
    terminal::print(&if json { format!("{}\n", serde_json::to_string_pretty(data)?) } else { text(data) });
    Ok(())
}

async fn plan(remote: &Remote, start: &StartOptions, json: bool) -> Result<()> {
    let mut body = wish(start)?;
    body["dry_run"] = true.into();
    print(&remote.post("/replays", &body).await?, json, plan::table)
}

async fn start(remote: &Remote, start: &StartOptions, json: bool) -> Result<()> {
    let started = remote.post("/replays", &wish(start)?).await?;
    let id = started["uid"].as_str().unwrap_or_default().to_owned();
    if !start.watch {
        return print(&started, json, |replay| {
            format!("{}\ndacapo replay watch {id} follows it.\n", show::one(replay))
        });
    }
    if !json {
        terminal::note(&format!("replay {id} started; Ctrl-C stops watching, not the replay"));
    }
    watch::follow(remote, &id, json).await
}

/// The body of `POST ~/replays`: what was not said is left out.
fn wish(start: &StartOptions) -> Result<Value> {
    let mut body = Map::from_iter([("selector".to_owned(), start.selector.to_json()?)]);
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    for (name, text) in [("name", &start.name), ("reason", &start.reason)] {
        if !text.is_empty() {
            put(name, text.as_str().into());
        }
    }
    let options = start.pace.to_json();
    if options != json!({}) {
        put("options", options);
    }
    if let Some(expected) = start.expected_count {
        put("expected_count", expected.into());
    }
    if start.confirm_unbounded {
        put("confirm_unbounded", true.into());
    }
    if let Some(key) = &start.request_key {
        put("idempotency_key", key.as_str().into());
    }
    Ok(Value::Object(body))
}

async fn list(remote: &Remote, limit: u64, kind: &str, statuses: &[String], json: bool) -> Result<()> {
    let narrowed: String = statuses.iter().map(|status| format!("&status={status}")).collect();
    let page = remote.get(&format!("/replays?perPage={limit}&kind={kind}{narrowed}")).await?;
    print(&page["content"], json, |replays| show::list(replays, terminal::columns()))
}

async fn steer(remote: &Remote, id: &str, verb: &str, json: bool) -> Result<()> {
    print(&remote.post(&path(id, verb), &json!({})).await?, json, show::steered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Verb};
    use clap::Parser;

    fn start_of(line: &str) -> StartOptions {
        let words = std::iter::once("dacapo").chain(line.split(' '));
        let Verb::Replay(options) = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).command else {
            panic!("{line}")
        };
        match options.verb {
            ReplayVerb::Start(start) | ReplayVerb::Plan(start) => start,
            _ => panic!("{line}"),
        }
    }

    #[test]
    fn flags_become_the_body_and_nothing_else_does() {
        let line = "replay start --mode failed --from -2h --to 2026-01-02T15:04:05Z --event-type order.* --event-type refund \
                    --http-status 5xx --attempts-min 2 --body {\"a\":1} --rate 50 --endpoint-rate 5 --original secret --to-url https://x.test \
                    --to-secret s --name n --expected-count 37 --request-key k";
        assert_eq!(
            wish(&start_of(line)).unwrap(),
            json!({
                "selector": {
                    "mode": "failed", "from": "-2h", "to": "2026-01-02T15:04:05Z",
                    "event_types": ["order.*", "refund"], "http_status": ["5xx"], "attempts_min": 2,
                    "filter": {"body": {"a": 1}},
                },
                "name": "n",
                "options": {"rate": 50, "endpoint_rate": 5, "as_of": {"secret": "original"}, "target": {"url": "https://x.test", "secret": "s"}},
                "expected_count": 37,
                "idempotency_key": "k",
            })
        );
        assert_eq!(wish(&start_of("replay plan --from -1h")).unwrap(), json!({"selector": {"from": "-1h"}}));
    }

    #[test]
    fn a_slip_is_found_before_anything_is_sent() {
        for (line, says) in [
            ("replay plan --from yesterday", "--from: \"yesterday\" is no time"),
            ("replay plan --mode missing --delivery-status Failure", "--delivery-status: cannot go with mode missing"),
            ("replay plan --body {", "--body is not JSON"),
            ("replay plan --selector []", "--selector needs a JSON object"),
            ("replay plan --selector {\"x\":1}", "x: is no field of a selector"),
            ("replay plan --selector @/nowhere/x.json", "cannot read /nowhere/x.json"),
        ] {
            let error = wish(&start_of(line)).expect_err(line);
            assert!(format!("{error:#}").starts_with(says), "{line}: {error:#}");
        }
        for line in ["replay rate x --rate fast", "replay start --to-secret s", "replay start --original body"] {
            assert!(Cli::try_parse_from(std::iter::once("dacapo").chain(line.split(' '))).is_err(), "{line}");
        }
    }
}
