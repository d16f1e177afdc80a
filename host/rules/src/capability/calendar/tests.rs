//! Civil time against chrono.
