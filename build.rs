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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::Compiler::new(["proto"])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(PROTOS)?
        .file_descriptor_set();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
