//! `POST ~/eventdeliveries/forceresend` (§2.4.4): deliveries that succeeded, once more.

use super::resend::check_endpoint;
use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::payload::Payload;
use crate::convoy::replays::asker;
use crate::convoy::{Outcome, envelope};
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_model::json::decode::{BodyError, Object};
use dacapo_model::{Id, Status};
use dacapo_store::roles::{Resend, ResendKind};

/// Ids in one call.
const IDS_MAX: usize = 1_000;

pub async fn force_resend(State(shared): Api, Extension(caller): Extension<Caller>, Payload(body): Payload) -> Outcome {
    let ids = decode(&body).map_err(|_| Error::bad("Request is invalid"))?;
    if ids.len() > IDS_MAX {
        return Err(Error::bad(format!("at most {IDS_MAX} ids in one call")));
    }
    let not_sent_yet = || Error::bad("only successful events can be force resent");
    let mut due = Vec::with_capacity(ids.len());
    let mut failed = 0;
    for id in ids {
        let Some(found) = shared.store.delivery(caller.project_id(), id).await? else {
            continue;
        };
        if found.delivery.status != Status::Success {
            return Err(not_sent_yet());
        }
        if check_endpoint(&caller.project, found.delivery.endpoint_id).is_ok() {
            due.push(id);
        } else {
            failed += 1;
        }
    }
    let mut successful = 0;
    if !due.is_empty() {
        for answer in shared.engine.resend(caller.project_id(), due, ResendKind::Succeeded, asker(&caller)).await? {
            match answer {
                Resend::Scheduled(_) => successful += 1,
                Resend::WrongState(_) | Resend::Unknown => failed += 1,
            }
        }
    }
    Ok(envelope::ok(&format!("{successful} successful, {failed} failed"), ()))
}

/// What is no id is skipped, as an unknown id is; an id given twice counts once.
fn decode(body: &[u8]) -> Result<Vec<Id>, BodyError> {
    let given = Object::read(body)?.string_list("ids")?.unwrap_or_default();
    let mut ids: Vec<Id> = given.iter().filter_map(|text| text.parse().ok()).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}
