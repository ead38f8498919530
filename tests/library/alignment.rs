//! Teachers: the kernels of distillation and alignment against their references, whole steps
//! against PyTorch's double backward, and what a run with a teacher must keep to.

use saliq::{
    batch::{Batch, GatherOptions, ResidentData},
    config::{
        AlignTarget, LayerBits, LayerConfig, MaxPool, NetworkConfig, PixelNormalization,
        QuantizationConfig, RunConfig, Shape, TeachingConfig, Window,
    },
    data::{Dataset, Split},
    gpu::{Buffer, Recording},
    graph::Graph,
    kernels::{
        AlignMaps, BatchNormScaleGradient, CacheAccess, CachedRows, DistillLoss, ImageRange, LANES,
        MaxPoolTangent, PoolShape, PredictedClasses, RenormalizeImages,
    },
    layout::{StepRecord, padded},
    model::Model,
    nn::{Network, NetworkOptions},
    reference::{
        align_maps::align_maps,
        batch_norm_inference::Factor,
        batch_norm_scale_gradient::batch_norm_scale_gradient,
        cached_rows::{cached_rows, store_rows},
        distill_loss::distill_loss,
        layout::{pack, packed_elements, unpack},
        max_pool::{max_pool, output_shape},
        max_pool_tangent::max_pool_tangent,
        predicted_classes::predicted_classes,
        renormalize_images::renormalize_images,
    },
    sgt::{TeacherModel, Teaching, TeachingSetup},
    train::{Outcome, Start, Trainer},
};

use crate::{
    common::{
        Random, Silent, activation, assert_close, assert_images_close, conv, dirty, gpu, launch,
        random_model, read, uniform, upload, upload_f32,
    },
    support::{Tensors, run_config},
};

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn range(buffer: &Buffer, most: u32) -> ImageRange<'_> {
    ImageRange { binding: buffer.into(), most }
}

#[test]
fn tangents_of_max_pools() {
    for (shape, pool) in [
        (Shape::new(5, 7, 9), MaxPool::inside(2, 2)),
        (Shape::new(3, 6, 5), MaxPool { window: [3, 2, 1].into(), ceil_mode: true }),
        (Shape::new(4, 5, 6), MaxPool::inside(3, 1)),
        (
            Shape::new(3, 6, 7),
            MaxPool {
                window: Window {
                    kernel: [2, 5],
                    stride: [1, 3],
                    dilation: [1; 2],
                    padding: [1, 0, 0, 3],
                },
                ceil_mode: true,
            },
        ),
    ] {
        let (images, skipped) = (3, 2);
        let mut random = Random(u64::from(shape.width));
        let count = images * shape.elements() as usize;
        // Few values: ties.
        let input: Vec<f64> = (0..count).map(|_| f64::from(random.below(4))).collect();
        let direction = wide(&random.vector(count));
        let output = output_shape(shape, pool);
        let (_, chosen) = max_pool(images, shape, pool, &input);
        let expected = max_pool_tangent(&chosen, &direction);
        let Window { kernel, stride, padding: [top, left, ..], .. } = pool.window;
        // Positions in their windows, packed as the kernel of the pool packs them.
        let positions: Vec<f64> = chosen
            .iter()
            .enumerate()
            .map(|(at, &from)| {
                let (row, column) =
                    (from as u32 / shape.width % shape.height, from as u32 % shape.width);
                let (y, x) = (at as u32 / output.width % output.height, at as u32 % output.width);
                let ky = row + top - y * stride[0];
                f64::from(ky * kernel[1] + column + left - x * stride[1])
            })
            .collect();
        // Padding channels choose what is inside the image, too.
        let first = |at: u32, front: u32, step: u32| front.saturating_sub(at * step);
        let mut packed = Vec::new();
        for (index, group) in pack(&positions, output).chunks_exact(4).enumerate() {
            let groups = padded(output.channels) / 4;
            let (group_index, pixel) = (index as u32 % groups, index as u32 / groups);
            let (y, x) = (pixel / output.width % output.height, pixel % output.width);
            let inside = first(y, top, stride[0]) * kernel[1] + first(x, left, stride[1]);
            let byte = |channel: usize| {
                let real = group_index * 4 + (channel as u32) < output.channels;
                if real { group[channel] as u32 } else { inside }
            };
            packed.push(byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24);
        }
        let behind = |values: Vec<f32>, size: usize| [vec![9.0; skipped * size], values].concat();
        let input = upload(&behind(pack(&direction, shape), packed_elements(shape)));
        let size = packed_elements(output);
        let choice = upload(&[vec![0u32; skipped * size / 4], packed].concat());
        let result = dirty((skipped + images) * size);
        let images_range = uniform([skipped as u32, images as u32, 9, 0u32]);
        launch(&MaxPoolTangent {
            images: range(&images_range, images as u32 + 1),
            input: (&input).into(),
            choice: (&choice).into(),
            output: (&result).into(),
            shape: PoolShape::of_maxima(shape, output, pool),
        });
        let actual: Vec<f32> = read(&result, (skipped + images) * size);
        assert_close("tangent", &unpack(&actual[skipped * size..], output), &expected, 0.0);
        let untouched = f32::from_bits(0x4122_4466);
        assert!(actual[..skipped * size].iter().all(|&value| value == untouched));
    }
}

