//! The TOML file: flat, the keys are the settings' names. `initial-cluster`
//! may also be a table: `[initial-cluster]` with `n1 = "http://host:2380"`.

use crate::config::error::{ConfigError, Problem};
use crate::config::origin::{Given, Origin};
use crate::config::table::{self, SETTINGS, Setting};
use std::collections::BTreeMap;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads the file at `path`: each value as text with its line.
pub(super) fn read(path: &Path) -> Result<BTreeMap<&'static str, Given>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let table = DeTable::parse(&text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        message: format!("{}{}", error.to_string().trim_end(), unquoted(&text, &error).unwrap_or_default()),
    })?;
    let mut values = BTreeMap::new();
    let mut problems = Vec::new();
    for (key, value) in table.get_ref() {
        let line = 1 + text[..key.span().start].matches('\n').count();
        let origin = Origin::File { path: path.to_owned(), line };
        let word = key.get_ref().as_ref();
        let read = match table::find(word) {
            Some(setting) => text_of(value, setting).map(|text| (setting.key, text)),
            None => Err(unknown(word)),
        };
        match read {
            Ok((key, text)) => {
                values.insert(key, Given { text, origin });
            }
            Err(message) => {
                problems.push((line, Problem { key: word.to_owned(), message, origin: Some(origin) }))
            }
        }
    }
    if problems.is_empty() {
        return Ok(values);
    }
    problems.sort_by_key(|(line, _)| *line);
    Err(ConfigError::Invalid(problems.into_iter().map(|(_, problem)| problem).collect()))
}

/// What is often wrong where the parser met something else than it expected: text without quotes.
fn unquoted(text: &str, error: &toml::de::Error) -> Option<String> {
    let at = error.span()?.start;
    let begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let (key, value) = text[begin..].lines().next()?.split_once('=')?;
    let (key, value) = (key.trim(), value.split('#').next()?.trim());
    let is_text = !value.is_empty() && !value.starts_with(['"', '\'', '[', '{']);
    is_text.then(|| format!("\ntext must be in quotes: {key} = \"{value}\""))
}

fn text_of(value: &Spanned<DeValue<'_>>, setting: &Setting) -> Result<String, String> {
    match value.get_ref() {
        DeValue::Boolean(truth) if setting.is_switch() => Ok(truth.to_string()),
        _ if setting.is_switch() => Err("must be true or false, without quotes".to_owned()),
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Table(members) if setting.key == "initial-cluster" => members
            .iter()
            .map(|(name, url)| match url.get_ref() {
                DeValue::String(url) => Ok(format!("{}={url}", name.get_ref())),
                _ => Err(format!("`{0}` must be its peer URL: {0} = \"http://host:2380\"", name.get_ref())),
            })
            .collect::<Result<Vec<String>, String>>()
            .map(|members| members.join(",")),
        _ if setting.key == "initial-cluster" => {
            Err("must be text: \"n1=http://host:2380,n2=…\", or a table of names and URLs".to_owned())
        }
        _ => Err("must be text in quotes, or a whole number".to_owned()),
    }
}

fn unknown(word: &str) -> String {
    let nearest = SETTINGS.iter().map(|setting| (strsim::levenshtein(word, setting.key), setting.key)).min();
    match nearest {
        Some((distance, key)) if distance <= 3 => format!("there is no such setting; did you mean `{key}`?"),
        _ => "there is no such setting; `kontiki serve --help` lists them".to_owned(),
    }
}
