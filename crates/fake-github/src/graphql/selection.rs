//! The part of GraphQL's grammar that is needed to read a query: fields with arguments and aliases, and fragments.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// A selection of an object.
#[derive(Debug, Clone)]
pub(super) enum Selection {
    Field(Field),
    /// An inline fragment and its type.
    On(Option<String>, Vec<Selection>),
    /// The name of a fragment.
    Spread(String),
}

/// A selected field.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// The name in the response.
    pub(super) key: String,
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
    pub(super) selection: Vec<Selection>,
}

/// A query and its fragments, with variables substituted.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) query: Vec<Selection>,
    /// Fragments with their types.
    pub(super) fragments: HashMap<String, (String, Vec<Selection>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    Text(String),
    Number(i64),
    /// `...`
    Spread,
    Mark(char),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            _ if first.is_whitespace() || first == ',' => first.len_utf8(),
            '"' => {
                let end = rest[1..].find('"').ok_or("unterminated string")? + 2;
                tokens.push(Token::Text(rest[1..end - 1].to_owned()));
                end
            }
            '.' if rest.starts_with("...") => {
                tokens.push(Token::Spread);
                3
            }
            _ if first.is_ascii_alphanumeric() || matches!(first, '_' | '-') => {
                let end = rest[1..].find(|next: char| !next.is_ascii_alphanumeric() && next != '_');
                let word = &rest[..end.map_or(rest.len(), |end| end + 1)];
                tokens.push(word.parse().map_or_else(|_| Token::Name(word.to_owned()), Token::Number));
                word.len()
            }
            _ => {
                tokens.push(Token::Mark(first));
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    Ok(tokens)
}

impl Document {
    /// Reads a document with a single query.
    pub(super) fn parse(text: &str, variables: &Value) -> Result<Self, String> {
        let mut reader = Reader { tokens: tokens(text)?, at: 0, variables: variables.clone() };
        let mut document = Self::default();
        while let Some(token) = reader.peek().cloned() {
            match token {
                Token::Mark('{') => document.query = reader.selection()?,
                Token::Name(word) if word == "query" => {
                    reader.at += 1;
                    document.query = reader.operation()?;
                }
                Token::Name(word) if word == "fragment" => {
                    reader.at += 1;
                    let name = reader.name()?;
                    reader.word("on")?;
                    let kind = reader.name()?;
                    document.fragments.insert(name, (kind, reader.selection()?));
                }
                other => return Err(format!("unexpected {other:?}")),
            }
        }
        Ok(document)
    }
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    variables: Value,
}

impl Reader {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("the query ends early")?;
        self.at += 1;
        Ok(token)
    }

    /// Consumes this mark if it is next.
    fn takes(&mut self, mark: char) -> bool {
        let is_next = self.peek() == Some(&Token::Mark(mark));
        self.at += usize::from(is_next);
        is_next
    }

    fn mark(&mut self, mark: char) -> Result<(), String> {
        if self.takes(mark) { Ok(()) } else { Err(format!("`{mark}` is missing before {:?}", self.peek())) }
    }

    fn name(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Name(name) => Ok(name),
            other => Err(format!("a name is missing before {other:?}")),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        if self.name()? == word { Ok(()) } else { Err(format!("`{word}` is missing")) }
    }

    fn operation(&mut self) -> Result<Vec<Selection>, String> {
        if matches!(self.peek(), Some(Token::Name(_))) {
            self.at += 1;
        }
        if self.takes('(') {
            // Which variables exist follows from where they are used.
            while !self.takes(')') {
                self.next()?;
            }
        }
        self.selection()
    }

    fn selection(&mut self) -> Result<Vec<Selection>, String> {
        self.mark('{')?;
        let mut selected = Vec::new();
        while !self.takes('}') {
            selected.push(if self.peek() == Some(&Token::Spread) { self.fragment()? } else { self.field()? });
        }
        Ok(selected)
    }

    fn fragment(&mut self) -> Result<Selection, String> {
        self.at += 1;
        if self.peek() == Some(&Token::Mark('{')) {
            return Ok(Selection::On(None, self.selection()?));
        }
        let name = self.name()?;
        if name != "on" {
            return Ok(Selection::Spread(name));
        }
        Ok(Selection::On(Some(self.name()?), self.selection()?))
    }

    fn field(&mut self) -> Result<Selection, String> {
        let key = self.name()?;
        let name = if self.takes(':') { self.name()? } else { key.clone() };
        let arguments = if self.takes('(') { self.pairs(')')? } else { Map::new() };
        let has_selection = self.peek() == Some(&Token::Mark('{'));
        let selection = if has_selection { self.selection()? } else { Vec::new() };
        Ok(Selection::Field(Field { key, name, arguments, selection }))
    }

    fn pairs(&mut self, end: char) -> Result<Map<String, Value>, String> {
        let mut pairs = Map::new();
        while !self.takes(end) {
            let name = self.name()?;
            self.mark(':')?;
            pairs.insert(name, self.value()?);
        }
        Ok(pairs)
    }

    fn value(&mut self) -> Result<Value, String> {
        match self.next()? {
            Token::Name(word) => Ok(match word.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => Value::String(word),
            }),
            Token::Text(text) => Ok(Value::String(text)),
            Token::Number(number) => Ok(number.into()),
            Token::Mark('$') => {
                let name = self.name()?;
                Ok(self.variables[&name].clone())
            }
            Token::Mark('{') => self.pairs('}').map(Value::Object),
            Token::Mark('[') => {
                let mut values = Vec::new();
                while !self.takes(']') {
                    values.push(self.value()?);
                }
                Ok(Value::Array(values))
            }
            other => Err(format!("a value is missing before {other:?}")),
        }
    }
}
