//! Layers of integer inference against sums in i64, one by one: every kernel that sums them, random
//! odd shapes, all formats, ranges of images inside larger buffers. Whole networks are in
//! `deploy.rs`.

use saliq::{
    config::{Shape, Window},
    gpu::{Binding, Recording},
    kernels::ImageRange,
    layout::{groups, to_nchw},
    nn::{RequantizedLayer, RequantizedShape, RequantizedWeights, TileTable},
    reference::{
        convolution::Convolution,
        grouped_convolution::grouped_convolution,
        integer_convolution::{integer_convolution, requantize},
    },
    storage::{Format, Storage},
};

use crate::common::{Random, gpu, read};

/// Images in the buffers, the range's first, and how many it has; a dispatch is made for one more.
const SLOTS: usize = 6;
const FIRST: usize = 2;
const COUNT: usize = 3;
/// In words of the output that nothing may be written to.
const UNTOUCHED: u32 = 0x0b0b_0b0b;

/// Weights of a channel: pivot + spacing · (−128 … 127), as `deploy` makes them of a quantizer's
/// levels.
#[derive(Clone, Copy, Debug)]
enum Weights {
    /// Signed bytes.
    Narrow,
    /// −3 … 3, as 2 or 3 bits have: sums are small.
    Few,
    /// −255 … 255 in steps of 2 around 0: binary-like grids without a zero.
    Spaced,
    /// A zero point a channel.
    Pivots,
    /// 129 … 255 of the first half of the taps, −255 … −129 of the others: sums on the way are much
    /// larger than at the end.
    Opposed,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    input: Shape,
    out_channels: u32,
    /// None of a fully connected layer.
    window: Option<Window>,
    /// Sets of channels that are convolved on their own.
    sets: u32,
    weights: Weights,
    from: Format,
    to: Format,
    offset_by_place: bool,
}

impl Case {
    fn shape(&self) -> Convolution {
        let (input, window) = match self.window {
            Some(window) => (self.input, window),
            None => (Shape::new(self.input.elements(), 1, 1), [1, 1, 0].into()),
        };
        Convolution { images: COUNT, input, out_channels: self.out_channels, window }
    }

