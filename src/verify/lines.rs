//! Histories as JSON lines.

use crate::verify::history::{Answer, Call, Completion, History, Operation};
use crate::verify::value::Value;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, Write};
use std::sync::Arc;

/// Why a file is not a history.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// A line cannot be understood.
    #[error("line {line}: {why}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One line, as it stands.
#[derive(Deserialize)]
struct Line<'a> {
    process: u64,
    #[serde(rename = "type")]
    kind: Kind,
    f: Function,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(default, deserialize_with = "present")]
    value: Option<serde_json::Value>,
    time_ns: u64,
    swapped: Option<bool>,
    revision: Option<u64>,
}

/// Distinguishes `null` from a field that is absent.
fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(input).map(Some)
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Invoke,
    Ok,
    Fail,
    Info,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Function {
    Read,
    Write,
    Cas,
}

impl Function {
    fn of(call: &Call) -> Self {
        match call {
            Call::Read => Self::Read,
            Call::Write(_) => Self::Write,
            Call::Cas { .. } => Self::Cas,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Cas => "cas",
        }
    }
}

/// Reads a history. Anything else is an error that names its line; empty lines and unknown fields are skipped.
pub fn read(mut input: impl BufRead) -> Result<History, Malformed> {
    let mut reader = Reader::default();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        if input.read_until(b'\n', &mut text)? == 0 {
            break;
        }
        if !text.trim_ascii().is_empty() {
            reader.line(&text).map_err(|why| Malformed::Line { line, why })?;
        }
    }
    Ok(reader.operations.into_iter().collect())
}

#[derive(Default)]
struct Reader {
    operations: Vec<Operation>,
    keys: HashSet<Arc<str>>,
    processes: HashMap<u64, Process>,
}

/// What is known of a process so far.
#[derive(Default)]
struct Process {
    time_ns: u64,
    /// The operation it has open.
    open: Option<usize>,
}

impl Reader {
    fn line(&mut self, text: &[u8]) -> Result<(), String> {
        let line: Line<'_> = serde_json::from_slice(text).map_err(|error| in_words(&error))?;
        if line.time_ns == u64::MAX {
            return Err(format!("time_ns is {}, which is not a time", line.time_ns));
        }
        if line.value.as_ref().is_some_and(loses_digits) {
            return Err("the value has a number that would lose digits: write it as text".to_owned());
        }
        let process = self.processes.entry(line.process).or_default();
        if line.time_ns < process.time_ns {
            let (name, before) = (line.process, process.time_ns);
            return Err(format!("time_ns of process {name} goes back from {before} to {}", line.time_ns));
        }
        process.time_ns = line.time_ns;
        if line.kind == Kind::Invoke { self.invoke(line) } else { self.end(line) }
    }

    fn invoke(&mut self, line: Line<'_>) -> Result<(), String> {
        let process = self.processes.entry(line.process).or_default();
        if process.open.is_some() {
            return Err(format!("process {} has an operation open already", line.process));
        }
        process.open = Some(self.operations.len());
        let key = self.keys.get(line.key.as_ref()).cloned().unwrap_or_else(|| Arc::from(line.key.as_ref()));
        self.keys.insert(key.clone());
        self.operations.push(Operation {
            process: line.process,
            key,
            call: call(line.f, line.value)?,
            invoked_ns: line.time_ns,
            outcome: Completion::Unknown,
        });
        Ok(())
    }

    fn end(&mut self, line: Line<'_>) -> Result<(), String> {
        let process = self.processes.entry(line.process).or_default();
        let Some(open) = process.open.take() else {
            return Err(format!("process {} has no operation open", line.process));
        };
        let operation = &mut self.operations[open];
        if (line.f, line.key.as_ref()) != (Function::of(&operation.call), &operation.key) {
            let (called, key) = (Function::of(&operation.call).name(), &operation.key);
            return Err(format!("process {} has a {called} of {key:?} open, not this one", line.process));
        }
        operation.outcome = outcome(line, &operation.call)?;
        Ok(())
    }
}

/// serde's message without its "line 1", which would look like a line of the file.
fn in_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (words, place) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    let kind = if error.is_syntax() || error.is_eof() { "not JSON: " } else { "" };
    let column = place.split_once("column ").map(|(_, column)| format!(" at column {column}"));
    format!("{kind}{words}{}", column.unwrap_or_default())
}

