//! Builds the preloaded library, which the `quest` binary then carries inside itself.

use std::{env, path::PathBuf, process::exit};

fn main() {
    let source = "src/probes/interposer/preload.c";
    println!("cargo::rerun-if-changed={source}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("preload.so");
    // Optimised whatever the profile: without it the wrappers' own frames would stand in every stack.
    let compiler = cc::Build::new().opt_level(2).debug(false).get_compiler();
    let status = compiler
        .to_command()
        .args(["-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&out)
        .args([source, "-ldl", "-pthread"])
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => {
            eprintln!("the preloaded library {source} did not compile: {status}");
            exit(1);
        }
        Err(error) => {
            eprintln!("cannot run the C compiler {}: {error}", compiler.path().display());
            exit(1);
        }
    }
}
