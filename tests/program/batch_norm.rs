//! Batch norm: its kernels against the f64 references on random odd shapes, networks in every mode,
//! ten steps of PyTorch's (`goldens/README.md`), and what a user sees: files, resuming, folding,
//! refusals.

use std::path::Path;

use crate::common::{
    Random, Silent, activation_plan, assert_close, gpu, launch, read, uniform, upload_f32 as upload,
};
use crate::support::{
    self, SMALL_NETWORK, Tensors, json, mnist_like, refused, run_config, succeed, text,
};
use safetensors::Dtype;
use saliq::{
    config::{
        ActivationQuantizer, AveragePool, BatchNorm as NormConfig, ChannelGroups, Convolution,
        LayerBits, LayerConfig, LayerKind, NetworkConfig, PactKind, Padding, QuantizationConfig,
        QuantizationOverrides, Shape, WeightQuantizer,
    },
    data::{self, Dataset},
    gpu::{Buffer, Recording},
    graph::{Graph, ParameterRole},
    kernels::{
        BatchGradient, BatchNorm, BatchNormGradientSums, BatchNormInference,
        BatchNormInputGradient, BatchNormMoments, BatchNormParameterGradient, BatchNormUpdate,
        BatchStatistics, FoldBatchNorm, FoldBatchNormGradient, ImageRange, NormIndices,
        WeightShape,
    },
    layout::{StepRecord, padded},
    model::{Model, fold_batch_norm as fold_model},
    nn::{Gradients, Network, NetworkOptions, TileTable, TrainingPass},
    quant::ActivationPlan,
    reference::{
        activation::{Activation, activation},
        batch_norm::{Coefficients, batch_norm},
        batch_norm_gradient_sums::batch_norm_gradient_sums,
        batch_norm_inference::{Factor, Norm, batch_norm_inference},
        batch_norm_input_gradient::batch_norm_input_gradient,
        batch_norm_moments::{Moments, batch_norm_moments},
        batch_norm_parameter_gradient::batch_norm_parameter_gradient,
        batch_norm_update::batch_norm_update,
        fold_batch_norm::fold_batch_norm,
        fold_batch_norm_gradient::fold_batch_norm_gradient,
        layout::{pack, packed_elements, padding, unpack},
        network::ReferenceNetwork,
    },
    saliency::{DataOptions, ExplainedNetwork, explain_data},
    storage::Storage,
    train::{Start, Trainer},
};

const UNTOUCHED: f32 = 77.0;
/// Of the kernels' batch norms: neither is the usual one.
const EPSILON: f32 = 2e-4;
const MOMENTUM: f32 = 0.125;

/// A range of images inside a larger buffer, as `batches` batches, dispatched for more images than
/// it has.
#[derive(Clone, Copy, Debug)]
struct Case {
    shape: Shape,
    first: usize,
    /// Images of each batch.
    each: [usize; 2],
    batches: usize,
    parts: usize,
}

const CASES: [Case; 5] = [
    Case { shape: Shape::new(5, 3, 4), first: 2, each: [3, 2], batches: 2, parts: 7 },
    Case { shape: Shape::new(33, 1, 1), first: 0, each: [6, 7], batches: 2, parts: 9 },
    Case { shape: Shape::new(8, 9, 7), first: 1, each: [4, 0], batches: 1, parts: 100 },
    Case { shape: Shape::new(1, 2, 1), first: 3, each: [1, 0], batches: 1, parts: 1 },
    Case { shape: Shape::new(66, 5, 5), first: 1, each: [2, 2], batches: 2, parts: 65 },
];

impl Case {
    fn count(&self) -> usize {
        self.each.iter().sum()
    }

    fn slots(&self) -> usize {
        self.first + self.count() + 2
    }

    fn rows(&self, batch: usize) -> usize {
        self.each[batch] * self.shape.pixels() as usize
    }

    /// Rows of a part, as the kernels deal them.
    fn part(&self, batch: usize, part: usize) -> std::ops::Range<usize> {
        let share = self.rows(batch).div_ceil(self.parts);
        (part * share).min(self.rows(batch))..((part + 1) * share).min(self.rows(batch))
    }

    fn record(&self, accumulate: bool) -> Buffer {
        let count = self.count() as u32;
        uniform([self.first as u32, count, count, u32::from(accumulate)])
    }

    /// The range whose `record` it is.
    fn images<'a>(&self, record: &'a Buffer) -> ImageRange<'a> {
        ImageRange { binding: record.into(), most: self.count() as u32 + 1 }
    }

    /// The batches of the range, of the step `current`.
    fn by<'a>(&self, current: &'a Buffer) -> BatchStatistics<'a> {
        BatchStatistics { current, batches: self.batches as u32, parts: self.parts as u32 }
    }

    /// `values` of the range, NCHW, in a buffer of all slots.
    fn upload(&self, values: &[f64]) -> Buffer {
        let size = packed_elements(self.shape);
        let mut all = vec![UNTOUCHED; self.slots() * size];
        all[self.first * size..(self.first + self.count()) * size]
            .copy_from_slice(&pack(values, self.shape));
        upload(&all)
    }

    fn empty(&self) -> Buffer {
        upload(&vec![UNTOUCHED; self.slots() * packed_elements(self.shape)])
    }

    #[track_caller]
    fn check(&self, what: &str, buffer: &Buffer, expected: &[f64], tolerance: f64) -> Vec<f32> {
        let size = packed_elements(self.shape);
        let actual: Vec<f32> = read(buffer, self.slots() * size);
        let (first, last) = (self.first * size, (self.first + self.count()) * size);
        let own = unpack(&actual[first..last], self.shape);
        assert_close(&format!("{what} {self:?}"), &own, expected, tolerance);
        assert!(
            padding(&actual[first..last], self.shape).iter().all(|&value| value == 0.0),
            "{what} {self:?}: padding"
        );
        let outside = actual[..first].iter().chain(&actual[last..]);
        assert!(
            outside.into_iter().all(|&value| value == UNTOUCHED),
            "{what} {self:?}: wrote outside of its images"
        );
        own
    }

    /// Values around `center`, NCHW, as exact f32.
    fn random(&self, random: &mut Random, center: f32) -> Vec<f64> {
        let count = self.count() * self.shape.elements() as usize;
        (0..count).map(|_| f64::from(random.signed() + center)).collect()
    }

    /// A flat array of parameters at odd places.
    fn parameters(&self, random: &mut Random) -> (Norm, Vec<f32>, NormIndices) {
        let channels = self.shape.channels as usize;
        let mut wide = |scale: f32, offset: f32| -> Vec<f32> {
            (0..channels).map(|_| random.signed() * scale + offset).collect()
        };
        let tensors = [wide(1.0, 1.2), wide(1.0, 0.0), wide(0.5, 0.0), wide(0.4, 0.6), vec![7.0]];
        let mut flat = vec![-3.0f32; 3];
        let indices = tensors.each_ref().map(|tensor| {
            let index = flat.len() as u32;
            flat.extend(tensor);
            index
        });
        flat.resize(flat.len().next_multiple_of(4), -3.0);
        let [scale, shift, mean, variance, count] = indices;
        let indices = NormIndices { scale, shift, mean, variance, count };
        let [scale, shift, mean, variance, _] = tensors.map(|tensor| doubles(&tensor));
        let (epsilon, momentum) = (f64::from(EPSILON), f64::from(MOMENTUM));
        (Norm { scale, shift, mean, variance, batches: 7.0, epsilon, momentum }, flat, indices)
    }

    /// The first stage of the statistics of `values`.
    fn moments(&self, values: &[f64], moments: &Buffer) {
        launch(&BatchNormMoments {
            images: self.images(&self.record(false)),
            input: (&self.upload(values)).into(),
            moments,
            by: self.by(&step(self.each[0])),
            shape: self.shape,
            storage: Storage::default(),
        });
    }

    /// The second stage of the statistics: running statistics in `parameters`, and coefficients.
    fn update(
        &self,
        (parameters, indices): (&Buffer, NormIndices),
        moments: &Buffer,
        factors: &[Factor],
        coefficients: &Buffer,
        freeze_after: u64,
    ) {
        launch(&BatchNormUpdate {
            parameters,
            images: self.images(&self.record(false)),
            moments,
            factors: &upload_factors(self, factors),
            coefficients,
            by: self.by(&step(self.each[0])),
            shape: self.shape,
            indices,
            epsilon: EPSILON,
            momentum: MOMENTUM,
            freeze_after: Some(freeze_after),
        });
    }

    fn batch<'a>(&self, values: &'a [f64], batch: usize) -> &'a [f64] {
        let size = self.shape.elements() as usize;
        let first = if batch == 0 { 0 } else { self.each[0] };
        &values[first * size..(first + self.each[batch]) * size]
    }
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Step 5 of a run.
fn step(clean: usize) -> Buffer {
    uniform(StepRecord { step: 5, count: clean as u32, ..StepRecord::default() })
}

