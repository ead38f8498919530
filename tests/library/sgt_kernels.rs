//! The kernels of the training step that are not layers, against their references.

use crate::common::{self, Random, assert_close, dirty, gpu, launch, read, uniform, upload};
use saliq::{
    config::{MaskFill, MaskRank, OnNonFinite, Shape},
    gpu::Buffer,
    kernels::{
        BeginStep, Classify, FillMasked, GatherBatch, GatherFrom, ImageRange, ImageStatistics,
        JudgeStep, PixelConstants, RandomAttribution, SaliencySeed, Scalar, SelectLowest, SgtLoss,
        SumMetrics, flat_workgroups,
    },
    layout::{ChunkRange, ImagesRange, RANGE_STRIDE, StepRecord},
    nn::TileTable,
    random,
    reference::{
        self, gather_batch::Gather, optimizer_adam::Adam, parameters::ParameterRules,
        saliency_seed::Target, sgt_loss::ImageLoss,
    },
    storage::Format,
};
use saliq::{
    kernels::{
        self, Dropout, KeepStatistics, Momentum, OptimizerAdadelta, OptimizerAdam, OptimizerSgd,
        Update,
    },
    storage,
};

const LANES: u32 = 8;

fn images(first: u32, count: u32) -> ImagesRange {
    ImagesRange { first, count, batch: count, accumulate: 0 }
}

fn range(first: u32, count: u32) -> Buffer {
    uniform(images(first, count))
}

/// The images of `range`, at most `most`.
fn over(range: &Buffer, most: usize) -> ImageRange<'_> {
    ImageRange { binding: range.into(), most: most as u32 }
}

/// Images of one row.
fn flat(channels: usize, pixels: usize) -> Shape {
    Shape::new(channels as u32, 1, pixels as u32)
}

fn step() -> StepRecord {
    StepRecord {
        step: 17,
        epoch: 2,
        position: 3,
        count: 4,
        batch: 8,
        epoch_images: 11,
        seed_low: 0x1234_5678,
        seed_high: 0x9ABC_DEF0,
        learning_rate: 0.05,
        momentum: 0.9,
        ..StepRecord::default()
    }
}

fn seed(step: &StepRecord) -> u64 {
    u64::from(step.seed_low) | u64::from(step.seed_high) << 32
}

/// Random images [image, pixel, padded channel] with zero padding.
fn pictures(random: &mut Random, count: usize, pixels: usize, channels: usize) -> Vec<f32> {
    let stride = channels.next_multiple_of(4);
    (0..count * pixels * stride)
        .map(|element| if element % stride < channels { random.signed() } else { 0.0 })
        .collect()
}

// ---------------------------------------------------------------- random numbers

/// A kernel is needed to see what the functions give: `random_attribution` shows the bits' top 24,
/// `gather_batch` the permutation.
#[test]
fn random_attribution_is_the_reference_bit_for_bit() {
    for (pixels, channels) in [(35usize, 1usize), (12, 3), (9, 5)] {
        let indices = [7u32, 0, 59_999];
        let current = step();
        let size = pixels * channels.next_multiple_of(4);
        let output = dirty(4 * size);
        launch(&RandomAttribution {
            images: over(&range(1, 3), 3),
            current: &uniform(current),
            indices: &upload(&[[9].as_slice(), &indices].concat()),
            attribution: &output,
            shape: flat(channels, pixels),
            lanes: LANES,
        });
        let actual = read::<f32>(&output, 4 * size);
        for (image, &index) in indices.iter().enumerate() {
            let expected = reference::random_attribution::random_attribution(
                seed(&current),
                index,
                pixels,
                channels,
            );
            assert_eq!(actual[(image + 1) * size..(image + 2) * size], expected);
            assert!(expected.iter().all(|value| (-1.0..1.0).contains(value)));
        }
    }
}

// ---------------------------------------------------------------- begin_step

#[test]
fn begin_step_walks_the_table_and_sets_the_ranges() {
    // All, some, none and more than all of the images without a masked twin.
    let table: Vec<_> = [(0, 0), (1, 3), (2, 3), (1, 9)]
        .map(|(part, unmasked)| StepRecord {
            part,
            count: 5 - part,
            position: 5 * part,
            unmasked,
            ..step()
        })
        .into();
    for sgt in [true, false] {
        let cursor = upload(&[0u32]);
        let current = gpu().uniform("step", size_of::<StepRecord>() as u64).unwrap();
        let ranges = gpu().uniform("ranges", 4 * RANGE_STRIDE).unwrap();
        let table_buffer = upload(&table);
        for (index, entry) in table.iter().enumerate() {
            launch(&BeginStep {
                table: &table_buffer,
                cursor: &cursor,
                current: &current,
                ranges: &ranges,
                twins: sgt,
                chunk: 1,
                chunks: 0,
            });
            assert_eq!(read::<StepRecord>(&current, 1)[0], *entry);
            assert_eq!(read::<u32>(&cursor, 1)[0], index as u32 + 1);
            let words = read::<[u32; 64]>(&ranges, 4);
            assert_eq!(words[2][1], words[0][1] + words[1][1]);
            for (actual, expected) in
                words.iter().zip(reference::begin_step::begin_step(entry, sgt))
            {
                assert_eq!(
                    actual[..4],
                    [expected.first, expected.count, expected.batch, expected.accumulate]
                );
            }
        }
    }
}

#[test]
fn begin_step_cuts_the_ranges_into_chunks() {
    // Chunks that end within, at the end of, and behind the clean images.
    for (sgt, count, unmasked, part, chunk, chunks) in [
        (true, 7, 0, 0, 3, 5),
        (true, 7, 2, 0, 3, 5),
        (true, 6, 0, 2, 6, 2),
        (false, 5, 0, 0, 4, 2),
        (true, 1, 1, 1, 4, 3),
    ] {
        let entry = StepRecord { part, count, unmasked, ..step() };
        let ranges = gpu().uniform("ranges", (4 + 2 * u64::from(chunks)) * RANGE_STRIDE).unwrap();
        let current = gpu().uniform("step", size_of::<StepRecord>() as u64).unwrap();
        launch(&BeginStep {
            table: &upload(&[entry]),
            cursor: &upload(&[0u32]),
            current: &current,
            ranges: &ranges,
            twins: sgt,
            chunk,
            chunks,
        });
        let words = read::<[u32; 64]>(&ranges, 4 + 2 * chunks as usize);
        let actual: Vec<ChunkRange> = words[4..]
            .iter()
            .map(|words| *bytemuck::from_bytes(bytemuck::cast_slice(&words[..8])))
            .collect();
        assert_eq!(
            actual,
            reference::begin_step::chunks(&entry, sgt, chunk, chunks).concat(),
            "{sgt} {count} {unmasked} {chunk}"
        );
    }
}

// ---------------------------------------------------------------- gather_batch

/// Where the images are.
#[derive(Clone, Copy, Debug)]
enum Place {
    Whole,
    Drawn,
    Shards,
    Window,
}

