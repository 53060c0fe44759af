//! `ssize_t write(int fd, const void *buf, size_t count);` to descriptors 1 and 2, without the locks of `std::io`.
//!
//! The standard library guards its streams with futex locks, which Helgrind cannot see into and reports as races.

use super::{byte_count, retry};

/// Writes `text` to the standard output. What cannot be written is lost: there is nobody to tell. write(2).
pub fn write_stdout(text: &str) {
    write_all(libc::STDOUT_FILENO, text.as_bytes());
}

/// The same to the standard error output.
pub fn write_stderr(text: &str) {
    write_all(libc::STDERR_FILENO, text.as_bytes());
}

fn write_all(fd: libc::c_int, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the pointer and the length are those of one live slice.
        match retry(|| byte_count(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) })) {
            Ok(written) => bytes = &bytes[written..],
            Err(_) => return,
        }
    }
}
