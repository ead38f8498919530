//! Measures the peaks of the adapter: a matrix product and a copy.

use serde::{Deserialize, Serialize};

use super::timing::time;
use crate::{
    Result,
    gpu::{Gpu, Launcher, Recording, Work},
    kernels::{Activation, Epilogue, Gradient, ImageRange},
    layout::ImagesRange,
    nn::{Product, TileTable},
    quant::ActivationPlan,
    storage::Storage,
};

/// Sizes of the product: the output pixels of conv2 for 64 images, conv2's fan-in, and its filters.
const PRODUCT: [u32; 3] = [36_864, 288, 64];
/// Number of copied groups of 4 values.
const COPY_GROUPS: u32 = 4 << 20;

/// Rates of the product and of the copy.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Peaks {
    /// Matrix product 36864 × 288 × 64, in 10⁹ operations per second.
    pub product_gflops: f64,
    /// Copy of 64 MiB, read and written bytes, in 10⁹ per second.
    pub copy_gbytes_per_s: f64,
}

impl Peaks {
    /// Measures both.
    pub fn measure(gpu: &Gpu) -> Result<Peaks> {
        let [product, copy] = Peaks::record(gpu)?;
        let rate =
            |work: Work, ms: f64| (work.flops as f64 / ms / 1e6, work.bytes as f64 / ms / 1e6);
        let product_gflops = rate(product.1, time(gpu, &product.0)?).0;
        let copy_gbytes_per_s = rate(copy.1, time(gpu, &copy.0)?).1;
        Ok(Peaks { product_gflops, copy_gbytes_per_s })
    }

    /// The recorded product and copy, with their work.
    pub(crate) fn record(gpu: &Gpu) -> Result<[(Recording, Work); 2]> {
        Ok([product(gpu)?, copy(gpu)?])
    }
}

fn range(gpu: &Gpu, count: u32) -> Result<crate::gpu::Buffer> {
    let images = gpu.uniform("images", size_of::<ImagesRange>() as u64)?;
    gpu.write(&images, 0, &[ImagesRange { first: 0, count, batch: count, accumulate: 0 }]);
    Ok(images)
}

fn product(gpu: &Gpu) -> Result<(Recording, Work)> {
    let [rows, inner, columns] = PRODUCT;
    let count = range(gpu, rows)?;
    let left = gpu.buffer("left matrix", u64::from(rows * inner) * 4)?;
    let right = gpu.buffer("right matrix", u64::from(inner * columns) * 4)?;
    let result = gpu.buffer("product", u64::from(rows * columns) * 4)?;
    let mut recording = Recording::new();
    let range = ImageRange { binding: (&count).into(), most: rows };
    let flops = 2 * u64::from(rows) * u64::from(inner) * u64::from(columns);
    let work = Work { flops, bytes: 0 };
    let product = Product {
        images: range,
        vectors: (&left).into(),
        matrix: (&right).into(),
        transposed: false,
        product: (&result).into(),
        end: Epilogue::Gradient(Gradient::Plain),
        sizes: [inner / 4, columns / 4],
        storage: Storage::default(),
        work,
    };
    product.record(gpu, &mut recording, &TileTable::new(gpu), "product")?;
    Ok((recording, work))
}

fn copy(gpu: &Gpu) -> Result<(Recording, Work)> {
    let count = range(gpu, 1)?;
    let source = gpu.buffer("source", u64::from(COPY_GROUPS) * 16)?;
    let target = gpu.buffer("copy", u64::from(COPY_GROUPS) * 16)?;
    let mut recording = Recording::new();
    let copy = Activation {
        images: ImageRange { binding: (&count).into(), most: 1 },
        input: (&source).into(),
        output: (&target).into(),
        parameters: (&source).into(),
        elements: COPY_GROUPS,
        channels: 4,
        activation: ActivationPlan::NONE,
        storage: Storage::default(),
    };
    copy.record(gpu, &mut recording, "copy")?;
    Ok((recording, Work { flops: 0, bytes: 2 * u64::from(COPY_GROUPS) * 16 }))
}
