//! `xnovu compile`: the child process in which a component is compiled. The host starts it; nobody types it.

use std::io;
use std::process::ExitCode;

use clap::Args;
use xnovu_rules::compile_as_child;

/// What the compilation may cost.
#[derive(Args)]
pub(super) struct CompileArgs {
    /// Address space, in bytes.
    memory_bytes: u64,

    /// Processor time, in seconds.
    cpu_s: u64,

    /// Process it works for, with which it ends.
    parent: u32,
}

/// Compiles the component on standard input to machine code on standard output.
pub(super) fn run(args: &CompileArgs) -> ExitCode {
    let (input, output) = (io::stdin().lock(), io::stdout().lock());
    compile_as_child(args.memory_bytes, args.cpu_s, args.parent, input, output, io::stderr().lock())
}
