//! Regular expressions of filters: RE2's language (contracts/convoy.md §4.4) on the `regex` crate,
//! which has the same guarantees (no look-around, no back-references, time linear in the text) and
//! nearly the same syntax. What differs is rewritten here.

use super::error::Fault;
use regex::{Regex, RegexBuilder};

/// Length of one expression as written.
pub const REGEX_BYTES_MAX: usize = 1024;
/// Size of one compiled expression, roughly; `(a{100}){100}` is beyond it.
pub const REGEX_PROGRAM_BYTES_MAX: usize = 256 * 1024;

pub fn compile(pattern: &str) -> Result<Regex, Fault> {
    if pattern.len() > REGEX_BYTES_MAX {
        return Err(Fault::RegexTooLarge);
    }
    let mut builder = RegexBuilder::new(&translate(pattern));
    builder.size_limit(REGEX_PROGRAM_BYTES_MAX).dfa_size_limit(REGEX_PROGRAM_BYTES_MAX);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => Fault::RegexTooLarge,
        // The last line says what is wrong; those before draw where.
        other => {
            let said = other.to_string();
            let last = said.lines().last().unwrap_or_default().trim();
            Fault::Regex(last.strip_prefix("error: ").unwrap_or(last).to_owned())
        }
    })
}

/// RE2's `\d`, `\s`, `\w` and `\b` are ASCII; `\<` and `\>` are the characters; within brackets `[`,
/// `&`, `~` and a second `-` are characters; `\Q…\E` quotes.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(first) = rest.chars().next() {
        let (taken, written) = match first {
            '\\' => {
                let (taken, written) = escape(rest, in_class);
                out.push_str(&written);
                (taken, String::new())
            }
            '[' if !in_class => {
                in_class = true;
                let opening = class_opening(rest);
                (opening.len(), opened(opening))
            }
            '[' if rest.starts_with("[:") && rest.contains(":]") => {
                let end = rest.find(":]").map_or(1, |at| at + 2);
                (end, rest[..end].to_owned())
            }
            '-' if in_class && rest.starts_with("--") => (2, "-\\-".to_owned()),
            '[' | '&' | '~' if in_class => (1, format!("\\{first}")),
            ']' if in_class => {
                in_class = false;
                (1, "]".to_owned())
            }
            other => (other.len_utf8(), other.to_string()),
        };
        out.push_str(&written);
        rest = &rest[taken..];
    }
    out
}

/// `[` or `[^`, and a `]` or `-` right behind: that one is a character.
fn class_opening(rest: &str) -> &str {
    let negated = 1 + usize::from(rest[1..].starts_with('^'));
    &rest[..negated + usize::from(rest[negated..].starts_with([']', '-']))]
}

fn opened(opening: &str) -> String {
    match opening.strip_suffix([']', '-']) {
        Some(bare) => format!("{bare}\\{}", &opening[bare.len()..]),
        None => opening.to_owned(),
    }
}

/// An escape at the start of `rest`: how much of it, and what stands for it.
fn escape(rest: &str, in_class: bool) -> (usize, String) {
    let Some(letter) = rest[1..].chars().next() else { return (1, "\\".to_owned()) };
    let plain = match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => "[\\t\\n\\f\\r ]",
        'S' => "[^\\t\\n\\f\\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        'b' if !in_class => "(?-u:\\b)",
        'B' if !in_class => "(?-u:\\B)",
        '<' | '>' => &rest[1..2],
        'Q' => {
            let quoted = rest[2..].split("\\E").next().unwrap_or_default();
            let closing = if rest[2..].len() > quoted.len() { 2 } else { 0 };
            return (2 + quoted.len() + closing, regex::escape(quoted));
        }
        other => return (1 + other.len_utf8(), rest[..1 + other.len_utf8()].to_owned()),
    };
    (2, plain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_re2s() {
        for (pattern, text, expected) in [
            ("^AB-", "AB-1", true),
            ("b", "abc", true),
            ("^\\d+$", "123", true),
            ("^\\d$", "\u{664}", false),
            ("^[\\d.]+$", "1.2", true),
            ("^[^\\w]$", "é", true),
            ("^\\w$", "é", false),
            ("\\bpaid\\b", "is paid.", true),
            ("\\bpaid", "épaid", true),
            ("^\\s$", "\u{b}", false),
            ("^\\<a\\>$", "<a>", true),
            ("^[[a]+$", "[a", true),
            ("^[]a]+$", "a]", true),
            ("^[^]a]$", "]", false),
            ("^[&&a]+$", "&a", true),
            ("^[+--]+$", "+,-", true),
            ("^[--/]+$", "-./", true),
            ("^[a-]+$", "a-", true),
            ("^[[:alpha:]]+$", "abc", true),
            ("^\\Qa.b\\E+$", "a.bb", true),
            ("^\\Qa.b", "axb", false),
            ("(?i)PAID", "paid", true),
            ("^.$", "é", true),
            ("a$", "a\n", false),
        ] {
            assert_eq!(compile(pattern).expect(pattern).is_match(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn what_is_not_regular_or_too_large_is_refused() {
        for pattern in ["(?=a)", "(?<!a)", "(a)\\1", "(", "[", "\\", "a**{", "\\Q", "[[:"] {
            // Whatever it says, it says it without a panic.
            let _ = compile(pattern);
        }
        for pattern in ["(?=a)", "(?<!a)", "(a)\\1", "(", "[", "\\"] {
            assert!(matches!(compile(pattern), Err(Fault::Regex(_))), "{pattern}");
        }
        for pattern in ["(a{100}){100}".to_owned(), "\\pL{1000}".to_owned(), "a".repeat(REGEX_BYTES_MAX + 1)] {
            assert!(matches!(compile(&pattern), Err(Fault::RegexTooLarge)), "{pattern}");
        }
    }
}
