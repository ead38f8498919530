//! The kernels of the attribution methods against their references.

use crate::common::{self, Random, assert_close, dirty, launch, read, uniform, upload};
use saliq::{
    config::{PactKind, Shape},
    gpu::Buffer,
    kernels::{
        AccumulateGradients, AccumulateScores, ChannelMaskedImages, ChannelMeans, ChannelRanges,
        ClassScore, CollectLogits, FavorPositive, FoldedNorm, FoldedParameters, GradCam,
        GradCamPlusPlusWeights, GradientSum, Hiding, ImageRange, SampleImages, Sampling, Score,
        ScoreCamWeights,
    },
    layout::{ImagesRange, StepRecord, groups, padded, to_nchw},
    reference::{
        accumulate_gradients::accumulate_gradients,
        accumulate_scores::accumulate_scores,
        activation::{Activation, Function, LsqPlus, activation},
        channel_masked_images::channel_masked_images,
        channel_means::channel_means,
        channel_ranges::channel_ranges,
        class_score::class_score,
        collect_logits::collect_logits,
        favor_positive::favor_positive,
        folded_parameters::{Norm, folded_bias, folded_weight},
        grad_cam::grad_cam,
        grad_cam_plus_plus_weights::grad_cam_plus_plus_weights,
        guided_gradient::guided_gradient,
        layout,
        max_pool::max_pool,
        max_pool_rescale::max_pool_rescale,
        relevance_ratio::relevance_ratio,
        rescale_multiplier::rescale_multiplier,
        sample_images::sample_images,
        samples::Samples,
        score_cam_weights::score_cam_weights,
    },
    shaders::Specialization,
};

use saliq::{
    config::{ActivationFunction, ActivationQuantizer, MaxPool as MaxPooling, Window},
    gpu::Launch,
    kernels::{
        self, GuidedGradient, MaxPool, MaxPoolRescale, PoolShape, PositivePart, RelevanceRatio,
        RescaleMultiplier,
    },
    quant::ActivationPlan,
    storage::Storage,
};

const LANES: u32 = 8;
const SEED: u64 = 0x0000_0003_0000_0005;
const NUMBERS: [u32; 3] = [4, 0, 70_000];
const NOISE: f32 = 0.25;
/// Side and stride.
const WINDOW: (u32, u32) = (3, 2);
/// Nodes per axis, and the share of ones.
const GRID: (u32, f32) = (3, 0.5);

