//! What the operator decided for one enterprise: which plugin, with which limits, what it may reach and what follows its failure.
//!
//! Owns the grants. Promises that whatever is not granted here is refused.

use serde::Serialize;

use crate::{FailurePolicy, Limits, Stamp};

/// What binds an enterprise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Name of the plugin.
    pub plugin: String,
    /// Whether it runs.
    pub state: BindingState,
    /// What runs; None where nothing does.
    pub stamp: Option<Stamp>,
    /// What becomes of a notification whose rules cannot answer.
    pub policy: FailurePolicy,
    /// What the rules may reach beyond the row.
    pub grants: Grants,
    /// What one evaluation may use.
    pub limits: Limits,
}

/// Whether a binding runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingState {
    /// It runs what lies in the plugins' directory.
    Ready,
    /// It runs what an operator rolled back to, in place of what lies in the plugins' directory.
    RolledBack {
        /// What was rolled back from, as `name@version (digest)`.
        from: String,
    },
    /// It runs the last version that was good; what lies there now was refused.
    LastGood {
        /// Why what lies there was refused.
        reason: String,
    },
    /// Nothing runs: every evaluation is broken.
    NotLoaded {
        /// Why.
        reason: String,
    },
}

/// What an enterprise's rules may reach beyond its own row and workflows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Grants {
    /// Workflow keys allowed beside the enterprise's published ones; `*` allows every key.
    pub workflows: Vec<String>,
    /// Who may be sent to.
    pub recipients: RecipientGrant,
    /// Fields of Novu's trigger that a message's `extra` may set.
    pub extra: Vec<String>,
}

impl Grants {
    /// Whether the operator allows a workflow that is not one of the enterprise's own.
    #[must_use]
    pub fn allows_workflow(&self, key: &str) -> bool {
        self.workflows.iter().any(|granted| granted == "*" || granted == key)
    }

    /// Whether the operator allows a field of Novu's trigger.
    #[must_use]
    pub fn allows_extra(&self, field: &str) -> bool {
        self.extra.iter().any(|granted| granted == field)
    }
}

/// Who an enterprise's rules may send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientGrant {
    /// Only recipients of the row.
    #[default]
    Row,
    /// Any subscriber.
    Any,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_unless_it_is_written() {
        let grants = Grants::default();
        assert!(!grants.allows_workflow("invoice"));
        assert!(!grants.allows_extra("tenant"));
        assert_eq!(grants.recipients, RecipientGrant::Row);
    }

    #[test]
    fn a_star_grants_every_workflow_and_no_field() {
        let grants = Grants { workflows: vec!["*".to_owned()], extra: vec!["*".to_owned()], ..Grants::default() };
        assert!(grants.allows_workflow("invoice"));
        assert!(!grants.allows_extra("tenant"));
    }
}
