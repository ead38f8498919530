//! `saliq data`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{
    Error, Result,
    cli::{
        args::{
            ConvertArgs, DataArgs, DataCommand, FetchArgs, GlobalArgs, InfoArgs, ListArgs,
            SourceArgs,
        },
        output::Output,
        progress::Progress,
    },
    config::{ReadOptions, Shape},
    data::{self, Dataset, Listing, Skipped, Split},
    files::{cache_dir, write_atomically},
    report::Table,
};

/// Lists, downloads, describes or converts data sets.
///
/// # Errors
/// [`Error::Data`] for unknown names; [`Error::Download`] if no mirror delivers; errors of the
/// formats.
pub fn run(args: &DataArgs, global: &GlobalArgs) -> Result<()> {
    match &args.command {
        DataCommand::List(args) => list(args, global),
        DataCommand::Fetch(args) => fetch_all(args, global),
        DataCommand::Info(args) => info(args, global),
        DataCommand::Convert(args) => convert(args, global),
    }
}

fn list(args: &ListArgs, global: &GlobalArgs) -> Result<()> {
    let listings = data::list(args.data_dir.as_deref());
    global.output().result(&listings, || {
        let rows: Vec<_> = listings.iter().map(row).collect();
        Table::new(["data set", "images", "training", "test", "where", "licence"], rows)
            .to_text(None)
    })
}

fn row(listing: &Listing) -> Vec<String> {
    let place = match (&listing.found, listing.embedded) {
        (_, true) => "built in".into(),
        (Some(path), _) => path.display().to_string(),
        (None, _) => format!("not here: saliq data fetch {}", listing.name),
    };
    let [channels, height, width]: [u32; 3] = listing.shape.into();
    vec![
        listing.name.clone(),
        format!("{channels}×{height}×{width}, {} classes", listing.classes),
        listing.train.to_string(),
        listing.test.to_string(),
        place,
        listing.licence.clone(),
    ]
}

fn fetch_all(args: &FetchArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    let into = match (&args.data_dir, std::env::var_os(data::DATA_DIR_VARIABLE)) {
        (Some(folder), _) => folder.clone(),
        (None, Some(folder)) => PathBuf::from(folder),
        (None, None) => cache_dir().ok_or_else(|| {
            Error::Data(
                "there is no home folder to store data sets in; name a folder with --data-dir"
                    .into(),
            )
        })?,
    };
    let mut fetched = Vec::new();
    for name in &args.names {
        let mut bar: Option<Progress> = None;
        let folder = data::fetch(name, &into, &mut |event| match event {
            data::Progress::Started { file, total, resumed_at, .. } => {
                let started = Progress::bytes(&output, file, total);
                started.set(resumed_at);
                bar = Some(started);
            }
            data::Progress::Advanced { bytes, .. } => {
                if let Some(bar) = &bar {
                    bar.set(bytes);
                }
            }
            data::Progress::Present { file } => {
                output.note(&format!("{name}: {file} is there already"))
            }
            data::Progress::Finished { .. } => {
                if let Some(bar) = bar.take() {
                    bar.finish();
                }
            }
            _ => {}
        })?;
        fetched.push(serde_json::json!({ "name": name, "folder": folder }));
        output.text(&format!("{name}: {}", folder.display()))?;
    }
    if output.json { output.result(&fetched, String::new) } else { Ok(()) }
}

/// Reads a data set with a progress bar.
pub(super) fn load(
    name: &str,
    data_dir: Option<&Path>,
    options: &ReadOptions,
    output: &Output,
) -> Result<Dataset> {
    let mut bar: Option<(Progress, u64)> = None;
    let dataset = data::load_with(name, data_dir, options, &mut |done, total| {
        // Each pass over the files begins anew.
        if bar.as_ref().is_none_or(|(_, last)| *last >= done) {
            if let Some((bar, _)) = bar.take() {
                bar.finish();
            }
            bar = Some((Progress::items(output, "reading pictures", total), 0));
        }
        if let Some((bar, last)) = &mut bar {
            bar.set(done);
            *last = done;
        }
    });
    if let Some((bar, _)) = bar.take() {
        bar.finish();
    }
    let dataset = dataset?;
    if options.test_share.is_some() && dataset.details.has_own_test {
        output.warn(&format!(
            "{}: has test images of its own; --test-share is not used",
            dataset.source
        ));
    }
    Ok(dataset)
}

