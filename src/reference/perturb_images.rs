//! Noisy copies of images.

use crate::random;

/// Four standard normal numbers from four words of random bits, a pair from each two (Box and
/// Muller 1958).
pub fn normal4(bits: [u32; 4]) -> [f64; 4] {
    let pair = |radius: u32, angle: u32| {
        let radius =
            (-2.0 * (f64::from(random::uniform01(radius)) + 1.0 / 16_777_216.0).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * f64::from(random::uniform01(angle))).sin_cos();
        [radius * cos, radius * sin]
    };
    let ([a, b], [c, d]) = (pair(bits[0], bits[1]), pair(bits[2], bits[3]));
    [a, b, c, d]
}

/// The noise of sample `sample` for the image at `place` of the data, [channel, pixel]: U(−scale,
/// scale), or N(0, scale²) if `normal`.
pub fn noise(
    seed: u64,
    sample: u32,
    place: u32,
    [pixels, channels]: [usize; 2],
    scale: f64,
    normal: bool,
) -> Vec<f64> {
    let key = random::random_key(seed, sample, random::PERTURB);
    let groups = channels.div_ceil(4);
    let mut output = vec![0.0; pixels * channels];
    for element in 0..pixels * groups {
        let bits = random::random_bits(key, place, element as u32, 0);
        let drawn = if normal {
            normal4(bits)
        } else {
            bits.map(|word| 2.0 * f64::from(random::uniform01(word)) - 1.0)
        };
        for (offset, value) in drawn.into_iter().enumerate() {
            let channel = element % groups * 4 + offset;
            if channel < channels {
                output[channel * pixels + element / groups] = scale * value;
            }
        }
    }
    output
}