/// Values of channels in groups of 4, padded with zeros: `vectors` of them a group, one after
/// another.
fn grouped<const N: usize>(channels: usize, of: impl Fn(usize) -> [f64; N]) -> Vec<f32> {
    let mut flat = vec![0.0; channels.div_ceil(4) * 4 * N];
    for channel in 0..channels {
        for (vector, value) in of(channel).into_iter().enumerate() {
            flat[(channel / 4 * N + vector) * 4 + channel % 4] = value as f32;
        }
    }
    flat
}

/// The inverse: [channel][vector].
fn ungrouped(values: &[f32], channels: usize, vectors: usize, vector: usize) -> Vec<f32> {
    (0..channels)
        .map(|channel| values[(channel / 4 * vectors + vector) * 4 + channel % 4])
        .collect()
}

fn four(c: &Coefficients) -> [f64; 4] {
    [c.center, c.normalize, c.scale, c.shift]
}

fn upload_coefficients(case: &Case, coefficients: &[Vec<Coefficients>]) -> Buffer {
    let channels = case.shape.channels as usize;
    upload(
        &coefficients
            .iter()
            .flat_map(|batch| grouped(channels, |channel| four(&batch[channel])))
            .collect::<Vec<_>>(),
    )
}

#[track_caller]
fn check_coefficients(what: &str, case: &Case, buffer: &Buffer, expected: &[Vec<Coefficients>]) {
    let channels = case.shape.channels as usize;
    let size = padded(case.shape.channels) as usize * 4;
    let values: Vec<f32> = read(buffer, size * expected.len());
    for (batch, expected) in values.chunks_exact(size).zip(expected) {
        for vector in 0..4 {
            let wanted: Vec<f64> = expected.iter().map(|c| four(c)[vector]).collect();
            assert_close(
                &format!("{what} {vector} {case:?}"),
                &ungrouped(batch, channels, 4, vector),
                &wanted,
                1e-5,
            );
        }
    }
}

fn upload_factors(case: &Case, factors: &[Factor]) -> Buffer {
    upload(&grouped(case.shape.channels as usize, |channel| {
        [factors[channel].factor, factors[channel].inverse_deviation]
    }))
}

/// Means of 100 with a deviation of 0.6: sums of squares about 0 would lose four digits.
#[test]
fn statistics_of_a_batch() {
    for (case, center) in CASES.into_iter().zip([0.3, 100.0, 100.0, 0.0, -5.0]) {
        let mut random = Random(7);
        let z = case.random(&mut random, center);
        let channels = case.shape.channels as usize;
        let size = 2 * padded(case.shape.channels) as usize;
        let moments = upload(&vec![UNTOUCHED; case.batches * case.parts * size]);
        case.moments(&z, &moments);
        let actual: Vec<f32> = read(&moments, case.batches * case.parts * size);
        let mut wanted = [Vec::new(), Vec::new()];
        let mut found = [Vec::new(), Vec::new()];
        for (index, values) in actual.chunks_exact(size).enumerate() {
            let batch = case.batch(&z, index / case.parts);
            let expected = batch_norm_moments(
                batch,
                case.shape,
                case.part(index / case.parts, index % case.parts),
            );
            for (vector, pick) in
                [|m: &Moments| m.mean, |m: &Moments| m.squares].into_iter().enumerate()
            {
                wanted[vector].extend(expected.iter().map(pick));
                found[vector].extend(ungrouped(values, channels, 2, vector));
            }
        }
        assert_close(&format!("means {case:?}"), &found[0], &wanted[0], 1e-6);
        assert_close(&format!("squares {case:?}"), &found[1], &wanted[1], 1e-4);

        // Second stage, from the first one's own sums.
        for (fold, freeze_after) in [(false, 5), (true, 5), (true, 4), (false, 4)] {
            let (mut norm, flat, indices) = case.parameters(&mut random);
            let (factors, _) = batch_norm_inference(&norm, fold);
            // z is s·x.
            let scaled = |batch: &[f64]| -> Vec<f64> {
                let channel = |index: usize| index / case.shape.pixels() as usize % channels;
                batch
                    .iter()
                    .enumerate()
                    .map(|(index, z)| f64::from((z * factors[channel(index)].factor) as f32))
                    .collect()
            };
            let z = scaled(&z);
            case.moments(&z, &moments);
            let expected: Vec<_> = (0..case.batches)
                .map(|batch| {
                    let moments =
                        batch_norm_moments(case.batch(&z, batch), case.shape, 0..case.rows(batch));
                    batch_norm_update(&moments, &factors, &mut norm, freeze_after < 5)
                })
                .collect();
            let parameters = upload(&flat);
            let coefficients =
                upload(&vec![UNTOUCHED; 4 * case.batches * padded(case.shape.channels) as usize]);
            case.update((&parameters, indices), &moments, &factors, &coefficients, freeze_after);
            check_coefficients("coefficients", &case, &coefficients, &expected);
            let moved: Vec<f32> = read(&parameters, flat.len());
            let mut wanted = doubles(&flat);
            for (index, values) in [
                (indices.mean, &norm.mean),
                (indices.variance, &norm.variance),
                (indices.count, &vec![norm.batches]),
            ] {
                let at = index as usize;
                wanted[at..at + values.len()].copy_from_slice(values);
            }
            assert_close(&format!("running statistics {case:?}"), &moved, &wanted, 1e-5);
            assert_eq!(
                moved[indices.count as usize],
                if freeze_after < 5 { 7.0 } else { 7.0 + case.batches as f32 }
            );
        }
    }
}

#[test]
fn inference_and_factors() {
    for case in CASES {
        for fold in [false, true] {
            let mut random = Random(3);
            let (norm, flat, indices) = case.parameters(&mut random);
            let channels = case.shape.channels as usize;
            let (factors, coefficients) = batch_norm_inference(&norm, fold);
            let [on_gpu, factors_on_gpu] = [4, 2]
                .map(|vectors| upload(&vec![UNTOUCHED; vectors * channels.next_multiple_of(4)]));
            launch(&BatchNormInference {
                parameters: &upload(&flat),
                factors: &factors_on_gpu,
                coefficients: &on_gpu,
                channels: case.shape.channels,
                indices,
                epsilon: EPSILON,
                fold,
            });
            check_coefficients("inference", &case, &on_gpu, std::slice::from_ref(&coefficients));
            let values: Vec<f32> = read(&factors_on_gpu, 2 * channels.next_multiple_of(4));
            let wanted: Vec<f64> = factors.iter().map(|factor| factor.factor).collect();
            assert_close("factors", &ungrouped(&values, channels, 2, 0), &wanted, 1e-6);
            let wanted: Vec<f64> = factors.iter().map(|factor| factor.inverse_deviation).collect();
            assert_close("deviations", &ungrouped(&values, channels, 2, 1), &wanted, 1e-6);
        }
    }
}

/// Coefficients of every batch of random values.
fn live_coefficients(
    case: &Case,
    z: &[f64],
    norm: &Norm,
    fold: bool,
) -> (Vec<Factor>, Vec<Vec<Coefficients>>) {
    let (factors, _) = batch_norm_inference(norm, fold);
    let mut norm = norm.clone();
    let of = |batch| {
        let moments = batch_norm_moments(case.batch(z, batch), case.shape, 0..case.rows(batch));
        let mut coefficients = batch_norm_update(&moments, &factors, &mut norm, false);
        // What the kernels are given: f32.
        for c in &mut coefficients {
            *c = Coefficients {
                center: f64::from(c.center as f32),
                normalize: f64::from(c.normalize as f32),
                scale: f64::from(c.scale as f32),
                shift: f64::from(c.shift as f32),
            };
        }
        coefficients
    };
    let coefficients = (0..case.batches).map(of).collect();
    (factors, coefficients)
}