fn check_gather(gather: Gather, record: StepRecord) {
    for place in [Place::Whole, Place::Drawn, Place::Shards, Place::Window] {
        check_gather_from(place, &gather, StepRecord { part: 2, ..record });
    }
}

fn check_gather_from(place: Place, gather: &Gather, record: StepRecord) {
    let &Gather { height, width, channels, .. } = gather;
    let mut random = Random(height as u64);
    // Where all are alike, the constants are part of the program.
    let first = gather.constants[0];
    let own: Vec<[f32; 4]> = gather
        .constants
        .chunks(4)
        .flat_map(|four| {
            let lane = |lane: usize| four.get(lane).copied().unwrap_or((0.0, 1.0));
            [[0, 1, 2, 3].map(|at| lane(at).0 as f32), [0, 1, 2, 3].map(|at| lane(at).1 as f32)]
        })
        .collect();
    let own = upload(&own);
    let constants = match gather.constants.iter().all(|pair| *pair == first) {
        true => PixelConstants::ForAll { mean: first.0 as f32, deviation: first.1 as f32 },
        false => PixelConstants::OfChannels(&own),
    };
    let size = height * width * channels;
    let data: Vec<u8> = (0..size * 13).map(|_| random.below(256) as u8).collect();
    let labels: Vec<u32> = (0..13).map(|_| random.below(10)).collect();
    let stride = channels.next_multiple_of(4);
    let total = 2 * record.count as usize * height * width * stride;
    let (pixels, batch_labels) = (dirty(total), dirty(2 * record.count as usize));
    let mut bytes = data.clone();
    bytes.resize(data.len().next_multiple_of(4), 0);
    let (current, labels_of_all, whole) = (uniform(record), upload(&labels), upload(&bytes));
    // An epoch of 11 images, some of them twice and some never.
    let drawn: Vec<u32> = (0..13).map(|number| number * 5 % 13 % 9).collect();
    let numbers = upload(&drawn);
    let gather_from = |data: &Buffer, from: GatherFrom| {
        launch(&GatherBatch {
            current: &current,
            data,
            labels: &labels_of_all,
            pixels: &pixels,
            batch_labels: &batch_labels,
            shape: Shape::new(channels as u32, height as u32, width as u32),
            most: record.count + 1,
            from,
            drawn: matches!(place, Place::Drawn).then_some(&numbers),
            shuffle: gather.shuffle,
            shift: gather.shift,
            hflip: gather.hflip,
            cutout: gather.cutout as u32,
            constants,
            format: Format::F32,
            lanes: LANES,
            strip: 3,
        })
    };
    match place {
        Place::Whole | Place::Drawn => gather_from(&whole, GatherFrom::All),
        Place::Shards => {
            for (first, shard) in (0..).step_by(5).zip(data.chunks(5 * size)) {
                let mut shard = shard.to_vec();
                shard.resize(shard.len().next_multiple_of(4), 0);
                gather_from(&upload(&shard), GatherFrom::Shard { first, images: 5 });
            }
        }
        Place::Window => {
            // The images of the batch in its order, behind those of two parts.
            let part = record.count + 1;
            let order = random::random_key(record.seed(), record.epoch, random::SHUFFLE);
            let mut window = vec![7; 2 * part as usize * size];
            for place in record.position..record.position + record.count {
                let source = match gather.shuffle {
                    true => random::permute(place, record.epoch_images, order),
                    false => place,
                };
                window.extend(&data[source as usize * size..][..size]);
            }
            window.resize(window.len().next_multiple_of(4), 0);
            assert_eq!(record.part, 2);
            gather_from(&upload(&window), GatherFrom::Window { part });
        }
    }
    let (mut data, mut labels) = (data, labels);
    if matches!(place, Place::Drawn) {
        let images =
            drawn.iter().flat_map(|&number| data[number as usize * size..][..size].to_vec());
        (data, labels) =
            (images.collect(), drawn.iter().map(|&number| labels[number as usize]).collect());
    }
    let (expected, expected_labels) =
        reference::gather_batch::gather_batch(gather, &record, &data, &labels);
    let actual = read::<f32>(&pixels, total);
    for (index, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
        // A byte more or less is 1/255/deviation: anything below that is the same pixel.
        assert!(
            (f64::from(*actual) - expected).abs() < 2e-6,
            "{place:?} {gather:?} {index}: {actual} {expected}"
        );
        assert!(index % stride < channels || *actual == 0.0);
    }
    assert!(
        actual[expected.len()..].iter().all(|value| value.to_bits() == 0x4122_4466),
        "the masked half is not ours"
    );
    assert_eq!(
        read::<u32>(&batch_labels, expected_labels.len() * 2),
        [expected_labels.clone(), expected_labels].concat()
    );
}

#[test]
fn gather_batch_matches_the_reference() {
    let plain = Gather {
        height: 5,
        width: 7,
        channels: 1,
        shuffle: false,
        shift: 0,
        hflip: false,
        cutout: 0,
        constants: vec![(0.0, 1.0)],
    };
    check_gather(plain.clone(), step());
    let mnist = vec![(0.1307, 0.3081)];
    let all = Gather { shuffle: true, shift: 2, hflip: true, constants: mnist, ..plain.clone() };
    check_gather(all.clone(), step());
    let colour = [(0.49, 0.25), (0.48, 0.24), (0.45, 0.26), (0.5, 0.2), (0.1, 0.3)];
    for constants in [colour.to_vec(), vec![(0.1307, 0.3081); 5]] {
        check_gather(
            Gather {
                height: 3,
                width: 4,
                channels: 3,
                constants: constants[..3].to_vec(),
                ..all.clone()
            },
            StepRecord { count: 1, ..step() },
        );
        check_gather(
            Gather { height: 6, width: 5, channels: 5, hflip: false, constants, ..all.clone() },
            StepRecord { count: 8, ..step() },
        );
    }
    for cutout in [1, 3, 4, 9] {
        check_gather(Gather { shift: 4, cutout, ..all.clone() }, StepRecord { count: 9, ..step() });
    }
    check_gather(Gather { height: 2, width: 2, shift: 3, shuffle: false, ..all.clone() }, step());
    check_gather(Gather { shift: 0, ..all }, StepRecord { position: 0, count: 11, ..step() });
}

#[test]
fn augmentation_does_not_depend_on_how_a_batch_is_cut() {
    let gather = Gather {
        height: 4,
        width: 4,
        channels: 1,
        shuffle: true,
        shift: 2,
        hflip: true,
        cutout: 2,
        constants: vec![(0.0, 1.0)],
    };
    let mut random = Random(1);
    let data: Vec<u8> = (0..16 * 13).map(|_| random.below(256) as u8).collect();
    let labels = [0; 13];
    let whole = reference::gather_batch::gather_batch(
        &gather,
        &StepRecord { count: 4, ..step() },
        &data,
        &labels,
    )
    .0;
    let part = StepRecord { count: 2, position: step().position + 2, part: 1, ..step() };
    assert_eq!(
        whole[2 * 64..],
        reference::gather_batch::gather_batch(&gather, &part, &data, &labels).0
    );
}

