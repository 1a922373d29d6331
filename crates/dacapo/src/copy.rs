//! `dacapo copy`: an embedded store into PostgreSQL, when one machine is no longer enough.

use crate::cli::CopyOptions;
use crate::{config, terminal};
use anyhow::{Context, Result, bail};
use dacapo_store::copy::{Copied, Counts, Progress, Table, copy};
use dacapo_store::postgres::check_url;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A password is better not on the command line, where others see it.
const TARGET_VARIABLE: &str = "DACAPO_DATABASE_URL";
/// A line on a terminal is written over this often.
const REDRAWN_EVERY: Duration = Duration::from_millis(200);
/// Into a pipe or a file a new line goes this often.
const TOLD_EVERY: Duration = Duration::from_secs(10);

pub async fn run(options: CopyOptions) -> Result<()> {
    let from = directory(&options.from)?;
    let to = target(options.to.or_else(|| config::environment().remove(TARGET_VARIABLE)))?;
    let mut show = Show::new(std::io::stderr().is_terminal());
    let copied = copy(&from, &to, |progress| {
        show.after_batch(progress);
        ControlFlow::Continue(())
    })
    .await;
    show.end();
    match copied.context("cannot copy")? {
        Copied::Whole(counts) => terminal::print(&format!(
            "Copied, and counted on both sides:\n{}Start the nodes with --database-url, and no longer with the embedded store.\n",
            table(&counts)
        )),
        Copied::Before => terminal::print("This store was copied into that database before; nothing was done.\n"),
        Copied::Stopped => {}
    }
    Ok(())
}

fn directory(from: &str) -> Result<PathBuf> {
    let path = from.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    match path {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => bail!("--from: name the data directory of an embedded store: sqlite:./dacapo-data"),
    }
}

fn target(to: Option<String>) -> Result<String> {
    let wanted = "name an empty database: postgres://user:password@host:port/database";
    let Some(to) = to else { bail!("--to: {wanted}") };
    // The text may hold a password: it is not repeated.
    check_url(&to).with_context(|| format!("--to: {wanted}"))?;
    Ok(to)
}

fn table(counts: &Counts) -> String {
    let lines = Table::ALL.map(|table| format!("  {table:<20}{:>12}\n", grouped(counts[table])));
    lines.concat()
}

/// The line about how far it is.
struct Show {
    is_terminal: bool,
    started: Instant,
    shown: Option<Instant>,
    /// What was there before this run's first batch, if there was one.
    before: Option<u64>,
    is_line_open: bool,
}

impl Show {
    fn new(is_terminal: bool) -> Self {
        Self { is_terminal, started: Instant::now(), shown: None, before: None, is_line_open: false }
    }

    fn after_batch(&mut self, progress: &Progress) {
        let now = Instant::now();
        // The first batch is read while nothing is written yet; the rate begins behind it.
        let before = *self.before.get_or_insert_with(|| {
            self.started = now;
            progress.done.sum()
        });
        let every = if self.is_terminal { REDRAWN_EVERY } else { TOLD_EVERY };
        let is_last = progress.done.sum() >= progress.total.sum();
        if !is_last && self.shown.is_some_and(|shown| now.duration_since(shown) < every) {
            return;
        }
        self.shown = Some(now);
        let text = line(progress, before, now.duration_since(self.started));
        let mut err = std::io::stderr().lock();
        // A closed pipe is the reader's wish: the copy goes on.
        let _ = if self.is_terminal { write!(err, "\r{text}\x1b[K") } else { writeln!(err, "{text}") };
        let _ = err.flush();
        self.is_line_open = self.is_terminal;
    }

    fn end(&self) {
        if self.is_line_open {
            let _ = writeln!(std::io::stderr().lock());
        }
    }
}

/// `events: 1,200 of 5,000 · 31 % of all · 24,100 rows/s · 12 s left`.
fn line(progress: &Progress, before: u64, took: Duration) -> String {
    let (table, done, total) = (progress.table, progress.done.sum(), progress.total.sum());
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100).min(100);
    let mut text = format!(
        "{table}: {} of {} · {percent} % of all",
        grouped(progress.done[table]),
        grouped(progress.total[table])
    );
    let rows = done.saturating_sub(before);
    if rows > 0 && !took.is_zero() {
        let rate = rows as f64 / took.as_secs_f64();
        let left = Duration::from_secs_f64((total.saturating_sub(done) as f64 / rate).min(f64::from(u32::MAX)));
        let _ = write!(text, " · {} rows/s · {} left", grouped(rate as u64), short(left));
    }
    text
}

fn short(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_directory_and_a_target_a_postgres_url() {
        assert_eq!(directory("sqlite:/var/lib/dacapo").unwrap(), PathBuf::from("/var/lib/dacapo"));
        assert_eq!(directory("sqlite://./data").unwrap(), PathBuf::from("./data"));
        assert!(directory("sqlite:").is_err() && directory("./data").is_err());
        assert!(target(Some("postgres://u:p@h/d".to_owned())).is_ok());
        for wrong in [None, Some("mysql://u:hunter2@h/d".to_owned()), Some("postgres://u:hunter2@h:x/d".to_owned())] {
            let told = format!("{:#}", target(wrong).unwrap_err());
            assert!(told.starts_with("--to: ") && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long() {
        let (mut done, mut total) = (Counts::default(), Counts::default());
        (done[Table::Events], total[Table::Events]) = (2_000, 5_000);
        (done[Table::Catalog], total[Table::Catalog]) = (1_000, 1_000);
        let progress = Progress { table: Table::Events, done, total };
        let told = line(&progress, 1_000, Duration::from_secs(2));
        assert_eq!(told, "events: 2,000 of 5,000 · 50 % of all · 1,000 rows/s · 3 s left");
        assert_eq!(line(&progress, 3_000, Duration::from_secs(2)), "events: 2,000 of 5,000 · 50 % of all");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(short(Duration::from_secs(7_199)), "119 min");
    }
}
