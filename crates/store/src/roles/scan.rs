//! Walking what a selector means, a bounded page at a time: what search, counts, plans and runs read.
//!
//! The order is that of the events' ids, whatever way leads to them. A page ends when it has enough
//! items, deliveries or bytes of payload, or has looked at enough rows, whichever comes first, so a page may be empty and not
//! the last. An event with more deliveries than a page takes is given in slices, each some of its endpoints.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::selector::Pair;
use dacapo_model::{Delivery, Event, Frozen, Id};
use std::sync::Arc;

/// Bytes of payload a page takes where payloads are read, and at most one payload more.
pub const PAGE_BYTES_MAX: usize = 8 << 20;

#[derive(Clone, Debug)]
pub struct ScanRequest {
    pub project: Id,
    pub selector: Arc<Frozen>,
    /// `true`: oldest event first.
    pub ascending: bool,
    /// [`ScanPage::next`] of the page before. `None` starts at the selector's end.
    pub after: Option<Place>,
    /// The last event looked at, in reading direction, as [`Scan::cut`] gave it. `None` goes on to the selector's
    /// other end.
    pub upto: Option<Id>,
    /// Rows the page may look at, about; of its several ways to events each takes its share.
    pub rows_max: usize,
    /// Items the page may have; at least one.
    pub items_max: usize,
    /// Deliveries the page may have, at most twice as many; those to one endpoint are never parted.
    pub deliveries_max: usize,
    pub load: Load,
}

/// Where a walk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Everything up to this id, in reading direction, is decided. It need not be an event's.
    Behind(Id),
    /// Everything before this event is, and of its endpoints, by id, those up to this one.
    Within { event: Id, endpoint: Id },
}

impl Place {
    pub const fn event(self) -> Id {
        match self {
            Self::Behind(event) | Self::Within { event, .. } => event,
        }
    }

    /// Without what is left of an event that is begun.
    pub const fn past_event(self) -> Self {
        Self::Behind(self.event())
    }
}

/// Some endpoints of an event: those behind `after`, by id, up to `upto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    pub after: Option<Id>,
    /// `None`: all of the rest.
    pub upto: Option<Id>,
}

impl Slice {
    pub fn holds(&self, endpoint: Id) -> bool {
        self.after.is_none_or(|after| endpoint > after) && self.upto.is_none_or(|upto| endpoint <= upto)
    }
}

impl ScanRequest {
    /// Whether items come with their payload.
    pub fn reads_data(&self) -> bool {
        self.load.content || self.selector.reads_data()
    }

    /// Whether they come with what else [`Load::content`] means.
    pub fn reads_content(&self) -> bool {
        self.load.content || self.selector.reads_content()
    }
}

/// What is read of each event beyond what the selector needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Otherwise `data`, `headers`, `url_query`, `url_path`, `idempotency_key` and `connect.related` may be empty.
    pub content: bool,
    /// Otherwise `deliveries` may be empty.
    pub deliveries: bool,
}

impl Load {
    pub const ALL: Self = Self { content: true, deliveries: true };
}

/// An event that [`Frozen::admits`] and [`Frozen::reaches`]; unless [`Frozen::needs_routing`], one of
/// whose endpoints at least is meant. Which are, says [`Self::pairs`].
#[derive(Clone, Debug, PartialEq)]
pub struct ScanItem {
    pub event: Arc<Event>,
    /// Bytes of the payload, also where it was not read.
    pub data_bytes: usize,
    /// Which of its endpoints this is about.
    pub slice: Slice,
    /// All of the event to these, by id, with status, attempts and last answer; fresh ones too.
    pub deliveries: Vec<Delivery>,
}

impl ScanItem {
    /// Those of the slice that are meant, as [`Frozen::pairs`].
    pub fn pairs(&self, selector: &Frozen, matching: impl FnOnce() -> Vec<Id>) -> Vec<Pair> {
        selector.pairs_of_reached(&self.event, &self.deliveries, || {
            let mut matching = matching();
            matching.retain(|endpoint| self.slice.holds(*endpoint));
            matching
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ScanPage {
    /// In the order asked for.
    pub items: Vec<ScanItem>,
    /// How far it looked. `None`: that was all there is.
    pub next: Option<Place>,
    /// Rows it looked at.
    pub rows: u64,
}

#[async_trait]
pub trait Scan: Send + Sync + 'static {
    /// All of a page is read in one snapshot. A walk from page to page meets every event that was
    /// there when it began and is still there, once, in one item or in slices that follow each other.
    async fn scan(&self, request: ScanRequest) -> Result<ScanPage>;

    /// Where a walk can be cut in two that are walked side by side: the last event of the first, which looks at so
    /// many `rows`. `None`: there are no more than that, or looking for the place would cost what the walk does, as
    /// it says then of every place of the walk. What it costs is bounded by `rows`.
    async fn cut(&self, request: ScanRequest, rows: usize) -> Result<Option<Id>>;
}
