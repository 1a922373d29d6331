//! What the kernel knows of a process, and what the machine itself can do.

use anyhow::{Context, Result};
use std::io::{Seek, Write};
use std::path::Path;
use std::time::Instant;

/// CPU time of all its threads so far, user and system, microseconds. Its grain is a clock tick, 10 ms.
pub fn cpu_us(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("process is gone")?;
    // The name, in parentheses, may hold anything; fields count from after it.
    let fields = stat.rsplit_once(')').context("stat: no name")?.1;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || -> Result<u64> { Ok(fields.next().context("stat: too short")?.parse()?) };
    let total = ticks()? + ticks()?;
    Ok(total * 1_000_000 / rustix::param::clock_ticks_per_second())
}

/// The same of a process and all below it, with what those that have ended used while it waited for them: a server
/// that works in processes of its own.
pub fn family_cpu_us(pid: u32) -> Result<u64> {
    let mut ticks = 0;
    for member in family(pid)? {
        let stat = std::fs::read_to_string(format!("/proc/{member}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        // utime, stime, cutime, cstime
        ticks +=
            fields.split_ascii_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    }
    Ok(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
}

/// Bytes a process and all below it have written to files. (`write_bytes` says less than it seems to: a page cache of
/// large folios counts all of one for any byte of it.)
pub fn family_written_bytes(pid: u32) -> Result<u64> {
    let written = |member: u32| {
        let io = std::fs::read_to_string(format!("/proc/{member}/io")).ok()?;
        io.lines().find_map(|line| line.strip_prefix("wchar:")?.trim().parse::<u64>().ok())
    };
    Ok(family(pid)?.into_iter().filter_map(written).sum())
}

/// Proportional set size of a process and all below it, bytes.
pub fn family_pss_bytes(pid: u32) -> Result<u64> {
    Ok(family(pid)?.into_iter().filter_map(|member| pss_bytes(member).ok()).sum())
}

/// A process and its children.
fn family(pid: u32) -> Result<Vec<u32>> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).context("process is gone")?;
    Ok(std::iter::once(pid).chain(children.split_ascii_whitespace().filter_map(|child| child.parse().ok())).collect())
}

/// Proportional set size now, bytes: what the process costs the machine.
pub fn pss_bytes(pid: u32) -> Result<u64> {
    kilobytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// Largest resident size so far, bytes.
pub fn peak_resident_bytes(pid: u32) -> Result<u64> {
    kilobytes(&format!("/proc/{pid}/status"), "VmHWM:")
}

fn kilobytes(path: &str, key: &str) -> Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("{path}: no {key}"))?;
    let number: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(number * 1024)
}

/// Appends measured by `fdatasync_us`.
const SYNC_ROUNDS: usize = 200;
/// One page, as the store's log would append.
const SYNC_BYTES: usize = 4096;

/// Median time of one small append with fdatasync in this directory, microseconds.
pub fn fdatasync_us(dir: &Path) -> Result<f64> {
    let path = dir.join("fdatasync-probe");
    let mut file = std::fs::File::create(&path)?;
    let page = [7_u8; SYNC_BYTES];
    // Written once before, as the store's log is: what is measured is the flush, not the growing of a file.
    for _ in 0..SYNC_ROUNDS {
        file.write_all(&page)?;
    }
    file.sync_all()?;
    file.rewind()?;
    let mut times = Vec::with_capacity(SYNC_ROUNDS);
    for _ in 0..SYNC_ROUNDS {
        let start = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    std::fs::remove_file(&path)?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The processor's own name, where the kernel tells it.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    name.map_or_else(|| "unknown processor".to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_this_process() {
        let pid = std::process::id();
        assert!(pss_bytes(pid).unwrap() > 100_000);
        assert!(peak_resident_bytes(pid).unwrap() > 100_000);
        let before = cpu_us(pid).unwrap();
        let start = Instant::now();
        while start.elapsed().as_millis() < 60 {
            std::hint::spin_loop();
        }
        assert!(cpu_us(pid).unwrap() > before);
    }

    #[test]
    fn counts_what_children_used_that_are_gone() {
        let own = family_cpu_us(std::process::id()).unwrap();
        let spun =
            std::process::Command::new("sh").args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]).status();
        assert!(spun.unwrap().success());
        assert!(family_cpu_us(std::process::id()).unwrap() > own);
    }

    #[test]
    fn measures_a_sync() {
        assert!(fdatasync_us(&std::env::temp_dir()).unwrap() > 0.0);
    }
}
