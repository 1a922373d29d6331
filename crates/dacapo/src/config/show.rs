//! The configuration as text: what is in force, and the reference page.

use super::sources::Sources;
use super::table::ROWS;
use super::values::without_password;
use std::fmt::Write;

/// One line an option: value and origin, without secrets.
pub fn effective(sources: &Sources) -> String {
    let mut out = String::new();
    for row in ROWS {
        let found = sources.find(row);
        let (value, origin) = match &found {
            Some(found) => (without_password(&found.texts.join(", ")), found.origin.as_str()),
            None => (String::new(), "default"),
        };
        let value = if value.is_empty() { "(not set)" } else { &value };
        let _ = writeln!(out, "{:<24} {value:<24} {origin}", row.key);
    }
    out
}

/// `docs/configuration.md`, whole.
pub fn markdown() -> String {
    let mut out = String::from(HEAD);
    for row in ROWS {
        let default = if row.default.is_empty() { "not set".to_owned() } else { format!("`{}`", row.default) };
        let _ = write!(
            out,
            "\n### `{key}`\n\n{about}.\n\n| flag | environment | file | default |\n|---|---|---|---|\n\
             | `--{flag} {placeholder}` | `{variable}` | `{key}` | {default} |\n\nAllowed: {allowed}.\n",
            key = row.key,
            about = row.about,
            flag = row.flag(),
            placeholder = row.placeholder,
            variable = row.variable(),
            allowed = row.allowed,
        );
    }
    out
}

const HEAD: &str = "\
# Configuration

<!-- Made by `dacapo config --markdown` from crates/dacapo/src/config/table.rs. Do not edit by hand: `make docs`. -->

Every option can be given as a flag, as an environment variable and in a TOML file. A flag beats the
environment, the environment beats the file, the file beats the default. The file is named with
`--config FILE` or `DACAPO_CONFIG`; a key in it that is no option is an error, and so is a value that is not
allowed: Dacapo then says which, where it came from and what is allowed, and does not start.

`dacapo config` prints what is in force and where each value came from.

```toml
# dacapo.toml
listen = \"0.0.0.0:5005\"
data_dir = \"/var/lib/dacapo\"
allow_network = [\"10.0.0.0/8\"]
retention = \"30d\"
```

## Options
";

#[cfg(test)]
mod tests {
    /// `make docs` writes it.
    #[test]
    fn the_reference_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == super::markdown(), "docs/configuration.md is out of date: run `make docs`");
    }
}
