//! quest
fn main() {}
