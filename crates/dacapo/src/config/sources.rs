//! Who may say what an option is, and who said it: defaults < file < environment < flags.

use super::table::{ROWS, Row};
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Tag, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};
use std::collections::BTreeMap;
use std::path::Path;

const FLAG: &str = "flag";
const ENVIRONMENT: &str = "environment";
const DEFAULT: &str = "default";
const FILE: &str = "file";

/// What was given on the command line, by key.
pub type Flags = BTreeMap<&'static str, Vec<String>>;

/// The texts of some options, from one place.
struct Texts {
    place: &'static str,
    texts: BTreeMap<&'static str, Vec<String>>,
}

impl Provider for Texts {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let texts = self.texts.iter().map(|(key, texts)| ((*key).to_owned(), Value::from(texts.clone())));
        Ok(Map::from([(Profile::Default, texts.collect())]))
    }
}

/// All sources, one over the other.
pub struct Sources {
    figment: Figment,
    file: Option<String>,
}

/// The value that counts for one option.
pub struct Found {
    pub texts: Vec<String>,
    /// `default`, `--flag`, `DACAPO_VARIABLE` or `file.toml: key`.
    pub origin: String,
}

impl Sources {
    /// `environment`: what `DACAPO_…` variables there are. A file that is named must be there.
    pub fn new(file: Option<&Path>, environment: &BTreeMap<String, String>, flags: &Flags) -> Result<Self, String> {
        let defaults = ROWS.iter().filter(|row| !row.default.is_empty());
        let defaults = defaults.map(|row| (row.key, vec![row.default.to_owned()])).collect();
        let variables = ROWS.iter().filter_map(|row| environment.get(&row.variable()).map(|text| (row.key, text)));
        let variables = variables.map(|(key, text)| (key, vec![text.clone()])).collect();

        let mut figment = Figment::from(Texts { place: DEFAULT, texts: defaults });
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let toml = Figment::from(NamedFile(Toml::string(&text)));
            // Reads it now, so that a syntax error is this file's.
            toml.data().map_err(|error| format!("{}: {}", path.display(), error.kind))?;
            figment = figment.merge(NamedFile(Toml::string(&text)));
        }
        let figment = figment
            .merge(Texts { place: ENVIRONMENT, texts: variables })
            .merge(Texts { place: FLAG, texts: flags.clone() });
        Ok(Self { figment, file: file.map(|path| path.display().to_string()) })
    }

    /// Keys that no option has, with where they stand.
    pub fn unknown(&self) -> Vec<(String, String)> {
        let Ok(all) = self.figment.data() else { return Vec::new() };
        let keys = all.into_values().flatten();
        keys.filter(|(key, _)| !ROWS.iter().any(|row| row.key == key))
            .map(|(key, value)| (self.origin(value.tag(), &key, &key), key))
            .map(|(origin, key)| (key, origin))
            .collect()
    }

    pub fn find(&self, row: &Row) -> Option<Found> {
        let value = self.figment.find_value(row.key).ok()?;
        let origin = self.origin(value.tag(), row.key, &row.flag());
        Some(Found { texts: texts(&value), origin })
    }

    fn origin(&self, tag: Tag, key: &str, flag: &str) -> String {
        match self.figment.get_metadata(tag).map(|metadata| metadata.name.as_ref()) {
            Some(FLAG) => format!("--{flag}"),
            Some(ENVIRONMENT) => format!("DACAPO_{}", key.to_uppercase()),
            Some(FILE) => format!("{}: {key}", self.file.as_deref().unwrap_or(FILE)),
            _ => DEFAULT.to_owned(),
        }
    }
}

/// TOML under a name of ours, so that its values can be told from others.
struct NamedFile<P>(P);

impl<P: Provider> Provider for NamedFile<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(FILE)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        self.0.data()
    }
}

/// Numbers and truth values as they are written; tables never match what an option allows.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(_, values) => values.iter().flat_map(texts).collect(),
        other => vec![text(other)],
    }
}

fn text(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    match value {
        Value::Bool(_, value) => value.to_string(),
        Value::Num(_, number) => number
            .to_i128()
            .map(|number| number.to_string())
            .or_else(|| number.to_u128().map(|number| number.to_string()))
            .or_else(|| number.to_f64().map(|number| number.to_string()))
            .unwrap_or_default(),
        Value::Dict(..) => "(a table)".to_owned(),
        _ => String::new(),
    }
}
