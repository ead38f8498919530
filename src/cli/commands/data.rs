//! `saliq data`.

use std::path::PathBuf;

use crate::{
    Error, Result,
    cli::{
        args::{DataArgs, DataCommand, FetchArgs, GlobalArgs, ListArgs},
        progress::Progress,
    },
    data::{self, Listing},
    files::cache_dir,
    report::Table,
};

/// Lists or downloads data sets.
///
/// # Errors
/// [`Error::Data`] for unknown names; [`Error::Download`] if no mirror delivers.
pub fn run(args: &DataArgs, global: &GlobalArgs) -> Result<()> {
    match &args.command {
        DataCommand::List(args) => list(args, global),
        DataCommand::Fetch(args) => fetch_all(args, global),
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