    /// Checks the layer with the kernels of `tiles`. Sums are announced as at most `bound`: where
    /// f32 would not hold them, bytes are summed.
    fn check(&self, tiles: TileTable, bound: i64, seed: u64) {
        let what = format!("{self:?}, bound {bound}, seed {seed}, {tiles:?}");
        let mut random = Random(seed);
        let shape = self.shape();
        let output = shape.output();
        let [low, high] = if self.from == Format::U8 { [0, 255] } else { [-128, 127] };
        let mut between = |low: i32, high: i32| low + random.below((high - low + 1) as u32) as i32;
        let input: Vec<i32> =
            (0..SLOTS * self.input.elements() as usize).map(|_| between(low, high)).collect();
        let channels = self.out_channels as usize;
        let (pivots, spacing): (Vec<i32>, i32) = match self.weights {
            Weights::Narrow | Weights::Few => (vec![0; channels], 1),
            Weights::Spaced | Weights::Opposed => (vec![1; channels], 2),
            Weights::Pivots => ((0..channels).map(|_| between(-127, 128)).collect(), 1),
        };
        let of_channel = shape.weights() / channels / self.sets as usize;
        let taps = self.window.map_or(1, Window::taps) as usize;
        let weights: Vec<i32> = (0..channels * of_channel)
            .map(|at| match self.weights {
                Weights::Few => between(-3, 3),
                Weights::Spaced => 1 + 2 * between(-128, 127),
                Weights::Opposed => {
                    (1 + 2 * between(64, 127)) * if at % taps < taps / 2 { 1 } else { -1 }
                }
                _ => pivots[at / of_channel] + between(-128, 127),
            })
            .collect();

        let packed = |shape: Shape, format: Format| {
            shape.pixels() as usize
                * groups(shape.channels) as usize
                * format.group_bytes() as usize
                / 4
        };
        let source = gpu().upload("test", &pack(&input, self.input)).unwrap();
        let words = packed(output, self.to);
        let target = gpu().upload("test", &vec![UNTOUCHED; SLOTS * words]).unwrap();
        let range = gpu().uniform("images", 16).unwrap();
        gpu().write(&range, 0, &[FIRST as u32, COUNT as u32, COUNT as u32, 0]);

        let size = self.input.elements() as usize;
        let inside: Vec<i64> =
            input[FIRST * size..][..COUNT * size].iter().map(|&value| i64::from(value)).collect();
        let wide: Vec<i64> = weights.iter().map(|&value| i64::from(value)).collect();
        let sums = if self.sets == 1 {
            integer_convolution(&shape, &inside, &wide)
        } else {
            let [inside, wide] =
                [&inside, &wide].map(|all| all.iter().map(|&n| n as f64).collect());
            let (inside, wide): (Vec<f64>, Vec<f64>) = (inside, wide);
            let sums = grouped_convolution(
                &shape,
                self.sets as usize,
                &inside,
                &wide,
                &vec![0.0; channels],
            );
            sums.iter().map(|&sum| sum as i64).collect()
        };
        let largest = sums.iter().map(|sum| sum.abs()).max().unwrap();
        assert!(
            largest <= bound && largest < 1 << 24,
            "{what}: sums up to {largest}: a case that f32 cannot hold says nothing"
        );
        // Powers of two: f32 makes no rounding, half-way cases come up, and a level is as exact as
        // its sum.
        let [lowest, highest] = match self.to {
            Format::U8 => [0.0, 200.0],
            Format::I8 => [-90.0, 127.0],
            _ => [f64::from(f32::MIN), f64::from(f32::MAX)],
        };
        let scale = if self.to == Format::F32 {
            1.0
        } else {
            2f64.powi(-(63 - (largest as u64 / 128).max(1).leading_zeros() as i32))
        };
        let multiplier: Vec<f32> =
            (0..channels).map(|_| scale as f32 * between(1, 2) as f32).collect();
        let places = if self.offset_by_place { output.pixels() as usize } else { 1 };
        let offset: Vec<f32> =
            (0..places * channels).map(|_| between(-40, 40) as f32 / 2.0).collect();

        let requantized = RequantizedShape {
            input: self.input,
            output,
            window: self.window,
            sets: self.sets,
            images: SLOTS as u32,
            storage: Storage::new(self.from, self.to),
            multiplier: &multiplier,
            offset: &offset,
            range: [lowest as f32, highest as f32],
        };
        let integers =
            RequantizedWeights::Integers { values: &weights, bound, pivots: &pivots, spacing };
        let layer = RequantizedLayer::new(gpu(), tiles, &requantized, integers).unwrap();
        let mut recording = Recording::new();
        let images = ImageRange { binding: Binding::from(&range), most: COUNT as u32 + 1 };
        layer.record(gpu(), &mut recording, "layer", images, [&source, &target]).unwrap();
        recording.submit(gpu()).unwrap_or_else(|error| panic!("{what}: {error}"));

        let made: Vec<u32> = read(&target, SLOTS * words);
        let outside = made[..FIRST * words].iter().chain(&made[(FIRST + COUNT) * words..]);
        assert!(
            outside.into_iter().all(|&word| word == UNTOUCHED),
            "{what}: wrote outside of its images"
        );
        let made = to_nchw(&self.to.decode(&made[FIRST * words..(FIRST + COUNT) * words]), output);
        let pixels = output.pixels() as usize;
        for (at, (&made, &sum)) in made.iter().zip(&sums).enumerate() {
            let (channel, pixel) = (at / pixels % channels, at % pixels);
            let offset =
                offset[if self.offset_by_place { pixel * channels + channel } else { channel }];
            let x = sum as f64 * f64::from(multiplier[channel]) + f64::from(offset);
            let expected = requantize(x, [lowest, highest], self.to != Format::F32);
            // A float output is the sum itself, moved by halves: exact below 2²³.
            let near = if self.to == Format::F32 && x.abs() >= f64::from(1 << 23) {
                x.abs() * 1e-7
            } else {
                0.0
            };
            assert!(
                (f64::from(made) - expected).abs() <= near,
                "{what}: output {at} is {made}, not {expected} of the sum {sum}"
            );
        }
    }
}

