//! Memory of this process, as the system counts it.

use std::fs;

/// What is resident now, the program's own pages and mapped files included, in bytes.
pub(super) fn resident() -> u64 {
    field("VmRSS:")
}

/// The most that was resident at once since [`forget_peak`], in bytes.
pub(super) fn peak() -> u64 {
    field("VmHWM:")
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
