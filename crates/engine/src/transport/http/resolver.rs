//! Names to addresses, in this process: hosts file and name servers as the system has them.
//!
//! What comes out is not trusted: the connector vets every address before it dials it.

use super::failure::chain;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ServerOrderingStrategy};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::net::IpAddr;
use std::time::Duration;

/// Answers kept for as long as their TTL says.
const CACHE_ANSWERS_MAX: u64 = 4_096;
/// An address that moved is noticed within this time whatever the TTL says.
const TTL_MAX: Duration = Duration::from_secs(300);
/// A name that did not exist is asked for again after at most this time.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(10);
/// Per name server and try.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);
/// Questions under way on one connection to a name server; a fan-out to new hosts asks many at once.
const QUERIES_MAX: usize = 1_024;
/// Addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 16;

pub(super) struct Resolver(TokioResolver);

impl Resolver {
    /// A system without a resolver configuration knows its hosts file only.
    pub(super) fn from_system() -> Result<Self, String> {
        let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
            tracing::warn!(error = %chain(&error), "no name servers: only the hosts file is used");
            TokioResolver::builder_with_config(
                ResolverConfig::from_parts(None, Vec::new(), Vec::new()),
                TokioRuntimeProvider::default(),
            )
        });
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Always;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.server_ordering_strategy = ServerOrderingStrategy::QueryStatistics;
        options.cache_size = CACHE_ANSWERS_MAX;
        options.positive_max_ttl = Some(TTL_MAX);
        options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
        options.timeout = QUERY_TIMEOUT;
        options.max_active_requests = QUERIES_MAX;
        builder.build().map(Self).map_err(|error| chain(&error))
    }

    /// IPv4 first: it is what receivers put on their allow-lists. Never empty.
    pub(super) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let found = self.0.lookup_ip(name).await.map_err(|error| readable(&error))?;
        let mut addresses: Vec<IpAddr> = found.iter().take(ADDRESSES_MAX).collect();
        if addresses.is_empty() {
            return Err("the name has no address".to_owned());
        }
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(addresses)
    }
}

fn readable(error: &hickory_resolver::net::NetError) -> String {
    if error.is_nx_domain() {
        return "there is no such name".to_owned();
    }
    if error.is_no_records_found() {
        return "the name has no address".to_owned();
    }
    chain(error)
}
