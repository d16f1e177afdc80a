//! How a running process is found and instructed from outside.
//!
//! Owns the state directory's files for processes and the admin routes. [`state_dir`] says which processes run (a locked pid file each,
//! never a search by name), [`server`] serves the routes of [`routes`] on a Unix socket beside it and, guarded by a token, on the health
//! port, [`client`] is what the verbs of the command line talk to them with. Another room adds a route by merging a router of its own in
//! `cli/serve.rs`.

pub mod client;
pub mod plugins;
pub mod routes;
pub mod server;
pub mod state_dir;

pub use client::Client;
pub use state_dir::{ControlError, Found, Hold, Role, Started, StateDir};
pub(crate) use state_dir::{SOCKET_PATH_MAX, WRITABLE_BY_OTHERS};
