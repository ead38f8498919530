//! A report as Markdown and as CSV.

use std::fmt::Write;

use super::{figures::Figure, summary::Summary};
use crate::{
    judgement::Interval,
    report::{Block, Section},
};

/// The report as Markdown, with links to the figures' files.
pub fn markdown(title: &str, intro: &[String], sections: &[Section], figures: &[Figure]) -> String {
    let mut text = format!("# {title}\n");
    for paragraph in intro {
        let _ = write!(text, "\n{paragraph}\n");
    }
    for section in sections {
        let _ = write!(text, "\n## {}\n", section.title);
        for block in &section.blocks {
            let _ = match block {
                Block::Heading(heading) => write!(text, "\n### {heading}\n"),
                Block::Paragraph(paragraph) => write!(text, "\n{paragraph}\n"),
                Block::Table(table) => write!(text, "\n{}", table.to_markdown()),
                Block::Code(code) => write!(text, "\n```sh\n{code}\n```\n"),
                Block::Facts(facts) => {
                    text.push('\n');
                    facts.iter().try_for_each(|(name, value)| writeln!(text, "- {name}: {value}"))
                }
                Block::Image { caption, .. } | Block::Svg { caption, .. } => {
                    let file = figures.iter().find(|figure| figure.is(block)).map_or("", |figure| &figure.file);
                    write!(text, "\n![{}]({file})\n\n{caption}\n", heading(caption))
                }
            };
        }
    }
    text
}

/// What a caption begins with: all before its first colon or full stop, but for the one of `Fig.`
fn heading(caption: &str) -> &str {
    let number = if caption.starts_with("Fig. ") { 5 } else { 0 };
    let end = caption[number..].find([':', '.']).map_or(caption.len(), |at| number + at);
    &caption[..end]
}

/// A line a figure: data set, model, training, method (empty for the model's own figures), figure, mean, interval.
pub fn csv(summary: &Summary) -> String {
    let mut text = "dataset,model,sgt,method,figure,mean,low,high\n".to_string();
    let field = |value: f64| if value.is_finite() { value.to_string() } else { String::new() };
    for model in &summary.models {
        let start = format!("{},\"{}\",{}", quoted(&model.variant.dataset), model.variant.label(), model.variant.sgt);
        let mut line = |method: &str, figure: &str, value: Interval| {
            let Interval { mean, low, high } = value;
            let _ = writeln!(text, "{start},{method},{figure},{},{},{}", field(mean), field(low), field(high));
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
        for (share, accuracy) in &model.random_drop {
            line("random", &format!("drop:{share}"), Interval::unknown(*accuracy));
        }
        for (share, accuracy) in &model.random_retrained {
            line("random", &format!("retrained:{share}"), Interval::unknown(*accuracy));
        }
        for (method, map) in &model.methods {
            let figures = [
                ("drop-area", map.drop_area),
                ("mean-drop", map.mean_drop),
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
            for (share, accuracy) in &map.drop {
                line(method, &format!("drop:{share}"), Interval::unknown(*accuracy));
            }
            for layer in &map.randomisation {
                line(method, &format!("randomisation:{}", layer.layer), layer.spearman);
            }
            for (share, accuracy) in &map.retrained {
                line(method, &format!("retrained:{share}"), Interval::unknown(*accuracy));
            }
        }
    }
    text
}

/// A field that may hold anything.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}
