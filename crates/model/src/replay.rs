//! A replay as a resource: what was asked for, how it is steered, how far it is.
//!
//! ```text
//!  planned ──► running ⇄ paused
//!     │           │  │      │
//!     │           │  └──────┼──► completed   every item is settled
//!     │           ├─────────┼──► failed      the set cannot be read on
//!     └───────────┴─────────┴──► cancelled   what was not sent is given up
//! ```
//! `planned` lasts until the node that owns the replay takes it up.

mod call;
mod pace;

pub use call::{Asked, Call, CallKind, Said, Whereabouts};
pub use pace::{MARK_EVERY, Marks, PACE_WINDOW, Sends};

use crate::clock::Timestamp;
use crate::delivery::{Reason, Status};
use crate::id::Id;
use crate::selector::{Frozen, SetMode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Concurrent exchanges of one replay when it says nothing: as many as one endpoint gets.
pub const CONCURRENCY_DEFAULT: u32 = 64;
/// More than a node has places for would only be a word.
pub const CONCURRENCY_MAX: u32 = 2_048;
/// Items a second at most; beyond it a replay is as fast as the store, and says no rate.
pub const RATE_MAX: u32 = 100_000;
/// Characters of a name, and of a reason.
pub const NAME_CHARS_MAX: usize = 200;
pub const REASON_CHARS_MAX: usize = 2_000;
/// Steps of a replay's history that are kept: who paused it 101 times is not told about the first.
pub const STEPS_MAX: usize = 100;

/// What was asked for. Written once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub name: String,
    /// Why, in the words of who asked; empty when nothing was said.
    pub reason: String,
    pub asked_by: Asker,
    pub created_at: Timestamp,
    /// As it came.
    pub selector: serde_json::Value,
    /// With relative times resolved and the high-water mark taken, as the scan reads it.
    pub frozen: Frozen,
    pub mode: SetMode,
    pub options: Options,
    /// What the set held when it was counted at the start; `None` when counting was given up.
    pub matched: Option<u64>,
    /// The same of what is sent of it; `None` also where an older version counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sends: Option<Sends>,
}

/// Who asked, for the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    pub kind: AskerKind,
    /// The key's, for instance.
    pub id: Option<Id>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskerKind {
    ApiKey,
    ConnectKey,
    /// The product itself: recovery when an endpoint heals.
    System,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// First attempts a second; `None`: as fast as it goes.
    pub rate: Option<u32>,
    /// Exchanges at the same time, on each node.
    pub concurrency: u32,
    /// Exchanges with any one endpoint: a second, and at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_rate: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_concurrency: Option<u32>,
    pub order: Order,
    /// Send also what the endpoint has had already.
    pub include_succeeded: bool,
    pub as_of: AsOf,
    pub target: Option<Elsewhere>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rate: None,
            concurrency: CONCURRENCY_DEFAULT,
            endpoint_rate: None,
            endpoint_concurrency: None,
            order: Order::Unordered,
            include_succeeded: false,
            as_of: AsOf::default(),
            target: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    #[default]
    Unordered,
    /// Oldest event first, the next one when the one before is settled.
    PerEndpoint,
}

impl Order {
    pub const ALL: [Self; 2] = [Self::Unordered, Self::PerEndpoint];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unordered => "unordered",
            Self::PerEndpoint => "per_endpoint",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == text)
    }
}

/// Which state of the endpoint's configuration a request is made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    pub url: Version,
    /// Authentication and content type.
    pub headers: Version,
    pub secret: Version,
}

impl AsOf {
    pub fn is_current(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// When the event was accepted.
    Original,
    #[default]
    Current,
}

impl Version {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Current => "current",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Original, Self::Current].into_iter().find(|version| version.as_str() == text)
    }
}

/// Where to send instead.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Elsewhere {
    /// Another endpoint of the project.
    Endpoint(Id),
    /// An address that is nobody's endpoint, signed with a secret of its own; empty signs nothing.
    Url { url: String, secret: String },
}

impl std::fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Endpoint(id) => f.debug_tuple("Endpoint").field(id).finish(),
            Self::Url { url, .. } => f.debug_struct("Url").field("url", url).finish_non_exhaustive(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Planned,
    Running,
    Paused,
    Completed,
    Failed,
    Cancelled,
}

impl State {
    pub const ALL: [Self; 6] =
        [Self::Planned, Self::Running, Self::Paused, Self::Completed, Self::Failed, Self::Cancelled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Stored. Those up to [`Self::Paused`] are not over.
    pub const fn code(self) -> u8 {
        self as u8
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }

    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether the machine above has an arrow from `self` to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        use State::{Cancelled, Completed, Failed, Paused, Planned, Running};
        matches!(
            (self, next),
            (Planned, Running | Paused | Failed | Cancelled)
                | (Running, Paused | Completed | Failed | Cancelled)
                | (Paused, Running | Failed | Cancelled)
        )
    }

    /// What becomes of items that were not sent yet.
    pub const fn gate(self) -> Gate {
        match self {
            Self::Planned | Self::Running | Self::Completed => Gate::Open,
            Self::Paused => Gate::Shut,
            Self::Failed | Self::Cancelled => Gate::GivenUp,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They are sent.
    Open,
    /// They stay where they are.
    Shut,
    /// They are discarded.
    GivenUp,
}

/// What may change while it runs, and who changed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    pub state: State,
    pub rate: Option<u32>,
    pub concurrency: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_rate: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_concurrency: Option<u32>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Why, when it failed.
    pub failure: Option<String>,
    /// Oldest first, at most [`STEPS_MAX`].
    pub steps: Vec<Step>,
}

/// One thing somebody did to a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub at: Timestamp,
    pub by: Asker,
    pub what: String,
}

