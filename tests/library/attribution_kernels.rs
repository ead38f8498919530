//! The kernels of the attribution methods against their references.

use saliq::{
    config::{PactKind, Shape},
    gpu::{Buffer, Specialization},
    layout::{ImagesRange, StepRecord, groups, padded},
    reference::{
        accumulate_gradients::accumulate_gradients,
        accumulate_scores::accumulate_scores,
        activation::{Activation, activation},
        channel_means::channel_means,
        class_score::class_score,
        collect_logits::collect_logits,
        grad_cam::grad_cam,
        guided_gradient::guided_gradient,
        layout,
        max_pool::max_pool,
        max_pool_rescale::max_pool_rescale,
        relevance_ratio::relevance_ratio,
        rescale_multiplier::rescale_multiplier,
        sample_images::sample_images,
        samples::Samples,
    },
    saliency::{GradientSum, Sampling, Score},
};

use crate::common::{Random, assert_close, dirty, read, run, uniform, upload};

const LANES: u32 = 8;
const SEED: u64 = 0x0000_0003_0000_0005;
const NUMBERS: [u32; 3] = [4, 0, 70_000];

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
        noise: 0.25,
        window: (3, 2),
        grid: (3, 0.5),
    }
}

fn table(samples: &Samples) -> Buffer {
    upload(&samples.table.iter().map(|row| row.map(|value| value as f32)).collect::<Vec<_>>())
}

/// The chunks of `slots` samples that three images of `per_image` samples are worked through in.
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

fn shape_of(samples: &Samples, kind: u32) -> Specialization {
    let shape = samples.shape;
    Specialization::new()
        .tile("LANES", LANES)
        .constant("HEIGHT", shape.height)
        .constant("WIDTH", shape.width)
        .constant("CHANNELS", shape.channels)
        .constant("KIND", kind)
        .constant("WINDOW", samples.window.0)
        .constant("STRIDE", samples.window.1)
        .constant("GRID", samples.grid.0)
        .constant("SHARE", samples.grid.1)
}

const SHAPES: [Shape; 3] = [Shape::new(1, 7, 5), Shape::new(3, 4, 6), Shape::new(5, 3, 3)];

