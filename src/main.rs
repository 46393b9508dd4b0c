//! The `kontiki` program.

fn main() -> std::process::ExitCode {
    kontiki::cli::main()
}
