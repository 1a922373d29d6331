//! Is this signature made with that secret? Convoy's simple and advanced header
//! (contracts/convoy.md §6.2) and Standard Webhooks.

use dacapo_model::Timestamp;
use dacapo_model::project::{DEFAULT_SIGNATURE_HEADER, Encoding, Hash, SignatureVersion};
use dacapo_model::signature::{self, Key};
use http::HeaderMap;
use subtle::ConstantTimeEq;

/// A signed time further away than this is refused, as the SDKs do.
const TOLERANCE_S: i64 = 300;
/// Entries of one header that are looked at.
const ENTRIES_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By the scheme named.
    Verified(&'static str),
    Wrong(&'static str),
    /// Made with the secret, but too long ago (or ahead): a replayed request looks like this.
    Stale(&'static str),
    Unsigned,
    /// There is nothing to check with.
    NotChecked,
}

const ADVANCED: &str = "Convoy, advanced";
const SIMPLE: &str = "Convoy, simple";
const STANDARD: &str = "Standard Webhooks";

/// Every signature that is there has to be right.
pub fn verdict(secret: Option<&str>, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Verdict {
    let Some(secret) = secret else { return Verdict::NotChecked };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let convoy = text(DEFAULT_SIGNATURE_HEADER).map(|header| convoy(secret, header, body, now));
    let standard = text("webhook-signature").map(|header| {
        let (id, time) = (text("webhook-id").unwrap_or_default(), text("webhook-timestamp").unwrap_or_default());
        standard(secret, header, id, time, body, now)
    });
    match (convoy, standard) {
        (None, None) => Verdict::Unsigned,
        (Some(Verdict::Verified(_)) | None, Some(second)) => second,
        (Some(first), _) => first,
    }
}

fn convoy(secret: &str, header: &str, body: &[u8], now: Timestamp) -> Verdict {
    let key = Key::new(secret);
    if !header.contains(',') {
        let right = schemes().any(|scheme| same(&signature::convoy(&[&key], &[scheme], false, 0, body), header));
        return if right { Verdict::Verified(SIMPLE) } else { Verdict::Wrong(SIMPLE) };
    }
    let mut entries = header.split(',').take(ENTRIES_MAX);
    let time = entries.next().and_then(|entry| entry.strip_prefix("t=")).and_then(|time| time.parse::<i64>().ok());
    let Some(time) = time else { return Verdict::Wrong(ADVANCED) };
    // "t=…,v1=<digest>": ours has one entry, which is compared with each of theirs.
    let ours: Vec<String> = schemes()
        .filter_map(|scheme| digest(&signature::convoy(&[&key], &[scheme], true, time, body)).map(str::to_owned))
        .collect();
    let right = entries.filter_map(digest).any(|theirs| ours.iter().any(|ours| same(ours, theirs)));
    timed(right, time, now, ADVANCED)
}

fn standard(secret: &str, header: &str, id: &str, time: &str, body: &[u8], now: Timestamp) -> Verdict {
    let Ok(time) = time.parse::<i64>() else { return Verdict::Wrong(STANDARD) };
    let ours = signature::standard_v1(&[&Key::new(secret)], id, time, body);
    let right = header.split(' ').take(ENTRIES_MAX).any(|theirs| same(&ours, theirs));
    timed(right, time, now, STANDARD)
}

/// What comes after the last `v<number>=`.
fn digest(entry: &str) -> Option<&str> {
    let last = entry.rsplit(',').next().unwrap_or(entry);
    last.strip_prefix('v').and_then(|rest| rest.split_once('=')).map(|(_, digest)| digest)
}

fn timed(right: bool, time: i64, now: Timestamp, scheme: &'static str) -> Verdict {
    match (right, now.seconds().abs_diff(time) <= TOLERANCE_S.unsigned_abs()) {
        (false, _) => Verdict::Wrong(scheme),
        (true, false) => Verdict::Stale(scheme),
        (true, true) => Verdict::Verified(scheme),
    }
}

/// The header does not say which hash and encoding it has.
fn schemes() -> impl Iterator<Item = SignatureVersion> {
    let hashes = [Hash::Sha256, Hash::Sha512];
    let both = |hash| {
        [Encoding::Hex, Encoding::Base64].map(|encoding| SignatureVersion {
            hash,
            encoding,
            ..SignatureVersion::default()
        })
    };
    hashes.into_iter().flat_map(both)
}

fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    const SECRET: &str = "convoy-webhook-secret";
    const BODY: &[u8] = br#"{"event":"charge.success","amount":1000,"currency":"NGN"}"#;
    const AT: i64 = 1_700_000_000;

    fn now(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(header).collect()
    }

    fn convoy_verdict(header: &str, seconds: i64) -> Verdict {
        verdict(Some(SECRET), &headers(&[("x-convoy-signature", header)]), BODY, now(seconds))
    }

    /// The vectors of contracts/convoy.md §6.2, not made by our own code.
    #[test]
    fn known_convoy_signatures_verify() {
        let simple = "244449b7f48cbc2709060c9dcdc2b3aa47a78f540430579015c579fb12defbb4";
        let advanced = "t=1700000000,v1=77b8b9269f25a199846a55a2bd25b3fba151c70fdae60bb1dcd87fbbc943c55c";
        assert_eq!(convoy_verdict(simple, AT), Verdict::Verified(SIMPLE));
        assert_eq!(convoy_verdict(advanced, AT + 10), Verdict::Verified(ADVANCED));
        assert_eq!(convoy_verdict(&advanced.replace(",v1=", ",v1=00,v2="), AT), Verdict::Verified(ADVANCED));
        assert_eq!(convoy_verdict(advanced, AT + 301), Verdict::Stale(ADVANCED));
    }

    #[test]
    fn each_hash_and_encoding_verifies_and_another_secret_does_not() {
        for scheme in schemes() {
            for advanced in [false, true] {
                let right = signature::convoy(
                    &[&Key::new("old"), &Key::new(SECRET)],
                    std::slice::from_ref(&scheme),
                    advanced,
                    AT,
                    BODY,
                );
                assert!(matches!(convoy_verdict(&right, AT), Verdict::Verified(_)), "{right}");
                let wrong = signature::convoy(&[&Key::new("other")], std::slice::from_ref(&scheme), advanced, AT, BODY);
                assert!(matches!(convoy_verdict(&wrong, AT), Verdict::Wrong(_)), "{wrong}");
            }
        }
        for garbage in ["", ",", "t=,v1=", "t=1700000000", "v1=00,t=1700000000", "t=1700000000,v1"] {
            assert!(matches!(convoy_verdict(garbage, AT), Verdict::Wrong(_)), "{garbage}");
        }
    }

    #[test]
    fn standard_webhooks_verify_and_every_signature_has_to_be_right() {
        let signed = signature::standard_v1(&[&Key::new("old"), &Key::new(SECRET)], "msg_1", AT, BODY);
        let both = |convoy: &str, body: &[u8]| {
            let all = [
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", "1700000000"),
                ("webhook-signature", &signed),
                ("x-convoy-signature", convoy),
            ];
            verdict(Some(SECRET), &headers(&all), body, now(AT))
        };
        let convoy = signature::convoy(&[&Key::new(SECRET)], &[], false, 0, BODY);
        assert_eq!(both(&convoy, BODY), Verdict::Verified(STANDARD));
        assert_eq!(both(&convoy, b"{}"), Verdict::Wrong(SIMPLE));
        assert_eq!(both("00", BODY), Verdict::Wrong(SIMPLE));
    }

    #[test]
    fn without_a_secret_or_a_signature_there_is_nothing_to_say() {
        assert_eq!(verdict(None, &headers(&[("x-convoy-signature", "00")]), BODY, now(AT)), Verdict::NotChecked);
        assert_eq!(verdict(Some(SECRET), &headers(&[]), BODY, now(AT)), Verdict::Unsigned);
    }
}
