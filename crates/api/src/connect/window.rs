//! `from` and `to` of lists: inclusive; a date, or a moment to the second or finer.

use super::error::Error;
use crate::moment;
use crate::query_string::QueryString;
use dacapo_model::Timestamp;
use dacapo_store::roles::Window;
use std::time::Duration;

/// From a day's first moment to its last.
const DAY_INCLUSIVE: Duration = Duration::from_micros(86_400_000_000 - 1);

pub fn read(query: &QueryString) -> Result<Window, Error> {
    let from = query.one("from").map(|text| bound("from", text, Duration::ZERO)).transpose()?;
    let to = query.one("to").map(|text| bound("to", text, DAY_INCLUSIVE)).transpose()?;
    Ok(Window { from, to })
}

fn bound(param: &'static str, text: &str, into_day: Duration) -> Result<Timestamp, Error> {
    let day = moment::parse_date(text).map(|midnight| midnight.plus(into_day));
    let invalid = "Not an ISO 8601 date or datetime, such as 2026-01-02 or 2026-01-02T15:04:05Z.";
    day.or_else(|| moment::parse_iso(text)).ok_or(Error::parameter("invalid_date", param, invalid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_take_in_their_whole_day() {
        let window = read(&QueryString::parse("from=2026-01-02&to=2026-01-02")).expect("dates");
        assert_eq!(window.from.map(|at| at.to_string()).as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!(window.to.map(|at| at.to_string()).as_deref(), Some("2026-01-02T23:59:59.999999Z"));
        assert_eq!(read(&QueryString::parse("")).expect("none"), Window::default());
        assert!(matches!(read(&QueryString::parse("to=tomorrow")), Err(Error::Parameter { code: "invalid_date", .. })));
    }
}
