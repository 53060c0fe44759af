//! Ctrl-C in the middle of the work: the exit status, and that nothing is left.

mod common;

use common::{ADDRESS, package_whose_build_never_ends};
use std::{
    fs,
    io::Read,
    net::TcpListener,
    process::{Command, Stdio},
};

#[test]
fn ctrl_c_ends_a_build_and_leaves_nothing() {
    let (package, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    package_whose_build_never_ends(package.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let quest = Command::new(env!("CARGO_BIN_EXE_quest"))
        .arg("check")
        .arg(package.path())
        .env("TMPDIR", temporary.path())
        .env(ADDRESS, listener.local_addr().unwrap().to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut build = listener.accept().unwrap().0;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(quest.id().cast_signed()),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    let output = quest.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("stopped: interrupted"), "{said}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    // The end of the stream, or a reset: either way whoever held it is gone.
    let _ = build.read(&mut [0]);
}