#[test]
fn gradients_of_scales_along_directions() {
    for shape in [Shape::new(5, 7, 9), Shape::new(8, 3, 3), Shape::new(1, 13, 4)] {
        let (images, skipped) = (3, 1);
        let mut random = Random(5);
        let count = images * shape.elements() as usize;
        let (direction, gradient) = (wide(&random.vector(count)), wide(&random.vector(count)));
        let channels = shape.channels as usize;
        let factors: Vec<Factor> = (0..channels)
            .map(|_| Factor { factor: 7.0, inverse_deviation: f64::from(1.5 + random.signed()) })
            .collect();
        let expected = batch_norm_scale_gradient(shape, &direction, &gradient, &factors);
        let mut stored = vec![0f32; padded(shape.channels) as usize * 2];
        for (channel, own) in factors.iter().enumerate() {
            stored[channel / 4 * 8 + channel % 4] = own.factor as f32;
            stored[channel / 4 * 8 + 4 + channel % 4] = own.inverse_deviation as f32;
        }
        let size = packed_elements(shape);
        let behind =
            |values: &[f64]| upload(&[vec![9.0; skipped * size], pack(values, shape)].concat());
        let (input, gradient, factors) =
            (behind(&direction), behind(&gradient), upload_f32(&stored));
        let start: Vec<f32> = (0..channels + 5).map(|at| at as f32).collect();
        let gradients = upload_f32(&start);
        let images_range = uniform([skipped as u32, images as u32, 9, 0u32]);
        launch(&BatchNormScaleGradient {
            images: range(&images_range, images as u32 + 1),
            input: (&input).into(),
            gradient: (&gradient).into(),
            factors: &factors,
            gradients: &gradients,
            shape,
            scale_index: 3,
        });
        let actual: Vec<f32> = read(&gradients, start.len());
        let added: Vec<f32> = actual.iter().zip(&start).map(|(sum, start)| sum - start).collect();
        assert_close("γ", &added[3..3 + channels], &expected, 2e-5);
        assert!(added[..3].iter().chain(&added[3 + channels..]).all(|&value| value == 0.0));
    }
}

