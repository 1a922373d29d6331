//! Event deliveries and their attempts (contracts/convoy.md §2.4-2.5).

mod attempts;
mod batch_retry;
mod filter;
mod force_resend;
mod get;
mod list;
mod resend;

pub use attempts::{attempt, attempts};
pub use batch_retry::batch_retry;
pub use force_resend::force_resend;
pub use get::get;
pub use list::list;
pub use resend::resend;
