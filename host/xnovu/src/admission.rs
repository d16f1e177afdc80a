//! The daemon's half of the line.
