//! The breaker beside a reference that remembers everything it saw, over walks at random.

use super::*;
use crate::project::CircuitBreaker;
use proptest::prelude::*;
use std::time::Duration;

const START: i64 = 1_767_366_245_000_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// If it may.
    Send,
    Answer {
        success: bool,
    },
    /// One that was under way was not sent after all.
    Unsend,
    Wait {
        millis: u64,
    },
}

/// The same rules, written down as they are said, with a list of all attempts instead of a ring.
struct Reference {
    state: &'static str,
    until: i64,
    attempts: Vec<(i64, bool)>,
    probes_sent: u32,
    probes: Vec<bool>,
    trips: u32,
}

impl Reference {
    fn new() -> Self {
        Self { state: "closed", until: 0, attempts: Vec::new(), probes_sent: 0, probes: Vec::new(), trips: 0 }
    }

    fn may_send(&self, under_way: usize, now: i64) -> bool {
        match self.state {
            "closed" => true,
            "open" => now >= self.until && under_way == 0,
            _ if under_way == 0 => true,
            _ if self.probes.contains(&true) => self.probes_sent < PROBES_MAX,
            _ => self.probes_sent == 0,
        }
    }

    fn sent(&mut self) {
        match self.state {
            "closed" => {}
            "open" => (self.state, self.probes_sent, self.probes) = ("half-open", 1, Vec::new()),
            _ => self.probes_sent += 1,
        }
    }

    fn answered(&mut self, settings: &CircuitBreaker, success: bool, now: i64) -> Option<&'static str> {
        self.attempts.push((now, success));
        let before = self.state;
        match self.state {
            "closed" if !success => {
                let bucket = i64::try_from(settings.observability_window * 60_000_000 / 10).expect("minutes");
                let in_window = |at: &i64| now.div_euclid(bucket) - at.div_euclid(bucket) < 10;
                let seen: Vec<bool> =
                    self.attempts.iter().filter(|(at, _)| in_window(at)).map(|(_, success)| *success).collect();
                let failed = seen.iter().filter(|success| !**success).count() as f64;
                let is_bad = seen.len() as u64 >= settings.minimum_request_count
                    && failed / seen.len() as f64 >= settings.failure_threshold as f64 / 100.0 - 1e-9;
                let run = self.attempts.iter().rev().take_while(|(_, success)| !success).count();
                if is_bad || run as u64 >= settings.minimum_request_count.max(64) {
                    self.state = "open";
                }
            }
            "half-open" => {
                self.probes.push(success);
                let good = self.probes.iter().filter(|success| **success).count() as f64;
                let bad = self.probes.len() as f64 - good;
                let enough = settings.success_threshold as f64 / 100.0 * f64::from(PROBES_MAX) - 1e-9;
                if good > 0.0 && good >= enough {
                    *self = Self::new();
                } else if good == 0.0 || f64::from(PROBES_MAX) - bad < enough {
                    self.state = "open";
                }
            }
            _ => {}
        }
        if self.state == "open" && before != "open" {
            self.trips += 1;
            self.until = now + i64::try_from(settings.error_timeout).expect("seconds") * 1_000_000;
        }
        (self.state != before).then_some(self.state)
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Send),
        6 => prop::bool::weighted(0.2).prop_map(|success| Step::Answer { success }),
        1 => Just(Step::Unsend),
        3 => (0u64..20_000).prop_map(|millis| Step::Wait { millis }),
        1 => (0u64..400_000).prop_map(|millis| Step::Wait { millis }),
    ]
}

fn settings() -> impl Strategy<Value = CircuitBreaker> {
    (1u64..60, 1u64..=100, 1u64..=100, 1u64..120, 1u64..6).prop_map(
        |(error_timeout, failure_threshold, success_threshold, minimum_request_count, observability_window)| {
            CircuitBreaker {
                error_timeout,
                failure_threshold,
                success_threshold,
                minimum_request_count,
                observability_window,
                ..CircuitBreaker::default()
            }
        },
    )
}

