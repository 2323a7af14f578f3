//! YAML (and therefore JSON) as a tree of values with their positions.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::names::is_invisible;
use crate::{Position, Problem};

/// A value and its position.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    /// Plain scalars are typed by the code that reads them, from the characters of the file. A weight is never
    /// converted to a binary float on the way.
    Scalar {
        text: String,
        is_plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) at: Position,
    pub(super) text: String,
}

impl Value {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Scalar { .. } => "a value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Help for text that is not YAML.
pub(super) const HELP_WITH_YAML: &str = "YAML is indented with spaces, and lists and mappings line up";

/// A company of 10,000 people with several memberships each fits in a quarter of this.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The deepest value of the format is at depth 4.
const MAX_DEPTH: usize = 16;

/// Parses one document within fixed limits of size, depth and time.
pub(super) fn parse(bytes: &[u8]) -> Result<Node, Problem> {
    if bytes.len() > MAX_BYTES {
        let message = format!("{} bytes; the limit is {MAX_BYTES}", bytes.len());
        return Err(problem("config.too_large", None, message, "check that this is the teams file"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        problem(
            "config.encoding",
            Some(end_of(&lines_of(&before))),
            "the text is not UTF-8".to_owned(),
            "save the file as UTF-8",
        )
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    refuse_conflict_markers(text)?;
    Builder { parser: Parser::new_from_str(text) }.document().map_err(|mut problem| {
        let lines = lines_of(text);
        let end = problem.at.map_or(usize::MAX, |at| at.line);
        // Editors and web pages put these characters in place of spaces, and the difference is invisible. The parser
        // fails on one there, or on a line after it.
        let before = lines.split('\n').take(end).enumerate();
        let found =
            before.filter_map(|(index, line)| Some((index + 1, line.chars().find(|c| is_invisible(*c))?))).last();
        if let Some((line, strange)) = found {
            let code = u32::from(strange);
            problem.help =
                Some(format!("line {line} has the invisible character U+{code:04X}: replace it with a space"));
        }
        problem
    })
}

/// The text as its lines are counted: without a byte order mark, and with each line end as one `\n`. YAML also ends a
/// line at a lone carriage return.
pub(super) fn lines_of(text: &str) -> String {
    text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n")
}

/// The position after the last character.
pub(super) fn end_of(lines: &str) -> Position {
    let last = lines.rsplit('\n').next().unwrap_or_default();
    Position { line: lines.matches('\n').count() + 1, column: last.chars().count() + 1 }
}

fn refuse_conflict_markers(text: &str) -> Result<(), Problem> {
    let is_marker = |line: &str| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ");
    match text.lines().position(is_marker) {
        None => Ok(()),
        Some(index) => Err(problem(
            "config.syntax",
            Some(Position { line: index + 1, column: 1 }),
            "a merge conflict was left in the file".to_owned(),
            "resolve the conflict and remove the markers",
        )),
    }
}

fn problem(code: &'static str, at: Option<Position>, message: String, help: &str) -> Problem {
    Problem { code, at, path: String::new(), message, help: Some(help.to_owned()), related: None }
}

fn position(span: Span) -> Position {
    Position { line: span.start.line(), column: span.start.col() + 1 }
}

struct Builder<'input> {
    parser: Parser<'input, saphyr_parser::StrInput<'input>>,
}

impl<'input> Builder<'input> {
    fn document(mut self) -> Result<Node, Problem> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) if root.is_some() => {
                    let message = "a second document starts here".to_owned();
                    return Err(problem(
                        "config.syntax",
                        Some(position(span)),
                        message,
                        "keep one document in the file",
                    ));
                }
                Event::DocumentStart(_) => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span, 0)?);
                }
                _ => {}
            }
        }
        Ok(root.unwrap_or(Node { at: Position { line: 1, column: 1 }, value: Value::Null }))
    }

    fn next(&mut self) -> Result<(Event<'input>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => {
                let marker = error.marker();
                let at = Position { line: marker.line().max(1), column: marker.col() + 1 };
                Err(problem("config.syntax", Some(at), error.info().to_owned(), HELP_WITH_YAML))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'input>, span: Span, depth: usize) -> Result<Node, Problem> {
        let at = position(span);
        if depth > MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(problem("config.too_large", Some(at), message, "check that this is the teams file"));
        }
        let value = match event {
            Event::Scalar(text, _, _, Some(tag)) if tag.handle == "!" => {
                let meant = format!("!{} {text}", tag.suffix);
                let meant = meant.trim();
                let message = format!("`{meant}` needs quotes: YAML reads it as a tag");
                return Err(problem("config.syntax", Some(at), message, &format!("write \"{meant}\"")));
            }
            Event::Scalar(text, ScalarStyle::Plain, ..) if matches!(&*text, "" | "~" | "null" | "Null" | "NULL") => {
                Value::Null
            }
            Event::Scalar(text, style, ..) => {
                Value::Scalar { text: text.into_owned(), is_plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            // Nested aliases of lists let a small file expand into a huge one.
            Event::Alias(_) => {
                let message = "aliases (`*name`) are not supported".to_owned();
                return Err(problem("config.syntax", Some(at), message, "write the value out"));
            }
            _ => Value::Null,
        };
        Ok(Node { at, value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::List(items));
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let at = position(span);
            let text = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => {
                    let message = "a key must be a plain word".to_owned();
                    return Err(problem("config.syntax", Some(at), message, "write `key: value`"));
                }
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            entries.push((Key { at, text }, value));
        }
    }
}
