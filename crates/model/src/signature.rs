//! Signatures of outgoing requests: Convoy's simple and advanced header (contracts/convoy.md §6.2) and
//! Standard Webhooks `v1` (design §7). All are HMACs over the exact bytes that are sent.

use crate::project::{Encoding, Hash, SignatureVersion};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::OnceLock;

/// What the shown form of a Standard Webhooks secret begins with.
const WHSEC: &str = "whsec_";

/// Secrets come from people too: the padding may be missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret, with what is derived from it kept: a sender that signs again and again derives it once.
pub struct Key {
    secret: String,
    sha256: OnceLock<hmac::Key>,
    sha512: OnceLock<hmac::Key>,
    standard: OnceLock<hmac::Key>,
}

impl Key {
    /// `secret`: in stored or, for Standard Webhooks, in shown form (see [`whsec`]).
    pub fn new(secret: &str) -> Self {
        Self { secret: secret.to_owned(), sha256: OnceLock::new(), sha512: OnceLock::new(), standard: OnceLock::new() }
    }

    fn convoy(&self, hash: Hash) -> &hmac::Key {
        let (kept, algorithm) = match hash {
            Hash::Sha256 => (&self.sha256, hmac::HMAC_SHA256),
            Hash::Sha512 => (&self.sha512, hmac::HMAC_SHA512),
        };
        kept.get_or_init(|| hmac::Key::new(algorithm, self.secret.as_bytes()))
    }

    fn standard(&self) -> &hmac::Key {
        self.standard.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, &standard_key(&self.secret)))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Longest entry of an advanced header: `,v1=` and SHA-512 in hex.
const ENTRY_BYTES_MAX: usize = 5 + 128;

/// The value of Convoy's signature header over `payload`, the bytes that are sent
/// (contracts/convoy.md §6.2).
///
/// `keys`: of the secrets not deleted, oldest first. `versions`: the project's, oldest first; none counts as
/// the default one (SHA-256, hex). `timestamp_s`: Unix seconds, used by advanced signatures only.
///
/// - Simple: the newest secret with the last version; the bare digest.
/// - Advanced: `t=<s>,v1=<old>,v1=<new>,v2=<old>,…`: each version (`v1` is the first) with each secret,
///   over `<s>,<payload>`.
///
/// Without a secret nothing can be signed: the result is empty, and no header should be sent.
pub fn convoy(
    keys: &[&Key],
    versions: &[SignatureVersion],
    advanced: bool,
    timestamp_s: i64,
    payload: &[u8],
) -> String {
    let fallback = [SignatureVersion::default()];
    let versions = if versions.is_empty() { &fallback[..] } else { versions };
    let mut out = String::new();
    let (Some(newest), Some(last)) = (keys.last(), versions.last()) else { return out };
    if !advanced {
        let digest = digest(newest.convoy(last.hash), &[payload]);
        encode(last.encoding, digest.as_ref(), &mut out);
        return out;
    }
    let timestamp = timestamp_s.to_string();
    out.reserve(2 + timestamp.len() + versions.len() * keys.len() * ENTRY_BYTES_MAX);
    out.push_str("t=");
    out.push_str(&timestamp);
    for (number, version) in (1..).zip(versions) {
        for key in keys {
            write_infallible(&mut out, format_args!(",v{number}="));
            let digest = digest(key.convoy(version.hash), &[timestamp.as_bytes(), b",", payload]);
            encode(version.encoding, digest.as_ref(), &mut out);
        }
    }
    out
}

/// The value of Standard Webhooks' `webhook-signature`: `v1,<base64>` for each secret, newest first,
/// separated by spaces; each is HMAC-SHA256 over `<webhook_id>.<timestamp_s>.<payload>` (design §7).
///
/// `keys`: oldest first. `timestamp_s`: Unix seconds, the
/// `webhook-timestamp`. Without a secret the result is empty.
pub fn standard_v1(keys: &[&Key], webhook_id: &str, timestamp_s: i64, payload: &[u8]) -> String {
    let timestamp = timestamp_s.to_string();
    let mut out = String::with_capacity(keys.len() * 48);
    for key in keys.iter().rev() {
        let parts = [webhook_id.as_bytes(), b".", timestamp.as_bytes(), b".", payload];
        let digest = digest(key.standard(), &parts);
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str("v1,");
        STANDARD.encode_string(digest.as_ref(), &mut out);
    }
    out
}

