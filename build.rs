//! Compiles `proto/` without protoc, and keeps the descriptors for reflection.

use prost::Message as _;
use std::path::PathBuf;

const PROTOS: [&str; 5] = [
    "kontiki/v1/common.proto",
    "kontiki/v1/kv.proto",
    "kontiki/v1/cluster.proto",
    "kontiki/v1/maintenance.proto",
    "kontiki/raft/v1/raft.proto",
];

/// What peers say to each other is not shown to clients by reflection.
const PEERS_PACKAGE: &str = "kontiki.raft.v1";

/// Read by jemalloc's build script.
const ALLOCATOR_SETTINGS: &str = "JEMALLOC_SYS_WITH_MALLOC_CONF";

/// Cargo finds `.cargo/config.toml` by the directory that it is called in, not by that of the package.
fn check_allocator_settings() {
    println!("cargo:rerun-if-env-changed={ALLOCATOR_SETTINGS}");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if is_release && std::env::var_os(ALLOCATOR_SETTINGS).is_none() {
        println!(
            "cargo:warning=the program will work but need more memory: {ALLOCATOR_SETTINGS} is not set. \
             Call cargo in the directory of Kontiki's sources, whose .cargo/config.toml sets it"
        );
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    check_allocator_settings();
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::Compiler::new(["proto"])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(PROTOS)?
        .file_descriptor_set();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut client_api = descriptors.clone();
    client_api.file.retain(|file| file.package() != PEERS_PACKAGE);
    std::fs::write(out.join("descriptors.bin"), client_api.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("crate::codec::SmallBuffers")
        .compile_fds(descriptors)?;
    Ok(())
}