/// Integers, NCHW, as bytes: [image, row, column, channel / 4] words.
fn pack(values: &[i32], shape: Shape) -> Vec<u32> {
    let (channels, pixels, in_groups) =
        (shape.channels as usize, shape.pixels() as usize, groups(shape.channels) as usize);
    let mut words = Vec::with_capacity(values.len() / channels * in_groups);
    for image in values.chunks_exact(channels * pixels) {
        for pixel in 0..pixels {
            for group in 0..in_groups {
                let byte = |channel: usize| {
                    if channel < channels { image[channel * pixels + pixel] as u8 } else { 0 }
                };
                words.push(u32::from_le_bytes(std::array::from_fn(|at| byte(4 * group + at))));
            }
        }
    }
    words
}

fn case(
    input: [u32; 3],
    out_channels: u32,
    window: Option<[u32; 3]>,
    weights: Weights,
    [from, to]: [Format; 2],
) -> Case {
    let (input, window) = (Shape::new(input[0], input[1], input[2]), window.map(Window::from));
    Case { input, out_channels, window, sets: 1, weights, from, to, offset_by_place: false }
}

#[test]
fn layers_are_exact() {
    use Format::{F32, I8, U8};
    use Weights::{Few, Narrow, Pivots, Spaced};
    let cases = [
        case([1, 9, 7], 5, Some([3, 1, 0]), Narrow, [U8, U8]),
        case([6, 8, 11], 13, Some([3, 1, 1]), Pivots, [U8, I8]),
        case([5, 10, 10], 33, Some([5, 2, 2]), Spaced, [I8, U8]),
        case([16, 5, 4], 8, Some([2, 2, 0]), Narrow, [I8, F32]),
        case([3, 6, 6], 70, Some([1, 1, 0]), Spaced, [U8, I8]),
        case([4, 3, 3], 6, Some([3, 1, 2]), Pivots, [I8, F32]),
        case([7, 3, 5], 18, None, Narrow, [U8, U8]),
        case([64, 2, 2], 10, None, Pivots, [I8, F32]),
        case([30, 1, 1], 3, None, Spaced, [U8, F32]),
        case([2, 7, 9], 6, Some([3, 1, 1]), Few, [U8, U8]),
        case([5, 6, 5], 19, Some([3, 1, 0]), Few, [I8, I8]),
        case([3, 9, 8], 9, Some([2, 2, 1]), Few, [I8, F32]),
    ];
    for (seed, case) in (1..).zip(cases) {
        let case = Case { offset_by_place: case.window.is_some() && seed % 2 == 0, ..case };
        // A GPU sums bytes; a software driver two sums in a word where half a word holds one, else
        // floats where they hold the sums, else bytes.
        case.check(TileTable::for_kind(false), (1 << 24) - 1, seed);
        case.check(TileTable::for_kind(true), i64::from(i32::MAX), seed);
        let exact = if matches!(case.weights, Few) { (1 << 15) - 1 } else { 1 << 24 };
        case.check(TileTable::for_kind(true), exact, seed);
        if gpu().abilities().subgroup_lanes == Some(8) {
            case.check(TileTable::for_kind(true).with_subgroups(true), exact, seed);
        }
    }
}

/// A window of rows and columns: kernel, stride, dilation; zeros above, to the left, below and to
/// the right.
fn window(
    kernel: [u32; 2],
    stride: [u32; 2],
    dilation: [u32; 2],
    padding: [u32; 4],
) -> Option<Window> {
    Some(Window { kernel, stride, dilation, padding })
}

