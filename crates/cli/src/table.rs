//! Tables: aligned columns, numbers to the right, cut to the terminal's width where there is a terminal, and whole
//! where another program reads. Colour only on a terminal, and not where `NO_COLOR` is set (no-color.org).

use std::fmt;
use std::io::{self, IsTerminal as _};

/// The space between two columns.
const GAP: usize = 2;
/// A column that may be cut keeps so much.
const CUT_MIN: usize = 14;

/// How a cell is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    /// As any other.
    #[default]
    Plain,
    /// Something is wrong.
    Bad,
    /// Something waits for a person, or goes on.
    Warn,
    /// Of no weight, such as a zero.
    Dim,
}

/// What stands in one place of a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell that is meant so.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    /// May be cut at its beginning: the end of a path says most.
    CutHead,
    /// May be cut at its end.
    CutTail,
}

/// A column with its title, which is shown in capitals.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    title: String,
    side: Side,
}

impl Column {
    fn new(title: &str, side: Side) -> Self {
        Self { title: title.to_uppercase(), side }
    }

    /// A column of words.
    pub(crate) fn left(title: &str) -> Self {
        Self::new(title, Side::Left)
    }

    /// A column of numbers.
    pub(crate) fn right(title: &str) -> Self {
        Self::new(title, Side::Right)
    }

    /// A column of paths, cut at their beginning where there is no room.
    pub(crate) fn path(title: &str) -> Self {
        Self::new(title, Side::CutHead)
    }

    /// A column of sentences, cut at their end where there is no room.
    pub(crate) fn text(title: &str) -> Self {
        Self::new(title, Side::CutTail)
    }
}

/// A table with its head. Displayed, it fits the terminal that stdout is, if it is one.
#[derive(Debug, Default)]
pub(crate) struct Table {
    head: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

impl Table {
    /// An empty table. Columns without any title have no head.
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { head: columns.to_vec(), ..Self::default() }
    }

    /// Begins every line so far in.
    pub(crate) fn indent(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Adds a row of texts; it has as many as there are columns.
    pub(crate) fn row<T: Into<String>>(&mut self, texts: impl IntoIterator<Item = T>) {
        self.rows.push(texts.into_iter().map(Cell::from).collect());
    }

    /// Adds a row of cells; it has as many as there are columns.
    pub(crate) fn cells(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines; `width` is the room there is, in columns.
    fn lines(&self, width: Option<usize>, colour: bool) -> Vec<String> {
        let widths = self.widths(width);
        let titles: Vec<Cell> = self.head.iter().map(|column| Cell::from(column.title.as_str())).collect();
        let heading = self.head.iter().any(|column| !column.title.is_empty()).then_some(&titles);
        heading.into_iter().chain(&self.rows).map(|row| self.line(row, &widths, colour)).collect()
    }

    fn line(&self, row: &[Cell], widths: &[usize], colour: bool) -> String {
        let mut line = " ".repeat(self.indent);
        for (i, (column, width)) in self.head.iter().zip(widths).enumerate() {
            let cell = row.get(i).cloned().unwrap_or_default();
            let text = cut(&cell.text, *width, column.side);
            let blank = " ".repeat(width.saturating_sub(text.chars().count()));
            let text = if colour { painted(&text, cell.tone) } else { text };
            let gap = " ".repeat(if i == 0 { 0 } else { GAP });
            line += &match column.side {
                Side::Right => format!("{gap}{blank}{text}"),
                _ => format!("{gap}{text}{blank}"),
            };
        }
        line.trim_end().to_owned()
    }

    /// How wide each column is: as its widest cell, less where there is no room for it.
    fn widths(&self, room: Option<usize>) -> Vec<usize> {
        let widest = |i: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.text.chars().count());
            cells.chain([self.head[i].title.chars().count()]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..self.head.len()).map(widest).collect();
        let Some(room) = room else { return widths };
        loop {
            let total: usize =
                self.indent + widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
            let over = total.saturating_sub(room);
            let may = |i: &usize| {
                matches!(self.head[*i].side, Side::CutHead | Side::CutTail) && widths[*i] > CUT_MIN
            };
            let Some(widest) = (0..widths.len()).filter(may).max_by_key(|i| widths[*i]).filter(|_| over > 0)
            else {
                return widths;
            };
            widths[widest] -= 1;
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
        let colour = io::stdout().is_terminal() && !no_colour;
        f.write_str(&self.lines(width(), colour).join("\n"))
    }
}

/// A text without what a terminal would obey: each control character is a blank.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A text on one line, cut to a width where its column may be cut.
fn cut(text: &str, width: usize, side: Side) -> String {
    let text = clean(text);
    let length = text.chars().count();
    if length <= width {
        return text;
    }
    match side {
        Side::Left | Side::Right => text,
        Side::CutHead => format!("…{}", text.chars().skip(length + 1 - width).collect::<String>()),
        Side::CutTail => format!("{}…", text.chars().take(width.saturating_sub(1)).collect::<String>()),
    }
}

fn painted(text: &str, tone: Tone) -> String {
    let code = match tone {
        _ if text.is_empty() => return String::new(),
        Tone::Plain => return text.to_owned(),
        Tone::Bad => "31",
        Tone::Warn => "33",
        Tone::Dim => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// How wide the terminal is; none where there is none, and nothing is to be cut.
pub(crate) fn width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let columns = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    columns.filter(|columns| *columns > 0)
}

/// A text in lines of a width, with all but the first indented.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in clean(text).split_whitespace() {
        let room = width.saturating_sub(indent);
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 0 && last + 1 + word.chars().count() > room {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            Column::left("app"),
            Column::right("rows"),
            Column::path("file"),
            Column::text("says"),
        ]);
        table.cells([
            "validator".into(),
            "80,789".into(),
            "imports/2013-01-01/a_b_2013-01-01_001.csv".into(),
            "".into(),
        ]);
        table.cells([
            "x".into(),
            Cell::toned("7", Tone::Bad),
            "short".into(),
            "a long sentence about it".into(),
        ]);
        table
    }

    #[test]
    fn columns_are_aligned_and_nothing_is_cut_for_a_program() {
        assert_eq!(
            table().lines(None, false),
            [
                "APP          ROWS  FILE                                       SAYS",
                "validator  80,789  imports/2013-01-01/a_b_2013-01-01_001.csv",
                "x               7  short                                      a long sentence about it",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_first_and_keeps_the_ends_of_paths() {
        let lines = table().lines(Some(60), false);
        assert_eq!(lines[1], "validator  80,789  …_2013-01-01_001.csv");
        assert!(lines.iter().all(|line| line.chars().count() <= 60), "{lines:?}");
        assert!(lines[2].ends_with('…'), "{lines:?}");
        // Narrower than its words it is wider than the room, and still whole.
        assert!(table().lines(Some(5), false)[1].starts_with("validator  80,789  …"));
    }

    #[test]
    fn colour_takes_no_room() {
        let lines = table().lines(None, true);
        assert!(lines[2].contains("     \x1b[31m7\x1b[0m  short"), "{lines:?}");
    }

    #[test]
    fn text_is_wrapped_at_words() {
        assert_eq!(wrapped("one two three four", 10, 2), "one two\n  three\n  four");
        assert_eq!(wrapped("averyveryverylongword x", 10, 2), "averyveryverylongword\n  x");
    }
}
