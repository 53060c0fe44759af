//! What all Rust peers share.