#[test]
fn normalised_and_activated() {
    for case in CASES {
        let mut random = Random(11);
        let z = case.random(&mut random, 0.2);
        let (norm, ..) = case.parameters(&mut random);
        let (_, coefficients) = live_coefficients(&case, &z, &norm, false);
        let expected: Vec<f64> = (0..case.batches)
            .flat_map(|batch| batch_norm(case.batch(&z, batch), case.shape, &coefficients[batch]))
            .collect();
        let (input, constants) = (case.upload(&z), upload_coefficients(&case, &coefficients));
        let output = case.empty();
        let step = step(case.each[0]);
        let (record, parameters) = (case.record(false), upload(&[0.0, 1.5]));
        let plain = BatchNorm {
            images: case.images(&record),
            input: (&input).into(),
            coefficients: &constants,
            output: (&output).into(),
            pre_activation: None,
            parameters: &parameters,
            batches: Some((&step, case.batches as u32)),
            shape: case.shape,
            activation: ActivationPlan::NONE,
            storage: Storage::default(),
        };
        launch(&plain);
        case.check("y", &output, &expected, 1e-5);
        launch(&BatchNorm { activation: ActivationPlan::RELU, ..plain });
        let relu: Vec<f64> = expected.iter().map(|y| y.max(0.0)).collect();
        case.check("relu", &output, &relu, 1e-5);
        launch(&BatchNorm { batches: None, ..plain });
        case.check("y in inference", &output, &batch_norm(&z, case.shape, &coefficients[0]), 1e-5);

        // 7 levels.
        let activation_of_3_bits = (ActivationQuantizer::Pact, PactKind::Unsigned, 3);
        let pre_activation = case.empty();
        launch(&BatchNorm {
            pre_activation: Some((&pre_activation).into()),
            activation: activation_plan(activation_of_3_bits, 1),
            ..plain
        });
        let before = case.check("pre-activation", &pre_activation, &expected, 1e-5);
        let kind = Activation::Pact { kind: PactKind::Unsigned, alpha: 1.5, levels: Some(7.0) };
        // Quantized from what the kernel itself had: no rounding edge can come between.
        let quantized: Vec<f64> = before.iter().map(|&y| activation(kind, f64::from(y))).collect();
        case.check("pact", &output, &quantized, 1e-5);
    }
}

#[test]
fn backward_stages() {
    for case in CASES {
        for (fold, frozen) in [(false, false), (true, false), (true, true), (false, true)] {
            let mut random = Random(13);
            let (z, g) = (case.random(&mut random, 0.2), case.random(&mut random, 0.05));
            let (norm, flat, indices) = case.parameters(&mut random);
            let (factors, coefficients) = live_coefficients(&case, &z, &norm, fold);
            let channels = case.shape.channels as usize;
            let (input, gradient) = (case.upload(&z), case.upload(&g));
            let constants = upload_coefficients(&case, &coefficients);
            let size = 2 * padded(case.shape.channels) as usize;
            let sums = upload(&vec![UNTOUCHED; case.batches * case.parts * size]);
            let (record, current) = (case.record(false), step(case.each[0]));
            launch(&BatchNormGradientSums {
                images: case.images(&record),
                input: (&input).into(),
                gradient: (&gradient).into(),
                coefficients: &constants,
                sums: &sums,
                by: case.by(&current),
                shape: case.shape,
                storage: Storage::default(),
            });
            let actual: Vec<f32> = read(&sums, case.batches * case.parts * size);
            let (mut wanted, mut found) = (Vec::new(), Vec::new());
            for (index, values) in actual.chunks_exact(size).enumerate() {
                let batch = index / case.parts;
                let (own_z, own_g) = (case.batch(&z, batch), case.batch(&g, batch));
                let expected = batch_norm_gradient_sums(
                    own_z,
                    own_g,
                    case.shape,
                    &coefficients[batch],
                    case.part(index / case.parts, index % case.parts),
                );
                for vector in 0..2 {
                    wanted.extend(expected.iter().map(|sums| sums[vector]));
                    found.extend(ungrouped(values, channels, 2, vector));
                }
            }
            assert_close(&format!("sums {case:?}"), &found, &wanted, 1e-5);

            let mut expected = doubles(&vec![0.5; flat.len()]);
            let (mut means, mut input_gradient) = (Vec::new(), Vec::new());
            for (batch, coefficients) in coefficients.iter().enumerate() {
                let (own_z, own_g) = (case.batch(&z, batch), case.batch(&g, batch));
                let sums = batch_norm_gradient_sums(
                    own_z,
                    own_g,
                    case.shape,
                    coefficients,
                    0..case.rows(batch),
                );
                let own = batch_norm_parameter_gradient(
                    &sums,
                    case.rows(batch),
                    (&factors, coefficients),
                    &norm,
                    [fold, frozen],
                );
                for channel in 0..channels {
                    expected[indices.scale as usize + channel] += own.scale[channel];
                    expected[indices.shift as usize + channel] += own.shift[channel];
                }
                let gradient =
                    batch_norm_input_gradient(own_z, own_g, case.shape, coefficients, &own.means);
                input_gradient.extend(gradient);
                means.extend(grouped(channels, |channel| own.means[channel]));
            }
            // Added to what an earlier part of the batch left.
            let gradients = upload(&vec![0.5; flat.len()]);
            let means_on_gpu = upload(&vec![UNTOUCHED; case.batches * size]);
            launch(&BatchNormParameterGradient {
                parameters: &upload(&flat),
                images: case.images(&case.record(true)),
                parts: &sums,
                factors: &upload_factors(&case, &factors),
                coefficients: &constants,
                means: &means_on_gpu,
                gradients: &gradients,
                by: case.by(&current),
                shape: case.shape,
                indices,
                epsilon: EPSILON,
                freeze_after: Some(if frozen { 4 } else { 5 }),
                fold,
            });
            assert_close(
                &format!("γ and β {case:?}"),
                &read::<f32>(&gradients, flat.len()),
                &expected,
                1e-5,
            );
            assert_close("means", &read::<f32>(&means_on_gpu, means.len()), &doubles(&means), 1e-5);

            let statistics = BatchGradient {
                input: (&input).into(),
                means: &means_on_gpu,
                current: &current,
                batches: case.batches as u32,
            };
            let in_training = BatchNormInputGradient {
                images: case.images(&record),
                coefficients: &constants,
                gradient: (&gradient).into(),
                batch: Some(statistics),
                shape: case.shape,
                storage: Storage::default(),
            };
            launch(&in_training);
            case.check(
                "input gradient",
                &gradient,
                &input_gradient,
                if case.rows(0) > 2 { 1e-5 } else { 1e-3 },
            );

            let gradient = case.upload(&g);
            launch(&BatchNormInputGradient {
                gradient: (&gradient).into(),
                batch: None,
                ..in_training
            });
            let none = vec![[0.0; 2]; channels];
            let expected = batch_norm_input_gradient(&z, &g, case.shape, &coefficients[0], &none);
            case.check("input gradient in inference", &gradient, &expected, 1e-5);
        }
    }
}

#[test]
fn folded_weights() {
    for (channels, in_elements) in [(5usize, 9usize), (33, 70), (1, 200)] {
        let mut random = Random(channels as u64);
        let case = Case { shape: Shape::new(channels as u32, 1, 1), ..CASES[0] };
        let (norm, ..) = case.parameters(&mut random);
        let (factors, _) = batch_norm_inference(&norm, true);
        let (weight_index, bias_index, scale_index) =
            (1, 1 + channels * in_elements, 2 + channels * (in_elements + 1));
        let length = scale_index + channels + 1;
        let parameters = random.vector(length);
        let weight = weight_index..weight_index + channels * in_elements;
        let bias = bias_index..bias_index + channels;
        let shape = WeightShape {
            out_channels: channels as u32,
            in_channels: in_elements as u32,
            grouped: false,
            taps: 1,
            weight_index: weight_index as u32,
            bias_index: Some(bias_index as u32),
        };
        let (folded, on_gpu) = (upload(&vec![UNTOUCHED; length]), upload(&parameters));
        let factors_on_gpu = upload_factors(&case, &factors);
        launch(&FoldBatchNorm {
            parameters: &on_gpu,
            factors: &factors_on_gpu,
            folded: &folded,
            shape,
        });
        let mut expected = vec![f64::from(UNTOUCHED); length];
        for range in [weight.clone(), bias.clone()] {
            let values = fold_batch_norm(&doubles(&parameters[range.clone()]), &factors);
            expected[range].copy_from_slice(&values);
        }
        assert_close("folded", &read::<f32>(&folded, length), &expected, 1e-6);

        let before = random.vector(length);
        let gradients = upload(&before);
        launch(&FoldBatchNormGradient {
            parameters: &on_gpu,
            factors: &factors_on_gpu,
            gradients: &gradients,
            shape,
            scale_index: scale_index as u32,
        });
        let mut expected = doubles(&before);
        for range in [weight, bias] {
            let (own, scale) = fold_batch_norm_gradient(
                &doubles(&before[range.clone()]),
                &doubles(&parameters[range.clone()]),
                &factors,
            );
            expected[range].copy_from_slice(&own);
            for channel in 0..channels {
                expected[scale_index + channel] += scale[channel];
            }
        }
        assert_close("folded gradient", &read::<f32>(&gradients, length), &expected, 1e-5);
    }
}

