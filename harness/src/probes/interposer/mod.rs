//! The preloaded library, carried inside the binary, and the markers by which it speaks.
//!
//! The library itself is `preload.c` beside this file: it wraps the pthread, C11-threads and semaphore calls, and says
//! so by system calls with an unused number, which the tracer reads.

mod marker;

pub use marker::{LATE, MARKER_CALL, Marker, Op, SPURIOUS};

use crate::error::HarnessError;
use std::{io::Write, path::Path};
use tempfile::NamedTempFile;

/// The library's bytes, built by `build.rs`.
static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/preload.so"));

/// The library as a file that `LD_PRELOAD` can name; gone when this is dropped.
#[derive(Debug)]
pub struct Interposer {
    file: NamedTempFile,
}

impl Interposer {
    /// Writes the library to a file of its own.
    ///
    /// # Errors
    ///
    /// When the temporary folder cannot be written (full, read-only).
    pub fn unpack() -> Result<Self, HarnessError> {
        let write = || {
            let mut file = tempfile::Builder::new().prefix("quest-preload-").suffix(".so").tempfile()?;
            file.write_all(LIBRARY)?;
            Ok::<_, std::io::Error>(file)
        };
        let file = write().map_err(|e| HarnessError::system("write the preloaded library", e))?;
        Ok(Self { file })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}
