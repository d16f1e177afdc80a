//! Compiles components where that can hurt nobody.
//!
//! A component of five megabytes can cost the compiler half a minute and nine gigabytes, and one of three kilobytes the validator's whole
//! stack, so reading and compiling it is the one place where the author of a component could harm the host. Owns the way out: a child process of lowest importance, bounded in memory, processor
//! time and wall time, without the host's environment. Promises that whatever the child does comes back as code or as a
//! [`CompileError`] that names the limit, and that no child outlives its wall time. Never runs what it compiled.

mod child;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::inspect::{InspectError, inspect, look};
use crate::ruling::guest_words;
use crate::{engine, threads};

pub use child::compile_as_child;

/// Largest compiled component that is taken, in bytes. A rule has some hundred kilobytes, an interpreter with its library 40 MB.
const CODE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Most of the child's standard error that is read, in bytes.
const COMPLAINT_BYTES_MAX: u64 = 4096;

/// Longest text of the engine's about a component, in bytes.
const ERROR_BYTES_MAX: usize = 1_000;

/// How often a child that closed its output is looked at until it has ended.
const REAP: Duration = Duration::from_millis(1);

/// Signals by which a child ends that used up what it may or broke, by their numbers on Linux.
const SIGILL: i32 = 4;
const SIGABRT: i32 = 6;
const SIGBUS: i32 = 7;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;
const SIGXCPU: i32 = 24;

/// Exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// What compiling one component may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompileLimits {
    /// Address space of the child, in bytes.
    pub memory_bytes: u64,
    /// Processor time, in seconds.
    pub cpu_s: u64,
    /// Wall time, in seconds. The child gives way to all other work, so on a busy machine it takes many times its processor time.
    pub wall_s: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { memory_bytes: 2 << 30, cpu_s: 20, wall_s: 180 }
    }
}

/// Where components are compiled.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// In this process, with nothing to bound what it costs. For components of one's own making.
    Here,
    /// In a child process.
    Child(ChildCompiler),
}

/// A program that calls [`compile_as_child`] with what it is given as its last three arguments: bytes, seconds, and the process it works for.
#[derive(Debug, Clone)]
pub struct ChildCompiler {
    /// The program.
    pub program: PathBuf,
    /// Its arguments before those.
    pub arguments: Vec<OsString>,
    /// What one compilation may cost.
    pub limits: CompileLimits,
}

/// A component that was not compiled.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum CompileError {
    /// It is refused for what it is, before it is compiled.
    #[error(transparent)]
    Unfit(#[from] InspectError),
    /// The compiler refuses it.
    #[error("it does not compile: {0}")]
    Refused(String),
    /// It needs more memory than compiling may use.
    #[error("compiling it takes more than {0} bytes of memory")]
    Memory(u64),
    /// It needs more processor time than compiling may use.
    #[error("compiling it takes more than {0} s of processor time")]
    Cpu(u64),
    /// It becomes more machine code than is taken.
    #[error("it compiles to {0} bytes of machine code and data; at most {CODE_BYTES_MAX} are taken")]
    Code(u64),
    /// The compiler does not survive it.
    #[error("the compiler breaks on it: {0}")]
    Broke(String),
    /// It was not compiled in time. The machine may have been busy.
    #[error("it was not compiled within {0} s")]
    Wall(u64),
    /// The child could not be started or ended without a word.
    #[error("the compiler did not run: {0}")]
    Lost(String),
}

impl CompileError {
    /// Whether the component itself is at fault, so that another attempt would end alike.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Self::Wall(_) | Self::Lost(_))
    }

    /// Whether it took long to find out, so that it is worth to be remembered.
    pub(crate) fn is_costly(&self) -> bool {
        matches!(self, Self::Memory(_) | Self::Cpu(_) | Self::Code(_) | Self::Broke(_))
    }

    /// What the author or the operator can do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unfit(_) | Self::Refused(_) | Self::Broke(_) | Self::Lost(_) => None,
            Self::Memory(_) | Self::Cpu(_) | Self::Code(_) => Some(
                "a rule compiles in well under a second: look for generated code, huge functions or unused libraries",
            ),
            Self::Wall(_) => Some("the machine may be overloaded; reload the plugins when it is not"),
        }
    }
}

/// Machine code that this host's compiler made.
pub(crate) struct Code(Vec<u8>);

