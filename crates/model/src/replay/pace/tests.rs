//! What a run says of how fast it is and when it is done, by a clock that the test moves.

use super::*;
use crate::id::Id;
use crate::replay::{Asker, AskerKind, Counts, Definition, Options, Progress};
use crate::selector::SetMode;
use proptest::prelude::*;

const SOMEBODY: Asker = Asker { kind: AskerKind::System, id: None };
const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn at(seconds: f64) -> Timestamp {
    START.plus(Duration::from_secs_f64(seconds))
}

/// A run of so many items, and the time.
struct Run {
    replay: Replay,
    seconds: f64,
}

impl Run {
    fn of(matched: u64, options: Options) -> Self {
        let parts = serde_json::json!({"mode": "all", "first": Id::MIN, "last": Id::MAX, "high_water": Id::MAX});
        let control = Control::new(&options).to(State::Running, START, &SOMEBODY).expect("an arrow");
        let definition = Definition {
            name: String::new(),
            reason: String::new(),
            asked_by: SOMEBODY,
            created_at: START,
            selector: serde_json::Value::Null,
            frozen: serde_json::from_value(parts).expect("a selector"),
            mode: SetMode::All,
            options,
            matched: Some(matched),
            sends: Some(Sends { all: matched, busiest: matched }),
        };
        let replay = Replay {
            id: Id::from_u128(1),
            project_id: Id::from_u128(2),
            definition,
            control,
            revision: 1,
            progress: Progress { items: matched, ..Progress::default() },
            page: 0,
            counts: Counts::default(),
        };
        let mut run = Self { replay, seconds: 0.0 };
        run.mark(true);
        run
    }

    fn mark(&mut self, anew: bool) {
        let (marks, settled) = (&self.replay.progress.marks, self.replay.counts.settled());
        if let Some(marks) = marks.with(self.replay.revision, settled, at(self.seconds), anew) {
            self.replay.progress.marks = marks;
        }
    }

    /// So many more succeed each second, looked at five times in it.
    fn go(&mut self, seconds: u64, rate: u64) {
        for fifth in 0..seconds * 5 {
            self.seconds += 0.2;
            let more = rate * (fifth % 5 + 1) / 5 - rate * (fifth % 5) / 5;
            *self.replay.counts.0.entry((Status::Success.code(), None)).or_default() += more;
            self.mark(false);
        }
    }

    /// Nobody drives it.
    fn wait(&mut self, seconds: f64) {
        self.seconds += seconds;
    }

    fn steer(&mut self, change: impl FnOnce(&mut Control)) {
        change(&mut self.replay.control);
        self.replay.revision += 1;
    }

    fn pace(&self) -> f64 {
        self.replay.pace(at(self.seconds))
    }

    fn eta(&self) -> Option<u64> {
        self.replay.eta(at(self.seconds)).map(|eta| eta.as_secs())
    }
}

fn rated(rate: u32) -> Options {
    Options { rate: Some(rate), ..Options::default() }
}

#[track_caller]
fn assert_about(pace: f64, expected: f64) {
    assert!((pace - expected).abs() <= expected * 0.02, "{pace} instead of {expected}");
}

#[test]
fn the_pace_is_that_of_the_recent_past() {
    let mut run = Run::of(100_000, Options::default());
    run.go(100, 100);
    assert_about(run.pace(), 100.0);
    run.go(10, 10);
    assert_about(run.pace(), 55.0);
    run.go(15, 10);
    assert_about(run.pace(), 10.0);
    assert_eq!(run.eta(), Some(8_975), "89,750 at 10 a second");
}

#[test]
fn what_was_before_somebody_steered_says_nothing() {
    let mut run = Run::of(1_000_000, Options::default());
    run.go(60, 1_000);
    run.steer(|control| control.rate = Some(10));
    assert_eq!((run.pace(), run.eta()), (0.0, Some(94_000)), "what the rate allows, before anything is known");
    run.mark(false);
    run.go(5, 10);
    assert_about(run.pace(), 10.0);
    run.steer(|control| control.state = State::Paused);
    assert_eq!((run.pace(), run.eta()), (0.0, None));
    run.wait(3_600.0);
    run.steer(|control| control.state = State::Running);
    run.mark(false);
    run.go(2, 10);
    assert_about(run.pace(), 10.0);
    run.steer(|control| control.rate = None);
    assert_eq!(run.eta(), None, "nothing is known yet");
}

