//! The contract on this engine, run by a real server, and what only this engine can do wrong.

mod durability;
mod fence;
mod plans;
mod refusals;
mod requeue;
pub(crate) mod server;
mod start;
mod sweep;
mod tls;

mod conformance {
    crate::conformance::suite!(super::super::server::place);
    crate::conformance::shared_suite!(super::super::server::place);
}
