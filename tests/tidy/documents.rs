//! What the documents say of the code, where the code can be asked.

use clap::{Args as _, Command};
use kontiki::config::ServeArgs;
use kontiki::reason::Reason;
use std::collections::BTreeMap;
use std::path::Path;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_reason_is_explained() {
    let errors = document("errors.md");
    let missing: Vec<&str> = Reason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .filter(|name| !errors.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "docs/errors.md does not name {missing:?}");
}

/// The defaults of `serve`'s flags, by their names.
fn defaults() -> BTreeMap<String, String> {
    let command = ServeArgs::augment_args(Command::new("serve"));
    let arguments = command.get_arguments().filter_map(|argument| {
        let help = argument.get_help()?.to_string();
        let default = help.split("[default: ").nth(1).and_then(|rest| rest.split(']').next());
        Some((format!("--{}", argument.get_long()?), default.unwrap_or_default().to_owned()))
    });
    arguments.collect()
}

/// The rows of the table of limits: what the default is said to be, and the flags for it.
fn limits(operations: &str) -> Vec<(String, Vec<String>)> {
    let section = operations.split("\n## Limits\n").nth(1).unwrap();
    let table =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let rows = table.skip(2).map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [_, default, flags] = cells[..] else { panic!("not three cells: {row}") };
        let flags = flags.split('`').filter(|part| part.starts_with("--"));
        (default.to_owned(), flags.map(str::to_owned).collect())
    });
    rows.collect()
}

/// The quantities in a text: a number, and perhaps its unit, as `1.5 MiB`, `8KiB`, `4,096` or `10 s`. In bytes and
/// milliseconds.
fn quantities(text: &str) -> Vec<f64> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        rest = &rest[start..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',')).unwrap_or(rest.len());
        let number: f64 = rest[..end].trim_end_matches(['.', ',']).replace(',', "").parse().unwrap();
        rest = &rest[end..];
        let behind = rest.trim_start();
        let unit = behind.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        found.push(
            number
                * match unit {
                    "KiB" => 1024.0,
                    "MiB" => 1024.0 * 1024.0,
                    "s" => 1000.0,
                    _ => 1.0,
                },
        );
    }
    found
}

#[test]
fn the_table_of_limits_has_the_defaults_of_the_flags() {
    let defaults = defaults();
    let limits = limits(&document("operations.md"));
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (said, flags) in &limits {
        for flag in flags {
            match defaults.get(flag) {
                None => wrong.push(format!("there is no {flag}")),
                Some(default) => {
                    compared += 1;
                    let said_there = quantities(said);
                    if !quantities(default).iter().all(|quantity| said_there.contains(quantity)) {
                        wrong.push(format!("{flag}: {default} is the default, {said:?} the document's"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "docs/operations.md, Limits:\n{}", wrong.join("\n"));
    assert!(compared > 10, "the table was not read");
}

#[test]
fn quantities_are_read_with_their_units() {
    assert_eq!(quantities("1 B to 8 KiB"), [1.0, 8192.0]);
    assert_eq!(quantities("50,000 entries or about 32MiB, 1.5 KiB."), [50_000.0, 33_554_432.0, 1536.0]);
    assert_eq!(quantities("10 s; 250"), [10_000.0, 250.0]);
}
