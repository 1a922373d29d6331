//! The words of Dacapo, as plain data and pure functions: no async, no I/O, no SQL, no HTTP.
//!
//! Everything that needs the time or randomness takes it as a parameter ([`clock::Clock`],
//! [`id::IdSource`]), so that a test can say what time it is.

pub mod address;
pub mod attempt;
pub mod breaker;
pub mod catalog;
pub mod clock;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod event_type;
pub mod filter;
pub mod gcra;
pub mod health;
pub mod id;
pub mod json;
pub mod key;
pub mod meta_event;
pub mod organisation;
pub mod project;
pub mod replay;
pub mod retry;
pub mod routing;
pub mod selector;
pub mod shard;
pub mod signature;
pub mod subscription;

pub use attempt::Attempt;
pub use breaker::Breaker;
pub use clock::{Clock, Timestamp};
pub use delivery::{Class, Delivery, Mode, Status, Trigger};
pub use endpoint::Endpoint;
pub use event::Event;
pub use health::Health;
pub use id::{Id, IdSource};
pub use meta_event::MetaEvent;
pub use project::Project;
pub use replay::Replay;
pub use selector::{Frozen, Selector, SetMode};
pub use shard::Shard;
pub use subscription::Subscription;
