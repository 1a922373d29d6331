//! What is wrong with the fields of a request (contracts/convoy.md §1.5).

use std::fmt;

/// One field that breaks one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's JSON name.
    pub field: &'static str,
    pub text: String,
}

/// Never empty when it is an error. Prints `field:text` joined by `, `.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    pub fn add(&mut self, field: &'static str, text: impl Into<String>) {
        self.0.push(Violation { field, text: text.into() });
    }

    /// Adds a violation when `text` is empty.
    pub fn require(&mut self, field: &'static str, value: &str, text: &'static str) {
        if value.is_empty() {
            self.add(field, text);
        }
    }

    /// `Err` when a rule was broken.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self(vec![violation])
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}:{}", violation.field, violation.text)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

/// What Convoy says of a required field that has no text of its own.
pub const NON_ZERO: &str = "non zero value required";

/// Good enough to catch a slip: something, one `@`, a host with a dot inside.
pub fn is_email(text: &str) -> bool {
    let Some((local, host)) = text.split_once('@') else {
        return false;
    };
    let host_is_plain = !host.contains('@') && !host.starts_with('.') && !host.ends_with('.') && host.contains('.');
    !local.is_empty() && host_is_plain && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// An HTTP token (RFC 9110 §5.6.2); otherwise where it stops being one.
pub fn token_fault(text: &str) -> Option<TokenFault> {
    if text.is_empty() {
        return Some(TokenFault::Empty);
    }
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    text.bytes().position(|byte| !is_token(byte)).map(TokenFault::At)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    Empty,
    /// The first byte that may not stand there.
    At(usize),
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::At(position) => {
                write!(f, "must be a valid HTTP header token: invalid character at position {position}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_read_as_one_line() {
        let mut found = Violations::default();
        found.require("name", "", "please provide your endpointName");
        found.require("url", "", "please provide a url for your endpoint");
        found.require("owner_id", "x", "never");
        let text = found.into_result().expect_err("two rules broken").to_string();
        assert_eq!(text, "name:please provide your endpointName, url:please provide a url for your endpoint");
    }

    #[test]
    fn emails() {
        for good in ["a@b.cd", "first.last+tag@sub.example.org"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "x", "@b.cd", "a@b", "a@.b", "a@b.", "a b@c.de", "a@b@c.de"] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn tokens_say_where_they_break() {
        assert_eq!(token_fault("X-My_Header.1"), None);
        assert_eq!(token_fault("X-A b"), Some(TokenFault::At(3)));
        assert_eq!(token_fault(""), Some(TokenFault::Empty));
    }
}
