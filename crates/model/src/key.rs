//! API keys: their text, what is kept of it, and how a caller's key is checked.
//!
//! Keys are long and random, so a plain SHA-256 of the text is kept: slow hashes defend guessable
//! secrets, and these cannot be guessed. Comparison takes the same time wherever texts differ.

use crate::clock::Timestamp;
use crate::id::{Entropy, Id};
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `CO.<mask>.<secret>`: acts as its project's admin on the Convoy surface.
    Project,
    /// `sk_live_<mask><secret>`.
    ConnectLive,
    /// `sk_test_<mask><secret>`.
    ConnectTest,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: Id,
    pub project_id: Id,
    pub kind: Kind,
    pub name: String,
    /// The part of the key that finds it; not secret.
    pub mask: String,
    /// SHA-256 of the whole text.
    pub hash: [u8; 32],
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

const MASK_LEN: usize = 16;
const SECRET_LEN: usize = 64;
const ALPHANUMERIC: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ENDPOINT_SECRET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-";
/// Characters of a generated endpoint secret (contracts/convoy.md §1.6).
const ENDPOINT_SECRET_LEN: usize = 25;

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Project => "CO.",
            Self::ConnectLive => "sk_live_",
            Self::ConnectTest => "sk_test_",
        }
    }

    /// The kind and the mask of a key's text; `None` when it has no key's form.
    pub fn parse(text: &str) -> Option<(Self, &str)> {
        let kind = [Self::Project, Self::ConnectLive, Self::ConnectTest]
            .into_iter()
            .find(|kind| text.starts_with(kind.prefix()))?;
        let mask = text.get(kind.prefix().len()..kind.prefix().len() + MASK_LEN)?;
        Some((kind, mask))
    }
}

impl ApiKey {
    /// A new key and its text, which is nowhere else afterwards.
    pub fn mint(
        entropy: &dyn Entropy,
        id: Id,
        project_id: Id,
        kind: Kind,
        name: &str,
        now: Timestamp,
    ) -> (Self, String) {
        let mask = random_text(entropy, ALPHANUMERIC, MASK_LEN);
        let secret = random_text(entropy, ALPHANUMERIC, SECRET_LEN);
        let text = match kind {
            Kind::Project => format!("CO.{mask}.{secret}"),
            Kind::ConnectLive | Kind::ConnectTest => format!("{}{mask}{secret}", kind.prefix()),
        };
        let key = Self {
            id,
            project_id,
            kind,
            name: name.to_owned(),
            mask,
            hash: hash(&text),
            created_at: now,
            expires_at: None,
            revoked_at: None,
        };
        (key, text)
    }

    /// Whether `text` is this key and the key is in force.
    pub fn admits(&self, text: &str, now: Timestamp) -> bool {
        let same: bool = self.hash.ct_eq(&hash(text)).into();
        same && self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

fn hash(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    out
}

pub fn endpoint_secret(entropy: &dyn Entropy) -> String {
    random_text(entropy, ENDPOINT_SECRET, ENDPOINT_SECRET_LEN)
}

/// Text that a person may have to type once: an initial password.
pub fn password(entropy: &dyn Entropy) -> String {
    random_text(entropy, b"abcdefghjkmnpqrstuvwxyz23456789", 20)
}

/// Each character equally likely: bytes past the last whole multiple of the alphabet are drawn again.
fn random_text(entropy: &dyn Entropy, alphabet: &[u8], len: usize) -> String {
    let limit = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(len);
    let mut bytes = [0; 64];
    while text.len() < len {
        entropy.fill(&mut bytes);
        let fair = bytes.iter().filter(|byte| usize::from(**byte) < limit);
        text.extend(fair.take(len - text.len()).map(|byte| alphabet[usize::from(*byte) % alphabet.len()] as char));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemEntropy;

    #[test]
    fn a_key_admits_its_own_text_only() {
        let now = Timestamp::from_millis(5);
        for kind in [Kind::Project, Kind::ConnectLive, Kind::ConnectTest] {
            let (mut key, text) = ApiKey::mint(&SystemEntropy, Id::MIN, Id::MIN, kind, "k", now);
            assert_eq!(Kind::parse(&text), Some((kind, key.mask.as_str())));
            assert!(key.admits(&text, now));
            assert!(!key.admits(&format!("{text}x"), now));
            key.revoked_at = Some(now);
            assert!(!key.admits(&text, now));
        }
        assert_eq!(Kind::parse("CO.short"), None);
        assert_eq!(Kind::parse("sk_live_xéééééééééé"), None);
    }
}
