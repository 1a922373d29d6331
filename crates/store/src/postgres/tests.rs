//! The contract on this engine, run by a real server, and what only this engine can do wrong.

mod server;

mod conformance {
    crate::conformance::suite!(super::super::server::place);
}