#[test]
fn distances_of_maps() {
    for shape in [Shape::new(1, 12, 12), Shape::new(3, 7, 9), Shape::new(5, 2, 1)] {
        let (images, skipped, batch) = (7, 2, 11);
        let mut random = Random(u64::from(shape.channels));
        let size = shape.elements() as usize;
        let mut maps = || wide(&random.vector(images * size));
        let (mut student, mut teacher) = (maps(), maps());
        // Of norm 0, alike but for the scale, opposite, tiny, almost alike.
        student[..size].fill(0.0);
        teacher[size..2 * size].fill(0.0);
        for at in 0..size {
            student[2 * size + at] = 1e-3 * teacher[2 * size + at];
            student[3 * size + at] = -teacher[3 * size + at];
            student[4 * size + at] *= 1e-30;
            student[5 * size + at] = teacher[5 * size + at] + 1e-4 * student[5 * size + at];
        }
        let narrow = |values: &[f64]| pack(values, shape);
        let weight = 3.5f32;
        let packed = packed_elements(shape);
        let behind =
            |values: &[f64]| upload(&[vec![9.0; skipped * packed], narrow(values)].concat());
        let (own, other) = (behind(&student), behind(&teacher));
        let sums = dirty((skipped + images) * 4);
        let images_range = uniform([skipped as u32, images as u32, batch, 0u32]);
        launch(&AlignMaps {
            images: range(&images_range, images as u32 + 1),
            teacher: (&other).into(),
            student: (&own).into(),
            sums: &sums,
            elements: packed as u32 / 4,
            weight,
        });
        let actual: Vec<f32> = read(&own, (skipped + images) * packed);
        let distances: Vec<f32> = read(&sums, (skipped + images) * 4);
        // The reference sees what f32 stores.
        let stored = |values: &[f64]| wide(&unpack(&narrow(values), shape));
        let (student, teacher) = (stored(&student), stored(&teacher));
        for image in 0..images {
            let at = image * size..(image + 1) * size;
            let scale = f64::from(weight) / f64::from(batch);
            let (distance, gradient) = align_maps(&student[at.clone()], &teacher[at], scale);
            let what = format!("{shape} image {image}");
            let found = distances[(skipped + image) * 4 + 1];
            assert!((f64::from(found) - distance).abs() < 1e-6, "{what}: {found} {distance}");
            let first = (skipped + image) * packed;
            let own = unpack(&actual[first..first + packed], shape);
            let norm = own.iter().map(|value| f64::from(value.abs())).sum::<f64>();
            match image {
                0 | 1 => assert!(found == 1.0 && norm == 0.0, "{what}"),
                // Nothing but rounding.
                2 | 3 => {
                    let length =
                        student[image * size..][..size].iter().map(|s| s * s).sum::<f64>().sqrt();
                    assert!(norm * length < 1e-5, "{what}: {norm}");
                }
                5 => assert_close(&what, &own, &gradient, 1e-2),
                _ => assert_close(&what, &own, &gradient, 1e-5),
            }
        }
        assert!(actual[..skipped * packed].iter().all(|&value| value == 9.0));
        let untouched = f32::from_bits(0x4122_4466);
        for (at, value) in distances.iter().enumerate() {
            assert!(at % 4 == 1 && at >= skipped * 4 || *value == untouched, "{at}");
        }
    }
}

#[test]
fn a_map_that_is_not_a_number_is_told() {
    let mut map = vec![0f32; 12 * 4];
    map[5] = f32::NAN;
    let (own, other) = (upload(&map), upload(&[0f32; 12 * 4]));
    let sums = dirty(4);
    let images = uniform([0u32, 1, 1, 0]);
    launch(&AlignMaps {
        images: range(&images, 1),
        teacher: (&other).into(),
        student: (&own).into(),
        sums: &sums,
        elements: 12,
        weight: 1.0,
    });
    assert!(read::<f32>(&sums, 4)[1].is_nan());
    assert!(read::<f32>(&own, 48)[5].is_nan());
}

