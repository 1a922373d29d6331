//! Moments as callers write them: ISO 8601 to the second or finer, without a zone read as UTC.

use dacapo_model::Timestamp;

/// `2006-01-02T15:04:05`, with or without a fraction, with or without a zone.
pub fn parse(text: &str) -> Option<Timestamp> {
    if !has_form(text, "dddd-dd-ddTdd:dd:dd") {
        return None;
    }
    // An unescaped `+` of a zone arrives as a space.
    let text = text.replace(' ', "+");
    text.parse().or_else(|_| format!("{text}Z").parse()).ok().or_else(|| end_of_time(&text))
}

/// As [`parse`], and what else ISO 8601 allows: without seconds or minutes, in small letters, a zone
/// without its colon.
pub fn parse_iso(text: &str) -> Option<Timestamp> {
    let text = text.to_ascii_uppercase().replace(' ', "+");
    let (date, time) = text.split_once('T')?;
    let zone_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let clock = match clock.len() {
        2 => format!("{clock}:00:00"),
        5 => format!("{clock}:00"),
        _ => clock.to_owned(),
    };
    let zone = match zone.len() {
        3 => format!("{zone}:00"),
        5 if !zone.contains(':') => format!("{}:{}", zone.get(..3)?, zone.get(3..)?),
        _ => zone.to_owned(),
    };
    parse(&format!("{date}T{clock}{zone}"))
}

/// Midnight (UTC) of `2006-01-02`.
pub fn parse_date(text: &str) -> Option<Timestamp> {
    const FORM: &str = "dddd-dd-dd";
    if text.len() != FORM.len() || !has_form(text, FORM) {
        return None;
    }
    format!("{text}T00:00:00Z").parse().ok().or_else(|| end_of_time(text))
}

/// The last days of the year 9999, by which people say "without end", lie beyond what a moment can
/// be: the last one that can stands for them.
fn end_of_time(text: &str) -> Option<Timestamp> {
    const LAST: &str = "9999-12-30T22:00:00.999999Z";
    let is_beyond = text.starts_with("9999-12-30") || text.starts_with("9999-12-31");
    is_beyond.then(|| LAST.parse().ok()).flatten()
}

/// Starts as the form says: `d` stands for a digit, everything else for itself.
fn has_form(text: &str, form: &str) -> bool {
    let fits = |(form, byte): (u8, u8)| if form == b'd' { byte.is_ascii_digit() } else { byte == form };
    text.len() >= form.len() && form.bytes().zip(text.bytes()).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_8601_is_read_in_its_usual_shapes() {
        for text in [
            "2026-01-02T12:00:00Z",
            "2026-01-02T12:00:00",
            "2026-01-02T12:00Z",
            "2026-01-02T12:00",
            "2026-01-02T12",
            "2026-01-02t12:00:00z",
            "2026-01-02T13:00+01:00",
            "2026-01-02T13:00:00+0100",
            "2026-01-02T13:00:00 01",
        ] {
            assert_eq!(parse_iso(text).map(|at| at.to_string()).as_deref(), Some("2026-01-02T12:00:00Z"), "{text}");
        }
        for text in ["", "T", "2026-01-02", "2026-01-02T", "2026-01-02T1", "2026-01-02T25:00", "2026-01-02T12:00+é1"] {
            assert_eq!(parse_iso(text), None, "{text}");
        }
    }

    fn read(text: &str) -> Option<String> {
        parse(text).map(|moment| moment.to_string())
    }

    #[test]
    fn naive_is_utc() {
        let noon = Some("2026-01-02T12:00:00Z".to_owned());
        for text in
            ["2026-01-02T12:00:00", "2026-01-02T12:00:00Z", "2026-01-02T13:00:00+01:00", "2026-01-02T13:00:00 01:00"]
        {
            assert_eq!(read(text), noon, "{text}");
        }
        assert_eq!(read("2026-01-02T12:00:00.25"), Some("2026-01-02T12:00:00.25Z".to_owned()));
        assert!(read("9999-12-31T23:59:59").is_some());
        for bad in ["", "2026-01-02", "2026-01-02 12:00:00", "2026-13-02T12:00:00", "2026-01-02T12:00:00x", "now"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_are_midnights() {
        assert_eq!(parse_date("2026-01-02").map(|at| at.to_string()), Some("2026-01-02T00:00:00Z".to_owned()));
        for bad in ["2026-1-2", "2026-02-30", "2026-01-02T00:00:00", ""] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
