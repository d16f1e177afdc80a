use std::os::unix::fs::PermissionsExt;

use super::*;

fn started(pid: u32) -> Started {
    Started {
        pid,
        since: "2026-01-01T00:00:00Z".to_owned(),
        version: "0".to_owned(),
        directory: "/".into(),
        options: vec!["--workers".to_owned(), "2".to_owned()],
        health: None,
        grace_ms: 60_000,
        detached: false,
        supervised: false,
    }
}

fn state() -> (tempfile::TempDir, StateDir) {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::at(&dir.path().join("state")).unwrap();
    (dir, state)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn a_second_daemon_is_refused_with_the_pid_of_the_first() {
    let (_dir, state) = state();
    let _first = state.claim(Role::Daemon, &started(41)).unwrap();
    let refused = state.claim(Role::Daemon, &started(42)).unwrap_err();
    assert!(matches!(refused, ControlError::Running { pid: 41, .. }), "{refused:?}");
    assert!(refused.to_string().contains("pid 41"), "{refused}");
    assert_eq!(state.find(&Role::Daemon).unwrap().pid, 41);
    assert_eq!(state.last_started(&Role::Daemon), Some(started(41)));
}

#[test]
fn many_workers_share_a_state_directory() {
    let (_dir, state) = state();
    let roles = [Role::Worker("a".to_owned()), Role::Worker("b".to_owned()), Role::Daemon];
    let holds: Vec<Hold> =
        roles.iter().zip(1..).map(|(role, pid)| state.claim(role.clone(), &started(pid)).unwrap()).collect();
    let running: Vec<(String, u32)> =
        state.running().unwrap().into_iter().map(|found| (found.role.to_string(), found.pid)).collect();
    let expected = [("daemon", 3), ("worker-a", 1), ("worker-b", 2)].map(|(name, pid)| (name.to_owned(), pid));
    assert_eq!(running, expected);
    drop(holds);
    assert_eq!(state.running().unwrap(), []);
}

#[test]
fn an_orderly_end_leaves_what_the_daemon_was_started_with_and_nothing_else() {
    let (_dir, state) = state();
    drop(state.claim(Role::Daemon, &started(41)).unwrap());
    drop(state.claim(Role::new_worker(), &started(42)).unwrap());
    let left: Vec<_> = fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["daemon.json"]);
    assert!(matches!(state.find(&Role::Daemon), Err(ControlError::NotRunning { .. })));
    assert_eq!(state.last_started(&Role::Daemon), Some(started(41)));
}

#[test]
fn files_of_dead_processes_count_for_nothing_and_are_cleared_away() {
    let (_dir, state) = state();
    state.create().unwrap();
    for name in ["daemon.pid", "worker-dead.pid", "worker-dead.sock", "worker-dead.json"] {
        fs::write(state.path().join(name), "1\n").unwrap();
    }
    assert_eq!(state.running().unwrap(), []);
    let _hold = state.claim(Role::Daemon, &started(41)).unwrap();
    assert_eq!(state.find(&Role::Daemon).unwrap().pid, 41);
    let mut left: Vec<_> = fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["daemon.json", "daemon.pid"]);
}

#[test]
fn who_looks_disturbs_nobody_who_starts() {
    let (_dir, state) = state();
    state.create().unwrap();
    fs::write(state.pid_file(&Role::Daemon), "1\n").unwrap();
    let looker = File::open(state.pid_file(&Role::Daemon)).unwrap();
    looker.try_lock_shared().unwrap();
    let look = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        drop(looker);
    });
    assert_eq!(state.claim(Role::Daemon, &started(41)).unwrap().role(), &Role::Daemon);
    look.join().unwrap();
}

#[test]
fn a_pid_that_is_written_a_moment_after_the_lock_is_taken_is_waited_for() {
    let (_dir, state) = state();
    state.create().unwrap();
    let path = state.pid_file(&Role::Daemon);
    let mut owner = OpenOptions::new().create(true).write(true).truncate(true).open(&path).unwrap();
    owner.try_lock().unwrap();
    let write = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        writeln!(owner, "41").unwrap();
        owner
    });
    assert_eq!(state.find(&Role::Daemon).unwrap().pid, 41);
    drop(write.join().unwrap());
}

#[test]
fn everything_is_for_its_owner_alone() {
    let (_dir, state) = state();
    let _hold = state.claim(Role::Daemon, &started(41)).unwrap();
    assert_eq!(mode(state.path()), 0o700);
    assert_eq!(mode(&state.pid_file(&Role::Daemon)), 0o600);
    assert_eq!(mode(&state.start_file(&Role::Daemon)), 0o600);
}

#[test]
fn a_directory_below_one_that_everybody_may_write_to_is_made_for_its_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    // As /tmp is, and any tmpfs that a container gets.
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(matches!(StateDir::at(parent.path()).unwrap().create(), Err(ControlError::Exposed { .. })));
    let below = StateDir::at(&parent.path().join("xnovu")).unwrap();
    below.create().unwrap();
    assert_eq!(mode(below.path()), 0o700);
}

#[test]
fn a_directory_that_everybody_may_write_to_is_refused() {
    let (_dir, state) = state();
    state.create().unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = state.claim(Role::Daemon, &started(41)).unwrap_err();
    assert!(matches!(refused, ControlError::Exposed { mode: 0o777, .. }), "{refused:?}");
}

#[test]
fn a_path_too_long_for_a_socket_is_named_before_anything_runs() {
    let (dir, _) = state();
    let long = StateDir::at(&dir.path().join("x".repeat(100))).unwrap();
    let refused = long.claim(Role::Daemon, &started(41)).unwrap_err();
    assert!(matches!(refused, ControlError::TooLong { .. }), "{refused:?}");
    assert!(matches!(long.find(&Role::Daemon), Err(ControlError::NotRunning { .. })));
}
