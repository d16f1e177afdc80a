//! Files that somebody else put there.
//!
//! Owns the one way this crate opens what lies in the plugins' directory. Promises never to wait for anybody: to open a pipe is to wait for
//! whoever writes into it, and to read a device may never end.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens a file, or what a link to one leads to.
///
/// # Errors
/// It cannot be opened, or is anything but a file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let no_file = || Err(io::Error::other("it is not a file"));
    // To open a device may already do something. What it is may change until it is open, so that is asked again.
    if !fs::metadata(path)?.is_file() {
        return no_file();
    }
    let file = File::from(rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { no_file() }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_file_is_read_and_a_pipe_a_device_and_a_directory_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "text").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        let mut text = String::new();
        open(&at("link")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), Mode::RUSR).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("device")).unwrap();
        for name in ["pipe", "device", "."] {
            assert_eq!(open(&at(name)).unwrap_err().to_string(), "it is not a file", "{name}");
        }
        assert_eq!(open(&at("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
