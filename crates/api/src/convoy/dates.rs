//! `startDate` and `endDate` of lists (contracts/convoy.md §1.12).

use super::error::Error;
use crate::moment;
use crate::query_string::QueryString;
use dacapo_model::Timestamp;
use dacapo_store::roles::Window;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// How far a list looks back when it is not told.
const DEFAULT_SPAN: Duration = Duration::from_secs(7 * 86_400);

/// Both ends inclusive. Absent: midnight a week ago, and the end of today.
pub fn window(query: &QueryString, now: Timestamp) -> Result<Window, Error> {
    let midnight = midnight_before(now);
    let bad_start = || Error::bad("please specify a startDate in the format 2006-01-02T15:04:05");
    let bad_end = || Error::bad("please specify a correct endDate in the format 2006-01-02T15:04:05 or none at all");
    let from = match query.one("startDate").map(parse) {
        None | Some(Some(Given::Never)) => midnight.minus(DEFAULT_SPAN),
        Some(Some(Given::At(moment))) => moment,
        Some(None) => return Err(bad_start()),
    };
    let to = match query.one("endDate").map(parse) {
        None | Some(Some(Given::Never)) => midnight.plus(DAY).minus(Duration::from_micros(1)),
        Some(Some(Given::At(moment))) => moment,
        Some(None) => return Err(bad_end()),
    };
    if from > to {
        return Err(Error::bad("startDate cannot be greater than endDate"));
    }
    Ok(Window { from: Some(from), to: Some(to) })
}

enum Given {
    At(Timestamp),
    /// Year 1: what the Go SDK sends for "not set".
    Never,
}

fn parse(text: &str) -> Option<Given> {
    let at = moment::parse(text)?;
    Some(if text.starts_with("0001-") { Given::Never } else { Given::At(at) })
}

fn midnight_before(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.seconds().div_euclid(86_400) * 86_400_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<(String, String), String> {
        let now: Timestamp = "2026-03-10T12:30:00Z".parse().expect("a time");
        match window(&QueryString::parse(query), now) {
            Ok(window) => Ok((window.from.expect("set").to_string(), window.to.expect("set").to_string())),
            Err(Error::BadRequest(text)) => Err(text.into_owned()),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn span(from: &str, to: &str) -> Result<(String, String), String> {
        Ok((from.to_owned(), to.to_owned()))
    }

    #[test]
    fn a_week_by_default() {
        let default = span("2026-03-03T00:00:00Z", "2026-03-10T23:59:59.999999Z");
        assert_eq!(read(""), default);
        assert_eq!(read("startDate=&endDate="), default);
        assert_eq!(read("startDate=0001-01-01T00:00:00&endDate=0001-01-01T00:00:00"), default, "the Go SDK's zero");
    }

    #[test]
    fn naive_is_utc_and_zones_are_understood() {
        let query = "startDate=2026-01-02T15:04:05&endDate=2026-01-02T17:04:05%2B01:00";
        assert_eq!(read(query), span("2026-01-02T15:04:05Z", "2026-01-02T16:04:05Z"));
    }

    #[test]
    fn convoys_three_errors() {
        let start = Err("please specify a startDate in the format 2006-01-02T15:04:05".to_owned());
        for bad in ["2026-01-02", "yesterday", "2026-13-02T15:04:05", "2026-01-02 15:04:05"] {
            assert_eq!(read(&format!("startDate={bad}")), start, "{bad}");
        }
        let end = "please specify a correct endDate in the format 2006-01-02T15:04:05 or none at all";
        assert_eq!(read("endDate=2026-01-02T15:04"), Err(end.to_owned()));
        let order = "startDate cannot be greater than endDate";
        assert_eq!(read("startDate=2026-01-03T00:00:00&endDate=2026-01-02T00:00:00"), Err(order.to_owned()));
    }
}
