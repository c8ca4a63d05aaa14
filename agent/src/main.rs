//! The program `rafty-agent`.

fn main() -> std::process::ExitCode {
    rafty_agent::run(std::env::args_os())
}
