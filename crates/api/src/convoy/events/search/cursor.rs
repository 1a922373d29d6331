//! Where a page ended, and as of when its selector was meant: two ids with a dash between.

use crate::convoy::error::Error;
use crate::query_string::QueryString;
use dacapo_model::Id;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub after: Id,
    pub high_water: Id,
}

impl Cursor {
    pub fn of(query: &QueryString) -> Result<Option<Self>, Error> {
        let parse = |text: &str| {
            let (after, high_water) = text.split_once('-')?;
            Some(Self { after: after.parse().ok()?, high_water: high_water.parse().ok()? })
        };
        let Some(text) = query.one("cursor").or(query.one("next_page_cursor")) else { return Ok(None) };
        let cursor =
            parse(text).ok_or(Error::bad("cursor: is not of this search: use next_page_cursor of the page before"));
        cursor.map(Some)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.after, self.high_water)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_nothing_else_does() {
        let cursor = Cursor { after: Id::from_u128(5), high_water: Id::MAX };
        let query = QueryString::parse(&format!("cursor={cursor}"));
        assert_eq!(Cursor::of(&query).expect("reads"), Some(cursor));
        assert_eq!(Cursor::of(&QueryString::parse("cursor=")).expect("absent"), None);
        for text in ["x", "00000000000000000000000005", "00000000000000000000000005-", "-"] {
            assert!(Cursor::of(&QueryString::parse(&format!("cursor={text}"))).is_err(), "{text}");
        }
    }
}
