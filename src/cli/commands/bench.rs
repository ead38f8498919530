//! `saliq bench`.

use crate::{
    Error, Result,
    bench::{self, BenchOptions, BenchResult},
    cli::{
        args::{BenchArgs, GlobalArgs},
        progress::Progress,
        tuning,
    },
    config::RunConfig,
    data,
    files::read_bounded,
    nn::TileTable,
    report::Table,
};

/// Times the float SGT step and its dispatches.
///
/// # Errors
/// [`Error`] of the work behind it.
pub fn run(args: &BenchArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    let earlier = args
        .compare
        .as_ref()
        .map(|path| {
            let bytes = read_bounded(path, 1 << 20)?;
            serde_json::from_slice::<BenchResult>(&bytes)
                .map_err(|error| Error::format(path, format!("not a result of `saliq bench --json`: {error}")))
        })
        .transpose()?;
    let dataset = data::load("mnist-mini", None)?;
    let mut config = bench::configuration(&dataset, args.batch_size)?;
    config.precision = args.precision;
    if args.autotune {
        return autotune(&config, global);
    }
    let gpu = super::open_gpu(global)?;
    let spinner = Progress::spinner(&output, "benchmark");
    let options = BenchOptions { batch_size: args.batch_size, steps: args.steps };
    let result = bench::run(&gpu, &dataset, &config, &options, &mut |what| log::info!("{what}"));
    spinner.finish();
    let result = result?;
    output.result(&result, || describe(&result, earlier.as_ref()))
}

/// Measures tile sizes beside the table's, and keeps the best.
fn autotune(config: &RunConfig, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    // Against the table: an earlier measurement must not stand in for it.
    let gpu = super::open_gpu(&GlobalArgs { tiles: "table".into(), ..global.clone() })?;
    if gpu.is_software() {
        return Err(Error::Usage(format!(
            "{} is a software driver, whose kernels have no tiles in workgroup memory to tune",
            gpu.adapter_name()
        )));
    }
    let spinner = Progress::spinner(&output, "timing tile sizes");
    let mut notes = Vec::new();
    let table = TileTable::new(&gpu);
    let found = pollster::block_on(bench::autotune(&gpu, config, table, &mut |what| notes.push(what.to_string())));
    spinner.finish();
    let tuning = found?;
    let path = tuning::keep(&gpu, &tuning)?;
    output.result(&tuning, || format!("{}\n{}\nkept in {}", notes.join("\n"), tuning::describe(&tuning), path.display()))
}

fn describe(result: &BenchResult, earlier: Option<&BenchResult>) -> String {
    let number = |value: f64, digits: usize| if value > 0.0 { format!("{value:.digits$}") } else { "–".into() };
    let mut headers = vec!["dispatch", "kernel", "runs", "ms", "GFLOP/s", "GB/s", "of peak %"];
    headers.extend(earlier.map(|_| "× earlier time"));
    let rows: Vec<_> = result
        .kernels
        .iter()
        .map(|kernel| {
            let mut row = vec![
                kernel.name.clone(),
                kernel.kernel.clone(),
                kernel.count.to_string(),
                format!("{:.2}", kernel.median_ms),
                number(kernel.gflops, 1),
                number(kernel.gbytes_per_s, 1),
                number(100.0 * kernel.peak_share, 0),
            ];
            if let Some(earlier) = earlier {
                let before = earlier.kernels.iter().find(|other| other.name == kernel.name);
                row.push(before.map_or("new".into(), |before| format!("{:.2}", kernel.median_ms / before.median_ms)));
            }
            row
        })
        .collect();
    let step = &result.step;
    let mut text = format!(
        "{}\n{}\npeaks: product {:.1} GFLOP/s, copy {:.1} GB/s\nstep of {} images: {:.1} ms, {:.0} images/s, {:.1} GFLOP/s ({:.0} % of the \
         product's rate), {} dispatches, {} MiB in buffers, first step after {:.0} ms",
        Table::new(headers, rows).to_text(None),
        result.adapter.description,
        result.peaks.product_gflops,
        result.peaks.copy_gbytes_per_s,
        step.batch_size,
        step.median_ms,
        step.images_per_second,
        step.gflops,
        100.0 * step.peak_share,
        step.dispatches,
        step.allocated_bytes >> 20,
        step.first_step_ms
    );
    if let Some(earlier) = earlier {
        text.push_str(&format!("\n{:.2} × the earlier step time", step.median_ms / earlier.step.median_ms));
    }
    text
}
