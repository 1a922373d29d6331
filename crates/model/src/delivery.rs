//! One event on its way to one endpoint, and the state machine it walks
//! (contracts/convoy.md §2.4.2, contracts/connect.md Objects).
//!
//! ```text
//!  born ─► Scheduled ─► (Processing) ─┬─► Success
//!   │          ▲                      ├─► Retry ─► (Processing) …
//!   │          │ resend               ├─► Failure    limit reached, or may not be retried
//!   └─► Discarded ◄───────────────────┴─► Discarded  endpoint or project gone
//! ```
//! `Processing` lives in memory only: a crash leaves a delivery where it was, waiting.

use crate::clock::Timestamp;
use crate::id::Id;
use crate::retry::Policy;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: Id,
    pub project_id: Id,
    pub event_id: Id,
    pub endpoint_id: Id,
    pub subscription_id: Id,
    pub trigger: Trigger,
    /// The run that made it, when `trigger` is `Replay`.
    pub replay_id: Option<Id>,
    pub mode: Mode,
    /// Copied at birth: later settings do not change a delivery under way.
    pub policy: Policy,
    /// Attempts made so far.
    pub attempts: u32,
    /// Sent again by hand: gets one attempt even when the limit is used up.
    pub manual: bool,
    pub status: Status,
    /// Why it ended, when it did not end in success.
    pub reason: Option<Reason>,
    /// HTTP status of the last attempt, when there was an answer.
    pub last_status: Option<u16>,
    /// When it is next to be sent; for settled deliveries, when it last was.
    pub due_at: Timestamp,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Accepted → delivered, microseconds; 0 until it succeeds.
    pub latency_us: u64,
}

impl Delivery {
    /// The replay that decides whether, where and how it is sent: none for one that somebody sends again
    /// by hand, which is an order of its own.
    pub fn steered_by(&self) -> Option<Id> {
        self.replay_id.filter(|_| !self.manual)
    }

    /// What class of work its next attempt is: old work never delays new.
    pub fn class(&self) -> Class {
        match (self.trigger, self.attempts) {
            (Trigger::Replay, _) => Class::Replay,
            (_, 0) => Class::Live,
            _ => Class::Retry,
        }
    }
}

/// Convoy's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Scheduled,
    Processing,
    Retry,
    Success,
    Failure,
    Discarded,
}

impl Status {
    pub const ALL: [Self; 6] =
        [Self::Scheduled, Self::Processing, Self::Retry, Self::Success, Self::Failure, Self::Discarded];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "Scheduled",
            Self::Processing => "Processing",
            Self::Retry => "Retry",
            Self::Success => "Success",
            Self::Failure => "Failure",
            Self::Discarded => "Discarded",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Discarded)
    }

    pub const fn code(self) -> u8 {
        self as u8
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }

    /// Whether the machine above has an arrow from `self` to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        use Status::{Discarded, Failure, Processing, Retry, Scheduled, Success};
        matches!(
            (self, next),
            (Scheduled | Retry, Processing | Discarded)
                | (Processing, Success | Retry | Failure | Discarded | Scheduled)
                | (Success | Failure | Discarded, Scheduled)
        )
    }
}

/// What made the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    Event,
    Replay,
    Resend,
}

impl Trigger {
    pub const ALL: [Self; 3] = [Self::Event, Self::Replay, Self::Resend];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Replay => "replay",
            Self::Resend => "resend",
        }
    }

    pub const fn code(self) -> u8 {
        self as u8
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }
}

/// Classes are scheduled by weight, so that old work never delays new (design §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Live,
    Retry,
    Replay,
}

impl Class {
    pub const ALL: [Self; 3] = [Self::Live, Self::Retry, Self::Replay];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Retry => "retry",
            Self::Replay => "replay",
        }
    }

    pub const fn code(self) -> u8 {
        self as u8
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    AtLeastOnce,
    /// Retried only when no answer came at all (contracts/convoy.md §6.4).
    AtMostOnce,
}