// ---------------------------------------------------------------- image_statistics

#[test]
fn image_statistics_match_the_reference() {
    let mut random = Random(2);
    for (pixels, channels, workgroup) in
        [(1usize, 1usize, 8), (784, 1, 64), (63, 3, 8), (20, 5, 64)]
    {
        let stride = channels.next_multiple_of(4);
        // Far from 0, so that counting the padding would show.
        let data: Vec<f32> = pictures(&mut random, 4, pixels, channels)
            .iter()
            .map(|v| if *v == 0.0 { 0.0 } else { v - 3.0 })
            .collect();
        let output = dirty(16);
        launch(&ImageStatistics {
            images: over(&range(1, 3), 5),
            pixels: &upload(&data),
            statistics: &output,
            shape: flat(channels, pixels),
            workgroup,
        });
        let expected = reference::image_statistics::image_statistics(
            &data[pixels * stride..],
            pixels,
            channels,
        );
        let actual = read::<[f32; 4]>(&output, 4);
        assert_eq!(actual[0][0].to_bits(), 0x4122_4466);
        for (actual, expected) in actual[1..].iter().zip(expected) {
            assert_eq!([f64::from(actual[0]), f64::from(actual[1])], expected[..2]);
            assert!(
                (f64::from(actual[2]) - expected[2]).abs() < 1e-5 * expected[2].abs()
                    && actual[3] == 0.0,
                "{actual:?} {expected:?}"
            );
        }
    }
}

// ---------------------------------------------------------------- select_lowest

fn check_selection(
    gradient: &[f32],
    pixels: usize,
    channels: usize,
    k: usize,
    by_magnitude: bool,
    workgroup: u32,
) {
    let count = gradient.len() / (pixels * channels.next_multiple_of(4));
    let (images, gradients) = (range(0, count as u32), upload(gradient));
    // Sums within subgroups where the adapter has them; `saliq check` translates them everywhere.
    let subgroups = [TileTable::for_kind(true), TileTable::new(gpu())]
        .map(|table| table.scan_subgroup(workgroup));
    let cases = subgroups.into_iter().flat_map(|subgroup| [(false, subgroup), (true, subgroup)]);
    for (highest, subgroup) in cases {
        let mask = dirty(count * pixels);
        launch(&SelectLowest {
            images: over(&images, count),
            gradient: (&gradients).into(),
            mask: &mask,
            current: &uniform(StepRecord { mask_highest: u32::from(highest), ..step() }),
            shape: flat(channels, pixels),
            k: k as u32,
            rank: if by_magnitude { MaskRank::Abs } else { MaskRank::Signed },
            workgroup,
            subgroup,
        });
        let actual = read::<u32>(&mask, count * pixels);
        let expected = reference::select_lowest::select_lowest(
            gradient,
            pixels,
            channels,
            k,
            by_magnitude,
            highest,
        );
        for image in 0..count {
            let own = image * pixels..(image + 1) * pixels;
            assert_eq!(
                actual[own.clone()].iter().sum::<u32>() as usize,
                k.min(pixels),
                "image {image}: exactly k"
            );
            let what = if highest { "highest" } else { "lowest" };
            assert_eq!(
                actual[own.clone()],
                expected[own],
                "image {image} of {pixels} pixels, {channels} channels, {what} {k}"
            );
        }
    }
}

#[test]
fn select_lowest_matches_a_stable_sort() {
    let mut random = Random(3);
    for (count, pixels, channels, k, by_magnitude, workgroup) in [
        (1, 1, 1, 0, false, 8),
        (1, 1, 1, 1, false, 8),
        (3, 784, 1, 392, false, 64),
        (3, 784, 1, 392, true, 64),
        (2, 35, 3, 17, false, 8),
        (2, 35, 3, 17, true, 8),
        (2, 300, 5, 299, false, 256),
        (2, 300, 1, 0, false, 64),
        (2, 300, 1, 300, false, 64),
        (2, 257, 1, 1, false, 64),
    ] {
        let gradient = pictures(&mut random, count, pixels, channels);
        check_selection(&gradient, pixels, channels, k, by_magnitude, workgroup);
    }
}

#[test]
fn select_lowest_breaks_ties_by_index() {
    let mut random = Random(4);
    let pixels = 600;
    let place = |values: &mut dyn FnMut() -> f32| {
        (0..2 * pixels).flat_map(|_| [values(), 0.0, 0.0, 0.0]).collect::<Vec<f32>>()
    };
    let equal = place(&mut || 0.25);
    let few = place(&mut || random.below(3) as f32 - 1.0);
    let mut signs = Random(5);
    let zeros = place(&mut || if signs.below(2) == 0 { 0.0 } else { -0.0 });
    let mut close = Random(6);
    let neighbours = place(&mut || f32::from_bits(0xBF80_0000 + close.below(5)));
    for gradient in [equal, few, zeros, neighbours] {
        for k in [1, 300, 599] {
            check_selection(&gradient, pixels, 1, k, false, 64);
        }
        check_selection(&gradient, pixels, 1, 300, true, 64);
    }
}

#[test]
fn select_lowest_orders_every_kind_of_float() {
    let mut random = Random(7);
    let special = [
        f32::NAN,
        -f32::NAN,
        f32::from_bits(0x7F80_0001),
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        f32::from_bits(0x8000_0001),
        f32::from_bits(0x0000_FFFF),
        f32::from_bits(0x807F_FFFF),
        0.0,
        -0.0,
        1.0,
        -1.0,
    ];
    let gradient: Vec<f32> = (0..2 * 101)
        .flat_map(|_| {
            let value = match random.below(3) {
                0 => special[random.below(16) as usize],
                1 => f32::from_bits(random.next() as u32),
                _ => f32::from_bits(random.next() as u32 & 0x807F_FFFF), // denormal
            };
            [value, 0.0, 0.0, 0.0]
        })
        .collect();
    for k in [1, 20, 50, 80, 100] {
        check_selection(&gradient, 101, 1, k, false, 64);
        check_selection(&gradient, 101, 1, k, true, 64);
    }
}

// ---------------------------------------------------------------- fill_masked

