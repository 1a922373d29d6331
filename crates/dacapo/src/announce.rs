//! What a start says to the person at the terminal. Lines that are meant to be pasted stand alone,
//! without a frame around them.

use crate::first_run::{self, FirstRun, Start};
use std::fmt::Write;
use std::path::Path;

const WIDTH: usize = 78;
/// The secret of the endpoint that the quick start makes.
const QUICK_START_SECRET: &str = "quick-start";
/// Where `dacapo listen` listens by default.
const RECEIVER: &str = "http://127.0.0.1:9000/";

pub struct Announcement<'a> {
    /// How this program was called.
    pub program: &'a str,
    pub url: &'a str,
    pub data_dir: &'a Path,
    /// Whether deliveries may go to this machine.
    pub loopback_allowed: bool,
}

impl Announcement<'_> {
    pub fn text(&self, start: &Start) -> String {
        let mut out = String::new();
        let rule = "─".repeat(WIDTH);
        let version = env!("CARGO_PKG_VERSION");
        let _ = writeln!(out, "{rule}\n  Dacapo {version} is ready at {}\n", self.url);
        match start {
            Start::First(made) => self.first(made, &mut out),
            Start::Later { file_exists } => self.later(*file_exists, &mut out),
        }
        let _ = writeln!(out, "{rule}");
        out
    }

    fn first(&self, made: &FirstRun, out: &mut String) {
        let file = first_run::path(self.data_dir);
        let _ = write!(
            out,
            "  Admin        {} / {}\n  Project      default, {}\n  API key      {}\n  Connect key  {}\n\n\
             \x20 Shown this once, and kept in {} for you alone.\n\n",
            made.admin_email,
            made.admin_password,
            made.project_id,
            made.api_key,
            made.connect_key,
            file.display(),
        );
        if self.loopback_allowed {
            self.first_delivery(made, out);
        } else {
            self.first_look(made, out);
        }
    }

    fn first_delivery(&self, made: &FirstRun, out: &mut String) {
        let base = format!("{}/api/v1/projects/{}", self.url, made.project_id);
        let head = format!("-H 'Authorization: Bearer {}' -H 'Content-Type: application/json'", made.api_key);
        let _ = write!(
            out,
            "  Deliveries to this machine are allowed (--allow-network 127.0.0.0/8). Try one:\n\
             \x20 a receiver in a second terminal\n\n\
             {program} listen --secret {QUICK_START_SECRET}\n\n\
             \x20 and in a third an endpoint for it, with a first event\n\n\
             endpoint=$(curl -fsS {base}/endpoints \\\n  {head} \\\n  \
             -d '{{\"name\":\"local\",\"url\":\"{RECEIVER}\",\"secret\":\"{QUICK_START_SECRET}\"}}' \\\n  \
             | grep -o '\"uid\":\"[^\"]*\"' | head -n 1 | cut -d '\"' -f 4)\n\
             curl -fsS -w '\\n' {base}/events \\\n  {head} \\\n  \
             -d '{{\"endpoint_id\":\"'$endpoint'\",\"event_type\":\"hello.world\",\"data\":{{\"n\":1}}}}'\n\n",
            program = self.program,
        );
    }

    fn first_look(&self, made: &FirstRun, out: &mut String) {
        let _ = write!(
            out,
            "  Deliveries go to public addresses only. To try it on this machine, start with\n\
             \x20 --allow-network 127.0.0.0/8. A first call:\n\n\
             curl -fsS {}/api/v1/projects/{}/endpoints -H 'Authorization: Bearer {}'\n\n",
            self.url, made.project_id, made.api_key,
        );
    }

    fn later(&self, file_exists: bool, out: &mut String) {
        let file = first_run::path(self.data_dir);
        if file_exists {
            let _ = writeln!(out, "  The keys of the first start are in {}", file.display());
            return;
        }
        let _ = writeln!(
            out,
            "  This store was set up before; {} is not there any more.\n  \
             Keys cannot be shown twice. To start over: stop, move {} away, start.",
            file.display(),
            self.data_dir.display(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> FirstRun {
        FirstRun {
            url: "http://127.0.0.1:5005".to_owned(),
            organisation_id: "01ORG".to_owned(),
            project_id: "01PRO".to_owned(),
            api_key: "CO.mask.secret".to_owned(),
            connect_key: "sk_live_1".to_owned(),
            admin_email: "a@b".to_owned(),
            admin_password: "pass".to_owned(),
        }
    }

    fn announce(start: &Start, loopback_allowed: bool) -> String {
        let url = "http://127.0.0.1:5005";
        Announcement { program: "./dacapo", url, data_dir: Path::new("d"), loopback_allowed }.text(start)
    }

    #[test]
    fn the_first_start_shows_everything_and_a_later_one_no_secret() {
        let text = announce(&Start::First(made()), true);
        for expected in
            ["http://127.0.0.1:5005", "01PRO", "CO.mask.secret", "sk_live_1", "a@b / pass", "d/first-run.json"]
        {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
        let text = announce(&Start::Later { file_exists: true }, true);
        assert!(text.contains("d/first-run.json") && !text.contains("CO."), "{text}");
    }

    #[test]
    fn lines_to_paste_stand_at_the_margin() {
        for (allowed, lines) in
            [(true, ["./dacapo listen", "endpoint=$(curl", "curl -fsS "].as_slice()), (false, &["curl -fsS "])]
        {
            let text = announce(&Start::First(made()), allowed);
            for line in lines {
                assert!(text.lines().any(|candidate| candidate.starts_with(line)), "{line} in\n{text}");
            }
        }
    }
}
