//! Processes and files as another user, where we are root.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to answer a knock.
const KNOCK_TIME: Duration = Duration::from_secs(2);
/// How long one may take to end.
const END_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|answer| answer.stdout.trim_ascii() == b"0")
}

/// `program`, as `uid` where we are root. `setpriv` replaces itself by it, so the child is the server.
pub fn as_user(program: &Path, uid: u32, directory: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        let id = uid.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // Neither a locale nor a PGDATA of the caller's; and a directory it may enter.
    command.env_remove("PGDATA").env("LC_ALL", "C").current_dir(directory);
    command
}

pub fn hand_over(directory: &Path, uid: u32) {
    if is_root() {
        let done = Command::new("chown").arg(format!("{uid}:{uid}")).arg(directory).status();
        assert!(done.is_ok_and(|status| status.success()), "cannot hand {} over", directory.display());
    }
}

pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([format!("-{name}"), pid.to_string()]).stderr(Stdio::null()).status();
}

/// Whether a server's process still has files of `data_dir` open. Linux only; elsewhere `false`.
pub fn any_child_of(data_dir: &Path) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    processes.flatten().any(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data_dir))
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, in tests, on a thread of the test's own")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Says who we are (protocol 3.0) and whether that was taken (`R`): a server that is still starting
/// or recovering answers `E`.
pub fn says_ready(stream: std::io::Result<TcpStream>, user: &str) -> bool {
    let knock = || -> std::io::Result<bool> {
        let mut stream = stream?;
        stream.set_read_timeout(Some(KNOCK_TIME))?;
        let mut body = 196_608u32.to_be_bytes().to_vec();
        for text in ["user", user, "database", "postgres", ""] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        stream.write_all(&length.to_be_bytes())?;
        stream.write_all(&body)?;
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        Ok(kind == *b"R")
    };
    knock().unwrap_or(false)
}

/// Where a program is: in the `PATH`, or where distributions keep those of servers.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(others).map(|directory| directory.join(name)).find(|program| program.is_file())
}

pub fn takes_connections(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// SIGTERM; what does not heed it is killed.
pub fn end(process: &mut Child) {
    signal(process.id(), "TERM");
    let deadline = Instant::now() + END_WITHIN;
    while matches!(process.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            let _ = process.kill();
        }
        pause(LOOK_EVERY);
    }
}
