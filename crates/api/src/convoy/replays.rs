//! Replays as resources (docs/replay.md). Convoy has no such thing: the shapes are ours, the envelope,
//! the pages and the manner of refusing are Convoy's.

mod body;
mod create;
mod get;
mod items;
mod list;
mod rate;
mod report;
mod steer;

pub use create::create;
pub use get::get;
pub use items::items;
pub use list::list;
pub use rate::rate;
pub use report::report;
pub use steer::{cancel, pause, resume};

use super::error::Error;
use crate::Shared;
use crate::path::Named;
use dacapo_control::Caller;
use dacapo_engine::Refused;
use dacapo_model::replay::{Asker, AskerKind};
use dacapo_model::{Id, Replay};
use dacapo_store::roles::CallView;

/// What is no id names nothing, as an unknown id does.
fn named(path: &Named) -> Result<Id, Error> {
    path.id.ok_or(Error::NotFound(UNKNOWN))
}

/// What has an id here: a run, or a single call.
enum Kept {
    Run(Box<Replay>),
    Call(Box<CallView>),
}

impl Kept {
    async fn of(shared: &Shared, project: Id, id: Id) -> Result<Self, Error> {
        let desk = shared.engine.replays();
        match desk.get(project, id).await {
            Err(Refused::Unknown) => Ok(Self::Call(Box::new(desk.call(project, id).await?))),
            found => Ok(Self::Run(Box::new(found?))),
        }
    }
}

pub const UNKNOWN: &str = "replay not found";

/// Of the Convoy surface.
pub fn asker(caller: &Caller) -> Asker {
    Asker { kind: AskerKind::ApiKey, id: Some(caller.key_id) }
}
