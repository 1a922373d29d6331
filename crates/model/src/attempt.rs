//! One exchange with an endpoint, as history keeps it (contracts/convoy.md §2.5).

use crate::clock::Timestamp;
use crate::id::Id;
use bytes::Bytes;
use std::net::IpAddr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub id: Id,
    pub delivery_id: Id,
    /// 1 for the first.
    pub number: u32,
    /// What was called, query string included.
    pub url: String,
    pub ip: Option<IpAddr>,
    /// What was sent, authentication included as it went out.
    pub request_headers: HeaderLines,
    /// `None` when no answer came.
    pub status: Option<u16>,
    pub response_headers: HeaderLines,
    /// At most the configured number of bytes.
    pub response_body: Bytes,
    /// Why there was no answer, in words.
    pub error: Option<String>,
    pub succeeded: bool,
    pub requested_at: Timestamp,
    pub duration_us: u64,
}

impl Attempt {
    pub fn responded_at(&self) -> Option<Timestamp> {
        self.status?;
        Some(self.requested_at.plus(std::time::Duration::from_micros(self.duration_us)))
    }
}

/// Header names and values as one text, a line each: `Name: value\n`. One allocation however many
/// there are, and written to the store as it is. Line breaks cannot occur in either part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderLines(String);

impl HeaderLines {
    pub const fn new() -> Self {
        Self(String::new())
    }

    pub fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Text that was written by [`Self::as_text`].
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    pub fn as_text(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Line breaks in either part become spaces: a value can never become a line of its own.
    pub fn push(&mut self, name: &str, value: &str) {
        self.push_clean(name);
        self.0.push_str(": ");
        self.push_clean(value);
        self.0.push('\n');
    }

    fn push_clean(&mut self, text: &str) {
        if text.bytes().any(|byte| byte == b'\n' || byte == b'\r') {
            self.0.push_str(&text.replace(['\n', '\r'], " "));
            return;
        }
        self.0.push_str(text);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.split_once(": "))
    }

    /// The first value under this name, in any letter case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A header name as Go and most people write it: `X-Convoy-Signature`. Names are recorded as they
/// are compared, in lower case; this is how they are shown.
pub fn canonical_name(name: &str) -> String {
    let mut canonical = String::with_capacity(name.len());
    let mut starts_word = true;
    for letter in name.chars() {
        canonical.push(if starts_word { letter.to_ascii_uppercase() } else { letter });
        starts_word = letter == '-';
    }
    canonical
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for HeaderLines {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(pairs: T) -> Self {
        let mut lines = Self::new();
        for (name, value) in pairs {
            lines.push(name.as_ref(), value.as_ref());
        }
        lines
    }
}
