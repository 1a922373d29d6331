//! Pages (contracts/convoy.md §1.11). Cursors are ids and inclusive: a page's `next_page_cursor` is
//! the row that was read beyond its end, so walking gives every row once while rows arrive.

use super::error::Error;
use crate::query_string::QueryString;
use dacapo_model::Id;
use dacapo_store::roles::Page;
use serde::Serialize;

const PER_PAGE_DEFAULT: usize = 20;
/// More is cut to this: a page is built in memory.
const PER_PAGE_MAX: usize = 1_000;
/// What Convoy's own clients may send for "from the start".
const START_SENTINEL: &str = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF";

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    pub per_page: usize,
    /// Towards earlier pages.
    pub backward: bool,
    pub cursor: Option<Id>,
    /// Oldest first.
    pub ascending: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pagination {
    pub per_page: usize,
    pub has_next_page: bool,
    pub has_prev_page: bool,
    pub prev_page_cursor: String,
    pub next_page_cursor: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Paged<T> {
    pub content: Vec<T>,
    pub pagination: Pagination,
}

impl PageRequest {
    /// For lists that can be sorted.
    pub fn sortable(query: &QueryString) -> Result<Self, Error> {
        let backward = query.one("direction") == Some("prev");
        let name = if backward { "prev_page_cursor" } else { "next_page_cursor" };
        let cursor = match query.one(name) {
            None | Some(START_SENTINEL) => None,
            Some(text) => Some(text.parse().map_err(|_| Error::bad(format!("{name} is not a cursor of this list")))?),
        };
        let ascending = query.one("sort").is_some_and(|sort| sort.eq_ignore_ascii_case("ASC"));
        Ok(Self { per_page: per_page(query), backward, cursor, ascending })
    }

    /// For lists that are always newest first; a `sort` is ignored.
    pub fn newest_first(query: &QueryString) -> Result<Self, Error> {
        Ok(Self { ascending: false, ..Self::sortable(query)? })
    }

    /// The rows to read for this page, one more than it shows.
    pub fn rows(&self) -> Page {
        Page { limit: self.per_page + 1, from: self.cursor, ascending: self.reads_upward() }
    }

    /// The rows to read to learn whether any lies before `first`, the first one shown. `None` when
    /// that is known already.
    pub fn rows_before(&self, first: Option<Id>) -> Option<Page> {
        let from_the_start = self.cursor.is_none() && !self.backward;
        let first = first.filter(|_| !from_the_start)?;
        Some(Page { limit: 2, from: Some(first), ascending: !self.ascending })
    }

    fn reads_upward(&self) -> bool {
        self.ascending != self.backward
    }

    /// The rows as they are shown: in list order, whichever way they were read.
    pub fn in_list_order<T>(&self, mut rows: Vec<T>) -> Vec<T> {
        if self.backward {
            rows.reverse();
        }
        rows
    }

    /// The page of `rows`, which are in list order and at most one more than the page shows.
    pub fn page<T>(&self, mut rows: Vec<T>, id: impl Fn(&T) -> Id, has_prev_page: bool) -> Paged<T> {
        let has_next_page = rows.len() > self.per_page;
        let next_page_cursor = match rows.last() {
            Some(last) if rows.len() > 1 && self.per_page > 0 => id(last).to_string(),
            _ => String::new(),
        };
        rows.truncate(self.per_page);
        let prev_page_cursor = rows.first().map(|first| id(first).to_string()).unwrap_or_default();
        let pagination = Pagination {
            per_page: self.per_page,
            has_next_page: has_next_page || self.per_page == 0,
            has_prev_page,
            prev_page_cursor,
            next_page_cursor,
        };
        Paged { content: rows, pagination }
    }

    /// The page of a list that is in memory, newest first.
    pub fn page_of<T>(&self, rows: Vec<T>, id: impl Fn(&T) -> Id) -> Paged<T> {
        let limit = self.per_page + 1;
        let (start, end) = if self.backward {
            let end = self.cursor.map_or(rows.len(), |cursor| rows.partition_point(|row| id(row) >= cursor));
            (end.saturating_sub(limit), end)
        } else {
            let start = self.cursor.map_or(0, |cursor| rows.partition_point(|row| id(row) > cursor));
            (start, rows.len().min(start + limit))
        };
        let shown = rows.into_iter().skip(start).take(end - start).collect();
        self.page(shown, id, start > 0 && end > start && self.per_page > 0)
    }
}

impl<T> Paged<T> {
    pub fn empty(request: &PageRequest) -> Self {
        request.page_of(Vec::new(), |_| Id::MIN)
    }

    pub fn map<U>(self, view: impl FnMut(T) -> U) -> Paged<U> {
        Paged { content: self.content.into_iter().map(view).collect(), pagination: self.pagination }
    }
}

/// Nonsense and negative numbers give the default.
fn per_page(query: &QueryString) -> usize {
    let given = query.one("perPage").and_then(|text| text.parse::<i64>().ok());
    given.and_then(|number| usize::try_from(number).ok()).unwrap_or(PER_PAGE_DEFAULT).min(PER_PAGE_MAX)
}

#[cfg(test)]
mod tests;
