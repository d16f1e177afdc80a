//! The contract of `wit/rules.wit` in Rust, generated.
//!
//! Never seen outside this crate: `event` and `answer` translate to and from the domain's types.

#![allow(missing_docs, unreachable_pub, reason = "generated from the contract, which documents each item")]

/// What rules answer and what they may ask.
pub(crate) mod contract {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "rules",
        imports: { default: trappable },
    });
}