fn range(count: u32) -> Buffer {
    uniform(ImagesRange { first: 0, count, batch: count, accumulate: 0 })
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// `count` random images in the kernels' layout, zeros in the padding.
fn pictures(random: &mut Random, shape: Shape, count: usize) -> Vec<f64> {
    let values = to_f64(&random.vector(count * shape.elements() as usize));
    to_f64(&layout::pack(&values, shape))
}

/// Three images, two baselines, and a table: steps of a path, or statistics of the images.
fn samples(shape: Shape, kind: u32, has_path: bool, per_image: u32) -> Samples {
    let mut random = Random(u64::from(kind) + u64::from(shape.channels));
    let table = match has_path {
        true => (0..per_image)
            .map(|step| [f64::from(step) * 0.25, 0.5 - f64::from(step) * 0.125, 0.0, 0.0])
            .collect(),
        false => (0..3).map(|image| [-1.0, 0.5 + f64::from(image), 0.0, 0.0]).collect(),
    };
    Samples {
        shape,
        pixels: pictures(&mut random, shape, 3),
        numbers: NUMBERS.to_vec(),
        baselines: pictures(&mut random, shape, 2),
        table,
        seed: SEED,
        noise: f64::from(NOISE),
        window: WINDOW,
        grid: (GRID.0, f64::from(GRID.1)),
    }
}

fn table(samples: &Samples) -> Buffer {
    upload(&samples.table.iter().map(|row| row.map(|value| value as f32)).collect::<Vec<_>>())
}

/// The chunks of `slots` samples for three images of `per_image` samples.
fn chunks(per_image: u32, slots: u32) -> Vec<StepRecord> {
    (0..3 * per_image)
        .step_by(slots as usize)
        .map(|start| StepRecord {
            position: start / per_image,
            sample: start % per_image,
            samples: per_image,
            count: slots.min(3 * per_image - start),
            seed_low: SEED as u32,
            seed_high: (SEED >> 32) as u32,
            ..StepRecord::default()
        })
        .collect()
}

/// The kinds of samples, and the oracle's number for each.
const SAMPLINGS: [(u32, Sampling); 6] = [
    (0, Sampling::Clean),
    (1, Sampling::Noisy { noise: NOISE }),
    (2, Sampling::OnPath),
    (3, Sampling::OnRandomPath { noise: NOISE }),
    (4, Sampling::Hidden(Hiding::Window { side: WINDOW.0, stride: WINDOW.1 })),
    (5, Sampling::Hidden(Hiding::Mask { grid: GRID.0, share: GRID.1 })),
];

const SHAPES: [Shape; 3] = [Shape::new(1, 7, 5), Shape::new(3, 4, 6), Shape::new(5, 3, 3)];

#[test]
fn samples_are_the_references() {
    for shape in SHAPES {
        for (kind, sampling) in SAMPLINGS {
            let mut samples = samples(shape, kind, sampling == Sampling::OnPath, 4);
            let has_windows = matches!(sampling, Sampling::Hidden(Hiding::Window { .. }));
            let per_image = if has_windows { samples.windows().len() as u32 + 1 } else { 4 };
            samples.table.resize(per_image.max(3) as usize, [0.0; 4]);
            let elements = samples.elements();
            let (pixels, baselines) =
                (upload(&to_f32(&samples.pixels)), upload(&to_f32(&samples.baselines)));
            let (classes, numbers, table) =
                (upload(&[7u32, 8, 9]), upload(&NUMBERS), table(&samples));
            for chunk in chunks(per_image, 5) {
                let (output, output_classes) = (dirty(2 * 5 * elements), dirty(10));
                let has_twins = sampling == Sampling::Clean;
                launch(&SampleImages {
                    current: &uniform(chunk),
                    pixels: &pixels,
                    classes: &classes,
                    numbers: &numbers,
                    baselines: &baselines,
                    table: &table,
                    samples: &output,
                    sample_classes: &output_classes,
                    shape,
                    sampling,
                    twins: has_twins,
                    slots: 5,
                    lanes: LANES,
                });
                let (actual, actual_classes) =
                    (read::<f32>(&output, 10 * elements), read::<u32>(&output_classes, 5));
                for slot in 0..chunk.count as usize {
                    let along = chunk.position * per_image + chunk.sample + slot as u32;
                    let (image, sample) = ((along / per_image) as usize, along % per_image);
                    let expected = sample_images(&samples, kind, image, sample);
                    let values = &actual[slot * elements..(slot + 1) * elements];
                    assert_close(
                        &format!("{sampling:?} of {shape:?}, {image}, {sample}"),
                        values,
                        &expected,
                        3e-6,
                    );
                    assert!(layout::padding(values, shape).iter().all(|&value| value == 0.0));
                    assert_eq!(actual_classes[slot], 7 + image as u32);
                    if has_twins {
                        let twin = slot + chunk.count as usize;
                        assert_close(
                            "baseline",
                            &actual[twin * elements..(twin + 1) * elements],
                            samples.baseline(image),
                            1e-7,
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn gradients_accumulate_as_in_the_reference_however_they_are_cut() {
    use GradientSum::{FromBaseline, FromRandomBaselines, Mean, MeanSquare, TimesInput, Variance};
    let sums = [Mean, MeanSquare, Variance, TimesInput, FromBaseline, FromRandomBaselines];
    for ((kind, sum), shape) in (0..).zip(sums).zip(SHAPES.iter().cycle()) {
        let per_image = if sum == TimesInput { 1 } else { 4 };
        let samples = samples(*shape, kind, sum == FromBaseline, per_image);
        let elements = samples.elements();
        let gradients = pictures(&mut Random(17), *shape, 3 * per_image as usize);
        let mut results = Vec::new();
        for slots in [1, 5, 12] {
            let (attributions, means) = (dirty(3 * elements), dirty(3 * elements));
            for chunk in chunks(per_image, slots) {
                let first = (chunk.position * per_image + chunk.sample) as usize * elements;
                let part = &gradients[first..first + chunk.count as usize * elements];
                let inputs = [to_f32(part), to_f32(&samples.pixels), to_f32(&samples.baselines)]
                    .map(|data| upload(&data));
                launch(&AccumulateGradients {
                    current: &uniform(chunk),
                    gradients: (&inputs[0]).into(),
                    pixels: &inputs[1],
                    numbers: &upload(&NUMBERS),
                    baselines: &inputs[2],
                    table: &table(&samples),
                    attributions: &attributions,
                    means: (sum == Variance).then_some(&means),
                    shape: *shape,
                    sum,
                    noise: NOISE,
                    images: slots.min(4),
                    lanes: LANES,
                });
            }
            results.push(read::<f32>(&attributions, 3 * elements));
        }
        assert!(results.iter().all(|result| *result == results[0]), "{sum:?}");
        for (image, actual) in results[0].chunks_exact(elements).enumerate() {
            let own: Vec<Vec<f64>> = gradients
                .chunks_exact(elements)
                .skip(image * per_image as usize)
                .take(per_image as usize)
                .map(<[f64]>::to_vec)
                .collect();
            assert_close(
                &format!("{sum:?}"),
                actual,
                &accumulate_gradients(&samples, kind, image, &own),
                3e-6,
            );
        }
    }
}

#[test]
fn scores_accumulate_as_in_the_reference_however_they_are_cut() {
    const SHARE: f32 = 0.25;
    let hidings = [
        (4, Hiding::Window { side: WINDOW.0, stride: WINDOW.1 }),
        (5, Hiding::Mask { grid: GRID.0, share: SHARE }),
    ];
    let cases = hidings.into_iter().flat_map(|own| SHAPES.map(|shape| (own, shape)));
    for ((kind, hiding), shape) in cases {
        let has_windows = matches!(hiding, Hiding::Window { .. });
        let mut samples = samples(shape, kind, false, 1);
        let per_image = if has_windows { samples.windows().len() as u32 + 1 } else { 6 };
        samples.grid.1 = f64::from(SHARE);
        let classes = 5;
        let logits = Random(3).vector((3 * per_image * padded(classes)) as usize);
        let scores = [Score::Logit, Score::LogProbability, Score::Probability];
        for (number, score) in (0..).zip(scores) {
            let mut results = Vec::new();
            for slots in [2, 7] {
                let (scores, clean, attributions) =
                    (dirty(slots as usize), dirty(3), dirty(3 * samples.elements()));
                for chunk in chunks(per_image, slots) {
                    let first =
                        ((chunk.position * per_image + chunk.sample) * padded(classes)) as usize;
                    let part =
                        upload(&logits[first..first + (chunk.count * padded(classes)) as usize]);
                    let of_slots: Vec<u32> = (0..chunk.count)
                        .map(|slot| {
                            (chunk.position * per_image + chunk.sample + slot) / per_image + 1
                        })
                        .collect();
                    let current = uniform(chunk);
                    launch(&ClassScore {
                        current: &current,
                        logits: &part,
                        sample_classes: &upload(&of_slots),
                        scores: &scores,
                        clean: &clean,
                        classes,
                        score,
                        keeps_clean: has_windows,
                        slots,
                        lanes: LANES,
                    });
                    launch(&AccumulateScores {
                        current: &current,
                        scores: &scores,
                        clean: &clean,
                        attributions: &attributions,
                        shape,
                        hiding,
                        images: slots.min(4),
                        lanes: LANES,
                    });
                }
                results.push(read::<f32>(&attributions, 3 * samples.elements()));
            }
            assert_eq!(results[0], results[1], "{hiding:?}");
            for (image, actual) in results[0].chunks_exact(samples.elements()).enumerate() {
                let rows = logits
                    .chunks_exact(padded(classes) as usize)
                    .skip(image * per_image as usize)
                    .take(per_image as usize);
                let scores: Vec<f64> = rows
                    .map(|row| class_score(number, &to_f64(&row[..classes as usize]), image + 1))
                    .collect();
                let expected = accumulate_scores(&samples, kind, &scores);
                for channel in 0..shape.channels as usize {
                    let values: Vec<f32> = actual
                        .iter()
                        .skip(channel)
                        .step_by(padded(shape.channels) as usize)
                        .copied()
                        .collect();
                    assert_close(
                        &format!("{hiding:?} {shape:?}, {score:?}"),
                        &values,
                        &expected,
                        5e-6,
                    );
                }
                assert!(layout::padding(actual, shape).iter().all(|&value| value == 0.0));
            }
        }
    }
}

#[test]
fn grad_cam_weights_and_enlarges() {
    for (layer, image) in [
        (Shape::new(5, 3, 4), Shape::new(3, 7, 9)),
        (Shape::new(8, 6, 6), Shape::new(1, 5, 5)),
        (Shape::new(4, 1, 2), Shape::new(1, 2, 2)),
    ] {
        let mut random = Random(u64::from(layer.channels));
        let count = 3;
        let values = to_f64(&random.vector(count * layer.elements() as usize));
        let gradients = to_f64(&random.vector(count * layer.elements() as usize));
        let layer_groups = groups(layer.channels);
        let means = dirty(count * layer_groups as usize * 4);
        launch(&ChannelMeans {
            images: ImageRange { binding: (&range(3)).into(), most: 3 },
            values: (&upload(&layout::pack(&gradients, layer))).into(),
            means: &means,
            shape: layer,
            lanes: LANES,
        });
        let actual_means = read::<f32>(&means, count * layer_groups as usize * 4);
        let guide = to_f64(&random.vector(count * image.elements() as usize));
        let packed_guide = upload(&layout::pack(&guide, image));
        for (rectified, is_guided) in [(false, false), (true, false), (false, true), (true, true)] {
            let maps = dirty((count + 2) * layout::packed_elements(image));
            let record = StepRecord { position: 2, count: 3, ..StepRecord::default() };
            launch(&GradCam {
                current: &uniform(record),
                layer: &upload(&layout::pack(&values, layer)),
                weights: &means,
                attributions: &maps,
                guide: is_guided.then_some((&packed_guide).into()),
                rectified,
                shape: image,
                layer_shape: layer,
                slots: 3,
                lanes: LANES,
            });
            let actual = read::<f32>(&maps, (count + 2) * layout::packed_elements(image));
            let size = layer.elements() as usize;
            for index in 0..count {
                let own = |values: &[f64]| values[index * size..(index + 1) * size].to_vec();
                let weights = channel_means(&own(&gradients), layer.pixels() as usize);
                let found =
                    &actual_means[index * layer_groups as usize * 4..][..layer.channels as usize];
                assert_close("weights", found, &weights, 1e-6);
                let one = grad_cam(&own(&values), layer, &weights, image, rectified);
                let guide = &guide[index * image.elements() as usize..];
                let of = |(at, guide): (usize, &f64)| {
                    one[at % one.len()] * if is_guided { *guide } else { 1.0 }
                };
                let expected: Vec<f64> =
                    guide.iter().take(image.elements() as usize).enumerate().map(of).collect();
                let map = &actual[(index + 2) * layout::packed_elements(image)..]
                    [..layout::packed_elements(image)];
                let what = format!("{layer:?} to {image:?}, {rectified} {is_guided}");
                assert_close(&what, &to_nchw(map, image), &expected, 2e-6);
                assert!(layout::padding(map, image).iter().all(|&value| value == 0.0));
            }
        }
    }
}

/// Score-CAM's kernels, one after the other, for three images in chunks that cut them apart. The
/// first channel of a layer is constant: its mask is empty.
#[test]
fn score_cam_masks_and_weighs() {
    for (layer, image, slots) in [
        (Shape::new(5, 3, 4), Shape::new(3, 7, 9), 3),
        (Shape::new(8, 6, 6), Shape::new(1, 5, 5), 20),
        (Shape::new(4, 1, 2), Shape::new(5, 2, 2), 1),
    ] {
        let mut random = Random(u64::from(layer.channels) + 40);
        let (size, elements) = (layer.elements() as usize, image.elements() as usize);
        let mut values = to_f64(&random.vector(3 * size));
        for channels in values.chunks_exact_mut(size) {
            channels[..layer.pixels() as usize].fill(f64::from(0.3f32));
        }
        let pixels = to_f64(&random.vector(3 * elements));
        let baselines = to_f64(&random.vector(2 * elements));
        let all_scores = random.vector((3 * layer.channels) as usize);
        let expected: Vec<Vec<Vec<f64>>> = (0..3)
            .map(|index| {
                let own = &values[index * size..][..size];
                let both = [
                    &pixels[index * elements..][..elements],
                    &baselines[index % 2 * elements..][..elements],
                ];
                channel_masked_images(own, layer, both, image)
            })
            .collect();
        let packed = layout::packed_elements(image);
        let kept = dirty((3 * groups(layer.channels) * 4) as usize);
        for chunk in chunks(layer.channels, slots) {
            let touched = (chunk.sample + chunk.count).div_ceil(chunk.samples);
            let first = chunk.position as usize;
            let images = 3.min(slots);
            let mut own = values[first * size..(first + touched as usize) * size].to_vec();
            own.resize(images as usize * size, 9.0);
            let own = upload(&layout::pack(&own, layer));
            let ranges = dirty((images * groups(layer.channels) * 8) as usize);
            let range =
                uniform(ImagesRange { first: 0, count: touched, batch: touched, accumulate: 0 });
            launch(&ChannelRanges {
                images: ImageRange { binding: (&range).into(), most: images },
                layer: &own,
                ranges: &ranges,
                shape: image,
                layer_shape: layer,
                lanes: LANES,
            });
            let found = read::<[f32; 8]>(&ranges, (touched * groups(layer.channels)) as usize);
            for (nth, found) in found.chunks_exact(groups(layer.channels) as usize).enumerate() {
                let of = &values[(first + nth) * size..][..size];
                for (channel, (lowest, highest)) in
                    channel_ranges(of, layer, image).into_iter().enumerate()
                {
                    let own = found[channel / 4];
                    let own = [own[channel % 4], own[4 + channel % 4]];
                    assert_close("ranges", &own, &[lowest, highest], 1e-6);
                }
            }
            let current = uniform(chunk);
            let (samples, classes) = (dirty(slots as usize * packed), dirty(slots as usize));
            launch(&ChannelMaskedImages {
                current: &current,
                pixels: &upload(&layout::pack(&pixels, image)),
                classes: &upload(&[7u32, 8, 9]),
                baselines: &upload(&layout::pack(&baselines, image)),
                layer: &own,
                ranges: &ranges,
                samples: &samples,
                sample_classes: &classes,
                shape: image,
                layer_shape: layer,
                slots,
                lanes: LANES,
            });
            let found = read::<f32>(&samples, chunk.count as usize * packed);
            let classes = read::<u32>(&classes, chunk.count as usize);
            for (slot, found) in found.chunks_exact(packed).enumerate() {
                let along = (first as u32 * layer.channels + chunk.sample) as usize + slot;
                let (index, channel) =
                    (along / layer.channels as usize, along % layer.channels as usize);
                assert_eq!(classes[slot], 7 + index as u32);
                let what = format!("{layer:?}, image {index}, channel {channel}");
                assert_close(&what, &to_nchw(found, image), &expected[index][channel], 2e-6);
                assert!(layout::padding(found, image).iter().all(|&value| value == 0.0));
            }
            let from = (first as u32 * layer.channels + chunk.sample) as usize;
            let mut scores = all_scores[from..from + chunk.count as usize].to_vec();
            scores.resize(slots as usize, 100.0);
            let weights = dirty((images * groups(layer.channels) * 4) as usize);
            launch(&ScoreCamWeights {
                current: &current,
                scores: &upload(&scores),
                kept: &kept,
                weights: &weights,
                channels: layer.channels,
                images,
                lanes: LANES,
            });
            let stride = (groups(layer.channels) * 4) as usize;
            let found = read::<f32>(&weights, touched as usize * stride);
            for (nth, found) in found.chunks_exact(stride).enumerate() {
                let end = (nth as u32 + 1) * layer.channels;
                if end > chunk.sample + chunk.count {
                    continue;
                }
                let own = &all_scores[(first + nth) * layer.channels as usize..]
                    [..layer.channels as usize];
                let expected = score_cam_weights(&to_f64(own), -0.75);
                assert_close("weights", &found[..layer.channels as usize], &expected, 1e-6);
                assert!(found[layer.channels as usize..].iter().all(|&value| value == 0.0));
            }
        }
    }
}

/// Weights of `count` images by the kernel, [image][channel], and by the reference.
fn plus_plus_weights(
    layer: Shape,
    values: &[f64],
    gradients: &[f64],
    count: u32,
) -> (Vec<f32>, Vec<f64>) {
    let padded = padded(layer.channels) as usize;
    let weights = dirty(count as usize * padded);
    launch(&GradCamPlusPlusWeights {
        images: ImageRange { binding: (&range(count)).into(), most: count },
        layer: &upload(&layout::pack(values, layer)),
        gradients: (&upload(&layout::pack(gradients, layer))).into(),
        weights: &weights,
        shape: layer,
        lanes: LANES,
    });
    let found = read::<f32>(&weights, count as usize * padded);
    let (own, padding): (Vec<_>, Vec<_>) =
        found.iter().enumerate().partition(|(index, _)| index % padded < layer.channels as usize);
    assert!(padding.iter().all(|(_, value)| **value == 0.0));
    let size = layer.elements() as usize;
    let expected = values
        .chunks_exact(size)
        .zip(gradients.chunks_exact(size))
        .flat_map(|(values, gradients)| {
            grad_cam_plus_plus_weights(values, gradients, layer.pixels() as usize)
        })
        .collect();
    (own.into_iter().map(|(_, value)| *value).collect(), expected)
}

#[test]
fn grad_cam_plus_plus_weighs_channels() {
    for shape in [(5, 3, 4), (8, 6, 6), (33, 1, 7), (3, 1, 1), (37, 11, 13)] {
        let layer = Shape::new(shape.0, shape.1, shape.2);
        let mut random = Random(u64::from(layer.channels));
        let elements = 3 * layer.elements() as usize;
        // Values like those of an activation, for which α has no pole.
        let values: Vec<f64> =
            random.vector(elements).iter().map(|&value| f64::from(value.max(0.0))).collect();
        // The squares of the small ones do not fit f32.
        for scale in [1.0, 1e-25] {
            let gradients: Vec<f64> =
                random.vector(elements).iter().map(|&value| f64::from(value * scale)).collect();
            let (found, expected) = plus_plus_weights(layer, &values, &gradients, 3);
            assert_close(&format!("{layer:?}, gradients of {scale}"), &found, &expected, 2e-6);
        }
    }
}

#[test]
fn grad_cam_plus_plus_divides_by_nothing() {
    let layer = Shape::new(5, 1, 2);
    // By channel: no gradient; a denominator of 0 at the first pixel; only negative gradients; no
    // values; ordinary values.
    let values = [3.0, 4.0, -1.5, -0.5, 1.0, 2.0, 0.0, 0.0, 2.0, 1.0];
    let gradients = [0.0, 0.0, 1.0, 0.5, -1.0, -2.0, 1.0, 3.0, 2.0, -1.0];
    let (found, expected) = plus_plus_weights(layer, &values, &gradients, 1);
    assert_eq!(found, [0.0, 0.5, 0.0, 2.0, 0.25]);
    assert_eq!(to_f32(&expected), found);
}

/// ReLU, the three kinds of PACT with α = 0.6 and 3 levels, LSQ+ with steps of 0.6, other
/// functions, and their plans; α or step is parameter 1, the offset 2.
fn activations() -> Vec<(Activation, ActivationPlan)> {
    let mut all = vec![(Activation::Relu, ActivationPlan::RELU)];
    for (bits, kind) in
        [(2, PactKind::Unsigned), (3, PactKind::Signed), (3, PactKind::SignedAfterRelu)]
    {
        let activation = Activation::Pact { kind, alpha: f64::from(0.6f32), levels: Some(3.0) };
        all.push((activation, common::activation_plan((ActivationQuantizer::Pact, kind, bits), 1)));
    }
    for (kind, function) in
        [(PactKind::Unsigned, Function::Relu), (PactKind::Signed, Function::Identity)]
    {
        let own = LsqPlus {
            step: f64::from(0.6f32),
            offset: f64::from(-0.7f32),
            levels: 3.0,
            rounding: true,
        };
        let plan = common::activation_plan((ActivationQuantizer::LsqPlus, kind, 2), 1);
        all.push((Activation::LsqPlus(function, own), plan));
    }
    for function in [
        ActivationFunction::Relu6,
        ActivationFunction::LeakyRelu { slope: 0.125 },
        ActivationFunction::Tanh,
        ActivationFunction::Sigmoid,
        ActivationFunction::Silu,
        ActivationFunction::HardSwish,
    ] {
        let plan = ActivationPlan::of(function);
        all.push((Activation::Float(Function::of(function)), plan));
    }
    all
}

#[test]
fn rules_at_activations() {
    let (elements, values) = (35, 4 * 35);
    for (kind, plan) in activations() {
        let mut random = Random(9);
        // Three images, then their baselines; some values are equal in both.
        let mut x = random.vector(6 * values);
        for at in (0..3 * values).step_by(7) {
            x[3 * values + at] = x[at];
        }
        let y: Vec<f64> = x.iter().map(|&x| activation(kind, f64::from(x))).collect();
        let gradient = random.vector(3 * values);
        let alpha = upload(&[0.0f32, 0.6, -0.7, 0.0]);
        let (inputs, outputs) = (upload(&x), upload(&to_f32(&y)));

        let record = range(3);
        let images = kernels::ImageRange { binding: (&record).into(), most: 3 };
        let (input, output) = ((&inputs).into(), (&outputs).into());

        let target = upload(&gradient);
        launch(&GuidedGradient {
            images,
            state: if plan.is_derived_from_output() { output } else { input },
            gradient: (&target).into(),
            parameters: (&alpha).into(),
            elements,
            activation: plan,
        });
        let actual = read::<f32>(&target, gradient.len());
        let expected: Vec<f64> = gradient
            .iter()
            .zip(&x)
            .map(|(&g, &x)| guided_gradient(kind, f64::from(x), f64::from(g)))
            .collect();
        match kind {
            Activation::Float(_) => assert_close(&format!("{kind:?}"), &actual, &expected, 1e-6),
            _ => assert_eq!(to_f64(&actual), expected, "{kind:?}"),
        }

        let target = upload(&gradient);
        launch(&RescaleMultiplier {
            images,
            input,
            output,
            multiplier: (&target).into(),
            parameters: (&alpha).into(),
            elements,
            activation: plan,
        });
        let actual = read::<f32>(&target, gradient.len());
        let twin = 3 * values;
        let expected: Vec<f64> = (0..twin)
            .map(|at| {
                f64::from(gradient[at])
                    * rescale_multiplier(
                        kind,
                        [f64::from(x[at]), y[at]],
                        [f64::from(x[at + twin]), y[at + twin]],
                    )
            })
            .collect();
        assert_close(&format!("rescale {kind:?}"), &actual, &expected, 2e-5);

        let target = upload(&gradient);
        let multiplier = (&target).into();
        launch(&RelevanceRatio { images, input, output, multiplier, elements });
        let actual = read::<f32>(&target, gradient.len());
        let expected: Vec<f64> = (0..twin)
            .map(|at| f64::from(gradient[at]) * relevance_ratio(f64::from(x[at]), y[at]))
            .collect();
        assert_close(&format!("relevance {kind:?}"), &actual, &expected, 1e-6);
    }
}

#[test]
fn rescale_at_pools() {
    let padded = MaxPooling { window: [3, 2, 1].into(), ceil_mode: true };
    let window = Window { kernel: [2, 4], stride: [2, 3], dilation: [1; 2], padding: [1, 0, 0, 3] };
    let uneven = MaxPooling { window, ceil_mode: false };
    for (shape, own) in [
        (Shape::new(5, 6, 8), MaxPooling::inside(2, 2)),
        (Shape::new(3, 7, 5), MaxPooling::inside(3, 2)),
        (Shape::new(1, 5, 5), MaxPooling::inside(2, 3)),
        (Shape::new(5, 6, 7), padded),
        (Shape::new(2, 5, 4), MaxPooling { window: [5, 1, 2].into(), ceil_mode: false }),
        (Shape::new(5, 6, 7), uneven),
    ] {
        let count = 2;
        let mut random = Random(u64::from(own.window.kernel[0]));
        // Few different values, so that windows tie.
        let mut values = || -> Vec<f64> {
            (0..count * shape.elements()).map(|_| f64::from(random.below(5)) * 0.25 - 0.5).collect()
        };
        let (input, reference) = (values(), values());
        let output = |values: &[f64]| max_pool(count as usize, shape, own, values).0;
        let out_shape = saliq::reference::max_pool::output_shape(shape, own);
        let multiplier = to_f64(&random.vector((count * out_shape.elements()) as usize));
        let both = |a: &[f64], b: &[f64], shape: Shape| {
            upload(&[layout::pack(a, shape), layout::pack(b, shape)].concat())
        };
        let inputs = both(&input, &reference, shape);
        let outputs = both(&output(&input), &output(&reference), out_shape);
        let size = |shape| layout::packed_elements(shape);
        let (choice, pooled, target) = (
            dirty(2 * count as usize * size(out_shape)),
            dirty(4 * size(out_shape)),
            dirty(2 * size(shape)),
        );
        let pool = PoolShape::of_maxima(shape, out_shape, own);
        launch(&MaxPool {
            images: kernels::ImageRange { binding: (&range(4)).into(), most: 4 },
            input: (&inputs).into(),
            output: (&pooled).into(),
            choice: Some((&choice).into()),
            shape: pool,
            storage: Storage::default(),
        });
        launch(&MaxPoolRescale {
            images: kernels::ImageRange { binding: (&range(2)).into(), most: 2 },
            input: (&inputs).into(),
            output: (&outputs).into(),
            choice: (&choice).into(),
            multiplier: (&upload(&layout::pack(&multiplier, out_shape))).into(),
            input_multiplier: (&target).into(),
            shape: pool,
        });
        let actual = layout::unpack(&read::<f32>(&target, 2 * size(shape)), shape);
        let of = |values: &[f64], image: usize, shape: Shape| {
            values[image * shape.elements() as usize..(image + 1) * shape.elements() as usize]
                .to_vec()
        };
        let expected: Vec<f64> = (0..count as usize)
            .flat_map(|image| {
                max_pool_rescale(
                    shape,
                    own,
                    &of(&input, image, shape),
                    &of(&reference, image, shape),
                    &of(&multiplier, image, out_shape),
                )
            })
            .collect();
        assert_close(&format!("{shape:?} by {own:?}"), &actual, &expected, 1e-6);
    }
}

#[test]
fn positive_parts() {
    let values = Random(2).vector(4 * 70);
    let expected = saliq::reference::positive_part::positive_part(&to_f64(&values));
    let buffer = upload(&values);
    launch(&PositivePart { values: &buffer });
    assert_eq!(to_f64(&read::<f32>(&buffer, values.len())), expected);
    // The buffer is longer than the values.
    let buffer = upload(&[&values[..], &[-1.0; 4]].concat());
    let first = Launch::new("positive_part", Specialization::new().constant("COUNT", 70u32));
    common::submit(first.bind("values", &buffer).over([2, 1, 1]));
    let actual = read::<f32>(&buffer, values.len() + 4);
    assert_eq!(to_f64(&actual[..values.len()]), expected);
    assert_eq!(actual[values.len()..], [-1.0; 4]);
}

#[test]
fn positive_weights_are_favored() {
    let values = Random(3).vector(4 * 70);
    let buffer = upload(&values);
    launch(&FavorPositive { values: &buffer, gamma: 0.25 });
    let expected = favor_positive(&to_f64(&values), 0.25);
    assert_close("γ", &read::<f32>(&buffer, values.len()), &expected, 1e-6);
}

/// 70 weights and a bias of two channels behind which there is a batch norm, a bias that was not
/// there, and values that are copied.
#[test]
fn batch_norms_are_folded_into_parameters() {
    let mut parameters = Random(4).vector(100);
    let at = [80u32, 82, 84, 86];
    parameters[86..88].copy_from_slice(&[0.7, 1.3]);
    let norm = |channel: u32, shifts| FoldedNorm {
        scale: at[0] + channel,
        shift: at[1] + channel,
        mean: at[2] + channel,
        variance: at[3] + channel,
        epsilon: 1e-3,
        shifts,
    };
    let norms = [norm(0, 0), norm(1, 0), norm(0, 1), norm(1, 1)];
    let mut sources: Vec<[u32; 2]> = (0..70).map(|index| [index + 1, 1 + index / 35]).collect();
    sources.extend([[71, 3], [0, 4], [0, 0], [91, 0]]);
    let folded = dirty(80);
    launch(&FoldedParameters {
        parameters: &upload(&parameters),
        sources: &upload(&sources),
        norms: &upload(&norms),
        folded: &folded,
        count: 74,
    });
    let value = |index: u32| f64::from(parameters[index as usize]);
    let of = |channel: u32| Norm {
        scale: value(at[0] + channel),
        shift: value(at[1] + channel),
        mean: value(at[2] + channel),
        variance: value(at[3] + channel),
        epsilon: f64::from(1e-3f32),
    };
    let mut expected: Vec<f64> =
        (0..70).map(|index| folded_weight(value(index), of(index / 35))).collect();
    let biases = [folded_bias(value(70), of(0)), folded_bias(0.0, of(1))];
    expected.extend(biases.into_iter().chain([0.0, value(90)]));
    assert_close("folded", &read::<f32>(&folded, 74), &expected, 1e-6);
    assert_eq!(read::<u32>(&folded, 80)[74..], [0x4122_4466; 6]);
}

#[test]
fn logits_are_collected_in_their_places() {
    let classes = 6;
    let mut logits = Random(1).vector(3 * 8);
    logits[8 + 1] = 2.0;
    logits[8 + 4] = 2.0; // a tie goes to the first
    let (collected, predicted) = (dirty(5 * 8), dirty(5));
    let record = StepRecord { position: 2, count: 3, ..StepRecord::default() };
    launch(&CollectLogits {
        current: &uniform(record),
        logits: &upload(&logits),
        collected: &collected,
        predicted: &predicted,
        classes,
        slots: 3,
        lanes: LANES,
    });
    assert_eq!(read::<f32>(&collected, 40)[16..], logits);
    let rows: Vec<f64> = logits.chunks_exact(8).flat_map(|row| to_f64(&row[..6])).collect();
    let expected: Vec<u32> =
        collect_logits(&rows, 6).into_iter().map(|class| class as u32).collect();
    assert_eq!(read::<u32>(&predicted, 5)[2..], expected);
    assert_eq!(expected[1], 1);
    assert_eq!(read::<u32>(&predicted, 2), [0x4122_4466; 2]);
}
