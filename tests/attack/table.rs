//! The list of cases in `docs/attacks.md`, which is made from the cases.

use super::case::{Case, Limits};
use super::cases;
use std::path::Path;

const BEGIN: &str =
    "<!-- made from tests/attack; KONTIKI_WRITE=1 cargo test --test suite attack::table -->\n";
const END: &str = "<!-- end -->\n";

fn row(case: &Case) -> String {
    let Limits { slowest_put, refused, memory_mib, descriptors, threads, elections, ended, recovery } =
        case.limits;
    let mut besides = Vec::new();
    if refused > 0 {
        besides.push(format!("{refused} innocent puts refused"));
    }
    if elections > 0 {
        besides.push(format!("{elections} elections"));
    }
    if ended > 0 {
        besides.push(format!("{ended} nodes end"));
    }
    if let Some(why) = case.fails {
        besides.push(format!("**known to fail**: {why}"));
    }
    let mark = if case.quick { " ·" } else { "" };
    format!(
        "| `{}`{mark} | {} | {} | {} ms | {memory_mib} | {descriptors} | {threads} | {} s | {} |\n",
        case.name,
        case.fault,
        case.what,
        slowest_put.as_millis(),
        recovery.as_secs_f64(),
        besides.join("; "),
    )
}

fn table() -> String {
    let cases = cases();
    let failing = cases.iter().filter(|case| case.fails.is_some()).count();
    let mut table = format!(
        "\n{} cases, {} of them in the sample (·), {failing} known to fail.\n\n\
         | case | fault | the attack | slowest put | MiB | files | threads | normal after | also allowed |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        cases.len(),
        cases.iter().filter(|case| case.quick).count(),
    );
    cases.into_iter().for_each(|case| table.push_str(&row(case)));
    table + "\n"
}

#[test]
fn the_document_lists_the_cases() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/attacks.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("docs/attacks.md has a place for the table");
    let (_, after) = rest.split_once(END).expect("docs/attacks.md marks the end of the table");
    let expected = [before, BEGIN, &table(), END, after].concat();
    if std::env::var_os("KONTIKI_WRITE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert!(
            document == expected,
            "docs/attacks.md is not what the cases say; its first lines say how to mend that"
        );
    }
}

#[test]
fn names_are_unique_and_every_fault_has_a_case() {
    let cases = cases();
    let mut names: Vec<&str> = cases.iter().map(|case| case.name).collect();
    names.sort_unstable();
    assert!(names.is_sorted_by(|a, b| a < b), "two cases have one name: {names:?}");
}