/// Batch norms behind convolutions, in front of a pool, and behind a linear layer.
fn odd_network() -> NetworkConfig {
    let activation = |name: &str| LayerConfig::activation(name);
    let norm = |name: &str| LayerConfig::batch_norm(name);
    NetworkConfig {
        input: Shape::new(3, 9, 8),
        classes: 4,
        layers: vec![
            LayerConfig::conv("conv1", 5, [3, 1, 1]),
            norm("bn1"),
            activation("act1"),
            LayerConfig::max_pool(2, 2),
            LayerConfig::conv("conv2", 9, [2, 1, 1]),
            norm("bn2"),
            LayerConfig::max_pool(3, 2),
            activation("act2"),
            LayerConfig::linear("fc1", 7),
            norm("bn3"),
            activation("act3"),
            LayerConfig::linear("fc2", 4),
        ],
    }
}

/// Numbers of one comparison that keep their distance from every decision.
struct Numbers {
    parameters: Vec<f32>,
    input: Vec<f64>,
    logit_gradient: Vec<f64>,
}

fn find(reference: &ReferenceNetwork, config: &NetworkConfig, images: usize) -> Numbers {
    for seed in 0..400 {
        let mut random = Random(seed);
        let mut parameters = vec![0.0; reference.graph.layout.padded_length() as usize];
        for parameter in &reference.graph.layout.parameters {
            for value in &mut parameters[parameter.range()] {
                let signed = random.signed();
                *value = match parameter.role {
                    ParameterRole::Weight => signed * (3.0 / parameter.fan_in as f32).sqrt(),
                    ParameterRole::Alpha => 1.375,
                    ParameterRole::WeightStep { .. } => 0.11 + 0.02 * signed,
                    ParameterRole::Scale => 1.0 + 0.5 * signed,
                    ParameterRole::RunningVariance => 0.6 + 0.3 * signed,
                    ParameterRole::BatchCount => 3.0,
                    _ => 0.2 * signed,
                };
            }
        }
        let mut vector = |count: u32| doubles(&random.vector(images * count as usize));
        let (input, logit_gradient) = (vector(config.input.elements()), vector(config.classes));
        let wide = doubles(&parameters);
        let scales = reference.scales(&wide);
        let margin = reference.margin(&wide, &scales, &reference.forward(&wide, &scales, &input));
        if margin.activations > 2e-5 && margin.weights > 1e-5 {
            return Numbers { parameters, input, logit_gradient };
        }
    }
    panic!("no seed keeps its distance from every decision");
}

fn quantized(bits: &str, weight_quant: WeightQuantizer, per_channel: bool) -> QuantizationConfig {
    QuantizationConfig {
        bits: LayerBits::parse_list(bits).unwrap(),
        weight_quant,
        per_channel,
        ..Default::default()
    }
}

/// Two batches of three images behind one that is not touched, in training with live or frozen
/// statistics; or four images in inference.
fn check_network(
    what: &str,
    quantization: &QuantizationConfig,
    freeze_after: Option<Option<u64>>,
    software: bool,
) {
    let mut config = odd_network();
    if quantization.layer_bits(0).quantizes_weights() {
        // Sums of quantized numbers tie in other orders too: a pool is behind the activation, whose
        // levels tie exactly.
        config.layers.swap(6, 7);
    }
    check_config(what, config, quantization, freeze_after, software);
}

/// As [`check_network`], of the network `config`.
fn check_config(
    what: &str,
    config: NetworkConfig,
    quantization: &QuantizationConfig,
    freeze_after: Option<Option<u64>>,
    software: bool,
) {
    const SLOTS: u32 = 8;
    let mut reference = ReferenceNetwork::new(&config, quantization, true).unwrap();
    let frozen = freeze_after == Some(Some(4));
    let images = if freeze_after.is_some() { 6 } else { 4 };
    if freeze_after.is_some() {
        reference = reference.training(2, frozen);
    }
    let numbers = find(&reference, &config, images);
    let wide = doubles(&numbers.parameters);
    let scales = reference.scales(&wide);
    let pass = reference.forward(&wide, &scales, &numbers.input);
    let (input_gradient, gradients) =
        reference.backward(&wide, &scales, &pass, &numbers.logit_gradient);

    let what = format!(
        "{what}, freeze after {freeze_after:?}, {}",
        if software { "software tiles" } else { "GPU tiles" }
    );
    let options = NetworkOptions {
        slots: SLOTS,
        training: freeze_after.is_some(),
        gradients: true,
        ..NetworkOptions::default()
    };
    let network =
        Network::with_tiles(gpu(), &config, quantization, options, TileTable::for_kind(software))
            .unwrap();
    gpu().write(network.parameters(), 0, &numbers.parameters);
    let (input_size, logit_shape) =
        (packed_elements(config.input), Shape::new(config.classes, 1, 1));
    let logit_size = packed_elements(logit_shape);
    gpu().write(network.input(), input_size as u64 * 4, &pack(&numbers.input, config.input));
    gpu().write(
        network.logit_gradients().unwrap(),
        logit_size as u64 * 4,
        &pack(&numbers.logit_gradient, logit_shape),
    );
    let images_record = gpu().uniform("images", 16).unwrap();
    gpu().write(&images_record, 0, &[1, images as u32, images as u32, 0]);
    let step = step(3);
    let training =
        freeze_after.map(|freeze_after| TrainingPass { step: &step, batches: 2, freeze_after });
    let range = ImageRange { binding: (&images_record).into(), most: 7 };
    let mut recording = Recording::new();
    network.record_weights(gpu(), &mut recording).unwrap();
    network.record_forward(gpu(), &mut recording, range, training).unwrap();
    let wanted = if training.is_some() { Gradients::Parameters } else { Gradients::Input };
    let to = network.record_backward(gpu(), &mut recording, range, training, wanted).unwrap();
    recording.submit(gpu()).unwrap();
    let logits: Vec<f32> = read(network.logits(), (1 + images) * logit_size);
    assert_close(
        &format!("{what}: logits"),
        &unpack(&logits[logit_size..], logit_shape),
        pass.logits(),
        1e-5,
    );
    let layout = &reference.graph.layout;
    if training.is_none() {
        let actual: Vec<f32> = read(to.buffer(), (1 + images) * input_size);
        assert_close(
            &format!("{what}: ∂X"),
            &unpack(&actual[input_size..], config.input),
            &input_gradient,
            1e-4,
        );
        let mut recording = Recording::new();
        assert!(
            network
                .record_backward(gpu(), &mut recording, range, None, Gradients::Parameters)
                .is_err()
        );
        return;
    }
    let moved: Vec<f32> = read(network.parameters(), layout.stored as usize);
    let expected = reference.moved_on(&wide, &pass);
    let actual: Vec<f32> = read(network.gradients(), layout.length as usize);
    for parameter in &layout.parameters {
        let name = format!("{what}: {}", parameter.name);
        assert_close(&name, &moved[parameter.range()], &expected[parameter.range()], 1e-5);
        if parameter.range().end > layout.length as usize {
            let unmoved = moved[parameter.range()] == numbers.parameters[parameter.range()];
            assert_eq!(unmoved, frozen, "{name}");
            continue;
        }
        let (own, expected) = (&actual[parameter.range()], &gradients[parameter.range()]);
        // A bias in front of live statistics changes nothing: only rounding is left of its
        // gradient.
        let is_vain = !frozen && expected.iter().all(|value| value.abs() < 1e-10);
        if is_vain {
            assert!(own.iter().all(|value| value.abs() < 1e-4), "{name}");
        } else {
            assert_close(&format!("{name} gradient"), own, expected, 1e-4);
        }
    }
}

