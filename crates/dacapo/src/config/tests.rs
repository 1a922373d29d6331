//! Layers, origins and what is said about a bad value.

use super::*;
use std::io::Write;

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn flags(pairs: &[(&'static str, &str)]) -> Flags {
    pairs.iter().map(|(key, value)| (*key, vec![(*value).to_owned()])).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load(text: &str, environment: &[(&str, &str)], given: &[(&'static str, &str)]) -> Result<Config, Problems> {
    let file = file(text);
    Config::from_sources(&gather(Some(file.path()), &variables(environment), &flags(given))?)
}

fn problem(text: &str, environment: &[(&str, &str)], given: &[(&'static str, &str)]) -> String {
    load(text, environment, given).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_a_whole_configuration() {
    let config = Config::from_sources(&gather(None, &variables(&[]), &Flags::new()).unwrap()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:5005");
    assert_eq!(config.data_dir, Path::new("./dacapo-data"));
    assert_eq!((config.retention, config.drain_timeout), (None, Duration::from_secs(30)));
    assert_eq!((config.body_bytes_max, config.response_body_bytes_max), (16 << 20, 51_200));
    assert_eq!((config.lane_concurrency_max, config.lane_window_max, config.exchanges_max), (64, 8_192, 2_048));
    assert!(config.allow_networks.is_empty() && config.public_url.is_none() && !config.log_json);
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
    let text = "listen = '1.1.1.1:1'\nlog_level = 'warn'\nlane_window_max = 7\nretention = '30d'";
    let environment = [("DACAPO_LISTEN", "2.2.2.2:2"), ("DACAPO_LOG_LEVEL", "error")];
    let config = load(text, &environment, &[("listen", "3.3.3.3:3")]).unwrap();
    assert_eq!(config.listen.to_string(), "3.3.3.3:3");
    assert_eq!(config.log_level, "error");
    assert_eq!(config.lane_window_max, 7);
    assert_eq!(config.retention, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(config.exchanges_max, 2_048);
}

#[test]
fn networks_are_a_list_in_the_file_and_have_commas_in_the_environment() {
    let in_file = load("allow_network = ['10.0.0.0/8', '127.0.0.1']", &[], &[]).unwrap();
    let in_environment = load("", &[("DACAPO_ALLOW_NETWORK", "10.0.0.0/8, 127.0.0.1")], &[]).unwrap();
    assert_eq!(in_file.allow_networks, in_environment.allow_networks);
    assert_eq!(in_file.allow_networks.len(), 2);
}

#[test]
fn a_bad_value_is_reported_with_key_value_origin_and_what_is_allowed() {
    let text = problem("", &[], &[("listen", "localhost")]);
    assert!(text.contains(r#"listen = "localhost" (from --listen); allowed: an IP address with a port"#), "{text}");
    let text = problem("", &[("DACAPO_LOG_FORMAT", "xml")], &[]);
    assert!(text.contains(r#"log_format = "xml" (from DACAPO_LOG_FORMAT); allowed: pretty or json"#), "{text}");
    let text = problem("exchanges_max = -4", &[], &[]);
    assert!(text.contains(r#"exchanges_max = "-4" (from "#) && text.contains(".toml: exchanges_max)"), "{text}");
    for bad in ["data_dir = ''", "retention = 30", "log_level = 'loud=very'", "listen = ['1.1.1.1:1', '2.2.2.2:2']"] {
        assert!(load(bad, &[], &[]).is_err(), "{bad}");
    }
}

#[test]
fn all_problems_are_said_at_once() {
    let text = problem("log_format = 'xml'\nlisten = 5", &[], &[("drain_timeout", "2h")]);
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn a_database_is_embedded_or_postgresql() {
    for embedded in ["sqlite:", "sqlite://", ""] {
        assert_eq!(load("", &[("DACAPO_DATABASE_URL", embedded)], &[]).unwrap().database_url, None);
    }
    let url = "postgres://me:secret@a:1,b:2/db?target_session_attrs=read-write";
    assert_eq!(load("", &[("DACAPO_DATABASE_URL", url)], &[]).unwrap().database_url.as_deref(), Some(url));
    let text = problem("", &[("DACAPO_DATABASE_URL", "postgres://me:secret@host/db?sslmode=perhaps")], &[]);
    assert!(text.contains("me:***@host") && text.contains("sslmode=verify-full"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn an_unknown_key_in_the_file_is_an_error_with_a_suggestion() {
    let text = problem("listn = '1.1.1.1:1'", &[], &[]);
    assert!(text.contains(r#""listn" is no option"#) && text.contains(r#"did you mean "listen"?"#), "{text}");
    let text = problem("data-dir = 'x'", &[], &[]);
    assert!(text.contains(r#"did you mean "data_dir"?"#), "{text}");
    let text = problem("colour = 'red'", &[], &[]);
    assert!(text.contains("lists them"), "{text}");
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_named() {
    let missing = gather(Some(Path::new("/nonexistent/dacapo.toml")), &variables(&[]), &Flags::new());
    assert!(missing.err().unwrap().to_string().contains("/nonexistent/dacapo.toml: "));
    assert!(problem("listen = ", &[], &[]).contains(".toml: "));
    let named = gather(None, &variables(&[(FILE_VARIABLE, "/nonexistent/other.toml")]), &Flags::new());
    assert!(named.is_err());
}

#[test]
fn the_effective_configuration_says_where_each_value_came_from() {
    let given = flags(&[("listen", "3.3.3.3:3")]);
    let sources = gather(None, &variables(&[("DACAPO_RETENTION", "7d")]), &given).unwrap();
    let shown = show::effective(&sources);
    let line =
        |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(line("listen"), ["listen", "3.3.3.3:3", "--listen"]);
    assert_eq!(line("retention"), ["retention", "7d", "DACAPO_RETENTION"]);
    assert_eq!(line("log_level"), ["log_level", "info", "default"]);
}
