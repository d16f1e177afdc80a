//! Lines to the host's log: `log::info!("{} recipients", n)`.
//!
//! Operators see them only where the enterprise's binding says `log_guest = true`. One evaluation may log 8 KiB in 64 lines unless
//! the binding says otherwise; what exceeds that is cut off without a word. In a native test the lines are kept for
//! `xnovu_sdk::testing::logged`.

use std::fmt;

#[doc(inline)]
pub use crate::{__debug as debug, __error as error, __info as info, __warn as warn};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the author of the rules.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is odd.
    Warn,
    /// Something is wrong.
    Error,
}

/// Writes one line.
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    let text = message.to_string();
    #[cfg(target_arch = "wasm32")]
    crate::guest::write_log(level, &text);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::keep_log(level, text);
}

/// Logs a line for the author of the rules.
#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($argument:tt)+) => { $crate::log::write($crate::log::Level::Debug, ::core::format_args!($($argument)+)) };
}

/// Logs a line worth knowing.
#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($argument:tt)+) => { $crate::log::write($crate::log::Level::Info, ::core::format_args!($($argument)+)) };
}

/// Logs that something is odd.
#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($argument:tt)+) => { $crate::log::write($crate::log::Level::Warn, ::core::format_args!($($argument)+)) };
}

/// Logs that something is wrong.
#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($argument:tt)+) => { $crate::log::write($crate::log::Level::Error, ::core::format_args!($($argument)+)) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::logged;

    #[test]
    fn every_level_has_its_macro() {
        let count = 2;
        debug!("a");
        info!("{count} recipients");
        warn!("{}", "c");
        error!("d");
        let want = [(Level::Debug, "a"), (Level::Info, "2 recipients"), (Level::Warn, "c"), (Level::Error, "d")];
        assert_eq!(logged(), want.map(|(level, text)| (level, text.to_owned())));
        assert_eq!(logged(), [], "lines are handed out once");
    }
}
