//! The other end of a compilation: what the child process does.
//!
//! Owns the order: bounds first, then the component is read and checked, so that nothing an author wrote is looked at without them.

use std::fs;
use std::io::{Read, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal, getppid, nice, set_parent_process_death_signal, setrlimit};

use super::{CODE_BYTES_MAX, words};
use crate::engine;
use crate::inspect::{InspectError, inspect};

/// Exit code: the compiler refuses the component and says why on standard error.
pub(super) const REFUSED: i32 = 3;

/// Exit code: the system refused memory, and somebody noticed before the allocator did.
pub(super) const OUT_OF_MEMORY: i32 = 4;

/// Exit code: the component is refused for what it is; an [`InspectError`] in JSON on standard error says why.
pub(super) const UNFIT: i32 = 5;

/// Exit code: it becomes more machine code than is taken; how many bytes, standard error says.
pub(super) const TOO_MUCH_CODE: i32 = 6;

/// How far the child steps back behind all other work.
const NICE: i32 = 10;

/// Compiles the component on `input` to machine code on `output`, within bounds this process cannot leave any more. For a process
/// that exists for nothing else.
///
/// `memory_bytes` bounds the address space, `cpu_s` the processor time; `parent` is the process it works for, with which it ends. Complaints go to `complaints`; the answer is the exit code.
#[must_use]
pub fn compile_as_child(
    memory_bytes: u64,
    cpu_s: u64,
    parent: u32,
    input: impl Read,
    output: impl Write,
    complaints: impl Write,
) -> ExitCode {
    let (code, complaint) = match bounded(memory_bytes, cpu_s, parent).and_then(|()| compile(input, output)) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Io(error)) if error.kind() == std::io::ErrorKind::OutOfMemory => {
            (OUT_OF_MEMORY, error.to_string())
        }
        Err(Failure::Io(error)) => (1, error.to_string()),
        Err(Failure::TooMuchCode(bytes)) => (TOO_MUCH_CODE, bytes.to_string()),
        Err(Failure::Unfit(why)) => (UNFIT, serde_json::to_string(&why).unwrap_or_default()),
        Err(Failure::Engine(error)) if is_out_of_memory(&error) => (OUT_OF_MEMORY, words(&error)),
        Err(Failure::Engine(error)) => (REFUSED, words(&error)),
    };
    // Whoever does not read the complaint still gets the code.
    drop({ complaints }.write_all(complaint.as_bytes()));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

enum Failure {
    Unfit(InspectError),
    TooMuchCode(u64),
    Io(std::io::Error),
    Engine(wasmtime::Error),
}

impl From<InspectError> for Failure {
    fn from(why: InspectError) -> Self {
        Self::Unfit(why)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

fn bounded(memory_bytes: u64, cpu_s: u64, parent: u32) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before it could be asked to take this process with it.
    if getppid().is_none_or(|now| u32::try_from(now.as_raw_nonzero().get()).ok() != Some(parent)) {
        return Err(Failure::Io(std::io::Error::other("whom it was to compile for is gone")));
    }
    let at_most = |soft, hard| Rlimit { current: Some(soft), maximum: Some(hard) };
    setrlimit(Resource::Core, at_most(0, 0))?;
    setrlimit(Resource::As, at_most(memory_bytes, memory_bytes))?;
    // At the first the system says why it ends the process, at the second it just does.
    setrlimit(Resource::Cpu, at_most(cpu_s, cpu_s.saturating_add(1)))?;
    // Where these two cannot be had, the bounds above still are.
    let _ = nice(NICE);
    // Should the machine run out of memory before the bound is reached, this process goes first.
    drop(fs::write("/proc/self/oom_score_adj", "1000"));
    Ok(())
}

fn compile(mut input: impl Read, mut output: impl Write) -> Result<(), Failure> {
    let mut wasm = Vec::new();
    input.read_to_end(&mut wasm)?;
    inspect(&wasm)?.check()?;
    let engine = engine::compiler().map_err(Failure::Engine)?;
    let code = engine.precompile_component(&wasm).map_err(Failure::Engine)?;
    match u64::try_from(code.len()).unwrap_or(u64::MAX) {
        bytes if bytes > CODE_BYTES_MAX => return Err(Failure::TooMuchCode(bytes)),
        _ => output.write_all(&code)?,
    }
    output.flush()?;
    Ok(())
}

fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::OutOfMemory>()
        || error.chain().any(|cause| {
            cause.downcast_ref::<std::io::Error>().is_some_and(|it| it.kind() == std::io::ErrorKind::OutOfMemory)
        })
}
