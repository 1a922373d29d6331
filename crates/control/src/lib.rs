//! What an authorised caller may do with projects, endpoints, subscriptions, event types and keys:
//! one set of rules for every surface. Nothing here knows HTTP or the pipeline.
//!
//! Every write is look-then-write under [`LiveCatalog::edit`], so two callers cannot both pass a
//! check that only one of them may pass. Errors are typed: a surface chooses its status and text by
//! the variant, never by the words.

pub mod bootstrap;
pub mod endpoint_url;
pub mod endpoints;
pub mod event_types;
pub mod identity;
pub mod keys;
pub mod pinger;
pub mod projects;
pub mod subscriptions;
pub mod violation;
mod yaml;

#[cfg(test)]
mod memory;

pub use bootstrap::FirstRun;
pub use identity::{AuthError, Caller, Surface};
pub use violation::{Violation, Violations};

use crate::pinger::Pinger;
use dacapo_model::address::Guard;
use dacapo_model::catalog::{ProjectView, Snapshot};
use dacapo_model::id::Entropy;
use dacapo_model::{Clock, Id, IdSource, Timestamp};
use dacapo_store::LiveCatalog;
use dacapo_store::live::Edit;
use std::sync::Arc;

/// The handle all rules hang on; one file each holds the rules for one thing. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    pub catalog: Arc<LiveCatalog>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<IdSource>,
    pub entropy: Arc<dyn Entropy>,
    pub pinger: Arc<dyn Pinger>,
    /// Where the operator lets things be sent.
    pub guard: Guard,
}

/// A feature of the contract that this version does not have. It is refused rather than ignored:
/// a caller who believes a filter is in force would get events he meant to keep out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{feature} are not available yet: {advice}")]
pub struct NotAvailable {
    pub feature: &'static str,
    pub advice: &'static str,
}

impl Control {
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.catalog.snapshot()
    }

    /// A new id with the moment it stands for.
    fn mint(&self) -> (Id, Timestamp) {
        self.ids.mint(self.clock.now())
    }
}

/// The project as it is under this edit; `None` when it is unknown or deleted.
fn live_project(edit: &Edit, project: Id) -> Option<&Arc<ProjectView>> {
    edit.snapshot().project(project).filter(|view| view.project.deleted_at.is_none())
}
