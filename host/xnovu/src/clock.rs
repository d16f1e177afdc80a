//! Wall time.