/// The form in which Standard Webhooks libraries take `secret`: `whsec_<base64 of the key>`. What has
/// that form already keeps it.
pub fn whsec(secret: &str) -> String {
    let mut out = WHSEC.to_owned();
    STANDARD.encode_string(standard_key(secret), &mut out);
    out
}

/// The key's bytes: decoded after `whsec_`, otherwise the secret's own. A secret that only looks like
/// the shown form (bad base64, or nothing after the prefix) is its own bytes too: never an empty key.
fn standard_key(secret: &str) -> Cow<'_, [u8]> {
    let decoded = secret.strip_prefix(WHSEC).and_then(|encoded| LENIENT.decode(encoded).ok());
    match decoded {
        Some(key) if !key.is_empty() => Cow::Owned(key),
        _ => Cow::Borrowed(secret.as_bytes()),
    }
}

/// HMAC over the parts one after the other; the payload is not copied.
fn digest(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    context.sign()
}

/// Lower-case hex, or standard base64 with padding.
fn encode(encoding: Encoding, digest: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match encoding {
        Encoding::Hex => {
            out.reserve(2 * digest.len());
            for byte in digest {
                out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                out.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
        Encoding::Base64 => STANDARD.encode_string(digest, out),
    }
}

/// Writing to a `String` cannot fail.
fn write_infallible(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn convoy(secrets: &[&str], versions: &[SignatureVersion], advanced: bool, at: i64, payload: &[u8]) -> String {
        let keys: Vec<Key> = secrets.iter().map(|secret| Key::new(secret)).collect();
        super::convoy(&keys.iter().collect::<Vec<_>>(), versions, advanced, at, payload)
    }

    fn standard_v1(secrets: &[&str], id: &str, at: i64, payload: &[u8]) -> String {
        let keys: Vec<Key> = secrets.iter().map(|secret| Key::new(secret)).collect();
        super::standard_v1(&keys.iter().collect::<Vec<_>>(), id, at, payload)
    }

    const SECRET: &str = "convoy-webhook-secret";
    const PAYLOAD: &[u8] = br#"{"event":"charge.success","amount":1000,"currency":"NGN"}"#;
    const SIMPLE: &str = "244449b7f48cbc2709060c9dcdc2b3aa47a78f540430579015c579fb12defbb4";
    const ADVANCED: &str = "t=1700000000,v1=77b8b9269f25a199846a55a2bd25b3fba151c70fdae60bb1dcd87fbbc943c55c";

    fn version(hash: Hash, encoding: Encoding) -> SignatureVersion {
        SignatureVersion { hash, encoding, ..SignatureVersion::default() }
    }

    /// The same digest by another way: one buffer, aws-lc-rs' one-shot function.
    fn expected(version: &SignatureVersion, secret: &str, signed: &[u8]) -> String {
        let algorithm = match version.hash {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        let tag = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), signed);
        match version.encoding {
            Encoding::Hex => tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
            Encoding::Base64 => STANDARD.encode(tag.as_ref()),
        }
    }

    #[test]
    fn contract_vector() {
        let versions = [SignatureVersion::default()];
        assert_eq!(convoy(&[SECRET], &versions, false, 1_700_000_000, PAYLOAD), SIMPLE);
        assert_eq!(convoy(&[SECRET], &versions, true, 1_700_000_000, PAYLOAD), ADVANCED);
        assert_eq!(convoy(&[SECRET], &[], true, 1_700_000_000, PAYLOAD), ADVANCED);
    }

    #[test]
    fn simple_takes_the_newest_secret_and_the_last_version() {
        let versions = [SignatureVersion::default(), version(Hash::Sha512, Encoding::Base64)];
        let header = convoy(&["old", "new"], &versions, false, 0, PAYLOAD);
        assert_eq!(header, expected(&versions[1], "new", PAYLOAD));
        assert_eq!(header.len(), 88);
    }

    #[test]
    fn known_answers_of_rfc_4231() {
        let (key, data) = ("Jefe", &b"what do ya want for nothing?"[..]);
        let hex = convoy(&[key], &[version(Hash::Sha512, Encoding::Hex)], false, 0, data);
        assert_eq!(
            hex,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        );
        let base64 = convoy(&[key], &[version(Hash::Sha256, Encoding::Base64)], false, 0, data);
        assert_eq!(base64, "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
    }

    #[test]
    fn advanced_orders_by_version_then_by_age_of_the_secret() {
        let versions = [version(Hash::Sha256, Encoding::Hex), version(Hash::Sha512, Encoding::Base64)];
        let signed = [b"1700000000,", PAYLOAD].concat();
        let [old_1, new_1] = ["old", "new"].map(|secret| expected(&versions[0], secret, &signed));
        let [old_2, new_2] = ["old", "new"].map(|secret| expected(&versions[1], secret, &signed));
        assert_eq!(
            convoy(&["old", "new"], &versions, true, 1_700_000_000, PAYLOAD),
            format!("t=1700000000,v1={old_1},v1={new_1},v2={old_2},v2={new_2}")
        );
    }

    #[test]
    fn nothing_is_signed_without_a_secret() {
        assert_eq!(convoy(&[], &[], false, 0, PAYLOAD), "");
        assert_eq!(convoy(&[], &[], true, 0, PAYLOAD), "");
        assert_eq!(standard_v1(&[], "id", 0, PAYLOAD), "");
    }

    /// The example of the Standard Webhooks libraries' own tests.
    #[test]
    fn standard_webhooks_vector() {
        let header = standard_v1(
            &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn standard_signs_with_every_secret_newest_first() {
        let both = standard_v1(&["old", "new"], "evt_1", 7, PAYLOAD);
        let [old, new] = ["old", "new"].map(|secret| standard_v1(&[secret], "evt_1", 7, PAYLOAD));
        assert_eq!(both, format!("{new} {old}"));
        let signed = [&b"evt_1.7."[..], PAYLOAD].concat();
        assert_eq!(old, format!("v1,{}", expected(&version(Hash::Sha256, Encoding::Base64), "old", &signed)));
    }

    #[test]
    fn whsec_shows_the_key() {
        assert_eq!(whsec("hello"), "whsec_aGVsbG8=");
        assert_eq!(whsec("whsec_aGVsbG8="), "whsec_aGVsbG8=");
        assert_eq!(whsec("whsec_aGVsbG8"), "whsec_aGVsbG8=");
        assert_eq!(*standard_key("whsec_aGVsbG8="), *b"hello");
        assert_eq!(*standard_key("whsec_not base64!"), *b"whsec_not base64!");
        assert_eq!(*standard_key("whsec_"), *b"whsec_");
    }

    proptest! {
        #[test]
        fn the_shown_form_signs_like_the_stored_one(secret in "(whsec_)?[0-9a-zA-Z_+/=-]{1,40}", id in "[a-z.]{0,8}") {
            let shown = whsec(&secret);
            prop_assert_eq!(standard_v1(&[&shown], &id, 1, PAYLOAD), standard_v1(&[&secret], &id, 1, PAYLOAD));
            prop_assert_eq!(whsec(&shown), shown);
        }

        #[test]
        fn parts_sign_like_the_whole(secret in ".{0,80}", at in any::<i64>(), payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let version = version(Hash::Sha256, Encoding::Hex);
            let signed = [format!("{at},").as_bytes(), &payload].concat();
            let header = convoy(&[&secret], std::slice::from_ref(&version), true, at, &payload);
            prop_assert_eq!(header, format!("t={at},v1={}", expected(&version, &secret, &signed)));
        }
    }
}
