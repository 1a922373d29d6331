//! Following a replay until it is over: a bar where somebody looks, plain lines where nobody does.

use super::{path, show};
use crate::remote::{Remote, RemoteError};
use crate::terminal;
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::io::IsTerminal;
use std::time::Duration;

/// How often the gateway is asked.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks in a row that may fail before it gives up: a gateway that is started anew takes some seconds.
const FAILURES_MAX: u32 = 60;
/// Without a terminal, a line each time so much more is done, in percent.
const STEP_PERCENT: u64 = 5;

pub async fn follow(remote: &Remote, id: &str, json: bool) -> Result<()> {
    let mut display = Display::new(json);
    let mut failures = 0;
    loop {
        match remote.get(&path(id, "")).await {
            Ok(replay) => {
                failures = 0;
                if is_over(&replay) {
                    display.end();
                    return conclude(&replay, json);
                }
                display.show(&replay);
            }
            // The replay goes on without us, and after a restart of the gateway too.
            Err(error) if is_passing(&error) && failures < FAILURES_MAX => {
                failures += 1;
                display.trouble(&format!("{error:#}"), failures);
            }
            Err(error) => {
                display.end();
                return Err(error);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_over(replay: &Value) -> bool {
    matches!(replay["status"].as_str(), Some("completed" | "failed" | "cancelled"))
}

fn is_passing(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<RemoteError>(),
        Some(
            RemoteError::Unreachable { .. }
                | RemoteError::Silent { .. }
                | RemoteError::BrokenOff { .. }
                | RemoteError::Failed { .. }
        )
    )
}

fn conclude(replay: &Value, json: bool) -> Result<()> {
    super::print(replay, json, |replay| {
        let failed = replay["counts"]["failure"].as_u64().unwrap_or(0);
        let mut text = show::one(replay);
        if failed > 0 {
            let id = replay["uid"].as_str().unwrap_or_default();
            text.push_str(&format!(
                "\ndacapo replay start --mode failed --replay-id {id} … replays the {failed} that failed again.\n"
            ));
        }
        text
    })?;
    match replay["status"].as_str() {
        Some("completed") => Ok(()),
        status => bail!("the replay was not completed: it is {}", status.unwrap_or("unknown")),
    }
}

enum Display {
    Bar(ProgressBar),
    Lines {
        last: Option<(String, u64)>,
    },
    /// The end alone.
    Nothing,
}

impl Display {
    fn new(json: bool) -> Self {
        if json {
            return Self::Nothing;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { last: None };
        }
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3}%\n{wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self::Bar(bar)
    }

    fn show(&mut self, replay: &Value) {
        let status = replay["status"].as_str().unwrap_or_default();
        let counts = &replay["counts"];
        let number = |name: &str| counts[name].as_u64().unwrap_or(0);
        let done = number("success") + number("failure") + number("discarded") + number("gone");
        let total = counts["matched"].as_u64().unwrap_or(number("items")).max(done);
        let (outcomes, pace) = (show::outcomes(replay), show::pace(replay));
        match self {
            Self::Bar(bar) => {
                bar.set_prefix(format!("{status}, {pace}"));
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(outcomes);
            }
            Self::Lines { last } => {
                let step = (done * 100).checked_div(total).unwrap_or(0) / STEP_PERCENT;
                let now = Some((status.to_owned(), step));
                if *last != now {
                    terminal::print(&format!("{status} {}: {outcomes}; {pace}\n", show::percent(replay)));
                    *last = now;
                }
            }
            Self::Nothing => {}
        }
    }

    /// Said once where lines stay.
    fn trouble(&mut self, text: &str, failures: u32) {
        match self {
            Self::Bar(bar) => bar.set_message(format!("{text} (asking again)")),
            Self::Lines { .. } | Self::Nothing if failures == 1 => terminal::note(&format!("{text} (asking again)")),
            Self::Lines { .. } | Self::Nothing => {}
        }
    }

    fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
