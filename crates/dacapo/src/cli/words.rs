//! What is wrong with a request, in the words of who typed it: the gateway names fields of its API, the
//! command line has flags.

/// Fields of a selector, under `selector` where it is a part of a request.
const SELECTOR: [(&str, &str); 16] = [
    ("mode", "--mode"),
    ("from", "--from"),
    ("to", "--to"),
    ("event_types", "--event-type"),
    ("endpoint_ids", "--endpoint-id"),
    ("owner_ids", "--owner-id"),
    ("source_ids", "--source-id"),
    ("event_ids", "--event-id"),
    ("idempotency_key", "--idempotency-key"),
    ("event_status", "--event-status"),
    ("delivery_status", "--delivery-status"),
    ("http_status", "--http-status"),
    ("attempts_min", "--attempts-min"),
    ("replay_id", "--replay-id"),
    ("subscription_ids", "--subscription-id"),
    ("filter", "--body, --headers"),
];
/// Fields of a replay beside its selector.
const REPLAY: [(&str, &str); 23] = [
    ("name", "--name"),
    ("reason", "--reason"),
    ("dry_run", "--dry-run"),
    ("expected_count", "--expected-count"),
    ("confirm_unbounded", "--confirm-unbounded"),
    ("idempotency_key", "--request-key"),
    ("rate", "--rate"),
    ("concurrency", "--concurrency"),
    ("options.rate", "--rate"),
    ("options.concurrency", "--concurrency"),
    ("endpoint_rate", "--endpoint-rate"),
    ("endpoint_concurrency", "--endpoint-concurrency"),
    ("options.endpoint_rate", "--endpoint-rate"),
    ("options.endpoint_concurrency", "--endpoint-concurrency"),
    ("options.order", "--order"),
    ("options.include_succeeded", "--include-succeeded"),
    ("options.as_of", "--original"),
    ("options.target", "--to-endpoint, --to-url"),
    ("options.target.endpoint_id", "--to-endpoint"),
    ("options.target.url", "--to-url"),
    ("options.target.secret", "--to-secret"),
    ("perPage", "--limit"),
    ("status", "--status"),
];
/// Where a text names another field than the one it is about.
const IN_TEXTS: [(&str, &str); 6] = [
    ("\"dry_run\": true", "`dacapo replay plan`"),
    ("\"confirm_unbounded\": true", "--confirm-unbounded"),
    ("\"from\"", "--from"),
    ("`to`", "--to"),
    ("leave expected_count out", "leave --expected-count out"),
    ("leave as_of out", "leave --original out"),
];

/// Of a selector alone, as searches and counts take it.
pub fn of_selector(text: &str) -> String {
    in_flags(text, |field| flag(&SELECTOR, field))
}

/// Of a replay.
pub fn of_replay(text: &str) -> String {
    in_flags(text, |field| match field.strip_prefix("selector.") {
        Some(inner) => flag(&SELECTOR, inner),
        None => flag(&REPLAY, field),
    })
}

fn flag(known: &[(&str, &'static str)], field: &str) -> Option<&'static str> {
    known.iter().find(|(name, _)| *name == field).map(|(_, flag)| *flag)
}

/// What is about no field, or about one that only `--selector` can have written, stays as it is.
fn in_flags(text: &str, flag: impl Fn(&str) -> Option<&'static str>) -> String {
    let Some((field, rest)) = text.split_once(": ") else { return text.to_owned() };
    let Some(name) = flag(field).or((field == "selector").then_some("selector")) else { return text.to_owned() };
    let rest = IN_TEXTS.iter().fold(rest.to_owned(), |rest, (from, to)| rest.replace(from, to));
    format!("{name}: {rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_flags() {
        for (says, typed) in [
            ("selector.event_types: is empty", "--event-type: is empty"),
            ("selector.from: is later than `to`: swap them", "--from: is later than --to: swap them"),
            ("selector.idempotency_key: is empty", "--idempotency-key: is empty"),
            ("idempotency_key: it was used for another replay", "--request-key: it was used for another replay"),
            ("options.target.url: refused", "--to-url: refused"),
            (
                "selector: it has no start; add \"from\", or \"confirm_unbounded\": true if that is meant",
                "selector: it has no start; add --from, or --confirm-unbounded if that is meant",
            ),
            (
                "expected_count: plan without it (\"dry_run\": true)",
                "--expected-count: plan without it (`dacapo replay plan`)",
            ),
            // Written by hand, so it is named as it was written.
            (
                "selector.since: is no field of a selector: use mode",
                "selector.since: is no field of a selector: use mode",
            ),
            ("the replay is over: it cannot be resumed", "the replay is over: it cannot be resumed"),
        ] {
            assert_eq!(of_replay(says), typed);
        }
        assert_eq!(of_selector("idempotency_key: is empty"), "--idempotency-key: is empty");
        assert_eq!(of_selector("x: is no field of a selector"), "x: is no field of a selector");
    }

    /// A field without a flag would be told in the API's words.
    #[test]
    fn every_field_of_a_selector_has_a_flag() {
        use crate::cli::selector::SelectorOptions;
        use clap::Args;
        let command = SelectorOptions::augment_args(clap::Command::new("x"));
        let flags: Vec<String> =
            command.get_arguments().filter_map(|one| one.get_long()).map(|long| format!("--{long}")).collect();
        for (field, named) in SELECTOR {
            let parsed = dacapo_model::Selector::parse(&serde_json::json!({field: {}}))
                .expect_err("an object is no value")
                .to_string();
            assert!(!parsed.contains("is no field"), "{parsed}");
            for flag in named.split(", ") {
                assert!(flags.iter().any(|known| known == flag), "{flag}");
            }
        }
    }
}
