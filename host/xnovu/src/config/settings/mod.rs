//! The table of settings.
//!
//! Owns each setting's name, place, kind, default and sentence, once. To add a setting: one entry in the file it belongs to, one field in
//! [`super::Config`] and the line in `read.rs` that fills it. Then `tests/run unit` says which document is to be made anew, and how.

mod cron;
mod enterprise;
mod old;
mod process;
mod queue;
mod services;

use super::table::{Group, Setting};

pub(super) use cron::*;
pub(super) use enterprise::*;
pub(super) use old::*;
pub(super) use process::*;
pub(super) use queue::*;
pub(super) use services::*;

/// Declares settings: a constant for each, and the group of all of them.
macro_rules! settings {
    ($group:ident $title:literal $($name:ident = $setting:expr;)*) => {
        $(pub(in crate::config) const $name: $crate::config::table::Setting = $setting.named(stringify!($name));)*

        /// The settings of this file.
        pub(in crate::config) const $group: $crate::config::table::Group =
            $crate::config::table::Group { title: $title, settings: &[$($name),*] };
    };
}
use settings;

/// The variable that names the file of settings.
pub const XNOVU_CONFIG_NAME: &str = XNOVU_CONFIG.name;

/// Every setting there is, in the order of the documents.
pub const GROUPS: [Group; 7] = [SUPABASE, NOVU, REDIS, QUEUE, PROCESS, CRON, OLD];

/// Every setting there is.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    const { &GROUPS }.iter().flat_map(|group| group.settings)
}

/// The setting a variable belongs to, under any of its spellings.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.is(name))
}
