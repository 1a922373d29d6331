use super::*;
use proptest::prelude::*;

fn request(query: &str) -> PageRequest {
    PageRequest::sortable(&QueryString::parse(query)).expect("a good request")
}

fn ids(count: u128) -> Vec<Id> {
    (1..=count).rev().map(Id::from_u128).collect()
}

/// What a store would answer.
fn stored(rows: &[Id], page: Page) -> Vec<Id> {
    let mut sorted = rows.to_vec();
    sorted.sort();
    if !page.ascending {
        sorted.reverse();
    }
    let beyond = |id: &Id| page.from.is_none_or(|from| if page.ascending { *id >= from } else { *id <= from });
    sorted.into_iter().filter(beyond).take(page.limit).collect()
}

fn page_from_store(rows: &[Id], request: &PageRequest) -> Paged<Id> {
    let read = request.in_list_order(stored(rows, request.rows()));
    let before = request.rows_before(read.first().copied());
    let has_prev = before.is_some_and(|page| stored(rows, page).len() > 1);
    request.page(read, |id| *id, has_prev)
}

#[test]
fn parameters_and_their_defaults() {
    let default = PageRequest { per_page: 20, backward: false, cursor: None, ascending: false };
    for query in
        ["", "perPage=x&direction=up&sort=up", "perPage=-3", "prev_page_cursor=&next_page_cursor=", "sort=desc"]
    {
        assert_eq!(request(query), default, "{query}");
    }
    assert_eq!(request("next_page_cursor=FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"), default);
    assert_eq!(request("perPage=5000").per_page, 1_000);
    assert!(request("sort=asc").ascending);
    assert!(!PageRequest::newest_first(&QueryString::parse("sort=ASC")).expect("ignored").ascending);
}

#[test]
fn a_cursor_that_is_no_id_is_refused() {
    for query in ["next_page_cursor=zzz", "direction=prev&prev_page_cursor=%00"] {
        assert!(matches!(PageRequest::sortable(&QueryString::parse(query)), Err(Error::BadRequest(_))), "{query}");
    }
    assert_eq!(request("prev_page_cursor=zzz").cursor, None, "the other direction's cursor is not looked at");
}

#[test]
fn the_last_page_still_names_its_last_row() {
    let page = request("perPage=5").page_of(ids(3), |id| *id);
    assert_eq!(page.content.len(), 3);
    assert!(!page.pagination.has_next_page && !page.pagination.has_prev_page);
    assert_eq!(page.pagination.next_page_cursor, Id::from_u128(1).to_string());
    assert_eq!(page.pagination.prev_page_cursor, Id::from_u128(3).to_string());
    assert_eq!(request("").page_of(ids(1), |id| *id).pagination.next_page_cursor, "");
}

#[test]
fn per_page_zero_is_convoys_empty_page() {
    let page = request("perPage=0").page_of(ids(3), |id| *id);
    assert!(page.content.is_empty() && page.pagination.has_next_page);
    assert_eq!(page.pagination.next_page_cursor, "");
}

#[test]
fn backward_on_a_full_page_drops_the_cursor_row() {
    let first = Id::from_u128(4);
    let page = request(&format!("perPage=3&direction=prev&prev_page_cursor={first}")).page_of(ids(10), |id| *id);
    assert_eq!(page.content, [7, 6, 5].map(Id::from_u128));
    assert!(page.pagination.has_next_page && page.pagination.has_prev_page);
    assert_eq!(page.pagination.next_page_cursor, first.to_string());
}

#[test]
fn backward_on_a_short_page_keeps_the_cursor_row() {
    let page =
        request(&format!("perPage=5&direction=prev&prev_page_cursor={}", Id::from_u128(8))).page_of(ids(10), |id| *id);
    assert_eq!(page.content, [10, 9, 8].map(Id::from_u128));
    assert!(!page.pagination.has_next_page && !page.pagination.has_prev_page);
}

#[test]
fn backward_without_a_cursor_is_the_oldest_page() {
    let page = request("perPage=3&direction=prev").page_of(ids(10), |id| *id);
    assert_eq!(page.content, [4, 3, 2].map(Id::from_u128), "the extra row is dropped at the end, as upstream does");
}

proptest! {
    #[test]
    fn walking_forward_gives_every_row_once(count in 0u128..60, per_page in 1usize..9, ascending: bool) {
        let rows = ids(count);
        let sort = if ascending { "ASC" } else { "DESC" };
        let mut asked = request(&format!("perPage={per_page}&sort={sort}"));
        let mut seen = Vec::new();
        loop {
            let page = page_from_store(&rows, &asked);
            prop_assert_eq!(page.pagination.has_prev_page, !seen.is_empty());
            seen.extend(page.content);
            if !page.pagination.has_next_page {
                break;
            }
            asked.cursor = Some(page.pagination.next_page_cursor.parse().expect("a cursor"));
        }
        let mut expected = rows;
        if ascending {
            expected.reverse();
        }
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn memory_and_store_page_alike(
        count in 0u128..30, per_page in 1usize..9, backward: bool, cursor in prop::option::of(0u128..32)
    ) {
        let rows = ids(count);
        let asked = PageRequest { per_page, backward, cursor: cursor.map(Id::from_u128), ascending: false };
        let (from_memory, from_store) = (asked.page_of(rows.clone(), |id| *id), page_from_store(&rows, &asked));
        prop_assert_eq!(from_memory.content, from_store.content);
        prop_assert_eq!(from_memory.pagination, from_store.pagination);
    }

    #[test]
    fn back_and_forth_ends_where_it_began(count in 10u128..60, per_page in 1usize..5) {
        let rows = ids(count);
        let first = page_from_store(&rows, &request(&format!("perPage={per_page}")));
        let next = &first.pagination.next_page_cursor;
        let second = page_from_store(&rows, &request(&format!("perPage={per_page}&next_page_cursor={next}")));
        let back = format!("perPage={per_page}&direction=prev&prev_page_cursor={}", second.pagination.prev_page_cursor);
        let again = page_from_store(&rows, &request(&back));
        prop_assert_eq!(again.content, first.content);
    }
}