fn check_fill(fill: MaskFill, count: usize, [height, width, channels]: [usize; 3], tolerance: f64) {
    let mut random = Random(8);
    let pixels = height * width;
    let size = pixels * channels.next_multiple_of(4);
    let clean = pictures(&mut random, count, pixels, channels);
    let mask: Vec<u32> = (0..count * pixels).map(|_| random.below(2)).collect();
    let statistics: Vec<[f32; 4]> =
        reference::image_statistics::image_statistics(&clean, pixels, channels)
            .iter()
            .map(|own| own.map(|value| value as f32))
            .collect();
    let both = upload(&[clean.clone(), vec![7.0; clean.len()]].concat());
    // The last image of several has no masked twin: what lies there stays.
    let record = StepRecord { count: count as u32, ..step() };
    let masked = count - usize::from(count > 1);
    launch(&FillMasked {
        current: &uniform(record),
        images: over(&range(0, masked as u32), count),
        pixels: &both,
        mask: &upload(&mask),
        statistics: &upload(&statistics),
        shape: Shape::new(channels as u32, height as u32, width as u32),
        fill,
        lanes: LANES,
    });
    let actual = read::<f32>(&both, 2 * count * size);
    assert_eq!(actual[..count * size], clean, "the clean half stays");
    let expected = reference::fill_masked::fill_masked(
        fill,
        &record,
        &clean,
        &mask,
        [height, width, channels],
    );
    assert!(actual[(count + masked) * size..].iter().all(|&value| value == 7.0));
    for (element, (actual, expected)) in
        actual[count * size..(count + masked) * size].iter().zip(&expected).enumerate()
    {
        let error = (f64::from(*actual) - expected).abs();
        assert!(
            error <= tolerance,
            "{fill:?} {height}×{width}×{channels}, element {element}: {actual} {expected}"
        );
        if mask[element / channels.next_multiple_of(4)] == 0 {
            assert_eq!(f64::from(*actual), *expected);
        }
    }
}

#[test]
fn fill_masked_matches_the_reference() {
    let ulp = f64::from(f32::EPSILON);
    for shape in [[5, 7, 1], [4, 6, 3], [3, 3, 5]] {
        check_fill(MaskFill::Uniform, 3, shape, 2.0 * ulp);
        check_fill(MaskFill::Zero, 2, shape, 0.0);
        check_fill(MaskFill::Mean, 2, shape, ulp);
        check_fill(MaskFill::Corner, 2, shape, 0.0);
        check_fill(MaskFill::Blur, 1, shape, 2e-6);
    }
    for shape in [[28, 28, 1], [1, 1, 1], [1, 9, 3], [2, 20, 1]] {
        check_fill(MaskFill::Blur, 2, shape, 2e-6);
    }
}

// ---------------------------------------------------------------- logits

/// Rows of logits with padding that must not be looked at, and labels.
fn logit_rows(
    random: &mut Random,
    count: usize,
    classes: usize,
    scale: f32,
) -> (Vec<f32>, Vec<u32>) {
    let stride = classes.next_multiple_of(4);
    let rows = (0..count * stride)
        .map(|index| if index % stride < classes { scale * random.signed() } else { 1e6 })
        .collect();
    (rows, (0..count).map(|_| random.below(classes as u32)).collect())
}

fn row(rows: &[f32], image: usize, classes: usize) -> Vec<f64> {
    rows[image * classes.next_multiple_of(4)..][..classes].iter().map(|&z| f64::from(z)).collect()
}

/// The kernel's name of the oracle's target.
fn scalar(target: Target) -> Scalar {
    match target {
        Target::LogSoftmaxLabel => Scalar::LogSoftmaxLabel,
        Target::LogitLabel => Scalar::LogitLabel,
        Target::LogitPredicted => Scalar::LogitPredicted,
        Target::LogSoftmaxPredicted => Scalar::LogSoftmaxPredicted,
    }
}

#[test]
fn saliency_seed_matches_the_reference() {
    let mut random = Random(9);
    for (classes, targets) in [
        (
            10,
            [
                Target::LogSoftmaxLabel,
                Target::LogitLabel,
                Target::LogitPredicted,
                Target::LogSoftmaxPredicted,
            ],
        ),
        (
            3,
            [
                Target::LogSoftmaxLabel,
                Target::LogSoftmaxPredicted,
                Target::LogSoftmaxLabel,
                Target::LogSoftmaxPredicted,
            ],
        ),
    ] {
        for (target, scale) in targets.into_iter().zip([5.0, 5.0, 2.0, 12.0]) {
            let (mut rows, labels) = logit_rows(&mut random, 12, classes, scale);
            let stride = classes.next_multiple_of(4);
            rows[2 * stride..][..classes].fill(0.5); // a tie: the first class is the predicted one
            let output = dirty(rows.len());
            launch(&SaliencySeed {
                images: over(&range(2, 9), 9),
                logits: &upload(&rows),
                labels: &upload(&labels),
                gradient: &output,
                classes: classes as u32,
                target: scalar(target),
                lanes: LANES,
            });
            let actual = read::<f32>(&output, rows.len());
            for image in 2..11 {
                let expected = reference::saliency_seed::saliency_seed(
                    target,
                    &row(&rows, image, classes),
                    labels[image] as usize,
                );
                assert_close(
                    "saliency_seed",
                    &actual[image * stride..][..classes],
                    &expected,
                    1e-4,
                );
                assert!(
                    actual[image * stride + classes..(image + 1) * stride]
                        .iter()
                        .all(|&pad| pad == 0.0)
                );
            }
            assert!(
                actual[11 * stride..]
                    .iter()
                    .chain(&actual[..2 * stride])
                    .all(|value| value.to_bits() == 0x4122_4466)
            );
        }
    }
}

struct LossCase {
    count: usize,
    classes: usize,
    scale: f32,
    lambda: f32,
    stop_gradient: bool,
    sgt: bool,
    unmasked: usize,
    weighted: bool,
}

fn check_loss(case: LossCase) {
    let LossCase { count, classes, scale, lambda, stop_gradient, sgt, unmasked, weighted } = case;
    let masked_count = if sgt { count - unmasked } else { 0 };
    let mut random = Random(10);
    let stride = classes.next_multiple_of(4);
    let (rows, labels) = logit_rows(&mut random, 2 * count, classes, scale);
    let (gradient, sums) = (dirty(2 * count * stride), dirty(4 * count));
    let whole = ImagesRange { batch: count as u32 + 5, ..images(0, count as u32) };
    let weights: Vec<f32> = (0..classes).map(|class| 0.25 + 0.5 * class as f32).collect();
    let total = 17.5;
    let class_weights = weighted.then(|| upload(&weights));
    launch(&SgtLoss {
        images: over(&uniform(whole), count),
        logits: &upload(&rows),
        labels: &upload(&labels),
        gradient: &gradient,
        sums: &sums,
        current: &uniform(StepRecord {
            unmasked: unmasked as u32,
            class_weights: if weighted { total } else { 0.0 },
            ..step()
        }),
        class_weights: class_weights.as_ref(),
        classes: classes as u32,
        lambda,
        stop_gradient,
        twins: sgt,
        lanes: LANES,
    });
    let gradient = read::<f32>(&gradient, 2 * count * stride);
    let sums = read::<[f32; 4]>(&sums, count);
    let expected: Vec<ImageLoss> = (0..count)
        .map(|image| {
            let masked = row(&rows, image + count, classes);
            let (clean, label) = (row(&rows, image, classes), labels[image] as usize);
            let masked = (image < masked_count).then_some(&masked[..]);
            let label_share = match weighted {
                true => f64::from(weights[label]) / f64::from(total),
                false => 1.0 / (count + 5) as f64,
            };
            reference::sgt_loss::weighted(
                &clean,
                masked,
                (label, label_share),
                count + 5,
                f64::from(lambda),
                stop_gradient,
            )
        })
        .collect();
    let padded = |half: fn(&ImageLoss) -> &Vec<f64>| -> Vec<f64> {
        expected
            .iter()
            .flat_map(|own| {
                half(own).iter().copied().chain(std::iter::repeat_n(0.0, stride - classes))
            })
            .collect()
    };
    assert_close(
        "clean gradient",
        &gradient[..count * stride],
        &padded(|own| &own.clean_gradient),
        1e-4,
    );
    let own = masked_count * stride;
    let (masked, rest) = gradient[count * stride..].split_at(own);
    assert_close("masked gradient", masked, &padded(|own| &own.masked_gradient)[..own], 1e-4);
    assert!(rest.iter().all(|value| value.to_bits() == 0x4122_4466));
    for (actual, expected) in sums.iter().zip(&expected) {
        assert!(
            (f64::from(actual[0]) - expected.cross_entropy).abs()
                <= 1e-5 * (1.0 + expected.cross_entropy)
        );
        assert!(
            (f64::from(actual[1]) - expected.divergence).abs()
                <= 1e-5 * (1.0 + expected.divergence)
        );
        assert_eq!(actual[2..], [f32::from(u8::from(expected.correct)), 0.0]);
    }
}

