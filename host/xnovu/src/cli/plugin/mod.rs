//! Plugin verbs.
