//! What is in the cache is used if this host wrote it, and compiled anew if anything about it is not as it was.

use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wasmtime::component::Linker;

use super::*;

/// The smallest component.
const WASM: &[u8] = b"\0asm\x0d\0\x01\0";

/// Where a component's code came from.
#[derive(Debug, PartialEq, Eq)]
enum Provenance {
    Cached,
    Compiled,
}

struct Cache {
    dir: tempfile::TempDir,
    engine: Engine,
}

impl Cache {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), engine: Engine::new(1).unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("compiled")
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join(KEY_FILE)
    }

    /// Opens the cache as a process does that starts, and looks for the component; compiles it where it is not found.
    fn load(&self) -> Provenance {
        let artifacts = Artifacts::open(&self.path()).unwrap();
        let digest = Digest::of(WASM);
        if artifacts.find(&self.engine, digest).is_some() {
            return Provenance::Cached;
        }
        let code = Code::unchecked(WASM);
        artifacts.adopt(&self.engine, &code).unwrap();
        artifacts.keep(&self.engine, digest, &code);
        Provenance::Compiled
    }

    /// The one compiled component there is.
    fn file(&self) -> PathBuf {
        let mut files: Vec<_> = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|it| it == "cwasm"));
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }

    #[track_caller]
    fn is_compiled_anew_after(&self, change: impl FnOnce(&Path)) {
        assert_eq!(self.load(), Provenance::Cached, "before the change");
        change(&self.file());
        assert_eq!(self.load(), Provenance::Compiled, "after the change");
        assert_eq!(self.load(), Provenance::Cached, "and what was compiled is kept");
    }
}

#[test]
fn what_was_compiled_is_found_again() {
    let cache = Cache::new();
    assert_eq!(cache.load(), Provenance::Compiled);
    assert_eq!(cache.load(), Provenance::Cached);
}

#[test]
fn directory_key_and_files_are_private() {
    let cache = Cache::new();
    cache.load();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&cache.path()), mode(&cache.key()), mode(&cache.file())), (0o700, 0o600, 0o600));
}

#[test]
fn a_file_with_one_bit_changed_is_never_run() {
    let cache = Cache::new();
    cache.load();
    let len = fs::read(cache.file()).unwrap().len();
    for at in [0, MAC_BYTES - 1, MAC_BYTES, len / 2, len - 1] {
        cache.is_compiled_anew_after(|path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
        });
    }
}

#[test]
fn a_truncated_file_is_never_run() {
    let cache = Cache::new();
    cache.load();
    for len in [0, 1, MAC_BYTES, 100] {
        cache.is_compiled_anew_after(|path| fs::write(path, &fs::read(path).unwrap()[..len]).unwrap());
    }
}

#[test]
fn compiled_code_without_our_mac_is_never_run() {
    let cache = Cache::new();
    cache.load();
    let code = cache.engine.wasm().precompile_component(WASM).unwrap();
    cache.is_compiled_anew_after(|path| fs::write(path, &code).unwrap());
}

#[test]
fn the_code_of_one_component_does_not_pass_for_anothers() {
    let cache = Cache::new();
    let artifacts = Artifacts::open(&cache.path()).unwrap();
    cache.load();
    let other = Digest::of(b"another component");
    fs::copy(cache.file(), artifacts.path(&cache.engine, other)).unwrap();
    assert!(artifacts.find(&cache.engine, other).is_none());
}

#[test]
fn without_the_key_nothing_is_trusted() {
    let cache = Cache::new();
    cache.load();
    cache.is_compiled_anew_after(|_| fs::remove_file(cache.key()).unwrap());
    cache.is_compiled_anew_after(|_| fs::write(cache.key(), [0; 7]).unwrap());
}

#[test]
fn a_key_others_could_read_is_replaced() {
    let cache = Cache::new();
    cache.load();
    let before = fs::read(cache.key()).unwrap();
    cache.is_compiled_anew_after(|_| fs::set_permissions(cache.key(), fs::Permissions::from_mode(0o640)).unwrap());
    assert_ne!(fs::read(cache.key()).unwrap(), before);
    assert_eq!(fs::metadata(cache.key()).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn what_nobody_wants_is_removed_and_what_others_left_there_is_not() {
    let cache = Cache::new();
    cache.load();
    let artifacts = Artifacts::open(&cache.path()).unwrap();
    let (ours, foreign) = (cache.file(), cache.path().join("notes.txt"));
    let of_another_engine = cache.path().join(format!("{}-{}.cwasm", Digest::of(WASM), Digest::of(b"engine")));
    fs::write(&foreign, "").unwrap();
    fs::write(&of_another_engine, "").unwrap();
    artifacts.retain(&cache.engine, |digest| digest == Digest::of(WASM)).unwrap();
    assert!(ours.exists() && foreign.exists() && !of_another_engine.exists());
    artifacts.retain(&cache.engine, |_| false).unwrap();
    assert!(!ours.exists() && foreign.exists());
}

#[test]
fn what_runs_is_a_copy_no_path_leads_to() {
    let cache = Cache::new();
    cache.load();
    let artifacts = Artifacts::open(&cache.path()).unwrap();
    let component = artifacts.find(&cache.engine, Digest::of(WASM)).unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let in_cache = |line: &&str| line.contains(cache.path().to_str().unwrap());
    let mapped: Vec<_> = maps.lines().filter(in_cache).collect();
    assert!(!mapped.is_empty() && mapped.iter().all(|line| line.ends_with("(deleted)")), "{mapped:?}");
    // Writing over the file it was read from, in place, changes nothing that runs.
    fs::write(cache.file(), vec![0xcc; 1 << 20]).unwrap();
    Linker::<()>::new(cache.engine.wasm()).instantiate_pre(&component).unwrap();
}

/// More than any test here waits for on the slowest machine.
const PATIENT: Duration = Duration::from_secs(600);

#[test]
fn a_turn_somebody_never_gives_up_is_not_waited_for_for_ever() {
    let cache = Cache::new();
    let (one, other) = (Artifacts::open(&cache.path()).unwrap(), Artifacts::open(&cache.path()).unwrap());
    let turn = one.turn(PATIENT).unwrap();
    assert!(other.turn(Duration::from_millis(50)).is_none());
    drop(turn);
    assert!(other.turn(Duration::ZERO).is_some());
}

#[test]
fn a_state_directory_everybody_writes_to_is_refused() {
    let cache = Cache::new();
    drop(Artifacts::open(&cache.path()).unwrap());
    fs::set_permissions(cache.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = Artifacts::open(&cache.path()).map(drop).unwrap_err();
    assert!(refused.to_string().contains("everybody may write to it"), "{refused}");
}

#[test]
fn one_turn_waits_for_another() {
    let cache = Cache::new();
    let (one, other) = (Artifacts::open(&cache.path()).unwrap(), Artifacts::open(&cache.path()).unwrap());
    let turn = one.turn(PATIENT).unwrap();
    let (began, begins) = mpsc::channel();
    let waiting = thread::spawn(move || {
        drop(other.turn(PATIENT).unwrap());
        began.send(()).unwrap();
    });
    assert!(begins.recv_timeout(Duration::from_millis(50)).is_err(), "two have the turn");
    drop(turn);
    begins.recv_timeout(Duration::from_secs(60)).unwrap();
    waiting.join().unwrap();
}