#[test]
fn sgt_loss_matches_the_reference() {
    let case = || LossCase {
        count: 11,
        classes: 10,
        scale: 3.0,
        lambda: 1.0,
        stop_gradient: false,
        sgt: true,
        unmasked: 0,
        weighted: false,
    };
    check_loss(case());
    check_loss(LossCase { stop_gradient: true, lambda: 0.5, ..case() });
    check_loss(LossCase { sgt: false, ..case() });
    check_loss(LossCase { count: 1, classes: 3, ..case() });
    check_loss(LossCase { unmasked: 4, lambda: 0.5, ..case() });
    check_loss(LossCase { unmasked: 11, ..case() });
    check_loss(LossCase { weighted: true, unmasked: 3, lambda: 0.7, ..case() });
    check_loss(LossCase { weighted: true, sgt: false, ..case() });
    // Logits far beyond the range of exp.
    check_loss(LossCase { count: 5, classes: 4, scale: 200.0, ..case() });
    // More classes than a driver takes in loops of one class an iteration.
    check_loss(LossCase { count: 2, classes: 9_999, ..case() });
    check_loss(LossCase { count: 1, classes: 65_536, ..case() });
}

/// Masked images that change next to nothing: the sum of the terms is a rounding error, of either
/// sign.
#[test]
fn a_divergence_is_never_negative() {
    const CLASSES: usize = 10;
    let (count, stride) = (200, CLASSES.next_multiple_of(4));
    let mut random = Random(12);
    let (mut rows, labels) = logit_rows(&mut random, 2 * count, CLASSES, 3.0);
    for image in 0..count {
        for class in 0..CLASSES {
            rows[(image + count) * stride + class] =
                rows[image * stride + class] + 1e-5 * random.signed();
        }
    }
    rows[(count + 7) * stride + 2] = f32::NAN;
    let (gradient, sums) = (dirty(2 * count * stride), dirty(4 * count));
    let whole = uniform(ImagesRange { batch: count as u32, ..images(0, count as u32) });
    launch(&SgtLoss {
        images: over(&whole, count),
        logits: &upload(&rows),
        labels: &upload(&labels),
        gradient: &gradient,
        sums: &sums,
        current: &uniform(StepRecord { unmasked: 0, ..step() }),
        class_weights: None,
        classes: CLASSES as u32,
        lambda: 1.0,
        stop_gradient: false,
        twins: true,
        lanes: LANES,
    });
    for (image, own) in read::<[f32; 4]>(&sums, count).iter().enumerate() {
        if image == 7 {
            assert!(own[1].is_nan(), "a number that is none must not be taken for 0");
            continue;
        }
        let (clean, masked) = (row(&rows, image, CLASSES), row(&rows, image + count, CLASSES));
        let expected =
            reference::sgt_loss::sgt_loss(&clean, Some(&masked), 0, count, 1.0, false).divergence;
        assert!(
            own[1] >= 0.0 && own[1].is_sign_positive() && expected >= 0.0,
            "image {image}: {}",
            own[1]
        );
        assert!(
            (f64::from(own[1]) - expected).abs() < 1e-6,
            "image {image}: {} and {expected}",
            own[1]
        );
    }
}

#[test]
fn sum_metrics_adds_parts_up_and_flags_what_is_not_finite() {
    let mut random = Random(11);
    let sums: Vec<[f32; 4]> = (0..37)
        .map(|_| [random.signed().abs(), random.signed().abs(), random.below(2) as f32, 0.0])
        .collect();
    for workgroup in [8, 64] {
        let (metrics, flags) = (dirty(12), dirty(3));
        let sum = |count: usize, record: StepRecord, sums: &[[f32; 4]]| {
            launch(&SumMetrics {
                images: over(&range(0, count as u32), count),
                current: &uniform(record),
                sums: &upload(sums),
                metrics: &metrics,
                flags: &flags,
                workgroup,
            });
        };
        let mut total = [0.0; 4];
        for (part, count) in [(0, 37), (1, 5)] {
            sum(count, StepRecord { part, log_slot: 1, ..step() }, &sums);
            let (own, _) = reference::sum_metrics::sum_metrics(&sums[..count]);
            (0..4).for_each(|field| total[field] += own[field]);
            let actual = read::<[f32; 4]>(&metrics, 3);
            assert_close("metrics", &actual[1], &total, 1e-6);
            assert_eq!([actual[0][0], actual[2][0]].map(f32::to_bits), [0x4122_4466; 2]);
            assert_eq!(read::<u32>(&flags, 3), [0x4122_4466, 0, 0x4122_4466]);
        }
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for field in [0, 1] {
                let mut broken = sums.clone();
                broken[29][field] = bad;
                let flag_of = |part, sums: &[[f32; 4]]| {
                    sum(37, StepRecord { part, log_slot: 2, ..step() }, sums);
                    read::<u32>(&flags, 3)[2]
                };
                assert_eq!(flag_of(0, &broken), 1);
                assert_eq!(flag_of(1, &sums), 1, "a later part does not take it back");
                assert_eq!(flag_of(0, &sums), 0, "a new batch does");
                assert_eq!(flag_of(1, &broken), 1);
            }
        }
    }
}

#[test]
fn classify_matches_the_reference() {
    let mut random = Random(12);
    for classes in [10, 2] {
        let (mut rows, labels) = logit_rows(&mut random, 9, classes, 4.0);
        rows[..classes].fill(-2.0);
        let output = dirty(4 * 12);
        launch(&Classify {
            images: over(&range(0, 9), 9),
            logits: &upload(&rows),
            labels: &upload(&labels),
            current: &uniform(step()),
            predictions: (&output).into(),
            classes: classes as u32,
            lanes: LANES,
        });
        let actual = read::<[f32; 4]>(&output, 12);
        for image in 0..9 {
            let expected =
                reference::classify::classify(&row(&rows, image, classes), labels[image] as usize);
            let own = actual[step().position as usize + image];
            assert_close("classify", &own, &expected, 1e-5);
            assert_eq!(f64::from(own[1]), expected[1]);
        }
        assert_eq!(actual[2][0].to_bits(), 0x4122_4466);
    }
}

