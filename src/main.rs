//! The `kontiki` program.

/// A node makes mostly small, short-lived allocations on several threads; the system's allocator took a sixth
/// of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kontiki::cli::main()
}
