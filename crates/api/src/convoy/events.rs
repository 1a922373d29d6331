//! Events (contracts/convoy.md §2.3).

mod create;
mod custom_headers;
mod filter;
mod get;
mod list;
mod replay;

pub use create::create;
pub use get::get;
pub use list::list;
pub use replay::replay;
