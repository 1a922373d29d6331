//! Walking what a selector means, a bounded page at a time: what search, counts, plans and runs read.
//!
//! The order is that of the events' ids, whatever way leads to them. A page ends when it has enough
//! items or has looked at enough rows, whichever comes first, so a page may be empty and not the last.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::{Delivery, Event, Frozen, Id};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct ScanRequest {
    pub project: Id,
    pub selector: Arc<Frozen>,
    /// `true`: oldest event first.
    pub ascending: bool,
    /// Exclusive: [`ScanPage::next`] of the page before. `None` starts at the selector's end.
    pub after: Option<Id>,
    /// Rows the page may look at, about; of its several ways to events each takes its share.
    pub rows_max: usize,
    /// Items the page may have; at least one.
    pub items_max: usize,
    pub load: Load,
}

/// What is read of each event beyond what the selector needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Otherwise `data` may be empty.
    pub data: bool,
    /// Otherwise `deliveries` may be empty.
    pub deliveries: bool,
}

impl Load {
    pub const ALL: Self = Self { data: true, deliveries: true };
}

/// An event that [`Frozen::admits`] and [`Frozen::reaches`]; unless [`Frozen::needs_routing`], one of
/// whose endpoints at least is meant. Which are, says [`Frozen::pairs`].
#[derive(Clone, Debug, PartialEq)]
pub struct ScanItem {
    pub event: Arc<Event>,
    /// Bytes of the payload, also where it was not read.
    pub data_bytes: usize,
    /// All of the event, by id, with status, attempts and last answer; fresh ones too.
    pub deliveries: Vec<Delivery>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ScanPage {
    /// In the order asked for.
    pub items: Vec<ScanItem>,
    /// How far it looked: everything up to here is decided. `None`: that was all there is.
    pub next: Option<Id>,
    /// Rows it looked at.
    pub rows: u64,
}

#[async_trait]
pub trait Scan: Send + Sync + 'static {
    /// All of a page is read in one snapshot. A walk from page to page meets every event that was
    /// there when it began and is still there, once.
    async fn scan(&self, request: ScanRequest) -> Result<ScanPage>;
}
