//! Noisy linear imputation (ROAD: Rong et al. 2022).

use super::perturb_images::normal4;
use crate::{layout::StepRecord, random};

/// The masked copies of `pixels`, [image, row, column, padded channel], where `mask`, [image,
/// pixel], is not 0: the solution of the linear system by elimination, plus N(0, noise²);
/// everything masked: the image's mean.
pub fn impute_linear(
    step: &StepRecord,
    pixels: &[f32],
    mask: &[u32],
    [height, width, channels]: [usize; 3],
    noise: f64,
) -> Vec<f64> {
    let (stride, count) = (channels.next_multiple_of(4), height * width);
    let means = super::image_statistics::image_statistics(pixels, count, channels);
    let seed = u64::from(step.seed_low) | u64::from(step.seed_high) << 32;
    let key = random::random_key(seed, step.step, random::FILL);
    let mut output: Vec<f64> = pixels.iter().map(|&value| f64::from(value)).collect();
    for (image, output) in output.chunks_mut(count * stride).enumerate() {
        let unknown: Vec<usize> =
            (0..count).filter(|pixel| mask[image * count + pixel] != 0).collect();
        let place = |pixel: usize| unknown.binary_search(&pixel).ok();
        for channel in 0..channels {
            let size = unknown.len();
            let mut system = vec![vec![0.0; size + 1]; size];
            for (row, &pixel) in unknown.iter().enumerate() {
                let (y, x) = ((pixel / width) as i64, (pixel % width) as i64);
                for (dy, dx) in (-1..=1)
                    .flat_map(|dy| (-1..=1).map(move |dx| (dy, dx)))
                    .filter(|&offset| offset != (0, 0))
                {
                    if !(0..height as i64).contains(&(y + dy))
                        || !(0..width as i64).contains(&(x + dx))
                    {
                        continue;
                    }
                    let weight = if dy == 0 || dx == 0 { 1.0 / 6.0 } else { 1.0 / 12.0 };
                    let other = (y + dy) as usize * width + (x + dx) as usize;
                    system[row][row] += weight;
                    match place(other) {
                        Some(column) => system[row][column] -= weight,
                        None => system[row][size] += weight * output[other * stride + channel],
                    }
                }
            }
            let solution =
                if size == count { vec![means[image][2]; count] } else { eliminate(system) };
            for (&pixel, value) in unknown.iter().zip(solution) {
                let element = pixel * stride + channel;
                let bits =
                    random::random_bits(key, step.position + image as u32, (element / 4) as u32, 0);
                output[element] = value + noise * normal4(bits)[channel % 4];
            }
        }
    }
    output
}

/// The solution of a diagonally dominant system, [row][column], right-hand side last.
fn eliminate(mut system: Vec<Vec<f64>>) -> Vec<f64> {
    let size = system.len();
    for pivot in 0..size {
        let (above, below) = system.split_at_mut(pivot + 1);
        let row = &above[pivot];
        for other in below {
            let factor = other[pivot] / row[pivot];
            other[pivot..]
                .iter_mut()
                .zip(&row[pivot..])
                .for_each(|(value, own)| *value -= factor * own);
        }
    }
    let mut solution = vec![0.0; size];
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|column| system[row][column] * solution[column]).sum();
        solution[row] = (system[row][size] - known) / system[row][row];
    }
    solution
}
