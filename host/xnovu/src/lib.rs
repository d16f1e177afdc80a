//! xnovu, the rule-engine host for notifications.
//!
//! Data flows one way: a [`source`] hints at a row, [`admission`] re-reads it and lets the enterprise's rules decide, the queue carries a
//! job that holds ids only, [`worker`] claims the row, lets the rules bind and map, triggers Novu through the [`gateway`] and settles the
//! row in the [`store`]. Everything else starts, stops, watches or explains this line.

pub mod admission;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod cron;
pub mod daemon;
pub mod doctor;
pub mod gateway;
pub mod health;
pub mod http;
pub mod jobs;
pub mod metrics;
pub mod monitor;
pub mod parts;
pub mod pressure;
pub mod reaper;
pub mod reloading;
pub mod retraction;
pub mod shutdown;
pub mod source;
pub mod store;
pub mod supervisor;
pub mod systemd;
pub mod tasks;
pub mod telemetry;
pub mod traces;
pub mod trail;
pub mod worker;
pub mod workflows;