#[test]
fn networks_in_float() {
    let float = QuantizationConfig::default();
    for software in [true, false] {
        check_network("float", &float, None, software);
        check_network("float", &float, Some(None), software);
    }
    check_network("float", &float, Some(Some(4)), true);
    check_network("float", &float, Some(Some(5)), true);
}

/// Residual blocks with batch norms: an identity and a projection around two convolutions.
fn residual_network() -> NetworkConfig {
    let (activation, norm) = (LayerConfig::activation, LayerConfig::batch_norm);
    NetworkConfig {
        input: Shape::new(3, 9, 8),
        classes: 4,
        layers: vec![
            LayerConfig::conv("conv1", 5, [3, 1, 1]),
            norm("bn1"),
            activation("act1"),
            LayerConfig::conv("conv2", 5, [3, 1, 1]),
            norm("bn2"),
            LayerConfig::add("add1", &["bn2", "act1"]),
            activation("act2"),
            LayerConfig::conv("conv3", 7, [3, 2, 1]),
            norm("bn3"),
            LayerConfig::conv("conv4", 7, [1, 2, 0]).reading(&["act2"]),
            norm("bn4"),
            LayerConfig::add("add2", &["bn3", "bn4"]),
            activation("act3"),
            LayerConfig::linear("fc2", 4),
        ],
    }
}

/// Batch norms that no weights are right in front of: of images, behind an activation, a pool and a
/// sum, two of one value, one beside another reader, and at the end; with an ε and a momentum of
/// their own.
fn scattered_network() -> NetworkConfig {
    let (activation, norm) = (LayerConfig::activation, LayerConfig::batch_norm);
    let own = |name: &str, epsilon, momentum| {
        LayerConfig::named(name, LayerKind::BatchNorm(NormConfig { epsilon, momentum }))
    };
    NetworkConfig {
        input: Shape::new(3, 9, 8),
        classes: 4,
        layers: vec![
            own("bn1", 0.01, 0.25),
            LayerConfig::conv("conv1", 5, [3, 1, 1]),
            activation("act1"),
            norm("bn2"),
            LayerConfig::conv("conv2", 5, [3, 1, 1]),
            own("bn3", 0.1, 0.1),
            activation("act2"),
            norm("bn4").reading(&["conv2"]),
            LayerConfig::add("add1", &["act2", "bn4", "bn2", "conv2"]),
            norm("bn5"),
            activation("act3"),
            LayerConfig::conv("conv3", 6, [3, 2, 1]),
            own("bn6", 0.02, 0.5),
            activation("act4"),
            LayerConfig::average_pool(AveragePool {
                window: [2, 2, 0].into(),
                ceil_mode: true,
                count_include_pad: false,
            }),
            norm("bn7"),
            LayerConfig::linear("fc1", 4),
            norm("bn8"),
        ],
    }
}

#[test]
fn norms_anywhere() {
    let float = QuantizationConfig::default();
    let sawb = quantized("4,4,3,w3a32", WeightQuantizer::Sawb, false);
    for (what, quantization) in [("scattered, float", &float), ("scattered, sawb", &sawb)] {
        for freeze_after in [None, Some(None), Some(Some(4))] {
            check_config(what, scattered_network(), quantization, freeze_after, true);
        }
        check_config(what, scattered_network(), quantization, Some(None), false);
    }
}

#[test]
fn residual_networks() {
    let float = QuantizationConfig::default();
    let sawb = quantized("4,4,3,3", WeightQuantizer::Sawb, false);
    for (what, quantization) in [("residual, float", &float), ("residual, sawb", &sawb)] {
        for freeze_after in [None, Some(None), Some(Some(4))] {
            check_config(what, residual_network(), quantization, freeze_after, true);
        }
        check_config(what, residual_network(), quantization, Some(None), false);
    }
}

/// A residual block of depthwise and pointwise convolutions without biases, with batch norms,
/// behind a rectangular convolution.
fn separable_network() -> NetworkConfig {
    let (activation, norm) = (LayerConfig::activation, LayerConfig::batch_norm);
    let convolution = |name: &str, own: Convolution| {
        LayerConfig::convolution(name, Convolution { bias: false, ..own })
    };
    let depthwise = |stride| Convolution {
        groups: ChannelGroups::Depthwise,
        padding: Padding::Same,
        ..Convolution::square(6, [3, stride, 0])
    };
    let pointwise = |channels| Convolution::square(channels, [1, 1, 0]);
    NetworkConfig {
        input: Shape::new(3, 10, 9),
        classes: 4,
        layers: vec![
            convolution(
                "conv1",
                Convolution { kernel: [3, 2], stride: [1, 2], ..Convolution::square(6, [3, 1, 1]) },
            ),
            norm("bn1"),
            activation("act1"),
            convolution("deep1", depthwise(1)),
            norm("bn2"),
            activation("act2"),
            convolution("point1", pointwise(6)),
            norm("bn3"),
            LayerConfig::add("add1", &["bn3", "act1"]),
            activation("act3"),
            convolution("deep2", depthwise(2)),
            norm("bn4"),
            activation("act4"),
            convolution("point2", Convolution { groups: ChannelGroups::Count(3), ..pointwise(9) }),
            norm("bn5"),
            activation("act5"),
            LayerConfig::linear("fc2", 4),
        ],
    }
}

#[test]
fn separable_networks() {
    let float = QuantizationConfig::default();
    let sawb = quantized("4,4,4,4,4", WeightQuantizer::Sawb, true);
    for (what, quantization) in [("separable, float", &float), ("separable, sawb", &sawb)] {
        for freeze_after in [None, Some(None), Some(Some(4))] {
            check_config(what, separable_network(), quantization, freeze_after, true);
        }
        check_config(what, separable_network(), quantization, Some(None), false);
    }
}

#[test]
fn quantized_networks_fold() {
    let sawb = quantized("4,2,3", WeightQuantizer::Sawb, false);
    check_network("sawb", &sawb, None, true);
    check_network("sawb", &sawb, Some(None), true);
    check_network("sawb", &sawb, Some(Some(4)), false);
    let affine = quantized("3,w2a4,w32a3", WeightQuantizer::Affine, true);
    let lsq = quantized("3,4,32", WeightQuantizer::Lsq, true);
    check_network("lsq", &lsq, None, true);
    check_network("lsq", &lsq, Some(None), true);
    check_network("affine", &affine, None, false);
    check_network("affine", &affine, Some(None), false);
    check_network("affine", &affine, Some(Some(4)), true);
}

/// The golden files' network, as a configuration file has it.
const GOLDEN_NETWORK: &str = r#"
[network]
layers = [
    { type = "conv", name = "conv1", out-channels = 6, kernel = 3, stride = 2 },
    { type = "batch-norm", name = "bn1" },
    { type = "activation", name = "act1" },
    { type = "conv", name = "conv2", out-channels = 7, kernel = 3, stride = 2, padding = 1 },
    { type = "batch-norm", name = "bn2" },
    { type = "activation", name = "act2" },
    { type = "linear", name = "fc1", out-features = 5 },
    { type = "batch-norm", name = "bn3" },
    { type = "activation", name = "act3" },
    { type = "linear", name = "fc2", out-features = 10 },
]
"#;

/// What ten steps may differ by from PyTorch's in f64, relative.
const TEN_STEPS: f64 = 1e-4;

