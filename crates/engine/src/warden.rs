//! Switches endpoints off: on 410, and, where the project asks for it, when a delivery used up its
//! retries (contracts/convoy.md §6.7) or the breaker opened too often in a row (§6.6).

#[cfg(test)]
mod tests;

use dacapo_model::catalog::Change;
use dacapo_model::delivery::Reason;
use dacapo_model::endpoint::Status;
use dacapo_model::{Clock, Id};
use dacapo_store::LiveCatalog;
use dacapo_store::roles::Report;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Endpoints that may wait to be switched off; one that finds no place is reported again by its next failure.
const QUEUED_MAX: usize = 1_024;

#[derive(Clone)]
pub struct Warden {
    queue: mpsc::Sender<Verdict>,
}

struct Verdict {
    project: Id,
    endpoint: Id,
    cause: Cause,
    /// Where the attempt went that it rests on: what another address said, before an edit or in a replay
    /// to an older one, says nothing of the endpoint as it is.
    asked_at: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Gone,
    RetriesUsedUp,
    TrippedTooOften,
}

impl Warden {
    pub fn start(catalog: Arc<LiveCatalog>, clock: Arc<dyn Clock>) -> Self {
        let (queue, mut verdicts) = mpsc::channel(QUEUED_MAX);
        tokio::spawn(async move {
            while let Some(verdict) = verdicts.recv().await {
                switch_off(&catalog, clock.as_ref(), verdict).await;
            }
        });
        Self { queue }
    }

    /// Never waits.
    pub fn look_at(&self, report: &Report) {
        let cause = match report.delivery.reason {
            Some(Reason::Gone) => Cause::Gone,
            Some(Reason::RetryLimit) => Cause::RetriesUsedUp,
            _ => return,
        };
        let asked_at = report.attempt.as_ref().map(|attempt| attempt.url.clone());
        self.judge(report.delivery.project_id, report.delivery.endpoint_id, cause, asked_at);
    }

    /// Its breaker opened as often in a row as its project puts up with. Never waits.
    pub fn tripped_too_often(&self, project: Id, endpoint: Id) {
        self.judge(project, endpoint, Cause::TrippedTooOften, None);
    }

    fn judge(&self, project: Id, endpoint: Id, cause: Cause, asked_at: Option<String>) {
        let _ = self.queue.try_send(Verdict { project, endpoint, cause, asked_at });
    }
}

async fn switch_off(catalog: &LiveCatalog, clock: &dyn Clock, verdict: Verdict) {
    let edit = match catalog.edit().await {
        Ok(edit) => edit,
        Err(cause) => {
            tracing::warn!(%cause, endpoint = %verdict.endpoint, "endpoint could not be switched off");
            return;
        }
    };
    let Some(view) = edit.snapshot().project(verdict.project) else { return };
    if verdict.cause != Cause::Gone && !view.project.config.disable_endpoint {
        return;
    }
    let Some(endpoint) = view.live_endpoint(verdict.endpoint).filter(|endpoint| endpoint.status != Status::Inactive)
    else {
        return;
    };
    if verdict.asked_at.is_some_and(|url| url != endpoint.url) {
        return;
    }
    let mut changed = (**endpoint).clone();
    changed.status = Status::Inactive;
    changed.version += 1;
    changed.updated_at = clock.now();
    match edit.write(vec![Change::Endpoint(Arc::new(changed))]).await {
        Ok(()) => tracing::info!(endpoint = %verdict.endpoint, cause = ?verdict.cause, "endpoint switched off"),
        Err(cause) => tracing::warn!(%cause, endpoint = %verdict.endpoint, "endpoint could not be switched off"),
    }
}
