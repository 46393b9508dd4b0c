//! Transactions as JSON, for programs.

use crate::cli::text;
use crate::client::{self, Delete, Get, Put, Range, Target, TxnOp};
use crate::types::Revision;
use serde::Deserialize;

/// Parses a transaction. The error has the line and column.
pub(super) fn parse(source: &str) -> Result<client::Txn, String> {
    let txn: Txn = serde_json::from_str(source).map_err(|error| format!("not a transaction: {error}"))?;
    txn.convert()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Txn {
    #[serde(default)]
    compares: Vec<Compare>,
    #[serde(default)]
    success: Vec<Op>,
    #[serde(default)]
    failure: Vec<Op>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Hex(Hex),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hex {
    hex: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Keys {
    One(Bytes),
    Several(Several),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Several {
    Prefix(Bytes),
    Span(Bytes, Bytes),
    All(bool),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Compare {
    keys: Keys,
    target: TargetName,
    relation: RelationName,
    number: Option<u64>,
    value: Option<Bytes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum TargetName {
    Version,
    Created,
    Modified,
    Value,
}

#[derive(Clone, Copy, Deserialize)]
enum RelationName {
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = "<")]
    Less,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Op {
    Put {
        key: Bytes,
        value: Bytes,
        #[serde(default)]
        return_previous: bool,
    },
    Get {
        key: Bytes,
    },
    Delete {
        keys: Keys,
        #[serde(default)]
        return_previous: bool,
    },
    Range {
        keys: Keys,
        #[serde(default)]
        limit: u64,
        #[serde(default)]
        keys_only: bool,
    },
    Txn(Txn),
}

impl Txn {
    fn convert(self) -> Result<client::Txn, String> {
        let ops = |ops: Vec<Op>| ops.into_iter().map(Op::convert).collect::<Result<Vec<_>, _>>();
        Ok(client::Txn {
            compares: self.compares.into_iter().map(Compare::convert).collect::<Result<_, _>>()?,
            success: ops(self.success)?,
            failure: ops(self.failure)?,
        })
    }
}

impl Bytes {
    fn convert(self) -> Result<bytes::Bytes, String> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Hex(Hex { hex }) => text::unhex(&hex).ok_or_else(|| format!("`{hex}` is not hexadecimal")),
        }
    }
}

impl Keys {
    fn convert(self) -> Result<client::Keys, String> {
        Ok(match self {
            Self::One(key) => client::Keys::One(key.convert()?),
            Self::Several(Several::Prefix(prefix)) => client::Keys::Prefix(prefix.convert()?),
            Self::Several(Several::Span(start, end)) => {
                client::Keys::Span { start: Some(start.convert()?), end: Some(end.convert()?) }
            }
            Self::Several(Several::All(true)) => client::Keys::All,
            Self::Several(Several::All(false)) => return Err("`all` must be true".to_owned()),
        })
    }
}

impl Compare {
    fn convert(self) -> Result<client::Compare, String> {
        let target = match (self.target, self.number, self.value) {
            (TargetName::Version, Some(number), None) => Target::Version(number),
            (TargetName::Created, Some(number), None) => Target::CreateRevision(Revision(number)),
            (TargetName::Modified, Some(number), None) => Target::ModRevision(Revision(number)),
            (TargetName::Value, None, Some(value)) => Target::Value(value.convert()?),
            (TargetName::Value, ..) => {
                return Err("a compare of `value` needs `value`, not `number`".to_owned());
            }
            _ => return Err("a compare of a number needs `number`, not `value`".to_owned()),
        };
        let relation = match self.relation {
            RelationName::Equal => client::Relation::Equal,
            RelationName::NotEqual => client::Relation::NotEqual,
            RelationName::Greater => client::Relation::Greater,
            RelationName::Less => client::Relation::Less,
        };
        Ok(client::Compare { keys: self.keys.convert()?, target, relation })
    }
}

impl Op {
    fn convert(self) -> Result<TxnOp, String> {
        Ok(match self {
            Self::Put { key, value, return_previous } => {
                TxnOp::Put(Put { key: key.convert()?, value: value.convert()?, return_previous })
            }
            Self::Get { key } => TxnOp::Get(Get::new(key.convert()?)),
            Self::Delete { keys, return_previous } => {
                TxnOp::Delete(Delete { keys: keys.convert()?, return_previous })
            }
            Self::Range { keys, limit, keys_only } => {
                TxnOp::Range(Range { limit, keys_only, ..Range::new(keys.convert()?) })
            }
            Self::Txn(txn) => TxnOp::Txn(txn.convert()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::cli::txn::grammar;

    #[test]
    fn both_forms_say_the_same() {
        for (json, words) in [
            (
                r#"{"compares":[{"keys":"lock","target":"version","relation":"=","number":0}],
                    "success":[{"put":{"key":"lock","value":"me"}}],"failure":[{"get":{"key":"lock"}}]}"#,
                "if absent(lock) then put lock me else get lock",
            ),
            (
                r#"{"compares":[{"keys":{"prefix":"a"},"target":"value","relation":"!=","value":{"hex":"00ff"}}],
                    "success":[{"delete":{"keys":{"span":["a","b"]}}},{"range":{"keys":{"all":true},"limit":3}}]}"#,
                r#"if value(prefix(a)) != "\x00\xff" then delete span(a b); range all() limit 3"#,
            ),
            (r#"{"success":[{"txn":{"success":[{"get":{"key":{"hex":"61"}}}]}}]}"#, "(get a)"),
        ] {
            assert_eq!(parse(json).unwrap(), grammar::parse(words).unwrap(), "{words}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (json, fragment) in [
            (r#"{"succes":[]}"#, "unknown field `succes`"),
            (r#"{"success":[{"put":{"key":"a"}}]}"#, "missing field `value`"),
            (r#"{"success":[{"get":{"key":{"hex":"0"}}}]}"#, "`0` is not hexadecimal"),
            (r#"{"success":[{"delete":{"keys":{"all":false}}}]}"#, "`all` must be true"),
            (
                r#"{"compares":[{"keys":"a","target":"value","relation":"=","number":1}]}"#,
                "a compare of `value` needs `value`",
            ),
            (
                r#"{"compares":[{"keys":"a","target":"version","relation":"="}]}"#,
                "a compare of a number needs `number`",
            ),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(fragment), "{error}");
        }
    }
}
