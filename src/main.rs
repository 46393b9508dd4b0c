//! The `kontiki` program.

/// A node makes mostly small, short-lived allocations on several threads. The measurements that chose this allocator
/// are in `docs/figures.md`; how it is set is in `.cargo/config.toml`;
/// `build.rs` warns where cargo did not find that file.
///
/// Not in builds with assertions: the chaos tests preload libfaketime, whose constructor and jemalloc's would each wait
/// for the other.
#[cfg(not(debug_assertions))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    kontiki::cli::main()
}
