//! Files that belong to this user alone and are never seen half written.
//!
//! Owns the one way this crate writes to disk: beside the place, flushed, then moved there, mode 0600 in a directory of mode 0700.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::geteuid;

/// Writes a file, in place of one that may be there.
pub(crate) fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    beside(path, parts, |made| fs::rename(made, path))
}

/// Writes a file where none is yet.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] where there is one.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    beside(path, &[bytes], |made| fs::hard_link(made, path))
}

/// Creates a directory nobody else may enter, or closes one that exists to others.
///
/// # Errors
/// It cannot be created, or belongs to somebody else, who could open it again.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    demand_owner(dir, geteuid().as_raw())?;
    if fs::metadata(dir)?.mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Demands of a directory that nobody else may put another in the place of what lies in it.
///
/// # Errors
/// Everybody may write to it, or its owner is neither this user nor root.
pub(crate) fn demand_no_strangers(dir: &Path) -> io::Result<()> {
    let meta = fs::metadata(dir)?;
    if ![geteuid().as_raw(), 0].contains(&meta.uid()) {
        return Err(strange(dir, &format!("it belongs to user {}", meta.uid())));
    }
    // Where the sticky bit is set, what is there can be replaced by its owner alone.
    if meta.mode() & 0o002 != 0 && meta.mode() & 0o1000 == 0 {
        return Err(strange(dir, "everybody may write to it"));
    }
    Ok(())
}

fn demand_owner(dir: &Path, uid: u32) -> io::Result<()> {
    let meta = fs::symlink_metadata(dir)?;
    if meta.is_dir() && meta.uid() == uid {
        return Ok(());
    }
    let what = if meta.is_dir() { format!("it belongs to user {}", meta.uid()) } else { "it is a link".to_owned() };
    Err(strange(dir, &what))
}

fn strange(dir: &Path, what: &str) -> io::Error {
    let what = format!("{}: {what}, and what is kept there is run as this user", dir.display());
    io::Error::new(io::ErrorKind::PermissionDenied, what)
}

fn beside(path: &Path, parts: &[&[u8]], put: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let made = temporary(path);
    let written = write(&made, parts).and_then(|()| put(&made));
    // Gone already where it was renamed; of no use otherwise, and failing to remove it changes nothing.
    drop(fs::remove_file(&made));
    written?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

/// A name no other writer of this or another process uses.
fn temporary(path: &Path) -> PathBuf {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("{}-{write}.tmp", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        replace(&path, &[b"one"]).unwrap();
        replace(&path, &[b"tw", b"o"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_exists_is_not_created_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path, b"first").unwrap();
        assert_eq!(create(&path, b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_directory_of_somebody_else_and_a_link_to_one_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let ours = geteuid().as_raw();
        demand_owner(dir.path(), ours).unwrap();
        let theirs = demand_owner(dir.path(), ours + 1).unwrap_err();
        assert!(theirs.to_string().contains(&format!("it belongs to user {ours}")), "{theirs}");
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
        let link = create_dir(&dir.path().join("link")).unwrap_err();
        assert!(link.to_string().contains("it is a link"), "{link}");
    }

    #[test]
    fn a_directory_everybody_writes_to_is_refused_unless_each_can_replace_only_their_own() {
        let dir = tempfile::tempdir().unwrap();
        for (mode, fine) in [(0o700, true), (0o775, true), (0o777, false), (0o1777, true)] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(demand_no_strangers(dir.path()).is_ok(), fine, "{mode:o}");
        }
    }

    #[test]
    fn a_directory_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        create_dir(dir.path()).unwrap();
        create_dir(&dir.path().join("a/b")).unwrap();
        for made in [dir.path().to_owned(), dir.path().join("a"), dir.path().join("a/b")] {
            assert_eq!(fs::metadata(made).unwrap().mode() & 0o777, 0o700);
        }
    }
}
