//! Memory of this process, as the system counts it.

use std::fs;

/// Anonymous memory that is resident now, in bytes.
pub(super) fn resident() -> u64 {
    field("RssAnon:")
}

/// The most that was resident at once since [`forget_peak`], in bytes.
pub(super) fn peak() -> u64 {
    field("VmHWM:")
}

/// All that is resident now, in bytes: what a peak begins at.
pub(super) fn resident_in_all() -> u64 {
    field("VmRSS:")
}

/// Lets the peak begin at what is resident now.
pub(super) fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn field(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: u64 = line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap();
    kib * 1024
}
