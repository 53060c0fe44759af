//! The instruments. A probe observes a server and returns plain data; it never judges.

pub mod bell;
pub mod clients;
pub mod helgrind;
pub mod ingredients;
pub mod interposer;
pub mod locks;
pub mod machine;
pub mod plain;
pub mod proc;
pub mod schedule;
pub mod session;
pub mod tracer;
