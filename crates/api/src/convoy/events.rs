//! Events (contracts/convoy.md §2.3).

mod batch;
mod create;
mod custom_headers;
mod filter;
mod get;
mod list;
mod replay;
pub mod search;

pub use batch::{batch_replay, count_batch_replay};
pub use create::create;
pub use get::get;
pub use list::list;
pub use replay::replay;