// ---------------------------------------------------------------- optimisers

const LENGTH: usize = 151;
const OFFSETS: usize = 5;
const ALPHAS: usize = 6;
const STEPS: usize = 5;
/// Where each begins.
const OFFSET_FIRST: usize = LENGTH - OFFSETS;
const ALPHA_FIRST: usize = OFFSET_FIRST - ALPHAS;
const STEP_FIRST: usize = ALPHA_FIRST - STEPS;

fn rules() -> ParameterRules {
    ParameterRules {
        step_first: STEP_FIRST,
        alpha_first: ALPHA_FIRST,
        offset_first: OFFSET_FIRST,
        weight_decay: 0.01,
        step_lr_factor: 0.25,
        step_floor: 0.02,
        alpha_decay: 0.02,
        alpha_lr_factor: 0.5,
        alpha_floor: 0.05,
    }
}

/// The same as the launchers have them.
fn kernel_rules() -> kernels::ParameterRules {
    let rules = rules();
    kernels::ParameterRules {
        length: LENGTH as u32,
        step_first: rules.step_first as u32,
        alpha_first: rules.alpha_first as u32,
        offset_first: rules.offset_first as u32,
        weight_decay: rules.weight_decay as f32,
        alpha_decay: rules.alpha_decay as f32,
        step_lr_factor: rules.step_lr_factor as f32,
        alpha_lr_factor: rules.alpha_lr_factor as f32,
        step_floor: rules.step_floor as f32,
        alpha_floor: rules.alpha_floor as f32,
    }
}

/// An update rule's kernel.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Sgd(Momentum),
    Adam { decoupled: bool },
    Adadelta,
}

impl Rule {
    /// Its states, flat like the parameters.
    fn states(self) -> usize {
        if matches!(self, Rule::Sgd(_)) { 1 } else { 2 }
    }

    /// Updates `parameters` with [`kernel_rules`] by `gradients` in the step `current`, or only
    /// looks where `probe` says so.
    fn run(
        self,
        probe: bool,
        [current, parameters, gradients, health]: [&Buffer; 4],
        states: &[Buffer],
        workgroups: [u32; 3],
    ) {
        let rules = kernel_rules();
        let update = Update { current, parameters, gradients, health, probe, rules, lanes: LANES };
        match (self, states) {
            (Rule::Sgd(momentum), [velocity]) => {
                common::launch_over(&OptimizerSgd { update, velocity, momentum }, workgroups);
            }
            (Rule::Adam { decoupled }, [first_moment, second_moment]) => {
                let (betas, epsilon) = ([0.8, 0.999], 1e-8);
                common::launch_over(
                    &OptimizerAdam {
                        update,
                        first_moment,
                        second_moment,
                        betas,
                        epsilon,
                        decoupled,
                    },
                    workgroups,
                );
            }
            (Rule::Adadelta, [square_average, delta_average]) => {
                let (rho, epsilon) = (0.9, 1e-6);
                common::launch_over(
                    &OptimizerAdadelta { update, square_average, delta_average, rho, epsilon },
                    workgroups,
                );
            }
            _ => panic!("{self:?} has {} states", self.states()),
        }
    }
}

/// Steps by `rule` six times beside `reference`, with gradients that drive a step and an α below
/// their floors, and compares parameters and states.
fn check_optimizer(
    rule: Rule,
    betas: [f64; 2],
    mut reference: impl FnMut(u32, f64, &mut [f64], &[f64], &mut [Vec<f64>]),
) {
    let states = rule.states();
    let mut random = Random(13);
    let padded = LENGTH.next_multiple_of(4);
    let mut start = random.vector(LENGTH);
    start[STEP_FIRST..OFFSET_FIRST].iter_mut().for_each(|alpha| *alpha = alpha.abs() + 0.06);
    start[OFFSET_FIRST - 1] = 0.0502; // a gradient of 3 takes it below its floor
    start[ALPHA_FIRST - 1] = 0.0201;
    start[LENGTH - 1] = 0.0201;
    let mut expected: Vec<f64> = start.iter().map(|&value| f64::from(value)).collect();
    start.resize(padded, 42.0);
    let parameters = upload(&start);
    let state_buffers: Vec<_> = (0..states).map(|_| upload(&vec![0f32; padded])).collect();
    let mut expected_states = vec![vec![0.0; LENGTH]; states];
    let health = upload(&HEALTHY);
    for number in 1..=6 {
        let rate = 0.1 / f64::from(number);
        let mut gradient = random.vector(LENGTH);
        for falling in [ALPHA_FIRST, OFFSET_FIRST, LENGTH] {
            gradient[falling - 1] = 3.0;
        }
        let exact: Vec<f64> = gradient.iter().map(|&g| f64::from(g)).collect();
        gradient.resize(padded, 0.0);
        let correction = |beta: f64| (1.0 - beta.powi(number as i32)) as f32;
        let record = StepRecord {
            step: number,
            learning_rate: rate as f32,
            beta1_correction: correction(betas[0]),
            beta2_correction: correction(betas[1]),
            ..step()
        };
        let (record, gradient) = (uniform(record), upload(&gradient));
        let buffers = [&record, &parameters, &gradient, &health];
        // Looking finds nothing and changes nothing.
        let before = read::<f32>(&parameters, padded);
        rule.run(true, buffers, &state_buffers, [3, 2, 1]);
        assert_eq!(read::<f32>(&parameters, padded), before);
        // 3 × 2 workgroups of 8 × 4 parameters: both dimensions are used.
        rule.run(false, buffers, &state_buffers, [3, 2, 1]);
        reference(number, f64::from(rate as f32), &mut expected, &exact, &mut expected_states);
        let actual = read::<f32>(&parameters, padded);
        assert_close(&format!("{rule:?}"), &actual[..LENGTH], &expected, 1e-6);
        for (what, range) in [
            ("steps", STEP_FIRST..ALPHA_FIRST),
            ("α", ALPHA_FIRST..OFFSET_FIRST),
            ("offsets", OFFSET_FIRST..LENGTH),
        ] {
            assert_close(what, &actual[range.clone()], &expected[range], 1e-6);
        }
        assert_eq!(actual[LENGTH..], [42.0; 1], "the padding stays");
        for (buffer, expected) in state_buffers.iter().zip(&expected_states) {
            assert_close("state", &read::<f32>(buffer, LENGTH), expected, 2e-6);
        }
    }
    let last = read::<f32>(&parameters, LENGTH);
    assert_eq!(last[OFFSET_FIRST - 1], 0.05, "an α rests on its floor");
    assert_eq!(last[ALPHA_FIRST - 1], 0.02, "a step rests on its floor");
    assert!(last[LENGTH - 1] < 0.02, "an offset has no floor");
    assert_eq!(read::<u32>(&health, 8), HEALTHY);

    // A step that does not count leaves everything as it is; a factor of a half is half the rate,
    // exactly.
    let gradient = upload(&vec![0.5f32; padded]);
    let record = |rate: f32| {
        uniform(StepRecord {
            learning_rate: rate,
            beta1_correction: 0.1,
            beta2_correction: 0.001,
            ..step()
        })
    };
    let update = |rate: f32, words: [u32; 8]| {
        let parameters =
            upload(&last.iter().copied().chain([42.0; 3]).take(padded).collect::<Vec<f32>>());
        let states: Vec<_> = (0..states).map(|_| upload(&vec![0.25f32; padded])).collect();
        let (record, health) = (record(rate), upload(&words));
        rule.run(false, [&record, &parameters, &gradient, &health], &states, [3, 2, 1]);
        let states = states.iter().flat_map(|state| read::<f32>(state, LENGTH)).collect::<Vec<_>>();
        (read::<f32>(&parameters, LENGTH), states)
    };
    let mut words = HEALTHY;
    words[2] = 0;
    assert_eq!(update(0.1, words), (last.clone(), vec![0.25; states * LENGTH]));
    words[2] = 1;
    words[4] = 0.5f32.to_bits();
    assert_eq!(update(0.1, words), update(0.05, HEALTHY));
    assert_ne!(update(0.1, words), update(0.1, HEALTHY));
}

