//! The real binary, from its start to its end, as a shell sees it.
#![cfg(unix)]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};

struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
    url: String,
}

fn dacapo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dacapo"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DACAPO_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn serve(data_dir: &Path) -> Command {
    let mut command = dacapo(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("DACAPO_DATA_DIR", data_dir);
    command
}

fn ends(mut command: Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Running {
    fn start(data_dir: &Path) -> Self {
        let mut child = serve(data_dir).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut running = Self { child, log, url: String::new() };
        running.wait_for("ready");
        running.url = json(&data_dir.join("listening.json"))["url"].as_str().unwrap().to_owned();
        running
    }

    /// Until a line of the log has `words`; the process's end is a failure.
    fn wait_for(&mut self, words: &str) {
        let mut seen = String::new();
        while !seen.lines().last().is_some_and(|line| line.contains(words)) {
            assert!(self.log.read_line(&mut seen).unwrap() > 0, "no {words:?} in\n{seen}");
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.trim_start_matches("http://")).unwrap()
    }

    fn get(&self, path: &str, authorization: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// How it ended, and what it had printed.
    fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        let mut printed = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        (status, printed)
    }

    fn stop(self) -> String {
        self.terminate();
        let (status, printed) = self.end();
        assert_eq!(status.code(), Some(0));
        printed
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_first_start_makes_keys_that_work_and_the_second_one_keeps_them() {
    let parent = tempfile::tempdir().unwrap();
    let data_dir = parent.path().join("data");
    let running = Running::start(&data_dir);
    let path = data_dir.join("first-run.json");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let first = json(&path);
    let field = |name: &str| first[name].as_str().unwrap().to_owned();
    assert_eq!(field("url"), running.url);
    let endpoints = format!("/api/v1/projects/{}/endpoints", field("project_id"));
    let answer = running.get(&endpoints, &format!("Bearer {}", field("api_key")));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = running.get("/connect/v1/events", &field("connect_key"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let printed = running.stop();
    for name in ["url", "project_id", "api_key", "connect_key", "admin_email", "admin_password"] {
        assert!(printed.contains(&field(name)), "{name} is missing in\n{printed}");
    }
    assert!(!data_dir.join("listening.json").exists());

    let running = Running::start(&data_dir);
    assert!(running.get(&endpoints, &format!("Bearer {}", field("api_key"))).starts_with("HTTP/1.1 200"));
    let second = json(&path);
    assert_eq!((&second["api_key"], &second["url"]), (&first["api_key"], &Value::from(running.url.clone())));
    let printed = running.stop();
    assert!(printed.contains("first-run.json") && !printed.contains(&field("api_key")), "{printed}");
}

#[test]
fn a_second_process_is_kept_off_the_data_directory() {
    let data_dir = tempfile::tempdir().unwrap();
    let running = Running::start(data_dir.path());
    let listening = json(&data_dir.path().join("listening.json"));
    let other = ends(serve(data_dir.path()));
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("in use by another process"), "{}", text(&other.stderr));
    assert_eq!(json(&data_dir.path().join("listening.json")), listening);
    running.stop();
}

#[test]
fn a_second_signal_ends_at_once() {
    let data_dir = tempfile::tempdir().unwrap();
    let mut running = Running::start(data_dir.path());
    // A request that does not come to its end holds the first signal's drain up.
    let mut unfinished = running.connect();
    write!(unfinished, "POST /connect/v1/events HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n")
        .unwrap();
    let key = json(&data_dir.path().join("first-run.json"))["connect_key"].as_str().unwrap().to_owned();
    write!(unfinished, "authorization: {key}\r\ncontent-type: application/json\r\n\r\n").unwrap();
    // "100 Continue": the handler is reading the body.
    let mut head = [0; 12];
    unfinished.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 100");
    running.terminate();
    running.wait_for("stopping");
    running.terminate();
    let (status, _) = running.end();
    assert_eq!((status.code(), status.signal()), (Some(143), None));
}

#[test]
fn what_cannot_be_used_is_said_in_one_message() {
    let output = ends(dacapo(&["serve", "--listen", "somewhere", "--retention", "never"]));
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains(r#"listen = "somewhere" (from --listen); allowed: an IP address with a port"#), "{said}");
    assert!(said.contains(r#"retention = "never" (from --retention); allowed: a time"#), "{said}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data_dir = tempfile::tempdir().unwrap();
    let mut command = dacapo(&["serve", "--listen", &address]);
    command.arg("--data-dir").arg(data_dir.path());
    let output = ends(command);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(&format!("cannot listen on {address}: Address already in use")), "{said}");
}

#[test]
fn the_configuration_in_force_names_its_sources() {
    let mut command = dacapo(&["config", "--listen", "1.2.3.4:5"]);
    command.env("DACAPO_RETENTION", "7d");
    let output = ends(command);
    assert!(output.status.success());
    let shown = text(&output.stdout);
    assert!(shown.lines().any(|line| line.starts_with("listen ") && line.ends_with("--listen")), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("retention ") && line.ends_with("DACAPO_RETENTION")), "{shown}");
}
