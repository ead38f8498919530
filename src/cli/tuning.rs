//! Storage of measured tile sizes: one JSON file per adapter, driver and version of the program, in
//! the user's cache folder.

use std::path::{Path, PathBuf};

use crate::{
    Error, Result,
    cli::words::worded,
    files::{cache_dir, read_bounded, write_atomically},
    gpu::Gpu,
    nn::Tuning,
    report::Table,
};

/// Largest file in bytes.
const MOST_BYTES: u64 = 1 << 18;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The file of `gpu`'s adapter.
fn path_of(gpu: &Gpu) -> Option<PathBuf> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = gpu.adapter_description().chars().map(plain).take(120).collect();
    cache_dir().map(|folder| folder.join("tuning").join(format!("{name}-{VERSION}.json")))
}

fn read(path: &Path) -> Result<Tuning> {
    let bytes = read_bounded(path, MOST_BYTES)?;
    Tuning::parse(&String::from_utf8_lossy(&bytes))
        .map_err(|error| Error::format(path, worded(&error)))
}

/// The file of `gpu`'s adapter and its contents; empty if it was measured elsewhere or with another
/// version.
///
/// # Errors
/// [`Error::Io`] and [`Error::Format`] with the name of an existing file that cannot be used.
pub fn of_adapter(gpu: &Gpu) -> Result<(Option<PathBuf>, Option<Tuning>)> {
    let path = path_of(gpu);
    let found = path.as_deref().filter(|path| path.exists()).map(read).transpose()?;
    let own = found
        .filter(|tuning| tuning.adapter == gpu.adapter_description() && tuning.version == VERSION);
    Ok((path, own))
}

/// Makes the networks on `gpu` use the tiles of `choice` (`auto`, `table` or a file).
///
/// # Errors
/// As [`of_adapter`], for a file that the user named.
pub fn activate(choice: &str, gpu: &Gpu) -> Result<()> {
    let tuning = match choice {
        "table" => None,
        // The file is only a cache, so a file that cannot be read must not stop the command.
        "auto" => {
            of_adapter(gpu)
                .unwrap_or_else(|error| {
                    log::warn!("{error}; the built-in tile sizes are used");
                    (None, None)
                })
                .1
        }
        file => {
            let tuning = read(Path::new(file))?;
            if tuning.adapter != gpu.adapter_description() {
                log::warn!("{file} was measured on {}", tuning.adapter);
            }
            Some(tuning)
        }
    };
    if let Some(tuning) = tuning {
        log::info!("measured tile sizes for {} products", tuning.products.len());
        gpu.use_tuning(tuning);
    }
    Ok(())
}

/// Writes `tiles.json` into a run folder if measured tiles were used on `gpu`. Given to `--tiles`,
/// it repeats the run's choice.
///
/// # Errors
/// [`Error::Io`] if it cannot be written.
pub fn record(folder: &Path, gpu: &Gpu) -> Result<()> {
    gpu.tuning().map_or(Ok(()), |tuning| {
        write_atomically(&folder.join("tiles.json"), tuning.to_text().as_bytes())
    })
}

/// Writes the file of `gpu`'s adapter.
///
/// # Errors
/// [`Error::Io`] if it cannot be written; [`Error::Usage`] if there is no cache folder.
pub fn keep(gpu: &Gpu, tuning: &Tuning) -> Result<PathBuf> {
    let path = path_of(gpu).ok_or_else(|| {
        Error::Usage("there is no cache folder: set HOME or XDG_CACHE_HOME".into())
    })?;
    write_atomically(&path, tuning.to_text().as_bytes())?;
    Ok(path)
}

/// A table of the tiles that are faster than the built-in ones.
pub fn describe(tuning: &Tuning) -> String {
    if tuning.products.is_empty() {
        return "the built-in tile sizes are the fastest".into();
    }
    let headers = [
        "product",
        "columns",
        "rows",
        "inner",
        "row lanes × column lanes × slices",
        "rows a lane",
        "slab",
        "ms",
        "table ms",
    ];
    let rows = tuning.products.iter().map(|tuned| {
        let (product, tiles) = (tuned.product, tuned.tiles);
        vec![
            if product.weight_gradient { "weight gradient" } else { "product" }.to_string(),
            (4 * product.column_groups).to_string(),
            product.rows.to_string(),
            (4 * product.inner).to_string(),
            format!("{} × {} × {}", tiles.row_lanes, tiles.column_lanes, tiles.slices),
            tiles.rows.to_string(),
            tiles.deep.to_string(),
            format!("{:.3}", tuned.ms),
            format!("{:.3}", tuned.table_ms),
        ]
    });
    Table::new(headers, rows.collect::<Vec<_>>()).to_text(None)
}
