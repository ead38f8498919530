//! The kernels that judge explanations, against their references.

use crate::common::{Random, assert_close, dirty, launch, read, uniform, upload};
use saliq::{
    config::Shape,
    gpu::Buffer,
    kernels::{
        CompareMaps, ImageRange, ImputeLinear, MapClarity, MaskRanked, PerturbImages, RankOrder,
        RankValues, StructuralSimilarity, TopOverlap,
    },
    layout::{ImagesRange, StepRecord},
    reference,
};

/// Invocations of a workgroup, for kernels with more than one image per workgroup.
const LANES: u32 = 8;

/// Two images of a buffer of three; the others must not change.
const FIRST: usize = 1;
const IMAGES: usize = 2;
/// Number of images in a test's buffers.
const SLOTS: usize = FIRST + IMAGES;

fn range() -> Buffer {
    uniform(ImagesRange {
        first: FIRST as u32,
        count: IMAGES as u32,
        batch: IMAGES as u32,
        accumulate: 0,
    })
}

/// The image range of [`range`].
fn over(range: &Buffer) -> ImageRange<'_> {
    ImageRange { binding: range.into(), most: IMAGES as u32 }
}

/// The two images of `values` that a kernel works on.
fn own<T: Copy>(values: &[T], size: usize) -> Vec<T> {
    values[FIRST * size..].to_vec()
}

fn step() -> StepRecord {
    StepRecord {
        step: 17,
        position: 3,
        seed_low: 0x1234_5678,
        seed_high: 0x9ABC_DEF0,
        ..StepRecord::default()
    }
}

fn seed() -> u64 {
    0x9ABC_DEF0_1234_5678
}

/// Maps with many ties, zeros of both signs, and one constant image.
fn maps(random: &mut Random, size: usize) -> Vec<f32> {
    let mut maps: Vec<f32> = (0..SLOTS * size)
        .map(|_| match random.below(4) {
            0 => 0.0,
            1 => -0.0,
            2 => random.below(5) as f32 - 2.0,
            _ => random.signed(),
        })
        .collect();
    if size > 30 {
        maps[SLOTS * size - size..].iter_mut().for_each(|value| *value = 0.25);
    }
    maps
}

fn ranked(
    values: &[f32],
    features: usize,
    planes: usize,
    magnitude: bool,
    descending: bool,
) -> (Vec<u32>, Vec<f32>) {
    let size = SLOTS * features;
    let (positions, ranks) = (dirty(size), dirty(size));
    launch(&RankValues {
        images: over(&range()),
        values: &upload(values),
        workspace: &dirty(3 * size),
        positions: &positions,
        ranks: &ranks,
        features: features as u32,
        order: RankOrder { planes: planes as u32, magnitude, descending },
    });
    (own(&read(&positions, size), features), own(&read(&ranks, size), features))
}

#[test]
fn rank_values_is_a_stable_sort_with_average_ranks() {
    let mut random = Random(1);
    for (features, planes) in [(1, 1), (7, 3), (64, 1), (129, 1), (784, 1), (143, 3)] {
        for (magnitude, descending) in [(false, false), (true, true), (true, false), (false, true)]
        {
            let values = maps(&mut random, planes * features);
            let (positions, ranks) = ranked(&values, features, planes, magnitude, descending);
            let expected = reference::rank_values::rank_values(
                &own(&values, planes * features),
                features,
                planes,
                magnitude,
                descending,
            );
            assert_eq!(positions, expected.0, "{features} {planes} {magnitude} {descending}");
            assert_eq!(ranks.iter().map(|&rank| f64::from(rank)).collect::<Vec<_>>(), expected.1);
        }
    }
    let (positions, _) = ranked(
        &[0.0, 0.0, 0.0, f32::NAN, 1.0, f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.0],
        3,
        1,
        false,
        false,
    );
    assert_eq!(positions, [2, 0, 1, 0, 2, 1]);
}

