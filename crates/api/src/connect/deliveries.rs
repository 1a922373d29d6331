//! The log's webhook deliveries.

mod filter;
mod get;
mod list;

pub use get::get;
pub use list::list;
