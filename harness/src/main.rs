//! The `quest` command.

fn main() -> std::process::ExitCode {
    quest::cli::main()
}
