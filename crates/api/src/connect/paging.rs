//! Pages of the log: newest first, without gaps or repeats while rows arrive, because a cursor is
//! the id of the next row and later rows have later ids.

use super::cursor::{self, List};
use super::error::Error;
use crate::query_string::QueryString;
use dacapo_model::Id;
use dacapo_store::roles::Page;
use serde::Serialize;

const LIMIT_DEFAULT: usize = 50;
/// More is cut to this.
const LIMIT_MAX: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    pub list: List,
    pub limit: usize,
    pub from: Option<Id>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Listed<T> {
    pub has_more: bool,
    pub data: Vec<T>,
    pub cursor: Option<String>,
}

impl PageRequest {
    pub fn read(list: List, query: &QueryString) -> Result<Self, Error> {
        let limit = match query.one("limit") {
            None => LIMIT_DEFAULT,
            Some(text) => match text.parse::<u64>() {
                Ok(1..) => text.parse::<usize>().unwrap_or(LIMIT_MAX).min(LIMIT_MAX),
                _ => return Err(Error::parameter("invalid_limit", "limit", "limit is a number from 1 to 200.")),
            },
        };
        let from = query.one("cursor").map(|text| cursor::read(list, text)).transpose()?;
        Ok(Self { list, limit, from })
    }

    /// The rows to read, one more than the page shows.
    pub fn rows(&self) -> Page {
        Page { limit: self.limit + 1, from: self.from, ascending: false }
    }

    /// The page of `rows`, at most one more than it shows.
    pub fn page<T>(&self, mut rows: Vec<T>, id: impl Fn(&T) -> Id) -> Listed<T> {
        let next = rows.get(self.limit).map(id);
        rows.truncate(self.limit);
        self.listed(rows, next)
    }

    /// `next`: the row the next page begins with.
    pub fn listed<T>(&self, data: Vec<T>, next: Option<Id>) -> Listed<T> {
        Listed { has_more: next.is_some(), data, cursor: next.map(|next| cursor::write(self.list, next)) }
    }
}

impl<T> Listed<T> {
    pub const fn nothing() -> Self {
        Self { has_more: false, data: Vec::new(), cursor: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(query: &str) -> Result<PageRequest, Error> {
        PageRequest::read(List::Events, &QueryString::parse(query))
    }

    #[test]
    fn limits() {
        for (query, limit) in [("", 50), ("limit=1", 1), ("limit=200", 200), ("limit=201", 200)] {
            assert_eq!(request(query).expect(query).limit, limit);
        }
        for bad in ["limit=0", "limit=-1", "limit=x", "limit=1.5"] {
            assert!(matches!(request(bad), Err(Error::Parameter { code: "invalid_limit", .. })), "{bad}");
        }
        assert!(matches!(request("cursor=!"), Err(Error::Parameter { code: "invalid_cursor", .. })));
    }

    proptest! {
        #[test]
        fn walking_gives_every_old_row_once_while_new_ones_arrive(count in 0u128..60, limit in 1usize..9) {
            let mut newest = 1_000 + count;
            let mut rows: Vec<Id> = (1_000..newest).rev().map(Id::from_u128).collect();
            let expected = rows.clone();
            let mut seen = Vec::new();
            let mut asked = PageRequest { list: List::Events, limit, from: None };
            loop {
                let page = asked.rows();
                let read = rows.iter().filter(|id| page.from.is_none_or(|from| **id <= from)).take(page.limit);
                let listed = asked.page(read.copied().collect(), |id| *id);
                prop_assert_eq!(listed.has_more, listed.cursor.is_some());
                seen.extend(listed.data);
                rows.insert(0, Id::from_u128(newest));
                newest += 1;
                let Some(text) = listed.cursor else { break };
                asked.from = Some(cursor::read(List::Events, &text).expect("our own cursor"));
            }
            prop_assert_eq!(seen, expected);
        }
    }
}
