//! What the last attempt was answered with: a code, a class of codes, or nothing.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HttpStatus {
    Code(u16),
    /// The first digit: 5 for `5xx`.
    Class(u8),
    /// An attempt was made, and no answer came.
    None,
}

impl HttpStatus {
    pub fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::None);
        }
        let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
        if let Some(class) = class {
            return class.parse().ok().filter(|digit| class.len() == 1 && (1..=5).contains(digit)).map(Self::Class);
        }
        let code: u16 = text.parse().ok().filter(|_| text.len() == 3)?;
        Self::of_code(code.into())
    }

    pub fn of_code(code: u64) -> Option<Self> {
        u16::try_from(code).ok().filter(|code| (100..=599).contains(code)).map(Self::Code)
    }

    /// `last`: of a delivery with so many attempts.
    pub fn fits(self, last: Option<u16>, attempts: u32) -> bool {
        match (self, last) {
            (Self::Code(code), Some(last)) => code == last,
            (Self::Class(class), Some(last)) => last / 100 == u16::from(class),
            (Self::None, None) => attempts > 0,
            (Self::Code(_) | Self::Class(_), None) | (Self::None, Some(_)) => false,
        }
    }
}

impl fmt::Display for HttpStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code}"),
            Self::Class(class) => write!(f, "{class}xx"),
            Self::None => f.write_str("none"),
        }
    }
}

impl From<HttpStatus> for String {
    fn from(status: HttpStatus) -> Self {
        status.to_string()
    }
}

impl TryFrom<String> for HttpStatus {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text} is no HTTP status"))
    }
}
