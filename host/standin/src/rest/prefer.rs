//! The `Prefer` header.

use axum::http::HeaderMap;

use crate::database::Resolution;
use crate::error::ApiError;

/// What a request prefers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Preferences {
    pub(super) returning: Returning,
    pub(super) resolution: Option<Resolution>,
    pub(super) count: bool,
    /// Members missing from a body take the column's default and not NULL.
    pub(super) missing_default: bool,
    /// Only with `handling=strict`.
    pub(super) rows_max: Option<u64>,
    applied: Vec<String>,
}

/// What a write answers with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Returning {
    #[default]
    Minimal,
    Representation,
}

impl Preferences {
    /// Reads all `Prefer` headers.
    ///
    /// # Errors
    ///
    /// PGRST122 for an unknown preference under `handling=strict`.
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, ApiError> {
        let values = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
        let tokens: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        let strict = tokens.contains(&"handling=strict");
        let mut preferences = Self::default();
        let mut unknown = Vec::new();
        for token in tokens.into_iter().filter(|token| !token.is_empty()) {
            if preferences.accept(token, strict) {
                preferences.applied.push(token.to_owned());
            } else {
                unknown.push(token);
            }
        }
        if strict && !unknown.is_empty() {
            return Err(ApiError::new(400, "PGRST122", "Invalid preferences given with handling=strict")
                .details(format!("Invalid preferences: {}", unknown.join(", "))));
        }
        Ok(preferences)
    }

    /// `Preference-Applied`, if any was.
    pub(super) fn applied(&self) -> Option<String> {
        (!self.applied.is_empty()).then(|| self.applied.join(", "))
    }

    /// Refuses a write of more rows than the request allows.
    pub(super) fn check_affected(&self, rows: usize) -> Result<(), ApiError> {
        match self.rows_max {
            Some(rows_max) if rows as u64 > rows_max => {
                Err(ApiError::new(400, "PGRST124", "Query result exceeds max-affected preference constraint")
                    .details(format!("The query affects {rows} rows")))
            }
            _ => Ok(()),
        }
    }

    fn accept(&mut self, token: &str, strict: bool) -> bool {
        match token {
            "return=representation" => self.returning = Returning::Representation,
            "return=minimal" | "return=headers-only" => self.returning = Returning::Minimal,
            "resolution=merge-duplicates" => self.resolution = Some(Resolution::Merge),
            "resolution=ignore-duplicates" => self.resolution = Some(Resolution::Ignore),
            "count=exact" => self.count = true,
            "missing=default" => self.missing_default = true,
            "missing=null" | "handling=strict" | "handling=lenient" | "tx=commit" => {}
            other => match other.strip_prefix("max-affected=").and_then(|rows| rows.parse().ok()) {
                Some(rows_max) if strict => self.rows_max = Some(rows_max),
                Some(_) => {}
                None => return false,
            },
        }
        true
    }
}
