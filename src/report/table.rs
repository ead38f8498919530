//! Tables of strings as terminal text, Markdown or HTML.

use comfy_table::{CellAlignment, ContentArrangement, presets};
use maud::{Markup, html};

use super::text::plain;

/// A table of plain strings. Columns in which all cells are numbers (with or without a unit) are
/// right-aligned. Rows with fewer cells than headers are filled with empty cells; cells beyond the
/// headers are dropped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Column headings.
    pub headers: Vec<String>,
    /// Cells, one list per row.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of `headers` and `rows`.
    pub fn new<H: Into<String>, C: Into<String>>(
        headers: impl IntoIterator<Item = H>,
        rows: impl IntoIterator<Item = impl IntoIterator<Item = C>>,
    ) -> Table {
        Table {
            headers: headers.into_iter().map(Into::into).collect(),
            rows: rows.into_iter().map(|row| row.into_iter().map(Into::into).collect()).collect(),
        }
    }

    /// Unicode text for a terminal, without colour and final newline. `width` is the number of
    /// available columns, `None` for no limit. A table with few rows that is too wide is transposed
    /// (as Table II is printed) before cells are broken over several lines.
    pub fn to_text(&self, width: Option<u16>) -> String {
        let upright = self.draw(None, |column| self.is_numeric(column));
        let Some(room) = width else { return upright };
        if columns(&upright) <= usize::from(room) {
            return upright;
        }
        let turned = self.transposed();
        let on_its_side = turned.draw(None, |column| column > 0);
        if self.rows.len() > 8 || columns(&on_its_side) >= columns(&upright) {
            self.draw(width, |column| self.is_numeric(column))
        } else if columns(&on_its_side) <= usize::from(room) {
            on_its_side
        } else {
            turned.draw(width, |column| column > 0)
        }
    }

    fn draw(&self, width: Option<u16>, right: impl Fn(usize) -> bool) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width)
            }
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table.set_header(self.headers.iter().map(|header| plain(header)));
        for row in self.cells() {
            table.add_row(row.into_iter().map(plain));
        }
        for index in (0..self.headers.len()).filter(|&index| right(index)) {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.trim_fmt()
    }

    /// Transposes the table; the first column becomes the headings.
    fn transposed(&self) -> Table {
        let mut lines = (0..self.headers.len()).map(|column| {
            let cells = self.rows.iter().map(|row| row.get(column).cloned().unwrap_or_default());
            std::iter::once(self.headers[column].clone()).chain(cells).collect::<Vec<_>>()
        });
        Table { headers: lines.next().unwrap_or_default(), rows: lines.collect() }
    }

    /// A table in GitHub's Markdown, ending with a newline; empty without headers.
    pub fn to_markdown(&self) -> String {
        if self.headers.is_empty() {
            return String::new();
        }
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut out = line(self.headers.iter().map(|header| markdown_text(header)).collect());
        out += &line(
            (0..self.headers.len())
                .map(|index| if self.is_numeric(index) { "---:" } else { "---" }.into())
                .collect(),
        );
        for row in self.cells() {
            out += &line(row.into_iter().map(markdown_text).collect());
        }
        out
    }

    /// Lines of comma-separated values, without final newline.
    pub fn to_csv(&self) -> String {
        let line = |cells: &Vec<String>| {
            cells.iter().map(|cell| csv_field(cell)).collect::<Vec<_>>().join(",")
        };
        let lines = std::iter::once(&self.headers).chain(&self.rows).map(line);
        lines.collect::<Vec<_>>().join("\n")
    }

    /// An HTML `<table>`, escaped, inside a `<div class="table">` that may scroll sideways.
    pub fn to_html(&self) -> Markup {
        let class = |index: usize| self.is_numeric(index).then_some("number");
        html! {
            div.table {
                table {
                    thead {
                        tr {
                            @for (index, header) in self.headers.iter().enumerate() {
                                th scope="col" class=[class(index)] { (plain(header)) }
                            }
                        }
                    }
                    tbody {
                        @for row in self.cells() {
                            tr {
                                @for (index, cell) in row.into_iter().enumerate() {
                                    td class=[class(index)] { (plain(cell)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Rows with exactly as many cells as there are headers.
    fn cells(&self) -> impl Iterator<Item = Vec<&str>> {
        self.rows.iter().map(|row| {
            (0..self.headers.len()).map(|index| row.get(index).map_or("", String::as_str)).collect()
        })
    }

    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self
            .rows
            .iter()
            .filter_map(|row| row.get(column))
            .filter(|cell| !cell.is_empty() && *cell != "–")
            .peekable();
        cells.peek().is_some()
            && cells.all(|cell| {
                cell.trim_start_matches(['+', '-', '−', '±', '<', '>', '≈'])
                    .starts_with(|c: char| c.is_ascii_digit())
            })
    }
}

/// Width of the widest line. It is a little low if a name contains characters wider than one
/// column.
fn columns(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// Escapes `text` for Markdown: on one line, without links, pictures, tags or emphasis.
pub(crate) fn markdown_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '<' => out += "&lt;",
            '&' => out += "&amp;",
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '~' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

/// The results of one model: a row of the table in the form of Table II.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultRow {
    /// Name of the model.
    pub model: String,
    /// Its bits, e.g. `(4,2)` or `float`.
    pub bits: String,
    /// Share of the test images classified correctly, 0..=1.
    pub accuracy: f32,
    /// Mean cross-entropy over the test images.
    pub loss: f32,
    /// The paper's accuracy for these bits (Table II), 0..=1.
    pub paper_accuracy: Option<f32>,
    /// Number of floating-point operations executed for one image, two per multiply-accumulate.
    pub floating_point_operations: u64,
    /// The paper's bit-weighted number of operations (Table II, "Number of Flops").
    pub weighted_operations: Option<u64>,
    /// Size of the model with its weights packed at their bits, in bytes.
    pub weight_bytes: u64,
    /// Duration of the training, in seconds.
    pub seconds: f32,
    /// PACT's learned clipping bound α of each quantized activation: name, value.
    pub alpha: Vec<(String, f32)>,
}

/// A column of [`result_table`]: its heading, and the cell of a row (`None`: empty).
type Column = (&'static str, fn(&ResultRow) -> Option<String>);

/// The table in the form of Table II. Accuracies are in percent, differences in percentage points.
/// Columns without any value are left out; other gaps are `–`.
pub fn result_table(rows: &[ResultRow]) -> Table {
    let columns: [Column; 11] = [
        ("model", |row| Some(row.model.clone())),
        ("bits", |row| Some(row.bits.clone()).filter(|bits| !bits.is_empty())),
        ("accuracy", |row| Some(percent(row.accuracy))),
        ("paper", |row| row.paper_accuracy.map(percent)),
        ("difference", |row| row.paper_accuracy.map(|paper| signed_points(row.accuracy, paper))),
        ("loss", |row| Some(format!("{:.4}", row.loss))),
        ("FLOPs an image", |row| Some(thousands(row.floating_point_operations))),
        ("FLOPs · bits/32", |row| row.weighted_operations.map(thousands)),
        ("weights", |row| Some(bytes(row.weight_bytes))),
        ("training", |row| Some(duration(row.seconds))),
        ("α", |row| {
            let all: Vec<String> =
                row.alpha.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
            (!all.is_empty()).then(|| all.join(", "))
        }),
    ];
    let shown: Vec<Column> = columns
        .into_iter()
        .filter(|(_, cell)| rows.is_empty() || rows.iter().any(|row| cell(row).is_some()))
        .collect();
    Table {
        headers: shown.iter().map(|(header, _)| (*header).to_owned()).collect(),
        rows: rows
            .iter()
            .map(|row| {
                shown.iter().map(|(_, cell)| cell(row).unwrap_or_else(|| "–".into())).collect()
            })
            .collect(),
    }
}

/// Explanations of the columns of [`result_table`] for a first-time reader.
pub fn result_terms() -> Vec<(String, String)> {
    let terms = [
        (
            "accuracy",
            "the share of the test images that are classified correctly, 0 to 100 %; higher is \
             better",
        ),
        ("difference", "ours minus the paper's, in percentage points"),
        (
            "loss",
            "the mean cross entropy of the test images in nats, from 0 up; lower is better; \
             ln(classes) is guessing (2.30 for 10 classes)",
        ),
        (
            "FLOPs an image",
            "floating-point operations of a forward pass, two per multiply-accumulate",
        ),
        (
            "FLOPs · bits/32",
            "the paper's measure: those of quantized convolutions times bits/32; lower is cheaper",
        ),
        ("weights", "size of all weights, packed at their bits"),
        ("α", "where PACT clips an activation, in the activation's own units; learned"),
    ];
    terms.map(|(term, meaning)| (term.to_string(), meaning.to_string())).into()
}

fn percent(fraction: f32) -> String {
    format!("{:.2} %", f64::from(fraction) * 100.0)
}

/// The difference of the percentages as printed, so that the row is consistent.
fn signed_points(ours: f32, paper: f32) -> String {
    let hundredths = |fraction: f32| (f64::from(fraction) * 10_000.0).round();
    plus_minus((hundredths(ours) - hundredths(paper)) / 100.0, 2)
}

/// `value` with `digits` decimals and a typographic sign: `+`, `−`, and `±` for a value that rounds
/// to 0.
pub(crate) fn plus_minus(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let sign = match text.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
        true => "±",
        false if value < 0.0 => "−",
        false => "+",
    };
    format!("{sign}{text}")
}

/// A field of a CSV line (RFC 4180).
pub(crate) fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into()
    }
}

/// `1 model`, `3 models`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// `value` with `digits` decimals; a value that rounds to 0 has no sign.
pub(crate) fn fixed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => rest.into(),
        _ => text,
    }
}

/// As [`fixed`], with a sign: `+` or `-`, and none for a value that rounds to 0.
pub(crate) fn signed(value: f64, digits: usize) -> String {
    let text = fixed(value, digits);
    let has_sign = text.starts_with('-') || text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if has_sign { text } else { format!("+{text}") }
}

/// A number in groups of three digits.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size with its unit.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

fn duration(seconds: f32) -> String {
    // Rounded first, so that 59.96 s is "1 min 00 s" and not "60.0 s".
    match seconds {
        s if !s.is_finite() || s < 0.0 => "–".into(),
        s if s < 59.95 => format!("{s:.1} s"),
        s if s < 3599.5 => format!("{} min {:02} s", s.round() as u64 / 60, s.round() as u64 % 60),
        s => {
            let minutes = (f64::from(s) / 60.0).round() as u64;
            format!("{} h {:02} min", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_csv_are_quoted_where_they_must_be() {
        let table = Table::new(["run", "bits, seed"], [["a", "4,2"], ["say \"b\"", "–"]]);
        assert_eq!(table.to_csv(), "run,\"bits, seed\"\na,\"4,2\"\n\"say \"\"b\"\"\",–");
    }

    #[test]
    fn units() {
        assert_eq!([0, 999, 1000, 32_025_344].map(thousands), ["0", "999", "1,000", "32,025,344"]);
        assert_eq!([0, 999, 1000, 4_799_528].map(bytes), ["0 B", "999 B", "1.0 kB", "4.80 MB"]);
        assert_eq!(
            [0.0, 59.96, 61.0, 3599.9, 7260.0, f32::NAN].map(duration),
            ["0.0 s", "1 min 00 s", "1 min 01 s", "1 h 00 min", "2 h 01 min", "–"]
        );
        assert_eq!(
            [-1e-9, -0.0, 0.004, -0.004, -0.006].map(|value| fixed(value, 2)),
            ["0.00", "0.00", "0.00", "0.00", "-0.01"]
        );
        assert_eq!(
            [-1e-9, 0.0, 0.004, 0.2, -3.0].map(|value| signed(value, 2)),
            ["0.00", "0.00", "0.00", "+0.20", "-3.00"]
        );
        assert_eq!(signed_points(0.9892, 0.9019), "+8.73");
        assert_eq!(signed_points(0.90, 0.9019), "−0.19");
        assert_eq!(signed_points(0.9019, 0.9019), "±0.00");
    }

    #[test]
    fn numeric_columns_are_found() {
        let table = Table::new(
            ["name", "bits", "value", "gap"],
            [["a", "(4,2)", "+1.5", "–"], ["2b", "8", "", "3 %"]],
        );
        assert_eq!([0, 1, 2, 3].map(|i| table.is_numeric(i)), [false, false, true, true]);
    }
}
