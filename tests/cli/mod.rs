//! The program as a user runs it: output, errors and exit codes, against
//! servers that answer as a script says.

mod commands;
mod snapshots;
mod verify;
mod wrong_lines;

use serde_json::Value;
use std::process::{Output, Stdio};
use tokio::io::AsyncWriteExt;

/// What a run of the program left.
struct Run {
    out: String,
    err: String,
    code: i32,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

async fn kontiki(endpoints: &str, arguments: &[&str]) -> Run {
    kontiki_with_input(endpoints, arguments, "").await
}

async fn kontiki_with_input(endpoints: &str, arguments: &[&str], input: &str) -> Run {
    let output = output_of(&[("KONTIKI_ENDPOINTS", endpoints)], arguments, input).await;
    run_of(output)
}

async fn kontiki_with_variables(variables: &[(&str, &str)], arguments: &[&str]) -> Run {
    run_of(output_of(variables, arguments, "").await)
}

/// What it writes, which need not be text.
async fn bytes_of(endpoints: &str, arguments: &[&str]) -> Vec<u8> {
    output_of(&[("KONTIKI_ENDPOINTS", endpoints)], arguments, "").await.stdout
}

fn run_of(output: Output) -> Run {
    Run {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap(),
    }
}

async fn output_of(variables: &[(&str, &str)], arguments: &[&str], input: &str) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_kontiki"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KONTIKI_")) {
        command.env_remove(name);
    }
    let mut child = command
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that does not read it may be gone already.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.unwrap()
}
