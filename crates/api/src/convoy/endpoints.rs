//! Endpoints (contracts/convoy.md §3).

mod activate;
mod create;
mod delete;
mod expire_secret;
mod fields;
mod get;
mod list;
mod pause;
mod update;

pub use activate::activate;
pub use create::create;
pub use delete::delete;
pub use expire_secret::expire_secret;
pub use get::get;
pub use list::list;
pub use pause::pause;
pub use update::update;
