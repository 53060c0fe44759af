//! The names in an executable: what it defines, what it takes from libraries, which libraries it asks for, and which names
//! it could look up while it runs.

use object::{
    Endianness, Object, ObjectSection, ObjectSymbol, SectionKind,
    elf::{DT_NEEDED, FileHeader64},
    read::elf::{Dyn, ElfFile64, FileHeader},
};
use std::{collections::BTreeSet, fs::File, io::Read, path::Path};

/// A larger executable is not looked into.
const MOST_BYTES: u64 = 512 << 20;

/// What is known of an executable by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executable {
    /// Functions and variables that it defines.
    pub defined: BTreeSet<String>,
    /// Functions and variables that a library must give it.
    pub imported: BTreeSet<String>,
    /// The libraries that it was linked with.
    pub needed: Vec<String>,
    /// Names of types, members and enumerators, from the debug information.
    pub debugged: BTreeSet<String>,
    /// Those of the words looked for that stand in its data, as a name to be looked up while it runs does.
    pub said: BTreeSet<String>,
    /// It has a symbol table: what it defines is known.
    pub has_symbols: bool,
}

impl Executable {
    /// Reads an ELF file and looks for `words` in its data. `None` if it is none, or cannot be read.
    pub fn read(path: &Path, words: &[&str]) -> Option<Self> {
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        let file = ElfFile64::<Endianness>::parse(bytes.as_slice()).ok()?;
        let mut executable = Self { needed: needed(&file).unwrap_or_default(), ..Self::default() };
        for symbol in file.symbols().chain(file.dynamic_symbols()) {
            let Ok(name) = symbol.name() else { continue };
            // pthread_create@GLIBC_2.34
            let name = name.split('@').next().unwrap_or_default();
            if symbol.is_undefined() {
                executable.imported.insert(name.to_owned());
            } else if symbol.kind() == object::SymbolKind::Text || symbol.kind() == object::SymbolKind::Data {
                executable.has_symbols |= symbol.is_definition();
                executable.defined.insert(name.to_owned());
            }
        }
        executable.has_symbols &= file.symbol_table().is_some();
        for section in file.sections() {
            let Ok(data) = section.data() else { continue };
            if section.name() == Ok(".debug_str") {
                executable.debugged = data.split(|byte| *byte == 0).filter_map(identifier).collect();
            } else if matches!(
                section.kind(),
                SectionKind::ReadOnlyData | SectionKind::ReadOnlyString | SectionKind::Data
            ) {
                say(data, words, &mut executable.said);
            }
        }
        Some(executable)
    }
}

fn needed(file: &ElfFile64<'_, Endianness>) -> Option<Vec<String>> {
    let (endian, data) = (file.endian(), file.data());
    let header: &FileHeader64<Endianness> = file.elf_header();
    let sections = header.sections(endian, data).ok()?;
    let (entries, link) = sections.dynamic(endian, data).ok()??;
    let strings = sections.strings(endian, data, link).ok()?;
    let names = entries
        .iter()
        .filter(|entry| entry.tag32(endian) == Some(DT_NEEDED))
        .filter_map(|entry| entry.string(endian, strings).ok());
    Some(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn identifier(bytes: &[u8]) -> Option<String> {
    let all = !bytes.is_empty() && bytes.iter().all(|byte| is_of_name(*byte));
    all.then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// Looks for words in data: each as a part of a run of letters, because strings may follow each other without a gap.
fn say(data: &[u8], words: &[&str], said: &mut BTreeSet<String>) {
    let shortest = words.iter().map(|word| word.len()).min().unwrap_or(usize::MAX);
    for run in data.split(|byte| !is_of_name(*byte)).filter(|run| run.len() >= shortest) {
        let run = String::from_utf8_lossy(run);
        for word in words.iter().filter(|word| run.contains(**word)) {
            said.insert((*word).to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, process::Command};

    #[test]
    fn names_of_every_kind_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let source = "#include <stdio.h>\nenum colour { dark_red_of_mine = 1 };\nstatic int hidden(void) { return 2; }\n\
                      int shown_to_all = 3;\nint main(void) { enum colour c = dark_red_of_mine;\n\
                      return puts(\"some_pool_create\") + hidden() + (int)c; }\n";
        fs::write(folder.path().join("a.c"), source).unwrap();
        let built = |options: &[&str]| {
            let mut gcc = Command::new("gcc");
            gcc.current_dir(folder.path()).args(options).args(["-o", "a", "a.c"]);
            assert!(gcc.status().unwrap().success());
            Executable::read(&folder.path().join("a"), &["pool_create", "other_word"]).unwrap()
        };
        let full = built(&["-g"]);
        for name in ["main", "hidden", "shown_to_all"] {
            assert!(full.defined.contains(name), "{name}");
        }
        assert!(full.imported.contains("puts") && !full.defined.contains("puts"));
        assert!(full.debugged.contains("dark_red_of_mine"));
        assert!(full.has_symbols && full.needed.iter().any(|library| library.starts_with("libc.so")));
        assert_eq!(full.said, BTreeSet::from(["pool_create".to_owned()]));
        let stripped = built(&["-s"]);
        assert!(!stripped.has_symbols && !stripped.defined.contains("hidden"));
        assert!(stripped.imported.contains("puts") && stripped.debugged.is_empty());
    }

    #[test]
    fn what_is_no_elf_file_has_no_names() {
        assert_eq!(Executable::read(Path::new("/proc/self/status"), &[]), None);
        assert_eq!(Executable::read(Path::new("/no/such/file"), &[]), None);
    }
}
