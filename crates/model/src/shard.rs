//! The pieces in which endpoints are shared out among nodes (design §4).

use crate::id::Id;
use std::fmt;

/// One of [`Shard::COUNT`]. An endpoint's shard follows from its id for good, so it may be written
/// beside a delivery and never needs to be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u8);

impl Shard {
    pub const COUNT: usize = 256;

    /// The top byte of the mixed random half of the id. The half is mixed, because ids that were not
    /// drawn by an [`crate::IdSource`] (imported ones, say) may carry little in any single byte.
    pub const fn of(endpoint: Id) -> Self {
        Self((mix(endpoint.tail()) >> 56) as u8)
    }

    pub const fn from_number(number: u8) -> Self {
        Self(number)
    }

    pub const fn number(self) -> u8 {
        self.0
    }

    pub fn all() -> impl ExactSizeIterator<Item = Self> + Clone {
        (0..Self::COUNT).map(|number| Self(number as u8))
    }

    /// How much `node` deserves this shard: the highest of all nodes wins (rendezvous hashing), so a
    /// node that comes or goes moves its own share only.
    pub const fn weight(self, node: Id) -> u64 {
        mix(mix(node.order() ^ node.tail().rotate_left(32)) ^ mix(self.0 as u64 + 1))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The finaliser of splitmix64. What it gives is written to disk: it never changes.
const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::{IdSource, SystemEntropy};

    #[test]
    fn endpoints_spread_evenly() {
        let ids = IdSource::new(SystemEntropy);
        let mut counts = [0u32; Shard::COUNT];
        for _ in 0..Shard::COUNT * 100 {
            counts[usize::from(Shard::of(ids.mint(Timestamp::from_millis(1)).0).number())] += 1;
        }
        assert!(counts.iter().all(|count| (40..200).contains(count)), "{counts:?}");
    }

    /// A changed hash would leave every stored delivery in a shard nobody looks for it in.
    #[test]
    fn known_shards() {
        let shards = [1, 2, 0xB1, u128::MAX].map(|value| Shard::of(Id::from_u128(value)).number());
        assert_eq!(shards, KNOWN);
    }
    const KNOWN: [u8; 4] = [86, 219, 29, 180];
}