impl Control {
    pub fn new(options: &Options) -> Self {
        Self {
            state: State::Planned,
            rate: options.rate,
            concurrency: options.concurrency,
            endpoint_rate: options.endpoint_rate,
            endpoint_concurrency: options.endpoint_concurrency,
            started_at: None,
            finished_at: None,
            failure: None,
            steps: Vec::new(),
        }
    }

    /// The same in another state; `None` where the machine has no such arrow.
    pub fn to(&self, next: State, at: Timestamp, by: &Asker) -> Option<Self> {
        if !self.state.may_become(next) {
            return None;
        }
        let mut after = self.clone();
        after.state = next;
        if next == State::Running {
            after.started_at = after.started_at.or(Some(at));
        }
        if next.is_over() {
            after.finished_at = Some(at);
        }
        after.note(at, by, next.as_str().to_owned());
        Some(after)
    }

    pub fn note(&mut self, at: Timestamp, by: &Asker, what: String) {
        if self.steps.len() >= STEPS_MAX {
            self.steps.remove(0);
        }
        self.steps.push(Step { at, by: by.clone(), what });
    }
}

/// How far the walk over the set has come. Moves in the transaction that writes the items.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The event the scan goes on behind; `None` before the first page.
    pub cursor: Option<Id>,
    /// Where it goes on inside of the event after that, which was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// The whole set was walked.
    pub exhausted: bool,
    /// Rows looked at.
    pub scanned: u64,
    /// Items written, those born settled included.
    pub items: u64,
    /// Items whose event retention removed before they were written.
    pub gone: u64,
    #[serde(skip_serializing_if = "Marks::is_empty")]
    pub marks: Marks,
}

/// An event that has become items for its endpoints, by id, up to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    pub event: Id,
    pub endpoint: Id,
}

/// Settled items by how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<(u8, Option<u8>), u64>);

impl Counts {
    pub fn settled(&self) -> u64 {
        self.0.values().sum()
    }

    pub fn of(&self, status: Status) -> u64 {
        self.0.iter().filter(|((code, _), _)| *code == status.code()).map(|(_, count)| count).sum()
    }

    pub fn with_reason(&self, reason: Reason) -> u64 {
        self.0.iter().filter(|((_, code), _)| *code == Some(reason.code())).map(|(_, count)| count).sum()
    }
}

/// A replay as it is at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    pub id: Id,
    pub project_id: Id,
    pub definition: Definition,
    pub control: Control,
    /// Rises with every change of any replay's `control`; what an older one says is out of date.
    pub revision: u64,
    pub progress: Progress,
    /// Pages written; who writes the next one names it.
    pub page: u64,
    pub counts: Counts,
}

impl Replay {
    /// Items written and not settled.
    pub fn waiting(&self) -> u64 {
        self.progress.items.saturating_sub(self.counts.settled())
    }

    /// Of the set as it was counted, those that were not there any more when their turn came: retention
    /// removed the event, or it is meant for nobody now.
    pub fn gone(&self) -> u64 {
        match self.definition.matched.filter(|_| self.progress.exhausted) {
            Some(matched) => matched.saturating_sub(self.progress.items).max(self.progress.gone),
            None => self.progress.gone,
        }
    }

    /// The first event its walk may still come to; `None` when it comes to none.
    pub fn walks_on_from(&self) -> Option<Id> {
        let is_open = matches!(self.control.state, State::Planned | State::Running | State::Paused);
        let parts = self.definition.frozen.parts();
        let first = parts.event_ids.first().copied().unwrap_or(Id::MIN).max(parts.first);
        (is_open && !self.progress.exhausted).then(|| self.progress.cursor.map_or(first, |cursor| cursor.max(first)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOMEBODY: Asker = Asker { kind: AskerKind::System, id: None };

    #[test]
    fn what_is_over_stays_over() {
        for over in State::ALL.into_iter().filter(|state| state.is_over()) {
            assert!(State::ALL.into_iter().all(|next| !over.may_become(next)), "{over:?}");
        }
        for open in State::ALL.into_iter().filter(|state| !state.is_over()) {
            assert!(open.may_become(State::Cancelled), "{open:?} can be cancelled");
        }
    }

    #[test]
    fn codes_read_back() {
        for state in State::ALL {
            assert_eq!(State::from_code(state.code()), Some(state));
            assert_eq!(state.is_over(), state.code() > State::Paused.code());
        }
    }

    #[test]
    fn a_replay_starts_once_and_remembers_who_did_what() {
        let at = Timestamp::from_millis;
        let control = Control::new(&Options::default());
        let running = control.to(State::Running, at(1), &SOMEBODY).expect("an arrow");
        let paused = running.to(State::Paused, at(2), &SOMEBODY).expect("an arrow");
        let again = paused.to(State::Running, at(3), &SOMEBODY).expect("an arrow");
        assert_eq!(again.started_at, Some(at(1)));
        assert_eq!(
            again.steps.iter().map(|step| step.what.as_str()).collect::<Vec<_>>(),
            ["running", "paused", "running"]
        );
        assert_eq!(again.to(State::Planned, at(4), &SOMEBODY), None);
        let cancelled = again.to(State::Cancelled, at(5), &SOMEBODY).expect("an arrow");
        assert_eq!((cancelled.finished_at, cancelled.to(State::Cancelled, at(6), &SOMEBODY)), (Some(at(5)), None));
    }

    #[test]
    fn a_history_is_bounded() {
        let mut control = Control::new(&Options::default());
        for n in 0..STEPS_MAX + 5 {
            control.note(Timestamp::from_millis(1), &SOMEBODY, n.to_string());
        }
        assert_eq!((control.steps.len(), control.steps[0].what.as_str()), (STEPS_MAX, "5"));
    }
}
