//! The limit for tiny tasks.
fn main() {}
