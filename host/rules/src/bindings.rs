//! The contract of `wit/rules.wit`, and the part of WASI we answer, in Rust, generated.
//!
//! Never seen outside this crate: `event` and `answer` translate to and from the domain's types.

#![allow(missing_docs, unreachable_pub, reason = "generated from the contracts, which document each item")]

/// What rules answer and what they may ask.
pub(crate) mod contract {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "rules",
        imports: { default: trappable },
    });
}

/// What standard libraries ask.
pub(crate) mod subset {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "subset",
        imports: { default: trappable },
    });
}
