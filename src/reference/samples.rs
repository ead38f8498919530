//! What the samples of attribution methods are made of: noise, points on paths, windows and masks
//! (`shaders/common/samples.wgsl`, `normal.wgsl`).

use crate::{
    config::Shape,
    layout::padded,
    random::{MASKS, NOISE, PATH, random_bits, random_key, uniform01},
};

/// A set of images with what its samples are drawn from, in the kernels' layout: values are [image,
/// pixel, channel (padded)].
pub struct Samples {
    /// Shape of an image.
    pub shape: Shape,
    /// The images.
    pub pixels: Vec<f64>,
    /// A number an image, which keys its random numbers.
    pub numbers: Vec<u32>,
    /// Whole images.
    pub baselines: Vec<f64>,
    /// (min, max, …) of each image, or (α, weight, …) of each step of a path.
    pub table: Vec<[f64; 4]>,
    /// Of the random numbers.
    pub seed: u64,
    /// Standard deviation as a share of max − min.
    pub noise: f64,
    /// Side of a window, and the step between windows.
    pub window: (u32, u32),
    /// Nodes of a mask's lattice along an axis, and the share of ones.
    pub grid: (u32, f64),
}

impl Samples {
    /// Values of one image.
    pub fn elements(&self) -> usize {
        (self.shape.pixels() * padded(self.shape.channels)) as usize
    }

    /// Image `image`.
    pub fn image(&self, image: usize) -> &[f64] {
        &self.pixels[image * self.elements()..(image + 1) * self.elements()]
    }

    /// Baseline `number`, counted round and round.
    pub fn baseline(&self, number: usize) -> &[f64] {
        let count = self.baselines.len() / self.elements();
        &self.baselines[number % count * self.elements()..][..self.elements()]
    }

    /// σ·n of one sample of `image`.
    pub fn noise(&self, image: usize, sample: u32) -> Vec<f64> {
        let key = random_key(self.seed, self.numbers[image], NOISE);
        let deviation = self.noise * (self.table[image][1] - self.table[image][0]);
        let group = |group: usize| normal4(random_bits(key, sample, group as u32, 0));
        (0..self.elements() / 4).flat_map(group).map(|n| deviation * n).collect()
    }

    /// Where on its path a sample of `image` lies, and the number of its baseline.
    pub fn random_start(&self, image: usize, sample: u32) -> (f64, usize) {
        let bits = random_bits(random_key(self.seed, self.numbers[image], PATH), sample, 0, 0);
        (f64::from(uniform01(bits[0])), bits[1] as usize % (self.baselines.len() / self.elements()))
    }

    /// (first row, first column) of every window.
    pub fn windows(&self) -> Vec<(u32, u32)> {
        let (side, stride) = self.window;
        let along = |length: u32| {
            (0..)
                .map(move |k| k * stride)
                .take_while(move |&start| start == 0 || start + side < length + stride)
        };
        along(self.shape.height)
            .flat_map(|row| along(self.shape.width).map(move |column| (row, column)))
            .collect()
    }

    /// Whether `window` covers `pixel`.
    pub fn covers(&self, (row, column): (u32, u32), pixel: u32) -> bool {
        let (y, x, side) = (pixel / self.shape.width, pixel % self.shape.width, self.window.0);
        (row..row + side).contains(&y) && (column..column + side).contains(&x)
    }

    /// RISE's mask number `sample`, a value a pixel.
    pub fn mask(&self, sample: u32) -> Vec<f64> {
        let key = random_key(self.seed, 0, MASKS);
        let (nodes, share) = self.grid;
        let node = |y: u32, x: u32| {
            let at = y.min(nodes - 1) * nodes + x.min(nodes - 1);
            f64::from(u8::from(f64::from(uniform01(random_bits(key, sample, at, 0)[0])) < share))
        };
        let shift = random_bits(key, sample, u32::MAX, 0);
        // Pixel `at` of an axis of `length`, shifted, as a place between nodes.
        let place = |at: u32, length: u32, shift: u32| {
            let cell = length.div_ceil(nodes);
            let place = (f64::from(at + shift % cell) + 0.5) * f64::from(nodes)
                / f64::from((nodes + 1) * cell)
                - 0.5;
            (place.max(0.0).floor() as u32, place.max(0.0).fract())
        };
        let value = |pixel: u32| {
            let (y, down) = place(pixel / self.shape.width, self.shape.height, shift[0]);
            let (x, right) = place(pixel % self.shape.width, self.shape.width, shift[1]);
            (1.0 - down) * ((1.0 - right) * node(y, x) + right * node(y, x + 1))
                + down * ((1.0 - right) * node(y + 1, x) + right * node(y + 1, x + 1))
        };
        (0..self.shape.pixels()).map(value).collect()
    }
}

/// Four standard normal numbers from four words of random bits (Box and Muller 1958).
pub fn normal4(bits: [u32; 4]) -> [f64; 4] {
    let pair = |x: u32, y: u32| {
        let radius = (-2.0 * (f64::from(uniform01(x)) + 1.0 / 16_777_216.0).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * f64::from(uniform01(y))).sin_cos();
        [radius * cosine, radius * sine]
    };
    let ([a, b], [c, d]) = (pair(bits[0], bits[1]), pair(bits[2], bits[3]));
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_their_moments() {
        let key = random_key(1, 2, NOISE);
        let values: Vec<f64> =
            (0..50_000).flat_map(|index| normal4(random_bits(key, index, 0, 0))).collect();
        let moment = |power: i32| {
            values.iter().map(|value| value.powi(power)).sum::<f64>() / values.len() as f64
        };
        for (power, expected, tolerance) in
            [(1, 0.0, 0.01), (2, 1.0, 0.02), (3, 0.0, 0.03), (4, 3.0, 0.1)]
        {
            assert!(
                (moment(power) - expected).abs() < tolerance,
                "moment {power}: {}",
                moment(power)
            );
        }
        let pairs = values.chunks_exact(2).map(|pair| pair[0] * pair[1]).sum::<f64>()
            / (values.len() / 2) as f64;
        assert!(pairs.abs() < 0.02, "{pairs}");
    }
}
