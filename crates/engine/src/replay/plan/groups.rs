//! Counts by what was counted, of the first so many that came.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

pub struct Groups<K> {
    places: HashMap<K, usize, foldhash::fast::RandomState>,
    /// In the order in which they came first.
    counts: Vec<(K, u64)>,
    most: usize,
}

impl<K: Hash + Ord + Clone> Groups<K> {
    pub fn of_first(most: usize) -> Self {
        Self { places: HashMap::default(), counts: Vec::new(), most }
    }

    pub fn add<Q>(&mut self, key: &Q, count: u64)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if let Some((_, sum)) = self.places.get(key).and_then(|place| self.counts.get_mut(*place)) {
            *sum += count;
        } else if self.counts.len() < self.most {
            self.places.insert(key.to_owned(), self.counts.len());
            self.counts.push((key.to_owned(), count));
        }
    }

    /// Those of what came next, none of which was left out there.
    pub fn append(&mut self, next: Self) {
        for (key, count) in next.counts {
            self.add(&key, count);
        }
    }

    /// The largest count.
    pub fn most(&self) -> u64 {
        self.counts.iter().map(|(_, count)| *count).max().unwrap_or(0)
    }

    pub fn into_map(self) -> BTreeMap<K, u64> {
        self.counts.into_iter().collect()
    }
}
