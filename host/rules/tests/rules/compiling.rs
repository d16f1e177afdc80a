//! Compiling costs what it may cost and no more, happens once, and never in the host.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use xnovu_rules::{
    BrokenKind, ChildCompiler, CompileError, CompileLimits, Compiler, Limits, LoadError, Rules, Runtime,
    RuntimeOptions, Workbench, inspect,
};

use crate::support::{A, B, Plugins, bombs, broken, child_compiler, entry, event, guests, id, ruled};

/// More than any test here waits for on the slowest machine.
const PATIENT: CompileLimits = CompileLimits { memory_bytes: 2 << 30, cpu_s: 100, wall_s: 600 };

/// A component that costs many seconds and gigabytes.
fn bomb() -> Vec<u8> {
    bombs::branches(20, 12_000)
}

#[track_caller]
fn refused(wasm: &[u8], limits: CompileLimits) -> CompileError {
    let dir = tempfile::tempdir().unwrap();
    let bench = Workbench::open(&dir.path().join("compiled"), Compiler::Child(child_compiler(limits))).unwrap();
    match bench.trial(wasm, &json!({}), Limits::default()).map(drop) {
        Err(LoadError::Compile(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bomb_of_small_branches_is_within_the_size_limit() {
    assert!((bomb().len() as u64) < Limits::default().component_bytes, "{}", bomb().len());
}

#[test]
fn a_component_that_compiles_too_long_is_ended_by_its_processor_time() {
    let error = refused(&bomb(), CompileLimits { cpu_s: 1, ..PATIENT });
    assert_eq!(error, CompileError::Cpu(1));
    assert_eq!(error.to_string(), "compiling it takes more than 1 s of processor time");
    assert!(error.is_lasting() && error.hint().is_some_and(|hint| hint.contains("generated code")));
}

#[test]
fn a_component_that_compiles_too_large_is_ended_by_its_memory() {
    let limits = CompileLimits { memory_bytes: 250 << 20, ..PATIENT };
    let error = refused(&bombs::branches(1, 60_000), limits);
    assert_eq!(error, CompileError::Memory(250 << 20));
    assert_eq!(error.to_string(), "compiling it takes more than 262144000 bytes of memory");
    let dir = tempfile::tempdir().unwrap();
    let bench = Workbench::open(&dir.path().join("compiled"), Compiler::Child(child_compiler(limits))).unwrap();
    assert!(bench.trial(guests::hostile(), &json!({}), Limits::default()).is_ok(), "a rule has room enough");
}

#[test]
fn a_component_that_overflows_the_stack_of_who_reads_it_is_refused_for_good() {
    let wasm = bombs::nested_types(0x42, 10_000);
    assert!(wasm.len() < 40_000, "{}", wasm.len());
    let error = refused(&wasm, PATIENT);
    assert_eq!(error.to_string(), "the compiler breaks on it: its stack overflows");
    assert!(error.is_lasting());
}

#[test]
fn a_component_within_a_component_is_read_up_to_a_depth() {
    assert!(inspect(&bombs::nested(99)).is_ok());
    let error = inspect(&bombs::nested(100)).unwrap_err().to_string();
    assert_eq!(error, "it is not a valid component: components are nested in it 101 deep");
}

#[test]
fn a_component_that_is_not_compiled_in_time_may_be_tried_again() {
    let error = refused(&bomb(), CompileLimits { wall_s: 1, ..PATIENT });
    assert_eq!(error, CompileError::Wall(1));
    assert!(!error.is_lasting());
}

#[test]
fn a_compiler_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Compiler::Child(ChildCompiler::new("/nowhere/compiler", [""; 0]));
    let bench = Workbench::open(&dir.path().join("compiled"), missing).unwrap();
    let error = bench.trial(guests::hostile(), &json!({}), Limits::default()).err().unwrap();
    assert!(error.to_string().starts_with("the compiler did not run: /nowhere/compiler: No such file"), "{error}");
    assert!(!error.is_lasting());
}

#[test]
fn a_component_above_its_size_limit_is_not_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Compiler::Child(ChildCompiler::new("/nowhere/compiler", [""; 0]));
    let bench = Workbench::open(&dir.path().join("compiled"), missing).unwrap();
    let bytes = guests::hostile().len() as u64;
    let limits = Limits { component_bytes: bytes - 1, ..Limits::default() };
    let error = bench.trial(guests::hostile(), &json!({}), limits).err().unwrap();
    assert_eq!(error, LoadError::TooLarge { bytes, limit: bytes - 1 });
}

#[tokio::test]
async fn a_bomb_of_one_enterprise_leaves_the_others_alone() {
    let plugins = Plugins::new();
    plugins.put("bomb", "1.0.0", &bomb());
    plugins.put("good", "1.0.0", guests::hostile());
    plugins
        .bind(&(entry(A, "bomb", "", "{}") + &entry(B, "good", "limits = { wall_ms = 10_000 }", "{ admit = \"ok\" }")));
    let compiler = Compiler::Child(child_compiler(CompileLimits { cpu_s: 2, ..PATIENT }));
    let options = RuntimeOptions { compiler, ..plugins.options() };
    let (runtime, report) = Runtime::open(options).await.unwrap();
    let report = report.to_string();
    let want =
        "plugin bomb: not loaded: compiling it takes more than 2 s of processor time\n  hint: a rule compiles in well";
    assert!(report.contains(want), "{report}");
    ruled(runtime.admit(event(B)).await);
    let held = broken(runtime.admit(event(A)).await);
    assert_eq!(held.kind, BrokenKind::NotLoaded);
    assert!(held.reason.contains("processor time"), "{}", held.reason);
    // What is known to be a bomb is not lit again by the next reload.
    let again = runtime.reconcile().await.to_string();
    assert!(again.contains(want), "{again}");
}

/// A's plugin is a bomb, B's a good one that drops what comes.
fn beside_a_bomb(version: &str) -> Plugins {
    let plugins = Plugins::new();
    plugins.put("good", version, guests::hostile());
    plugins.put("bomb", "1.0.0", &bomb());
    let patient = "limits = { wall_ms = 10_000 }";
    plugins.bind(&(entry(A, "bomb", "", "{}") + &entry(B, "good", patient, "{ admit = \"drop:good\" }")));
    plugins
}

/// Waits until B is ruled by that version.
async fn in_force(runtime: &Runtime, version: &str) {
    let mut changes = runtime.changes();
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while runtime.binding(&id(B)).and_then(|binding| binding.stamp).is_none_or(|stamp| stamp.version != version) {
            changes.changed().await.unwrap();
        }
    });
    assert!(waited.await.is_ok(), "{:?}", runtime.binding(&id(B)));
    assert_eq!(ruled(runtime.admit(event(B)).await).stamp.version, version);
}

