//! The stand-in as its clients see it: over HTTP and WebSocket.

mod faults;
mod novu;
mod realtime;
mod rest;
mod support;
