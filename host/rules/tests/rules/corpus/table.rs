//! The attacks, and how each must end.
//!
//! The one list: the test goes through it, and the documentation shows it.

use std::fmt::Write as _;

use super::bytes;
use crate::support::{bombs, wat};

/// One thing a component may try.
pub(super) struct Attack {
    pub(super) name: String,
    /// A sentence for people.
    pub(super) does: String,
    pub(super) guest: Guest,
    /// The binding's config, as it stands in `bindings.toml`.
    pub(super) config: String,
    /// The binding's limits, likewise.
    pub(super) limits: &'static str,
    pub(super) ends: Ends,
}

/// Where the component comes from.
pub(super) enum Guest {
    /// `tests/guests/hostile`, told by its config.
    Told,
    /// The same with a standard library that needs WASI.
    ToldWithWasi,
    /// The file of that name in `tests/guests/wat`.
    Wat,
    /// Bytes no toolchain would make.
    Made(Box<dyn Fn() -> Vec<u8>>),
    /// None: this is done to the compiled components of an honest one. Beside their bytes it gets machine code of another engine.
    Cache(fn(&mut Vec<u8>, Vec<u8>)),
}

/// How it must end.
pub(super) enum Ends {
    /// It is never bound, for this reason.
    Refused(String),
    /// It is bound, and an evaluation fails so, for this reason.
    Fails(&'static str, String),
    /// It is answered or answers like any other, because.
    Harmless(&'static str),
}

/// More wall time than fuel lasts, however busy the machine is.
const BY_FUEL: &str = "wall_ms = 10_000";

/// More fuel than wall time lasts.
const BY_TIME: &str = "fuel = 10_000_000_000, wall_ms = 30";

/// More of both than memory lasts.
const BY_MEMORY: &str = "wall_ms = 10_000, fuel = 10_000_000_000";

/// The attacks in their groups.
pub(super) fn groups() -> Vec<(&'static str, Vec<Attack>)> {
    vec![
        ("Files that are no rule", files()),
        ("Worlds and versions", worlds()),
        ("Imports", imports()),
        ("More than a component may have", sizes()),
        ("Harder to compile than to send", bombs()),
        ("Before the first question", starts()),
        ("Loops", loops()),
        ("Memory, tables and stack", memory()),
        ("Traps", traps()),
        ("Answers", answers()),
        ("The host's functions", host_functions()),
        ("The compiled cache", cache()),
    ]
}

fn files() -> Vec<Attack> {
    vec![
        made("empty-file", "No bytes.", Vec::new, refused("it is not WebAssembly")),
        made("script", "A shell script.", || b"#!/bin/sh\nrm -rf /\n".to_vec(), refused("it is not WebAssembly")),
        made("core-module", "A core module.", bytes::core_module, refused("it is a core module, not a component")),
        made(
            "machine-code",
            "Code compiled by the author, which would run outside of the sandbox.",
            bytes::machine_code,
            refused("it is a precompiled artifact"),
        ),
        made(
            "truncated-behind-its-head",
            "A component of which eight bytes have arrived.",
            || bytes::truncated(|_| 8),
            refused("it does not export xnovu:rules/ruleset@0.1.0; it exports nothing"),
        ),
        made(
            "truncated-in-the-middle",
            "Half of a component.",
            || bytes::truncated(|len| len / 2),
            refused("it is not a valid component"),
        ),
        made(
            "truncated-by-a-byte",
            "A component without its last byte.",
            || bytes::truncated(|len| len - 1),
            refused("it is not a valid component"),
        ),
        made(
            "bits-flipped",
            "A component with a flipped bit in each thousand bytes.",
            bytes::flipped,
            refused("it is not a valid component: magic header not detected"),
        ),
        made(
            "painted-name",
            "Imports a name with the control characters of a terminal in it.",
            bytes::painted_name,
            refused("it is not a valid component: import name ` [2J [31mall is well really`"),
        ),
    ]
}

fn worlds() -> Vec<Attack> {
    vec![
        made(
            "empty-world",
            "A component without imports and exports.",
            || crate::support::components::stub(&["package test:odd;\nworld odd {}"], "odd"),
            refused("it does not export xnovu:rules/ruleset@0.1.0; it exports nothing"),
        ),
        made(
            "wrong-world",
            "A component for another kind of host.",
            || crate::support::components::stub(&["package test:odd;\nworld odd { export run: func(); }"], "odd"),
            refused("it does not export xnovu:rules/ruleset@0.1.0; it exports run"),
        ),
        made(
            "wrong-world-of-long-names",
            "Exports thirty functions under names of 90,000 bytes each.",
            || bytes::long_exports(30, 90_000),
            refused("it does not export xnovu:rules/ruleset@0.1.0; it exports 30 under very long names"),
        ),
        made(
            "foreign-package",
            "The same contract under another package's name.",
            || bytes::changed(|text| text.replace("package xnovu:rules", "package other:rules")),
            refused("it imports what a rule may not have: other:rules/"),
        ),
        made(
            "older-series",
            "Built for the contract 0.0.9.",
            || bytes::changed(|text| text.replace("@0.1.0", "@0.0.9")),
            refused("it was built for xnovu:rules@0.0.9; this host has 0.1.0 and lacks xnovu:rules/"),
        ),
        made(
            "newer-series",
            "Built for the contract 0.2.0.",
            || bytes::changed(|text| text.replace("@0.1.0", "@0.2.0")),
            refused("it was built for xnovu:rules@0.2.0; this host has 0.1.0 and lacks xnovu:rules/"),
        ),
        made(
            "pre-release",
            "Built for the contract 0.1.1-rc.1.",
            || bytes::changed(|text| text.replace("@0.1.0", "@0.1.1-rc.1")),
            refused("it was built for xnovu:rules@0.1.1-rc.1; this host has 0.1.0 and lacks xnovu:rules/"),
        ),
        made(
            "newer-patch-with-an-interface",
            "Built for the contract 0.1.1, which has an interface that this host lacks.",
            || {
                bytes::changed(|text| {
                    let more = "import log;\n    import secrets;";
                    text.replace("@0.1.0", "@0.1.1").replace("import log;", more)
                        + "\ninterface secrets { read: func() -> string; }"
                })
            },
            refused(
                "it was built for xnovu:rules@0.1.1; this host has 0.1.0 and lacks xnovu:rules/secrets@0.1.1 (read)",
            ),
        ),
        made(
            "newer-patch-with-a-function",
            "Built for the contract 0.1.1, which has a function more in an interface that this host has.",
            || {
                bytes::changed(|text| {
                    text.replace("@0.1.0", "@0.1.1").replace("    write: func(", "    flush: func();\n    write: func(")
                })
            },
            refused("instance export `flush` has the wrong type"),
        ),
        made(
            "record-changed",
            "Its events have a field less.",
            || bytes::changed(|text| text.replace("        seed: u32,\n", "")),
            refused("expected record of 6 fields, found 5 fields"),
        ),
        made(
            "function-missing",
            "Has no `transform`.",
            || {
                bytes::changed(|text| {
                    text.replace("transform: func(event: event) -> result<list<message>, rule-error>;", "")
                })
            },
            refused("`xnovu:rules/ruleset@0.1.0` does not have export `transform`"),
        ),
    ]
}

/// What a component cannot import, by package and interface.
const FORBIDDEN: [(&str, &str); 22] = [
    ("wasi:filesystem@0.2.6", "types"),
    ("wasi:filesystem@0.2.6", "preopens"),
    ("wasi:sockets@0.2.6", "network"),
    ("wasi:sockets@0.2.6", "instance-network"),
    ("wasi:sockets@0.2.6", "ip-name-lookup"),
    ("wasi:sockets@0.2.6", "tcp"),
    ("wasi:sockets@0.2.6", "tcp-create-socket"),
    ("wasi:sockets@0.2.6", "udp"),
    ("wasi:sockets@0.2.6", "udp-create-socket"),
    ("wasi:http@0.2.6", "types"),
    ("wasi:http@0.2.6", "outgoing-handler"),
    ("wasi:http@0.2.6", "incoming-handler"),
    ("wasi:clocks@0.2.6", "timezone"),
    ("wasi:clocks@0.3.0", "wall-clock"),
    ("wasi:cli@0.2.6", "run"),
    ("wasi:config@0.2.0", "store"),
    ("wasi:keyvalue@0.2.0", "store"),
    ("wasi:blobstore@0.2.0", "container"),
    ("wasi:messaging@0.2.0", "producer"),
    ("wasi:logging@0.1.0", "logging"),
    ("wasi:nn@0.2.0", "inference"),
    ("wasi:tls@0.2.0", "types"),
];

fn imports() -> Vec<Attack> {
    let forbidden = FORBIDDEN.iter().map(|(package, interface)| {
        let (name, version) = package.split_once('@').unwrap_or_default();
        let short = format!("{}-{}", name.replace(':', "-"), interface);
        let short = if version.starts_with("0.3") { format!("{short}-0-3") } else { short };
        let words = format!("it imports what a rule may not have: {name}/{interface}@{version} (call)");
        made(
            &short,
            &format!("Imports `{name}/{interface}@{version}`."),
            || bytes::importing(package, interface),
            refused(&words),
        )
    });
    let others = [
        made(
            "files-of-a-standard-library",
            "Reads a file as a Rust program does.",
            || crate::support::guests::hostile_files().to_vec(),
            refused("it imports what a rule may not have: wasi:filesystem/types@"),
        ),
        made(
            "imports-a-module",
            "Imports a core module, as WASI's first preview was.",
            bytes::imports_a_module,
            refused("it imports what a rule may not have: preview1"),
        ),
        made(
            "ten-thousand-imports",
            "Imports ten thousand functions under long names.",
            || bytes::many_imports(10_000),
            refused("-a13 and 9986 more"),
        ),
    ];
    forbidden.chain(others).collect()
}

fn sizes() -> Vec<Attack> {
    vec![
        made(
            "fifty-megabytes",
            "A component of 50 MB.",
            || bytes::of_mib(50),
            refused("its component has 52434478 bytes; at most 4194304 are allowed (limits.component_bytes)"),
        ),
        made(
            "nested-components",
            "Components within components, three hundred thousand deep.",
            || bombs::nested(300_000),
            refused("it is not a valid component: components are nested in it 300001 deep"),
        ),
        made(
            "nested-component-types",
            "A type of a component within a type of a component, a million deep.",
            || bombs::nested_types(0x41, 1_000_000),
            refused("the compiler breaks on it: its stack overflows"),
        ),
        made(
            "nested-instance-types",
            "A type of an instance within a type of an instance, ten thousand deep, in 30 KB.",
            || bombs::nested_types(0x42, 10_000),
            refused("the compiler breaks on it: its stack overflows"),
        ),
        made(
            "doubling-types",
            "A type whose size doubles sixty times.",
            || bytes::doubling_types(60),
            refused("it is not a valid component: effective type size exceeds the limit"),
        ),
        made(
            "nine-hundred-instances",
            "Is made of nine hundred instances of one module.",
            || bombs::instances(900),
            refused("contains 904 core module instances, which exceeds the configured maximum of 64"),
        ),
        wat("five-memories", refused("defined memories count of 5 exceeds the per-instance limit")),
        wat("shared-memory", refused("it is not a valid component: mismatch in the shared flag")),
        wat("relaxed-simd", refused("relaxed SIMD support is not enabled")),
        wat("first-memory-too-large", refused("limits.memory_bytes")),
        wat("first-memory-too-large-for-the-pool", refused("memory has a minimum byte size of 1073741824")),
        wat("first-table-too-large", refused("table index 0 has a minimum element size of 10000000")),
        wat("sparse-data", Ends::Harmless("it has no more memory than it was granted")),
    ]
}

/// The compiler may use 256 MB here, so that these end soon.
fn bombs() -> Vec<Attack> {
    let bomb = |name, does, make: fn() -> Vec<u8>| {
        made(name, does, make, refused("compiling it takes more than 268435456 bytes of memory"))
    };
    vec![
        bomb("bomb-of-functions", "Two hundred thousand functions.", || bombs::functions(200_000)),
        bomb("bomb-of-branches", "Twenty functions of twelve thousand branches that meet again.", || {
            bombs::branches(20, 12_000)
        }),
        bomb("bomb-of-one-function", "One function of sixty thousand branches that meet again.", || {
            bombs::branches(1, 60_000)
        }),
        Attack {
            limits: "component_bytes = 67_108_864",
            ..made(
                "huge-body",
                "One function of 15 MB, where the operator allows a component of that size.",
                || bombs::body(15 << 20),
                refused("function body size count exceeds limit of 7654321"),
            )
        },
        made(
            "sparse-modules",
            "Brings along four modules whose few bytes of data lie 15 MiB apart.",
            || bombs::sparse_modules(4, 15 << 20),
            refused("cannot check its config: it trapped"),
        ),
        made(
            "much-code-of-little",
            "Brings along seventy-five modules whose few bytes of data lie 960 KiB apart.",
            || bombs::sparse_modules(75, 15 << 16),
            refused("bytes of machine code and data; at most 67108864 are taken"),
        ),
        bomb("bomb-of-blocks", "Blocks within blocks, two hundred thousand deep.", || bombs::blocks(200_000)),
    ]
}

fn starts() -> Vec<Attack> {
    vec![
        wat("start-loops", refused("it does not start: it used up its fuel")),
        wat("start-traps", refused("it does not start: it trapped: wasm `unreachable` instruction executed")),
        wat("start-takes-memory", refused("limits.memory_bytes")),
        wat("start-fills-memory", refused("it does not start: it used up its fuel")),
        wat("start-calls-host", refused("it does not start: it trapped: uninitialized element")),
        told(
            "config-check-loops",
            "Loops for ever in `validate-config`.",
            "{ validate = \"loop\" }",
            refused("cannot check its config: it used up its fuel"),
        ),
        told(
            "config-check-panics",
            "Panics in `validate-config`.",
            "{ validate = \"panic:no\" }",
            refused("cannot check its config: it trapped"),
        ),
        Attack {
            limits: BY_MEMORY,
            ..told(
                "config-check-takes-memory",
                "Takes memory without end in `validate-config`.",
                "{ validate = \"grow:1000000000\" }",
                refused("limits.memory_bytes"),
            )
        },
        told(
            "config-refused",
            "Refuses every config.",
            "{ validate = \"reject:because\" }",
            refused("refuses its config: because"),
        ),
        wat("config-refused-in-colour", refused("refuses its config:  [2J ]0;all is well")),
        told(
            "config-refused-at-length",
            "Refuses every config in 100,000 bytes.",
            &format!("{{ validate = \"reject:{}\" }}", "x".repeat(100_000)),
            refused("refuses its config: xxx"),
        ),
    ]
}

fn loops() -> Vec<Attack> {
    vec![
        told("admit-loops", "Loops for ever in `admit`.", "{ admit = \"loop\" }", fails("fuel", "limits.fuel")),
        Attack {
            limits: BY_TIME,
            ..told(
                "admit-loops-on-much-fuel",
                "The same where the operator allows fuel for minutes.",
                "{ admit = \"loop\" }",
                fails("timed-out", "limits.wall_ms"),
            )
        },
        told(
            "transform-loops",
            "Loops for ever in `transform`.",
            "{ transform = \"loop\" }",
            fails("fuel", "limits.fuel"),
        ),
        wat("realloc-loops", fails("fuel", "limits.fuel")),
        wat("post-return-loops", fails("fuel", "limits.fuel")),
        Attack { limits: BY_TIME, ..wat("memory-fills", fails("timed-out", "limits.wall_ms")) },
        Attack { limits: BY_TIME, ..wat("table-fills", fails("timed-out", "limits.wall_ms")) },
    ]
}

fn memory() -> Vec<Attack> {
    vec![
        Attack {
            limits: BY_MEMORY,
            ..told(
                "takes-memory",
                "Takes a gigabyte, a megabyte at a time.",
                "{ admit = \"grow:1000000000\" }",
                fails("memory", "limits.memory_bytes"),
            )
        },
        told(
            "tries-memory",
            "Asks for a gigabyte at once and lives on without it.",
            "{ admit = \"try-grow:1000000000\" }",
            Ends::Harmless("the refusal is all it gets"),
        ),
        wat("memory-grows-at-once", fails("memory", "limits.memory_bytes")),
        wat("realloc-takes-memory", fails("memory", "limits.memory_bytes")),
        wat("table-grows", fails("memory", "limits.memory_bytes")),
        told(
            "recurses",
            "Calls itself without end, with a frame in its own memory.",
            "{ admit = \"recurse:1\" }",
            fails("trap", "out of bounds memory access"),
        ),
        wat("admit-recurses", fails("trap", "call stack exhausted")),
    ]
}

fn traps() -> Vec<Attack> {
    vec![
        told("admit-panics", "Panics in `admit`.", "{ admit = \"panic:no\" }", fails("trap", "unreachable")),
        told(
            "transform-panics",
            "Panics in `transform`.",
            "{ transform = \"panic:no\" }",
            fails("trap", "unreachable"),
        ),
        wat("realloc-traps", fails("trap", "unreachable")),
        wat("post-return-traps", fails("trap", "unreachable")),
        wat("divides-by-zero", fails("trap", "integer divide by zero")),
        wat("calls-nothing", fails("trap", "uninitialized element")),
        wat("calls-another-type", fails("trap", "indirect call type mismatch")),
        wat("reads-beyond-its-memory", fails("trap", "out of bounds memory access")),
        wat("looks-at-a-nan", Ends::Harmless("there is one NaN, on every processor")),
    ]
}

fn answers() -> Vec<Attack> {
    let forbidden = |name, does, act: &str, words| told(name, does, act, fails("invalid-answer", words));
    vec![
        wat("realloc-out-of-bounds", fails("trap", "realloc return: beyond end of memory")),
        wat("realloc-unaligned", fails("trap", "realloc return: result not aligned")),
        wat("realloc-overlaps", Ends::Harmless("only its own view of the event is garbled")),
        wat("answer-out-of-bounds", fails("trap", "pointer out of bounds")),
        wat("answer-unaligned", fails("trap", "pointer not aligned")),
        wat("result-of-no-kind", fails("trap", "invalid expected discriminant")),
        wat("verdict-of-no-kind", fails("trap", "unexpected discriminant")),
        wat("string-out-of-bounds", fails("trap", "out of bounds")),
        wat("string-not-utf8", fails("trap", "invalid utf-8")),
        wat("string-half-a-character", fails("trap", "incomplete utf-8")),
        told(
            "string-of-8-megabytes",
            "Answers a reason of 8 MB.",
            "{ admit = \"big:8000000\" }",
            fails("output-too-large", "bytes to the host at once"),
        ),
        told(
            "string-above-its-limit",
            "Answers a reason one byte above the limit.",
            "{ admit = \"big:65537\" }",
            fails("output-too-large", "limits.output_bytes"),
        ),
        told(
            "messages-above-their-limit",
            "Answers a thousand messages.",
            "{ transform = \"messages:1000\" }",
            fails("invalid-answer", "limits.messages"),
        ),
        wat("list-out-of-bounds", fails("trap", "out of bounds")),
        wat("list-of-a-million-empty-strings", fails("output-too-large", "bytes to the host at once")),
        wat("list-of-one-payload-many-times", fails("output-too-large", "bytes to the host at once")),
        forbidden(
            "payload-not-json",
            "Answers a payload that is not JSON.",
            "{ transform = \"payload:{\\\"a\\\":\" }",
            "its payload is not JSON",
        ),
        forbidden(
            "payload-no-object",
            "Answers a payload that is a list.",
            "{ transform = \"payload:[]\" }",
            "its payload is JSON, but not an object",
        ),
        wat(
            "json-nested-deeply",
            Ends::Harmless("the host keeps JSON as text and follows it no deeper than its first level"),
        ),
        wat("error-in-colour", fails("rule-error", " [2J ]0;all is well")),
        forbidden("priority-too-high", "Answers the priority 1001.", "{ admit = \"priority:1001\" }", "1001"),
        forbidden(
            "priority-highest",
            "Answers the highest priority 32 bits hold.",
            "{ admit = \"priority:4294967295\" }",
            "4294967295",
        ),
        forbidden(
            "defers-to-no-number",
            "Puts off until what is not a number.",
            "{ admit = \"defer-until:nan\" }",
            "it defers until NaN",
        ),
        forbidden(
            "defers-for-ever",
            "Puts off until infinity.",
            "{ admit = \"defer-until:inf\" }",
            "it defers until inf",
        ),
        forbidden(
            "defers-behind-the-last-year",
            "Puts off until a time no calendar has.",
            "{ admit = \"defer-until:1e300\" }",
            "no time up to the year 9999",
        ),
        forbidden(
            "defers-to-the-past",
            "Puts off until a second ago.",
            "{ admit = \"defer-by:-1000\" }",
            "less than a second after",
        ),
        forbidden(
            "defers-to-the-distant-past",
            "Puts off until the farthest past.",
            "{ admit = \"defer-until:-1e300\" }",
            "less than a second after",
        ),
        forbidden(
            "defers-too-shortly",
            "Puts off by 999 ms, again and again.",
            "{ admit = \"defer-by:999\" }",
            "less than a second after",
        ),
    ]
}

fn host_functions() -> Vec<Attack> {
    vec![
        wat("realloc-calls-host", fails("trap", "cannot leave component instance")),
        wat("post-return-calls-host", fails("trap", "cannot leave component instance")),
        told(
            "floods-the-log",
            "Logs a thousand million lines.",
            "{ admit = \"log:1000000000x100\" }",
            fails("fuel", "limits.fuel"),
        ),
        told(
            "logs-more-than-is-kept",
            "Logs a thousand lines and goes on.",
            "{ admit = \"log:1000x10\" }",
            Ends::Harmless("64 lines are kept, and only where the operator asked for them"),
        ),
        wat("log-line-of-16-mib", fails("output-too-large", "bytes to the host at once")),
        wat("log-level-of-no-kind", fails("trap", "unexpected discriminant")),
        wat("log-not-utf8", fails("trap", "invalid utf-8")),
        wat("log-out-of-bounds", fails("trap", "out of bounds")),
        Attack { limits: BY_TIME, ..wat("zone-of-200-kilobytes", fails("timed-out", "limits.wall_ms")) },
        wat("time-that-is-no-number", Ends::Harmless("each is refused in words")),
        wat("sleeps-in-the-host", fails("trap", "it waits for a clock, and clocks stand while a rule decides")),
        wasi(
            "sleeps-in-its-library",
            "Calls its standard library's `sleep`.",
            "{ admit = \"sleep:3600000\" }",
            fails("trap", "it waits for a clock"),
        ),
        wat("leaves", fails("trap", "it called exit instead of answering")),
        wat("asks-for-endless-chance", fails("trap", "requested len 18446744073709551615 exceeds limit")),
        wat("hoards-handles", fails("trap", "store handle limit exceeded")),
        wat("forges-a-handle", fails("trap", "unknown handle index")),
        wat("gives-a-handle-back-twice", fails("trap", "unknown handle index")),
        wat("uses-a-handle-as-another", fails("trap", "handle index")),
        wat("drops-a-stream-that-is-watched", fails("trap", "resource has children")),
        wat("writes-endless-zeroes", fails("trap", "cannot write more zeroes than")),
        wat("polls-one-thing-many-times", fails("trap", "cannot lend resource: store handle limit exceeded")),
        Attack { limits: BY_FUEL, ..wat("reads-input-for-ever", fails("fuel", "limits.fuel")) },
        Attack { limits: BY_TIME, ..wat("writes-without-a-line-end", fails("timed-out", "limits.wall_ms")) },
        wasi(
            "prints-for-ever",
            "Prints a thousand million lines.",
            "{ admit = \"print:1000000000\" }",
            fails("fuel", "limits.fuel"),
        ),
    ]
}

fn cache() -> Vec<Attack> {
    let damaged = |name: &str, does: &str, tamper| {
        attack(name, does, Guest::Cache(tamper), Ends::Harmless("the component is compiled anew"))
    };
    vec![
        damaged("cache-bit-flipped", "One bit of compiled code is another.", |bytes, _| {
            *bytes.last_mut().unwrap() ^= 1;
        }),
        damaged("cache-truncated", "Half of a compiled component is missing.", |bytes, _| {
            bytes.truncate(bytes.len() / 2);
        }),
        damaged("cache-emptied", "A compiled component has no bytes left.", |bytes, _| bytes.clear()),
        damaged(
            "cache-of-another-engine",
            "Valid code of another engine, without this host's seal.",
            |bytes, machine_code| *bytes = machine_code,
        ),
        damaged(
            "cache-under-the-seal-of-another",
            "Code behind a seal that belongs to other code.",
            |bytes, machine_code| {
                bytes.truncate(32);
                bytes.extend(machine_code);
            },
        ),
    ]
}

fn attack(name: &str, does: &str, guest: Guest, ends: Ends) -> Attack {
    Attack { name: name.to_owned(), does: does.to_owned(), guest, config: "{}".to_owned(), limits: BY_FUEL, ends }
}

fn made(name: &str, does: &str, make: impl Fn() -> Vec<u8> + 'static, ends: Ends) -> Attack {
    attack(name, does, Guest::Made(Box::new(make)), ends)
}

fn told(name: &str, does: &str, config: &str, ends: Ends) -> Attack {
    Attack { config: config.to_owned(), ..attack(name, does, Guest::Told, ends) }
}

fn wasi(name: &str, does: &str, config: &str, ends: Ends) -> Attack {
    Attack { config: config.to_owned(), ..attack(name, does, Guest::ToldWithWasi, ends) }
}

fn wat(name: &str, ends: Ends) -> Attack {
    attack(name, &wat::says(name), Guest::Wat, ends)
}

fn refused(words: &str) -> Ends {
    Ends::Refused(words.to_owned())
}

fn fails(kind: &'static str, words: &str) -> Ends {
    Ends::Fails(kind, words.to_owned())
}

/// The table as the documentation shows it.
pub(super) fn as_markdown() -> String {
    let mut text = String::new();
    for (title, attacks) in groups() {
        write!(text, "\n### {title}\n\n| attack | what it does | how it ends |\n|---|---|---|\n").unwrap();
        for Attack { name, does, ends, .. } in attacks {
            let ends = match ends {
                Ends::Refused(words) => format!("refused: {words}"),
                Ends::Fails(kind, words) => format!("fails (`{kind}`): {words}"),
                Ends::Harmless(why) => format!("harmless: {why}"),
            };
            writeln!(text, "| {name} | {does} | {ends} |").unwrap();
        }
    }
    text.push('\n');
    text
}
