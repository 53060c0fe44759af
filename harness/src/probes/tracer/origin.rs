//! Where in the submission a call comes from: its file and line, for evidence.
//!
//! A marker says so itself (the library knows its caller). A system call is made inside libc; which place in the submission
//! called libc is the first return address on the stack that points into the submission's own code, behind a call
//! instruction. libc's wrappers have small frames, so this is the caller; where it is not found, nothing is said.

use super::ptrace;
use addr2line::Loader;
use procfs::process::{MMPermissions, MMapPath, Process};
use std::{cell::OnceCell, fmt, fs::File, io::Read, ops::Range, path::PathBuf};

/// How far up the stack is looked, in words.
const WORDS: usize = 64;

/// The submission's code in a running process.
pub struct Origin {
    executable: PathBuf,
    /// Where the program's own instructions lie.
    code: Vec<Range<u64>>,
    /// Where the file's address 0 lies.
    bias: u64,
    loader: OnceCell<Option<Loader>>,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("executable", &self.executable)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

impl Origin {
    /// Looks at a process that has just become its program.
    pub fn of(pid: i32) -> Option<Self> {
        let process = Process::new(pid).ok()?;
        let executable = process.exe().ok()?;
        let own: Vec<_> = process
            .maps()
            .ok()?
            .into_iter()
            .filter(|map| matches!(&map.pathname, MMapPath::Path(path) if *path == executable))
            .collect();
        let code = own
            .iter()
            .filter(|map| map.perms.contains(MMPermissions::EXECUTE))
            .map(|map| map.address.0..map.address.1)
            .collect();
        let base = own.iter().find(|map| map.offset == 0)?.address.0;
        let bias = if is_position_independent(&executable)? { base } else { 0 };
        Some(Self { executable, code, bias, loader: OnceCell::new() })
    }

    /// Whether an address lies in the submission's code.
    pub fn is_own(&self, address: u64) -> bool {
        self.code.iter().any(|range| range.contains(&address))
    }

    /// The place in the submission from which a thread, stopped at the entry of a system call, called libc.
    pub fn caller(&self, tid: i32, stack: u64) -> Option<u64> {
        // Near the stack's end fewer words may be there; a thread so shallow has been called by nobody.
        let bytes: [u8; WORDS * 8] = ptrace::read(tid, stack)?;
        let words =
            bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes")));
        words.filter(|word| self.is_own(*word)).find(|word| follows_a_call(tid, *word))
    }

    /// The place in the submission at which a thread, stopped by a signal, was, or from which it had called a library. As
    /// [`Origin::caller`] returns it: the address behind the instruction.
    pub fn whereabouts(&self, tid: i32, instruction: u64, stack: u64) -> Option<u64> {
        /// What ends a process (a failed check of malloc, say) has frames of its own, larger than those of system calls.
        const STRETCHES: u64 = 16;
        if self.is_own(instruction) {
            return Some(instruction + 1);
        }
        (0..STRETCHES).find_map(|n| self.caller(tid, stack + n * WORDS as u64 * 8))
    }

    fn loader(&self) -> Option<&Loader> {
        self.loader.get_or_init(|| Loader::new(&self.executable).ok()).as_ref()
    }

    /// `queue_lock`, or `pool+40`: the variable at an address, where the symbol table has one.
    pub fn variable(&self, address: u64) -> Option<String> {
        let loader = self.loader()?;
        let address = address.checked_sub(self.bias)?;
        let sections = [&b".data"[..], b".bss"].map(|name| loader.get_section_range(name));
        let section = sections.into_iter().flatten().find(|s| (s.begin..s.end).contains(&address))?;
        // The symbol before the address: of a stripped program, which keeps a few, it may be anything.
        loader.get_section_range(b".symtab")?;
        let symbol = loader.find_symbol_info(address).filter(|symbol| symbol.address() >= section.begin)?;
        let name = addr2line::demangle_auto(symbol.name().into(), None).into_owned();
        match address - symbol.address() {
            0 => Some(name),
            offset => Some(format!("{name}+{offset}")),
        }
    }