/// `health` before a step.
const HEALTHY: [u32; 8] = [u32::MAX, u32::MAX, 1, 0, 0x3f80_0000, 0, 0, 0];

#[test]
fn optimizer_sgd_matches_the_reference() {
    for (kind, momentum, nesterov) in [
        (Momentum::None, None, false),
        (Momentum::Plain, Some(f64::from(0.9f32)), false),
        (Momentum::Nesterov, Some(f64::from(0.9f32)), true),
    ] {
        check_optimizer(Rule::Sgd(kind), [0.9, 0.999], |_, rate, parameters, gradients, states| {
            reference::optimizer_sgd::optimizer_sgd(
                &rules(),
                rate,
                momentum,
                nesterov,
                parameters,
                gradients,
                &mut states[0],
            );
        });
    }
}

#[test]
fn optimizer_adam_matches_the_reference() {
    for decoupled in [false, true] {
        let adam = Adam { betas: [0.8, 0.999], epsilon: 1e-8, decoupled };
        check_optimizer(
            Rule::Adam { decoupled },
            adam.betas,
            |number, rate, parameters, gradients, states| {
                let [first, second] = states else { panic!("two states") };
                reference::optimizer_adam::optimizer_adam(
                    &rules(),
                    &adam,
                    rate,
                    number,
                    parameters,
                    gradients,
                    [first, second],
                );
            },
        );
    }
}

#[test]
fn optimizer_adadelta_matches_the_reference() {
    check_optimizer(Rule::Adadelta, [0.9, 0.999], |_, rate, parameters, gradients, states| {
        let [square, delta] = states else { panic!("two states") };
        reference::optimizer_adadelta::optimizer_adadelta(
            &rules(),
            [0.9, 1e-6],
            rate,
            parameters,
            gradients,
            [square, delta],
        );
    });
}

/// Probing finds the first bad gradient and the first bad result, whatever their number, and
/// changes nothing.
#[test]
fn optimizers_find_what_is_not_finite() {
    let padded = LENGTH.next_multiple_of(4);
    let rules = [
        Rule::Sgd(Momentum::None),
        Rule::Sgd(Momentum::Plain),
        Rule::Adam { decoupled: false },
        Rule::Adadelta,
    ];
    let patterns = [
        f32::NAN,
        -f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0xffff_ffff),
    ];
    let none = u32::MAX;
    for rule in rules {
        let probe = |parameters: &[f32], gradients: &[f32], state: &[f32], rate: f32| {
            let record = StepRecord {
                learning_rate: rate,
                beta1_correction: 0.1,
                beta2_correction: 0.001,
                ..step()
            };
            let (record, health) = (uniform(record), upload(&HEALTHY));
            let (parameters, gradients) = (upload(parameters), upload(gradients));
            let states: Vec<_> = (0..rule.states()).map(|_| upload(state)).collect();
            let buffers = [&record, &parameters, &gradients, &health];
            rule.run(true, buffers, &states, flat_workgroups(LENGTH as u64, 4 * LANES));
            let found = read::<u32>(&health, 8);
            assert_eq!(found[2..], HEALTHY[2..]);
            [found[0], found[1]]
        };
        let (good, zero) = (vec![0.5f32; padded], vec![0f32; padded]);
        assert_eq!(probe(&good, &good, &zero, 0.1), [none, none], "{rule:?}");
        let mut random = Random(15);
        for bad in patterns {
            let mut places: Vec<u32> = (0..3).map(|_| random.below(LENGTH as u32)).collect();
            places.push(LENGTH as u32 - 1);
            let mut gradients = good.clone();
            places.iter().for_each(|&place| gradients[place as usize] = bad);
            let first = places.iter().min().copied().unwrap();
            assert_eq!(
                probe(&good, &gradients, &zero, 0.1)[0],
                first,
                "{rule:?}: gradient {bad} at {places:?}"
            );
            let mut parameters = good.clone();
            parameters[first as usize] = bad;
            assert_eq!(
                probe(&parameters, &good, &zero, 0.1),
                [none, first],
                "{rule:?}: parameter {bad} at {first}"
            );
        }
        // Behind the end there is nothing to find.
        let mut beyond = good.clone();
        beyond[LENGTH] = f32::NAN;
        assert_eq!(probe(&beyond, &beyond, &zero, 0.1), [none, none], "{rule:?}");
        // Finite numbers whose update is none.
        let mut large = good.clone();
        large[7] = 3e38;
        assert_eq!(probe(&good, &large, &zero, 100.0), [none, 7], "{rule:?}");
    }
}

