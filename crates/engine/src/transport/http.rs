//! TBD
#[derive(Debug)]
pub struct HttpTransport;
