//! `saliq bench`.

use std::time::Instant;

use crate::{
    Error, Result,
    bench::{
        self, BenchOptions, BenchResult, InferencePoint, InferenceResult, SweepResult, Timing,
    },
    cli::{
        args::{BenchArgs, GlobalArgs},
        progress::Progress,
        tuning,
    },
    config::{PixelNormalization, Precision, QuantizationOverrides, RunConfig},
    data,
    files::read_bounded,
    model::Model,
    nn::TileTable,
    report::Table,
};

/// Number of dispatches whose variants are in the text; the JSON has all of them.
const VARIANTS: usize = 5;

/// Times the float SGT step and its dispatches, or the growth of the step's time.
///
/// # Errors
/// [`Error`] of the library functions that it calls.
pub fn run(args: &BenchArgs, global: &GlobalArgs) -> Result<()> {
    let started = Instant::now();
    let output = global.output();
    let earlier = args
        .compare
        .as_ref()
        .map(|path| {
            let bytes = read_bounded(path, 1 << 20)?;
            serde_json::from_slice::<BenchResult>(&bytes).map_err(|error| {
                Error::format(path, format!("not a result of `saliq bench --json`: {error}"))
            })
        })
        .transpose()?;
    if let Some(path) = &args.inference {
        let mut model = Model::load(path, &QuantizationOverrides::default())?;
        // Times do not depend on the normalisation, so a file without it is timed too.
        model.config.normalize.get_or_insert(PixelNormalization::uniform(0.0, 1.0));
        let gpu = super::open_gpu(global)?;
        let spinner = Progress::spinner(&output, "benchmark");
        let result = bench::inference(&gpu, &model, args.batch_size, args.steps, &mut |what| {
            log::info!("{what}")
        });
        spinner.finish();
        let result = result?;
        return output.result(&result, || describe_inference(&result));
    }
    let dataset = data::load("mnist-mini", None)?;
    let mut config = bench::configuration(&dataset, args.batch_size)?;
    config.precision = args.precision;
    if args.autotune {
        return autotune(&config, global);
    }
    let gpu = super::open_gpu(global)?;
    let spinner = Progress::spinner(&output, "benchmark");
    let mut progress = |what: &str| log::info!("{what}");
    if let Some(what) = args.sweep {
        let result = bench::sweep(&gpu, what.into(), args.batch_size, args.steps, &mut progress);
        spinner.finish();
        let result = result?;
        if let Some(path) = &args.chart {
            result.chart().write(path)?;
        }
        return output.result(&result, || describe_sweep(&result));
    }
    let options = BenchOptions { steps: args.steps, started };
    let result = pollster::block_on(bench::run(&gpu, &dataset, &config, &options, &mut progress));
    spinner.finish();
    let result = result?;
    output.result(&result, || describe(&result, earlier.as_ref()))
}

/// Measures tile sizes other than those of the table, and stores the fastest.
fn autotune(config: &RunConfig, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    // Compares with the table and not with an earlier measurement.
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
    let found = pollster::block_on(bench::autotune(&gpu, config, table, &mut |what| {
        notes.push(what.to_string())
    }));
    spinner.finish();
    let tuning = found?;
    let path = tuning::keep(&gpu, &tuning)?;
    output.result(&tuning, || {
        format!("{}\n{}\nkept in {}", notes.join("\n"), tuning::describe(&tuning), path.display())
    })
}

fn describe_inference(result: &InferenceResult) -> String {
    let row = |point: &InferencePoint| {
        let engines = [point.float, point.fake_quantized, point.integer];
        let mut row = vec![point.batch_size.to_string()];
        row.extend(engines.map(|engine| format!("{:.3}", engine.median_ms)));
        row.push(format!("{:.0}", point.integer.images_per_second));
        row.push(format!("{:.2}", point.speedup));
        row.extend(engines.map(|engine| format!("{:.1}", engine.bytes_per_image as f64 / 1024.0)));
        row
    };
    let headers = [
        "images",
        "float ms",
        "fake-quantized ms",
        "integer ms",
        "integer images/s",
        "× float",
        "float KiB an image",
        "fake-quantized KiB",
        "integer KiB",
    ];
    let [integer, all] = result.integer_layers;
    let mut lines = vec![Table::new(headers, result.points.iter().map(row)).to_text(None)];
    lines.push(format!("{}; {integer} of {all} layers sum integers", result.adapter.description));
    for point in &result.points {
        for (name, engine) in [
            ("float", point.float),
            ("fake-quantized", point.fake_quantized),
            ("integer", point.integer),
        ] {
            if engine.images_at_a_time < point.batch_size {
                lines.push(format!(
                    "{} images, {name}: {} at a time, as many as the adapter has room for",
                    point.batch_size, engine.images_at_a_time
                ));
            }
        }
    }
    lines.join("\n")
}

