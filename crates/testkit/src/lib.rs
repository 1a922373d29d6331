//! What the tests and benchmarks of Dacapo are made of: a sink, a load generator, a forwarder to compare with,
//! receivers that misbehave, and a handle on the real binary. Nothing here is part of the product.
//! All load stays on loopback and is bounded in count and in time.

pub mod broadcast;
pub mod clock;
pub mod crash;
pub mod forwarder;
pub mod generator;
pub mod histogram;
pub mod hostile;
pub mod ledger;
pub mod nodes;
pub mod procfs;
pub mod product;
pub mod proxy;
pub mod random;
pub mod scenario;
pub mod sink;
pub mod table;
