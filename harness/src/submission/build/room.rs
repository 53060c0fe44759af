//! Did a compiler fail because the disk was full? Then the submission has nothing to do with it.

/// The system's words for a full disk (ENOSPC), as libc says them where `LC_ALL` is C.
const FULL: &str = "No space left on device";

/// The line in which a compiler says that it had no room for its own files, if it does.
///
/// A source can make a compiler say anything (`#error`), so only such lines count as the programs of gcc and cargo use for
/// trouble of their own.
pub(super) fn wanting(output: &str) -> Option<&str> {
    output.lines().find(|line| is_about_room(line))
}

fn is_about_room(line: &str) -> bool {
    let line = line.trim_end();
    // A full tmpfs kills whoever writes to a file that is mapped there.
    if line.contains("Bus error signal terminated program") {
        return true;
    }
    // What is quoted from a source: the line itself, or the text that it asks to be said.
    let quoted = line.contains(" | ") || line.contains("error: #") || line.contains("attribute error");
    if quoted || !line.contains(FULL) {
        return false;
    }
    let gcc = ["fatal error: ", "Fatal error: ", "final link failed: ", "ld: "];
    let rust =
        ["error: failed to ", "error: could not ", "error: unable to ", "LLVM ERROR: ", "rustc-LLVM ERROR: "];
    let ends = line.ends_with(FULL) || line.ends_with("No space left on device (os error 28)");
    (ends && gcc.iter().any(|words| line.contains(words))) || rust.iter().any(|words| line.starts_with(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_every_part_of_the_compilers_are_known() {
        for line in [
            "a.c:5:1: fatal error: error writing to /tmp/ccRNbbwl.s: No space left on device",
            "cc1: fatal error: cannot open '/tmp/ccx.s' for writing: No space left on device",
            "{standard input}: Fatal error: can't write 12 bytes to section .text of /tmp/ccR.o: No space left on device",
            "/usr/bin/ld: final link failed: No space left on device",
            "gcc: fatal error: Bus error signal terminated program cc1",
            "error: failed to write to `/tmp/x`: No space left on device (os error 28)",
            "rustc-LLVM ERROR: IO failure on output stream: No space left on device",
        ] {
            assert_eq!(wanting(&format!("a.c: In function 'f':\n{line}\nmore")), Some(line));
        }
    }

    #[test]
    fn what_a_source_makes_a_compiler_say_is_not_taken_for_it() {
        for line in [
            "a.c:1:2: error: #error fatal error: No space left on device",
            "    1 | #error ld: No space left on device",
            "a.c:1:1: error: static assertion failed: \"No space left on device\"",
            "a.c:1:10: fatal error: No space left on device: No such file or directory",
            "a.c:3:5: error: call to 'f' declared with attribute error: ld: No space left on device",
            "a.c:1:1: error: unknown type name 'No'",
        ] {
            assert_eq!(wanting(line), None, "{line}");
        }
    }
}
