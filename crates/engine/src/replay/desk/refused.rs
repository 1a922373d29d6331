//! Why not.

use super::{OPEN_REPLAYS_MAX, PLAN_TIME_MAX};
use dacapo_model::Id;
use dacapo_model::replay::State;
use dacapo_model::selector::SelectorError;
use dacapo_store::StoreError;

#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    #[error("unknown replay")]
    Unknown,
    #[error("unknown project")]
    UnknownProject,
    #[error("selector.{0}")]
    Selector(#[from] SelectorError),
    #[error(
        "selector: it has no start and means everything back to the oldest event kept; add \"from\", or \"confirm_unbounded\": true if that is meant"
    )]
    Unbounded,
    #[error(
        "expected_count: the set holds {found} item(s) now, not {expected}; plan without it (\"dry_run\": true) and look at what changed"
    )]
    Moved { expected: u64, found: u64 },
    #[error("expected_count: the set could not be counted within {} seconds ({counted} item(s) by then); narrow the selector, or leave expected_count out", PLAN_TIME_MAX.as_secs())]
    NotCounted { counted: u64 },
    #[error("options.target.endpoint_id: the project has no endpoint {0}")]
    UnknownTarget(Id),
    #[error(
        "options.target: what replay {0} sent went to an address, not to an endpoint; say where this one sends it, such as {{\"url\": \"https://…\"}}"
    )]
    NeedsTarget(Id),
    #[error("options.target.url: {0}")]
    RefusedTarget(String),
    #[error("idempotency_key: it was used for another replay")]
    KeyConflict,
    #[error(
        "{open} replays of this project are open, and no more than {OPEN_REPLAYS_MAX} may be: wait for one, or cancel one"
    )]
    TooMany { open: u64 },
    #[error("it was one call, done when it answered; only a replay of many events can be steered")]
    Call,
    #[error("the replay is {}: {advice}", .state.as_str())]
    WrongState { state: State, advice: &'static str },
    #[error(transparent)]
    Store(#[from] StoreError),
}