fn is_legal(from: State, to: State) -> bool {
    use State::{Closed, HalfOpen, Open};
    from == to || matches!((from, to), (Closed, Open) | (Open, HalfOpen) | (HalfOpen, Closed | Open))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Every answer, every refusal and every state is the reference's, no transition is one that the
    /// drawing does not have, and a half-open breaker never lets more than its probes through.
    #[test]
    fn it_does_what_the_reference_does(settings in settings(), steps in prop::collection::vec(step(), 1..600)) {
        let policy = Policy::from(&settings);
        let (mut breaker, mut reference) = (Breaker::default(), Reference::new());
        let (mut now, mut under_way) = (START, 0usize);
        let mut state = State::Closed;
        let mut probes_under_way = 0u32;
        for step in steps {
            let at = Timestamp::from_micros(now);
            match step {
                Step::Send => {
                    let may = breaker.may_send(&policy, under_way, at);
                    prop_assert_eq!(may.is_ok(), reference.may_send(under_way, now));
                    if may.is_ok() {
                        breaker.sent();
                        reference.sent();
                        under_way += 1;
                        if breaker.is_tripped() {
                            probes_under_way += 1;
                        }
                    }
                }
                Step::Answer { success } if under_way > 0 => {
                    under_way -= 1;
                    let turn = breaker.answered(&policy, success, at);
                    let expected = reference.answered(&settings, success, now);
                    let name = turn.map(|turn| match turn {
                        Turn::Opened { .. } => "open",
                        Turn::Closed => "closed",
                    });
                    prop_assert_eq!(name, expected);
                    probes_under_way = probes_under_way.saturating_sub(1);
                }
                Step::Unsend if under_way > 0 => {
                    under_way -= 1;
                    breaker.unsent();
                    reference.probes_sent = reference.probes_sent.saturating_sub(1);
                    probes_under_way = probes_under_way.saturating_sub(1);
                }
                Step::Answer { .. } | Step::Unsend => {}
                Step::Wait { millis } => now += i64::try_from(millis).expect("small") * 1_000,
            }
            let next = breaker.state(Timestamp::from_micros(now));
            prop_assert!(is_legal(state, next), "{state:?} became {next:?}");
            let shown = if reference.state == "open" && now >= reference.until { "half-open" } else { reference.state };
            prop_assert_eq!(next.as_str(), shown);
            prop_assert_eq!(breaker.trips(), reference.trips);
            if next == State::HalfOpen && reference.state == "half-open" {
                prop_assert!(probes_under_way <= PROBES_MAX);
            }
            state = next;
        }
    }

    /// Whatever happened, one success after the wait heals an endpoint whose project is content with one.
    #[test]
    fn it_always_finds_back(steps in prop::collection::vec(step(), 1..400)) {
        let policy = Policy::default();
        let (mut breaker, mut now, mut under_way) = (Breaker::default(), START, 0usize);
        for step in steps {
            let at = Timestamp::from_micros(now);
            match step {
                Step::Send if breaker.may_send(&policy, under_way, at).is_ok() => {
                    breaker.sent();
                    under_way += 1;
                }
                Step::Answer { success } if under_way > 0 => {
                    under_way -= 1;
                    let _ = breaker.answered(&policy, success, at);
                }
                Step::Wait { millis } => now += i64::try_from(millis).expect("small") * 1_000,
                _ => {}
            }
        }
        for _ in 0..under_way {
            let _ = breaker.answered(&policy, true, Timestamp::from_micros(now));
        }
        let later = Timestamp::from_micros(now).plus(policy.error_timeout);
        prop_assert_eq!(breaker.may_send(&policy, 0, later), Ok(()));
        breaker.sent();
        let _ = breaker.answered(&policy, true, later);
        prop_assert!(!breaker.is_tripped());
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(START).plus(Duration::from_secs(seconds))
}

fn tripped(policy: &Policy) -> Breaker {
    let mut breaker = Breaker::default();
    for _ in 0..10 {
        breaker.may_send(policy, 0, at(0)).expect("closed");
        breaker.sent();
        let _ = breaker.answered(policy, false, at(0));
    }
    assert_eq!(breaker.state(at(0)), State::Open);
    breaker
}

#[test]
fn a_dead_endpoint_costs_one_attempt_per_error_timeout() {
    let policy = Policy::default();
    let mut breaker = tripped(&policy);
    let mut attempts = 0;
    for second in 0..3_600 {
        while breaker.may_send(&policy, 0, at(second)).is_ok() {
            breaker.sent();
            attempts += 1;
            let _ = breaker.answered(&policy, false, at(second));
        }
    }
    assert_eq!(attempts, 3_600 / 30 - 1);
    assert_eq!(breaker.trips(), 1 + attempts);
}

#[test]
fn a_long_good_past_does_not_keep_a_dead_endpoint_open_for_more() {
    let policy = Policy::default();
    let mut breaker = Breaker::default();
    for _ in 0..1_000_000 {
        assert_eq!(breaker.answered(&policy, true, at(0)), None);
    }
    let failures = (1..).find(|_| breaker.answered(&policy, false, at(1)).is_some());
    assert_eq!(failures, Some(FAILURES_IN_A_ROW_MAX));
}

#[test]
fn a_count_that_is_never_reached_keeps_it_closed() {
    let policy = Policy::from(&CircuitBreaker { minimum_request_count: 1_000_000, ..CircuitBreaker::default() });
    let mut breaker = Breaker::default();
    assert!((0..100_000).all(|_| breaker.answered(&policy, false, at(0)).is_none()));
}

#[test]
fn what_was_sent_before_it_opened_is_no_probe() {
    let policy = Policy::default();
    let mut breaker = tripped(&policy);
    assert_eq!(breaker.answered(&policy, true, at(1)), None, "a late success closes nothing");
    assert_eq!(breaker.may_send(&policy, 1, at(31)), Err(Wait::ForAnswers), "one of them is still under way");
    assert_eq!(breaker.may_send(&policy, 0, at(31)), Ok(()));
}

#[test]
fn a_clock_that_jumps_back_delays_a_probe_by_one_timeout_at_most() {
    let policy = Policy::default();
    let mut breaker = tripped(&policy);
    let hour_before = at(0).minus(Duration::from_secs(3_600));
    assert_eq!(breaker.may_send(&policy, 0, hour_before), Err(Wait::Until(hour_before.plus(policy.error_timeout))));
    assert_eq!(breaker.may_send(&policy, 0, hour_before.plus(policy.error_timeout)), Ok(()));
}

#[test]
fn a_restored_breaker_is_open_for_as_long_as_it_was_to_be() {
    let policy = Policy::default();
    let before = tripped(&policy);
    let mut after = Breaker::restored(before.open_until(), before.trips(), before.failing_since());
    assert_eq!(after.may_send(&policy, 0, at(29)), Err(Wait::Until(at(30))));
    assert_eq!(after.may_send(&policy, 0, at(30)), Ok(()));
    assert_eq!((after.trips(), after.failing_since()), (1, Some(at(0))));
    assert_eq!(Breaker::restored(None, 7, None).state(at(0)), State::Closed);
}

#[test]
fn settings_out_of_range_are_named() {
    let valid = CircuitBreaker::default();
    assert_eq!(valid.validate(), Ok(()));
    for (given, text) in [
        (
            CircuitBreaker { failure_threshold: 101, ..valid.clone() },
            "circuit_breaker.failure_threshold must be between 1 and 100 percent",
        ),
        (
            CircuitBreaker { error_timeout: 0, ..valid.clone() },
            "circuit_breaker.error_timeout must be between 1 and 86400 seconds",
        ),
        (
            CircuitBreaker { sample_rate: 300, ..valid.clone() },
            "circuit_breaker.sample_rate (seconds) must be shorter than circuit_breaker.observability_window (minutes)",
        ),
    ] {
        assert_eq!(given.validate().expect_err(text).to_string(), text);
    }
    let from_before = CircuitBreaker { error_timeout: 0, success_threshold: 0, ..valid };
    assert_eq!(Policy::from(&from_before), Policy::default(), "what an old store holds stands for the default");
}