#[tokio::test]
async fn what_is_good_is_in_force_while_a_bomb_beside_it_still_burns() {
    let plugins = beside_a_bomb("1.0.0");
    let compiler = Compiler::Child(child_compiler(CompileLimits { cpu_s: 10, ..PATIENT }));
    let start_within = Some(Duration::ZERO);
    let (runtime, report) =
        Runtime::open(RuntimeOptions { compiler, start_within, ..plugins.options() }).await.unwrap();
    assert!(report.to_string().contains("plugin bomb: not loaded: it is being compiled"), "{report}");
    in_force(&runtime, "1.0.0").await;
    let held = broken(runtime.admit(event(A)).await);
    assert_eq!((held.kind, held.reason.as_str()), (BrokenKind::NotLoaded, "it is being compiled"));
    // The reload that was begun goes on, and sees what is put there meanwhile.
    plugins.put("good", "2.0.0", guests::hostile());
    in_force(&runtime, "2.0.0").await;
    let done = runtime.reconcile().await.to_string();
    assert!(done.contains("plugin bomb: not loaded: compiling it takes more than 10 s of processor time"), "{done}");
}

#[tokio::test]
async fn a_bomb_is_lit_once_whatever_starts() {
    let plugins = beside_a_bomb("1.0.0");
    let dir = tempfile::tempdir().unwrap();
    let (compiler, notes) = noting_within(dir.path(), CompileLimits { cpu_s: 1, ..PATIENT });
    let mut said = Vec::new();
    for _ in 0..2 {
        let options = RuntimeOptions { compiler: compiler.clone(), ..plugins.options() };
        said.push(Runtime::open(options).await.unwrap().1.to_string());
    }
    assert_eq!(said[0], said[1]);
    assert!(said[0].contains("plugin bomb: not loaded: compiling it takes more than 1 s"), "{}", said[0]);
    let started = fs::read_to_string(&notes).unwrap().matches("started").count();
    assert_eq!(started, 2, "the good one and the bomb, once each");
    // Whoever else writes there is not believed.
    let [refusal] = &plugins.cached(".refused")[..] else { panic!("{:?}", plugins.cached("")) };
    let mut bytes = fs::read(refusal).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(refusal, bytes).unwrap();
    Runtime::open(RuntimeOptions { compiler, ..plugins.options() }).await.unwrap();
    assert_eq!(fs::read_to_string(&notes).unwrap().matches("started").count(), 3);
}

/// A compiler that notes each time it is started in a file, and its environment in another.
fn noting(dir: &Path) -> (Compiler, PathBuf) {
    noting_within(dir, PATIENT)
}

fn noting_within(dir: &Path, limits: CompileLimits) -> (Compiler, PathBuf) {
    let ChildCompiler { program, .. } = child_compiler(limits);
    let (script, notes) = (dir.join("compiler.sh"), dir.join("notes"));
    let text = format!(
        "#!/bin/sh\necho started >> {notes}\ntr '\\0' '\\n' < /proc/$$/environ >> {notes}\nexec {program} \"$@\"\n",
        notes = notes.display(),
        program = program.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    (Compiler::Child(ChildCompiler { program: script, arguments: Vec::new(), limits }), notes)
}

#[test]
fn what_several_need_at_once_is_compiled_once_and_without_the_hosts_environment() {
    const HOSTS: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let (compiler, notes) = noting(dir.path());
    let cache = dir.path().join("state/compiled");
    let together = Arc::new(Barrier::new(HOSTS));
    let hosts: Vec<_> = (0..HOSTS)
        .map(|_| {
            let (together, compiler, cache) = (together.clone(), compiler.clone(), cache.clone());
            thread::spawn(move || {
                let bench = Workbench::open(&cache, compiler).unwrap();
                together.wait();
                bench.trial(guests::hostile(), &json!({}), Limits::default()).unwrap().digest()
            })
        })
        .collect();
    for host in hosts {
        host.join().unwrap();
    }
    assert_eq!(fs::read_to_string(notes).unwrap(), "started\n");
}

/// Whether a process still does anything: one that has ended may wait for somebody to ask how.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| !"ZX".contains(state))
}

#[test]
fn a_compilation_ends_with_whom_it_is_for() {
    // The shell is killed while the compiler, its child, still waits for the component.
    let script = "exec 3<&0; \"$0\" 2147483648 20 $$ <&3 >/dev/null & echo $!; kill -9 $$";
    let mut shell = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_xnovu-rules-compiler")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let _kept_open = shell.stdin.take();
    let mut pid = String::new();
    BufReader::new(shell.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    shell.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while is_alive(pid.trim()) {
        assert!(Instant::now() < deadline, "process {pid} outlives whom it compiles for");
        thread::sleep(Duration::from_millis(5));
    }
}