impl Mode {
    pub const ALL: [Self; 2] = [Self::AtLeastOnce, Self::AtMostOnce];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at_least_once",
            Self::AtMostOnce => "at_most_once",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }

    pub const fn code(self) -> u8 {
        self as u8
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }
}

/// Why a delivery ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    RetryLimit,
    /// `at_most_once`, and the endpoint answered outside 2xx.
    AnsweredOnce,
    /// The egress guard refused the address.
    AddressRefused,
    /// The endpoint answered 410 and was switched off.
    Gone,
    EndpointDeleted,
    EndpointInactive,
    EndpointPaused,
    ProjectDeleted,
    /// The request could not be built (a header value that is no header value, say).
    Unsendable,
    /// An item of a replay that leaves out what the endpoint has had already.
    AlreadyDelivered,
    /// An item of a replay that was cancelled, or that failed, before it was sent.
    ReplayEnded,
    /// An item of a replay whose target takes nothing any more.
    TargetGone,
}

impl Reason {
    pub const ALL: [Self; 12] = [
        Self::RetryLimit,
        Self::AnsweredOnce,
        Self::AddressRefused,
        Self::Gone,
        Self::EndpointDeleted,
        Self::EndpointInactive,
        Self::EndpointPaused,
        Self::ProjectDeleted,
        Self::Unsendable,
        Self::AlreadyDelivered,
        Self::ReplayEnded,
        Self::TargetGone,
    ];

    pub const fn code(self) -> u8 {
        self as u8
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }

    /// One word for reports and filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RetryLimit => "retry_limit",
            Self::AnsweredOnce => "answered_once",
            Self::AddressRefused => "address_refused",
            Self::Gone => "endpoint_gone",
            Self::EndpointDeleted => "endpoint_deleted",
            Self::EndpointInactive => "endpoint_inactive",
            Self::EndpointPaused => "endpoint_paused",
            Self::ProjectDeleted => "project_deleted",
            Self::Unsendable => "unsendable",
            Self::AlreadyDelivered => "already_delivered",
            Self::ReplayEnded => "replay_ended",
            Self::TargetGone => "target_gone",
        }
    }

    /// The text a person reads in `description`; Convoy's own where it has one.
    pub fn describe(self, last_status: Option<u16>) -> String {
        match self {
            Self::RetryLimit => "Retry limit exceeded".to_owned(),
            Self::AnsweredOnce => match last_status {
                Some(code) => format!("Endpoint returned status code {code}"),
                None => "Endpoint did not answer".to_owned(),
            },
            Self::AddressRefused => "The endpoint's address is not allowed as a destination".to_owned(),
            Self::Gone => "Endpoint returned 410 Gone and was disabled".to_owned(),
            Self::EndpointDeleted => "The endpoint was deleted".to_owned(),
            Self::EndpointInactive => "The endpoint is inactive".to_owned(),
            Self::EndpointPaused => "The endpoint is paused".to_owned(),
            Self::ProjectDeleted => "The project was deleted".to_owned(),
            Self::Unsendable => "The request could not be built".to_owned(),
            Self::AlreadyDelivered => "The endpoint has had this event already".to_owned(),
            Self::ReplayEnded => "The replay was ended before this was sent".to_owned(),
            Self::TargetGone => "The replay's target is gone".to_owned(),
        }
    }
}

/// What one exchange with an endpoint came to. Expected results are data, not errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 2xx and the whole answer was read.
    Delivered,
    /// Any other answer; `retry_after` when a 429 or 503 asked for time.
    Answered {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// No complete answer: connection, TLS, time-out, reset.
    Silent,
    /// The egress guard refused every address; trying again would not help.
    AddressRefused,
    Unsendable,
}

/// Where a delivery goes after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Settled { status: Status, reason: Option<Reason> },
    Retry { due_at: Timestamp },
}