fn call(function: Function, value: Option<serde_json::Value>) -> Result<Call, String> {
    match (function, value) {
        (Function::Read, None | Some(serde_json::Value::Null)) => Ok(Call::Read),
        (Function::Read, Some(_)) => Err("the value of a read is in its ok line".to_owned()),
        (Function::Write, Some(value)) => Ok(Call::Write(value.into())),
        (Function::Cas, Some(serde_json::Value::Array(pair))) if pair.len() == 2 => {
            let mut pair = pair.into_iter().map(Value::from);
            let mut next = || pair.next().unwrap_or_default();
            Ok(Call::Cas { old: next(), new: next() })
        }
        (Function::Write, None) => Err("a write has a value (null deletes)".to_owned()),
        (Function::Cas, _) => Err("the value of a cas is [old,new]".to_owned()),
    }
}

/// A number that is not a 64-bit integer becomes a float here, and two that differ beyond its digits would
/// count as equal.
fn loses_digits(value: &serde_json::Value) -> bool {
    const FIRST_WITHOUT_NEIGHBOUR: f64 = (1_u64 << 53) as f64;
    match value {
        serde_json::Value::Number(number) => {
            number.is_f64() && number.as_f64().is_some_and(|float| float.abs() >= FIRST_WITHOUT_NEIGHBOUR)
        }
        serde_json::Value::Array(values) => values.iter().any(loses_digits),
        serde_json::Value::Object(fields) => fields.values().any(loses_digits),
        _ => false,
    }
}

fn outcome(line: Line<'_>, called: &Call) -> Result<Completion, String> {
    let swaps = line.kind == Kind::Ok && line.f == Function::Cas;
    if line.swapped.is_some() != swaps {
        return Err(if swaps {
            "the ok line of a cas says \"swapped\": true or false".to_owned()
        } else {
            "\"swapped\" belongs on the ok line of a cas".to_owned()
        });
    }
    if line.kind == Kind::Ok && line.f == Function::Read {
        let value = line.value.ok_or("the ok line of a read has a value (null: absent)")?;
        let answer = Answer::Read(value.into());
        return Ok(Completion::Ok { completed_ns: line.time_ns, answer, revision: line.revision });
    }
    if line.value.is_some() && call(line.f, line.value)? != *called {
        return Err("the value differs from that of the call".to_owned());
    }
    let answer = line.swapped.map_or(Answer::Written, Answer::Swapped);
    Ok(match line.kind {
        Kind::Ok => Completion::Ok { completed_ns: line.time_ns, answer, revision: line.revision },
        Kind::Fail => Completion::Failed,
        Kind::Info | Kind::Invoke => Completion::Unknown,
    })
}

/// Writes a history, by time. An operation that did not complete ends where it began.
pub fn write(history: &History, mut output: impl Write) -> io::Result<()> {
    let mut order: Vec<&Operation> = history.operations().iter().collect();
    order.sort_by_key(|operation| (operation.invoked_ns, operation.completed_ns().unwrap_or(0)));
    let mut events = Vec::with_capacity(2 * order.len());
    for (rank, operation) in order.iter().enumerate() {
        let end = operation.completed_ns().unwrap_or(operation.invoked_ns);
        // At the same moment, an operation ends before the next one of its process begins.
        events.push((operation.invoked_ns, rank, false));
        events.push((end, rank, true));
    }
    events.sort_unstable();
    for (time_ns, rank, ended) in events {
        let operation = order[rank];
        let line = if ended { end_line(operation) } else { invoke_line(operation) };
        let function = Function::of(&operation.call).name();
        let (process, key) = (operation.process, serde_json::Value::from(&*operation.key));
        let (kind, rest) = line;
        writeln!(
            output,
            r#"{{"process":{process},"type":"{kind}","f":"{function}","key":{key}{rest},"time_ns":{time_ns}}}"#
        )?;
    }
    Ok(())
}

fn invoke_line(operation: &Operation) -> (&'static str, String) {
    ("invoke", called(&operation.call))
}

fn called(call: &Call) -> String {
    match call {
        Call::Read => r#","value":null"#.to_owned(),
        Call::Write(value) => format!(r#","value":{value}"#),
        Call::Cas { old, new } => format!(r#","value":[{old},{new}]"#),
    }
}

fn end_line(operation: &Operation) -> (&'static str, String) {
    let Completion::Ok { answer, revision, .. } = &operation.outcome else {
        let kind = if operation.outcome == Completion::Failed { "fail" } else { "info" };
        return (kind, called(&operation.call));
    };
    let answered = match answer {
        Answer::Written => called(&operation.call),
        Answer::Read(value) => format!(r#","value":{value}"#),
        Answer::Swapped(swapped) => format!(r#"{},"swapped":{swapped}"#, called(&operation.call)),
    };
    let revision = revision.map(|revision| format!(r#","revision":{revision}"#)).unwrap_or_default();
    ("ok", answered + &revision)
}