/// Ten steps of a case of the golden file: losses, parameters and running statistics. The run
/// folder is returned.
fn ten_steps(case: &str, settings: &str) -> (Tensors, tempfile::TempDir) {
    let tensors = Tensors::golden("batch_norm");
    let made = tensors.made();
    let rate = made["learning_rates"][case].as_f64().unwrap();
    let mut split = Tensors::golden("images").split();
    split.truncate(120, support::MNIST);
    let mut test = split.clone();
    test.truncate(12, support::MNIST);
    let dataset = mnist_like(split, test);
    let folder = tempfile::tempdir().unwrap();
    let init = folder.path().join("start.safetensors");
    let settings = format!(
        "{settings}batch-size = 12\n\
         steps = 10\n\
         no-shuffle = true\n\
         optimizer = \"momentum\"\nmomentum = 0.9\nlr = {rate:?}\nmask-fill = \"corner\"\n"
    );
    let config = run_config(&format!("{settings}{GOLDEN_NETWORK}"), &dataset, folder.path());
    // From PyTorch's state_dict into a model file and from there into the run.
    let layout = Graph::new(&config.network, &config.quantization).unwrap().layout;
    let mut parameters = vec![0.0; layout.padded_length() as usize];
    for parameter in &layout.parameters {
        let name = format!("initial.{}", parameter.name);
        match parameter.role {
            ParameterRole::BatchCount => assert_eq!(tensors.i64(&name), [0]),
            _ => parameters[parameter.range()].copy_from_slice(&tensors.f32(&name)),
        }
    }
    let normalize = saliq::config::PixelNormalization::uniform(0.1307, 0.3081);
    Model::save(&init, &config.model_config(normalize, &[]), &layout, &parameters).unwrap();
    let config = run_config(
        &format!("init = {init:?}\n{settings}{GOLDEN_NETWORK}"),
        &dataset,
        &folder.path().join("run"),
    );
    let mut trainer = Trainer::new(gpu(), &config, &dataset).unwrap();
    let outcome = pollster::block_on(trainer.run(Start::New, &mut Silent)).unwrap();
    let [ce, kl] = ["ce", "kl"].map(|name| tensors.f64(&format!("{case}.ref_{name}")));
    assert_eq!(outcome.steps.len(), 10);
    for (index, line) in outcome.steps.iter().enumerate() {
        let step = format!("{case} step {}", index + 1);
        assert!(
            (line.ce - ce[index]).abs() <= TEN_STEPS * ce[index],
            "{step}: CE {} for {}",
            line.ce,
            ce[index]
        );
        assert!(
            (line.kl - kl[index]).abs() <= TEN_STEPS,
            "{step}: KL {} for {}",
            line.kl,
            kl[index]
        );
    }
    let after = pollster::block_on(trainer.parameters()).unwrap();
    for parameter in &layout.parameters {
        let name = format!("{case}.ref_final.{}", parameter.name);
        let own = &after[parameter.range()];
        match parameter.role {
            ParameterRole::BatchCount => assert_eq!(own, [tensors.i64(&name)[0] as f32], "{name}"),
            ParameterRole::Alpha | ParameterRole::RunningMean | ParameterRole::RunningVariance => {
                assert_close(&name, own, &tensors.f64(&name), TEN_STEPS);
            }
            // What was learnt: the change, not the value.
            _ => {
                let before = &parameters[parameter.range()];
                let change: Vec<f32> =
                    own.iter().zip(before).map(|(after, before)| after - before).collect();
                let expected: Vec<f64> = tensors
                    .f64(&name)
                    .iter()
                    .zip(before)
                    .map(|(after, before)| after - f64::from(*before))
                    .collect();
                let size = expected.iter().map(|change| change.abs()).fold(0.0, f64::max);
                // A bias in front of a batch norm never moves.
                if size < 1e-9 {
                    assert!(change.iter().all(|change| change.abs() < 1e-6), "{name}: {change:?}");
                } else {
                    assert_close(&name, &change, &expected, 10.0 * TEN_STEPS);
                    assert_close(&name, own, &tensors.f64(&name), TEN_STEPS);
                }
            }
        }
    }
    (tensors, folder)
}

#[test]
fn ten_steps_of_pytorch() {
    let (tensors, folder) = ten_steps("plain", "sgt = false\n");
    // And inference with the running statistics: through the file.
    let model = Model::load(&folder.path().join("run"), &QuantizationOverrides::default()).unwrap();
    let mut split = Tensors::golden("images").split();
    split.truncate(12, support::MNIST);
    let logits = logits(
        &model,
        &mnist_like(split.clone(), split),
        saliq::config::PixelNormalization::uniform(0.1307, 0.3081),
    );
    assert_close("inference", &logits, &tensors.f64("plain.ref_inference_logits"), TEN_STEPS);
}

/// Clean and masked images are a batch each; saliency is taken with the running statistics.
#[test]
fn ten_guided_steps_of_pytorch() {
    ten_steps("sgt", "");
}

/// Quantized weights scaled by running statistics, live for six steps and frozen for four.
#[test]
fn ten_folded_steps_of_pytorch() {
    ten_steps(
        "folded",
        "sgt = false\nbits = \"4,2\"\nweight-quant = \"sawb\"\nfreeze-bn-after = 6\n",
    );
}

/// Logits of a data set's test images.
fn logits(
    model: &Model,
    dataset: &Dataset,
    normalization: saliq::config::PixelNormalization,
) -> Vec<f32> {
    let data = saliq::batch::ResidentData::new(gpu(), &dataset.test, dataset.shape).unwrap();
    let parameters = upload(&model.parameters);
    let (config, quantization) = (&model.config.network, &model.config.quantization);
    let network = ExplainedNetwork { config, quantization, parameters: &parameters };
    let options = DataOptions { normalization, ..DataOptions::default() };
    pollster::block_on(explain_data(gpu(), network, &data, &options, &mut |_| {})).unwrap().logits
}

fn mini() -> Dataset {
    data::load("mnist-mini", None).unwrap()
}

/// [`SMALL_NETWORK`] with batch norms behind its convolutions.
fn small_network() -> String {
    let with = |text: &str, layer: &str, norm: &str| {
        let at = text.find(layer).unwrap();
        let end = at + text[at..].find('\n').unwrap() + 1;
        format!(
            "{}    {{ type = \"batch-norm\", name = \"{norm}\" }},\n{}",
            &text[..end],
            &text[end..]
        )
    };
    with(&with(SMALL_NETWORK, "name = \"conv1\"", "bn1"), "name = \"conv2\"", "bn2")
}

const TINY: &str = "train-limit = 48\ntest-limit = 20\nbatch-size = 16\nlr = 0.05\nseed = 5\n";

fn train_in(folder: &Path, settings: &str, start: Start) -> Vec<u8> {
    let dataset = mini();
    let config = run_config(settings, &dataset, folder);
    let mut trainer = Trainer::new(gpu(), &config, &dataset)
        .unwrap_or_else(|error| panic!("{settings}: {error}"));
    pollster::block_on(trainer.run(start, &mut Silent))
        .unwrap_or_else(|error| panic!("{settings}: {error}"));
    std::fs::read(folder.join("model.safetensors")).unwrap()
}

/// Stopping and going on changes no bit, running statistics included; the file is a state_dict of
/// PyTorch.
#[test]
fn runs_go_on_with_their_statistics() {
    for settings in ["", "bits = \"4,2\"\nfreeze-bn-after = 3\n"] {
        let settings = format!("{TINY}{settings}{}", small_network());
        let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let expected = train_in(whole.path(), &format!("steps = 5\n{settings}"), Start::New);
        train_in(parts.path(), &format!("steps = 2\n{settings}"), Start::New);
        assert!(
            train_in(parts.path(), &format!("steps = 5\n{settings}"), Start::Resume) == expected,
            "{settings}"
        );
        let tensors = Tensors::open(&whole.path().join("model.safetensors"));
        let contents = tensors.contents();
        for (name, dtype, shape) in [
            ("bn1.weight", Dtype::F32, vec![8]),
            ("bn1.bias", Dtype::F32, vec![8]),
            ("bn1.running_mean", Dtype::F32, vec![8]),
            ("bn1.running_var", Dtype::F32, vec![8]),
            ("bn1.num_batches_tracked", Dtype::I64, vec![]),
        ] {
            assert!(contents.contains(&(name.into(), dtype, shape)), "{name}: {contents:?}");
        }
        // Clean and masked images, a batch each; three steps before the freeze.
        let steps = if settings.contains("freeze") { 3 } else { 5 };
        assert_eq!(tensors.i64("bn2.num_batches_tracked"), [2 * steps]);
        assert!(tensors.f32("bn2.running_var").iter().all(|&variance| variance > 0.0));
    }
}