#[test]
fn divergences_from_a_teacher() {
    for (classes, twins) in [(10, true), (3, false), (17, true)] {
        let (images, unmasked, batch, weight) = (70u32, 9, 80, 0.75f32);
        let stride = padded(classes) as usize;
        let rows = if twins { 2 * images } else { images } as usize;
        let mut random = Random(u64::from(classes));
        let mut draw =
            || -> Vec<f32> { random.vector(rows * stride).iter().map(|z| 6.0 * z).collect() };
        let (student, teacher, start) = (draw(), draw(), draw());
        let (logits, answers, gradient) =
            (upload_f32(&student), upload_f32(&teacher), upload_f32(&start));
        let sums = dirty(images as usize * 4);
        let current =
            uniform(StepRecord { unmasked, count: images, batch, ..StepRecord::default() });
        let images_range = uniform([0, images, batch, 0u32]);
        launch(&DistillLoss {
            images: range(&images_range, images + 3),
            logits: &logits,
            teacher: &answers,
            gradient: &gradient,
            sums: &sums,
            current: &current,
            classes,
            weight,
            twins,
            lanes: LANES,
        });
        let row =
            |values: &[f32], at: u32| wide(&values[at as usize * stride..][..classes as usize]);
        let actual: Vec<f32> = read(&gradient, rows * stride);
        let terms: Vec<f32> = read(&sums, images as usize * 4);
        let mut expected = wide(&start);
        for image in 0..images {
            let is_masked = twins && image + unmasked < images;
            let places = if is_masked { vec![image, image + images] } else { vec![image] };
            let pairs: Vec<_> =
                places.iter().map(|&at| (row(&student, at), row(&teacher, at))).collect();
            let copies: Vec<_> = pairs.iter().map(|(own, other)| (&own[..], &other[..])).collect();
            let (term, gradients) = distill_loss(&copies, batch as usize, f64::from(weight));
            let found = f64::from(terms[image as usize * 4]);
            assert!((found - term).abs() < 1e-5 * term.max(1.0), "{image}: {found} {term}");
            for (&at, own) in places.iter().zip(&gradients) {
                for (class, value) in own.iter().enumerate() {
                    expected[at as usize * stride + class] += value;
                }
            }
        }
        let change = |values: &[f64]| -> Vec<f64> {
            values.iter().zip(&start).map(|(value, start)| value - f64::from(*start)).collect()
        };
        let change_of_actual: Vec<f32> =
            change(&wide(&actual)).iter().map(|&value| value as f32).collect();
        assert_close("gradient", &change_of_actual, &change(&expected), 1e-4);
    }
}

#[test]
fn images_in_another_normalisation() {
    let shape = Shape::new(5, 6, 7);
    let (images, from, to) = (3, (0.25, 0.5), (0.5, 0.125));
    let values = wide(&Random(3).vector(images * shape.elements() as usize));
    let size = packed_elements(shape);
    let input = upload(&[vec![9.0; size], pack(&values, shape)].concat());
    let output = dirty(4 * size);
    let images_range = uniform([1, images as u32, 9, 0u32]);
    launch(&RenormalizeImages {
        images: range(&images_range, 4),
        input: &input,
        output: &output,
        shape,
        scale: 4.0,
        offset: -2.0,
    });
    let actual: Vec<f32> = read(&output, 4 * size);
    let expected = renormalize_images(&values, from, to);
    assert_close("images", &unpack(&actual[size..], shape), &expected, 1e-6);
    assert!(saliq::reference::layout::padding(&actual[size..], shape).iter().all(|x| *x == 0.0));
}

#[test]
fn classes_that_are_predicted() {
    let (images, classes) = (70u32, 7);
    let mut random = Random(3);
    let stride = padded(classes) as usize;
    // Few values: ties; the padding would win.
    let logits: Vec<f32> = (0..images as usize * stride)
        .map(|at| if at % stride < classes as usize { random.below(3) as f32 } else { 99.0 })
        .collect();
    let real: Vec<f64> =
        logits.chunks_exact(stride).flat_map(|row| wide(&row[..classes as usize])).collect();
    let (logits, predicted) = (upload_f32(&logits), dirty(images as usize + 1));
    let images_range = uniform([0, images, images, 0u32]);
    launch(&PredictedClasses {
        images: range(&images_range, images + 1),
        logits: &logits,
        predicted: &predicted,
        classes,
        lanes: LANES,
    });
    let mut expected = predicted_classes(&real, classes as usize);
    expected.push(0x4122_4466);
    assert_eq!(read::<u32>(&predicted, images as usize + 1), expected);
}

