//! Standard output: its formats, and the one place that writes to it.

use crate::cli::exit::CliError;
use crate::cli::screen;
use crate::telemetry;
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, Table};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

/// The format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs: the fields keep their names and meaning between versions.
    Json,
    /// For shells: no frames, no color, tabs between columns.
    Plain,
}

/// Where and how a command writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// The format asked for with `-o`.
    pub asked: Option<Format>,
    terminal: bool,
    color: bool,
}

impl Output {
    pub(super) fn new(asked: Option<Format>) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { asked, terminal, color: terminal && telemetry::color_is_wanted() }
    }

    /// The format to write in.
    pub(super) fn format(&self) -> Format {
        self.asked.unwrap_or(if self.terminal { Format::Table } else { Format::Plain })
    }

    /// Whether a person is looking at a screen.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    pub(super) fn is_json(&self) -> bool {
        self.asked == Some(Format::Json)
    }

    /// Whether to use color.
    pub(super) fn color(&self) -> bool {
        self.color && self.format() == Format::Table
    }

    pub(super) fn line(&self, text: impl AsRef<str>) -> Result<(), CliError> {
        let mut line = self.shown(text.as_ref()).into_owned();
        line.push('\n');
        self.bytes(line.as_bytes())
    }

    /// A program or a file gets the text as it is.
    fn shown<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.terminal { screen::words(text, self.color()) } else { text.into() }
    }

    /// Writes a JSON value as one line.
    pub(super) fn json(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(|error| CliError::local("write JSON", error))?;
        self.line(screen::json(text))
    }

    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::OutputClosed,
            _ => CliError::Output(error),
        })
    }
}

/// How a cell is meant, shown by color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Neutral,
    Good,
    Bad,
}

/// Rows under headings, as a table or plain.
#[derive(Debug)]
pub(super) struct Grid {
    headings: Vec<&'static str>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Grid {
    pub(super) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.toned_row(cells.into_iter().map(|cell| (cell, Tone::Neutral)).collect());
    }

    pub(super) fn toned_row(&mut self, cells: Vec<(String, Tone)>) {
        self.rows.push(cells.into_iter().map(|(cell, tone)| (screen::cell(cell), tone)).collect());
    }

    /// The text, without a line end after the last row.
    pub(super) fn render(&self, format: Format, color: bool) -> String {
        match format {
            Format::Plain | Format::Json => self.plain(),
            Format::Table => self.table(color),
        }
    }

    fn plain(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let cells: Vec<&str> = row.iter().map(|(cell, _)| cell.as_str()).collect();
            cells.join("\t")
        });
        let lines: Vec<String> = std::iter::once(self.headings.join("\t")).chain(rows).collect();
        lines.join("\n")
    }

    fn table(&self, color: bool) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        if color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(self.headings.iter().map(|heading| Cell::new(*heading)));
        for row in &self.rows {
            table.add_row(row.iter().map(|(text, tone)| {
                let cell = Cell::new(text);
                match tone {
                    Tone::Neutral => cell,
                    Tone::Good => cell.fg(Color::Green),
                    Tone::Bad => cell.fg(Color::Red),
                }
            }));
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_steered_and_a_file_gets_every_byte() {
        let output = |terminal| Output { asked: None, terminal, color: true };
        let said = "OK  (n1\x1b]0;owned\x07)";
        assert_eq!(output(true).shown(said), "OK  (n1\\x1b]0;owned\\x07)");
        assert_eq!(output(false).shown(said), said);
    }

    #[test]
    fn a_cell_cannot_make_rows_of_its_own_or_bring_a_color() {
        let mut grid = Grid::new(&["NODE", "HEALTH"]);
        grid.toned_row(vec![("n1\nn2\tok".to_owned(), Tone::Neutral), ("\x1b[32mok".to_owned(), Tone::Bad)]);
        assert_eq!(grid.render(Format::Plain, false).lines().count(), 2);
        let table = grid.render(Format::Table, true);
        assert_eq!(table.lines().count(), 2, "{table}");
        assert!(table.contains("n1\\nn2\\tok") && table.contains("\\x1b[32mok"), "{table:?}");
    }
}
