//! What people read: standard output for what was asked for, standard error for what went wrong.

use std::io::{IsTerminal, Write};

/// A closed pipe is the reader's wish, not an error.
pub fn print(text: &str) {
    let _ = write(text.as_bytes());
}

/// As it is, with what became of it.
pub fn write(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}

/// Columns that standard output has; `None` where it is no terminal, and lines may be as long as they like.
pub fn columns() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0))
}

pub fn error(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "dacapo: {text}");
}

/// Whether colours are wanted (<https://no-color.org>).
pub fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[derive(Clone, Copy)]
pub enum Colour {
    Dim = 2,
    Bold = 1,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

/// `text` in a colour, or as it is.
pub fn paint(text: &str, colour: Colour, colours: bool) -> String {
    if colours { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.to_owned() }
}

/// On the way: to standard error, so that what was asked for can be piped on.
pub fn note(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{text}");
}
