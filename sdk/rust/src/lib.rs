//! Rules of an enterprise, written in Rust and run by xnovu as a WebAssembly component.
//!
//! A rule is a unit struct with an implementation of [`Rules`], whose every method has a default, under the attribute [`rules`]:
//!
//! ```
//! use xnovu_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Settings {
//!     muted: Vec<String>,
//! }
//!
//! struct Mute;
//!
//! #[xnovu_sdk::rules]
//! impl Rules for Mute {
//!     type Config = Settings;
//!
//!     fn admit(&self, event: &Event, config: &Settings) -> Result<Verdict, RuleError> {
//!         let muted = event.category().is_some_and(|category| config.muted.iter().any(|one| one == category));
//!         Ok(if muted { Verdict::drop("its category is muted") } else { Verdict::deliver() })
//!     }
//! }
//! # let event = Event::builder().category("marketing").build();
//! # let config = Settings { muted: vec!["marketing".into()] };
//! # assert_eq!(Mute.admit(&event, &config), Ok(Verdict::drop("its category is muted")));
//! ```
//!
//! The same crate compiled for the machine it is written on is plain Rust: `Event::builder()` makes events, `cargo test` runs the
//! tests, [`calendar`] answers from time zone data compiled into the test. Compiled by `xnovu plugin build` it imports two interfaces
//! of the host, [`log`] and [`calendar`], and nothing else: no files, no network, no clock, no random numbers. What a rule may know
//! of time and chance is in the event ([`Event::now`], [`Event::seed`]).

#[cfg(any(test, target_arch = "wasm32"))]
mod answer;
pub mod calendar;
mod error;
mod event;
mod json;
pub mod log;
mod message;
mod rules;
mod time;
mod verdict;

#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[cfg(target_arch = "wasm32")]
mod guest;

pub use error::RuleError;
pub use event::{Event, Facts, Origin, Severity};
pub use message::Message;
pub use rules::Rules;
pub use time::{NotATimestamp, Timestamp};
pub use verdict::Verdict;
pub use xnovu_sdk_macros::rules;

/// What a rule usually needs: `use xnovu_sdk::prelude::*;`.
pub mod prelude {
    pub use serde::{Deserialize, Serialize};
    pub use serde_json::{Value, json};

    pub use crate::{Event, Message, Origin, RuleError, Rules, Severity, Timestamp, Verdict, calendar, log};
}

/// What the attribute macro refers to. No part of the library's promises.
#[doc(hidden)]
pub mod __private {
    pub use serde_json::Value;

    #[cfg(target_arch = "wasm32")]
    pub use crate::guest::{Component, bindings};
    pub use crate::rules::{Unit, alive};
}
