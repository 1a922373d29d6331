//! What a run may send to any one endpoint: so many exchanges a second, so many at the same time. An endpoint
//! has one owner, so what is counted here is all there is.

use dacapo_model::gcra::{Gcra, Limit};
use dacapo_model::id::{IdMap, IdSet};
use dacapo_model::replay::Control;
use dacapo_model::{Id, Timestamp};
use std::time::Duration;

/// A rate's second comes in so many parts, each of which may go at once: timers are exact to a few
/// milliseconds, and a receiver is to see no burst.
const PARTS_PER_SECOND: u32 = 20;
/// With so many endpoints, and then with twice as many as are in use, those that have used nothing lately are forgotten.
const ENDPOINTS_KEPT: usize = 1_024;

#[derive(Default)]
pub struct Caps {
    rate: Option<Limit>,
    concurrency: Option<usize>,
    used: IdMap<Used>,
    /// How many were in use when those that are not were forgotten last.
    swept_to: usize,
    /// Lanes whose next item waits for one of these.
    waiting: IdSet,
}

#[derive(Default)]
struct Used {
    in_exchange: usize,
    limiter: Gcra,
}

/// Why an endpoint gets nothing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    Until(Timestamp),
    /// An exchange with it has to end first.
    ForNow,
}

impl Caps {
    pub fn of(control: &Control) -> Self {
        let mut caps = Self::default();
        caps.set(control);
        caps
    }

    /// As somebody wants it from now on; what was used stays used.
    pub fn set(&mut self, control: &Control) {
        self.rate = control.endpoint_rate.map(|rate| {
            let count = (rate / PARTS_PER_SECOND).max(1);
            Limit { count: u64::from(count), per: Duration::from_secs(u64::from(count)) / rate.max(1) }
        });
        self.concurrency = control.endpoint_concurrency.map(|most| usize::try_from(most).unwrap_or(usize::MAX).max(1));
    }

    const fn are_set(&self) -> bool {
        self.rate.is_some() || self.concurrency.is_some()
    }

    /// Whether the endpoint may get one more. Nothing is used yet.
    pub fn look(&mut self, endpoint: Id, now: Timestamp) -> Result<(), Full> {
        let room = self.room(endpoint, now);
        if room.is_err() {
            self.waiting.insert(endpoint);
        } else {
            self.waiting.remove(&endpoint);
        }
        room
    }

    fn room(&self, endpoint: Id, now: Timestamp) -> Result<(), Full> {
        let Some(used) = self.used.get(&endpoint) else { return Ok(()) };
        if self.concurrency.is_some_and(|most| used.in_exchange >= most) {
            return Err(Full::ForNow);
        }
        let mut limiter = used.limiter;
        self.rate.map_or(Ok(()), |limit| limiter.take(limit, now)).map_err(Full::Until)
    }

    /// Counted also where no cap is: one may be set while it is under way.
    pub fn began(&mut self, endpoint: Id, now: Timestamp) {
        if self.used.len() >= self.swept_to.max(ENDPOINTS_KEPT / 2) * 2 {
            self.used.retain(|_, used| used.in_exchange > 0 || used.limiter.whole_at().is_some_and(|at| at > now));
            self.swept_to = self.used.len();
        }
        let used = self.used.entry(endpoint).or_default();
        used.in_exchange += 1;
        if let Some(limit) = self.rate {
            // It was looked at just before; where it was not, it counts all the same.
            let _ = used.limiter.take(limit, now);
        }
    }

    /// Whether its lane waited for that.
    pub fn ended(&mut self, endpoint: Id) -> bool {
        if let Some(used) = self.used.get_mut(&endpoint) {
            used.in_exchange = used.in_exchange.saturating_sub(1);
            if used.in_exchange == 0 && !self.are_set() {
                self.used.remove(&endpoint);
            }
        }
        self.waiting.remove(&endpoint)
    }

    /// Those that waited: they look again.
    pub fn let_look(&mut self) -> Vec<Id> {
        std::mem::take(&mut self.waiting).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dacapo_model::replay::Options;

    const ONE: Id = Id::from_u128(1);
    const OTHER: Id = Id::from_u128(2);

    fn caps(rate: Option<u32>, concurrency: Option<u32>) -> Caps {
        let options = Options { endpoint_rate: rate, endpoint_concurrency: concurrency, ..Options::default() };
        Caps::of(&Control::new(&options))
    }

    const fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    #[test]
    fn a_rate_is_each_endpoints_own_and_comes_without_bursts() {
        for (rate, most_at_once) in [(1u32, 1), (5, 1), (100, 5), (1_000, 50)] {
            let mut caps = caps(Some(rate), None);
            let mut sent: Vec<i64> = Vec::new();
            for ms in 0..5_000 {
                while caps.look(ONE, at(ms)).is_ok() {
                    caps.began(ONE, at(ms));
                    caps.ended(ONE);
                    sent.push(ms);
                }
                assert_eq!(caps.look(OTHER, at(ms)), Ok(()), "another endpoint has its own");
            }
            for start in 0..4_000 {
                let within = |span: i64| sent.iter().filter(|ms| (start..start + span).contains(ms)).count();
                assert!(within(1) <= most_at_once, "{rate}: {} at once", within(1));
                assert!(within(1_000) <= rate as usize + most_at_once, "{rate}: {} in a second", within(1_000));
            }
            assert!(sent.len() >= 5 * rate as usize, "{rate}: only {}", sent.len());
        }
    }

    #[test]
    fn a_concurrency_is_each_endpoints_own() {
        let mut caps = caps(None, Some(2));
        caps.began(ONE, at(0));
        assert_eq!(caps.look(ONE, at(0)), Ok(()));
        caps.began(ONE, at(0));
        assert_eq!((caps.look(ONE, at(0)), caps.look(OTHER, at(0))), (Err(Full::ForNow), Ok(())));
        assert!(caps.ended(ONE) && !caps.ended(ONE), "its lane waited for the first end only");
        assert_eq!(caps.look(ONE, at(0)), Ok(()));
    }

    #[test]
    fn what_is_set_on_the_way_counts_what_is_under_way() {
        let mut caps = caps(None, None);
        for _ in 0..3 {
            caps.began(ONE, at(0));
        }
        let options = Options { endpoint_concurrency: Some(2), ..Options::default() };
        caps.set(&Control::new(&options));
        assert_eq!(caps.look(ONE, at(0)), Err(Full::ForNow));
        assert_eq!(caps.let_look(), [ONE]);
        assert!(caps.let_look().is_empty());
        caps.set(&Control::new(&Options::default()));
        assert_eq!(caps.look(ONE, at(0)), Ok(()));
    }

    #[test]
    fn what_is_kept_is_bounded_by_what_is_in_use() {
        let mut caps = caps(Some(1), None);
        for n in 0..10 * ENDPOINTS_KEPT as u128 {
            let (endpoint, now) = (Id::from_u128(n), at(n as i64));
            caps.began(endpoint, now);
            caps.ended(endpoint);
        }
        assert!(caps.used.len() <= 2 * ENDPOINTS_KEPT, "{}", caps.used.len());
    }
}