#[test]
fn rows_of_a_data_set() {
    let (images, pixels, channels) = (23u32, 6, 5);
    let (length, stride) = ((pixels * channels) as usize, (pixels * padded(channels)) as usize);
    let shape = Shape::new(channels, 2, 3);
    for shuffle in [false, true] {
        let step = StepRecord {
            position: 4,
            count: 9,
            batch: 9,
            epoch: 3,
            epoch_images: images,
            seed_low: 5,
            ..StepRecord::default()
        };
        let current = uniform(step);
        let mut random = Random(8);
        let kept = random.vector(images as usize * length);
        // A row is [pixel, channel]: as an image of one row per channel turned round.
        let padded_rows = |rows: &[f32]| -> Vec<f32> {
            rows.chunks_exact(channels as usize)
                .flat_map(|pixel| [pixel, &[0.0; 3][..]].concat())
                .collect()
        };
        let cache = upload_f32(&kept);
        let rows = upload_f32(&vec![0.0; 10 * stride]);
        let access = |cache: &Buffer, rows: &Buffer, access| {
            launch(&CachedRows {
                current: &current,
                cache: cache.into(),
                rows: rows.into(),
                access,
                pixels,
                channels,
                most: 10,
                shuffle,
            });
        };
        access(&cache, &rows, CacheAccess::Read);
        let mut expected = padded_rows(&cached_rows(&step, shuffle, &kept, length));
        expected.resize(10 * stride, 0.0);
        assert_eq!(read::<f32>(&rows, 10 * stride), expected, "{shape}");
        let fresh = random.vector(9 * length);
        let mut stored = kept.clone();
        store_rows(&step, shuffle, &mut stored, &fresh);
        let rows = upload_f32(&[padded_rows(&fresh), vec![8.0; stride]].concat());
        access(&cache, &rows, CacheAccess::Store);
        assert_eq!(read::<f32>(&cache, kept.len()), stored);
    }
}

/// Images of the golden file and its networks.
const SMALL: Shape = Shape::new(1, 12, 12);

fn small_data(split: Split) -> Dataset {
    Dataset {
        name: "small".into(),
        shape: SMALL,
        classes: 10,
        class_names: Vec::new(),
        test: split.clone(),
        train: split,
        published_normalization: Some(NORMALIZATION),
        source: "test".into(),
        details: saliq::data::Details::default(),
    }
}

fn golden_network(case: &str) -> NetworkConfig {
    let mut layers = match case {
        "chain" => vec![
            conv("conv1", 8, [3, 1, 0]),
            activation("act1"),
            conv("conv2", 12, [3, 1, 0]),
            activation("act2"),
            LayerConfig::max_pool(2, 2),
            LayerConfig::linear("fc1", 16),
            activation("act3"),
            LayerConfig::linear("fc2", 10),
        ],
        _ => vec![
            conv("conv1", 6, [3, 1, 1]),
            activation("act1"),
            conv("conv2", 6, [3, 1, 1]),
            activation("act2"),
            LayerConfig::add("add1", &["act2", "act1"]),
            conv("conv3", 10, [3, 2, 1]),
            activation("act3"),
            LayerConfig::linear("fc1", 10),
        ],
    };
    if case == "norm" {
        layers.insert(6, LayerConfig::batch_norm("bn1"));
    }
    NetworkConfig { input: SMALL, classes: 10, layers }
}

