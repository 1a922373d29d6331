//! Webhooks about this product itself (contracts/convoy.md §7.3): to look at, and to send again.

mod get;
mod list;
mod resend;

pub use get::get;
pub use list::list;
pub use resend::resend;

use super::error::Error;

/// What is no id, unknown, or another project's.
const UNKNOWN: Error = Error::NotFound("meta event not found");
