//! The `kontiki` program.

/// Small, short-lived allocations on several threads are most of what a node
/// does; the system's allocator was a sixth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kontiki::cli::main()
}
