//! Collecting a part of a batch: order, augmentation, normalisation.

use crate::layout::StepRecord;
use crate::random;

/// What `gather_batch` does to the images.
#[derive(Clone, Debug)]
pub struct Gather {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// The epoch's permutation instead of file order.
    pub shuffle: bool,
    /// Largest shift in pixels, each way.
    pub shift: u32,
    /// Mirroring with probability ½.
    pub hflip: bool,
    /// Side of a square that becomes 0, with its centre anywhere in the image; 0 for none.
    pub cutout: usize,
    /// Mean, subtracted from p/255, and standard deviation, which divides the difference, of each
    /// channel.
    pub constants: Vec<(f64, f64)>,
}

/// Images [image, row, column, padded channel] and labels of a part, from bytes [image, channel,
/// row, column].
pub fn gather_batch(
    gather: &Gather,
    step: &StepRecord,
    data: &[u8],
    labels: &[u32],
) -> (Vec<f64>, Vec<u32>) {
    let Gather { height, width, channels, .. } = *gather;
    let seed = step.seed();
    let stride = channels.next_multiple_of(4);
    let mut images = vec![0.0; step.count as usize * height * width * stride];
    let mut batch_labels = Vec::new();
    for image in 0..step.count {
        let place = step.position + image;
        let order = random::random_key(seed, step.epoch, random::SHUFFLE);
        let source =
            if gather.shuffle { random::permute(place, step.epoch_images, order) } else { place }
                as usize;
        let draw =
            random::random_bits(random::random_key(seed, step.step, random::AUGMENT), place, 0, 0);
        let [right, down] = [draw[0], draw[1]]
            .map(|bits| i64::from(bits % (2 * gather.shift + 1)) - i64::from(gather.shift));
        let mirrored = gather.hflip && draw[2] >> 31 == 1;
        let key = random::random_key(seed, step.step, random::AUGMENT);
        let centre = random::random_bits(key, place, 1, 0);
        let [cut_row, cut_column] = [centre[0] as usize % height, centre[1] as usize % width];
        let is_near = |at: usize, centre: usize| {
            let from = centre as i64 - (gather.cutout / 2) as i64;
            (from..from + gather.cutout as i64).contains(&(at as i64))
        };
        batch_labels.push(labels[source]);
        for y in 0..height {
            for x in 0..width {
                let (row, mut column) = (y as i64 - down, x as i64 - right);
                if mirrored {
                    column = width as i64 - 1 - column;
                }
                let inside =
                    (0..height as i64).contains(&row) && (0..width as i64).contains(&column);
                // The batch is filled with 0.
                if is_near(y, cut_row) && is_near(x, cut_column) {
                    continue;
                }
                for channel in 0..channels {
                    let at = |row, column| {
                        ((source * channels + channel) * height + row as usize) * width
                            + column as usize
                    };
                    let byte = if inside { data[at(row, column)] } else { 0 };
                    let (mean, deviation) = gather.constants[channel];
                    images[((image as usize * height + y) * width + x) * stride + channel] =
                        (f64::from(byte) / 255.0 - mean) / deviation;
                }
            }
        }
    }
    (images, batch_labels)
}