#[test]
fn samples_are_the_references() {
    for shape in SHAPES {
        for sampling in [
            Sampling::Clean,
            Sampling::Noisy,
            Sampling::OnPath,
            Sampling::OnRandomPath,
            Sampling::Covered,
            Sampling::Masked,
        ] {
            let kind = sampling as u32;
            let mut samples = samples(shape, kind, sampling == Sampling::OnPath, 4);
            let per_image =
                if sampling == Sampling::Covered { samples.windows().len() as u32 + 1 } else { 4 };
            samples.table.resize(per_image.max(3) as usize, [0.0; 4]);
            let elements = samples.elements();
            let (pixels, baselines) =
                (upload(&to_f32(&samples.pixels)), upload(&to_f32(&samples.baselines)));
            let (classes, numbers, table) =
                (upload(&[7u32, 8, 9]), upload(&NUMBERS), table(&samples));
            for chunk in chunks(per_image, 5) {
                let (output, output_classes) = (dirty(2 * 5 * elements), dirty(10));
                let has_twins = sampling == Sampling::Clean;
                let specialization = shape_of(&samples, kind)
                    .constant("NOISE", samples.noise)
                    .constant("TWINS", u32::from(has_twins));
                let bindings = [
                    &uniform(chunk),
                    &pixels,
                    &classes,
                    &numbers,
                    &baselines,
                    &table,
                    &output,
                    &output_classes,
                ];
                run(
                    "sample_images",
                    specialization,
                    &bindings,
                    [(elements as u32 / 4).div_ceil(LANES), 5, 1],
                );
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
    for (sum, shape) in sums.into_iter().zip(SHAPES.iter().cycle()) {
        let kind = sum as u32;
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
                let (current, numbers, table) = (uniform(chunk), upload(&NUMBERS), table(&samples));
                let mut bindings = vec![
                    &current,
                    &inputs[0],
                    &inputs[1],
                    &numbers,
                    &inputs[2],
                    &table,
                    &attributions,
                ];
                bindings.extend((sum == Variance).then_some(&means));
                let specialization = Specialization::new()
                    .tile("LANES", LANES)
                    .feature("variance", sum == Variance)
                    .constant("ELEMENTS", elements as u32 / 4)
                    .constant("KIND", kind)
                    .constant("NOISE", samples.noise);
                run(
                    "accumulate_gradients",
                    specialization,
                    &bindings,
                    [(elements as u32 / 4).div_ceil(LANES), slots.min(4), 1],
                );
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
    let cases = [Sampling::Covered, Sampling::Masked]
        .into_iter()
        .flat_map(|sampling| SHAPES.map(|shape| (sampling, shape)));
    for (sampling, shape) in cases {
        let kind = sampling as u32;
        let mut samples = samples(shape, kind, false, 1);
        let per_image =
            if sampling == Sampling::Covered { samples.windows().len() as u32 + 1 } else { 6 };
        samples.grid.1 = 0.25;
        let classes = 5;
        let logits = Random(3).vector((3 * per_image * padded(classes)) as usize);
        for kind_of_score in [Score::Logit, Score::LogProbability, Score::Probability] {
            let score = kind_of_score as u32;
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
                    let specialization = Specialization::new()
                        .tile("LANES", LANES)
                        .constant("CLASSES", classes)
                        .constant("CLASS_STRIDE", padded(classes))
                        .constant("KIND", score)
                        .constant("OCCLUSION", u32::from(sampling == Sampling::Covered));
                    let current = uniform(chunk);
                    run(
                        "class_score",
                        specialization,
                        &[&current, &part, &upload(&of_slots), &scores, &clean],
                        [slots.div_ceil(LANES), 1, 1],
                    );
                    let bindings = [&current, &scores, &clean, &attributions];
                    run(
                        "accumulate_scores",
                        shape_of(&samples, kind),
                        &bindings,
                        [shape.pixels().div_ceil(LANES), slots.min(4), 1],
                    );
                }
                results.push(read::<f32>(&attributions, 3 * samples.elements()));
            }
            assert_eq!(results[0], results[1], "{sampling:?}");
            for (image, actual) in results[0].chunks_exact(samples.elements()).enumerate() {
                let rows = logits
                    .chunks_exact(padded(classes) as usize)
                    .skip(image * per_image as usize)
                    .take(per_image as usize);
                let scores: Vec<f64> = rows
                    .map(|row| class_score(score, &to_f64(&row[..classes as usize]), image + 1))
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
                        &format!("{sampling:?} {shape:?}, {kind_of_score:?}"),
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
        let specialization = Specialization::new()
            .tile("LANES", LANES)
            .constant("PIXELS", layer.pixels())
            .constant("GROUPS", layer_groups);
        let bindings = [&range(3), &upload(&layout::pack(&gradients, layer)), &means];
        run("channel_means", specialization, &bindings, [layer_groups.div_ceil(LANES), 3, 1]);
        let actual_means = read::<f32>(&means, count * layer_groups as usize * 4);
        let maps = dirty((count + 2) * layout::packed_elements(image));
        let specialization = Specialization::new()
            .tile("LANES", LANES)
            .constant("HEIGHT", image.height)
            .constant("WIDTH", image.width)
            .constant("CHANNELS", image.channels)
            .constant("LAYER_HEIGHT", layer.height)
            .constant("LAYER_WIDTH", layer.width)
            .constant("LAYER_GROUPS", layer_groups);
        let current = uniform(StepRecord { position: 2, count: 3, ..StepRecord::default() });
        let bindings = [&current, &upload(&layout::pack(&values, layer)), &means, &maps];
        run("grad_cam", specialization, &bindings, [image.pixels().div_ceil(LANES), 3, 1]);
        let actual = read::<f32>(&maps, (count + 2) * layout::packed_elements(image));
        let size = layer.elements() as usize;
        for index in 0..count {
            let own = |values: &[f64]| values[index * size..(index + 1) * size].to_vec();
            let weights = channel_means(&own(&gradients), layer.pixels() as usize);
            let found =
                &actual_means[index * layer_groups as usize * 4..][..layer.channels as usize];
            assert_close("weights", found, &weights, 1e-6);
            let expected = grad_cam(&own(&values), layer, &weights, image);
            let map = &actual[(index + 2) * layout::packed_elements(image)..]
                [..layout::packed_elements(image)];
            let first: Vec<f32> =
                map.iter().step_by(padded(image.channels) as usize).copied().collect();
            assert_close(&format!("{layer:?} to {image:?}"), &first, &expected, 2e-6);
            assert!(layout::padding(map, image).iter().all(|&value| value == 0.0));
        }
    }
}

/// ReLU and the three kinds of PACT with α = 0.6 and 3 levels, and their constants.
fn activations() -> Vec<(Activation, Specialization)> {
    let constants = |kind: u32| Specialization::new().constant("ACTIVATION", kind);
    let mut all = vec![(Activation::Relu, constants(1).feature("pact", false))];
    for (number, kind) in
        [(2, PactKind::Unsigned), (3, PactKind::Signed), (4, PactKind::SignedAfterRelu)]
    {
        let activation = Activation::Pact { kind, alpha: f64::from(0.6f32), levels: Some(3.0) };
        all.push((
            activation,
            constants(number)
                .feature("pact", true)
                .constant("ALPHA_INDEX", 1u32)
                .constant("LEVELS", 3u32),
        ));
    }
    all
}

#[test]
fn rules_at_activations() {
    let elements = 35;
    for (kind, constants) in activations() {
        let mut random = Random(9);
        // Three images, then their baselines; some values are equal in both.
        let mut x = random.vector(6 * 4 * elements);
        for at in (0..3 * 4 * elements).step_by(7) {
            x[3 * 4 * elements + at] = x[at];
        }
        let y: Vec<f64> = x.iter().map(|&x| activation(kind, f64::from(x))).collect();
        let gradient = random.vector(3 * 4 * elements);
        let alpha = upload(&[0.0f32, 0.6, 0.0, 0.0]);
        let specialization = constants.constant("ELEMENTS", elements as u32);
        let is_pact = kind != Activation::Relu;
        let workgroups = [(3 * elements as u32).div_ceil(64), 1, 1];
        let (inputs, outputs) = (upload(&x), upload(&to_f32(&y)));

        let target = upload(&gradient);
        let current = range(3);
        let mut bindings = vec![&current, if is_pact { &inputs } else { &outputs }, &target];
        bindings.extend(is_pact.then_some(&alpha));
        run("guided_gradient", specialization.clone(), &bindings, workgroups);
        let actual = read::<f32>(&target, gradient.len());
        let expected: Vec<f64> = gradient
            .iter()
            .zip(&x)
            .map(|(&g, &x)| guided_gradient(kind, f64::from(x), f64::from(g)))
            .collect();
        assert_eq!(to_f64(&actual), expected, "{kind:?}");

        let target = upload(&gradient);
        let mut bindings = vec![&current, &inputs, &outputs, &target];
        bindings.extend(is_pact.then_some(&alpha));
        run("rescale_multiplier", specialization, &bindings, workgroups);
        let actual = read::<f32>(&target, gradient.len());
        let twin = 3 * 4 * elements;
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
        let specialization = Specialization::new().constant("ELEMENTS", elements as u32);
        run("relevance_ratio", specialization, &[&current, &inputs, &outputs, &target], workgroups);
        let actual = read::<f32>(&target, gradient.len());
        let expected: Vec<f64> = (0..twin)
            .map(|at| f64::from(gradient[at]) * relevance_ratio(f64::from(x[at]), y[at]))
            .collect();
        assert_close(&format!("relevance {kind:?}"), &actual, &expected, 1e-6);
    }
}

#[test]
fn rescale_at_pools() {
    for (shape, kernel, stride) in
        [(Shape::new(5, 6, 8), 2, 2), (Shape::new(3, 7, 5), 3, 2), (Shape::new(1, 5, 5), 2, 3)]
    {
        let count = 2;
        let mut random = Random(u64::from(kernel));
        // Few different values, so that windows tie.
        let mut values = || -> Vec<f64> {
            (0..count * shape.elements()).map(|_| f64::from(random.below(5)) * 0.25 - 0.5).collect()
        };
        let (input, reference) = (values(), values());
        let output = |values: &[f64]| max_pool(count as usize, shape, kernel, stride, values).0;
        let out_shape = saliq::reference::max_pool::output_shape(shape, kernel, stride);
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
        let specialization = Specialization::new()
            .constant("IN_HEIGHT", shape.height)
            .constant("IN_WIDTH", shape.width)
            .constant("GROUPS", groups(shape.channels))
            .constant("OUT_HEIGHT", out_shape.height)
            .constant("OUT_WIDTH", out_shape.width)
            .constant("KERNEL", kernel)
            .constant("STRIDE", stride);
        run(
            "max_pool",
            specialization.clone(),
            &[&range(4), &inputs, &pooled, &choice],
            [size(out_shape).div_ceil(64) as u32, 1, 1],
        );
        let bindings = [
            &range(2),
            &inputs,
            &outputs,
            &choice,
            &upload(&layout::pack(&multiplier, out_shape)),
            &target,
        ];
        let specialization = specialization.tile("WINDOWS", kernel.div_ceil(stride));
        run(
            "max_pool_rescale",
            specialization,
            &bindings,
            [(2 * size(shape) / 4).div_ceil(64) as u32, 1, 1],
        );
        let actual = layout::unpack(&read::<f32>(&target, 2 * size(shape)), shape);
        let of = |values: &[f64], image: usize, shape: Shape| {
            values[image * shape.elements() as usize..(image + 1) * shape.elements() as usize]
                .to_vec()
        };
        let expected: Vec<f64> = (0..count as usize)
            .flat_map(|image| {
                max_pool_rescale(
                    shape,
                    [kernel, stride],
                    &of(&input, image, shape),
                    &of(&reference, image, shape),
                    &of(&multiplier, image, out_shape),
                )
            })
            .collect();
        assert_close(&format!("{shape:?} by {kernel}, {stride}"), &actual, &expected, 1e-6);
    }
}

#[test]
fn positive_parts() {
    let values = Random(2).vector(4 * 70);
    let buffer = upload(&[&values[..], &[-1.0; 4]].concat());
    run("positive_part", Specialization::new().constant("COUNT", 70u32), &[&buffer], [2, 1, 1]);
    let actual = read::<f32>(&buffer, values.len() + 4);
    assert_eq!(
        to_f64(&actual[..values.len()]),
        saliq::reference::positive_part::positive_part(&to_f64(&values))
    );
    assert_eq!(actual[values.len()..], [-1.0; 4]);
}

#[test]
fn logits_are_collected_in_their_places() {
    let classes = 6;
    let mut logits = Random(1).vector(3 * 8);
    logits[8 + 1] = 2.0;
    logits[8 + 4] = 2.0; // a tie goes to the first
    let (collected, predicted) = (dirty(5 * 8), dirty(5));
    let specialization = Specialization::new()
        .tile("LANES", LANES)
        .constant("CLASSES", classes)
        .constant("CLASS_STRIDE", 8u32);
    let current = uniform(StepRecord { position: 2, count: 3, ..StepRecord::default() });
    run(
        "collect_logits",
        specialization,
        &[&current, &upload(&logits), &collected, &predicted],
        [1, 1, 1],
    );
    assert_eq!(read::<f32>(&collected, 40)[16..], logits);
    let rows: Vec<f64> = logits.chunks_exact(8).flat_map(|row| to_f64(&row[..6])).collect();
    let expected: Vec<u32> =
        collect_logits(&rows, 6).into_iter().map(|class| class as u32).collect();
    assert_eq!(read::<u32>(&predicted, 5)[2..], expected);
    assert_eq!(expected[1], 1);
    assert_eq!(read::<u32>(&predicted, 2), [0x4122_4466; 2]);
}
