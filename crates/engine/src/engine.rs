//! Wiring of the stages, and what the surfaces call.

use crate::accept::{Accepted, Refusal, Submission};
use crate::metrics::Metrics;
use crate::replay::{ReplayRefusal, ReplayRequest, Replayed};
use crate::settings::Settings;
use crate::transport::Transport;
use dacapo_model::id::Entropy;
use dacapo_model::{Clock, Id, IdSource};
use dacapo_store::roles::{Resend, ResendKind};
use dacapo_store::{LiveCatalog, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// What the pipeline is made of; all of it is handed in.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<LiveCatalog>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<IdSource>,
    pub entropy: Arc<dyn Entropy>,
    pub transport: Arc<dyn Transport>,
    pub settings: Settings,
}

/// Whether events can be taken now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Ready,
    /// The store cannot be written; it is tried again every second.
    Unready { reason: String },
    Draining,
}

/// The running pipeline. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    metrics: Arc<Metrics>,
}

impl Engine {
    pub async fn start(parts: Parts) -> Result<Self, StoreError> {
        let _ = parts;
        Ok(Self { metrics: Arc::default() })
    }

    pub async fn accept(&self, submission: Submission) -> Result<Accepted, Refusal> {
        let _ = submission;
        Err(Refusal::Draining)
    }

    pub async fn replay(&self, request: ReplayRequest) -> Result<Replayed, ReplayRefusal> {
        let _ = request;
        Err(ReplayRefusal::UnknownEvent)
    }

    /// One answer an id, in order. Deliveries whose endpoint takes none are for the caller to refuse first.
    pub async fn resend(&self, project: Id, deliveries: Vec<Id>, kind: ResendKind) -> Result<Vec<Resend>, StoreError> {
        let _ = (project, deliveries, kind);
        Ok(Vec::new())
    }

    pub fn health(&self) -> Health {
        Health::Ready
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Takes no new events, finishes what is in flight (at most `within`), flushes records, closes the store.
    pub async fn drain(&self, within: Duration) {
        let _ = within;
    }
}