#[test]
fn folded_is_unfolded() {
    for settings in [
        "",
        "bits = \"4,2\"\n",
        "bits = \"4,w8a32,w4a32\"\nweight-quant = \"dorefa\"\nper-channel = true\nalpha-init = 2\n",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let linear = "{ type = \"linear\", name = \"fc1\", out-features = 10 }";
        let deeper = format!(
            "{}, {{ type = \"batch-norm\", name = \"bn3\" }}, {{ type = \"activation\", name = \
             \"act3\" }}, {}",
            linear.replace("10", "12"),
            linear.replace("fc1", "fc2")
        );
        let network = small_network().replace(linear, &deeper);
        train_in(
            folder.path(),
            &format!("steps = 9\nsgt = false\n{TINY}{settings}{network}"),
            Start::New,
        );
        let model = Model::load(folder.path(), &QuantizationOverrides::default()).unwrap();
        let folded = fold_model(&model).unwrap();
        assert_eq!(folded.config.network.layers.len(), model.config.network.layers.len() - 3);
        assert!(
            folded
                .graph
                .layout
                .parameters
                .iter()
                .all(|parameter| !parameter.name.starts_with("bn"))
        );
        let mut dataset = mini();
        dataset.test.truncate(16, dataset.shape);
        let [unfolded, folded] = [&model, &folded].map(|model| {
            logits(model, &dataset, saliq::config::PixelNormalization::uniform(0.1307, 0.3081))
        });
        let unfolded: Vec<f64> = unfolded.iter().map(|&logit| f64::from(logit)).collect();
        assert_close(settings, &folded, &unfolded, 1e-5);
    }
}

/// Post-training quantization: thresholds are those of the scaled weights, activations are observed
/// with the running statistics.
#[test]
fn quantized_without_training() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("float");
    let settings = format!(
        "sgt = false\nbatch-size = 64\nepochs = 2\noptimizer = \"momentum\"\nlr = 0.05\n{}",
        small_network()
    );
    train_in(&out, &settings, Start::New);
    let quantize = |bits: &str, name: &str| {
        let path = folder.path().join(name);
        let calibration =
            ["--calibration", "min-max", "--calibrate", "200", "--weight-quant", "lsq"];
        let result = json(
            &[&["quantize", text(&out), "--bits", bits, "--out", text(&path)], &calibration[..]]
                .concat(),
        );
        (result, Model::load(&path, &QuantizationOverrides::default()).unwrap())
    };
    let (result, _) = quantize("8", "eight.safetensors");
    // In images of 1,000: three may differ.
    let right = |key: &str| (result[key].as_f64().unwrap() * 1000.0).round();
    assert!(
        right("float_accuracy") > 800.0
            && (right("accuracy") - right("float_accuracy")).abs() <= 3.0,
        "{result}"
    );

    let (_, four) = quantize("4", "four.safetensors");
    let folded =
        fold_model(&Model::load(&out, &QuantizationOverrides::default()).unwrap()).unwrap();
    for layer in ["conv1", "conv2"] {
        let weights = folded.graph.layout.find(&format!("{layer}.weight")).unwrap();
        let largest = folded.parameters[weights.range()]
            .iter()
            .fold(0.0f32, |most, weight| most.max(weight.abs()));
        let step = four.parameters
            [four.graph.layout.find(&format!("{layer}.weight_step")).unwrap().offset as usize];
        assert!(
            (step * 7.0 - largest).abs() < 1e-4 * largest,
            "{layer}: step {step}, largest weight {largest}"
        );
    }
}

#[test]
fn on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let config = folder.path().join("run.toml");
    std::fs::write(&config, format!("steps = 3\nsgt = false\n{TINY}")).unwrap();
    let common = ["train", "--config", text(&config), "--out", text(&out)];
    succeed(&[&common[..], &["--batch-norm", "--freeze-bn-after", "2"]].concat());
    let resolved = std::fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(
        resolved.contains("batch-norm = true") && resolved.contains("freeze-bn-after = 2"),
        "{resolved}"
    );
    let exported = folder.path().join("folded.safetensors");
    let said = json(&["export", text(&out), "--fold-batch-norm", "--out", text(&exported)]);
    assert_eq!(said["folded"], serde_json::json!(["bn1", "bn2"]));
    assert_eq!(said["parameters"].as_u64(), Some(1_199_882));
    // PyTorch's names, types and shapes of the network of Table I.
    assert_eq!(Tensors::open(&exported).contents(), Tensors::golden("table1").contents());
    let eval = |model: &Path| json(&["eval", text(model), "--count", "60"]);
    let (unfolded, folded) = (eval(&out), eval(&exported));
    assert_eq!(unfolded["accuracy"], folded["accuracy"]);
    assert!((unfolded["loss"].as_f64().unwrap() - folded["loss"].as_f64().unwrap()).abs() < 1e-5);
    let explained = folder.path().join("explained");
    json(&["explain", text(&out), "--count", "3", "--out", text(&explained)]);
    let maps = Tensors::open(&explained.join("attributions.safetensors")).f32("gradient");
    assert!(maps.iter().any(|&value| value != 0.0) && maps.iter().all(|value| value.is_finite()));

    // Rules of relevance propagation that need folded batch norms fold them.
    let relevance = |model: &Path, to: &str| {
        let to = folder.path().join(to);
        let methods = ["--method", "lrp,lrp-gamma", "--lrp-rule", "z-plus", "--count", "3"];
        let output =
            support::run(&[&["explain", text(model), "--out", text(&to)], &methods[..]].concat());
        assert!(output.status.success(), "{output:?}");
        let maps = Tensors::open(&to.join("attributions.safetensors"));
        let said = String::from_utf8(output.stderr).unwrap();
        (["lrp", "lrp-gamma"].map(|method| maps.f32(method)), said)
    };
    let (maps, said) = relevance(&out, "folded for the rule");
    let line = "its batch norms are folded into the layers in front of them for lrp, lrp-gamma";
    assert_eq!(said.matches(line).count(), 1, "{said}");
    let (expected, said) = relevance(&exported, "folded before");
    assert!(!said.contains("folded into"), "{said}");
    for (own, expected) in maps.iter().zip(expected) {
        let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
        assert_close("relevance", own, &expected, 1e-4);
    }

    // Without our metadata it is what PyTorch writes.
    let model = Model::load(&out, &QuantizationOverrides::default()).unwrap();
    let bare = folder.path().join("bare.safetensors");
    saliq::model::TensorFile::write(
        &bare,
        &Model::tensors(&model.graph.layout, &model.parameters),
        &[],
    )
    .unwrap();
    let read = json(&["eval", text(&bare), "--count", "60", "--dataset", "mnist-mini"]);
    assert_eq!(read["loss"], unfolded["loss"]);

    let message = refused(2, &["train", "--freeze-bn-after", "2", "--out", text(&out)]);
    assert!(message.contains("--batch-norm"), "{message}");
    std::fs::write(&config, SMALL_NETWORK).unwrap();
    let message =
        refused(2, &["train", "--batch-norm", "--config", text(&config), "--out", text(&out)]);
    assert!(message.contains("type = \"batch-norm\""), "{message}");
}

#[test]
fn batches_without_statistics_are_refused() {
    let dataset = mini();
    let nowhere = Path::new("nowhere");
    let refusal = |settings: &str, most: u32| match Trainer::in_parts(
        gpu(),
        &run_config(settings, &dataset, nowhere),
        &dataset,
        most,
    ) {
        Ok(_) => panic!("accepted {settings}"),
        Err(error) => error.to_string(),
    };
    let message = refusal(&format!("{TINY}{}", small_network()), 8);
    assert!(message.contains("batch-size = 16") && message.contains("to 8"), "{message}");
    let short = format!("train-limit = 33\nbatch-size = 16\n{GOLDEN_NETWORK}");
    let message = refusal(&short, 16);
    assert!(
        message.contains("batch-size = 16")
            && message.contains("no variance")
            && message.contains("bn3"),
        "{message}"
    );
    // The third step is the one: a run that ends before it, or has frozen its statistics by then,
    // is none of those.
    assert!(refusal(&format!("steps = 3\n{short}"), 16).contains("freeze-bn-after = 2"));
    refusal(&format!("freeze-bn-after = 3\n{short}"), 16);
    let accepted = |settings: &str, most: u32| {
        if let Err(error) =
            Trainer::in_parts(gpu(), &run_config(settings, &dataset, nowhere), &dataset, most)
        {
            panic!("{settings}: {error}");
        }
    };
    accepted(&format!("steps = 2\n{short}"), 16);
    accepted(&format!("freeze-bn-after = 2\n{short}"), 16);
    let single = format!("train-limit = 3\nbatch-size = 1\n{GOLDEN_NETWORK}");
    assert!(
        refusal(&format!("steps = 1\n{single}"), 1)
            .contains("a batch of one image has no variance")
    );
    accepted(&format!("freeze-bn-after = 0\n{single}"), 1);
    // Many values a channel in one image: torch.nn.BatchNorm2d takes it.
    accepted(&format!("train-limit = 3\nbatch-size = 1\n{}", small_network()), 1);
    // Validation takes its share first: 26 of 33 are left, 10 in the last batch; of 34, 33.
    accepted(&format!("validation-share = 0.2\n{short}"), 16);
    refusal(
        &format!("validation-share = 0.03\ntrain-limit = 34\nbatch-size = 16\n{GOLDEN_NETWORK}"),
        16,
    );
}

