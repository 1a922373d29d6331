//! The store's contract, a role a stage. All verbs take batches, because batches cross every
//! boundary; all are atomic: what a verb was asked for is there whole after `Ok`, and not at all
//! after `Err`.

mod catalog;
mod commit;
mod fan_out;
pub mod lease;
mod meta_events;
mod query;
mod queue;
mod record;
mod replays;
mod requeue;
mod retention;
mod scan;

pub use catalog::{Catalog, Contents, EditLock};
pub use commit::{Commit, Committed, NewEvent};
pub use fan_out::{FanOuts, Part};
pub use lease::{Allowance, Epoch, Holding, Lease, NodeView};
pub use meta_events::MetaEvents;
pub use query::{DeliveryFilter, DeliveryView, EventFilter, Page, Query, Window};
pub use queue::{ARRIVALS_QUEUED_MAX, Arrival, Arrivals, Backlog, CountedUpto, Depth, Due, Look, Queue, Waiting};
pub use record::{Record, Report};
pub use replays::{
    Acknowledged, CallView, HELD_UNTIL, ItemPage, NewReplayRun, OpenItems, Release, Released, ReplayCreated, Replays,
    Scheduled,
};
pub use requeue::{Idempotency, NewReplay, NewResend, ReplayWritten, Requeue, Resend, ResendKind};
pub use retention::{Dropped, META_EVENTS_MAX, Retention};
pub use scan::{Load, PAGE_BYTES_MAX, Place, Scan, ScanItem, ScanPage, ScanRequest, Slice};

/// All roles of one engine, for the wiring; stages take the single roles.
pub trait Store:
    Commit + FanOuts + Queue + Record + Requeue + Catalog + Query + Scan + Lease + Retention + Replays + MetaEvents
{
}

impl<T> Store for T where
    T: Commit + FanOuts + Queue + Record + Requeue + Catalog + Query + Scan + Lease + Retention + Replays + MetaEvents
{
}
