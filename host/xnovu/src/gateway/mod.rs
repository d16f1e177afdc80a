//! Novu.
