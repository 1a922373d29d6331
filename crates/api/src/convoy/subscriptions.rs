//! Subscriptions (contracts/convoy.md §4.1-4.2).

mod create;
mod delete;
mod fields;
mod get;
mod list;
mod update;

pub use create::create;
pub use delete::delete;
pub use get::get;
pub use list::list;
pub use update::update;
