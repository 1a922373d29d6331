//! The log's events.

mod create;
mod get;
mod list;
mod replay;

pub use create::create;
pub use get::get;
pub use list::list;
pub use replay::replay;
