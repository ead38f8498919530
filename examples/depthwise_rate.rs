//! How near the depthwise kernel comes to the rate of a copy: `depthwise_rate [ADAPTER]` times a
//! 3×3 depthwise convolution and a copy of as many numbers in turn, so that other work on the
//! machine slows both alike. Bytes are the values that are read and written, once each. The peak of
//! matrix products, which multiply and add the most, shows how much of the time arithmetic takes.

use std::time::Instant;

use saliq::{
    Result,
    bench::Peaks,
    config::{Shape, Window},
    gpu::{Gpu, GpuOptions, Launcher, Recording, Work},
    kernels::{Activated, Activation, DepthwiseConvolution, Epilogue, Geometry, ImageRange},
    layout::{ImagesRange, padded},
    nn::TileTable,
    quant::ActivationPlan,
    storage::Storage,
};

/// Rounds of a convolution and a copy; the medians are said.
const ROUNDS: usize = 15;
/// Bytes of the values that are read.
const BYTES: u64 = 64 << 20;

/// Milliseconds of `recording`.
fn time(gpu: &Gpu, recording: &Recording) -> Result<f64> {
    let start = Instant::now();
    recording.submit(gpu)?;
    gpu.wait()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn measure(gpu: &Gpu, shape: Shape) -> Result<()> {
    let elements = u64::from(padded(shape.channels) * shape.pixels());
    let count = (BYTES / (4 * elements)) as u32;
    let size = 4 * elements * u64::from(count);
    let range = gpu.uniform("images", size_of::<ImagesRange>() as u64)?;
    gpu.write(&range, 0, &[ImagesRange { first: 0, count, batch: count, accumulate: 0 }]);
    let images = ImageRange { binding: (&range).into(), most: count };
    let [input, output] = [gpu.buffer("input", size)?, gpu.buffer("output", size)?];
    let weight = gpu.buffer("weight", u64::from(9 * padded(shape.channels)) * 4)?;
    let bias = gpu.buffer("bias", u64::from(padded(shape.channels)) * 4)?;
    let (storage, work) = (Storage::default(), Work::default());
    let geometry = Geometry::convolution(shape, shape, Window::plain([3, 1, 1]));
    let end = Activated {
        bias: &bias,
        activation: ActivationPlan::NONE,
        pre_activation: None,
        parameters: &bias,
    };
    let mut recordings = [Recording::new(), Recording::new()];
    DepthwiseConvolution {
        images,
        input: (&input).into(),
        weight: &weight,
        output: (&output).into(),
        end: Epilogue::Activated(end),
        geometry,
        tiles: TileTable::new(gpu).depthwise(geometry),
        storage,
        work,
    }
    .record(gpu, &mut recordings[0], "depthwise")?;
    Activation {
        images,
        input: (&input).into(),
        output: (&output).into(),
        parameters: (&bias).into(),
        elements: (elements / 4) as u32,
        channels: shape.channels,
        activation: ActivationPlan::NONE,
        storage,
    }
    .record(gpu, &mut recordings[1], "copy")?;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (times, recording) in times.iter_mut().zip(&recordings) {
            let own = time(gpu, recording)?;
            // Compilation is not timed.
            if round > 0 {
                times.push(own);
            }
        }
    }
    let [own, copy] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        2.0 * size as f64 / times[ROUNDS / 2] / 1e6
    });
    // 18 operations a number, of which 8 bytes are moved.
    let (flops, peak) = (own * 18.0 / 8.0, Peaks::measure(gpu)?.product_gflops);
    println!(
        "{} x {} x {}: depthwise {own:.2} GB/s, copy {copy:.2} GB/s: {:.0} %; {flops:.2} GFLOP/s, \
         product {peak:.2} GFLOP/s: {:.0} %",
        shape.height,
        shape.width,
        shape.channels,
        100.0 * own / copy,
        100.0 * flops / peak
    );
    Ok(())
}

fn main() -> Result<()> {
    let adapter = std::env::args().nth(1).unwrap_or_default();
    let gpu = pollster::block_on(Gpu::new(&GpuOptions { adapter, ..GpuOptions::default() }))?;
    measure(&gpu, Shape::new(64, 32, 32))?;
    measure(&gpu, Shape::new(8, 96, 96))
}
