//! Every metric, once.
