//! What the machine is, for readers of figures: processor, cores, and how long its disk takes to sync.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of one append of the probe.
const APPEND_BYTES: usize = 4096;

/// How long a disk takes to make an append durable.
#[derive(Clone, Copy, Debug)]
pub struct SyncLatency {
    /// Half of the syncs took at most so long.
    pub p50: Duration,
    /// All but one in a hundred took at most so long.
    pub p99: Duration,
}

/// The processor's name and how many cores this process may use.
#[must_use]
pub fn processor() -> (String, usize) {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let name = named.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned());
    (name, std::thread::available_parallelism().map_or(1, usize::from))
}

/// Appends 4 KiB and syncs (`fdatasync`) so many times in a new file of `dir`.
///
/// # Errors
/// As the file system says.
pub fn sync_latency(dir: &Path, times: usize) -> io::Result<SyncLatency> {
    let path = dir.join("sync-probe");
    let mut file = File::create(&path)?;
    let bytes = [0x5a; APPEND_BYTES];
    let mut took = Vec::with_capacity(times);
    for _ in 0..times.max(1) {
        let began = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        took.push(began.elapsed());
    }
    std::fs::remove_file(&path)?;
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
    Ok(SyncLatency { p50: at(0.5), p99: at(0.99) })
}

/// Processor time that a process has taken so far, all threads together. The kernel counts it in hundredths of a second.
///
/// # Errors
/// When `/proc` does not have it.
pub fn processor_time(process: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may have spaces; user and system time are the twelfth and thirteenth field after it.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').skip(11).take(2));
    let ticks = fields.map(|fields| fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>());
    let ticks = ticks.ok_or_else(|| io::Error::other("/proc has no times"))?;
    Ok(Duration::from_millis(ticks * 10))
}

/// Bytes of a process that lie in memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// At the most so far.
    pub peak: u64,
}

/// Bytes of a process that lie in memory, now and at the most.
///
/// # Errors
/// When `/proc` does not have it.
pub fn memory(process: u32) -> io::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("/proc has no {name}")))
    };
    Ok(Memory { resident: bytes("VmRSS")?, peak: bytes("VmHWM")? })
}

/// Bytes of this process that lie in memory.
///
/// # Errors
/// When `/proc` does not have it.
pub fn resident_bytes() -> io::Result<u64> {
    Ok(memory(std::process::id())?.resident)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    #[test]
    fn a_machine_has_a_name_memory_and_a_disk() {
        let (name, cores) = processor();
        assert!(!name.is_empty() && cores > 0);
        assert!(resident_bytes().unwrap() > 100_000);
        assert!(memory(std::process::id()).unwrap().peak > 100_000);
        assert!(processor_time(std::process::id()).unwrap() < Duration::from_secs(3600));
        let dir = tempfile::tempdir().unwrap();
        let latency = sync_latency(dir.path(), 5).unwrap();
        assert!(latency.p50 <= latency.p99);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
