//! Rows of columns: in one line each, or where a terminal is too narrow for that, with what does not fit below.

/// Between two columns.
const GAP: &str = "  ";
/// What does not fit stands below, so far in.
const INDENT: &str = "    ";
/// What a column without a width needs to be read in one line.
const REST_WIDTH: usize = 40;

/// Columns of a fixed width, which fit on any terminal, and those that follow.
pub struct Table {
    columns: Vec<(&'static str, usize)>,
    rest: Vec<String>,
    is_narrow: bool,
}

impl Table {
    /// `width`: of the terminal; `None` where there is none.
    pub fn new(columns: &[(&'static str, usize)], rest: &[&str], width: Option<usize>) -> Self {
        let needed = columns.iter().map(|(_, width)| width + GAP.len()).sum::<usize>();
        let needed = needed + rest.iter().map(|name| name.len().max(REST_WIDTH)).sum::<usize>();
        let is_narrow = width.is_some_and(|width| width < needed);
        Self { columns: columns.to_vec(), rest: rest.iter().map(|&name| name.to_owned()).collect(), is_narrow }
    }

    pub fn head(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        self.row(&names, &self.rest.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Of `rest` each part that says something stands on its own where it is narrow.
    pub fn row(&self, cells: &[&str], rest: &[&str]) -> String {
        let cells = cells.iter().zip(&self.columns);
        let fixed: Vec<String> = cells.map(|(cell, (_, width))| format!("{cell:<width$}")).collect();
        let fixed = fixed.join(GAP);
        if !self.is_narrow {
            let line = format!("{fixed}{GAP}{}", rest.join(GAP));
            return format!("{}\n", line.trim_end());
        }
        let below: String = rest
            .iter()
            .filter(|part| !part.trim().is_empty())
            .map(|part| format!("{INDENT}{}\n", part.trim_end()))
            .collect();
        format!("{}\n{below}", fixed.trim_end())
    }
}