#[test]
fn what_stands_still_has_no_end_and_an_outage_is_not_averaged_in() {
    let mut run = Run::of(100_000, rated(100));
    run.go(30, 100);
    run.wait(10.0);
    assert_about(run.pace(), 50.0);
    run.wait(10.0);
    assert_eq!((run.pace(), run.eta()), (0.0, None));
    run.wait(7_200.0);
    run.go(10, 100);
    assert_about(run.pace(), 50.0);
    // As it does where another node takes it over.
    run.wait(600.0);
    run.mark(true);
    assert_eq!((run.pace(), run.eta()), (0.0, Some(960)), "what the rate allows");
    run.go(3, 100);
    assert_about(run.pace(), 100.0);
}

#[test]
fn nobody_is_told_a_time_that_the_rates_do_not_allow() {
    // A burst above the rate, and less than what it allows.
    let mut run = Run::of(10_000, rated(50));
    run.go(2, 500);
    assert_about(run.pace(), 500.0);
    assert_eq!(run.eta(), Some(180), "9,000 at 50 a second");
    run.go(20, 20);
    assert_eq!(run.eta(), Some(430), "8,600 at 20 a second");
    // Two endpoints, one of them with most of it.
    let mut run = Run::of(9_000, Options { endpoint_rate: Some(10), ..rated(100) });
    run.replay.definition.sends = Some(Sends { all: 9_000, busiest: 6_000 });
    assert_eq!(run.eta(), Some(600), "6,000 at 10 a second");
    run.steer(|control| control.endpoint_rate = Some(1_000));
    assert_eq!(run.eta(), Some(90), "9,000 at 100 a second");
    // What is skipped takes no time, what is not does.
    run.replay.definition.sends = Some(Sends { all: 300, busiest: 300 });
    assert_eq!(run.eta(), Some(3));
    run.replay.definition.matched = None;
    assert_eq!(run.eta(), None, "of an unknown whole");
}

#[test]
fn what_is_over_had_the_pace_of_the_time_it_ran() {
    let mut run = Run::of(1_000, Options::default());
    let step = |run: &mut Run, next| {
        run.replay.control = run.replay.control.to(next, at(run.seconds), &SOMEBODY).expect("an arrow")
    };
    run.go(5, 100);
    step(&mut run, State::Paused);
    run.wait(10_000.0);
    step(&mut run, State::Running);
    run.go(5, 60);
    step(&mut run, State::Cancelled);
    let given_up = (Status::Discarded.code(), Some(Reason::ReplayEnded.code()));
    run.replay.counts.0.insert(given_up, 200);
    run.wait(500.0);
    assert_about(run.pace(), 80.0);
    assert_eq!(run.eta(), None);
}

#[test]
fn marks_are_few_and_old_rows_have_none() {
    let mut run = Run::of(1_000_000_000, Options::default());
    let mut written = 0;
    for _ in 0..100 {
        let before = run.replay.progress.marks.clone();
        run.go(1, 5_000_000);
        written += u32::from(run.replay.progress.marks != before);
    }
    assert!((45..=50).contains(&written), "{written} in 100 seconds");
    let text = serde_json::to_string(&run.replay.progress).expect("plain data");
    assert!(text.len() < 500, "{text}");
    assert_eq!(serde_json::from_str::<Progress>(&text).expect("reads back"), run.replay.progress);
    let old: Progress = serde_json::from_str(r#"{"cursor":null,"exhausted":false,"scanned":1,"items":1,"gone":0}"#)
        .expect("what an older version wrote");
    assert!(old.marks.is_empty() && !serde_json::to_string(&old).expect("plain data").contains("marks"));
}

proptest! {
    /// However unevenly somebody looks at it, and whatever was before.
    #[test]
    fn an_even_pace_is_told_as_it_is(rate in 1u64..10_000, looks in prop::collection::vec(1u64..900, 40..200)) {
        let (mut marks, mut now) = (Marks::default(), 0);
        for wait in looks {
            now += wait;
            let settled = now * rate / 1_000;
            let time = START.plus(Duration::from_millis(now));
            marks = marks.with(1, settled, time, false).unwrap_or(marks);
            if let Some(pace) = marks.pace(1, settled, time).filter(|_| now > 2_000) {
                // An item more or less, of the second that is known at least.
                prop_assert!((pace - rate as f64).abs() <= rate as f64 * 0.1 + 2.0, "{pace} instead of {rate} after {now} ms");
            }
        }
    }
}
