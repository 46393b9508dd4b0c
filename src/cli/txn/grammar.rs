//! The small language of transactions: text in, a [`Txn`] out.

use crate::client::{Compare, Delete, Get, Keys, Put, Range, Relation, Target, Txn, TxnOp};
use crate::types::Revision;
use bytes::Bytes;

/// As deep as the server accepts, and a bound on the stack.
const MOST_NESTING: usize = 16;

/// A token, and where it begins (in characters, from 1).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    kind: TokenKind,
    at: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TokenKind {
    /// Unquoted: a keyword, a key or a value.
    Word(String),
    /// Quoted: a key or a value, never a keyword.
    Quoted(Bytes),
    Open,
    Close,
    Semicolon,
    Relation(Relation),
}

/// Parses a transaction. The error says what was expected where.
pub(super) fn parse(source: &str) -> Result<Txn, String> {
    let mut parser = Parser { tokens: lex(source)?, next: 0, end: source.chars().count() + 1, depth: 0 };
    let txn = parser.txn()?;
    match parser.peek() {
        None if txn.success.is_empty() && txn.failure.is_empty() => {
            Err("the transaction does nothing".to_owned())
        }
        None => Ok(txn),
        Some(_) => Err(parser.expected("`;` or the end")),
    }
}

fn lex(source: &str) -> Result<Vec<Token>, String> {
    let letters: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut i = 0;
    while let Some(&letter) = letters.get(i) {
        let at = i + 1;
        let (kind, length) = match letter {
            c if c.is_whitespace() => {
                i += 1;
                continue;
            }
            '(' => (TokenKind::Open, 1),
            ')' => (TokenKind::Close, 1),
            ';' => (TokenKind::Semicolon, 1),
            '=' => (TokenKind::Relation(Relation::Equal), 1),
            '>' => (TokenKind::Relation(Relation::Greater), 1),
            '<' => (TokenKind::Relation(Relation::Less), 1),
            '!' if letters.get(i + 1) == Some(&'=') => (TokenKind::Relation(Relation::NotEqual), 2),
            '"' => quoted(&letters, i)?,
            _ => {
                let word: String = letters[i..].iter().take_while(|c| is_plain(**c)).collect();
                let length = word.chars().count();
                if length == 0 {
                    return Err(format!("at character {at}: unexpected `{letter}`; quote it"));
                }
                (TokenKind::Word(word), length)
            }
        };
        tokens.push(Token { kind, at });
        i += length;
    }
    Ok(tokens)
}

fn is_plain(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '(' | ')' | ';' | '=' | '!' | '<' | '>' | '"')
}

/// Reads quoted text that begins at `start`; returns how many characters it takes.
fn quoted(letters: &[char], start: usize) -> Result<(TokenKind, usize), String> {
    let mut bytes = Vec::new();
    let mut i = start + 1;
    loop {
        match letters.get(i) {
            None => return Err(format!("at character {}: the quote is never closed", start + 1)),
            Some('"') => return Ok((TokenKind::Quoted(bytes.into()), i + 1 - start)),
            Some('\\') => {
                let escape = letters.get(i + 1).copied();
                let (byte, length) = match escape {
                    Some('n') => (b'\n', 2),
                    Some('t') => (b'\t', 2),
                    Some('"') => (b'"', 2),
                    Some('\\') => (b'\\', 2),
                    Some('x') => {
                        let digits: String = letters.iter().skip(i + 2).take(2).collect();
                        let byte =
                            (digits.len() == 2).then(|| u8::from_str_radix(&digits, 16).ok()).flatten();
                        (byte.ok_or_else(|| bad_escape(i))?, 4)
                    }
                    _ => return Err(bad_escape(i)),
                };
                bytes.push(byte);
                i += length;
            }
            Some(letter) => {
                bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                i += 1;
            }
        }
    }
}