/// One value a channel and image.
const SINGLE_VALUES: &str = r#"
[network]
layers = [
    { type = "linear", name = "fc1", out-features = 6 },
    { type = "batch-norm", name = "b1" },
    { type = "activation", name = "act1" },
    { type = "linear", name = "fc2", out-features = 10 },
]
"#;

/// Notes what is said.
#[derive(Default)]
struct Notes(Vec<String>);

impl saliq::train::Observer for Notes {
    fn note(&mut self, text: &str) {
        self.0.push(text.into());
    }
}

/// A run's tensors, the KL terms of its steps, and what was said.
fn run_of(settings: &str) -> (Tensors, Vec<f64>, Vec<String>) {
    let (folder, dataset) = (tempfile::tempdir().unwrap(), mini());
    let config = run_config(&format!("test-limit = 4\n{settings}"), &dataset, folder.path());
    let mut trainer = Trainer::new(gpu(), &config, &dataset)
        .unwrap_or_else(|error| panic!("{settings}: {error}"));
    let mut notes = Notes::default();
    let outcome = pollster::block_on(trainer.run(Start::New, &mut notes))
        .unwrap_or_else(|error| panic!("{settings}: {error}"));
    let kl = outcome.steps.iter().map(|line| line.kl).collect();
    (Tensors::open(&folder.path().join("model.safetensors")), kl, notes.0)
}

/// Half of two images is one: it has no variance, is not masked, and moves no running statistics,
/// as if it were plain training.
#[test]
fn a_masked_part_of_one_image_is_left_out() {
    let settings = |batch: u32, more: &str| {
        format!("train-limit = 12\nbatch-size = {batch}\nlr = 1e-12\n{more}\n{SINGLE_VALUES}")
    };
    let smoot = "sgt-variant = \"smoot\"\nsteps = 5";
    let (lone, kl, notes) = run_of(&settings(2, smoot));
    let (plain, ..) = run_of(&settings(2, "sgt = false\nsteps = 5"));
    assert_eq!([&lone, &plain].map(|run| run.i64("b1.num_batches_tracked")), [[5], [5]]);
    for name in ["b1.running_mean", "b1.running_var"] {
        let expected: Vec<f64> = plain.f32(name).into_iter().map(f64::from).collect();
        assert_close(name, &lone.f32(name), &expected, 1e-6);
    }
    assert_eq!(kl, [0.0; 5]);
    assert!(
        notes.len() == 1 && notes[0].contains("step 1") && notes[0].contains("batch norm b1"),
        "{notes:?}"
    );
    // Two of four count, and so does one alone once the statistics are frozen.
    let (pairs, kl, notes) = run_of(&settings(4, "sgt-variant = \"smoot\"\nsteps = 3"));
    assert!(
        pairs.i64("b1.num_batches_tracked") == [6]
            && kl.iter().all(|&kl| kl > 0.0)
            && notes.is_empty(),
        "{kl:?} {notes:?}"
    );
    let (frozen, kl, notes) = run_of(&settings(2, &format!("{smoot}\nfreeze-bn-after = 2")));
    assert!(frozen.i64("b1.num_batches_tracked") == [2] && notes.len() == 1, "{notes:?}");
    assert!(kl[..2] == [0.0; 2] && kl[2..].iter().all(|&kl| kl > 0.0), "{kl:?}");
}

/// Torch divides by n − 1; a batch of a single value moves nothing at all.
#[test]
fn a_single_value_moves_no_running_statistics() {
    let case = Case { shape: Shape::new(5, 1, 1), first: 1, each: [3, 1], batches: 2, parts: 2 };
    let mut random = Random(11);
    let z = case.random(&mut random, 0.4);
    let (norm, flat, indices) = case.parameters(&mut random);
    let (factors, _) = batch_norm_inference(&norm, false);
    let moments = upload(&vec![UNTOUCHED; case.batches * case.parts * 16]);
    case.moments(&z, &moments);
    let (parameters, coefficients) =
        (upload(&flat), upload(&vec![UNTOUCHED; 4 * case.batches * 8]));
    case.update((&parameters, indices), &moments, &factors, &coefficients, 9);
    let moved: Vec<f32> = read(&parameters, flat.len());
    let values = case.batch(&z, 0);
    for channel in 0..5 {
        let own: Vec<f64> = (0..3).map(|image| values[image * 5 + channel]).collect();
        let mean = own.iter().sum::<f64>() / 3.0;
        let variance = own.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 2.0;
        for (index, before, batch) in [
            (indices.mean, norm.mean[channel], mean),
            (indices.variance, norm.variance[channel], variance),
        ] {
            let now = f64::from(moved[index as usize + channel]);
            assert!(
                (now - ((1.0 - norm.momentum) * before + norm.momentum * batch)).abs() < 1e-5,
                "{index} of channel {channel}: {now}"
            );
        }
    }
    assert_eq!(moved[indices.count as usize], flat[indices.count as usize] + 1.0);
}

/// Where the statistics are frozen from the beginning, a batch may be cut as without batch norm.
#[test]
fn frozen_statistics_do_not_need_a_whole_batch() {
    let dataset = mini();
    let settings = format!(
        "train-limit = 16\n\
         test-limit = 4\n\
         batch-size = 8\n\
         steps = 2\nlr = 0.05\nmask-fill = \"zero\"\nfreeze-bn-after = 0\n{GOLDEN_NETWORK}"
    );
    let [whole, parts] = [8, 3].map(|most| {
        let folder = tempfile::tempdir().unwrap();
        let config = run_config(&settings, &dataset, folder.path());
        let mut trainer = Trainer::in_parts(gpu(), &config, &dataset, most).unwrap();
        pollster::block_on(trainer.run(Start::New, &mut Silent)).unwrap();
        pollster::block_on(trainer.parameters()).unwrap()
    });
    assert_close("parameters", &parts, &doubles(&whole), 1e-6);
}

/// α's are calibrated on batches that have statistics.
#[test]
fn calibration_leaves_a_lone_image_out() {
    let alphas = |limit: u32| {
        let settings = format!(
            "train-limit = {limit}\n\
             batch-size = 16\nsteps = 1\nlr = 1e-30\nbits = \"4,4,4\"\n{GOLDEN_NETWORK}"
        );
        let (tensors, ..) = run_of(&settings);
        ["act1", "act2", "act3"].map(|name| tensors.f32(&format!("{name}.alpha"))[0])
    };
    assert_eq!(alphas(17), alphas(16));
}

#[test]
fn hostile_statistics_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = run_config(&small_network(), &mini(), folder.path());
    let normalize = saliq::config::PixelNormalization::uniform(0.1, 0.3);
    let layout = Graph::new(&config.network, &config.quantization).unwrap().layout;
    let good = layout.initialize(0, config.weight_init);
    let path = folder.path().join("model.safetensors");
    let load = |parameters: &[f32]| {
        Model::save(&path, &config.model_config(normalize, &[]), &layout, parameters).unwrap();
        Model::load(&path, &QuantizationOverrides::default()).map_err(|error| error.to_string())
    };
    assert_eq!(load(&good).unwrap().parameters, good);
    for (name, value, reason) in [
        ("bn1.running_var", -0.5, "must not be negative"),
        ("bn2.running_var", f32::NAN, "NaN"),
        ("bn1.running_mean", f32::INFINITY, "inf"),
        ("bn1.num_batches_tracked", -3.0, "must not be negative"),
    ] {
        let mut parameters = good.clone();
        parameters[layout.find(name).unwrap().offset as usize] = value;
        let message = load(&parameters).unwrap_err();
        assert!(message.contains(name) && message.contains(reason), "{message}");
    }
}
