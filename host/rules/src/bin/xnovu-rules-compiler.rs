//! The child process in which this crate's own tests and benches compile components; `xnovu` brings its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut limits = std::env::args().skip(1).map(|limit| limit.parse::<u64>());
    match (limits.next(), limits.next(), limits.next().map(|parent| parent.map(u32::try_from))) {
        (Some(Ok(memory_bytes)), Some(Ok(cpu_s)), Some(Ok(Ok(parent)))) => {
            let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
            xnovu_rules::compile_as_child(memory_bytes, cpu_s, parent, input, output, std::io::stderr().lock())
        }
        _ => ExitCode::FAILURE,
    }
}