/// The values that the golden file has under `prefix`, flat.
fn golden_values(tensors: &Tensors, prefix: &str, graph: &Graph) -> Vec<f64> {
    let mut values = vec![0.0; graph.layout.padded_length() as usize];
    for parameter in &graph.layout.parameters {
        if !parameter.name.ends_with("num_batches_tracked") {
            let own = tensors.f64(&format!("{prefix}.{}", parameter.name));
            values[parameter.range()].copy_from_slice(&own);
        }
    }
    values
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// Of students and teachers.
const NORMALIZATION: PixelNormalization = PixelNormalization::uniform(0.5, 0.25);

fn teacher_of(network: &NetworkConfig, parameters: Vec<f32>) -> TeacherModel {
    TeacherModel {
        network: network.clone(),
        quantization: QuantizationConfig::default(),
        parameters,
        normalization: NORMALIZATION,
    }
}

/// A step of the program, and its derivative of the maps alone, against PyTorch's double backward.
#[test]
fn a_step_is_that_of_double_backward() {
    let tensors = Tensors::golden("align");
    let made = tensors.made();
    let weight = |key: &str| made[key].as_f64().unwrap();
    let dataset = small_data(tensors.split());
    for (case, bits) in
        [("chain", "32"), ("chain", "4,2"), ("residual", "32"), ("residual", "4,2"), ("norm", "32")]
    {
        let label = if bits == "32" { case.to_string() } else { format!("{case}_42") };
        let network = golden_network(case);
        let folder = tempfile::tempdir().unwrap();
        let mut model = random_model(network.clone(), bits, QuantizationConfig::default(), 0);
        let floats = Graph::new(&network, &QuantizationConfig::default()).unwrap();
        model.parameters =
            narrow(&golden_values(&tensors, &format!("{label}.student"), &model.graph));
        let teacher = narrow(&golden_values(&tensors, &format!("{label}.teacher"), &floats));
        let teacher = teacher_of(&network, teacher);
        let layout = &model.graph.layout;
        let gradient_of = |kind: &str, name: &str| tensors.f64(&format!("{label}.{kind}.{name}"));
        let learned =
            || layout.parameters.iter().filter(|own| own.range().end <= layout.length as usize);

        // The term of the maps alone.
        let config = TeachingConfig {
            teacher: "unused".into(),
            distill: 0.0,
            align: 2.0,
            align_target: AlignTarget::Label,
            cache: false,
        };
        let data = ResidentData::new(gpu(), &dataset.train, SMALL).unwrap();
        let count = data.count;
        let options = NetworkOptions {
            slots: count,
            training: true,
            gradients: true,
            tangents: count,
            ..NetworkOptions::default()
        };
        let student = Network::new(gpu(), &network, &model.config.quantization, options).unwrap();
        gpu().write(student.parameters(), 0, &model.parameters);
        let setup = TeachingSetup {
            config: &config,
            teacher: &teacher,
            normalization: NORMALIZATION,
            most: count,
            twins: false,
            slots: 1,
        };
        let teaching = Teaching::new(gpu(), setup).unwrap();
        let batch = Batch::new(gpu(), count, false, 1).unwrap();
        batch.write_table(gpu(), &StepRecord::in_file_order(count, count, 0));
        let gather = GatherOptions::in_file_order(NORMALIZATION);
        let mut recording = Recording::new();
        student.record_weights(gpu(), &mut recording).unwrap();
        batch.record_begin(gpu(), &mut recording).unwrap();
        batch.record_gather(gpu(), &mut recording, &data, &gather, student.input()).unwrap();
        student.record_forward(gpu(), &mut recording, batch.clean(), None).unwrap();
        let maps = teaching
            .record_answers(gpu(), &mut recording, student.input(), &batch)
            .unwrap()
            .unwrap();
        recording.submit(gpu()).unwrap();
        let size = packed_elements(SMALL) * count as usize;
        let own = unpack(&read::<f32>(maps.buffer(), size), SMALL);
        let expected = tensors.f64(&format!("{label}.teacher_maps"));
        assert_images_close(&format!("{label}: maps"), &own, &expected, count as usize, 1e-5);
        let mut recording = Recording::new();
        teaching.record_alignment(gpu(), &mut recording, &student, &batch, maps).unwrap();
        recording.submit(gpu()).unwrap();
        let gradients: Vec<f32> = read(student.map_gradients().unwrap(), layout.length as usize);
        for parameter in learned() {
            let expected: Vec<f64> = gradient_of("align_gradient", &parameter.name)
                .into_iter()
                .map(|value| 2.0 * value)
                .collect();
            let what = format!("{label}: maps by {}", parameter.name);
            assert_close(&what, &gradients[parameter.range()], &expected, 1e-4);
        }

        // The whole step.
        let init = folder.path().join("start.safetensors");
        Model::save(&init, &model.config, layout, &model.parameters).unwrap();
        let (distill, align) = (weight("distill"), weight("align"));
        let bits = if bits == "32" { String::new() } else { format!("bits = \"{bits}\"\n") };
        let settings = format!(
            "init = {init:?}\nteacher = \"unused\"\ndistill = {distill}\nalign = {align}\n\
             {bits}batch-size = {count}\nsteps = 1\nno-shuffle = true\nlr = 1\nsgt = false\n\
             normalize = \"0.5,0.25\"\n"
        );
        let mut config = run_config(&settings, &dataset, &folder.path().join("run"));
        config.network = network.clone();
        let mut trainer = Trainer::taught(gpu(), &config, &dataset, &teacher).unwrap();
        let outcome = pollster::block_on(trainer.run(Start::New, &mut Silent)).unwrap();
        let line = &outcome.steps[0];
        let expected = |key: &str| tensors.f64(&format!("{label}.{key}"))[0];
        let found = [line.ce, line.distill.unwrap(), line.align.unwrap()];
        for (key, found) in ["ce", "distill", "align"].into_iter().zip(found) {
            let expected = expected(key);
            assert!(
                (found - expected).abs() < 1e-5 * expected,
                "{label}: {key} {found} {expected}"
            );
        }
        let loss = expected("ce") + distill * expected("distill") + align * expected("align");
        assert!((line.loss - loss).abs() < 1e-5 * loss, "{label}: loss {} {loss}", line.loss);
        let parameters = pollster::block_on(trainer.parameters()).unwrap();
        for parameter in learned() {
            let change: Vec<f32> = parameter
                .range()
                .map(|at| (f64::from(model.parameters[at]) - f64::from(parameters[at])) as f32)
                .collect();
            let what = format!("{label}: step of {}", parameter.name);
            let expected = gradient_of("gradient", &parameter.name);
            // A bias in front of a batch norm has none, but for rounding.
            if expected.iter().all(|value| value.abs() < 1e-12) {
                assert!(change.iter().all(|value| value.abs() < 1e-5), "{what}: {change:?}");
                continue;
            }
            assert_close(&what, &change, &expected, 2e-4);
        }
    }
}

/// Images of ten classes: a bright spot at a place of its own, in noise.
fn spots(count: usize) -> Split {
    let mut random = Random(11);
    let mut split = Split::default();
    for image in 0..count {
        let class = (image % 10) as u32;
        split.labels.push(class);
        for row in 0..12 {
            for column in 0..12 {
                let inside = row / 3 == class / 4 + 1 && column / 3 == class % 4;
                split.images.push((if inside { 160 } else { 0 } + random.below(80)) as u8);
            }
        }
    }
    split
}

/// A run of 8 steps of the small chain with (4,2) bits on `spots`, with a random teacher.
fn taught(
    settings: &str,
    folder: &std::path::Path,
    start: Start,
) -> (Outcome, Vec<f32>, RunConfig) {
    taught_in_parts(settings, folder, start, None)
}

fn taught_in_parts(
    settings: &str,
    folder: &std::path::Path,
    start: Start,
    parts: Option<u32>,
) -> (Outcome, Vec<f32>, RunConfig) {
    let dataset = small_data(spots(50));
    let network = golden_network("chain");
    let teacher = random_model(network.clone(), "32", QuantizationConfig::default(), 3);
    let model = folder.join("teacher.safetensors");
    if !model.exists() {
        Model::save(&model, &teacher.config, &teacher.graph.layout, &teacher.parameters).unwrap();
    }
    let settings = format!(
        "teacher = {model:?}\nbits = \"4,2\"\nalpha-init = 1.5\nbatch-size = 12\nlr = 0.05\n\
         normalize = \"0.5,0.25\"\n{settings}"
    );
    let mut config = run_config(&settings, &dataset, &folder.join("run"));
    config.network = network;
    config.quantization.bits = LayerBits::parse_list("4,2").unwrap();
    let trainer = match parts {
        None => Trainer::new(gpu(), &config, &dataset),
        Some(most) => Trainer::in_parts(gpu(), &config, &dataset, most),
    };
    let mut trainer = trainer.unwrap();
    let outcome = pollster::block_on(trainer.run(start, &mut Silent)).unwrap();
    let parameters = pollster::block_on(trainer.parameters()).unwrap();
    (outcome, parameters, config)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_seed_gives_the_same_bits_with_a_teacher_also_when_it_is_resumed_or_kept() {
    let run = |settings: &str| {
        let folder = tempfile::tempdir().unwrap();
        taught(settings, folder.path(), Start::New)
    };
    for (sgt, target) in [(false, "label"), (true, "predicted")] {
        let terms = format!("sgt = {sgt}\nalign = 3\ndistill = 0.5\nalign-target = \"{target}\"\n");
        let (outcome, whole, _) = run(&format!("{terms}steps = 8"));
        let (again, second, _) = run(&format!("{terms}steps = 8"));
        assert_eq!(bits(&whole), bits(&second));
        assert_eq!(outcome.steps, again.steps);
        for line in &outcome.steps {
            let (distill, align) = (line.distill.unwrap(), line.align.unwrap());
            let loss = line.ce + line.kl + 0.5 * distill + 3.0 * align;
            assert!((line.loss - loss).abs() < 1e-9, "{line:?}");
            assert!(distill > 0.0 && (0.0..2.0).contains(&align) && align > 0.0, "{line:?}");
            assert_eq!(line.kl > 0.0, sgt);
        }
        let (kept, cached, _) = run(&format!("{terms}steps = 8\nteacher-cache = true"));
        assert_eq!(bits(&whole), bits(&cached));
        assert_eq!(outcome.steps, kept.steps);
        // Stopped in an epoch, and gone on with.
        let folder = tempfile::tempdir().unwrap();
        taught(&format!("{terms}steps = 3"), folder.path(), Start::New);
        let (resumed, rest, _) = taught(&format!("{terms}steps = 8"), folder.path(), Start::Resume);
        assert_eq!(bits(&whole), bits(&rest));
        assert_eq!(outcome.steps[3..], resumed.steps);
        assert_eq!(outcome.epochs[0].train_align, resumed.epochs[0].train_align);
        assert!(outcome.epochs[0].train_distill.is_some());
        // In parts it is the same but for the order of sums.
        let folder = tempfile::tempdir().unwrap();
        let settings = format!("{terms}steps = 1");
        let (parts, in_parts, _) = taught_in_parts(&settings, folder.path(), Start::New, Some(5));
        let (one, at_once, _) = run(&settings);
        let [first, other] = [&one.steps[0], &parts.steps[0]].map(|line| line.align.unwrap());
        assert!((first - other).abs() < 1e-5, "{first} {other}");
        let at_once = wide(&at_once);
        assert_close("in parts", &in_parts, &at_once, 1e-5);
    }
}

#[test]
fn weights_of_0_are_no_teacher() {
    let run = |settings: &str| {
        let folder = tempfile::tempdir().unwrap();
        let (outcome, parameters, config) = taught(settings, folder.path(), Start::New);
        assert!(config.teaching.is_none());
        assert!(outcome.steps.iter().all(|line| line.align.is_none() && line.distill.is_none()));
        bits(&parameters)
    };
    assert_eq!(run("steps = 2\nalign = 0"), run("steps = 2\ndistill = 0\nalign = 0"));
}

#[test]
fn a_checkpoint_belongs_to_its_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let terms = "sgt = false\nalign = 3\n";
    taught(&format!("{terms}steps = 2"), folder.path(), Start::New);
    let dataset = small_data(spots(50));
    let network = golden_network("chain");
    let other = random_model(network.clone(), "32", QuantizationConfig::default(), 4);
    let model = folder.path().join("other.safetensors");
    Model::save(&model, &other.config, &other.graph.layout, &other.parameters).unwrap();
    let settings = format!(
        "teacher = {model:?}\nbits = \"4,2\"\nalpha-init = 1.5\nbatch-size = 12\nlr = 0.05\n\
         normalize = \"0.5,0.25\"\n{terms}steps = 3"
    );
    let mut config = run_config(&settings, &dataset, &folder.path().join("run"));
    config.network = network;
    let mut trainer = Trainer::new(gpu(), &config, &dataset).unwrap();
    let error = pollster::block_on(trainer.run(Start::Resume, &mut Silent)).err().unwrap();
    assert!(error.to_string().contains("was made with other settings or data"), "{error}");
}

#[test]
fn a_teacher_of_other_images_is_refused() {
    let dataset = small_data(spots(20));
    let folder = tempfile::tempdir().unwrap();
    let network = NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.0; 2]);
    let teacher = random_model(network, "32", QuantizationConfig::default(), 3);
    let model = folder.path().join("teacher.safetensors");
    Model::save(&model, &teacher.config, &teacher.graph.layout, &teacher.parameters).unwrap();
    let mut config = run_config(
        &format!("teacher = {model:?}\ndistill = 1\nsgt = false\nsteps = 1"),
        &dataset,
        &folder.path().join("run"),
    );
    config.network = golden_network("chain");
    let error = Trainer::new(gpu(), &config, &dataset).err().unwrap().to_string();
    assert!(error.contains("the teacher takes images of"), "{error}");
}
