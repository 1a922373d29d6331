//! 128-bit ids: one value, three faces.
//!
//! An id is a ULID on the Convoy surface (26 characters), `evt_` + the same characters on the
//! Connect surface, and a UUID for deliveries there (contracts/connect.md). Its layout:
//!
//! ```text
//!  127            80 79            64 63                         0
//! ┌─────────────────┬────────────────┬────────────────────────────┐
//! │ ms since 1970   │ counter        │ random                     │
//! └─────────────────┴────────────────┴────────────────────────────┘
//!  └──────── order(): strictly rising ┘ └──── tail(): not guessable ┘
//! ```
//!
//! Id order is time order, so cursors are ids and time ranges are key ranges. One [`IdSource`]
//! never gives the same `order()` twice; an embedded store may use it as its key.

use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

/// See the module's documentation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u128);

/// Keyed by ids, which are made here and half of them random: nobody outside can choose them so that
/// they collide, and they are looked up several times an event.
pub type IdMap<V> = HashMap<Id, V, foldhash::fast::RandomState>;
pub type IdSet = HashSet<Id, foldhash::fast::RandomState>;

/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TEXT_LEN: usize = 26;
/// What the Connect surface puts before an event's id.
pub const EVENT_PREFIX: &str = "evt_";

impl Id {
    pub const MIN: Self = Self(0);
    pub const MAX: Self = Self(u128::MAX);

    pub const fn from_u128(value: u128) -> Self {
        Self(value)
    }

    pub const fn as_u128(self) -> u128 {
        self.0
    }

    pub const fn from_parts(order: u64, tail: u64) -> Self {
        Self(((order as u128) << 64) | tail as u128)
    }

    /// Time and counter: rises strictly from one id of a source to its next.
    pub const fn order(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// The random half.
    pub const fn tail(self) -> u64 {
        self.0 as u64
    }

    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// `None` unless there are exactly 16 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_bytes(bytes.try_into().ok()?))
    }

    /// The millisecond the id was made in.
    pub const fn time(self) -> Timestamp {
        Timestamp::from_millis((self.0 >> 80) as i64)
    }

    /// The smallest id of the millisecond `at` falls into.
    pub const fn floor_of(at: Timestamp) -> Self {
        let millis = at.millis();
        if millis < 0 {
            return Self::MIN;
        }
        Self((millis as u128) << 80)
    }

    /// The id of the `index`-th delivery that is born with this event. It follows from the event's
    /// id alone, so a fan-out need not spell its ids out; [`IdSource::event`] keeps the range free.
    pub const fn child(self, index: u32) -> Self {
        Self::from_parts(self.order() + 1 + index as u64, mix(self.tail() ^ (index as u64 + 1)))
    }

    /// `evt_` + ULID.
    pub fn as_event(self) -> EventText {
        EventText(self)
    }

    /// As [`Self::as_event`], as the bytes of a header: made for every event and every attempt, so
    /// without the formatting machinery.
    pub fn event_text(self) -> [u8; EVENT_PREFIX.len() + TEXT_LEN] {
        let mut text = [0; EVENT_PREFIX.len() + TEXT_LEN];
        let (prefix, ulid) = text.split_at_mut(EVENT_PREFIX.len());
        prefix.copy_from_slice(EVENT_PREFIX.as_bytes());
        ulid.copy_from_slice(&self.encode());
        text
    }

    /// The same 128 bits as a UUID.
    pub fn as_uuid(self) -> UuidText {
        UuidText(self)
    }

    /// `None` unless it is `evt_` followed by a ULID.
    pub fn parse_event(text: &str) -> Option<Self> {
        text.strip_prefix(EVENT_PREFIX)?.parse().ok()
    }

    /// The hyphenated form, in either letter case.
    pub fn parse_uuid(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return None;
        }
        let mut value = 0u128;
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if *byte != b'-' {
                    return None;
                }
                continue;
            }
            value = (value << 4) | u128::from((*byte as char).to_digit(16)?);
        }
        Some(Self(value))
    }

    /// Its text, in bytes.
    pub fn encode(self) -> [u8; TEXT_LEN] {
        let mut text = [0u8; TEXT_LEN];
        let mut rest = self.0;
        for slot in text.iter_mut().rev() {
            *slot = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        text
    }
}

/// The finaliser of splitmix64: a bijection, so different children keep different tails.
const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.encode();
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Prints an event's id as the Connect surface does.
#[derive(Clone, Copy, Debug)]
pub struct EventText(Id);

impl fmt::Display for EventText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{EVENT_PREFIX}{}", self.0)
    }
}

/// Prints an id as a hyphenated lower-case UUID.
#[derive(Clone, Copy, Debug)]
pub struct UuidText(Id);

impl fmt::Display for UuidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.0.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (v >> 96) as u32,
            (v >> 80) as u16,
            (v >> 64) as u16,
            (v >> 48) as u16,
            v & 0xffff_ffff_ffff
        )
    }
}

/// The text is no ULID: 26 characters of Crockford's base 32, at most `7ZZZ…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 26 characters of 0-9 and A-Z without I, L, O, U")]
pub struct NotAnId;

