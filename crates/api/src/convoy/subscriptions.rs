//! Subscriptions (contracts/convoy.md §4.1-4.2, §4.5).

mod create;
mod delete;
mod fields;
mod get;
mod list;
mod test_filter;
mod update;

pub use create::create;
pub use delete::delete;
pub use get::get;
pub use list::list;
pub use test_filter::test_filter;
pub use update::update;
