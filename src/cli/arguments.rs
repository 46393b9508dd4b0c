//! The words of the command line, and what is said where they are wrong.

use crate::cli::exit::CliError;
use crate::cli::output::{Format, Output};
use crate::cli::{put, report, screen};
use crate::telemetry;
use clap::ArgMatches;
use clap::error::ErrorKind;
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// What the words mean to `program`. Else what is wrong with them, or what they ask to be told, has been said.
pub(super) fn read(program: impl Fn() -> clap::Command, words: &[String]) -> Result<ArgMatches, ExitCode> {
    match program().try_get_matches() {
        Ok(matches) => match value_like_an_option(&matches, words) {
            Some(value) => Err(refuse(put::like_an_option(value), words)),
            None => Ok(matches),
        },
        Err(error) => Err(match help_as_value(program, words.iter().cloned()) {
            Some(help) if error.kind() == ErrorKind::DisplayHelp => refuse(put::like_an_option(&help), words),
            _ => tell(&error, words),
        }),
    }
}

/// The process's own words, as far as they are text.
pub(super) fn words() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Help and the version, or what is wrong.
fn tell(error: &clap::Error, words: &[String]) -> ExitCode {
    if error.use_stderr() && asks_json(words, std::env::var("KONTIKI_OUTPUT").ok()) {
        return refuse(in_short(error), words);
    }
    let has_color = std::io::stderr().is_terminal() && telemetry::color_is_wanted();
    let styled = error.render();
    let colored = in_words(if has_color { styled.ansi().to_string() } else { styled.to_string() });
    if error.use_stderr() {
        // A word of the line may be what a file or a key said.
        eprint!("{}", screen::words(&colored, has_color));
    } else {
        // Nothing is left to say to a reader that has gone away.
        drop(error.print());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX))
}

/// What is wrong, without how it is used.
fn in_short(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command is missing; see --help".to_owned();
    }
    let text = in_words(error.render().to_string());
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let end = ["\n\nUsage:", "\n\nFor more information"].iter().filter_map(|mark| text.find(mark)).min();
    text[..end.unwrap_or(text.len())].trim_end().to_owned()
}

/// What the parsers of the standard library say of a number, said to somebody who typed it.
fn in_words(text: String) -> String {
    [
        ("invalid digit found in string", "a whole number is expected"),
        ("cannot parse integer from empty string", "a whole number is expected"),
        ("invalid float literal", "a number is expected"),
        ("cannot parse float from empty string", "a number is expected"),
        ("number too large to fit in target type", "the number is too large"),
    ]
    .iter()
    .fold(text, |text, (theirs, ours)| text.replace(theirs, ours))
}

fn refuse(message: String, words: &[String]) -> ExitCode {
    let asked = asks_json(words, std::env::var("KONTIKI_OUTPUT").ok()).then_some(Format::Json);
    report::report(&CliError::Usage(message), &Output::new(asked))
}

/// Whether the errors of these words should be JSON: they ask for it, whatever else is wrong with them.
fn asks_json(words: &[String], variable: Option<String>) -> bool {
    let mut form = variable;
    let mut words = words.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        let given = match word.as_str() {
            "-o" | "--output" => words.next().map(String::as_str),
            word => word.strip_prefix("--output=").or_else(|| word.strip_prefix("-o")),
        };
        form = given.map(|form| form.trim_start_matches('=').to_owned()).or(form);
    }
    form.as_deref() == Some("json")
}

/// The value of a `put` that was hardly meant as one, as a misspelled flag is: `put x --if-absnt`.
fn value_like_an_option<'a>(matches: &'a ArgMatches, words: &[String]) -> Option<&'a str> {
    let (name, put) = matches.subcommand()?;
    let is_said_to_be = words.iter().any(|word| word == "--");
    if name != "put" || is_said_to_be {
        return None;
    }
    let value = put.get_one::<String>("value")?;
    let is_like_one = value.strip_prefix("--")?.starts_with(|c: char| c.is_ascii_alphabetic());
    is_like_one.then_some(value.as_str())
}

/// The word that asks for help where `put` has a key or a value: `put level "$v"`, and somebody's value is `-h`. To show
/// help and end with 0 would say that it was stored. It is one if the line is whole with any other word in its place.
fn help_as_value(program: impl Fn() -> clap::Command, words: impl Iterator<Item = String>) -> Option<String> {
    let mut help = None;
    let line: Vec<String> = words
        .map(|word| match &*word {
            "-h" | "--help" => {
                help.get_or_insert(word);
                "word".to_owned()
            }
            _ => word,
        })
        .collect();
    let matches = program().try_get_matches_from(line).ok()?;
    help.filter(|_| matches.subcommand_name() == Some("put"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::program;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_key_or_a_value_is_not_a_request_for_help() {
        let found = |line: &str| help_as_value(program, words(line).into_iter());
        for (line, help) in [
            ("kontiki put level -h", "-h"),
            ("kontiki put --previous level --help", "--help"),
            ("kontiki put -h 1", "-h"),
        ] {
            assert_eq!(found(line).as_deref(), Some(help), "{line}");
        }
        for line in ["put -h", "put --previous --help", "put --timeout 3s -h", "get k -h", "get put -h", "-h"]
        {
            assert_eq!(found(&format!("kontiki {line}")), None, "{line}");
        }
    }

    #[test]
    fn a_value_that_is_like_an_option_is_said_to_be_a_value() {
        let found = |line: &str| {
            let words = words(line);
            let matches = program().try_get_matches_from(&words).unwrap();
            value_like_an_option(&matches, &words).map(str::to_owned)
        };
        assert_eq!(found("kontiki put x --foo").as_deref(), Some("--foo"));
        for line in ["put x -5", "put x -", "put x ---", "put x -- --foo", "put -- x --foo", "get x"] {
            assert_eq!(found(&format!("kontiki {line}")), None, "{line}");
        }
    }

    #[test]
    fn a_wrong_line_still_says_how_its_errors_should_look() {
        for line in ["-o json get", "get -ojson", "get --output=json --wrong", "put x -o plain --output json"]
        {
            assert!(asks_json(&words(line), None), "{line}");
        }
        assert!(asks_json(&words("get"), Some("json".to_owned())));
        for line in ["get", "-o table get", "put k -- -o json", "put -o"] {
            assert!(!asks_json(&words(line), None), "{line}");
        }
        assert!(!asks_json(&words("get -o plain"), Some("json".to_owned())));
    }
}
