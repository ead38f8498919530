//! Slices of a convolution's weights: [block, tap, in (padded), group of the block] groups of 4 output channels, zeros behind the last, with the taps
//! in reverse where they are mirrored.

/// `weight` as in [`super::prepare_weights::arrange`], [tap, in (padded), out (padded)], in slices of `blocks` blocks of `groups` groups.
pub fn slice_weights(
    weight: &[f64],
    [taps, in_channels, out_groups]: [usize; 3],
    [blocks, groups]: [usize; 2],
    mirrored: bool,
) -> Vec<Vec<f64>> {
    let slice = |first: usize| {
        let mut slice = Vec::with_capacity(blocks * taps * in_channels * groups * 4);
        for block in 0..blocks {
            for tap in 0..taps {
                let from = if mirrored { taps - 1 - tap } else { tap };
                for channel in 0..in_channels {
                    for group in (first + block * groups)..(first + (block + 1) * groups) {
                        let at = ((from * in_channels + channel) * out_groups + group) * 4;
                        slice.extend((0..4).map(|lane| if group < out_groups { weight[at + lane] } else { 0.0 }));
                    }
                }
            }
        }
        slice
    };
    (0..out_groups).step_by(blocks * groups).map(slice).collect()
}
