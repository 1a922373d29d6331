//! Real servers for tests: started on a free port in a directory of their own, ended with the test.
//! Knows none of our other crates, so that any of them may use it.

pub mod postgres;

pub use postgres::Postgres;
