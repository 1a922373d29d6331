//! Rows of results and how they print: medians over the runs, and the ratio to what they are compared with.

use super::Measure;
use crate::table::{Table, median};

#[derive(Debug)]
pub struct Row {
    scenario: String,
    subject: String,
    runs: Vec<Result<Measure, String>>,
    ratios: Vec<f64>,
    note: String,
}

impl Row {
    pub fn new(scenario: &str, subject: &str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            subject: subject.to_owned(),
            runs: Vec::new(),
            ratios: Vec::new(),
            note: String::new(),
        }
    }

    pub fn failed(scenario: &str, subject: &str, error: &anyhow::Error) -> Self {
        let mut row = Self::new(scenario, subject);
        row.add(Err(anyhow::anyhow!("{error:#}")));
        row
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// One run's figures, or why it has none.
    pub fn add(&mut self, run: anyhow::Result<Measure>) {
        self.runs.push(run.map_err(|error| format!("{error:#}")));
    }

    /// Figures of the latest run, when it had some.
    pub fn latest(&self) -> Option<&Measure> {
        self.runs.last().and_then(|run| run.as_ref().ok())
    }

    /// How the latest run compares with another row's latest; nothing when either failed.
    pub fn compare(&mut self, base: &Row, figure: impl Fn(&Measure) -> Option<f64>) {
        let own = self.latest().and_then(&figure);
        let other = base.latest().and_then(&figure);
        if let (Some(own), Some(other)) = (own, other)
            && other > 0.0
        {
            self.ratios.push(own / other);
        }
    }

    fn median(&self, figure: impl Fn(&Measure) -> Option<f64>) -> Option<f64> {
        median(self.runs.iter().flatten().filter_map(figure).collect())
    }

    fn cells(&self) -> Vec<String> {
        let show = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
        };
        let failures: Vec<&String> = self.runs.iter().filter_map(|run| run.as_ref().err()).collect();
        let mut notes = Vec::new();
        if !self.note.is_empty() {
            notes.push(self.note.clone());
        }
        if let Some(first) = failures.first() {
            let line = first.lines().next().unwrap_or("");
            notes.push(format!("failed {} of {}: {line}", failures.len(), self.runs.len()));
        }
        vec![
            self.scenario.clone(),
            self.subject.clone(),
            show(self.median(|m| m.accepted_s), 0),
            show(self.median(|m| m.delivered_s), 0),
            show(self.median(|m| m.cpu_us), 1),
            show(self.median(|m| m.p50_ms), 2),
            show(self.median(|m| m.p99_ms), 2),
            show(self.median(|m| m.pss_mb), 0),
            show(median(self.ratios.clone()), 2),
            notes.join("; "),
        ]
    }
}

#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub fn any_failed(&self) -> bool {
        self.rows.iter().any(|row| row.runs.iter().any(Result::is_err))
    }

    pub fn render(&self, markdown: bool) -> String {
        let mut table = Table::new(&[
            "scenario",
            "subject",
            "accepted/s",
            "delivered/s",
            "CPU µs/event",
            "p50 ms",
            "p99 ms",
            "PSS MB",
            "ratio",
            "note",
        ]);
        for row in &self.rows {
            table.row(row.cells());
        }
        table.render(markdown)
    }
}
