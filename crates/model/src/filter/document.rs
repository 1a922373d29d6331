//! A payload as filters see it (contracts/convoy.md §4.4, flattening rules), without flattening it:
//! parts are read when a filter asks for them, each at most once, and as deep as its keys go.

use super::path::{Path, WILDCARD};
use super::scalar::{Number, Scalar};
use crate::json::decode;
use std::borrow::Cow;
use std::cell::OnceCell;

/// What a key can lead to. Objects with keys, arrays of objects, arrays of arrays and arrays of
/// values of several types are no leaves: such a key counts as absent.
#[derive(Clone, Copy, Debug)]
pub enum Leaf<'d> {
    Scalar(&'d Scalar<'d>),
    /// Of one type; empty ones, too.
    List(&'d [Scalar<'d>]),
    EmptyObject,
}

#[derive(Debug)]
pub struct Document<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    Json {
        root: Node<'a>,
        rules: Rules,
    },
    /// Names are whole: dots in them separate nothing.
    Pairs {
        pairs: Vec<(Cow<'a, str>, Vec<Scalar<'a>>)>,
        rules: Rules,
    },
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    /// Letter case counts in names.
    exact_names: bool,
    /// `$` stands for any position.
    wildcards: bool,
}

const BODY: Rules = Rules { exact_names: true, wildcards: true };
const HEADERS: Rules = Rules { exact_names: false, wildcards: false };
const PARAMETERS: Rules = Rules { exact_names: true, wildcards: false };

/// Gets leaf after leaf until it says `true`.
type Visitor<'v, 'd> = &'v mut dyn FnMut(Leaf<'d>) -> bool;

impl<'a> Document<'a> {
    /// `text`: JSON. What is none has no keys.
    pub fn body(text: &'a [u8]) -> Self {
        Self::json(text, BODY)
    }

    /// Headers given as a JSON object.
    pub fn headers_json(text: &'a [u8]) -> Self {
        Self::json(text, HEADERS)
    }

    /// Query parameters or a path given as a JSON object.
    pub fn parameters_json(text: &'a [u8]) -> Self {
        Self::json(text, PARAMETERS)
    }

    fn json(text: &'a [u8], rules: Rules) -> Self {
        let text = std::str::from_utf8(text).unwrap_or_default().trim_ascii();
        Self(Source::Json { root: Node::new(text), rules })
    }

    /// Of several with one name the first counts. Names match in any letter case.
    pub fn headers(lines: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let single = |(name, value)| (Cow::Borrowed(name), vec![Scalar::Text(Cow::Borrowed(value))]);
        Self(Source::Pairs { pairs: lines.into_iter().map(single).collect(), rules: HEADERS })
    }

    /// A raw query string. A name that is given several times is a list.
    pub fn query(text: &'a str) -> Self {
        let mut pairs: Vec<(Cow<'a, str>, Vec<Scalar<'a>>)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            match pairs.iter_mut().find(|(held, _)| *held == name) {
                Some((_, values)) => values.push(Scalar::Text(value)),
                None => pairs.push((name, vec![Scalar::Text(value)])),
            }
        }
        Self(Source::Pairs { pairs, rules: PARAMETERS })
    }

    /// `{"path": …}`; nothing when empty.
    pub fn path(text: &'a str) -> Self {
        let pair = (Cow::Borrowed("path"), vec![Scalar::Text(Cow::Borrowed(text))]);
        Self(Source::Pairs { pairs: if text.is_empty() { Vec::new() } else { vec![pair] }, rules: PARAMETERS })
    }

    /// `path` has no wildcards.
    pub(super) fn find<'d>(&'d self, path: &Path) -> Option<Leaf<'d>> {
        match &self.0 {
            Source::Json { root, rules } => {
                let mut found = None;
                root.visit(path.as_str(), *rules, &mut |leaf| {
                    found = Some(leaf);
                    true
                });
                found
            }
            Source::Pairs { pairs, rules } => {
                let (_, values) = pairs.iter().find(|(name, _)| rules.same(name, path.as_str()))?;
                Some(match values.as_slice() {
                    [single] => Leaf::Scalar(single),
                    several => Leaf::List(several),
                })
            }
        }
    }

    /// Everything `path` leads to.
    pub(super) fn each<'d>(&'d self, path: &Path, visitor: Visitor<'_, 'd>) {
        if let Source::Json { root, rules: rules @ Rules { wildcards: true, .. } } = &self.0 {
            root.visit(path.as_str(), *rules, visitor);
        }
    }
}

impl Rules {
    fn same(self, name: &str, wanted: &str) -> bool {
        if self.exact_names { name == wanted } else { name.eq_ignore_ascii_case(wanted) }
    }

    /// What is left of `path` after `name`: `Some("")` at its end, else without the dot.
    fn after<'p>(self, path: &'p str, name: &str) -> Option<(&'p str, bool)> {
        let start = path.get(..name.len()).filter(|start| self.same(name, start))?;
        let rest = &path[start.len()..];
        if rest.is_empty() { Some(("", true)) } else { rest.strip_prefix('.').map(|rest| (rest, false)) }
    }
}

#[derive(Debug)]
struct Node<'a> {
    /// One JSON value without white space around it.
    text: &'a str,
    parsed: OnceCell<Parsed<'a>>,
}

