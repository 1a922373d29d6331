//! Stage 2, route: which subscriptions an event matches, in memory, over one catalog snapshot.
//!
//! - In: a submission (or a stored event, for a replay) and its project.
//! - Out: a target per match; born discarded where the endpoint takes none.
//! - Promise: what was configured when the call began is what is matched.
//! - Failure: none; nobody matching is a result.

use crate::accept::Submission;
use dacapo_model::Event;
use dacapo_model::Id;
use dacapo_model::catalog::ProjectView;
use dacapo_model::event::Target;
use dacapo_model::filter::scopes;
use dacapo_model::routing::{Question, route};

pub fn targets(view: &ProjectView, submission: &Submission) -> Vec<Target> {
    let question = Question {
        audience: &submission.audience,
        event_type: &submission.event_type,
        source_id: submission.source_id,
        content: scopes::Event {
            data: &submission.data,
            headers: &submission.headers,
            url_query: &submission.url_query,
            url_path: &submission.url_path,
        },
    };
    route(view, question)
}

/// Matches a stored event again, as things are configured now; only `endpoint` when one is named.
pub fn again(view: &ProjectView, event: &Event, endpoint: Option<Id>) -> Vec<Target> {
    let question = Question {
        audience: &event.audience,
        event_type: &event.event_type,
        source_id: event.source_id,
        content: scopes::Event {
            data: &event.data,
            headers: &event.headers,
            url_query: &event.url_query,
            url_path: &event.url_path,
        },
    };
    let mut targets = route(view, question);
    if let Some(only) = endpoint {
        targets.retain(|target| target.endpoint_id == only);
    }
    targets
}
