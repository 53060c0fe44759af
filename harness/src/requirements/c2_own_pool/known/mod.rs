//! The thread-pool libraries that are known, and by what each is recognised without taking a student's own code for it.

mod code;
mod library;
mod package;

pub(super) use code::CODE;
pub(super) use library::{Library, interpreter, is_platform, words};
pub(super) use package::{CRATES, Crate, Trade};
