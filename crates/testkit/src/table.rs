//! The benchmark's table, as plain text or markdown.

/// The first columns that hold words.
const LABELS: usize = 2;

#[derive(Debug, Default)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&cell| cell.to_owned()).collect(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub fn render(&self, markdown: bool) -> String {
        let columns = self.head.len();
        let width = |column: usize| {
            let cells = self.rows.iter().chain(std::iter::once(&self.head));
            cells.filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let left = |column: usize| column < LABELS || column + 1 == columns;
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = (0..columns).map(|column| {
                let cell = row.get(column).map_or("", String::as_str);
                // Words to the left, figures to the right; the last column is words again.
                if left(column) { format!("{cell:<0$}", widths[column]) } else { format!("{cell:>0$}", widths[column]) }
            });
            let cells: Vec<String> = cells.collect();
            if markdown { format!("| {} |\n", cells.join(" | ")) } else { format!("{}\n", cells.join("  ")) }
        };
        let rule = |column: usize| match (markdown, left(column)) {
            (true, false) => format!("{}:", "-".repeat(widths[column].saturating_sub(1).max(2))),
            _ => "-".repeat(widths[column].max(3)),
        };
        let mut text = line(&self.head);
        let rules: Vec<String> = (0..columns).map(rule).collect();
        text.push_str(&if markdown {
            format!("| {} |\n", rules.join(" | "))
        } else {
            format!("{}\n", rules.join("  "))
        });
        for row in &self.rows {
            text.push_str(&line(row));
        }
        text
    }
}

/// The middle of the values, the mean of the middle two when their number is even.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn markdown_has_its_rule() {
        let mut table = Table::new(&["a", "b", "c", "d"]);
        table.row(["x", "y", "1", "z"].map(str::to_owned).to_vec());
        let want = "| a | b | c | d |\n| --- | --- | --: | --- |\n| x | y | 1 | z |\n";
        assert_eq!(table.render(true), want);
    }
}
