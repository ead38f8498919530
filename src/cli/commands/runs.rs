//! `saliq runs`.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    Error, Result,
    cli::args::{GlobalArgs, RunsArgs, TableFormat},
    report::Table,
    sweep::{Better, Figure, FoundRun, Point, differing_keys, find_runs},
};

/// Figures of the table for people, as far as any run has them.
const SHOWN: [&str; 6] = [
    "test_accuracy",
    "test_loss",
    "best_test_accuracy",
    "validation_accuracy",
    "train_loss",
    "seconds",
];

/// The JSON of `saliq runs --json`.
#[derive(Serialize)]
struct Listing {
    /// The settings in which the runs differ, or those that were asked for.
    keys: Vec<String>,
    runs: Vec<FoundRun>,
    #[serde(skip_serializing_if = "Option::is_none")]
    figure: Option<PathBuf>,
}

/// Lists runs.
///
/// # Errors
/// Errors of the folder; [`Error::Usage`] for a figure that no run has.
pub fn run(args: &RunsArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    let mut runs = find_runs(&args.folder)?;
    let keys = match args.keys.is_empty() {
        true => differing_keys(&runs),
        false => args.keys.clone(),
    };
    for name in [&args.best, &args.sort, &args.plot].into_iter().flatten() {
        known(name, &runs)?;
    }
    let figure = match (&args.plot, &args.by) {
        (Some(metric), Some(key)) => Some(draw(args, (metric, key), &keys, &runs)?),
        _ => None,
    };
    if let Some(name) = args.sort.as_ref().or(args.best.as_ref()) {
        sort(name, &mut runs);
    }
    if let Some(name) = &args.best {
        sort(name, &mut runs);
        runs.truncate(1);
    }
    let listing = Listing { keys, runs, figure };
    output.result(&listing, || {
        let drawn = listing.figure.as_ref();
        let drawn = drawn.map_or_else(String::new, |path| format!("\n{}", path.display()));
        match (args.format, &args.best) {
            (TableFormat::Text, Some(_)) => best(args, &listing) + &drawn,
            (TableFormat::Text, None) => table(&listing, true).to_text(None) + &drawn,
            (TableFormat::Markdown, _) => table(&listing, true).to_markdown(),
            (TableFormat::Csv, _) => table(&listing, false).to_csv(),
        }
    })
}

fn known(name: &str, runs: &[FoundRun]) -> Result<()> {
    if runs.iter().any(|run| run.metrics.contains_key(name)) {
        return Ok(());
    }
    let names: std::collections::BTreeSet<&str> =
        runs.iter().flat_map(|run| run.metrics.keys()).map(String::as_str).collect();
    let names: Vec<&str> = names.into_iter().collect();
    Err(Error::Usage(match names.is_empty() {
        true => format!("{name}: no run has finished an epoch yet"),
        false => format!("{name}: no run has this figure; they have {}", names.join(", ")),
    }))
}

/// The best first, runs without the figure last.
fn sort(name: &str, runs: &mut [FoundRun]) {
    let better = Better::of(name);
    runs.sort_by(|a, b| match (a.metrics.get(name), b.metrics.get(name)) {
        (Some(one), Some(other)) if better.prefers(*one, *other) => std::cmp::Ordering::Less,
        (Some(one), Some(other)) if better.prefers(*other, *one) => std::cmp::Ordering::Greater,
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        _ => std::cmp::Ordering::Equal,
    });
}

fn draw(
    args: &RunsArgs,
    (metric, key): (&str, &str),
    keys: &[String],
    runs: &[FoundRun],
) -> Result<PathBuf> {
    let mut shown = keys.to_vec();
    if !shown.iter().any(|own| own == key) {
        shown.push(key.into());
    }
    let points: Vec<Point> = runs.iter().map(|run| run.point(&shown)).collect();
    let figure = Figure::new(&points, metric, key).ok_or_else(|| {
        Error::Usage(format!("--by {key}: the runs with {metric} do not differ in it"))
    })?;
    let path = match &args.figure {
        Some(path) => path.clone(),
        None => args.folder.join(format!("{metric}-by-{key}.svg")),
    };
    figure.write(&path)?;
    Ok(path)
}

fn table(listing: &Listing, rounded: bool) -> Table {
    let has = |name: &str| listing.runs.iter().any(|run| run.metrics.contains_key(name));
    let names: Vec<&str> = match rounded {
        true => SHOWN.into_iter().filter(|name| has(name)).collect(),
        false => {
            let all: std::collections::BTreeSet<&str> = listing
                .runs
                .iter()
                .flat_map(|run| run.metrics.keys())
                .map(String::as_str)
                .collect();
            all.into_iter().collect()
        }
    };
    let headers = ["run", "epochs", "steps", "finished"].map(String::from).into_iter();
    let headers = headers.chain(listing.keys.iter().cloned());
    let headers = headers.chain(names.iter().map(|name| (*name).to_string()));
    let rows = listing.runs.iter().map(|run| {
        let gap = if rounded { "–" } else { "" };
        let first = [
            run.folder.display().to_string(),
            run.epochs.to_string(),
            run.steps.to_string(),
            if run.finished { "yes".into() } else { "no".into() },
        ];
        let setting =
            |key: &String| run.settings.get(key).cloned().unwrap_or_else(|| gap.to_string());
        let figure = |name: &&str| match run.metrics.get(*name) {
            None => gap.to_string(),
            Some(value) if !rounded => value.to_string(),
            Some(value) if name.contains("accuracy") => format!("{:.2} %", 100.0 * value),
            Some(value) if *name == "seconds" => format!("{value:.1}"),
            Some(value) => format!("{value:.4}"),
        };
        let cells = first.into_iter().chain(listing.keys.iter().map(setting));
        cells.chain(names.iter().map(figure)).collect::<Vec<String>>()
    });
    Table::new(headers, rows)
}

/// The best run in a line, with what repeats it.
fn best(args: &RunsArgs, listing: &Listing) -> String {
    let Some(run) = listing.runs.first() else { return String::new() };
    let name = args.best.as_deref().unwrap_or_default();
    let value = run.metrics.get(name).copied().unwrap_or(f64::NAN);
    let value = match name.contains("accuracy") {
        true => format!("{:.2} %", 100.0 * value),
        false => value.to_string(),
    };
    let settings =
        listing.keys.iter().filter_map(|key| Some(format!("{key} {}", run.settings.get(key)?)));
    let settings: Vec<String> = settings.collect();
    format!("{}: {name} {value}; {}", args.folder.join(&run.folder).display(), settings.join(", "))
}