impl FromStr for Id {
    type Err = NotAnId;

    /// Upper case only, as printed: two spellings of one id would be two cache keys.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let bytes = text.as_bytes();
        if bytes.len() != TEXT_LEN || bytes[0] > b'7' {
            return Err(NotAnId);
        }
        let mut value = 0u128;
        for byte in bytes {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'A'..=b'H' => byte - b'A' + 10,
                b'J' | b'K' => byte - b'J' + 18,
                b'M' | b'N' => byte - b'M' + 20,
                b'P'..=b'T' => byte - b'P' + 22,
                b'V'..=b'Z' => byte - b'V' + 27,
                _ => return Err(NotAnId),
            };
            value = (value << 5) | u128::from(digit);
        }
        Ok(Self(value))
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.encode();
        serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where random bytes come from; a test hands in a predictable one.
pub trait Entropy: Send + Sync + 'static {
    fn fill(&self, bytes: &mut [u8]);

    fn u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The operating system's random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // The kernel's source fails only where the process could not have started.
        #[expect(clippy::expect_used, reason = "no safe way on without randomness")]
        getrandom::fill(bytes).expect("the system's random source answers");
    }
}

/// Makes ids whose `order()` rises strictly, also when the clock stands still or steps back.
pub struct IdSource {
    entropy: Box<dyn Entropy>,
    state: Mutex<State>,
}

struct State {
    last_order: u64,
    last_at: Timestamp,
    pool: [u8; POOL_BYTES],
    used: usize,
}

/// Random bytes fetched at once, so that an id costs no system call of its own.
const POOL_BYTES: usize = 1024;

impl IdSource {
    pub fn new(entropy: impl Entropy) -> Self {
        let state = State { last_order: 0, last_at: Timestamp::default(), pool: [0; POOL_BYTES], used: POOL_BYTES };
        Self { entropy: Box::new(entropy), state: Mutex::new(state) }
    }

    /// From here on every id is later than `id`: called once with the newest id a store holds.
    pub fn start_after(&self, id: Id) {
        let mut state = self.lock();
        state.last_order = state.last_order.max(id.order());
    }

    /// One id, and the moment it stands for (never before the previous id's).
    pub fn mint(&self, now: Timestamp) -> (Id, Timestamp) {
        self.event(now, 0)
    }

    /// An event's id with room for its `children` ([`Id::child`]).
    pub fn event(&self, now: Timestamp, children: u32) -> (Id, Timestamp) {
        let mut state = self.lock();
        let by_clock = u64::try_from(now.millis()).unwrap_or(0) << 16;
        let order = by_clock.max(state.last_order + 1);
        state.last_order = order + u64::from(children);
        state.last_at = state.last_at.max(now);
        if state.used + 8 > POOL_BYTES {
            self.entropy.fill(&mut state.pool);
            state.used = 0;
        }
        let mut tail = [0; 8];
        tail.copy_from_slice(&state.pool[state.used..state.used + 8]);
        state.used += 8;
        (Id::from_parts(order, u64::from_le_bytes(tail)), state.last_at)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for IdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdSource")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_face_reads_back(value: u128) {
            let id = Id::from_u128(value);
            prop_assert_eq!(id.to_string().parse::<Id>(), Ok(id));
            prop_assert_eq!(Id::parse_event(&id.as_event().to_string()), Some(id));
            prop_assert_eq!(id.event_text().to_vec(), id.as_event().to_string().into_bytes());
            prop_assert_eq!(Id::parse_uuid(&id.as_uuid().to_string()), Some(id));
            prop_assert_eq!(Id::from_bytes(id.to_bytes()), id);
        }

        #[test]
        fn text_order_is_id_order(a: u128, b: u128) {
            let (a, b) = (Id::from_u128(a), Id::from_u128(b));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn any_text_parses_or_is_refused(text in ".{0,40}") {
            if let Ok(id) = text.parse::<Id>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn order_rises_whatever_the_clock_does(steps in prop::collection::vec((-50i64..50, 0u32..5), 1..200)) {
            let source = IdSource::new(SystemEntropy);
            let mut now = Timestamp::from_millis(1_700_000_000_000);
            let (mut last, mut last_at) = (0, Timestamp::default());
            for (step, children) in steps {
                now = Timestamp::from_millis(now.millis() + step);
                let (id, at) = source.event(now, children);
                prop_assert!(id.order() > last);
                prop_assert!(at >= last_at);
                for index in 0..children {
                    prop_assert_eq!(id.child(index).order(), id.order() + 1 + u64::from(index));
                }
                last = id.order() + u64::from(children);
                last_at = at;
            }
        }
    }

    #[test]
    fn known_ulid() {
        let id: Id = "01H0JA5MEES38RRK3HTEJC647K".parse().expect("a ULID");
        assert_eq!(id.to_string(), "01H0JA5MEES38RRK3HTEJC647K");
        assert_eq!(id.time().millis(), 1_684_241_830_350);
        assert_eq!("81H0JA5MEES38RRK3HTEJC647K".parse::<Id>(), Err(NotAnId));
        assert_eq!("01h0ja5mees38rrk3htejc647k".parse::<Id>(), Err(NotAnId));
    }
}
