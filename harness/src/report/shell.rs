//! Words quoted for a shell, so that a command in a report can be pasted.

use std::{ffi::OsStr, fmt::Write, path::Path};

/// `path` as one word that no shell and no option parser misreads.
pub fn quoted_path(path: &Path) -> String {
    match path.as_os_str().as_encoded_bytes().first() {
        Some(b'-') => quoted(Path::new(".").join(path).as_os_str()),
        _ => quoted(path.as_os_str()),
    }
}

/// `word` in quotes where it needs them.
pub fn quoted(word: &OsStr) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Some(text) if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            // Bytes that no text shows: the `$'...'` of bash, zsh and ksh.
            let mut quoted = String::from("$'");
            for byte in word.as_encoded_bytes() {
                match byte {
                    b'\'' | b'\\' => write!(quoted, "\\{}", char::from(*byte)),
                    b' '..=b'~' => write!(quoted, "{}", char::from(*byte)),
                    other => write!(quoted, "\\x{other:02x}"),
                }
                .expect("writing to a string");
            }
            quoted + "'"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::ffi::OsStrExt, process::Command};

    #[test]
    fn bash_reads_every_word_as_it_was() {
        let words: [&[u8]; 8] = [
            b"a/b-c.d",
            b"",
            b"two words",
            b"it's",
            b"$HOME `x` \"y\" \\ !",
            b"line\nbreak\t",
            b"\xff'\\\x1b0",
            b"*",
        ];
        for word in words {
            let script = format!("printf %s {}", quoted(OsStr::from_bytes(word)));
            let output = Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(output.stdout, word, "{script}");
        }
    }

    #[test]
    fn plain_words_stay_plain_and_a_path_is_no_option() {
        assert_eq!(
            quoted_path(Path::new("quests/07-pool-server/solution")),
            "quests/07-pool-server/solution"
        );
        assert_eq!(quoted_path(Path::new("--out")), "./--out");
    }
}
