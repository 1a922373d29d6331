//! A project's `circuit_breaker` settings: what they may be, and what the breaker makes of them.

use super::window::{BUCKETS, Counts};
use super::{FAILURES_IN_A_ROW_MAX, PROBES_MAX};
use crate::project::CircuitBreaker;
use std::time::Duration;

/// The settings, worked out once for all answers that are judged by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Of the ring that counts attempts.
    pub bucket_us: i64,
    pub error_timeout: Duration,
    /// Successes among [`PROBES_MAX`] probes that close it.
    pub probes_to_close: u32,
    /// Between two reports of an endpoint's failure rate to those who do not send to it.
    pub sample_every: Duration,
    /// Trips in a row after which an endpoint is switched off, where the project asks for that.
    pub trips_to_disable: u32,
    /// Attempts that a rate must rest on.
    pub requests_min: u64,
    pub(super) failures_in_a_row: u32,
    failure_percent: u64,
}

impl Policy {
    /// How far back attempts count.
    pub fn window(&self) -> Duration {
        Duration::from_micros(self.bucket_us.unsigned_abs()).saturating_mul(BUCKETS as u32)
    }

    pub(super) fn trips_on(&self, counts: Counts) -> bool {
        counts.requests() >= self.requests_min && counts.failures * 100 >= counts.requests() * self.failure_percent
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::from(&CircuitBreaker::default())
    }
}

/// What is out of range, as an old store may hold it, stands for its default.
impl From<&CircuitBreaker> for Policy {
    fn from(given: &CircuitBreaker) -> Self {
        let otherwise = CircuitBreaker::default();
        let value = |rule: &Rule| {
            let found = (rule.get)(given);
            if rule.is_kept_by(found) { found } else { (rule.get)(&otherwise) }
        };
        let [sample_rate, error_timeout, failures, successes, requests_min, minutes, trips] =
            RULES.each_ref().map(value);
        let window_us = minutes * US_PER_MINUTE;
        let probes = (u64::from(PROBES_MAX) * successes).div_ceil(100);
        Self {
            bucket_us: i64::try_from(window_us / BUCKETS as u64).unwrap_or(i64::MAX),
            error_timeout: Duration::from_secs(error_timeout),
            probes_to_close: u32::try_from(probes).unwrap_or(PROBES_MAX).clamp(1, PROBES_MAX),
            sample_every: Duration::from_secs(sample_rate),
            trips_to_disable: u32::try_from(trips).unwrap_or(u32::MAX),
            failure_percent: failures,
            requests_min,
            failures_in_a_row: u32::try_from(requests_min).unwrap_or(u32::MAX).max(FAILURES_IN_A_ROW_MAX),
        }
    }
}

const US_PER_MINUTE: u64 = 60_000_000;

struct Rule {
    field: &'static str,
    get: fn(&CircuitBreaker) -> u64,
    max: u64,
    /// What it counts.
    unit: &'static str,
}

impl Rule {
    fn is_kept_by(&self, value: u64) -> bool {
        (1..=self.max).contains(&value)
    }
}

/// In the order of the settings. All start at 1: nothing can be judged by no attempt, or over no time.
const RULES: [Rule; 7] = [
    Rule { field: "sample_rate", get: |given| given.sample_rate, max: 3_600, unit: "seconds" },
    Rule { field: "error_timeout", get: |given| given.error_timeout, max: 86_400, unit: "seconds" },
    Rule { field: "failure_threshold", get: |given| given.failure_threshold, max: 100, unit: "percent" },
    Rule { field: "success_threshold", get: |given| given.success_threshold, max: 100, unit: "percent" },
    Rule { field: "minimum_request_count", get: |given| given.minimum_request_count, max: 1_000_000, unit: "attempts" },
    Rule { field: "observability_window", get: |given| given.observability_window, max: 1_440, unit: "minutes" },
    Rule {
        field: "consecutive_failure_threshold",
        get: |given| given.consecutive_failure_threshold,
        max: 1_000_000,
        unit: "trips in a row",
    },
];

/// A setting that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    Range {
        field: &'static str,
        max: u64,
        unit: &'static str,
    },
    /// A sample that is longer than what it is taken of.
    SampleBeyondWindow,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Range { field, max, unit } => {
                write!(f, "circuit_breaker.{field} must be between 1 and {max} {unit}")
            }
            Self::SampleBeyondWindow => f.write_str(
                "circuit_breaker.sample_rate (seconds) must be shorter than circuit_breaker.observability_window (minutes)",
            ),
        }
    }
}

impl std::error::Error for Invalid {}

impl CircuitBreaker {
    /// The first setting that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        for Rule { field, get, max, unit } in &RULES {
            if !(1..=*max).contains(&get(self)) {
                return Err(Invalid::Range { field, max: *max, unit });
            }
        }
        if self.sample_rate >= self.observability_window * 60 {
            return Err(Invalid::SampleBeyondWindow);
        }
        Ok(())
    }
}
