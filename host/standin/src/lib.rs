//! A faithful local Supabase and Novu, for development, tests and benches.
//!
//! One server on one loopback port plays PostgREST (`/rest/v1`), Realtime (`/realtime/v1/websocket`) and Novu (`/v1/events`) over
//! tables in memory, behaves as the hosted services were observed to behave, and misbehaves on demand: see `Faults`, `Action` and the
//! admin route. What it plays was taken from the services' documentation and code and from their clients; the hosted services
//! themselves were not contacted.

mod admin;
mod clock;
mod config;
mod database;
mod error;
mod faults;
mod jsonb;
mod literal;
mod novu;
mod query;
mod realtime;
mod rest;
mod schema;
mod server;
mod standin;
mod state;
mod tasks;
mod timestamp;
mod value;

pub use config::{Options, StandinConfig};
pub use error::ApiError;
pub use faults::{Action, Effect, ErrorBody, Face, Faults, HttpFault, NovuFaults, RealtimeFaults, RestFaults};
pub use novu::WorkflowState;
pub use novu::worker::{Delivery, NovuStats, Outcome};
pub use realtime::RealtimeStats;
pub use standin::{Standin, StandinError};
pub use state::{Inserted, State, Stats, TableStats};
