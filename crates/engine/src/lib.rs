//! The pipeline: accept → route → commit → dispatch → deliver → record, one stage a file, and the
//! two doors of replay. Read the stages in that order; each header says what comes in, what goes
//! out, what is promised and what happens on failure.

pub mod accept;
pub mod address;
pub mod health;
pub mod metrics;
pub mod ping;
pub mod replay;
pub mod search;
pub mod settings;
pub mod transport;

mod breakers;
mod commit;
mod deliver;
mod dispatch;
mod engine;
mod fan_out;
mod healing;
mod meta_events;
mod record;
mod route;
mod upkeep;
mod warden;

pub use accept::{Accepted, Refusal, Submission};
pub use address::Address;
pub use deliver::Rendered;
pub use engine::{DeliveryThreads, Engine, Parts};
pub use health::Health;
pub use metrics::Metrics;
pub use replay::desk::{Desk, Pace, Refused, Steered, Wish};
pub use replay::plan::Plan;
pub use replay::{ReplayRefusal, ReplayRequest, Replayed};
pub use settings::Settings;