#[test]
fn compare_maps_agrees_in_every_number() {
    let mut random = Random(2);
    for size in [1, 5, 64, 429, 784] {
        let a = maps(&mut random, size);
        let mut b = maps(&mut random, size);
        // The last image: a constant map next to a constant one, and once next to another one.
        if size == 784 {
            b[2 * size] = 7.0;
        }
        let output = dirty(SLOTS * 4);
        launch(&CompareMaps {
            images: over(&range()),
            a: &upload(&a),
            b: &upload(&b),
            similarity: &output,
            values: size as u32,
        });
        let actual = own(&read::<f32>(&output, SLOTS * 4), 4);
        let (a, b) = (own(&a, size), own(&b, size));
        let norm =
            |map: &[f32]| map.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        let norms = a.chunks(size).zip(b.chunks(size)).map(|(a, b)| norm(a) * norm(b));
        let expected = reference::compare_maps::compare_maps(&a, &b, size);
        for (image, ((actual, expected), norms)) in
            actual.chunks(4).zip(expected).zip(norms).enumerate()
        {
            // Correlation and cosine are at most 1; the rounding errors of a product are
            // proportional to the norms.
            let fields = ["correlation", "cosine", "relative distance", "product"]
                .into_iter()
                .zip([1.0, 1.0, expected[2], norms]);
            for ((field, scale), (&actual, expected)) in fields.zip(actual.iter().zip(expected)) {
                let error = (f64::from(actual) - expected).abs();
                assert!(
                    error <= 2e-6 * scale,
                    "{field} of image {image} of {size}: {actual}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn maps_alike_are_exactly_alike_and_undefined_is_settled() {
    let size = 12;
    let mut random = Random(3);
    let a = random.vector(SLOTS * size);
    let output = dirty(SLOTS * 4);
    let compare = |b: &[f32]| {
        launch(&CompareMaps {
            images: over(&range()),
            a: &upload(&a),
            b: &upload(b),
            similarity: &output,
            values: size as u32,
        });
        own(&read::<f32>(&output, SLOTS * 4), 4)
    };
    let same = compare(&a);
    assert_eq!(same[..3], [1.0, 1.0, 0.0]);
    let own = own(&a, size);
    let expected = reference::compare_maps::compare_maps(&own, &own, size);
    assert_eq!(expected[0][..3], [1.0, 1.0, 0.0]);
    assert_eq!(
        reference::structural_similarity::structural_similarity(&own, &own, [1, 3, 4], 3),
        vec![1.0; IMAGES]
    );
    let zero = compare(&vec![0.0; SLOTS * size]);
    assert_eq!([zero[0], zero[1], zero[3]], [0.0; 3]);
    assert!((zero[2] - 1.0).abs() < 1e-6);
}

#[test]
fn map_clarity_agrees() {
    let mut random = Random(4);
    for size in [2, 77, 784] {
        let mut values = maps(&mut random, size);
        // A map of zeros, and one with a single value.
        values[size..2 * size].iter_mut().for_each(|value| *value = 0.0);
        values[size + size / 2] = if size == 77 { -3.0 } else { 0.0 };
        let (_, ranks) = ranked(&values, size, 1, true, false);
        let ranks = [vec![0.0; FIRST * size], ranks].concat();
        let output = dirty(SLOTS * 4);
        launch(&MapClarity {
            images: over(&range()),
            values: &upload(&values),
            ranks: &upload(&ranks),
            clarity: &output,
            count: size as u32,
        });
        let actual = own(&read::<f32>(&output, SLOTS * 4), 4);
        for (actual, expected) in
            actual.chunks(4).zip(reference::map_clarity::map_clarity(&own(&values, size), size))
        {
            for (actual, expected) in actual.iter().zip(expected) {
                assert!(
                    (f64::from(*actual) - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                    "{size}: {actual} {expected}"
                );
            }
        }
    }
}

#[test]
fn top_overlap_counts() {
    let mut random = Random(5);
    for (features, k) in [(5, 1), (64, 64), (784, 78)] {
        let rankings: Vec<(Vec<u32>, Vec<f32>)> = (0..2)
            .map(|_| {
                let values = random.vector(SLOTS * features);
                ranked(&values, features, 1, true, true)
            })
            .collect();
        let padded = |positions: &[u32]| [vec![0; FIRST * features], positions.to_vec()].concat();
        let output = dirty(SLOTS);
        launch(&TopOverlap {
            images: over(&range()),
            a: &upload(&padded(&rankings[0].0)),
            b: &upload(&padded(&rankings[1].0)),
            overlap: &output,
            features: features as u32,
            k,
        });
        let expected =
            reference::top_overlap::top_overlap(&rankings[0].0, &rankings[1].0, features, k);
        assert_close("overlap", &own(&read::<f32>(&output, SLOTS), 1), &expected, 1e-6);
    }
}

#[test]
fn structural_similarity_agrees() {
    let mut random = Random(6);
    for (shape, window) in [([1, 28, 28], 11), ([3, 11, 13], 11), ([2, 6, 9], 5), ([1, 1, 4], 1)] {
        let size: usize = shape.iter().product();
        let a = maps(&mut random, size);
        let mut b: Vec<f32> = a.iter().map(|value| 3.0 * (value + 0.4 * random.signed())).collect();
        b[size..2 * size].iter_mut().for_each(|value| *value = 0.0);
        let output = dirty(SLOTS);
        launch(&StructuralSimilarity {
            images: over(&range()),
            a: &upload(&a),
            b: &upload(&b),
            similarity: &output,
            shape: shape.map(|size| size as u32).into(),
            window,
        });
        let expected = reference::structural_similarity::structural_similarity(
            &own(&a, size),
            &own(&b, size),
            shape,
            window as usize,
        );
        assert_close(&format!("{shape:?}"), &own(&read::<f32>(&output, SLOTS), 1), &expected, 2e-5);
    }
}

#[test]
fn mask_ranked_removes_or_keeps_the_leading_features() {
    let features = 70;
    let positions: Vec<u32> = (0..SLOTS * features).map(|at| (at * 31 % features) as u32).collect();
    for (removed, inverted) in [(0, false), (0, true), (23, false), (23, true), (70, false)] {
        let mask = dirty(SLOTS * features);
        let round = uniform([removed, u32::from(inverted), 0, 0]);
        launch(&MaskRanked {
            images: over(&range()),
            current: (&round).into(),
            positions: &upload(&positions),
            mask: &mask,
            features: features as u32,
            lanes: LANES,
        });
        let expected =
            reference::mask_ranked::mask_ranked(&own(&positions, features), removed, inverted);
        assert_eq!(own(&read::<u32>(&mask, SLOTS * features), features), expected);
    }
}

/// Random images [image, pixel, padded channel] with zero padding, clean ones and room for their
/// copies.
fn pictures(random: &mut Random, pixels: usize, channels: usize) -> Vec<f32> {
    let stride = channels.next_multiple_of(4);
    (0..(FIRST + 2 * IMAGES) * pixels * stride)
        .map(|element| if element % stride < channels { random.signed() } else { 0.0 })
        .collect()
}

#[test]
fn perturb_images_is_the_reference_noise() {
    let mut random = Random(7);
    for (pixels, channels) in [(35usize, 1usize), (12, 3), (9, 5)] {
        for (normal, added) in [(false, true), (true, false)] {
            let sign = if added { 1.0 } else { -1.0 };
            let stride = channels.next_multiple_of(4);
            let size = pixels * stride;
            let images = pictures(&mut random, pixels, channels);
            let (noisy, noise) = (dirty(SLOTS * size), dirty(SLOTS * pixels * channels));
            launch(&PerturbImages {
                images: over(&range()),
                current: &uniform(step()),
                current_round: (&uniform([0u32, 0, 6, 0])).into(),
                pixels: &upload(&images),
                noisy: &noisy,
                noise: &noise,
                shape: Shape::new(channels as u32, 1, pixels as u32),
                scale: 0.3,
                normal,
                added,
                lanes: LANES,
            });
            let noise = own(&read::<f32>(&noise, SLOTS * pixels * channels), pixels * channels);
            let copies = own(&read::<f32>(&noisy, SLOTS * size), size);
            let mut expected_noise = Vec::new();
            let mut expected_copies = Vec::new();
            for image in 0..IMAGES {
                let own = reference::perturb_images::noise(
                    seed(),
                    6,
                    3 + image as u32,
                    [pixels, channels],
                    0.3,
                    normal,
                );
                for pixel in 0..pixels {
                    expected_copies.extend((0..stride).map(|channel| {
                        let clean =
                            f64::from(images[(FIRST + image) * size + pixel * stride + channel]);
                        if channel < channels {
                            clean + sign * own[channel * pixels + pixel]
                        } else {
                            0.0
                        }
                    }));
                }
                expected_noise.extend(own);
            }
            assert_close("noise", &noise, &expected_noise, 1e-6);
            assert_close("copies", &copies, &expected_copies, 1e-6);
        }
    }
}

#[test]
fn impute_linear_solves_the_system() {
    let mut random = Random(8);
    for ([height, width, channels], share) in
        [([9usize, 11usize, 1usize], 50), ([7, 5, 3], 90), ([14, 12, 5], 20), ([3, 4, 1], 101)]
    {
        let count = height * width;
        let stride = channels.next_multiple_of(4);
        let size = count * stride;
        let mut images = pictures(&mut random, count, channels);
        let mask: Vec<u32> =
            (0..SLOTS * count).map(|_| u32::from(random.below(100) < share)).collect();
        // The copies after the mean fill.
        let means =
            reference::image_statistics::image_statistics(&images[..SLOTS * size], count, channels);
        for image in FIRST..SLOTS {
            for element in 0..size {
                let masked =
                    mask[image * count + element / stride] != 0 && element % stride < channels;
                let value =
                    if masked { means[image][2] as f32 } else { images[image * size + element] };
                images[(image + IMAGES) * size + element] = value;
            }
        }
        for noise in [0.0, 0.01] {
            let pixels = upload(&images);
            launch(&ImputeLinear {
                images: over(&range()),
                current: &uniform(step()),
                mask: &upload(&mask),
                pixels: &pixels,
                workspace: &dirty(3 * SLOTS * size),
                shape: [channels, height, width].map(|size| size as u32).into(),
                noise: noise as f32,
                iterations: 200,
            });
            let actual = read::<f32>(&pixels, images.len());
            let clean = &images[FIRST * size..SLOTS * size];
            let shape = [height, width, channels];
            let expected = reference::impute_linear::impute_linear(
                &step(),
                clean,
                &own(&mask, count),
                shape,
                noise,
            );
            assert_close(&format!("{shape:?} {noise}"), &actual[SLOTS * size..], &expected, 1e-5);
            assert_eq!(actual[..SLOTS * size], images[..SLOTS * size], "the clean images stay");
        }
    }
}
