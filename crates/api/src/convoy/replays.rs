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
use crate::path::Named;
use dacapo_control::Caller;
use dacapo_model::Id;
use dacapo_model::replay::{Asker, AskerKind};

/// What is no id names nothing, as an unknown id does.
fn named(path: &Named) -> Result<Id, Error> {
    path.id.ok_or(Error::NotFound(UNKNOWN))
}

pub const UNKNOWN: &str = "replay not found";

pub fn asker(caller: &Caller) -> Asker {
    Asker { kind: AskerKind::ApiKey, id: Some(caller.key_id) }
}
