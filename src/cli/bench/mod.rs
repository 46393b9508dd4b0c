//! bench
#[derive(Debug, clap::Args)]
/// x
pub struct BenchArgs {}
/// x
pub fn run(_: BenchArgs) -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