fn load_source(args: &SourceArgs, global: &GlobalArgs) -> Result<Dataset> {
    let options = args.read.options(global.image_color(), args.seed);
    load(&args.dataset, args.data_dir.as_deref(), &options, &global.output())
}

/// The JSON of `saliq data info --json`.
#[derive(Serialize)]
struct Info<'a> {
    name: &'a str,
    shape: Shape,
    classes: &'a [String],
    train: SplitInfo,
    test: SplitInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation: Option<SplitInfo>,
    mean: Vec<f64>,
    deviation: Vec<f64>,
    skipped: &'a [Skipped],
    warnings: &'a [String],
}

#[derive(Serialize)]
struct SplitInfo {
    images: u64,
    per_class: Vec<u64>,
    sha256: String,
}

impl SplitInfo {
    fn of(split: &Split, classes: u32) -> SplitInfo {
        SplitInfo {
            images: split.len() as u64,
            per_class: split.per_class(classes),
            sha256: split.sha256(),
        }
    }
}

fn info(args: &InfoArgs, global: &GlobalArgs) -> Result<()> {
    let dataset = load_source(&args.source, global)?;
    let (mean, deviation) = dataset.channel_statistics().into_iter().unzip();
    let details = &dataset.details;
    let info = Info {
        name: &dataset.name,
        shape: dataset.shape,
        classes: &dataset.class_names,
        train: SplitInfo::of(&dataset.train, dataset.classes),
        test: SplitInfo::of(&dataset.test, dataset.classes),
        validation: details.validation.as_ref().map(|split| SplitInfo::of(split, dataset.classes)),
        mean,
        deviation,
        skipped: &details.skipped,
        warnings: &details.warnings,
    };
    global.output().result(&info, || text_of(&info))
}

fn text_of(info: &Info<'_>) -> String {
    const MOST: usize = 40;
    let [channels, height, width]: [u32; 3] = info.shape.into();
    let numbers = |values: &[f64]| {
        values.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(", ")
    };
    let mut lines = vec![
        format!(
            "{}: {} training and {} test images of {channels}×{height}×{width}, {} classes",
            crate::plain(info.name),
            info.train.images,
            info.test.images,
            info.classes.len()
        ),
        format!("mean {}; deviation {}", numbers(&info.mean), numbers(&info.deviation)),
        format!("SHA-256 of training images {}", info.train.sha256),
        format!("SHA-256 of test images     {}", info.test.sha256),
    ];
    if let Some(validation) = &info.validation {
        lines.push(format!("{} images for --validation-share", validation.images));
    }
    let row = |(class, name): (usize, &String)| {
        let count = |split: &SplitInfo| split.per_class[class].to_string();
        vec![class.to_string(), crate::plain(name), count(&info.train), count(&info.test)]
    };
    let rows: Vec<_> = info.classes.iter().enumerate().take(MOST).map(row).collect();
    lines.push(Table::new(["class", "name", "training", "test"], rows).to_text(None));
    if info.classes.len() > MOST {
        lines.push(format!("and {} more classes (--json has all)", info.classes.len() - MOST));
    }
    for skipped in info.skipped.iter().take(MOST) {
        lines.push(crate::plain(&format!("left out {}: {}", skipped.file, skipped.reason)));
    }
    if info.skipped.len() > MOST {
        lines.push(format!("and {} more files (--json has all)", info.skipped.len() - MOST));
    }
    lines.join("\n")
}

fn convert(args: &ConvertArgs, global: &GlobalArgs) -> Result<()> {
    let (out, place) = (&args.out, args.out.display());
    if out.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(Error::Usage(format!("--out {place}: name a file that ends in .safetensors")));
    }
    if out.exists() && !args.force {
        return Err(Error::Usage(format!(
            "--out {place}: exists; name another file, or replace it with --force"
        )));
    }
    let dataset = load_source(&args.source, global)?;
    write_atomically(out, &data::to_file(&dataset)?)?;
    let result = serde_json::json!({
        "out": out, "train": dataset.train.len(), "test": dataset.test.len(),
    });
    global.output().result(&result, || {
        format!("{place}: {} training and {} test images", dataset.train.len(), dataset.test.len())
    })
}
