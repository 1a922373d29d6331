//! What Dacapo remembers: the durability contract ([`roles`]) and the engines that keep it.
//!
//! A stage of the pipeline is handed the role it needs and nothing else; which engine runs is known
//! to nobody outside this crate. `conformance` is the contract as tests: every engine runs it.

#[cfg(test)]
mod conformance;
pub mod copy;
mod document;
pub mod error;
pub mod live;
mod packed;
pub mod postgres;
pub mod roles;
pub mod sqlite;
mod targets;

pub use error::StoreError;
pub use live::LiveCatalog;
pub use postgres::PostgresStore;
pub use roles::Store;

/// What every verb returns.
pub type Result<T> = std::result::Result<T, StoreError>;
