//! WHERE clauses from filters: texts of ours, values of the caller's, never mixed.

use super::codec::uuids;
use super::session::Value;
use crate::roles::{Page, Window};
use dacapo_model::{Id, Timestamp};
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio_postgres::types::{ToSql, Type};

/// Conditions that hold together.
#[derive(Default)]
pub struct Conditions {
    terms: Vec<String>,
    values: Vec<(Box<dyn ToSql + Send + Sync>, Type)>,
}

impl Conditions {
    /// `{}` in the text is the value's place.
    pub fn with(&mut self, text: &str, value: impl ToSql + Send + Sync + 'static, kind: Type) {
        self.values.push((Box::new(value), kind));
        self.terms.push(text.replace("{}", &format!("${}", self.values.len())));
    }

    /// A condition without values: what a partial index asks for must stand there as it is.
    pub fn literal(&mut self, text: &str) {
        self.terms.push(text.to_owned());
    }

    /// No condition when there are none.
    pub fn any_id(&mut self, column: &str, ids: &[Id]) {
        match ids {
            [] => {}
            [one] => self.with(&format!("{column} = {{}}"), super::codec::uuid(*one), Type::UUID),
            many => self.with(&format!("{column} = ANY ({{}})"), uuids(many.iter().copied()), Type::UUID_ARRAY),
        }
    }

    pub fn between(&mut self, column: &str, ids: &RangeInclusive<u128>) {
        for (sign, end) in [(">=", ids.start()), ("<=", ids.end())] {
            self.with(&format!("{column} {sign} {{}}"), super::codec::uuid(Id::from_u128(*end)), Type::UUID);
        }
    }

    pub fn sql(&self) -> String {
        self.terms.join(" AND ")
    }

    pub fn values(&self) -> Vec<(Value<'_>, Type)> {
        self.values.iter().map(|(value, kind)| (&**value as Value<'_>, kind.clone())).collect()
    }
}

#[expect(clippy::reversed_empty_ranges, reason = "a range without a member")]
const EMPTY: RangeInclusive<u128> = 1..=0;

/// Where a page and a time window meet.
pub fn id_bounds(page: Page, window: Window) -> RangeInclusive<u128> {
    let mut low = window.from.map_or(0, first_of);
    let mut high = match window.to {
        Some(to) if to.millis() < 0 => return EMPTY,
        Some(to) if to.millis() >= Id::MAX.time().millis() => u128::MAX,
        Some(to) => first_of(to.plus(Duration::from_millis(1))).saturating_sub(1),
        None => u128::MAX,
    };
    match (page.from, page.ascending) {
        (Some(from), true) => low = low.max(from.as_u128()),
        (Some(from), false) => high = high.min(from.as_u128()),
        (None, _) => {}
    }
    if low > high { EMPTY } else { low..=high }
}

/// What both have.
pub fn overlap(a: &RangeInclusive<u128>, b: &RangeInclusive<u128>) -> RangeInclusive<u128> {
    *a.start().max(b.start())..=*a.end().min(b.end())
}

/// The first id of the millisecond `at` falls into; the last of all for a time beyond what ids can say.
fn first_of(at: Timestamp) -> u128 {
    if at.millis() > Id::MAX.time().millis() { u128::MAX } else { Id::floor_of(at).as_u128() }
}
