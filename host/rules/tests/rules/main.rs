//! The rules runtime against real components.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod attacks;
mod breakers;
mod compiling;
mod contract;
mod contract_page;
mod corpus;
mod directories;
mod isolation;
mod loading;
mod pins;
mod reloads;
mod rollbacks;
mod schemas;
mod standard_library;
mod support;
mod unbinding;
mod watching;
