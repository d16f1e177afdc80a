//! The whole line as its users have it: the real program in processes of its own, a real Redis, and a stand-in for Supabase and Novu.
//!
//! Owns no logic of the product: what must come of a notification is computed here anew, from the row alone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that fails should say where, and what was seen"
)]
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no readers of its API")]

mod author;
mod configuration;
mod crashes;
mod cron;
mod docs;
mod doctor;
mod edits;
mod health;
mod killed;
mod kinds;
mod life;
mod limits;
mod line;
mod logs;
mod metrics;
mod monitor;
mod outages;
mod pages;
mod promises;
mod queue;
mod reload;
mod retractions;
mod rules;
mod run;
mod settings;
mod shell;
mod support;
mod takeover;
mod traces;
mod units;
mod workers;
