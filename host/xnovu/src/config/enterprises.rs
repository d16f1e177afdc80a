//! What is set for one enterprise.
//!
//! Owns how `ENT_<id>_<NAME>` is read, and whose settings hold for which id. Promises that an enterprise nothing is set for has the settings
//! of all. Ids are compared without regard to case and with `-` as good as `_`, because no shell can export a name with `-`.

use std::collections::BTreeMap;

use xnovu_domain::{EnterpriseId, Priorities};

use super::layers::{Found, Layers};
use super::settings::ENTERPRISE;
use super::table::Setting;

/// What begins the name of a setting of one enterprise.
pub(super) const PREFIX: &str = "ENT_";

/// The settings of one enterprise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnterpriseSettings {
    /// Whether it is served at all.
    pub enabled: bool,
    /// What Realtime is asked to tell of its rows.
    pub events: Events,
    /// Priority by origin.
    pub priorities: Priorities,
    /// Attempts of its jobs before they fail.
    pub attempts: u32,
    /// Jobs under way at once, over all workers. None: no bound of its own.
    pub concurrency: Option<u32>,
    /// Jobs begun in a second, over all workers. None: no bound of its own.
    pub rate_per_second: Option<u32>,
}

/// What Realtime is asked to tell. A row it does not tell of is found by the next sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Events {
    /// Rows that are inserted.
    pub insert: bool,
    /// Rows that are updated.
    pub update: bool,
}

impl Events {
    /// Both.
    pub const ALL: Self = Self { insert: true, update: true };

    /// Of words separated by commas.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut events = Self { insert: false, update: false };
        for word in text.split(',').map(|word| word.trim().to_ascii_uppercase()) {
            match word.as_str() {
                "INSERT" => events.insert = true,
                "UPDATE" => events.update = true,
                _ => return None,
            }
        }
        Some(events)
    }
}

/// The settings of every enterprise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerEnterprise {
    /// Of those nothing is set for.
    pub(super) default: EnterpriseSettings,
    /// By folded id.
    pub(super) named: BTreeMap<String, EnterpriseSettings>,
}

impl PerEnterprise {
    /// The same for everybody.
    #[must_use]
    pub fn all(default: EnterpriseSettings) -> Self {
        Self { default, named: BTreeMap::new() }
    }

    /// The settings of one enterprise.
    #[must_use]
    pub fn of(&self, enterprise: &EnterpriseId) -> &EnterpriseSettings {
        if self.named.is_empty() {
            return &self.default;
        }
        self.named.get(&fold(enterprise.as_str())).unwrap_or(&self.default)
    }
}

impl Default for PerEnterprise {
    fn default() -> Self {
        Self::all(EnterpriseSettings {
            enabled: true,
            events: Events::ALL,
            priorities: Priorities::default(),
            attempts: 3,
            concurrency: None,
            rate_per_second: None,
        })
    }
}

/// An id as it is compared.
pub(super) fn fold(id: &str) -> String {
    id.to_ascii_lowercase().replace('-', "_")
}

/// The id, as it was written, and the setting in a name such as `ENT_acme_REALTIME_PRIORITY`.
pub(super) fn split(name: &str) -> Option<(&str, &'static Setting)> {
    let rest = name.strip_prefix(PREFIX)?;
    let spellings = ENTERPRISE.settings.iter().flat_map(|setting| {
        std::iter::once(setting.name).chain(setting.aliases.iter().copied()).map(move |spelling| (spelling, setting))
    });
    let ends = spellings.filter_map(|(spelling, setting)| {
        let id = rest.strip_suffix(spelling)?.strip_suffix('_').filter(|id| !id.is_empty())?;
        Some((id, setting))
    });
    // The longest ending is meant: ENABLED is an ending of SUBSCRIPTION_ENABLED.
    ends.min_by_key(|(id, _)| id.len())
}

/// What was written for each enterprise.
#[derive(Default)]
pub(super) struct Written {
    /// By folded id and name of the setting.
    pub(super) by_id: BTreeMap<String, BTreeMap<&'static str, Found>>,
    /// Names that begin like a setting of an enterprise and are none.
    pub(super) unknown: Vec<Found>,
    /// Two spellings of one setting with different values, neither of which outranks the other.
    pub(super) unclear: Vec<(Found, Found)>,
}

/// Collects what was written for each enterprise. Of two spellings the one of the higher layer counts.
pub(super) fn collect(layers: &Layers) -> Written {
    let mut written = Written::default();
    for found in layers.all().filter(|found| found.name.starts_with(PREFIX)) {
        let Some((id, setting)) = split(&found.name) else {
            written.unknown.push(found);
            continue;
        };
        let settings = written.by_id.entry(fold(id)).or_default();
        match settings.remove(setting.name) {
            Some(other) if other.origin.layer == found.origin.layer && other.value != found.value => {
                written.unclear.push((other, found.clone()));
                settings.insert(setting.name, found);
            }
            Some(other) if other.origin.layer > found.origin.layer => {
                settings.insert(setting.name, other);
            }
            _ => {
                settings.insert(setting.name, found);
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_may_hold_what_the_names_are_made_of() {
        let split = |name| split(name).map(|(id, setting)| (id, setting.key));
        assert_eq!(split("ENT_enterprise-1_SUBSCRIPTION_ENABLED"), Some(("enterprise-1", "enabled")));
        assert_eq!(split("ENT_a_b_REALTIME_PRIORITY"), Some(("a_b", "realtime_priority")));
        assert_eq!(split("ENT_x_ENABLED"), Some(("x", "enabled")));
        for none in ["ENT__ENABLED", "ENT_ENABLED", "ENT_x_COLOUR", "ENT_x", "OTHER_x_ENABLED"] {
            assert_eq!(split(none), None, "{none}");
        }
    }

    #[test]
    fn events_are_words_in_any_case_and_at_least_one() {
        assert_eq!(Events::parse("insert, UPDATE"), Some(Events::ALL));
        assert_eq!(Events::parse("INSERT"), Some(Events { insert: true, update: false }));
        assert_eq!(Events::parse(""), None);
        assert_eq!(Events::parse("INSERT,DELETE"), None);
    }
}