fn describe_sweep(result: &SweepResult) -> String {
    let rows = result.points.iter().map(|point| {
        vec![
            point.value.to_string(),
            format!("{:.1}", point.median_ms),
            format!("{:.4}", point.median_ms / f64::from(point.value)),
            format!("{:.0}", point.images_per_second),
        ]
    });
    let table = Table::new(
        vec![result.sweep.unit(), "ms a step", "ms a unit", "images/s"],
        rows.collect::<Vec<_>>(),
    );
    format!(
        "{}\n{}\nline through the points: {:.2} ms + {:.4} ms a unit, R² = {:.4}",
        table.to_text(None),
        result.adapter.description,
        result.offset_ms,
        result.ms_per_unit,
        result.r_squared
    )
}

fn describe(result: &BenchResult, earlier: Option<&BenchResult>) -> String {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or("–".into(), |value| format!("{value:.digits$}"))
    };
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
                number(kernel.peak_share.map(|share| 100.0 * share), 0),
            ];
            if let Some(earlier) = earlier {
                let before = earlier.kernels.iter().find(|other| other.name == kernel.name);
                row.push(before.map_or("new".into(), |before| {
                    format!("{:.2}", kernel.median_ms / before.median_ms)
                }));
            }
            row
        })
        .collect();
    let step = &result.step;
    let timing = match result.timing {
        Timing::Timestamps => "the device's clock, within the step",
        Timing::Host => "the host's clock, each repeated on its own",
    };
    let precision = match result.precision {
        Precision::F32 => "f32",
        Precision::F16 => "f16",
    };
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let floors = step.floors;
    let mut text = format!(
        "{}\n\
         {}; dispatches by {timing}\n\
         peaks: product {:.1} GFLOP/s, copy {:.1} GB/s\n\
         step of {} images: {:.1} ms, {:.0} images/s, {:.1} GFLOP/s ({:.0} % of the product's \
         rate), {} dispatches\n\
         floors: {:.1} GFLOP {:.1} ms, {:.2} GB {:.1} ms; {:.0} % of the larger reached\n\
         memory: {:.1} MiB at most beside the data set, {:.2} times the {:.1} MiB that must be \
         kept for the backward pass\n\
         start: first step begins after {:.0} ms and ends after {:.0} ms",
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
        step.gflop,
        floors.arithmetic_ms,
        step.gbytes,
        floors.memory_ms,
        100.0 * step.floor_share,
        mebibytes(step.peak_bytes),
        step.memory_ratio,
        mebibytes(step.kept_bytes),
        step.ready_ms,
        step.first_step_ms
    );
    text.push_str(&format!("\nactivations in {}; variants of the slowest:", precision));
    for kernel in result.kernels.iter().take(VARIANTS) {
        text.push_str(&format!("\n  {}: {}", kernel.name, kernel.variant));
    }
    if let Some(attribution) = &result.attribution {
        text.push_str(&format!(
            "\n\
             attribution, {} images at a time: forward and input gradient {:.3} ms an image; \
             gradient {:.3} ms ({:.2} ×); integrated gradients, 50 steps, {:.1} ms ({:.2} × 50 \
             passes)",
            attribution.batch_size,
            attribution.pass_ms_per_image,
            attribution.gradient_ms_per_image,
            attribution.gradient_ratio,
            attribution.integrated_gradients_ms_per_image,
            attribution.integrated_gradients_ratio
        ));
    }
    if let Some(earlier) = earlier {
        text.push_str(&format!(
            "\n{:.2} × the earlier step time",
            step.median_ms / earlier.step.median_ms
        ));
    }
    text
}
