//! What this machine grants: the state directory, and files that may be open at once.
//!
//! Owns the look at both. Makes, changes and removes nothing, so that who runs it does not matter to the daemon afterwards.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::process::{Resource, geteuid, getrlimit};

use super::{Finding, Findings, chain};
use crate::config::Config;
use crate::control::{Role, SOCKET_PATH_MAX, StateDir, WRITABLE_BY_OTHERS};

/// Fewest open files: each socket of Realtime, request, client of Redis and component holds one.
const OPEN_FILES_MIN: u64 = 1_024;

pub(super) fn examine(config: &Config) -> Findings {
    let limit = getrlimit(Resource::Nofile).maximum;
    vec![state(&config.state), open_files(limit)]
}

/// The soft limit does not matter: a process raises it to the hard one.
fn open_files(limit: Option<u64>) -> Finding {
    let check = "open files";
    match limit {
        Some(limit) if limit < OPEN_FILES_MIN => {
            let hint = format!("raise the limit: LimitNOFILE= of the unit, or ulimit -Hn, to {OPEN_FILES_MIN} or more");
            Finding::warning(check, format!("a process may have {limit} at once"), hint)
        }
        Some(limit) => Finding::ok(check, format!("a process may have {limit} at once")),
        None => Finding::ok(check, "no bound"),
    }
}

fn state(path: &Path) -> Finding {
    let check = "state directory";
    let dir = match StateDir::at(path) {
        Ok(dir) => dir,
        Err(error) => return Finding::failed(check, chain(&error), "set XNOVU_STATE_DIR to an absolute path"),
    };
    let shown = dir.path().display();
    if dir.socket(&Role::new_worker()).as_os_str().len() > SOCKET_PATH_MAX {
        let what = format!("{shown} is too long a path for the sockets in it");
        return Finding::failed(check, what, "set XNOVU_STATE_DIR to a shorter path");
    }
    let Some(existing) = dir.path().ancestors().find(|path| path.exists()) else {
        return Finding::failed(
            check,
            format!("{shown} cannot be looked at"),
            "set XNOVU_STATE_DIR to another directory",
        );
    };
    let metadata = match existing.metadata() {
        Ok(metadata) => metadata,
        Err(error) => {
            return Finding::failed(check, format!("{}: {error}", existing.display()), "check its permissions");
        }
    };
    let there = existing == dir.path();
    if there && metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Finding::failed(check, format!("{shown} can be written by everybody"), format!("chmod o-w {shown}"));
    }
    if !metadata.is_dir() || access(existing, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let owner = metadata.uid();
        let what = format!("{} (of user {owner}) cannot be written by user {}", existing.display(), geteuid().as_raw());
        let hint = "run this as the user of the daemon; let that user own the directory, or set XNOVU_STATE_DIR to another one";
        return Finding::failed(check, what, hint);
    }
    if !there {
        return Finding::ok(check, format!("{shown} is made at the first start"));
    }
    let running: Vec<String> =
        dir.running().unwrap_or_default().iter().map(|found| format!("{} (pid {})", found.role, found.pid)).collect();
    let running = if running.is_empty() {
        "nothing runs with it".to_owned()
    } else {
        format!("{} run with it", running.join(", "))
    };
    Finding::ok(check, format!("{shown} can be written; {running}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_state_directory_must_be_writable_by_us_and_not_by_everybody() {
        let dir = tempfile::tempdir().unwrap();
        let verdict = |path: &Path| state(path).verdict;
        assert_eq!(verdict(dir.path()), Verdict::Ok);
        assert_eq!(verdict(&dir.path().join("made/later")), Verdict::Ok);
        assert!(!dir.path().join("made").exists(), "looking makes nothing");
        assert_eq!(verdict(&dir.path().join("x".repeat(SOCKET_PATH_MAX))), Verdict::Failed);
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(verdict(&dir.path().join("file/below")), Verdict::Failed);
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(verdict(dir.path()), Verdict::Failed);
    }

    #[test]
    fn few_open_files_are_warned_about() {
        assert_eq!(open_files(Some(OPEN_FILES_MIN)).verdict, Verdict::Ok);
        assert_eq!(open_files(Some(OPEN_FILES_MIN - 1)).verdict, Verdict::Warning);
        assert_eq!(open_files(None).verdict, Verdict::Ok);
    }
}
