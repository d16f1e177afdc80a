//! The worker's half of the line.
