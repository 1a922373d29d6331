//! Who got what: a counter per event marker, in two bytes each, so that five million events cost ten megabytes.
//! The marker is the `"n"` of the payload; `"at"` beside it is the moment of sending (see `clock`).

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

/// Most markers a ledger may hold.
pub const MARKERS_MAX: usize = 20_000_000;

#[derive(Debug)]
pub struct Ledger {
    counts: Vec<AtomicU16>,
    /// Markers beyond the end: never counted, never silent.
    strays: AtomicU64,
}

impl Ledger {
    /// For markers `0..markers`, at most `MARKERS_MAX`.
    pub fn new(markers: usize) -> Self {
        Self { counts: (0..markers.min(MARKERS_MAX)).map(|_| AtomicU16::new(0)).collect(), strays: AtomicU64::new(0) }
    }

    pub fn add(&self, marker: u64) {
        match usize::try_from(marker).ok().and_then(|index| self.counts.get(index)) {
            Some(count) => {
                count.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                self.strays.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub fn count(&self, marker: u64) -> u16 {
        let found = usize::try_from(marker).ok().and_then(|index| self.counts.get(index));
        found.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub fn strays(&self) -> u64 {
        self.strays.load(Ordering::Relaxed)
    }

    /// Markers counted at least once.
    pub fn distinct(&self) -> u64 {
        self.counts.iter().filter(|count| count.load(Ordering::Relaxed) > 0).count() as u64
    }

    /// Everything counted, repeats included.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(count.load(Ordering::Relaxed))).sum()
    }

    /// What was counted beyond the first of each marker; right also while the counting goes on.
    pub fn repeated(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(count.load(Ordering::Relaxed).saturating_sub(1))).sum()
    }

    /// Markers counted here and not in `other`, lowest first, at most `limit`; and how many there are in all.
    pub fn missing_from(&self, other: &Ledger, limit: usize) -> (u64, Vec<u64>) {
        let mut missing = 0;
        let mut first = Vec::new();
        for (marker, count) in self.counts.iter().enumerate() {
            let marker = marker as u64;
            if count.load(Ordering::Relaxed) == 0 || other.count(marker) > 0 {
                continue;
            }
            missing += 1;
            if first.len() < limit {
                first.push(marker);
            }
        }
        (missing, first)
    }
}

/// The marker and the moment of sending inside a payload of the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub marker: u64,
    pub at_us: Option<u64>,
}

/// Bytes of a body that are searched for the mark: the generator puts it first.
const SEARCH_BYTES_MAX: usize = 512;

pub fn mark_of(body: &[u8]) -> Option<Mark> {
    let head = &body[..body.len().min(SEARCH_BYTES_MAX)];
    let marker = number_after(head, b"\"n\":")?;
    Some(Mark { marker, at_us: number_after(head, b"\"at\":") })
}

fn number_after(head: &[u8], key: &[u8]) -> Option<u64> {
    let start = head.windows(key.len()).position(|window| window == key)? + key.len();
    let digits = head[start..].iter().take_while(|byte| byte.is_ascii_digit());
    let mut number: Option<u64> = None;
    for digit in digits {
        number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit - b'0'))?);
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_mark() {
        let mark = mark_of(br#"{"n":17,"at":123456,"pad":"xx"}"#);
        assert_eq!(mark, Some(Mark { marker: 17, at_us: Some(123_456) }));
        assert_eq!(mark_of(br#"{"n":"x"}"#), None);
        assert_eq!(mark_of(b""), None);
    }

    #[test]
    fn tells_missing_and_repeated() {
        let (acknowledged, delivered) = (Ledger::new(10), Ledger::new(10));
        for marker in [1, 2, 3, 11] {
            acknowledged.add(marker);
        }
        for marker in [1, 1, 3, 4] {
            delivered.add(marker);
        }
        assert_eq!(acknowledged.missing_from(&delivered, 5), (1, vec![2]));
        assert_eq!((delivered.total(), delivered.distinct(), acknowledged.strays()), (4, 3, 1));
        assert_eq!((delivered.repeated(), acknowledged.repeated()), (1, 0));
    }
}
