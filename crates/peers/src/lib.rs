//! Real servers for tests: started on a free port in a directory of their own, ended with the test.
//! Knows none of our other crates, so that any of them may use it.

mod haproxy;
mod pgbouncer;
pub mod postgres;
mod process;

pub use haproxy::Haproxy;
pub use pgbouncer::{PgBouncer, Pooling};
pub use postgres::Postgres;
