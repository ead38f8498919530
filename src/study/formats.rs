//! Writes a report as Markdown and as CSV.

use std::fmt::Write;

use super::{figures::Figure, summary::Summary};
use crate::{
    judgement::Interval,
    plain, plain_lines,
    report::{Block, Section, csv_field, markdown_text},
};

/// The report as Markdown, with links to the figures' files.
pub fn markdown(title: &str, intro: &[String], sections: &[Section], figures: &[Figure]) -> String {
    let mut text = format!("# {}\n", markdown_text(title));
    for sentence in intro {
        let _ = write!(text, "\n{}\n", paragraph(sentence));
    }
    for section in sections {
        let _ = write!(text, "\n## {}\n", markdown_text(&section.title));
        for block in &section.blocks {
            let _ = match block {
                Block::Heading(heading) => write!(text, "\n### {}\n", markdown_text(heading)),
                Block::Paragraph(sentences) => write!(text, "\n{}\n", paragraph(sentences)),
                Block::Table(table) => write!(text, "\n{}", table.to_markdown()),
                Block::Code(code) => {
                    let (code, fence) = (plain_lines(code), fence(code));
                    write!(text, "\n{fence}sh\n{code}\n{fence}\n")
                }
                Block::Facts(facts) | Block::Terms(facts) => {
                    text.push('\n');
                    facts.iter().try_for_each(|(name, value)| {
                        writeln!(text, "- {}: {}", markdown_text(name), markdown_text(value))
                    })
                }
                Block::Image { caption, .. } | Block::Svg { caption, .. } => {
                    let file = figures
                        .iter()
                        .find(|figure| figure.is(block))
                        .map_or("", |figure| &figure.file);
                    write!(
                        text,
                        "\n![{}]({file})\n\n{}\n",
                        markdown_text(heading(caption)),
                        paragraph(caption)
                    )
                }
            };
        }
    }
    text
}

/// A paragraph whose first characters are escaped, so that it is not parsed as a heading, a list or
/// a quotation.
fn paragraph(text: &str) -> String {
    let text = markdown_text(text.trim());
    // The end of a list number: `1.` or `1)`.
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match text[digits..].chars().next() {
        Some('#' | '>' | '+' | '-' | '=') if digits == 0 => format!("\\{text}"),
        Some('.' | ')') if digits > 0 => format!("{}\\{}", &text[..digits], &text[digits..]),
        _ => text,
    }
}

/// A code fence that does not occur in `code`.
fn fence(code: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(3.max(longest + 1))
}

/// The beginning of a caption, up to its first colon or full stop; the full stop of `Fig.` does not
/// count.
fn heading(caption: &str) -> &str {
    let number = if caption.starts_with("Fig. ") { 5 } else { 0 };
    let end = caption[number..].find([':', '.']).map_or(caption.len(), |at| number + at);
    &caption[..end]
}

/// One line per figure: data set, model, training, method (empty for figures of the model itself),
/// name, mean, interval.
pub fn csv(summary: &Summary) -> String {
    let mut text = "dataset,model,sgt,method,figure,mean,low,high\n".to_string();
    let number = |value: f64| if value.is_finite() { value.to_string() } else { String::new() };
    for model in &summary.models {
        let (dataset, label) =
            (field(&model.variant.dataset), plain(&model.variant.label()).replace('"', "\"\""));
        let start = format!("{dataset},\"{label}\",{}", model.variant.sgt);
        let mut line = |method: &str, figure: &str, value: Interval| {
            let Interval { mean, low, high } = value;
            let (method, figure) = (field(method), field(figure));
            let _ = writeln!(
                text,
                "{start},{method},{figure},{},{},{}",
                number(mean),
                number(low),
                number(high)
            );
        };
        line("", "accuracy", model.accuracy);
        line("", "loss", model.loss);
        line("", "bit-operations", Interval::unknown(model.cost.bit_operations as f64));
        line("", "weighted-operations", Interval::unknown(model.cost.weighted_operations as f64));
        if let Some(operations) = model.cost.paper_operations {
            line("", "paper-operations", Interval::unknown(operations as f64));
        }
        line("", "weight-bytes", Interval::unknown(model.cost.weight_bytes as f64));
        line("random", "drop-area", Interval::unknown(model.random_area));
        for (share, accuracy) in curve(&model.random_drop, &model.random_drop_band) {
            line("random", &format!("drop:{share}"), accuracy);
        }
        for (share, accuracy) in curve(&model.random_retrained, &model.random_retrained_band) {
            line("random", &format!("retrained:{share}"), accuracy);
        }
        for (method, map) in &model.methods {
            let figures = [
                ("drop-area", map.drop_area),
                ("mean-drop", map.mean_drop),
                ("below-random", map.below_random),
                ("gini", map.gini),
                ("entropy", map.entropy),
                ("max-sensitivity", map.sensitivity),
                ("spearman", map.spearman),
                ("ssim", map.ssim),
                ("top-overlap", map.overlap),
                ("zeros", Interval::unknown(map.zeros)),
            ];
            for (figure, value) in figures.into_iter().filter(|(_, value)| value.mean.is_finite()) {
                line(method, figure, value);
            }
            for (share, accuracy) in curve(&map.drop, &map.drop_band) {
                line(method, &format!("drop:{share}"), accuracy);
            }
            for layer in &map.randomisation {
                line(method, &format!("randomisation:{}", layer.layer), layer.spearman);
            }
            for (share, accuracy) in curve(&map.retrained, &map.retrained_band) {
                line(method, &format!("retrained:{share}"), accuracy);
            }
        }
    }
    text
}

/// The points of a curve with their intervals.
fn curve<'a>(
    points: &'a [(f64, f64)],
    band: &'a [(f64, f64, f64)],
) -> impl Iterator<Item = (f64, Interval)> + 'a {
    points
        .iter()
        .zip(band)
        .map(|(&(share, mean), &(_, low, high))| (share, Interval { mean, low, high }))
}

/// Any text as a field that stays on its line.
fn field(text: &str) -> String {
    csv_field(&plain(text))
}
