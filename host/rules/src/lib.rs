//! Runs the rules of enterprises as sandboxed WebAssembly components.
//!
//! Owns everything between a directory of plugins and an answer: what is loaded, which enterprise it binds, what a component may
//! use and ask, and what its answer must look like. Promises that no component holds up the host, sees another's events or
//! decides the same event differently twice. Never talks to a database, a queue or a network.

mod answer;
mod archive;
mod artifact;
mod binding;
mod bindings;
mod bindings_file;
mod breaker;
mod capability;
mod clock;
mod compile;
mod digest;
mod engine;
mod event;
mod fault;
mod inspect;
mod instance;
mod known;
mod limits;
mod lock_file;
mod manifest;
mod merit;
mod mistake;
mod pinned;
mod plain_file;
mod plan;
mod pool;
mod private_file;
mod rehearsal;
mod reload;
mod report;
mod ruling;
mod runtime;
mod sandbox;
mod scan;
mod set;
mod standing;
mod stat;
mod tally;
mod threads;
mod trial;
mod watch;
mod workshop;

pub use binding::{Binding, BindingState, Grants, RecipientGrant};
pub use bindings_file::{BINDINGS_FILE, BindingsFile, Config, Entry, Subject};
pub use breaker::RetryWaits;
pub use compile::{ChildCompiler, CompileError, CompileLimits, Compiler, compile_as_child};
pub use digest::{Digest, DigestError};
pub use inspect::{Import, InspectError, Inspection, Names, inspect};
pub use limits::{LimitError, Limits};
pub use lock_file::LOCK_FILE;
pub use manifest::{MANIFEST_FILE, Manifest, Target, is_plugin_name};
pub use mistake::Mistake;
pub use report::{BindingOutcome, Hinted, PluginOutcome, Report};
pub use ruling::{Broken, BrokenKind, Decided, FailurePolicy, LogLevel, LogLine, Pin, Ruled, Rules, Ruling, Stamp};
pub use runtime::{OpenError, RollbackError, RolledBack, Runtime, RuntimeOptions};
pub use sandbox::{LoadError, SandboxError};
pub use set::Set;
pub use standing::{Failing, Standing, State};
pub use tally::Counted;
pub use trial::{Trial, Tried, Workbench};
pub use watch::Watch;