#[test]
fn judge_step_matches_the_reference() {
    use reference::judge_step::{Health, judge_step};
    const EXPLODED: f32 = 1000.0;
    let to_option = |index: u32| Some(index).filter(|&index| index != u32::MAX);
    let sums: [[f32; 4]; 4] = [
        [3.0, 1.0, 2.0, 4.0],
        [4000.0, 0.0, 0.0, 4.0],
        [4001.0, 0.0, 0.0, 4.0],
        [f32::NAN, 0.0, 0.0, 4.0],
    ];
    let policies = [OnNonFinite::Stop, OnNonFinite::Skip, OnNonFinite::LowerLr];
    for (number, policy) in (0u32..).zip(policies) {
        for case in 0..sums.len() * 8 {
            let (row, flagged) = (sums[case % 4], case % 4 == 3 || case / 4 == 5);
            let words: [u32; 8] = match case / 4 {
                1 => [9, 4, 1, 0, 0.25f32.to_bits(), 0, 0, 0],
                2 => [u32::MAX, 4, 0, 0, 1f32.to_bits(), 0, 0, 0],
                3 => [u32::MAX, u32::MAX, 0, 1, 1f32.to_bits(), 0, 0, 0],
                _ => [u32::MAX, u32::MAX, 0, 0, 0.5f32.to_bits(), 0, 0, 0],
            };
            let (health, verdicts) = (upload(&words), dirty(4));
            let (mut metrics, mut flags) = (vec![[0f32; 4]; 2], vec![0u32; 4]);
            (metrics[1], flags[1]) = (row, u32::from(flagged));
            launch(&JudgeStep {
                current: &uniform(StepRecord { log_slot: 1, ..step() }),
                metrics: &upload(&metrics),
                flags: &upload(&flags),
                health: &health,
                verdicts: &verdicts,
                policy,
                exploded: f64::from(EXPLODED),
            });
            let mut expected = Health {
                gradient: to_option(words[0]),
                update: to_option(words[1]),
                apply: words[2] != 0,
                halted: words[3] != 0,
                rate: f64::from(f32::from_bits(words[4])),
            };
            let verdict =
                judge_step(number, f64::from(EXPLODED), row.map(f64::from), flagged, &mut expected);
            let actual = read::<u32>(&health, 8);
            assert_eq!(
                read::<u32>(&verdicts, 4)[2..],
                [verdict.0, verdict.1.unwrap_or(u32::MAX)],
                "{number} {case}"
            );
            let actual = Health {
                gradient: to_option(actual[0]),
                update: to_option(actual[1]),
                apply: actual[2] != 0,
                halted: actual[3] != 0,
                rate: f64::from(f32::from_bits(actual[4])),
            };
            assert_eq!(actual, expected, "{number} {case}");
        }
    }
}

#[test]
fn keep_statistics_matches_the_reference() {
    let values = Random(16).vector(40);
    let before = Random(17).vector(21);
    for apply in [true, false] {
        let mut words = HEALTHY;
        words[2] = u32::from(apply);
        let (health, parameters, kept) = (upload(&words), upload(&values), upload(&before));
        launch(&KeepStatistics {
            health: &health,
            parameters: &parameters,
            kept: &kept,
            first: 17,
            count: 21,
            lanes: LANES,
        });
        let exact =
            |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let (mut expected, mut expected_kept) = (exact(&values), exact(&before));
        reference::keep_statistics::keep_statistics(
            apply,
            &mut expected[17..38],
            &mut expected_kept,
        );
        assert_eq!(exact(&read::<f32>(&parameters, 40)), expected, "{apply}");
        assert_eq!(exact(&read::<f32>(&kept, 21)), expected_kept, "{apply}");
    }
}

// ---------------------------------------------------------------- dropout, input × gradient

#[test]
fn dropout_draws_the_references_mask_twice_over() {
    for (size, rate, layer) in [(12, 0.25, 0), (40, 0.5, 1), (8, 1.0, 0), (8, 0.0, 0)] {
        let current = step();
        let total = 2 * current.count as usize;
        let values: Vec<f32> = Random(14).vector(total * size);
        let buffer = upload(&values);
        let both = images(0, total as u32);
        let factors = reference::dropout::dropout(&both, &current, layer, rate, size);
        let record = uniform(current);
        let drop_out = |images: ImagesRange, place, values: &Buffer| {
            let chunk = uniform(ChunkRange { images, place, padding: [0; 3] });
            launch(&Dropout {
                chunk: kernels::ImageRange { binding: (&chunk).into(), most: images.count },
                current: &record,
                values: values.into(),
                elements: size as u32 / 4,
                stream: layer,
                rate,
                format: storage::Format::F32,
                lanes: LANES,
            });
        };
        drop_out(both, 0, &buffer);
        let once = read::<f32>(&buffer, total * size);
        for ((&actual, &value), &factor) in once.iter().zip(&values).zip(&factors) {
            let expected = f64::from(value) * factor;
            assert!(
                (f64::from(actual) - expected).abs() <= 1e-6 * expected.abs(),
                "{actual} {expected}"
            );
        }
        // The masked half alone, as for a gradient: the same mask.
        drop_out(images(current.count, current.count), 0, &buffer);
        let twice = read::<f32>(&buffer, total * size);
        let half = total * size / 2;
        assert_eq!(twice[..half], once[..half]);
        let zeros = |values: &[f32]| values.iter().map(|&value| value == 0.0).collect::<Vec<_>>();
        assert_eq!(zeros(&twice), zeros(&once));
        if rate == 0.5 {
            assert_ne!(factors[..half], factors[half..], "clean and masked images draw separately");
        }
        // The values of a chunk that has clean and masked images: those of the same images.
        let place = current.count as usize - 1;
        let part = upload(&values[place * size..(place + 2) * size]);
        drop_out(images(0, 2), place as u32, &part);
        assert_eq!(read::<f32>(&part, 2 * size), once[place * size..(place + 2) * size]);
    }
    let record = StepRecord { count: 50, ..step() };
    let kept = reference::dropout::dropout(&images(0, 50), &record, 0, 0.25, 400)
        .iter()
        .filter(|&&factor| factor > 0.0)
        .count();
    assert!((14_700..15_300).contains(&kept), "{kept} of 20000 kept at rate 0.25");
}

// ---------------------------------------------------------------- the permutation on the device

#[test]
fn an_epoch_visits_every_image_once() {
    // One channel of 1×2 pixels holds the image's number, so that the images tell which were taken.
    let total = 300u32;
    let data: Vec<u8> =
        (0..total).flat_map(|image| [(image % 256) as u8, (image / 256) as u8]).collect();
    let record = StepRecord { position: 0, count: total, epoch_images: total, ..step() };
    let (pixels, labels) = (dirty(2 * 4 * 2 * total as usize), dirty(2 * total as usize));
    let numbers: Vec<u32> = (0..total).collect();
    launch(&GatherBatch {
        current: &uniform(record),
        data: &upload(&data),
        labels: &upload(&numbers),
        pixels: &pixels,
        batch_labels: &labels,
        shape: Shape::new(1, 1, 2),
        most: total,
        from: GatherFrom::All,
        drawn: None,
        shuffle: true,
        shift: 0,
        hflip: false,
        cutout: 0,
        constants: PixelConstants::ForAll { mean: 0.0, deviation: 1.0 },
        format: Format::F32,
        lanes: LANES,
        strip: 1,
    });
    let order = read::<u32>(&labels, total as usize);
    let key = random::random_key(seed(&record), record.epoch, random::SHUFFLE);
    assert_eq!(
        order,
        numbers.iter().map(|&index| random::permute(index, total, key)).collect::<Vec<_>>()
    );
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, numbers);
    let shown: Vec<u32> = read::<[f32; 8]>(&pixels, total as usize)
        .iter()
        .map(|own| ((own[0] + 256.0 * own[4]) * 255.0).round() as u32)
        .collect();
    assert_eq!(shown, order);
}
