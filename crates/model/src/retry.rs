//! When a failed delivery is tried again (contracts/convoy.md §6.4).

use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Linear,
    Exponential,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Exponential => "exponential",
        }
    }

    pub const fn code(self) -> u8 {
        self as u8
    }

    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Linear),
            1 => Some(Self::Exponential),
            _ => None,
        }
    }
}

/// A project's setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Strategy {
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Seconds.
    pub duration: u64,
    /// Attempts, the first included.
    pub retry_count: u64,
}

impl Default for Strategy {
    fn default() -> Self {
        Self { kind: Kind::Linear, duration: 100, retry_count: 10 }
    }
}

/// What a delivery carries of a [`Strategy`]: copied at birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub kind: Kind,
    pub interval_s: u32,
    /// Attempts, the first included; 0 and 1 both mean one try.
    pub limit: u32,
}

/// No exponential delay is longer, jitter aside.
pub const MAX_RETRY_SECONDS: u32 = 7_200;
/// Added to exponential delays, uniformly from zero.
const JITTER_MAX: Duration = Duration::from_secs(5);
/// No linear interval is longer: a typing error must not park a delivery for a century.
const INTERVAL_MAX_S: u64 = 30 * 86_400;

impl From<Strategy> for Policy {
    fn from(strategy: Strategy) -> Self {
        Self {
            kind: strategy.kind,
            interval_s: u32::try_from(strategy.duration.min(INTERVAL_MAX_S)).unwrap_or(u32::MAX),
            limit: u32::try_from(strategy.retry_count).unwrap_or(u32::MAX),
        }
    }
}

impl Policy {
    /// How long to wait after the attempt number `completed + 1` failed; `jitter` in 0..1.
    pub fn delay(&self, completed: u32, jitter: f64) -> Duration {
        let interval = u64::from(self.interval_s);
        match self.kind {
            Kind::Linear => Duration::from_secs(interval),
            Kind::Exponential => {
                let doubled = interval.saturating_mul(1u64.checked_shl(completed).unwrap_or(u64::MAX));
                Duration::from_secs(doubled.min(u64::from(MAX_RETRY_SECONDS)))
                    + JITTER_MAX.mul_f64(jitter.clamp(0.0, 1.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_until_the_cap() {
        let policy = Policy { kind: Kind::Exponential, interval_s: 2, limit: 20 };
        let seconds: Vec<u64> = (0..14).map(|n| policy.delay(n, 0.0).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 7200, 7200]);
    }

    proptest! {
        #[test]
        fn delays_stay_in_bounds(interval: u32, completed: u32, jitter in 0.0f64..1.0, exponential: bool) {
            let kind = if exponential { Kind::Exponential } else { Kind::Linear };
            let policy = Policy { kind, interval_s: interval, limit: 3 };
            let delay = policy.delay(completed, jitter);
            if exponential {
                prop_assert!(delay <= Duration::from_secs(u64::from(MAX_RETRY_SECONDS)) + JITTER_MAX);
                prop_assert!(delay >= Duration::from_secs(u64::from(interval.min(MAX_RETRY_SECONDS))));
            } else {
                prop_assert_eq!(delay, Duration::from_secs(u64::from(interval)));
            }
        }
    }
}
