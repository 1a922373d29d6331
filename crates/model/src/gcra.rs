//! The rate limit of an endpoint: GCRA, a leaky bucket kept as one moment (contracts/convoy.md §6.5).
//!
//! Plain state, no clock: the lane that owns it says what time it is. `count` may be taken at once,
//! and `count` per `per` over time; in any span of length t at most `count + t·count/per`.

use crate::clock::Timestamp;
use std::time::Duration;

/// `count` deliveries per `per`, all of them at once if nothing was sent for that long.
/// `count` 0: no limit. `per` zero: one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub count: u64,
    pub per: Duration,
}

impl Limit {
    /// Nanoseconds, at least 1. A `Duration` is below 2^94 of them.
    fn per_ns(self) -> i128 {
        let per = if self.per.is_zero() { Duration::from_secs(1) } else { self.per };
        i128::try_from(per.as_nanos()).unwrap_or(i128::MAX >> 8)
    }
}

const NS_PER_US: i128 = 1_000;

/// How far the allowance is used up: the moment at which it will be whole again ("theoretical arrival
/// time"), as whole nanoseconds and a fraction, so that 3 per second is exact for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    /// Nanoseconds since 1970.
    whole_ns: i128,
    /// The fraction `part / parts` of a nanosecond, below 1. `parts` is the limit's count.
    part: u64,
    parts: u64,
}

impl Default for Gcra {
    /// Nothing used.
    fn default() -> Self {
        Self { whole_ns: i128::MIN, part: 0, parts: 1 }
    }
}

impl Gcra {
    /// Takes one. `Err`: not now, and the earliest moment at which one can be taken (exact to the
    /// microsecond, rounded up); nothing is consumed then.
    ///
    /// The limit may change from call to call, and the clock may jump back: what was used stays used,
    /// but nobody waits longer than the current limit's interval (`per / count`) after that.
    pub fn take(&mut self, limit: Limit, now: Timestamp) -> Result<(), Timestamp> {
        if limit.count == 0 {
            return Ok(());
        }
        let (per_ns, now_ns) = (limit.per_ns(), i128::from(now.micros()) * NS_PER_US);
        self.adopt(limit.count, now_ns, now_ns + per_ns);

        let taken = self.plus_interval(per_ns, limit.count);
        let earliest_ns = taken.whole_ns - per_ns + i128::from(taken.part > 0);
        if earliest_ns <= now_ns {
            *self = taken;
            return Ok(());
        }
        let earliest_us = -(-earliest_ns).div_euclid(NS_PER_US);
        Err(Timestamp::from_micros(i64::try_from(earliest_us).unwrap_or(i64::MAX)))
    }

    /// As if all had been taken just now: the next may be taken one interval later.
    pub fn use_up(&mut self, limit: Limit, now: Timestamp) {
        if limit.count > 0 {
            *self =
                Self { whole_ns: i128::from(now.micros()) * NS_PER_US + limit.per_ns(), part: 0, parts: limit.count };
        }
    }

    /// The moment at which all may be taken at once again, if none is taken until then; `None` when none
    /// ever was. Rounded up to the microsecond.
    pub fn whole_at(&self) -> Option<Timestamp> {
        let whole_ns = Some(self.whole_ns).filter(|ns| *ns != i128::MIN)? + i128::from(self.part > 0);
        let rounded_up = -(-whole_ns).div_euclid(NS_PER_US);
        Some(Timestamp::from_micros(i64::try_from(rounded_up).unwrap_or(i64::MAX)))
    }

    /// Goes on where one with this [`Self::whole_at`] was.
    pub fn going_on(whole_at: Timestamp) -> Self {
        Self { whole_ns: i128::from(whole_at.micros()) * NS_PER_US, ..Self::default() }
    }

    /// Brings the state in line with the limit (fractions of `count`) and the time (`floor`: an
    /// allowance does not grow beyond whole; `ceiling`: nor is more than all of it used, which only
    /// another limit or a clock that jumped back can have caused).
    fn adopt(&mut self, count: u64, floor_ns: i128, ceiling_ns: i128) {
        if self.parts != count {
            self.whole_ns += i128::from(self.part > 0);
            self.part = 0;
            self.parts = count;
        }
        if self.whole_ns < floor_ns {
            (self.whole_ns, self.part) = (floor_ns, 0);
        }
        if self.whole_ns >= ceiling_ns {
            (self.whole_ns, self.part) = (ceiling_ns, 0);
        }
    }

