//! Assembles the daemon.