impl Code {
    /// The code of a component nobody has checked.
    #[cfg(test)]
    pub(crate) fn unchecked(wasm: &[u8]) -> Self {
        Self(engine::compiler().and_then(|engine| engine.precompile_component(wasm)).unwrap())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Compiler {
    /// What one compilation may cost; None where nothing bounds it.
    pub(crate) fn limits(&self) -> Option<CompileLimits> {
        match self {
            Self::Here => None,
            Self::Child(child) => Some(child.limits),
        }
    }

    /// The machine code of a component that passes every check.
    ///
    /// # Errors
    /// It is refused, or does not compile within the limits.
    pub(crate) fn compile(&self, wasm: &[u8]) -> Result<Code, CompileError> {
        // What no child is needed for.
        look(wasm)?;
        match self {
            Self::Here => here(wasm),
            Self::Child(child) => child.compile(wasm),
        }
    }
}

fn here(wasm: &[u8]) -> Result<Code, CompileError> {
    inspect(wasm)?.check()?;
    let engine = engine::compiler().map_err(|error| CompileError::Lost(words(&error)))?;
    engine.precompile_component(wasm).map(Code).map_err(|error| CompileError::Refused(words(&error)))
}

impl ChildCompiler {
    /// The usual limits for a program.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.into(), arguments, limits: CompileLimits::default() }
    }

    fn compile(&self, wasm: &[u8]) -> Result<Code, CompileError> {
        let deadline = Instant::now() + Duration::from_secs(self.limits.wall_s);
        let mut child = self.start().map_err(|error| self.lost(&error))?;
        let ended = converse(&mut child, wasm, deadline);
        if !matches!(ended, Ok(Some(_))) {
            // A child that has ended meanwhile cannot be killed, and need not be.
            drop(child.kill());
            child.wait().map_err(|error| self.lost(&error))?;
        }
        let ended = ended.map_err(|error| self.lost(&error))?;
        let Ended { status, code, complaint } = ended.ok_or(CompileError::Wall(self.limits.wall_s))?;
        if status.success() { Ok(Code(code)) } else { Err(self.failure(status, &complaint)) }
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        let process = u64::from(std::process::id());
        command.args([self.limits.memory_bytes, self.limits.cpu_s, process].map(|number| number.to_string()));
        // A compiler needs none of the host's secrets, and no directory of it.
        command.env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }

    fn failure(&self, status: ExitStatus, complaint: &str) -> CompileError {
        let limits = &self.limits;
        // Rust aborts when memory is refused, and the compiler may panic first; the system kills what takes more than there is.
        let starved = complaint.contains("memory allocation of") || complaint.contains("out of memory");
        let overflowed = complaint.contains("has overflowed its stack");
        let said = || guest_words(complaint.trim());
        match (status.code(), status.signal()) {
            (_, Some(SIGXCPU)) => CompileError::Cpu(limits.cpu_s),
            (Some(child::OUT_OF_MEMORY), _) | (_, Some(SIGKILL)) => CompileError::Memory(limits.memory_bytes),
            (Some(PANICKED), _) | (_, Some(SIGABRT)) if starved => CompileError::Memory(limits.memory_bytes),
            (_, Some(SIGABRT)) if overflowed => CompileError::Broke("its stack overflows".to_owned()),
            (Some(child::UNFIT), _) => match serde_json::from_str(complaint) {
                Ok(why) => CompileError::Unfit(why),
                Err(_) => CompileError::Lost(format!("{status}; {}", said())),
            },
            (Some(child::TOO_MUCH_CODE), _) => CompileError::Code(complaint.parse().unwrap_or(CODE_BYTES_MAX)),
            (Some(child::REFUSED), _) => CompileError::Refused(said()),
            (Some(PANICKED), _) | (_, Some(SIGILL | SIGABRT | SIGBUS | SIGSEGV)) => {
                CompileError::Broke(format!("{status}; {}", said()))
            }
            _ => CompileError::Lost(format!("{status}; {}", said())),
        }
    }

    fn lost(&self, error: &io::Error) -> CompileError {
        CompileError::Lost(format!("{}: {error}", self.program.display()))
    }
}

/// What a child that ended left.
struct Ended {
    status: ExitStatus,
    code: Vec<u8>,
    complaint: String,
}

/// Gives the child the component and takes what it has to say. None: it did not end in time.
fn converse(child: &mut Child, wasm: &[u8], deadline: Instant) -> io::Result<Option<Ended>> {
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("it has no pipes"));
    };
    // Each pipe has a thread, or a child that fills one would wait for a host that waits for another. They end with the child.
    let wasm = wasm.to_vec();
    // A child that ends early closes the pipe; why, its status says.
    threads::start("compile-input".to_owned(), move || drop(stdin.write_all(&wasm)))?;
    let code = read_aside("compile-output", stdout, CODE_BYTES_MAX)?;
    let complaint = read_aside("compile-complaint", stderr, COMPLAINT_BYTES_MAX)?;
    let left = || deadline.saturating_duration_since(Instant::now());
    let (Ok(code), Ok(complaint)) = (code.recv_timeout(left()), complaint.recv_timeout(left())) else {
        return Ok(None);
    };
    let complaint = String::from_utf8_lossy(&complaint).into_owned();
    while !left().is_zero() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(Ended { status, code, complaint }));
        }
        thread::sleep(REAP);
    }
    Ok(None)
}

/// Reads to the end on a thread of its own.
fn read_aside(name: &str, from: impl Read + Send + 'static, bytes_max: u64) -> io::Result<Receiver<Vec<u8>>> {
    let (answer, wait) = mpsc::sync_channel(1);
    threads::start(name.to_owned(), move || {
        let mut bytes = Vec::new();
        // What was read before an error is what there is; the status of the child tells the rest. Nobody may wait for it any more.
        drop(from.take(bytes_max).read_to_end(&mut bytes));
        drop(answer.send(bytes));
    })?;
    Ok(wait)
}

/// The whole chain of an error of the engine on one line. It quotes names of the component's, so it is bounded and cleaned like its words.
pub(crate) fn words(error: &wasmtime::Error) -> String {
    let mut words = format!("{error:#}").replace(|c: char| c.is_control(), " ");
    words.truncate(words.floor_char_boundary(ERROR_BYTES_MAX));
    words
}