    /// One interval of `per / count` later.
    fn plus_interval(self, per_ns: i128, count: u64) -> Self {
        let (quotient, remainder) = (per_ns / i128::from(count), per_ns % i128::from(count));
        let part = i128::from(self.part) + remainder;
        let carry = part >= i128::from(count);
        let part = if carry { part - i128::from(count) } else { part };
        Self {
            whole_ns: self.whole_ns + quotient + i128::from(carry),
            part: u64::try_from(part).unwrap_or(0),
            parts: self.parts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: i64 = 1_767_366_245_000_000;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(START + micros)
    }

    #[test]
    fn used_up_it_goes_on_at_the_rate() {
        let (limit, mut gcra) = (per_second(50), Gcra::default());
        gcra.use_up(limit, at(0));
        assert_eq!(gcra.take(limit, at(0)), Err(at(20_000)));
        assert_eq!(gcra.take(limit, at(20_000)), Ok(()));
        assert_eq!(gcra.take(limit, at(20_000)), Err(at(40_000)));
    }

    /// Who comes as often as told is served at the same moments, give or take the microsecond.
    #[test]
    fn another_goes_on_where_one_was() {
        let (limit, mut one) = (per_second(3), Gcra::default());
        assert_eq!(one.whole_at(), None);
        for _ in 0..3 {
            assert_eq!(one.take(limit, at(0)), Ok(()));
        }
        assert_eq!(one.take(limit, at(333_334)), Ok(()));
        assert_eq!(one.whole_at(), Some(at(1_333_334)));
        let mut other = Gcra::going_on(at(1_333_334));
        assert_eq!(other.take(limit, at(333_335)), Err(at(666_668)));
        assert_eq!(one.take(limit, at(333_335)), Err(at(666_667)));
        // Nobody sent for a while: what was not used is made up for.
        assert_eq!(Gcra::going_on(at(0)).take(limit, at(900_000)), Ok(()));
    }

    fn per_second(count: u64) -> Limit {
        Limit { count, per: Duration::from_secs(1) }
    }

    #[test]
    fn a_burst_of_count_and_then_one_per_interval() {
        let (mut gcra, limit) = (Gcra::default(), Limit { count: 2, per: Duration::from_secs(10) });
        assert_eq!(gcra.take(limit, at(0)), Ok(()));
        assert_eq!(gcra.take(limit, at(0)), Ok(()));
        assert_eq!(gcra.take(limit, at(0)), Err(at(5_000_000)));
        assert_eq!(gcra.take(limit, at(4_999_999)), Err(at(5_000_000)));
        assert_eq!(gcra.take(limit, at(5_000_000)), Ok(()));
        assert_eq!(gcra.take(limit, at(5_000_000)), Err(at(10_000_000)));
        assert_eq!(gcra.take(limit, at(100_000_000)), Ok(()));
        assert_eq!(gcra.take(limit, at(100_000_000)), Ok(()));
        assert_eq!(gcra.take(limit, at(100_000_000)), Err(at(105_000_000)));
    }

    #[test]
    fn zero_count_is_no_limit_and_zero_duration_a_second() {
        let mut gcra = Gcra::default();
        for _ in 0..10_000 {
            assert_eq!(gcra.take(Limit { count: 0, per: Duration::ZERO }, at(0)), Ok(()));
        }
        assert_eq!(gcra, Gcra::default());
        let limit = Limit { count: 1, per: Duration::ZERO };
        assert_eq!(gcra.take(limit, at(0)), Ok(()));
        assert_eq!(gcra.take(limit, at(0)), Err(at(1_000_000)));
    }

    /// Who always comes when told gets the n-th beyond the burst at n thirds of a second, for ever.
    #[test]
    fn thirds_of_a_second_do_not_drift() {
        let (mut gcra, limit) = (Gcra::default(), per_second(3));
        let mut now = at(0);
        for taken in 0..100_000_i64 {
            if let Err(told) = gcra.take(limit, now) {
                assert_eq!(told, at(((taken - 2) * 1_000_000).div_euclid(3) + i64::from((taken - 2) % 3 != 0)));
                now = told;
                assert_eq!(gcra.take(limit, now), Ok(()));
            }
        }
    }

    #[test]
    fn a_quicker_limit_counts_at_once() {
        let mut gcra = Gcra::default();
        let slow = Limit { count: 1, per: Duration::from_secs(86_400) };
        assert_eq!(gcra.take(slow, at(0)), Ok(()));
        assert_eq!(gcra.take(slow, at(1)), Err(at(86_400_000_000)));
        assert_eq!(gcra.take(per_second(10), at(1)), Err(at(100_001)));
        assert_eq!(gcra.take(per_second(10), at(100_001)), Ok(()));
        assert_eq!(gcra.take(per_second(0), at(100_001)), Ok(()));
    }

    #[test]
    fn a_clock_that_jumps_back_costs_one_interval() {
        let mut gcra = Gcra::default();
        assert_eq!(gcra.take(per_second(4), at(3_600_000_000)), Ok(()));
        assert_eq!(gcra.take(per_second(4), at(0)), Err(at(250_000)));
        assert_eq!(gcra.take(per_second(4), at(250_000)), Ok(()));
    }

    fn limits() -> impl Strategy<Value = Limit> {
        (1..50_u64, 0..5_000_000_u64).prop_map(|(count, us)| Limit { count, per: Duration::from_micros(us) })
    }

    proptest! {
        /// GCRA's promise for every span between two admitted calls.
        #[test]
        fn never_more_than_the_burst_and_the_rate(limit in limits(), gaps in prop::collection::vec(0..500_000_i64, 1..200)) {
            let mut gcra = Gcra::default();
            let mut now = 0;
            let mut admitted: Vec<i64> = Vec::new();
            for gap in gaps {
                now += gap * i64::from(gap % 3 == 0);
                if gcra.take(limit, at(now)).is_ok() {
                    admitted.push(now);
                }
            }
            for (i, from) in admitted.iter().enumerate() {
                for (j, to) in admitted.iter().enumerate().skip(i) {
                    let (count, span_ns) = (i128::from(limit.count), i128::from(to - from) * NS_PER_US);
                    let taken = i128::try_from(j - i + 1).expect("small");
                    prop_assert!(taken * limit.per_ns() <= count * (limit.per_ns() + span_ns));
                }
            }
        }

        /// A refused call is admitted exactly at the told moment, within one interval, and not before.
        #[test]
        fn what_was_told_holds(limit in limits(), gaps in prop::collection::vec(0..1_000_000_i64, 1..100)) {
            let mut gcra = Gcra::default();
            let mut now = at(0);
            for gap in gaps {
                now = now.plus(Duration::from_micros(gap.unsigned_abs() * u64::from(gap % 4 == 0)));
                let before = gcra;
                let Err(told) = gcra.take(limit, now) else { continue };
                prop_assert_eq!(gcra.take(limit, now), Err(told));
                prop_assert!(told > now);
                let interval_ns = limit.per_ns() / i128::from(limit.count) + 1;
                prop_assert!(i128::from(told.micros() - now.micros()) * NS_PER_US <= interval_ns + NS_PER_US);
                prop_assert_eq!({ before }.take(limit, Timestamp::from_micros(told.micros() - 1)), Err(told));
                prop_assert_eq!(gcra.take(limit, told), Ok(()));
                now = told;
            }
        }

        /// Limits that change, clocks that jump: the wait is never longer than the current interval, and who
        /// comes when told is served.
        #[test]
        fn nobody_starves(steps in prop::collection::vec((limits(), -5_000_000..5_000_000_i64), 1..100)) {
            let mut gcra = Gcra::default();
            let mut now = 0;
            for (limit, jump) in steps {
                now += jump;
                let Err(told) = gcra.take(limit, at(now)) else { continue };
                let wait_ns = i128::from(told.micros() - at(now).micros()) * NS_PER_US;
                prop_assert!(wait_ns <= limit.per_ns() / i128::from(limit.count) + 1 + NS_PER_US);
                prop_assert_eq!(gcra.take(limit, told), Ok(()));
            }
        }

        #[test]
        fn extremes_do_not_overflow(
            steps in prop::collection::vec((any::<u64>(), any::<u64>(), 0..1_000_000_000_u32, any::<i64>()), 1..20),
        ) {
            let mut gcra = Gcra::default();
            for (count, seconds, nanos, now) in steps {
                for count in [count, 1, u64::MAX] {
                    for per in [Duration::new(seconds, nanos), Duration::MAX, Duration::from_nanos(1)] {
                        for now in [now, i64::MIN, i64::MAX] {
                            let _ = gcra.take(Limit { count, per }, Timestamp::from_micros(now));
                        }
                    }
                }
            }
        }
    }
}
