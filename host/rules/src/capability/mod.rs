//! What a component may ask of the host while it decides, one interface a file.
//!
//! Owns the list of interfaces a component may import. Promises that none of them blocks, reads a clock or reaches out of the
//! evaluation: each answers from the event and the store's own state.

pub(crate) mod calendar;
pub(crate) mod log;
pub(crate) mod wasi;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::contract::xnovu::rules;
use crate::instance::State;

/// The package of the contract.
pub(crate) const CONTRACT_PACKAGE: &str = "xnovu:rules";

/// The contract's version, in whose series (0.1) a component must be.
pub(crate) const CONTRACT_VERSION: semver::Version = semver::Version::new(0, 1, 0);

/// The interface a component must export.
pub(crate) const RULESET: &str = "ruleset";

/// An interface a component may import.
pub(crate) struct Capability {
    /// Package and interface, without a version.
    pub(crate) name: &'static str,
    /// What it gives, for people.
    pub(crate) words: &'static str,
}

/// Everything a component may import.
pub(crate) const CAPABILITIES: [Capability; 21] = [
    Capability { name: "xnovu:rules/types", words: "the words of the contract" },
    Capability { name: "xnovu:rules/log", words: "lines to the host's log" },
    Capability { name: "xnovu:rules/calendar", words: "civil time in any time zone" },
    Capability { name: "wasi:io/error", words: "errors of streams" },
    Capability { name: "wasi:io/poll", words: "readiness of streams; waiting for a clock traps" },
    Capability { name: "wasi:io/streams", words: "standard input (empty) and output (to the log)" },
    Capability { name: "wasi:cli/environment", words: "an empty environment" },
    Capability { name: "wasi:cli/exit", words: "an exit, which traps" },
    Capability { name: "wasi:cli/stdin", words: "empty standard input" },
    Capability { name: "wasi:cli/stdout", words: "standard output, to the log" },
    Capability { name: "wasi:cli/stderr", words: "standard error, to the log" },
    Capability { name: "wasi:cli/terminal-input", words: "no terminal" },
    Capability { name: "wasi:cli/terminal-output", words: "no terminal" },
    Capability { name: "wasi:cli/terminal-stdin", words: "no terminal" },
    Capability { name: "wasi:cli/terminal-stdout", words: "no terminal" },
    Capability { name: "wasi:cli/terminal-stderr", words: "no terminal" },
    Capability { name: "wasi:clocks/monotonic-clock", words: "a clock that stands at the event's now" },
    Capability { name: "wasi:clocks/wall-clock", words: "a clock that stands at the event's now" },
    Capability { name: "wasi:random/random", words: "numbers that follow from the event's seed" },
    Capability { name: "wasi:random/insecure", words: "numbers that follow from the event's seed" },
    Capability { name: "wasi:random/insecure-seed", words: "a number that follows from the event's seed" },
];

/// Gives a linker every capability.
///
/// # Errors
/// Two capabilities have one name, which is a mistake in this crate.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    rules::types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    rules::log::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    rules::calendar::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::link(linker)
}

/// The capability behind the name of an import such as `wasi:cli/stdout@0.2.6`, if it is one and of a version we have.
pub(crate) fn find(import: &str) -> Option<&'static Capability> {
    let (name, version) = import.split_once('@')?;
    let version: semver::Version = version.parse().ok()?;
    let minor = if name.starts_with(CONTRACT_PACKAGE) { CONTRACT_VERSION.minor } else { wasi::MINOR };
    let fits = version.major == 0 && version.minor == minor && version.pre.is_empty();
    CAPABILITIES.iter().find(|capability| fits && capability.name == name)
}

impl rules::types::Host for State {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_found_by_name_and_series() {
        for import in ["xnovu:rules/log@0.1.0", "xnovu:rules/log@0.1.7", "wasi:cli/stdout@0.2.0", "wasi:io/poll@0.2.99"]
        {
            assert!(find(import).is_some(), "{import}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        let others = [
            "xnovu:rules/log",
            "xnovu:rules/log@0.2.0",
            "xnovu:rules/clock@0.1.1",
            "wasi:cli/stdout@0.3.0",
            "wasi:filesystem/types@0.2.6",
            "wasi:cli/stdout@0.2.0-rc-2023-11-10",
            "env",
        ];
        for import in others {
            assert!(find(import).is_none(), "{import}");
        }
    }
}
