//! Times one admit.
fn main() {}