    /// Whether one of these words stands in the executable.
    pub fn mentions(&self, words: &[&str]) -> bool {
        let bytes = std::fs::read(&self.executable).unwrap_or_default();
        words.iter().any(|word| bytes.windows(word.len()).any(|window| window == word.as_bytes()))
    }

    /// `file.c:12 (function)` for an address to which a call returns.
    pub fn place(&self, return_address: u64) -> Option<String> {
        if !self.is_own(return_address) {
            return None;
        }
        let loader = self.loader()?;
        // The call itself lies before the address to which it returns.
        let address = return_address - self.bias - 1;
        let mut frames = loader.find_frames(address).ok()?;
        let mut function = None;
        let mut line = None;
        while let Ok(Some(frame)) = frames.next() {
            function = function.or_else(|| Some(frame.function?.demangle().ok()?.into_owned()));
            line = line.or_else(|| {
                let location = frame.location?;
                let file = location.file?.rsplit('/').next()?.to_owned();
                Some(format!("{file}:{}", location.line?))
            });
        }
        let function = function.or_else(|| loader.find_symbol(address).map(str::to_owned));
        match (line, function) {
            (Some(line), Some(function)) => Some(format!("{line} ({function})")),
            (Some(place), None) | (None, Some(place)) => Some(place),
            (None, None) => None,
        }
    }
}

/// Whether the instruction before this address is a call.
#[cfg(target_arch = "x86_64")]
fn follows_a_call(tid: i32, address: u64) -> bool {
    const NEAR: u8 = 0xe8;
    const INDIRECT: u8 = 0xff;
    let Some(before): Option<[u8; 7]> = ptrace::read(tid, address - 7) else { return false };
    // call rel32, or call through a register or memory (ff /2), which is two to seven bytes long.
    before[2] == NEAR
        || (0..=5).any(|at| {
            before[at] == INDIRECT && (before[at + 1] >> 3) & 7 == 2 && indirect_length(&before[at..])
        })
}

/// Whether these bytes, the last before the address, are one whole indirect call.
#[cfg(target_arch = "x86_64")]
fn indirect_length(bytes: &[u8]) -> bool {
    let (mode, register) = (bytes[1] >> 6, bytes[1] & 7);
    let scaled = usize::from(register == 4 && mode != 3);
    let displacement = match (mode, register) {
        (0, 5) | (2, _) => 4,
        (1, _) => 1,
        _ => 0,
    };
    bytes.len() == 2 + scaled + displacement
}

/// Elsewhere an address in the code is taken at its word.
#[cfg(not(target_arch = "x86_64"))]
fn follows_a_call(_tid: i32, _address: u64) -> bool {
    true
}

/// Whether an ELF file can be loaded anywhere (`ET_DYN`); see elf(5).
fn is_position_independent(path: &PathBuf) -> Option<bool> {
    const TYPE_AT: usize = 16;
    const ET_DYN: u16 = 3;
    let mut header = [0; TYPE_AT + 2];
    File::open(path).ok()?.read_exact(&mut header).ok()?;
    Some(u16::from_ne_bytes([header[TYPE_AT], header[TYPE_AT + 1]]) == ET_DYN)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn indirect_calls_are_told_by_their_length() {
        assert!(indirect_length(&[0xff, 0xd0]), "call rax");
        assert!(indirect_length(&[0xff, 0x15, 1, 2, 3, 4]), "call [rip+x]");
        assert!(indirect_length(&[0xff, 0x50, 8]), "call [rax+8]");
        assert!(indirect_length(&[0xff, 0x54, 0x24, 8]), "call [rsp+8]");
        assert!(!indirect_length(&[0xff, 0xd0, 0x90]), "call rax; nop");
    }
}
