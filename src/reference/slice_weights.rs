//! Slices of a convolution's weights: [block, ky, in (padded) / 4, kx, in mod 4, group of the
//! block] groups of 4 output channels, zeros behind the last, with the taps in reverse where they
//! are mirrored.

/// `weight` as in [`super::prepare_weights::arrange`], [ky, kx, in (padded), out (padded)], in
/// slices of `blocks` blocks of `groups` groups.
pub fn slice_weights(
    weight: &[f64],
    ([height, width], in_channels, out_groups): ([usize; 2], usize, usize),
    [blocks, groups]: [usize; 2],
    mirrored: bool,
) -> Vec<Vec<f64>> {
    let weight_at = |[ky, kx, channel, group]: [usize; 4], lane: usize| {
        let [ky, kx] = if mirrored { [height - 1 - ky, width - 1 - kx] } else { [ky, kx] };
        let at = (((ky * width + kx) * in_channels + channel) * out_groups + group) * 4;
        if group < out_groups { weight[at + lane] } else { 0.0 }
    };
    let slice = |first: usize| {
        let mut slice = Vec::with_capacity(blocks * height * width * in_channels * groups * 4);
        for block in 0..blocks {
            let members = (first + block * groups)..(first + (block + 1) * groups);
            for ky in 0..height {
                for in_group in 0..in_channels / 4 {
                    for kx in 0..width {
                        for channel in 4 * in_group..4 * in_group + 4 {
                            for group in members.clone() {
                                slice.extend(
                                    (0..4).map(|lane| weight_at([ky, kx, channel, group], lane)),
                                );
                            }
                        }
                    }
                }
            }
        }
        slice
    };
    (0..out_groups).step_by(blocks * groups).map(slice).collect()
}
