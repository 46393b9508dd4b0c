// src/cli/mod.rs, in place of put::help_as_value, which misses `kontiki put -h 1`, `kontiki pu level -h` (inferred
// name), and refuses `kontiki put --timeout 3s -h`. Called with args_os() lossy.
fn help_as_value(words: impl Iterator<Item = String>) -> Option<String> {
    let (asks, filled): (Vec<_>, Vec<_>) = words
        .map(|word| match &*word {
            "-h" | "--help" => (Some(word), "x".to_owned()),
            _ => (None, word),
        })
        .unzip();
    let matches = program().try_get_matches_from(filled).ok()?;
    let help = asks.into_iter().flatten().next();
    help.filter(|_| matches.subcommand_name() == Some("put"))
}
