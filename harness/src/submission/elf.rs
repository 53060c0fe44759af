//! Can this machine run that file? Answered from the first bytes of the file.

/// The part of an ELF file that is looked at.
pub(super) const HEADER: usize = 20;

const MAGIC: &[u8] = b"\x7fELF";
const CLASS_64: u8 = 2;
const TYPE_EXECUTABLE: u16 = 2;
/// A shared object; position-independent executables are of this type too.
const TYPE_SHARED: u16 = 3;

/// The ELF machine number of the processor this harness was built for.
const HERE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else if cfg!(target_arch = "riscv64") {
    243
} else {
    0
};

/// Why a file that starts with `head` cannot be started here; `Ok` for an ELF executable of this machine and for a script.
pub(super) fn runnable(head: &[u8]) -> Result<(), String> {
    if head.starts_with(b"#!") {
        return Ok(());
    }
    if head.is_empty() {
        return Err("is empty".into());
    }
    if !head.starts_with(MAGIC) || head.len() < HEADER {
        return Err("is not a program: it starts neither like an ELF executable nor with #!".into());
    }
    // Bytes of the header: 4 = class, 5 = byte order (1 = little endian), 16..18 = type, 18..20 = machine.
    let number = |at: usize| {
        let bytes = [head[at], head[at + 1]];
        if head[5] == 1 { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
    };
    let (kind, machine) = (number(16), number(18));
    let here = std::env::consts::ARCH;
    if head[4] != CLASS_64 {
        return Err(format!(
            "is a 32-bit program ({}); the harness watches 64-bit ones ({here})",
            name(machine)
        ));
    }
    if HERE != 0 && machine != HERE {
        return Err(format!("is a program for {}, and this machine is {here}", name(machine)));
    }
    match kind {
        TYPE_EXECUTABLE | TYPE_SHARED => Ok(()),
        1 => Err("is an object file that still has to be linked".into()),
        4 => Err("is a core dump".into()),
        _ => Err(format!("is an ELF file of type {kind}, not an executable")),
    }
}

fn name(machine: u16) -> String {
    match machine {
        3 => "i386".into(),
        8 => "MIPS".into(),
        20 | 21 => "PowerPC".into(),
        22 => "s390".into(),
        40 => "ARM".into(),
        62 => "x86_64".into(),
        183 => "aarch64".into(),
        243 => "RISC-V".into(),
        258 => "LoongArch".into(),
        other => format!("ELF machine {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(class: u8, kind: u16, machine: u16) -> Vec<u8> {
        let mut head = [MAGIC, &[class, 1, 1], &[0; 9]].concat();
        head.extend(kind.to_le_bytes());
        head.extend(machine.to_le_bytes());
        head
    }

    #[test]
    fn programs_of_this_machine_and_scripts_run() {
        assert_eq!(runnable(&header(2, TYPE_EXECUTABLE, HERE)), Ok(()));
        assert_eq!(runnable(&header(2, TYPE_SHARED, HERE)), Ok(()));
        assert_eq!(runnable(b"#!/bin/sh\n"), Ok(()));
    }

    #[test]
    fn everything_else_is_named() {
        let said = |head: &[u8]| runnable(head).unwrap_err();
        assert!(said(&header(1, 2, 3)).contains("32-bit program (i386)"));
        assert!(said(&header(2, 2, 22)).contains("for s390"));
        assert!(said(&header(2, 1, HERE)).contains("linked"));
        assert!(said(&header(2, 4, HERE)).contains("core dump"));
        assert!(said(b"int main(void)").contains("not a program"));
        assert!(said(b"\x7fELF").contains("not a program"));
        assert!(said(b"").contains("empty"));
    }

    #[test]
    fn a_big_endian_header_is_read_the_other_way_round() {
        let head = [MAGIC, &[2, 2, 1], &[0; 9], &[0, 2, 0, 22]].concat();
        assert!(runnable(&head).unwrap_err().contains("s390"));
    }
}
