//! Masks of images, for `saliq explain` and `saliq compare`, and how well maps keep to them.

use std::path::Path;

use crate::{
    Result,
    cli::{output::Output, progress::Progress},
    config::{ReadOptions, Shape},
    data::{Masks, masks},
    judgement::{Interval, Metric, Scores},
    report::{Table, fixed},
};

/// The judgements of `--masks`, in the order of tables.
const METRICS: [Metric; 4] =
    [Metric::PointingGame, Metric::RelevanceMass, Metric::RelevanceRank, Metric::MaskOverlap];

/// Reads the masks in `folder` of the pictures `files` of the data set at `source`, and says which
/// images have none.
///
/// # Errors
/// As for [`masks`].
pub(super) fn read_masks(
    folder: &Path,
    (source, files): (&str, &[String]),
    (shape, options): (Shape, &ReadOptions),
    output: &Output,
) -> Result<Masks> {
    let bar = Progress::items(output, "masks", files.len() as u64);
    let read =
        masks(folder, (Path::new(source), files), shape, options, &mut |done, _| bar.set(done));
    bar.finish();
    let read = read?;
    let count = files.len();
    for (names, what) in [(&read.missing, "no mask"), (&read.empty, "a mask that is all black")] {
        if let Some(first) = names.first() {
            output.warn(&format!(
                "{}: {} of {count} images have {what} and do not count there: {first}{}",
                folder.display(),
                names.len(),
                if names.len() > 1 { ", …" } else { "" }
            ));
        }
    }
    Ok(read)
}

/// The number of images whose masks count.
pub(super) fn masked_images(masks: &Masks) -> usize {
    masks.of_images.len() - masks.missing.len() - masks.empty.len()
}

/// A line for each of `rows`, a model and a method with their scores.
pub(super) fn table<'a>(rows: impl Iterator<Item = (&'a str, &'a str, &'a Scores)>) -> Table {
    let value = |interval: Option<Interval>| match interval {
        None => "–".into(),
        Some(Interval { mean, low, high }) if low == high => fixed(mean, 3),
        Some(Interval { mean, low, high }) => {
            format!("{} ({}–{})", fixed(mean, 3), fixed(low, 3), fixed(high, 3))
        }
    };
    let headers = ["model", "method"].into_iter().map(String::from);
    let headers = headers.chain(METRICS.map(|metric| format!("{} ↑", metric.name())));
    let rows = rows.map(|(model, method, scores)| {
        let own = METRICS.map(|metric| value(scores.get(metric)));
        [model.to_string(), method.to_string()].into_iter().chain(own).collect::<Vec<String>>()
    });
    Table::new(headers, rows.collect::<Vec<_>>())
}

/// A description of the judgements, a line each.
pub(super) fn explanations() -> String {
    METRICS.map(|metric| format!("{}: {}\n", metric.name(), metric.explanation())).concat()
}
