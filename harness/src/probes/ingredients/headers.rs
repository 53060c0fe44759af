//! Which headers a build read that belong neither to the submission nor to the C library, the kernel or the compiler.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// More of the compiler's notes, or of one source, is not read.
const MOST_BYTES: u64 = 4 << 20;

/// Folders below /usr/include that hold headers of the C library and the kernel.
const PLATFORM_FOLDERS: [&str; 26] = [
    "arpa",
    "asm",
    "asm-generic",
    "bits",
    "c++",
    "drm",
    "finclude",
    "gnu",
    "linux",
    "misc",
    "mtd",
    "net",
    "netinet",
    "netipx",
    "netpacket",
    "nfs",
    "protocols",
    "rdma",
    "regulator",
    "rpc",
    "scsi",
    "sound",
    "sys",
    "video",
    "xen",
    "fortify",
];

/// Headers of the C library that lie directly in /usr/include; without `.h`.
const PLATFORM_HEADERS: &str = "a.out aio aliases alloca alltypes ar argp argz assert byteswap complex cpio crypt ctype \
    dirent dlfcn elf endian envz err errno error execinfo fcntl features features-time64 fenv fmtmsg fnmatch fpu_control \
    fstab fts ftw gconv getopt glob gnu-versions grp gshadow iconv ieee754 ifaddrs inttypes iso646 langinfo lastlog libgen \
    libintl limits link locale malloc math mcheck memory mntent monetary mqueue netdb nl_types nss obstack paths poll printf \
    proc_service pthread pty pwd re_comp regex regexp resolv sched search semaphore setjmp sgtty shadow signal spawn stab \
    stdalign stdarg stdatomic stdbool stdc-predef stddef stdint stdio stdio_ext stdlib stdnoreturn string strings stropts \
    syscall sysexits syslog tar termio termios tgmath thread_db threads time ttyent uchar ucontext ulimit unistd utime utmp \
    utmpx values wait wchar wctype wordexp";

/// A header from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where it lies.
    pub path: PathBuf,
    /// The line of the submission that includes it, as `server.c:3`; empty if another header does.
    pub included_at: String,
}

/// The foreign headers among those that gcc noted in the file `includes` when it built the sources in `folder`.
pub fn foreign(includes: &Path, folder: &Path) -> Vec<Header> {
    let text = read(includes);
    let mut paths: BTreeSet<PathBuf> = BTreeSet::new();
    let mut own: BTreeSet<PathBuf> = BTreeSet::new();
    for name in prerequisites(&text) {
        // Resolves the `..` in /usr/lib/gcc/.../12/../../include, and links.
        let path = folder.join(&name);
        let path = path.canonicalize().unwrap_or(path);
        if path.starts_with(folder) {
            own.insert(path);
        } else if !is_platform(&path) {
            paths.insert(path);
        }
    }
    if paths.is_empty() {
        return Vec::new();
    }
    let mut sources: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    sources.retain(|path| path.extension().is_some_and(|end| end == "c"));
    sources.sort();
    sources.extend(own);
    let sources: Vec<(PathBuf, String)> =
        sources.into_iter().map(|path| (path.clone(), read(&path))).collect();
    paths
        .into_iter()
        .map(|path| Header { included_at: included_at(&path, folder, &sources).unwrap_or_default(), path })
        .collect()
}

/// What stands behind the colons of rules for make, with its escapes undone: `a.o: x.h \` and so on.
fn prerequisites(rules: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let joined = rules.replace("\\\n", " ");
    for line in joined.lines() {
        let Some((_, list)) = line.split_once(": ") else { continue };
        // A blank inside a name is written with a backslash before it.
        for name in list.replace("\\ ", "\0").split_whitespace() {
            names.insert(name.replace('\0', " ").replace("$$", "$").replace("\\#", "#"));
        }
    }
    names
}

/// Whether a header belongs to the C library, the kernel or the compiler.
fn is_platform(path: &Path) -> bool {
    let text = path.to_string_lossy();
    // The compiler's own folder, whatever the system calls it.
    if ["/lib/gcc/", "/lib64/gcc/", "/libexec/gcc/", "/lib/clang/"].iter().any(|folder| text.contains(folder))
    {
        return true;
    }
    let Some((_, inner)) = text.rsplit_once("/include/") else { return false };
    let mut parts: Vec<&str> = inner.split('/').collect();
    // /usr/include/x86_64-linux-gnu/bits/types.h
    if parts.len() > 1 && parts[0].contains("-linux-") {
        parts.remove(0);
    }
    match parts.as_slice() {
        [name] => name
            .strip_suffix(".h")
            .is_some_and(|name| PLATFORM_HEADERS.split_whitespace().any(|known| known == name)),
        [folder, ..] => PLATFORM_FOLDERS.contains(folder),
        [] => false,
    }
}

/// The first `#include` of a header: its name in the line is an end of the path.
fn included_at(header: &Path, folder: &Path, sources: &[(PathBuf, String)]) -> Option<String> {
    sources.iter().find_map(|(source, text)| {
        let line = text.lines().position(|line| included(line).is_some_and(|name| header.ends_with(name)))?;
        let shown = source.strip_prefix(folder).unwrap_or(source);
        Some(format!("{}:{}", shown.display(), line + 1))
    })
}

fn included(line: &str) -> Option<&str> {
    let name = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("include")?.trim_start();
    let close = if name.starts_with('<') { '>' } else { '"' };
    name.strip_prefix(['<', '"'])?.split(close).next()
}

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    // What cannot be read tells nothing.
    if let Ok(file) = File::open(path)
        && file.metadata().is_ok_and(|metadata| metadata.is_file())
    {
        let _ = file.take(MOST_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_for_make_are_read_with_their_escapes() {
        let names = prerequisites("a.o: /usr/include/stdio.h \\\n x.h my\\ own.h\nb.o: x.h\n");
        assert_eq!(names, BTreeSet::from(["/usr/include/stdio.h", "x.h", "my own.h"].map(str::to_owned)));
    }

    #[test]
    fn the_platforms_headers_are_known_and_others_are_not() {
        for own in [
            "/usr/include/pthread.h",
            "/usr/include/x86_64-linux-gnu/bits/types/FILE.h",
            "/usr/include/linux/errno.h",
            "/usr/lib/gcc/x86_64-linux-gnu/12/include/stddef.h",
            "/usr/include/x86_64-linux-musl/stdlib.h",
        ] {
            assert!(is_platform(Path::new(own)), "{own}");
        }
        for foreign in [
            "/usr/include/uv.h",
            "/usr/include/glib-2.0/glib.h",
            "/home/x/thpool.h",
            "/usr/local/include/thpool.c",
        ] {
            assert!(!is_platform(Path::new(foreign)), "{foreign}");
        }
    }

    #[test]
    fn a_foreign_header_is_found_with_the_line_that_includes_it() {
        let outside = tempfile::tempdir().unwrap();
        let header = outside.path().canonicalize().unwrap().join("thpool.h");
        fs::write(&header, "").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().canonicalize().unwrap();
        fs::write(inside.join("a.c"), format!("#include <stdio.h>\n#  include \"{}\"\n", header.display()))
            .unwrap();
        let rules = folder.path().join("rules");
        fs::write(&rules, format!("a.o: /usr/include/stdio.h x.h {}\n", header.display())).unwrap();
        assert_eq!(foreign(&rules, &inside), [Header { path: header, included_at: "a.c:2".into() }]);
        assert_eq!(foreign(Path::new("/no/such/file"), &inside), []);
    }
}