#[test]
fn layers_of_any_window_are_exact() {
    use Format::{F32, I8, U8};
    use Weights::{Few, Narrow, Pivots, Spaced};
    let plain = case([3, 9, 11], 9, None, Narrow, [U8, U8]);
    let cases = [
        Case { window: window([3, 1], [1, 2], [1, 1], [2, 0, 1, 0]), ..plain },
        Case { window: window([1, 4], [2, 1], [1, 1], [0, 3, 0, 2]), weights: Pivots, ..plain },
        Case { window: window([3, 2], [1, 1], [2, 3], [3, 1, 2, 3]), weights: Few, ..plain },
        Case {
            window: window([4, 3], [2, 3], [1, 2], [0, 4, 3, 0]),
            weights: Spaced,
            from: I8,
            to: F32,
            ..plain
        },
        // Taps that are far apart have a kernel of their own where floats are summed.
        Case { window: window([3, 2], [1, 1], [1, 17], [1, 9, 0, 9]), to: I8, ..plain },
        Case { window: window([1, 2], [1, 1], [1, 20], [0, 15, 0, 9]), weights: Few, ..plain },
    ];
    for (seed, case) in (100..).zip(cases) {
        let case = Case { offset_by_place: seed % 2 == 0, ..case };
        case.check(TileTable::for_kind(false), (1 << 24) - 1, seed);
        let exact = if matches!(case.weights, Few) { (1 << 15) - 1 } else { 1 << 24 };
        case.check(TileTable::for_kind(true), exact, seed);
        case.check(TileTable::for_kind(true), i64::from(i32::MAX), seed);
    }
}

#[test]
fn layers_of_sets_are_exact() {
    use Format::{F32, I8, U8};
    use Weights::{Few, Narrow, Opposed, Pivots, Spaced};
    let plain = case([6, 9, 11], 9, Some([3, 1, 1]), Narrow, [U8, U8]);
    let of = |sets, inputs, out_channels| Case {
        sets,
        input: Shape::new(inputs, 9, 11),
        out_channels,
        ..plain
    };
    let cases = [
        of(3, 6, 9),
        Case {
            window: window([2, 3], [3, 2], [1, 1], [0, 1, 1, 2]),
            weights: Pivots,
            from: I8,
            ..of(2, 8, 8)
        },
        Case {
            window: window([3, 2], [1, 1], [2, 3], [3, 1, 2, 3]),
            weights: Spaced,
            to: I8,
            ..of(6, 12, 6)
        },
        Case { window: window([1, 1], [3, 2], [1, 1], [0; 4]), to: F32, ..of(5, 10, 20) },
        Case { weights: Few, from: I8, to: I8, ..of(4, 4, 24) },
        // Depthwise.
        of(5, 5, 5),
        Case {
            window: window([4, 3], [2, 3], [1, 2], [0, 4, 3, 0]),
            weights: Pivots,
            to: I8,
            ..of(8, 8, 8)
        },
        Case {
            window: window([3, 1], [1, 2], [2, 1], [2, 0, 1, 0]),
            weights: Spaced,
            from: I8,
            to: F32,
            ..of(34, 34, 34)
        },
        Case { window: window([2, 2], [1, 1], [1, 1], [1, 0, 0, 0]), from: I8, ..of(7, 7, 7) },
        // More taps than registers are for.
        Case { window: window([8, 7], [1, 1], [1, 1], [4, 3, 3, 3]), to: I8, ..of(6, 6, 6) },
    ];
    for (seed, case) in (200..).zip(cases) {
        let case = Case { offset_by_place: seed % 2 == 0, ..case };
        for software in [true, false] {
            case.check(TileTable::for_kind(software), 1 << 24, seed);
            // As where f32 would not hold the sums.
            case.check(TileTable::for_kind(software), i64::from(i32::MAX), seed);
        }
    }
    // Sums on the way that f32 does not hold.
    let case = Case {
        input: Shape::new(8, 24, 25),
        window: window([24, 24], [1, 1], [1, 1], [0; 4]),
        weights: Opposed,
        to: F32,
        ..of(2, 8, 4)
    };
    for from in [U8, I8] {
        Case { from, ..case }.check(TileTable::for_kind(true), i64::from(i32::MAX), 300);
    }
}