/// What an attempt's verdict means for a delivery. `attempts` counts the attempt just made; `jitter` in
/// 0..1 is drawn by the caller.
pub fn after_attempt(delivery: &Delivery, attempts: u32, verdict: Verdict, now: Timestamp, jitter: f64) -> Next {
    after(delivery.policy, delivery.mode, attempts, verdict, now, jitter)
}

/// The one place that decides, for whatever is sent.
pub fn after(policy: Policy, mode: Mode, attempts: u32, verdict: Verdict, now: Timestamp, jitter: f64) -> Next {
    let failed = |reason| Next::Settled { status: Status::Failure, reason: Some(reason) };
    let retry_after = match verdict {
        Verdict::Delivered => return Next::Settled { status: Status::Success, reason: None },
        Verdict::AddressRefused => return failed(Reason::AddressRefused),
        Verdict::Unsendable => return failed(Reason::Unsendable),
        Verdict::Answered { status: 410, .. } => return failed(Reason::Gone),
        Verdict::Answered { .. } if mode == Mode::AtMostOnce => return failed(Reason::AnsweredOnce),
        Verdict::Answered { retry_after, .. } => retry_after,
        Verdict::Silent => None,
    };
    if attempts >= policy.limit.max(1) {
        return failed(Reason::RetryLimit);
    }
    let delay = policy.delay(attempts - 1, jitter).max(retry_after.unwrap_or(Duration::ZERO));
    Next::Retry { due_at: now.plus(delay) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::Kind;
    use proptest::prelude::*;

    fn delivery(mode: Mode, limit: u32) -> Delivery {
        let id = Id::from_u128(1);
        Delivery {
            id,
            project_id: id,
            event_id: id,
            endpoint_id: id,
            subscription_id: id,
            trigger: Trigger::Event,
            replay_id: None,
            mode,
            policy: Policy { kind: Kind::Linear, interval_s: 10, limit },
            attempts: 0,
            manual: false,
            status: Status::Scheduled,
            reason: None,
            last_status: None,
            due_at: Timestamp::default(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            latency_us: 0,
        }
    }

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Delivered),
            Just(Verdict::Silent),
            Just(Verdict::AddressRefused),
            Just(Verdict::Unsendable),
            (300u16..600, prop::option::of(0u64..100_000))
                .prop_map(|(status, wait)| Verdict::Answered { status, retry_after: wait.map(Duration::from_secs) }),
        ]
    }

    proptest! {
        #[test]
        fn every_delivery_ends_within_its_limit(verdicts in prop::collection::vec(any_verdict(), 40), limit in 0u32..30, once: bool) {
            let mode = if once { Mode::AtMostOnce } else { Mode::AtLeastOnce };
            let delivery = delivery(mode, limit);
            let now = Timestamp::from_millis(1_000);
            for (made, verdict) in verdicts.into_iter().enumerate() {
                let attempts = u32::try_from(made).expect("few") + 1;
                match after_attempt(&delivery, attempts, verdict, now, 0.5) {
                    Next::Settled { status, reason } => {
                        prop_assert!(Status::Processing.may_become(status));
                        prop_assert_eq!(status == Status::Success, reason.is_none());
                        prop_assert_eq!(status == Status::Success, verdict == Verdict::Delivered);
                        return Ok(());
                    }
                    Next::Retry { due_at } => {
                        prop_assert!(attempts < limit);
                        prop_assert!(due_at >= now.plus(Duration::from_secs(10)), "Retry-After lengthens only");
                    }
                }
            }
            prop_assert!(false, "a delivery went on past its limit");
        }
    }

    #[test]
    fn settled_states_leave_only_by_a_resend() {
        for settled in [Status::Success, Status::Failure, Status::Discarded] {
            for next in Status::ALL {
                assert_eq!(settled.may_become(next), next == Status::Scheduled, "{settled:?} -> {next:?}");
            }
        }
    }

    #[test]
    fn codes_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::from_code(status.code()), Some(status));
        }
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
        }
    }
}