fn bad_escape(i: usize) -> String {
    format!(
        "at character {}: a backslash must be followed by n, t, \", \\ or x with two hexadecimal digits",
        i + 1
    )
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    /// Where the source ends, for errors.
    end: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&TokenKind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn take(&mut self) -> Option<TokenKind> {
        let kind = self.peek().cloned();
        self.next += 1;
        kind
    }

    /// Takes the next token if it is this word.
    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(TokenKind::Word(next)) if next == word);
        self.next += usize::from(found);
        found
    }

    fn symbol(&mut self, kind: &TokenKind, name: &str) -> Result<(), String> {
        if self.peek() == Some(kind) {
            self.next += 1;
            return Ok(());
        }
        Err(self.expected(name))
    }

    fn expected(&self, what: &str) -> String {
        let token = self.tokens.get(self.next);
        let found = match token.map(|token| &token.kind) {
            None => "the end".to_owned(),
            Some(TokenKind::Word(word)) => format!("`{word}`"),
            Some(TokenKind::Quoted(_)) => "a quoted text".to_owned(),
            Some(TokenKind::Open) => "`(`".to_owned(),
            Some(TokenKind::Close) => "`)`".to_owned(),
            Some(TokenKind::Semicolon) => "`;`".to_owned(),
            Some(TokenKind::Relation(_)) => "a relation".to_owned(),
        };
        let at = token.map_or(self.end, |token| token.at);
        format!("at character {at}: expected {what}, found {found}")
    }

    fn txn(&mut self) -> Result<Txn, String> {
        let mut txn = Txn::default();
        if self.word("if") {
            txn.compares.push(self.compare()?);
            while self.word("and") {
                txn.compares.push(self.compare()?);
            }
            if !self.word("then") {
                return Err(self.expected("`and` or `then`"));
            }
        }
        txn.success = self.ops()?;
        if self.word("else") {
            if txn.compares.is_empty() {
                self.next -= 1;
                return Err(self.expected("no `else`, since there is no `if`"));
            }
            txn.failure = self.ops()?;
        }
        Ok(txn)
    }

    fn compare(&mut self) -> Result<Compare, String> {
        const WHAT: &str = "value(, version(, created(, modified(, exists( or absent(";
        let start = self.next;
        let Some(TokenKind::Word(target)) = self.take() else {
            self.next = start;
            return Err(self.expected(WHAT));
        };
        if !["value", "version", "created", "modified", "exists", "absent"].contains(&target.as_str()) {
            self.next = start;
            return Err(self.expected(WHAT));
        }
        self.symbol(&TokenKind::Open, "`(`")?;
        let keys = if matches!(target.as_str(), "exists" | "absent") {
            Keys::One(self.bytes("a key")?)
        } else {
            self.keys()?
        };
        self.symbol(&TokenKind::Close, "`)`")?;
        let (target, relation) = match target.as_str() {
            "exists" => (Target::Version(0), Relation::Greater),
            "absent" => (Target::Version(0), Relation::Equal),
            target => {
                let relation = self.relation()?;
                let target = match target {
                    "value" => Target::Value(self.bytes("a value")?),
                    "version" => Target::Version(self.number()?),
                    "created" => Target::CreateRevision(Revision(self.number()?)),
                    _ => Target::ModRevision(Revision(self.number()?)),
                };
                (target, relation)
            }
        };
        Ok(Compare { keys, target, relation })
    }

    fn relation(&mut self) -> Result<Relation, String> {
        match self.peek() {
            Some(TokenKind::Relation(relation)) => {
                let relation = *relation;
                self.next += 1;
                Ok(relation)
            }
            _ => Err(self.expected("=, !=, > or <")),
        }
    }

    fn ops(&mut self) -> Result<Vec<TxnOp>, String> {
        let mut ops = Vec::new();
        loop {
            match self.peek() {
                None | Some(TokenKind::Close) => return Ok(ops),
                Some(TokenKind::Word(word)) if word == "else" => return Ok(ops),
                Some(TokenKind::Semicolon) => self.next += 1,
                Some(_) => {
                    ops.push(self.op()?);
                    match self.peek() {
                        None | Some(TokenKind::Semicolon | TokenKind::Close) => {}
                        Some(TokenKind::Word(word)) if word == "else" => {}
                        Some(_) => return Err(self.expected("`;`, `else` or the end")),
                    }
                }
            }
        }
    }

    fn op(&mut self) -> Result<TxnOp, String> {
        if self.word("put") {
            Ok(TxnOp::Put(Put::new(self.bytes("a key")?, self.bytes("a value")?)))
        } else if self.word("get") {
            Ok(TxnOp::Get(Get::new(self.bytes("a key")?)))
        } else if self.word("delete") {
            Ok(TxnOp::Delete(Delete { keys: self.keys()?, return_previous: false }))
        } else if self.word("range") {
            let mut range = Range::new(self.keys()?);
            if self.word("limit") {
                range.limit = self.number()?;
            }
            Ok(TxnOp::Range(range))
        } else if self.peek() == Some(&TokenKind::Open) {
            if self.depth == MOST_NESTING {
                return Err(format!("transactions are nested more than {MOST_NESTING} deep"));
            }
            self.next += 1;
            self.depth += 1;
            let txn = self.txn()?;
            self.depth -= 1;
            self.symbol(&TokenKind::Close, "`)`")?;
            Ok(TxnOp::Txn(txn))
        } else {
            Err(self.expected("put, get, delete, range or `(`"))
        }
    }

    fn keys(&mut self) -> Result<Keys, String> {
        // `prefix`, `span` and `all` are ordinary keys unless a parenthesis follows.
        let call = match (self.peek(), self.tokens.get(self.next + 1).map(|token| &token.kind)) {
            (Some(TokenKind::Word(word)), Some(TokenKind::Open)) => word.clone(),
            _ => return Ok(Keys::One(self.bytes("a key")?)),
        };
        if !["prefix", "span", "all"].contains(&call.as_str()) {
            return Err(self.expected("a key, prefix(, span( or all("));
        }
        self.next += 2;
        let keys = match call.as_str() {
            "prefix" => Keys::Prefix(self.bytes("a prefix")?),
            "span" => {
                Keys::Span { start: Some(self.bytes("the first key")?), end: Some(self.bytes("the end")?) }
            }
            _ => Keys::All,
        };
        self.symbol(&TokenKind::Close, "`)`")?;
        Ok(keys)
    }

    fn bytes(&mut self, what: &str) -> Result<Bytes, String> {
        let bytes = match self.peek() {
            Some(TokenKind::Word(word)) => Bytes::copy_from_slice(word.as_bytes()),
            Some(TokenKind::Quoted(bytes)) => bytes.clone(),
            _ => return Err(self.expected(what)),
        };
        self.next += 1;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, String> {
        let number = match self.peek() {
            Some(TokenKind::Word(word)) => word.parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.expected("a whole number"))?;
        self.next += 1;
        Ok(number)
    }
}

#[cfg(test)]
#[path = "grammar_tests.rs"]
mod tests;