#[derive(Debug)]
enum Parsed<'a> {
    Scalar(Scalar<'a>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    List(Vec<Scalar<'a>>),
    /// The objects of an array, with their positions, rising.
    Items(Vec<(usize, Node<'a>)>),
    /// Not JSON.
    Nothing,
}

impl<'a> Node<'a> {
    const fn new(text: &'a str) -> Self {
        Self { text, parsed: OnceCell::new() }
    }

    fn parsed(&self) -> &Parsed<'a> {
        self.parsed.get_or_init(|| parse(self.text))
    }

    /// Whether the visitor said it has seen enough.
    fn visit<'d>(&'d self, path: &str, rules: Rules, visitor: Visitor<'_, 'd>) -> bool {
        match self.parsed() {
            Parsed::Object(fields) => visit_fields(fields, path, rules, visitor),
            Parsed::Items(items) => visit_items(items, path, rules, visitor),
            Parsed::Scalar(_) | Parsed::List(_) | Parsed::Nothing => false,
        }
    }

    fn leaf(&self) -> Option<Leaf<'_>> {
        match self.parsed() {
            Parsed::Scalar(scalar) => Some(Leaf::Scalar(scalar)),
            Parsed::List(list) => Some(Leaf::List(list)),
            Parsed::Object(fields) if fields.is_empty() => Some(Leaf::EmptyObject),
            Parsed::Object(_) | Parsed::Items(_) | Parsed::Nothing => None,
        }
    }

    fn reach<'d>(&'d self, path: &str, at_end: bool, rules: Rules, visitor: Visitor<'_, 'd>) -> bool {
        if at_end { self.leaf().is_some_and(visitor) } else { self.visit(path, rules, visitor) }
    }
}

/// From the last field to the first: of several with the same key the last counts. A key may hold
/// dots, so several may lead on: `{"a":{"b":1},"a.b":2}`.
fn visit_fields<'d>(
    fields: &'d [(Cow<'_, str>, Node<'_>)],
    path: &str,
    rules: Rules,
    visitor: Visitor<'_, 'd>,
) -> bool {
    // At most one an end of a name in the path, however many fields there are.
    let mut lengths_seen = Vec::new();
    for (name, node) in fields.iter().rev() {
        let Some((rest, at_end)) = rules.after(path, name) else { continue };
        if lengths_seen.contains(&name.len()) {
            continue;
        }
        lengths_seen.push(name.len());
        if node.reach(rest, at_end, rules, visitor) {
            return true;
        }
    }
    false
}

fn visit_items<'d>(items: &'d [(usize, Node<'_>)], path: &str, rules: Rules, visitor: Visitor<'_, 'd>) -> bool {
    let (segment, rest, at_end) = match path.split_once('.') {
        Some((segment, rest)) => (segment, rest, false),
        None => (path, "", true),
    };
    if segment == WILDCARD {
        return items.iter().any(|(_, node)| node.reach(rest, at_end, rules, visitor));
    }
    let Some(position) = position(segment) else { return false };
    let found = items.binary_search_by_key(&position, |(held, _)| *held);
    found.is_ok_and(|at| items[at].1.reach(rest, at_end, rules, visitor))
}

/// As flattening would write it: no sign, no leading zeros.
fn position(segment: &str) -> Option<usize> {
    let plain = segment == "0" || segment.starts_with(|c: char| matches!(c, '1'..='9'));
    plain.then(|| segment.parse().ok())?
}

fn parse(text: &str) -> Parsed<'_> {
    match text.as_bytes().first() {
        Some(b'{') => match decode::fields(text) {
            Some(fields) => {
                Parsed::Object(fields.into_iter().map(|(name, value)| (name, Node::new(value.get()))).collect())
            }
            None => Parsed::Nothing,
        },
        Some(b'[') => decode::items(text).map_or(Parsed::Nothing, |items| {
            array(&items.into_iter().map(serde_json::value::RawValue::get).collect::<Vec<_>>())
        }),
        _ => scalar(text).map_or(Parsed::Nothing, Parsed::Scalar),
    }
}

/// A list when all are values of one type; otherwise only objects survive.
fn array<'a>(items: &[&'a str]) -> Parsed<'a> {
    let objects: Vec<_> = (0..).zip(items).filter(|(_, text)| text.starts_with('{')).collect();
    if !objects.is_empty() {
        return Parsed::Items(objects.into_iter().map(|(position, text)| (position, Node::new(text))).collect());
    }
    let mut list: Vec<Scalar<'a>> = Vec::with_capacity(items.len());
    for text in items {
        match scalar(text) {
            Some(value) if list.last().is_none_or(|last| last.same_type(&value)) => list.push(value),
            _ => return Parsed::Items(Vec::new()),
        }
    }
    Parsed::List(list)
}

fn scalar(text: &str) -> Option<Scalar<'_>> {
    Some(match text.as_bytes().first()? {
        b'"' => Scalar::Text(decode::string(text)?),
        b't' => Scalar::Bool(true),
        b'f' => Scalar::Bool(false),
        b'n' => Scalar::Null,
        b'-' | b'0'..=b'9' => Scalar::Number(Number::of_json(text)),
        _ => return None,
    })
}
