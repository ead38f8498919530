//! The kernels of networks against their f64 references, one by one: random odd shapes, several
//! tile sizes, ranges of images inside larger buffers, gradients that are set and gradients that
//! are added to. Whole networks are in `core_networks.rs`.

use crate::{
    common::{
        Random, activation_plan, assert_close, device, function_plan, gpu, launch,
        launch_in_two_rows, launch_over, own_gpu, read, submit, uniform, upload_f32 as upload,
        weight_plan,
    },
    support::soak_number,
};
use saliq::{
    Error,
    config::{
        ActivationFunction, ActivationQuantizer, AveragePool, LayerBits, MaxPool as MaxPooling,
        PactKind, QuantizationConfig, Shape, WeightQuantizer, Window,
    },
    gpu::{Binding, Buffer, DeviceProfile, Launch, ProductTiles, Work},
    kernels::{
        self, Activated, ActivationGradient, Add, AverageOfIntegers, AveragePool as Averages,
        AveragePoolGradient, AveragePoolShape, BackwardLayout, ConvolutionCooperative,
        ConvolutionInputGradient, ConvolutionTiled, ConvolutionWeightGradient,
        ConvolutionWeightGradientTiled, CooperativeTiles, CopyChannels, DepthwiseConvolution,
        DepthwiseInputGradient, DepthwiseTiles, DepthwiseWeightGradient, Epilogue, FeatureTiles,
        FullyConnectedWeightGradient, Geometry, Gradient, GroupedConvolution,
        GroupedConvolutionInputGradient, GroupedConvolutionWeightGradient, GroupedShape,
        ImageRange, LearnedStep, LearnedStepGradient, MatrixProduct, MaxPool, MaxPoolGradient,
        Multiply, PoolShape, Prelu, PreluGradient, PreluRule, PreluShape, PreluSlopeGradient,
        PrepareWeights, ProductSum, ReduceWeightGradient, RegisterTiles, SliceShape, SliceWeights,
        SlicedWeights, StripTiles, SumPartials, WeightGradientTiles, WeightRange, WeightShape,
    },
    layout::{groups, padded},
    nn::{StripShape, TileTable},
    quant::{ActivationPlan, WeightQuantizerPlan, highest_level, initial_steps},
    reference::{
        activation::{Activation, Function, LsqPlus, activation},
        activation_gradient::activation_gradient,
        add::add,
        average_pool::{self, average_pool},
        average_pool_gradient::average_pool_gradient,
        convolution::{Convolution, convolution},
        convolution_input_gradient::convolution_input_gradient,
        convolution_weight_gradient::convolution_weight_gradient,
        copy_channels::copy_channels,
        fully_connected_weight_gradient::fully_connected_weight_gradient,
        grouped_convolution::grouped_convolution,
        grouped_convolution_input_gradient::grouped_convolution_input_gradient,
        grouped_convolution_weight_gradient::grouped_convolution_weight_gradient,
        layout::{pack, packed_elements, padding, unpack},
        learned_step_gradient::learned_step_gradient,
        matrix_product::{matrix_product, matrix_product_input_gradient},
        max_pool::{max_pool, output_shape},
        max_pool_gradient::max_pool_gradient,
        multiply::multiply,
        prelu::{prelu, slope_of},
        prelu_gradient::{prelu_gradient, rescaled},
        prelu_slope_gradient::prelu_slope_gradient,
        prepare_weights::{arrange, level, level_range, position, quantize},
        product_sum::product_sum,
        reduce_weight_gradient::reduce_weight_gradient,
        slice_weights::slice_weights,
        storage::f16,
        sum_partials::sum_partials,
        weight_range::weight_range,
        weight_scale::{WeightScale, weight_scale},
    },
    shaders::Specialization,
    storage::Storage,
};

const FORWARD: f64 = 1e-5;
const GRADIENT: f64 = 1e-4;
/// What output buffers hold before: nothing but the images of the range may change.
const UNTOUCHED: f32 = 77.0;

/// A range of images inside buffers that hold more, dispatched for more than it has.
#[derive(Clone, Copy, Debug)]
struct Images {
    first: usize,
    count: usize,
    most: usize,
    slots: usize,
}

impl Images {
    const FEW: Images = Images { first: 2, count: 3, most: 4, slots: 7 };
    const ONE: Images = Images { first: 0, count: 1, most: 1, slots: 1 };

    fn record(self, accumulate: bool) -> Buffer {
        let [first, count] = [self.first, self.count].map(|number| number as u32);
        uniform([first, count, count, u32::from(accumulate)])
    }

    /// The range whose `record` it is.
    fn range(self, record: &Buffer) -> ImageRange<'_> {
        ImageRange { binding: record.into(), most: self.most as u32 }
    }

    /// The range's part of `values`, which hold `slots` images.
    fn of<T: Clone>(self, values: &[T]) -> Vec<T> {
        let size = values.len() / self.slots;
        values[self.first * size..(self.first + self.count) * size].to_vec()
    }

    /// Asserts that `actual` agrees with `expected` (NCHW, the range only), has zeros in its
    /// padding, and is untouched outside the range.
    #[track_caller]
    fn check(self, what: &str, actual: &[f32], shape: Shape, expected: &[f64], tolerance: f64) {
        let size = packed_elements(shape);
        let (first, last) = (self.first * size, (self.first + self.count) * size);
        assert_close(what, &unpack(&actual[first..last], shape), expected, tolerance);
        assert!(
            padding(&actual[first..last], shape).iter().all(|&value| value == 0.0),
            "{what}: padding"
        );
        let outside = actual[..first].iter().chain(&actual[last..self.slots * size]);
        assert!(
            outside.into_iter().all(|&value| value == UNTOUCHED),
            "{what}: wrote outside of its images"
        );
    }
}

fn floats(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn vector(random: &mut Random, count: usize) -> Vec<f64> {
    random.vector(count).into_iter().map(f64::from).collect()
}

fn untouched(count: usize) -> Buffer {
    upload(&vec![UNTOUCHED; count])
}

fn padded_bias(bias: &[f64]) -> Buffer {
    let mut bias = floats(bias);
    bias.resize(padded(bias.len() as u32) as usize, 0.0);
    upload(&bias)
}

/// A bias without activation behind it.
fn plain(bias: &Buffer) -> Activated<'_> {
    let activation = ActivationPlan::NONE;
    Activated { bias, activation, pre_activation: None, parameters: bias }
}

/// Sizes of the forward pass.
fn geometry(shape: &Convolution) -> Geometry {
    Geometry::convolution(shape.input, shape.output(), shape.window)
}

/// Tile sizes of the convolution kernels that tile registers.
#[derive(Clone, Copy, Debug)]
struct Tiles {
    forward: StripTiles,
    input: StripTiles,
    weight: WeightGradientTiles,
    parts: u32,
}

impl Tiles {
    /// A software driver's.
    fn of_table(shape: &Convolution, subgroups: bool) -> Tiles {
        let table = TileTable::for_kind(true).with_subgroups(subgroups);
        let forward = geometry(shape);
        let input = forward.mirrored(shape.out_channels);
        Tiles {
            forward: table.strips(StripShape::of(forward)).unwrap(),
            input: table.strips(StripShape::of(input)).unwrap(),
            weight: table.convolution_weight_gradient(forward),
            parts: 2,
        }
    }
}

/// Whether kernels that share loads within subgroups of 8 lanes run here. Where they do not, `saliq
/// check` (check.rs) validates and translates them all the same.
fn subgroup_variants() -> &'static [bool] {
    if gpu().abilities().subgroup_lanes == Some(8) { &[false, true] } else { &[false] }
}

/// Tiles [rows, columns, groups, lanes, blocks a slice] with weights in storage buffers where there
/// is one lane, else in uniform ones.
fn strip_tiles([rows, columns, groups, lanes, blocks]: [u32; 5]) -> StripTiles {
    StripTiles {
        lanes,
        rows,
        columns,
        groups,
        blocks,
        uniform: lanes > 1,
        subgroups: false,
        images: 1,
    }
}

/// Tile sizes of the same passes as matrix products in workgroup memory.
#[derive(Clone, Copy, Debug)]
struct Products {
    forward: ProductTiles,
    input: ProductTiles,
    weight: ProductTiles,
    parts: u32,
}

impl Products {
    /// A GPU's.
    fn of_table(shape: &Convolution) -> Products {
        let table = TileTable::for_kind(false);
        let forward = geometry(shape);
        Products {
            forward: table.product_of(forward).unwrap(),
            input: table.product_of(forward.mirrored(shape.out_channels)).unwrap(),
            weight: table.weight_gradient_product_of(forward).unwrap(),
            parts: 2,
        }
    }
}

/// Tiles [row lanes, column lanes, rows, depth of a slab, slices].
fn product_tiles([row_lanes, column_lanes, rows, deep, slices]: [u32; 5]) -> ProductTiles {
    ProductTiles { row_lanes, column_lanes, rows, deep, slices }
}

/// Dispatches `convolution_tiled` from input and weights to output; `mirrored` is the gradient of a
/// convolution's input.
fn run_tiled(
    images: ImageRange<'_>,
    (tiles, geometry, mirrored): (ProductTiles, Geometry, bool),
    [input, weight, output]: [Binding<'_>; 3],
    end: Epilogue<'_>,
) {
    launch_in_two_rows(&ConvolutionTiled {
        images,
        input,
        weight,
        output,
        end,
        geometry,
        mirrored,
        tiles,
        storage: Storage::default(),
        work: Work::default(),
    });
}

/// Dispatches `convolution_weight_gradient_tiled` from input and output's gradient to parts.
fn run_tiled_parts(
    images: ImageRange<'_>,
    (tiles, geometry, part_count): (ProductTiles, Geometry, u32),
    [input, output_gradient, parts]: [Binding<'_>; 3],
) {
    launch(&ConvolutionWeightGradientTiled {
        images,
        input,
        output_gradient,
        parts,
        part_count,
        geometry,
        tiles,
        storage: Storage::default(),
        work: Work::default(),
    });
}

/// Dispatches `slice_weights` for every slice of `weight`, looks at what it made, and hands the
/// slices to `then`.
fn with_slices(
    tiles: StripTiles,
    geometry: Geometry,
    mirrored: bool,
    weight: &[f64],
    then: impl Fn(SlicedWeights<'_>),
) {
    let StripTiles { groups, blocks, uniform: is_uniform, .. } = tiles;
    let [_, _, out_groups] = geometry.output;
    let (in_channels, kernel) = (4 * geometry.input[2], geometry.window.kernel);
    let shape = SliceShape { out_groups, in_channels, kernel, blocks, groups, mirrored };
    let expected = slice_weights(
        weight,
        (kernel.map(|size| size as usize), in_channels as usize, out_groups as usize),
        [blocks as usize, groups as usize],
        mirrored,
    );
    assert_eq!(expected.len() as u32, tiles.slices(out_groups));
    let whole = upload(&floats(weight));
    for (index, expected) in (0..).zip(expected) {
        let first = uniform([index * blocks * groups, 0, 0, 0]);
        let bytes = expected.len() as u64 * 4;
        let sliced =
            if is_uniform { gpu().uniform("slice", bytes) } else { gpu().buffer("slice", bytes) };
        let sliced = sliced.unwrap();
        launch(&SliceWeights { slice: &first, weight: &whole, sliced: &sliced, shape });
        assert_eq!(read::<f32>(&sliced, expected.len()), floats(&expected));
        let left = out_groups.div_ceil(groups) - index * blocks;
        then(SlicedWeights { weight: &sliced, slice: &first, blocks: left.min(blocks) });
    }
}

/// One convolution on the GPU: its buffers' data, and dispatches with any tiles.
struct ConvolutionOnGpu {
    shape: Convolution,
    images: Images,
    input: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    /// Groups of channels that are convolved on their own.
    groups: u32,
    /// Whether it runs by the kernels for these.
    is_grouped: bool,
}

impl ConvolutionOnGpu {
    fn new(
        random: &mut Random,
        shape: [u32; 4],
        window: impl Into<Window>,
        images: Images,
    ) -> Self {
        let [in_channels, height, width, out_channels] = shape;
        let input = Shape::new(in_channels, height, width);
        let shape =
            Convolution { images: images.count, input, out_channels, window: window.into() };
        ConvolutionOnGpu {
            shape,
            images,
            input: vector(random, images.slots * input.elements() as usize),
            weight: vector(random, shape.weights()),
            bias: vector(random, out_channels as usize),
            groups: 1,
            is_grouped: false,
        }
    }

    /// As [`Self::new`], over `groups` of channels and for the kernels of those.
    fn grouped(
        random: &mut Random,
        shape: [u32; 4],
        window: Window,
        groups: u32,
        images: Images,
    ) -> Self {
        let mut case = ConvolutionOnGpu::new(random, shape, window, images);
        case.weight.truncate(case.shape.weights() / groups as usize);
        ConvolutionOnGpu { groups, is_grouped: true, ..case }
    }

    /// The weights as the kernels for groups read them: [tap, input of the group, output (padded)].
    fn unpadded(&self) -> Buffer {
        let (taps, outputs) = (self.shape.window.taps() as usize, self.shape.out_channels as usize);
        let inputs = self.weight.len() / (taps * outputs);
        let stride = outputs.next_multiple_of(4);
        let mut arranged = vec![0.0; taps * inputs * stride];
        for (at, &weight) in self.weight.iter().enumerate() {
            let (output, input, tap) = (at / (taps * inputs), at / taps % inputs, at % taps);
            arranged[(tap * inputs + input) * stride + output] = weight;
        }
        upload(&floats(&arranged))
    }

    fn arranged(&self) -> [Buffer; 2] {
        self.arrangements().map(|values| upload(&floats(&values)))
    }

    /// The weights' two arrangements.
    fn arrangements(&self) -> [Vec<f64>; 2] {
        let shape = [self.shape.out_channels, self.shape.input.channels, self.shape.window.taps()]
            .map(|size| size as usize);
        arrange(&self.weight, shape, true)
    }

    /// What output and pre-activation hold after `run`, which is given the images, the input, the
    /// output and what becomes of the sums; `pact` with its α, which is parameter 2.
    fn forward_by(
        &self,
        pact: Option<(ActivationPlan, f32)>,
        run: impl Fn(ImageRange<'_>, [Binding<'_>; 2], Activated<'_>),
    ) -> [Vec<f32>; 2] {
        let (shape, size) = (&self.shape, self.images.slots * packed_elements(self.shape.output()));
        let (input, values, before) =
            (upload(&pack(&self.input, shape.input)), untouched(size), untouched(size));
        let (record, bias) = (self.images.record(false), padded_bias(&self.bias));
        let (activation, alpha) = pact.unwrap_or((ActivationPlan::NONE, 0.0));
        let parameters = upload(&[0.0, 0.0, alpha]);
        let pre_activation = pact.map(|_| Binding::from(&before));
        let end = Activated { bias: &bias, activation, pre_activation, parameters: &parameters };
        run(self.images.range(&record), [&input, &values].map(Binding::from), end);
        [read(&values, size), read(&before, size)]
    }

    /// (output, pre-activation) buffers' content.
    fn forward(&self, tiles: StripTiles, pact: Option<(ActivationPlan, f32)>) -> [Vec<f32>; 2] {
        let (geometry, [weight, _]) = (geometry(&self.shape), self.arrangements());
        self.forward_by(pact, |images, [input, output], end| {
            with_slices(tiles, geometry, false, &weight, |weights| {
                launch_in_two_rows(&kernels::Convolution {
                    images,
                    input,
                    weights,
                    output,
                    end,
                    choice: None,
                    geometry,
                    tiles,
                    storage: Storage::default(),
                    work: Work::default(),
                });
            });
        })
    }

    /// As `forward`, as a matrix product.
    fn tiled_forward(
        &self,
        tiles: ProductTiles,
        pact: Option<(ActivationPlan, f32)>,
    ) -> [Vec<f32>; 2] {
        let [weight, _] = self.arranged();
        let sizes = (tiles, geometry(&self.shape), false);
        self.forward_by(pact, |images, [input, output], end| {
            run_tiled(images, sizes, [input, (&weight).into(), output], Epilogue::Activated(end));
        })
    }

    /// As `forward`, of levels, as a product of cooperative matrices, behind unsigned LSQ
    /// activations (whose parameter is the step) and with symmetric weights of a step a channel,
    /// binary ones of 1 bit.
    fn cooperative_forward(
        &self,
        tiles: CooperativeTiles,
        input_step: f32,
        steps: &[f32],
        [input_levels, weight_levels]: [u32; 2],
    ) -> Vec<f32> {
        let mut constants: Vec<[f32; 4]> =
            steps.iter().map(|&step| [step, 0.0, 0.0, 0.0]).collect();
        constants.resize(padded(self.shape.out_channels) as usize, [1.0, 0.0, 0.0, 0.0]);
        let (parameters, constants) =
            (upload(&[0.0, input_step]), upload(constants.as_flattened()));
        let [weight, _] = self.arranged();
        let bits = |levels: u32| (levels + 1).ilog2();
        let lsq = (ActivationQuantizer::Lsq, PactKind::Unsigned, bits(input_levels));
        let quantizer =
            if weight_levels == 1 { WeightQuantizer::Binary } else { WeightQuantizer::Symmetric };
        let [values, _] = self.forward_by(None, |images, [input, output], end| {
            launch_in_two_rows(&ConvolutionCooperative {
                images,
                input,
                weight: &weight,
                output,
                end: Activated { parameters: &parameters, ..end },
                quantizer: &constants,
                geometry: geometry(&self.shape),
                input_activation: activation_plan(lsq, 1),
                plan: weight_plan(quantizer, bits(weight_levels), true),
                tiles,
                storage: Storage::default(),
                work: Work::default(),
            });
        });
        values
    }

    /// What the input's gradient holds after `run`, which is given the images, the output's
    /// gradient and the input's.
    fn input_gradient_by(
        &self,
        output_gradient: &[f64],
        run: impl Fn(ImageRange<'_>, [Binding<'_>; 2]),
    ) -> Vec<f32> {
        let size = self.images.slots * packed_elements(self.shape.input);
        let record = self.images.record(false);
        let (from, to) = (upload(&pack(output_gradient, self.shape.output())), untouched(size));
        run(self.images.range(&record), [&from, &to].map(Binding::from));
        read(&to, size)
    }

    fn input_gradient(&self, tiles: StripTiles, output_gradient: &[f64]) -> Vec<f32> {
        let geometry = geometry(&self.shape).mirrored(self.shape.out_channels);
        let [_, weight] = self.arrangements();
        self.input_gradient_by(output_gradient, |images, [output_gradient, input_gradient]| {
            with_slices(tiles, geometry, true, &weight, |weights| {
                launch_in_two_rows(&ConvolutionInputGradient {
                    images,
                    output_gradient,
                    weights,
                    input_gradient,
                    chosen: None,
                    end: Gradient::Plain,
                    geometry,
                    tiles,
                    storage: Storage::default(),
                    work: Work::default(),
                });
            });
        })
    }

    fn tiled_input_gradient(&self, tiles: ProductTiles, output_gradient: &[f64]) -> Vec<f32> {
        let [_, weight] = self.arranged();
        let sizes = (tiles, geometry(&self.shape).mirrored(self.shape.out_channels), true);
        self.input_gradient_by(output_gradient, |images, [from, to]| {
            run_tiled(
                images,
                sizes,
                [from, (&weight).into(), to],
                Epilogue::Gradient(Gradient::Plain),
            );
        })
    }

    /// (∂/∂weight, ∂/∂bias) after both stages, on top of `before`; `run`, the first, is given the
    /// images, the input, the output's gradient and the parts.
    fn weight_gradient_by(
        &self,
        part_count: u32,
        output_gradient: &[f64],
        before: Option<f32>,
        run: impl Fn(ImageRange<'_>, [Binding<'_>; 3]),
    ) -> (Vec<f32>, Vec<f32>) {
        let shape = &self.shape;
        let record = self.images.record(before.is_some());
        let images = self.images.range(&record);
        let (input, gradient) = (
            upload(&pack(&self.input, shape.input)),
            upload(&pack(output_gradient, shape.output())),
        );
        let taps = shape.window.taps();
        let sizes = [shape.out_channels, shape.input.channels / self.groups, taps];
        let weights = WeightShape { grouped: self.is_grouped, ..weight_shape(sizes) };
        let elements = (taps * weights.stored_inputs() + 1) * padded(shape.out_channels);
        let parts = untouched((part_count * elements) as usize);
        run(images, [&input, &gradient, &parts].map(Binding::from));
        let (weight, bias, _) =
            reduce(images, (&parts, part_count), weights, before, float(&floats(&self.weight)));
        (weight, bias)
    }

    fn weight_gradient(
        &self,
        (tiles, part_count): (WeightGradientTiles, u32),
        output_gradient: &[f64],
        before: Option<f32>,
    ) -> (Vec<f32>, Vec<f32>) {
        self.weight_gradient_by(part_count, output_gradient, before, |images, buffers| {
            let [input, output_gradient, parts] = buffers;
            launch(&ConvolutionWeightGradient {
                images,
                input,
                output_gradient,
                parts,
                chosen: None,
                part_count,
                geometry: geometry(&self.shape),
                tiles,
                storage: Storage::default(),
                work: Work::default(),
            });
        })
    }

    fn tiled_weight_gradient(
        &self,
        (tiles, part_count): (ProductTiles, u32),
        output_gradient: &[f64],
        before: Option<f32>,
    ) -> (Vec<f32>, Vec<f32>) {
        let sizes = (tiles, geometry(&self.shape), part_count);
        self.weight_gradient_by(part_count, output_gradient, before, |images, buffers| {
            run_tiled_parts(images, sizes, buffers);
        })
    }
}

/// Weights that are not quantized, as [`reduce`] takes them.
fn float(weight: &[f32]) -> (WeightQuantizerPlan, &[f32], &[[f32; 4]]) {
    (weight_plan(WeightQuantizer::Sawb, 32, false), weight, &[[0.0; 4]])
}

/// Dispatches `reduce_weight_gradient` over parts and their number; weights stand at index 3 and
/// biases after them. The quantizer is (plan, weights, constants). Returns the gradients of weights
/// and biases, and with LSQ the terms of its step's gradient.
fn reduce(
    images: ImageRange<'_>,
    (parts, part_count): (&Buffer, u32),
    shape: WeightShape,
    before: Option<f32>,
    (plan, weight, constants): (WeightQuantizerPlan, &[f32], &[[f32; 4]]),
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let parameters = upload(&[&[0.0; 3], weight].concat());
    let total = (3 + shape.count() + shape.out_channels) as usize;
    let around = before.unwrap_or(UNTOUCHED);
    let gradients = upload(&vec![around; total + 5]);
    let terms = untouched(shape.count() as usize);
    launch(&ReduceWeightGradient {
        images,
        parts: parts.into(),
        parameters: &parameters,
        quantizer: &upload(constants.as_flattened()),
        gradients: &gradients,
        terms: plan.learns_step().then_some(&terms),
        part_count,
        shape,
        plan,
    });
    let values: Vec<f32> = read(&gradients, total + 5);
    assert!(values[..3].iter().chain(&values[total..]).all(|&value| value == around));
    let (own, bias) = values[3..total].split_at(shape.count() as usize);
    (own.to_vec(), bias.to_vec(), read(&terms, shape.count() as usize))
}

/// [out, in, tap] weights at index 3 of the parameters, biases behind them.
fn weight_shape([out_channels, in_channels, taps]: [u32; 3]) -> WeightShape {
    let bias_index = Some(3 + out_channels * in_channels * taps);
    WeightShape { out_channels, in_channels, grouped: false, taps, weight_index: 3, bias_index }
}

/// The three passes in registers and as matrix products, with the tiles given or the tables'.
fn check_convolution(
    seed: u64,
    shape: [u32; 4],
    window: impl Into<Window>,
    images: Images,
    tiles: Option<(Tiles, Products)>,
    before: Option<f32>,
) {
    let (mut random, window) = (Random(seed), window.into());
    let case = ConvolutionOnGpu::new(&mut random, shape, window, images);
    let output = case.shape.output();
    let gradient = vector(&mut random, images.slots * output.elements() as usize);
    let (input, own_gradient) = (images.of(&case.input), images.of(&gradient));
    let (tiles, products) = match tiles {
        Some((tiles, products)) => (vec![tiles], products),
        None => {
            let of_table = |&subgroups: &bool| Tiles::of_table(&case.shape, subgroups);
            (subgroup_variants().iter().map(of_table).collect(), Products::of_table(&case.shape))
        }
    };
    let expected = convolution(&case.shape, &input, &case.weight, &case.bias);
    let expected_input = convolution_input_gradient(&case.shape, &own_gradient, &case.weight);
    let (mut expected_weight, mut expected_bias) =
        convolution_weight_gradient(&case.shape, &input, &own_gradient);
    for value in expected_weight.iter_mut().chain(&mut expected_bias) {
        *value += f64::from(before.unwrap_or(0.0));
    }
    let check = |what: String,
                 [values, _]: [Vec<f32>; 2],
                 actual_input: Vec<f32>,
                 (weight, bias): (Vec<f32>, Vec<f32>)| {
        images.check(&format!("forward {what}"), &values, output, &expected, FORWARD);
        images.check(
            &format!("input gradient {what}"),
            &actual_input,
            case.shape.input,
            &expected_input,
            GRADIENT,
        );
        assert_close(&format!("weight gradient {what}"), &weight, &expected_weight, GRADIENT);
        assert_close(&format!("bias gradient {what}"), &bias, &expected_bias, GRADIENT);
    };
    for tiles in tiles {
        check(
            format!("{shape:?} {window:?} {tiles:?}"),
            case.forward(tiles.forward, None),
            case.input_gradient(tiles.input, &gradient),
            case.weight_gradient((tiles.weight, tiles.parts), &gradient, before),
        );
    }
    check(
        format!("{shape:?} {window:?} {products:?}"),
        case.tiled_forward(products.forward, None),
        case.tiled_input_gradient(products.input, &gradient),
        case.tiled_weight_gradient((products.weight, products.parts), &gradient, before),
    );
}

#[test]
fn convolutions_of_many_shapes_and_tiles() {
    // [in channels, height, width, out channels], [kernel, stride, padding], tiles by hand.
    let hand = |forward, input, [columns, groups, lanes, tap_rows, inputs, parts]: [u32; 6]| {
        let weight =
            WeightGradientTiles { lanes, groups, inputs, tap_rows, columns, subgroups: false };
        Tiles { forward: strip_tiles(forward), input: strip_tiles(input), weight, parts }
    };
    let product = |forward, input, weight: [u32; 4], parts| {
        let [row_lanes, column_lanes, rows, deep] = weight;
        let weight = product_tiles([row_lanes, column_lanes, rows, deep, 1]);
        Products { forward: product_tiles(forward), input: product_tiles(input), weight, parts }
    };
    let cases = [
        (
            ([1, 5, 7, 3], [1, 1, 0], hand([2, 3, 1, 1, 1], [3, 2, 1, 1, 1], [2, 1, 1, 1, 1, 1])),
            product([1, 1, 1, 1, 1], [1, 1, 1, 2, 2], [1, 1, 1, 1], 1),
        ),
        (
            ([3, 6, 5, 7], [2, 1, 1], hand([1, 2, 1, 2, 2], [2, 3, 1, 2, 1], [3, 1, 2, 1, 1, 2])),
            product([4, 2, 3, 4, 1], [8, 1, 2, 4, 2], [2, 2, 2, 3], 2),
        ),
        (
            ([5, 9, 8, 1], [3, 2, 1], hand([1, 2, 1, 1, 1], [2, 4, 2, 1, 1], [2, 1, 1, 2, 2, 3])),
            product([8, 3, 1, 3, 1], [4, 4, 2, 4, 4], [4, 1, 3, 5], 3),
        ),
        (
            ([7, 7, 11, 33], [3, 1, 2], hand([3, 3, 2, 4, 3], [1, 5, 1, 2, 1], [4, 2, 4, 3, 2, 2])),
            product([8, 8, 4, 2, 1], [8, 2, 8, 4, 1], [8, 4, 2, 16], 2),
        ),
        (
            ([33, 5, 6, 5], [3, 1, 1], hand([2, 4, 1, 2, 2], [2, 2, 2, 4, 3], [1, 1, 2, 3, 2, 4])),
            product([8, 2, 2, 16, 8], [4, 16, 2, 4, 1], [4, 8, 2, 7], 4),
        ),
        (
            ([1, 13, 10, 5], [4, 3, 2], hand([1, 2, 1, 4, 1], [3, 3, 1, 1, 1], [2, 1, 2, 3, 1, 2])),
            product([2, 2, 8, 8, 2], [32, 1, 2, 4, 1], [16, 2, 1, 8], 2),
        ),
        (
            ([3, 11, 12, 9], [5, 3, 1], hand([1, 3, 3, 2, 1], [1, 6, 1, 8, 1], [3, 3, 1, 2, 1, 1])),
            product([8, 4, 2, 4, 4], [16, 2, 2, 3, 3], [8, 2, 2, 4], 1),
        ),
        (
            ([5, 10, 9, 7], [5, 2, 2], hand([1, 5, 2, 8, 1], [2, 2, 1, 4, 2], [5, 1, 8, 5, 2, 2])),
            product([16, 3, 4, 6, 2], [8, 2, 2, 4, 1], [32, 2, 2, 16], 2),
        ),
        (
            ([2, 4, 4, 4], [2, 3, 0], hand([1, 3, 1, 3, 1], [1, 3, 1, 8, 1], [1, 1, 1, 2, 1, 3])),
            product([4, 4, 2, 4, 1], [2, 2, 2, 2, 1], [2, 4, 2, 2], 3),
        ),
    ];
    for (index, ((shape, window, tiles), products)) in cases.into_iter().enumerate() {
        let images = if index % 3 == 0 { Images::ONE } else { Images::FEW };
        let tiles = Some((tiles, products));
        check_convolution(
            index as u64,
            shape,
            window,
            images,
            tiles,
            (index % 2 == 1).then_some(0.5),
        );
    }
}

#[test]
fn convolutions_with_the_tables_tiles() {
    let cases = [
        ([1, 9, 9, 7], [3, 1, 0]),
        ([7, 8, 9, 33], [3, 1, 1]),
        ([33, 5, 7, 5], [2, 2, 1]),
        ([3, 11, 13, 6], [5, 3, 2]),
        ([5, 6, 31, 3], [1, 2, 0]),
        ([8, 6, 26, 64], [3, 1, 0]),
        ([33, 1, 1, 70], [1, 1, 0]),
        ([66, 3, 3, 7], [3, 1, 0]),
    ];
    for (index, (shape, window)) in cases.into_iter().enumerate() {
        check_convolution(100 + index as u64, shape, window, Images::FEW, None, None);
    }
}

/// Windows that differ by axis and side, over odd images.
fn odd_windows() -> [(Window, [u32; 2]); 8] {
    let window = |kernel, stride, dilation, padding| Window { kernel, stride, dilation, padding };
    [
        (window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1]), [7, 9]),
        (window([3, 1], [1, 2], [1, 1], [2, 0, 1, 0]), [6, 5]),
        (window([1, 4], [2, 1], [1, 1], [0, 3, 0, 2]), [5, 11]),
        (window([2, 3], [3, 2], [1, 1], [0, 1, 1, 2]), [8, 7]),
        (window([3, 2], [1, 1], [2, 3], [3, 1, 2, 3]), [9, 8]),
        (window([4, 3], [2, 3], [1, 2], [0, 4, 3, 0]), [9, 10]),
        (window([5, 5], [2, 2], [3, 1], [6, 2, 6, 2]), [13, 6]),
        (window([1, 1], [3, 2], [1, 1], [0, 0, 0, 0]), [7, 12]),
    ]
}

#[test]
fn convolutions_of_rectangles() {
    for (index, (window, [height, width])) in odd_windows().into_iter().enumerate() {
        let channels = [[3, 7], [5, 33], [9, 6]][index % 3];
        let shape = [channels[0], height, width, channels[1]];
        check_convolution(150 + index as u64, shape, window, Images::FEW, None, None);
    }
}

/// The three passes of a convolution over groups by its own kernels: depthwise ones for tables of
/// both kinds of adapters where it is one, and those for any sizes.
fn check_grouped(seed: u64, shape: [u32; 4], window: Window, groups: u32, before: Option<f32>) {
    let (mut random, images) = (Random(seed), Images::FEW);
    let case = ConvolutionOnGpu::grouped(&mut random, shape, window, groups, images);
    let what = format!("{shape:?} {window:?} {groups} groups");
    let output = case.shape.output();
    let gradient = vector(&mut random, images.slots * output.elements() as usize);
    let (input, own_gradient) = (images.of(&case.input), images.of(&gradient));
    let of = (&case.shape, groups as usize);
    let expected = grouped_convolution(of.0, of.1, &input, &case.weight, &case.bias);
    let expected_input =
        grouped_convolution_input_gradient(of.0, of.1, &own_gradient, &case.weight);
    let (mut expected_weight, mut expected_bias) =
        grouped_convolution_weight_gradient(of.0, of.1, &input, &own_gradient);
    for value in expected_weight.iter_mut().chain(&mut expected_bias) {
        *value += f64::from(before.unwrap_or(0.0));
    }
    let check =
        |what: &str, values: &[f32], actual: &[f32], (weight, bias): (Vec<f32>, Vec<f32>)| {
            images.check(&format!("forward {what}"), values, output, &expected, FORWARD);
            let input = case.shape.input;
            let label = format!("input gradient {what}");
            images.check(&label, actual, input, &expected_input, GRADIENT);
            assert_close(&format!("weight gradient {what}"), &weight, &expected_weight, GRADIENT);
            assert_close(&format!("bias gradient {what}"), &bias, &expected_bias, GRADIENT);
        };
    let (storage, work, weight) = (Storage::default(), Work::default(), &case.unpadded());
    let shape = GroupedShape { input: case.shape.input, output, window, sets: groups };
    let [values, _] = case.forward_by(None, |images, [input, output], end| {
        let own = GroupedConvolution {
            images,
            input,
            weight,
            output,
            end: Epilogue::Activated(end),
            integers: false,
            shape,
            storage,
            work,
        };
        launch_in_two_rows(&own);
    });
    let actual = case.input_gradient_by(&gradient, |images, [output_gradient, input_gradient]| {
        launch_in_two_rows(&GroupedConvolutionInputGradient {
            images,
            output_gradient,
            weight,
            input_gradient,
            end: Gradient::Plain,
            shape,
            storage,
            work,
        });
    });
    let gradients = case.weight_gradient_by(2, &gradient, before, |images, buffers| {
        let [input, output_gradient, parts] = buffers;
        launch_in_two_rows(&GroupedConvolutionWeightGradient {
            images,
            input,
            output_gradient,
            parts,
            part_count: 2,
            shape,
            storage,
            work,
        });
    });
    check(&what, &values, &actual, gradients);
    if shape.set_channels() != [1, 1] {
        return;
    }
    for software in [true, false] {
        let table = TileTable::for_kind(software);
        let (geometry, channels) = (geometry(&case.shape), case.shape.out_channels);
        let tiles = table.depthwise(geometry);
        // Bands of fewer rows than there are.
        for tiles in [tiles, DepthwiseTiles { rows: 2, lanes: 3, ..tiles }] {
            let [values, _] = case.forward_by(None, |images, [input, output], end| {
                launch_in_two_rows(&DepthwiseConvolution {
                    images,
                    input,
                    weight,
                    output,
                    end: Epilogue::Activated(end),
                    geometry,
                    tiles,
                    storage,
                    work,
                });
            });
            let mirrored = geometry.mirrored(channels);
            let back = DepthwiseTiles { columns: table.depthwise(mirrored).columns, ..tiles };
            let actual =
                case.input_gradient_by(&gradient, |images, [output_gradient, input_gradient]| {
                    launch_in_two_rows(&DepthwiseInputGradient {
                        images,
                        output_gradient,
                        weight,
                        input_gradient,
                        end: Gradient::Plain,
                        geometry: mirrored,
                        tiles: back,
                        storage,
                        work,
                    });
                });
            let gradients = case.weight_gradient_by(4, &gradient, before, |images, buffers| {
                let [input, output_gradient, parts] = buffers;
                launch_in_two_rows(&DepthwiseWeightGradient {
                    images,
                    input,
                    output_gradient,
                    parts,
                    part_count: 4,
                    geometry,
                    tiles,
                    storage,
                    work,
                });
            });
            check(&format!("{what} {tiles:?}"), &values, &actual, gradients);
        }
    }
}

#[test]
fn convolutions_of_groups() {
    let channels = [[6, 9, 3], [8, 8, 2], [12, 6, 6], [5, 5, 1], [10, 20, 5], [4, 24, 2]];
    for (index, (window, [height, width])) in odd_windows().into_iter().enumerate() {
        let [inputs, outputs, groups] = channels[index % channels.len()];
        let before = (index % 2 == 1).then_some(0.5);
        check_grouped(170 + index as u64, [inputs, height, width, outputs], window, groups, before);
    }
}

#[test]
fn depthwise_convolutions() {
    for (index, (window, [height, width])) in odd_windows().into_iter().enumerate() {
        let channels = [5, 8, 1, 34][index % 4];
        let before = (index % 2 == 0).then_some(0.5);
        let shape = [channels, height, width, channels];
        check_grouped(190 + index as u64, shape, window, channels, before);
    }
}

#[test]
fn convolution_applies_pact_and_keeps_its_input() {
    let case = ConvolutionOnGpu::new(&mut Random(7), [3, 6, 7, 5], [3, 1, 1], Images::FEW);
    let expected = convolution(&case.shape, &Images::FEW.of(&case.input), &case.weight, &case.bias);
    let output = case.shape.output();
    // 7 levels.
    for (bits, kind) in
        [(3, PactKind::Unsigned), (4, PactKind::Signed), (4, PactKind::SignedAfterRelu)]
    {
        let alpha = 2.5f32;
        let pact = Some((activation_plan((ActivationQuantizer::Pact, kind, bits), 2), alpha));
        let sliced = product_tiles([8, 2, 2, 8, 4]);
        let outputs = [
            case.forward(strip_tiles([2, 4, 1, 2, 1]), pact),
            case.tiled_forward(Products::of_table(&case.shape).forward, pact),
            case.tiled_forward(sliced, pact),
        ];
        for [values, before] in outputs {
            Images::FEW.check("pre-activation", &before, output, &expected, FORWARD);
            let own = unpack(&Images::FEW.of(&values), output);
            let reference = Activation::Pact { kind, alpha: f64::from(alpha), levels: Some(7.0) };
            let kept = unpack(&Images::FEW.of(&before), output);
            check_levels(&format!("{kind:?}"), &kept, &own, reference);
        }
    }
}

/// Asserts that `output` is the reference's level of `input`, except within 1e-4 of a rounding
/// edge, where either neighbour will do.
#[track_caller]
fn check_levels(what: &str, input: &[f32], output: &[f32], kind: Activation) {
    let step = kind.step().expect("quantized");
    let (low, high) = kind.range();
    let levels = (low / step).round()..=(high / step).round();
    let mut exact = 0;
    for (&x, &y) in input.iter().zip(output) {
        let unrounded = kind.clip(f64::from(x)) / step;
        let (expected, actual) = (activation(kind, f64::from(x)) / step, f64::from(y) / step);
        assert!((actual - actual.round()).abs() < 1e-3, "{what}: {y} is no level");
        if (unrounded - unrounded.floor() - 0.5).abs() > 1e-4 {
            assert_eq!(actual.round(), expected.round(), "{what}: {x}");
            exact += 1;
        } else {
            assert!((actual - unrounded).abs() < 0.501, "{what}: {x}");
        }
        assert!(levels.contains(&actual.round()), "{what}: {x} has a level out of range");
    }
    assert!(
        exact * 100 >= input.len() * 99,
        "{what}: only {exact} of {} away from edges",
        input.len()
    );
}

/// What `convolution_cooperative` computes, from the definition of its sums: factors that f16
/// holds, each sum in f32 in an order of its own, and one multiplication by the product of the
/// steps. `weight` are multiples of a channel's step, `input` levels; both NCHW.
fn cooperative_sums(
    shape: &Convolution,
    input: &[f64],
    weight: &[f64],
    steps: (f32, &[f32]),
    backwards: bool,
) -> Vec<f32> {
    let half =
        |values: &[f64]| -> Vec<f32> { values.iter().map(|&value| f16(value) as f32).collect() };
    let (input, weight, output) = (half(input), half(weight), shape.output());
    let [channels, height, width] = <[u32; 3]>::from(shape.input).map(|size| size as usize);
    let [out_channels, out_height, out_width] = <[u32; 3]>::from(output).map(|size| size as usize);
    let (kernel, stride, padding) = shape.window.square().unwrap().map(|size| size as usize).into();
    let mut sums = Vec::with_capacity(shape.images * output.elements() as usize);
    for image in 0..shape.images {
        for channel in 0..out_channels {
            for (y, x) in (0..out_height).flat_map(|y| (0..out_width).map(move |x| (y, x))) {
                let terms = (0..channels * kernel * kernel).filter_map(|term| {
                    let (i, row, column) = (
                        term / (kernel * kernel),
                        y * stride + term / kernel % kernel,
                        x * stride + term % kernel,
                    );
                    let (row, column) = (row.checked_sub(padding)?, column.checked_sub(padding)?);
                    let at = ((image * channels + i) * height + row) * width + column;
                    (row < height && column < width)
                        .then(|| input[at] * weight[channel * channels * kernel * kernel + term])
                });
                let mut terms: Vec<f32> = terms.collect();
                if backwards {
                    terms.reverse();
                }
                sums.push(terms.iter().sum::<f32>() * (steps.1[channel] * steps.0));
            }
        }
    }
    sums
}

/// The tiles of a GPU for `column_groups`, with this adapter's cooperative matrices.
fn matrices(column_groups: u32) -> Option<CooperativeTiles> {
    TileTable::for_kind(false).with_matrices(gpu()).cooperative(column_groups)
}

/// One line where `convolution_cooperative` cannot run.
fn tell_of_missing_matrices() {
    if matrices(4).is_none() {
        eprintln!(
            "*** NOT RUN ON A DEVICE: convolution_cooperative. {} has no cooperative matrices of \
             f16 that are summed in f32 ***",
            gpu().adapter_name()
        );
    }
}

/// A layer of `sizes` ([in channels, height, width, out channels]) and `window` on levels, by the
/// kernel with tiles that are `cut`, and on the CPU: both must have the sums of the reference,
/// exactly. Returns whether the kernel ran.
fn check_products_of_levels(
    seed: u64,
    sizes: [u32; 4],
    window: [u32; 3],
    [input_levels, weight_levels]: [u32; 2],
    cut: impl Fn(CooperativeTiles) -> CooperativeTiles,
) -> bool {
    let mut random = Random(seed);
    let mut case = ConvolutionOnGpu::new(&mut random, sizes, window, Images::FEW);
    let (shape, output) = (case.shape, case.shape.output());
    assert!(
        window[0].pow(2) * sizes[0] * input_levels * weight_levels <= 1 << 24,
        "the kernel would not be taken"
    );
    // Some windows and filters have the highest level everywhere: sums reach their bound.
    let highest = |random: &mut Random, levels: u32| {
        if random.below(4) == 0 { levels } else { random.below(levels + 1) }
    };
    let input: Vec<f64> = (0..case.input.len())
        .map(|at| {
            if at % 1000 < 500 {
                f64::from(input_levels)
            } else {
                f64::from(highest(&mut random, input_levels))
            }
        })
        .collect();
    let per_channel = shape.weights() / sizes[3] as usize;
    let weight: Vec<f64> = (0..shape.weights())
        .map(|at| match at / per_channel % 3 {
            0 => f64::from(weight_levels),
            1 => -f64::from(weight_levels),
            _ => {
                f64::from(highest(&mut random, weight_levels))
                    * if random.below(2) == 0 { 1.0 } else { -1.0 }
            }
        })
        .collect();
    // Steps are powers of 2 so that values are exact multiples of them, and what is compared is
    // the product alone.
    let input_step = 2f32.powi(-7);
    let steps: Vec<f32> =
        (0..sizes[3]).map(|channel| 2f32.powi(-3 - (channel % 4) as i32)).collect();
    let own_input = case.images.of(&input);
    let exact = convolution(&shape, &own_input, &weight, &vec![0.0; sizes[3] as usize]);
    let scaled: Vec<f64> = (exact.iter().enumerate())
        .map(|(at, sum)| {
            sum * f64::from(input_step)
                * f64::from(steps[at / output.pixels() as usize % sizes[3] as usize])
        })
        .collect();
    let what = format!("seed {seed}: {sizes:?} {window:?} {input_levels} {weight_levels}");
    // In one order of two for many shapes: the CPU takes longer than the GPU.
    for backwards in
        [false, true].into_iter().filter(|one| seed < 1000 || *one == seed.is_multiple_of(2))
    {
        let sums = cooperative_sums(&shape, &own_input, &weight, (input_step, &steps), backwards);
        assert!(
            sums.iter().zip(&scaled).all(|(&sum, &exact)| f64::from(sum) == exact),
            "{what}: not exact"
        );
    }
    let Some(tiles) = matrices(groups(sizes[3])).map(cut) else { return false };
    case.input = input.iter().map(|level| level * f64::from(input_step)).collect();
    case.weight = weight
        .iter()
        .enumerate()
        .map(|(at, level)| level * f64::from(steps[at / per_channel]))
        .collect();
    case.bias.fill(0.0);
    let values = case.cooperative_forward(tiles, input_step, &steps, [input_levels, weight_levels]);
    case.images.check(&what, &values, output, &scaled, 0.0);
    true
}

/// Levels of activations and weights as large as `convolution_cooperative` is taken for. On
/// adapters without cooperative matrices of f16 only its arithmetic is checked, on the CPU; `saliq
/// check` and check.rs hold its code to validation and translation.
#[test]
fn products_of_levels_are_exact() {
    tell_of_missing_matrices();
    for (seed, (sizes, window, levels)) in [
        ([3, 9, 7, 17], [3, 1, 1], [15, 3]),
        ([28, 6, 5, 33], [3, 2, 1], [255, 255]), // 252 products
        ([258, 1, 1, 16], [1, 1, 0], [255, 255]), // the largest sums
        ([64, 4, 4, 40], [2, 1, 0], [255, 15]),
        ([5, 8, 8, 16], [3, 1, 2], [1, 1]),
    ]
    .into_iter()
    .enumerate()
    {
        check_products_of_levels(seed as u64, sizes, window, levels, |tiles| tiles);
    }
}

/// The same of random shapes, `SALIQ_MATRIX_SHAPES` [6] of them from `SALIQ_MATRIX_SEED` [1000] on,
/// mostly with tiles of one matrix, which a software driver compiles quickly.
#[test]
fn products_of_levels_are_exact_in_random_shapes() {
    tell_of_missing_matrices();
    let count = soak_number("SALIQ_MATRIX_SHAPES", 6);
    let (mut seed, mut ran) = (soak_number("SALIQ_MATRIX_SEED", 1000), 0);
    for _ in 0..count {
        let (sizes, window, levels) = loop {
            seed += 1;
            let mut random = Random(seed);
            let kernel = 1 + random.below(4);
            let padding = random.below(kernel);
            let window = [kernel, 1 + random.below(2), padding];
            let side = |random: &mut Random| kernel + random.below(8);
            let sizes =
                [1 + random.below(70), side(&mut random), side(&mut random), 5 + random.below(68)];
            let level = |random: &mut Random| (1 << (1 + random.below(8))) - 1;
            let levels = [level(&mut random), level(&mut random)];
            if kernel.pow(2) * sizes[0] * levels[0] * levels[1] <= 1 << 24 {
                break (sizes, window, levels);
            }
        };
        let cut = |tiles: CooperativeTiles| match seed % 8 {
            0 => tiles,
            1 => CooperativeTiles { rows: 2, columns: tiles.columns.min(2), ..tiles },
            _ => CooperativeTiles { rows: 1, columns: 1, deep: tiles.side / 4, ..tiles },
        };
        ran += u64::from(check_products_of_levels(seed, sizes, window, levels, cut));
    }
    assert!(ran == 0 || ran == count, "{ran} of {count}");
    eprintln!("convolution_cooperative: {ran} random shapes, no difference");
}

/// A driver that multiplies wrongly once is not asked again; one that multiplies rightly is.
#[test]
fn matrices_that_multiply_wrongly_are_not_used() {
    tell_of_missing_matrices();
    let Some(tiles) = matrices(4) else { return };
    let again = pollster::block_on(gpu().reopen()).unwrap();
    let table = || TileTable::for_kind(false).with_matrices(&again).cooperative(4);
    assert_eq!(table(), Some(tiles), "the verdict goes with the device");
    for (verdict, expected) in [(false, None), (true, Some(tiles))] {
        let gpu = own_gpu();
        assert_eq!(gpu.trusts_matrices(|_| Ok(verdict)), verdict);
        assert_eq!(gpu.trusts_matrices(|_| panic!("asked again")), verdict);
        assert_eq!(TileTable::for_kind(false).with_matrices(&gpu).cooperative(4), expected);
    }
    let gpu = own_gpu();
    assert!(!gpu.trusts_matrices(|_| Err(Error::Gpu("no answer".into()))));
}

/// What the page and the program compute is compared with WebGPU's defaults.
#[test]
fn webgpus_defaults_have_a_browsers_kernels() {
    let (full, defaults) = (own_gpu(), device(DeviceProfile::WebGpuDefaults));
    assert_eq!(defaults.compiles_slowly(), full.is_software());
    let images = |gpu| TileTable::new(gpu).matrix_product(32).images;
    assert_eq!(images(&defaults) < images(&full), full.is_software() && !full.compiles_slowly());
}

#[test]
fn equal_windows_give_equal_bits() {
    // Images of period 2 in both directions: outputs two pixels apart see equal windows, whatever
    // tile and lane they fall to.
    let images = Images { first: 0, count: 1, most: 1, slots: 1 };
    let mut case = ConvolutionOnGpu::new(&mut Random(11), [7, 13, 15, 33], [3, 1, 0], images);
    for (index, value) in case.input.iter_mut().enumerate() {
        let (channel, row, column) = (index / (13 * 15), index / 15 % 13, index % 15);
        *value = (((channel * 2 + row % 2) * 2 + column % 2) as f64 * 1.234).sin();
    }
    let output = case.shape.output();
    let check = |what: String, [values, _]: [Vec<f32>; 2]| {
        let values = unpack(&values, output);
        let width = output.width as usize;
        for (index, value) in values.iter().enumerate() {
            let (row, column) = (index / width % output.height as usize, index % width);
            let twin = index - (row - row % 2) * width - (column - column % 2);
            assert_eq!(value.to_bits(), values[twin].to_bits(), "{what} row {row} column {column}");
        }
    };
    let of_table = |&subgroups: &bool| Tiles::of_table(&case.shape, subgroups).forward;
    let hand = [strip_tiles([2, 3, 1, 4, 1]), strip_tiles([1, 5, 2, 8, 2])];
    for tiles in subgroup_variants().iter().map(of_table).chain(hand) {
        check(format!("{tiles:?}"), case.forward(tiles, None));
    }
    for tiles in [[8, 3, 2, 3, 1], [4, 4, 5, 4, 2], [8, 2, 2, 16, 8]].map(product_tiles) {
        check(format!("{tiles:?}"), case.tiled_forward(tiles, None));
    }
    let tiles = Products::of_table(&case.shape).forward;
    check(format!("{tiles:?}"), case.tiled_forward(tiles, None));
}

#[test]
fn matrix_products_and_their_gradients() {
    // [in channels, height, width, out features], [images, groups, lanes] of the product,
    // [features, groups, lanes, parts] of the gradient.
    let cases = [
        ([1, 1, 1, 2], [1, 1, 1], [1, 1, 1, 1], Images::ONE),
        ([5, 2, 3, 7], [2, 1, 2], [2, 1, 1, 2], Images::FEW),
        ([33, 1, 1, 10], [4, 2, 1], [3, 2, 2, 5], Images::FEW),
        (
            [3, 3, 3, 37],
            [3, 2, 4],
            [4, 1, 4, 1],
            Images { first: 1, count: 9, most: 12, slots: 12 },
        ),
        // Lanes that can be a subgroup.
        (
            [5, 3, 5, 70],
            [9, 2, 8],
            [10, 2, 8, 2],
            Images { first: 1, count: 11, most: 13, slots: 13 },
        ),
    ];
    for (seed, ([channels, height, width, outputs], product, gradient_tiles, images)) in
        cases.into_iter().enumerate()
    {
        let (input_shape, output_shape) =
            (Shape::new(channels, height, width), Shape::new(outputs, 1, 1));
        let mut random = Random(seed as u64);
        let features = input_shape.elements() as usize;
        let input = vector(&mut random, images.slots * features);
        let weight = vector(&mut random, features * outputs as usize);
        let bias = vector(&mut random, outputs as usize);
        let gradient = vector(&mut random, images.slots * outputs as usize);
        let (own_input, own_gradient) = (images.of(&input), images.of(&gradient));
        let sizes = [outputs, channels, height * width];
        let [forward, backward] = arrange(&weight, sizes.map(|size| size as usize), false)
            .map(|values| upload(&floats(&values)));
        let bias_buffer = padded_bias(&bias);
        let (in_groups, out_groups) = (packed_elements(input_shape) as u32 / 4, groups(outputs));

        let [per_invocation, per_lane, lanes] = product;
        let record = images.record(false);
        let range = images.range(&record);
        let (packed_input, packed_gradient) =
            (upload(&pack(&input, input_shape)), upload(&pack(&gradient, output_shape)));
        let table = TileTable::for_kind(false);
        // The product and its input's gradient.
        for mirrored in [false, true] {
            let (shape, [in_groups, out_groups]) = match mirrored {
                false => (output_shape, [in_groups, out_groups]),
                true => (input_shape, [out_groups, in_groups]),
            };
            let (factors, end, expected, tolerance) = match mirrored {
                false => (
                    [&packed_input, &forward],
                    Epilogue::Activated(plain(&bias_buffer)),
                    matrix_product(images.count, &own_input, &weight, &bias),
                    FORWARD,
                ),
                true => (
                    [&packed_gradient, &backward],
                    Epilogue::Gradient(Gradient::Plain),
                    matrix_product_input_gradient(images.count, &own_gradient, &weight),
                    GRADIENT,
                ),
            };
            let [input, weight] = factors.map(Binding::from);
            let size = images.slots * packed_elements(shape);
            let check = |what: String, values: &Buffer| {
                let what = format!("{what} {sizes:?}, input gradient {mirrored}");
                images.check(&what, &read(values, size), shape, &expected, tolerance);
            };
            for &subgroups in if lanes == 8 { subgroup_variants() } else { &[false] } {
                let tiles =
                    RegisterTiles { lanes, groups: per_lane, images: per_invocation, subgroups };
                let product = |weight, transposed| {
                    let values = untouched(size);
                    launch(&MatrixProduct {
                        images: range,
                        input,
                        weight,
                        output: (&values).into(),
                        end,
                        transposed,
                        in_groups,
                        out_groups,
                        tiles,
                        storage: Storage::default(),
                        work: Work::default(),
                    });
                    values
                };
                let values = product(weight, false);
                check(format!("{tiles:?}"), &values);
                if mirrored {
                    // The same sums in the same order, from the forward pass's weights.
                    let other = product((&forward).into(), true);
                    assert_eq!(read::<u32>(&other, size), read::<u32>(&values, size), "{tiles:?}");
                }
            }
            let geometry = Geometry::fully_connected(in_groups, out_groups);
            let hand = [product_tiles([4, 2, 3, 4, 2]), product_tiles([8, 4, 1, 8, 1])];
            for tiles in hand.into_iter().chain(table.product_of(geometry)) {
                let values = untouched(size);
                run_tiled(range, (tiles, geometry, false), [input, weight, (&values).into()], end);
                check(format!("{tiles:?}"), &values);
            }
        }

        let [features, per_lane, lanes, part_count] = gradient_tiles;
        let size = (part_count * (in_groups * 4 + 1) * out_groups * 4) as usize;
        let parts = untouched(size);
        let [input, output_gradient, all_parts] =
            [&packed_input, &packed_gradient, &parts].map(Binding::from);
        let check = |what: &str| {
            let (actual, actual_bias, _) = reduce(
                range,
                (&parts, part_count),
                weight_shape(sizes),
                None,
                float(&floats(&weight)),
            );
            let (expected, expected_bias) =
                fully_connected_weight_gradient(images.count, &own_input, &own_gradient);
            assert_close(
                &format!("weight gradient {sizes:?} {what}"),
                &actual,
                &expected,
                GRADIENT,
            );
            assert_close(
                &format!("bias gradient {sizes:?} {what}"),
                &actual_bias,
                &expected_bias,
                GRADIENT,
            );
        };
        launch(&FullyConnectedWeightGradient {
            images: range,
            input,
            output_gradient,
            parts: all_parts,
            part_count,
            in_groups,
            out_groups,
            tiles: FeatureTiles { lanes, groups: per_lane, features },
            storage: Storage::default(),
            work: Work::default(),
        });
        check("in registers");
        let geometry = Geometry::fully_connected(in_groups, out_groups);
        let hand = product_tiles([4, 2, 3, 4, 1]);
        for tiles in [hand].into_iter().chain(table.weight_gradient_product_of(geometry)) {
            gpu().write(&parts, 0, &vec![UNTOUCHED; size]);
            let sizes = (tiles, geometry, part_count);
            run_tiled_parts(range, sizes, [input, output_gradient, all_parts]);
            check(&format!("{tiles:?}"));
        }
    }
}

/// Every activation: its plan with α or step as parameter 1 and an offset as parameter 2, its
/// reference, and these parameters.
fn activations() -> [(ActivationPlan, Activation, [f32; 2]); 22] {
    use PactKind::{Signed, SignedAfterRelu, Unsigned};
    let pact = |kind, bits, levels| {
        let plan = activation_plan((ActivationQuantizer::Pact, kind, bits), 1);
        (plan, Activation::Pact { kind, alpha: 0.75, levels: Some(levels) }, [0.75, 9.0])
    };
    let lsq = |kind, bits, levels, step: f32| {
        let plan = activation_plan((ActivationQuantizer::Lsq, kind, bits), 1);
        (plan, Activation::Lsq { kind, step: f64::from(step), levels }, [step, 9.0])
    };
    // The ends of the range are where inputs are: at 0, 0.75 and −0.75; or 0 is the highest level.
    let lsq_plus = |kind, bits, step: f32, offset: f32| {
        let plan = activation_plan((ActivationQuantizer::LsqPlus, kind, bits), 1);
        let function = if kind == Signed { Function::Identity } else { Function::Relu };
        let levels = 2f64.powi(bits as i32) - 1.0;
        let (wide, zero) = (f64::from(step), f64::from(offset));
        let own = LsqPlus { step: wide, offset: zero, levels, rounding: true };
        (plan, Activation::LsqPlus(function, own), [step, offset])
    };
    let float = |function| {
        let plan = ActivationPlan::of(function);
        (plan, Activation::Float(Function::of(function)), [9.0; 2])
    };
    let offset = |function, step: f32, offset: f32| {
        let plan = function_plan(function, (ActivationQuantizer::Pact, Signed, 3), 1);
        let (wide, zero) = (f64::from(step), f64::from(offset));
        let own = LsqPlus { step: wide, offset: zero, levels: 7.0, rounding: true };
        (plan, Activation::LsqPlus(Function::of(function), own), [step, offset])
    };
    [
        (ActivationPlan::NONE, Activation::None, [9.0; 2]),
        (ActivationPlan::RELU, Activation::Relu, [9.0; 2]),
        pact(Unsigned, 4, 15.0),
        pact(Signed, 2, 1.0),
        pact(SignedAfterRelu, 4, 7.0),
        lsq(Unsigned, 2, 3.0, 0.25),
        lsq(Signed, 2, 1.0, 0.75),
        lsq(SignedAfterRelu, 3, 3.0, 0.25),
        lsq_plus(Unsigned, 2, 0.25, 0.0),
        lsq_plus(Unsigned, 3, 0.25, -0.3),
        lsq_plus(Signed, 3, 0.25, -0.9),
        lsq_plus(Signed, 2, 0.25, -0.8),
        lsq_plus(Signed, 1, 0.75, 0.3),
        float(ActivationFunction::Relu6),
        float(ActivationFunction::LeakyRelu { slope: 0.125 }),
        float(ActivationFunction::Tanh),
        float(ActivationFunction::Sigmoid),
        float(ActivationFunction::Silu),
        float(ActivationFunction::HardSwish),
        offset(ActivationFunction::LeakyRelu { slope: 0.25 }, 0.171, -0.3),
        offset(ActivationFunction::Sigmoid, 0.071, -0.1),
        offset(ActivationFunction::HardSwish, 0.137, -0.4),
    ]
}

/// Asserts that the partial sums of the α or step, and of the offset, of `plan` add up to
/// `expected`.
#[track_caller]
fn check_learned(what: &str, plan: ActivationPlan, sums: [Vec<f32>; 2], expected: [f64; 2]) {
    let learns = [plan.is_pact(), plan.offset_index().is_some()];
    for ((sums, expected), learns) in sums.iter().zip(expected).zip(learns) {
        let sum: f64 = sums.iter().map(|&sum| f64::from(sum)).sum();
        let within = GRADIENT * expected.abs().max(1.0);
        assert!(!learns || (sum - expected).abs() < within, "{what}: {sum}, not {expected}");
    }
}

/// Inputs around the ends of the range, with some exactly on them.
fn activation_inputs(random: &mut Random, count: usize) -> Vec<f64> {
    let at = [0.0, 0.75, -0.75, -0.0];
    vector(random, count)
        .iter()
        .enumerate()
        .map(|(i, x)| if i % 9 == 0 { at[i / 9 % 4] } else { x * 1.3 })
        .collect()
}

#[test]
fn activations_alone_and_their_gradients() {
    let shape = Shape::new(7, 3, 5);
    let images = Images::FEW;
    let elements = packed_elements(shape) as u32 / 4;
    let size = images.slots * packed_elements(shape);
    let mut random = Random(3);
    let x = activation_inputs(&mut random, images.slots * shape.elements() as usize);
    let gradient = vector(&mut random, x.len());
    for (plan, kind, learned) in activations() {
        let what = format!("{kind:?}");
        let record = images.record(false);
        let (input, output, parameters) =
            (upload(&pack(&x, shape)), untouched(size), upload(&[9.0, learned[0], learned[1]]));
        launch(&kernels::Activation {
            images: images.range(&record),
            input: (&input).into(),
            output: (&output).into(),
            parameters: (&parameters).into(),
            elements,
            channels: shape.channels,
            activation: plan,
            storage: Storage::default(),
        });
        let actual: Vec<f32> = read(&output, size);
        let own = images.of(&x);
        let expected: Vec<f64> = own.iter().map(|&x| activation(kind, x)).collect();
        if plan.is_pact() {
            check_levels(&what, &floats(&own), &unpack(&images.of(&actual), shape), kind);
        } else {
            images.check(&what, &actual, shape, &expected, FORWARD);
        }

        for items in [1, 3] {
            let state = if plan.is_derived_from_output() { &output } else { &input };
            let mut start = vec![UNTOUCHED; size];
            let (first, last) = (
                images.first * packed_elements(shape),
                (images.first + images.count) * packed_elements(shape),
            );
            start[first..last].copy_from_slice(&images.of(&pack(&gradient, shape)));
            let blocks = (images.most as u32 * elements).div_ceil(64 * items) as usize;
            let in_place = upload(&start);
            let [sums, offset_sums] = [(); 2].map(|()| untouched(blocks));
            launch(&ActivationGradient {
                images: images.range(&record),
                state: state.into(),
                gradient: (&in_place).into(),
                parameters: (&parameters).into(),
                partial_sums: (&sums).into(),
                offset_sums: (&offset_sums).into(),
                elements,
                items,
                activation: plan,
                storage: Storage::default(),
            });
            let (expected, learned) = activation_gradient(kind, &own, &images.of(&gradient));
            images.check(&what, &read(&in_place, size), shape, &expected, GRADIENT);
            check_learned(
                &what,
                plan,
                [&sums, &offset_sums].map(|sums| read(sums, blocks)),
                learned,
            );
        }
    }
}

#[test]
fn workgroups_past_the_last_sum_change_nothing() {
    // Large dispatches are spread over two dimensions and round up: 3 × 2 workgroups for 4 partial
    // sums. A device that drops writes past a buffer's end forgives this; one that moves them to
    // the last element does not.
    let images = Images { first: 0, count: 1, most: 1, slots: 1 };
    let x = activation_inputs(&mut Random(9), 4 * 256);
    let sums = [[4, 1, 1], [3, 2, 1]].map(|workgroups| {
        let (record, state, gradient) =
            (images.record(false), upload(&floats(&x)), upload(&[0.5; 4 * 256]));
        let (parameters, sums) = (upload(&[9.0, 0.75]), untouched(4));
        let pass = ActivationGradient {
            images: images.range(&record),
            state: (&state).into(),
            gradient: (&gradient).into(),
            parameters: (&parameters).into(),
            partial_sums: (&sums).into(),
            offset_sums: (&sums).into(),
            elements: 256,
            items: 1,
            activation: activations()[2].0,
            storage: Storage::default(),
        };
        launch_over(&pass, workgroups);
        read::<f32>(&sums, 4)
    });
    assert_eq!(sums[0], sums[1]);
    assert!(sums[0].iter().all(|&sum| sum > 0.0));
}

#[test]
fn pooling_and_its_gradient() {
    // [channels, height, width], [kernel, stride], activation in front; padding
    let cases = [
        ([1, 4, 4], [2, 2], 0),
        ([5, 7, 6], [2, 1], 1),
        ([7, 8, 9], [3, 2], 2),
        ([3, 9, 8], [2, 3], 3),
        ([33, 5, 5], [3, 1], 4),
        ([6, 10, 7], [3, 3], 2),
        ([6, 5, 8], [2, 2], 5),
        ([3, 6, 7], [2, 1], 6),
        ([5, 7, 6], [2, 2], 8),
        ([5, 7, 6], [2, 1], 10),
        ([6, 10, 7], [3, 2], 11),
        ([6, 7, 7], [3, 2], 13),
        ([5, 6, 7], [2, 2], 14),
        ([3, 6, 7], [2, 1], 18),
        ([5, 6, 7], [2, 2], 21),
    ];
    let paddings = [
        ([5, 7, 6], [3, 2], 1, 1, false),
        ([6, 7, 7], [3, 2], 2, 1, true),
        ([3, 6, 9], [2, 2], 0, 0, true),
        ([9, 8, 5], [4, 1], 8, 2, true),
        ([1, 1, 2], [3, 2], 1, 1, true),
        ([5, 9, 10], [2, 4], 10, 1, true),
        ([4, 5, 5], [5, 3], 17, 2, false),
    ];
    let cases = cases.map(|(shape, [kernel, stride], number)| {
        (shape, MaxPooling::inside(kernel, stride), number)
    });
    let padded = paddings.map(|(shape, [kernel, stride], number, padding, ceil_mode)| {
        (shape, MaxPooling { window: [kernel, stride, padding].into(), ceil_mode }, number)
    });
    let uneven = [
        ([5, 7, 6], [3, 1], [1, 2], [1, 0, 2, 0], 1, false),
        ([3, 8, 9], [2, 5], [3, 1], [0, 4, 1, 1], 8, true),
        ([6, 6, 7], [1, 7], [2, 1], [0; 4], 10, false),
    ];
    let uneven = uneven.map(|(shape, kernel, stride, padding, number, ceil_mode)| {
        let window = Window { kernel, stride, dilation: [1; 2], padding };
        (shape, MaxPooling { window, ceil_mode }, number)
    });
    let cases = cases.into_iter().chain(padded).chain(uneven);
    for (seed, ([channels, height, width], pool, number)) in cases.enumerate() {
        let images = if seed == 0 { Images::ONE } else { Images::FEW };
        let (plan, kind, learned) = activations()[number];
        let shape = Shape::new(channels, height, width);
        let output = output_shape(shape, pool);
        let what = format!("{shape:?} {pool:?} {kind:?}");
        let mut random = Random(seed as u64);
        let x = activation_inputs(&mut random, images.slots * shape.elements() as usize);
        // Few different values: ties all over. The derivative of a ReLU is taken from y, of PACT
        // from x.
        let y: Vec<f64> = x.iter().map(|&x| (kind.clip(x) * 4.0).round() / 4.0).collect();
        let state = if plan.is_derived_from_output() { &y } else { &x };
        let gradient = vector(&mut random, images.slots * output.elements() as usize);
        let sizes = PoolShape::of_maxima(shape, output, pool);
        let record = images.record(false);
        let size = images.slots * packed_elements(output);
        let (values, choice) = (untouched(size), untouched(size / 4));
        launch(&MaxPool {
            images: images.range(&record),
            input: (&upload(&pack(&y, shape))).into(),
            output: (&values).into(),
            choice: Some((&choice).into()),
            shape: sizes,
            storage: Storage::default(),
        });
        let own_y = images.of(&y);
        let (expected, from) = max_pool(images.count, shape, pool, &own_y);
        images.check(&what, &read(&values, size), output, &expected, 0.0);

        let size = images.slots * packed_elements(shape);
        let items = 2;
        let blocks = (images.most * packed_elements(shape) / 4).div_ceil(64 * items);
        let (values, sums, offset_sums) = (untouched(size), untouched(blocks), untouched(blocks));
        launch(&MaxPoolGradient {
            images: images.range(&record),
            output_gradient: (&upload(&pack(&gradient, output))).into(),
            choice: (&choice).into(),
            state: (&upload(&pack(state, shape))).into(),
            input_gradient: (&values).into(),
            parameters: (&upload(&[9.0, learned[0], learned[1]])).into(),
            partial_sums: (&sums).into(),
            offset_sums: (&offset_sums).into(),
            shape: sizes,
            items: items as u32,
            activation: plan,
            storage: Storage::default(),
        });
        let routed = max_pool_gradient(own_y.len(), &from, &images.of(&gradient));
        // A state that is on both sides the ReLU's output has the derivative of its input.
        let (expected, learned) = activation_gradient(kind, &images.of(state), &routed);
        images.check(&what, &read(&values, size), shape, &expected, GRADIENT);
        assert!(!plan.is_pact() || learned[0] != 0.0, "{what}");
        check_learned(&what, plan, [&sums, &offset_sums].map(|sums| read(sums, blocks)), learned);
    }
}

#[test]
fn average_pooling_and_its_gradient() {
    let mut random = Random(41);
    for number in 0..48 {
        let images = if number == 0 { Images::ONE } else { Images::FEW };
        let kernel = 1 + random.below(5);
        let [height, width] = [0; 2].map(|_| kernel + random.below(7));
        let shape = Shape::new(1 + random.below(9), height, width);
        let mut window = Window::plain([kernel, 1 + random.below(4), random.below(kernel / 2 + 1)]);
        if number >= 32 {
            // Both sides together are at most a window.
            window.kernel = [kernel, kernel + 1];
            window.stride = [1 + random.below(3), 1 + random.below(4)];
            window.padding = [window.padding[0], 0, random.below(kernel / 2 + 1), kernel];
        }
        let pool =
            AveragePool { window, ceil_mode: number % 2 == 1, count_include_pad: number % 4 < 2 };
        let output = average_pool::output_shape(shape, pool);
        let what = format!("{shape:?} {pool:?}");
        let x = vector(&mut random, images.slots * shape.elements() as usize);
        let gradient = vector(&mut random, images.slots * output.elements() as usize);
        let record = images.record(false);
        let sizes = AveragePoolShape { input: shape, output, pool };
        let size = images.slots * packed_elements(output);
        let values = untouched(size);
        launch(&Averages {
            images: images.range(&record),
            input: (&upload(&pack(&x, shape))).into(),
            output: (&values).into(),
            shape: sizes,
            integers: AverageOfIntegers { scale: 1.0, zero: 0.0 },
            storage: Storage::default(),
        });
        let expected = average_pool(images.count, shape, pool, &images.of(&x));
        images.check(&what, &read(&values, size), output, &expected, FORWARD);

        let size = images.slots * packed_elements(shape);
        let values = untouched(size);
        launch(&AveragePoolGradient {
            images: images.range(&record),
            output_gradient: (&upload(&pack(&gradient, output))).into(),
            input_gradient: (&values).into(),
            shape: sizes,
            storage: Storage::default(),
        });
        let expected = average_pool_gradient(images.count, shape, pool, &images.of(&gradient));
        images.check(&what, &read(&values, size), shape, &expected, GRADIENT);
    }
}

#[test]
fn learned_slopes_and_what_comes_back_through_them() {
    let mut random = Random(47);
    for (number, per_channel) in [false, true, true].into_iter().enumerate() {
        let images = if number == 0 { Images::ONE } else { Images::FEW };
        let shape = Shape::new(3 + 4 * number as u32, 3, 2);
        let count = if per_channel { shape.channels as usize } else { 1 };
        let slopes = vector(&mut random, count);
        let pixels = shape.pixels() as usize;
        let what = format!("{shape:?}, {count} slopes");
        let x = vector(&mut random, images.slots * shape.elements() as usize);
        let gradient = vector(&mut random, x.len());
        let stored = slopes.iter().map(|&slope| slope as f32);
        let parameters = upload(&[7.0, 7.0].into_iter().chain(stored).collect::<Vec<f32>>());
        let sizes = PreluShape { shape, slope_index: 2, per_channel };
        let record = images.record(false);
        let size = images.slots * packed_elements(shape);
        let (state, storage) = (upload(&pack(&x, shape)), Storage::default());
        let values = untouched(size);
        launch(&Prelu {
            images: images.range(&record),
            input: (&state).into(),
            output: (&values).into(),
            parameters: (&parameters).into(),
            shape: sizes,
            storage,
        });
        let own = images.of(&x);
        let y = prelu(&own, &slopes, pixels);
        images.check(&what, &read(&values, size), shape, &y, FORWARD);

        let from = images.of(&gradient);
        let expected = prelu_gradient(&own, &slopes, pixels, &from);
        let guided: Vec<f64> = expected.iter().map(|value| value.max(0.0)).collect();
        for (rule, expected) in [(PreluRule::Gradient, &expected), (PreluRule::Guided, &guided)] {
            let values = upload(&pack(&gradient, shape));
            launch(&PreluGradient {
                images: images.range(&record),
                state: (&state).into(),
                gradient: (&values).into(),
                parameters: (&parameters).into(),
                shape: sizes,
                rule,
                storage,
            });
            let found = images.of(&read(&values, size));
            assert_close(&format!("{what}, {rule:?}"), &unpack(&found, shape), expected, GRADIENT);
        }
        // Baselines that are the same, or far away on either side of 0.
        let base: Vec<f64> = own
            .iter()
            .enumerate()
            .map(|(at, x)| if at % 3 == 0 { *x } else { x - 1.5 * x.signum() })
            .collect();
        let end = images.first + images.count;
        let twins = [&x[..end * shape.elements() as usize], &base].concat();
        let values = upload(&pack(&gradient, shape));
        launch(&PreluGradient {
            images: images.range(&record),
            state: (&upload(&pack(&twins, shape))).into(),
            gradient: (&values).into(),
            parameters: (&parameters).into(),
            shape: sizes,
            rule: PreluRule::Rescale,
            storage,
        });
        let expected: Vec<f64> = (0..own.len())
            .map(|at| {
                let slope = slopes[slope_of(count, pixels, at)];
                rescaled(own[at], base[at], slope) * from[at]
            })
            .collect();
        let found = images.of(&read(&values, size));
        assert_close(&format!("{what}, rescale"), &unpack(&found, shape), &expected, GRADIENT);
        let sums = untouched(count + 3);
        launch(&PreluSlopeGradient {
            images: images.range(&record),
            state: (&state).into(),
            gradient: (&upload(&pack(&gradient, shape))).into(),
            gradients: &sums,
            shape: PreluShape { slope_index: 1, ..sizes },
            storage,
        });
        let expected = prelu_slope_gradient(&own, count, pixels, &from);
        let found = read(&sums, count + 3);
        assert_close(&what, &found[1..=count], &expected, GRADIENT);
    }
}

#[test]
fn sums_of_two_values() {
    let mut random = Random(43);
    for (number, images) in [Images::FEW, Images::ONE, Images::FEW].into_iter().enumerate() {
        let [height, width] = [0; 2].map(|_| 1 + random.below(9));
        let shape = Shape::new(1 + random.below(9), height, width);
        let count = images.slots * shape.elements() as usize;
        let [left, right] = [(); 2].map(|()| vector(&mut random, count));
        let (record, size) = (images.record(false), images.slots * packed_elements(shape));
        let [one, other] = [&left, &right].map(|values| upload(&pack(values, shape)));
        let parameters = upload(&[0.0f32, 0.75]);
        let bits = LayerBits { weight: 32, activation: 3 };
        let quantization = QuantizationConfig::default();
        let pact =
            ActivationPlan::new(&quantization, ActivationFunction::Relu, bits, (Some(1), None))
                .unwrap();
        for plan in [ActivationPlan::NONE, ActivationPlan::RELU, pact] {
            let (values, sums) = (untouched(size), untouched(size));
            let sum = Add {
                images: images.range(&record),
                left: (&one).into(),
                right: Some((&other).into()),
                output: (&values).into(),
                pre_activation: Some((&sums).into()),
                parameters: (&parameters).into(),
                elements: shape.pixels() * shape.channels.div_ceil(4),
                activation: plan,
                storage: Storage::default(),
            };
            launch(&sum);
            let what = format!("{number} {shape:?} {plan:?}");
            let before = add(&images.of(&left), &images.of(&right));
            let expected: Vec<f64> = match plan.function() {
                ActivationFunction::Identity if !plan.is_pact() => before.clone(),
                ActivationFunction::Relu if !plan.is_pact() => {
                    before.iter().map(|x| x.max(0.0)).collect()
                }
                _ => {
                    let kind = Activation::new(PactKind::Unsigned, bits, 0.75);
                    before.iter().map(|&x| activation(kind, x)).collect()
                }
            };
            // A sum next to an edge may come to either level.
            let near = before.iter().any(|x| {
                let position = x / 0.75 * 7.0;
                (position - position.floor() - 0.5).abs() < 1e-5
            });
            assert!(!near, "{what}");
            images.check(&what, &read(&values, size), shape, &expected, FORWARD);
            if plan.is_pact() {
                images.check(&what, &read(&sums, size), shape, &before, FORWARD);
            }
            // Once more onto what is there, and a copy over it.
            let plain = Add { activation: ActivationPlan::NONE, pre_activation: None, ..sum };
            launch(&Add { right: None, ..plain });
            let twice = add(&expected, &images.of(&left));
            images.check(&what, &read(&values, size), shape, &twice, FORWARD);
            launch(&kernels::Activation {
                images: plain.images,
                input: plain.left,
                output: plain.output,
                parameters: plain.parameters,
                elements: plain.elements,
                channels: shape.channels,
                activation: plain.activation,
                storage: plain.storage,
            });
            images.check(&what, &read(&values, size), shape, &images.of(&left), 0.0);
        }
    }
}

#[test]
fn channels_are_put_among_others() {
    let mut random = Random(47);
    for number in 0..40 {
        let images = if number == 0 { Images::ONE } else { Images::FEW };
        let [height, width] = [0; 2].map(|_| 1 + random.below(4));
        let from_shape = Shape::new(1 + random.below(11), height, width);
        let count = 1 + random.below(from_shape.channels);
        let to_first = random.below(9);
        let to_shape = Shape::new(to_first + count + random.below(6), height, width);
        let first = [random.below(from_shape.channels - count + 1), to_first];
        let what = format!("{from_shape:?} {to_shape:?} {first:?} {count}");
        let [from, before] = [from_shape, to_shape]
            .map(|shape| vector(&mut random, images.slots * shape.elements() as usize));
        let (record, output) = (images.record(false), upload(&pack(&before, to_shape)));
        launch(&CopyChannels {
            images: images.range(&record),
            from: (&upload(&pack(&from, from_shape))).into(),
            to: (&output).into(),
            pixels: height * width,
            channels: [from_shape.channels, to_shape.channels],
            first,
            count,
            storage: Storage::default(),
        });
        let mut expected = before.clone();
        let mut own = images.of(&before);
        copy_channels((&images.of(&from), from_shape), (&mut own, to_shape), first, count);
        let start = images.first * to_shape.elements() as usize;
        expected[start..start + own.len()].copy_from_slice(&own);
        let actual: Vec<f32> = read(&output, images.slots * packed_elements(to_shape));
        assert_eq!(actual, pack(&expected, to_shape), "{what}");
    }
}

#[test]
fn products_and_their_sums() {
    let mut random = Random(48);
    for number in 0..24 {
        let (broadcast, twins) = (number % 2 == 1, number % 4 > 1);
        // Twins stand behind the images.
        let images = match (twins, number) {
            (true, _) => Images { first: 0, count: 3, most: 4, slots: 6 },
            (false, 0) => Images::ONE,
            (false, _) => Images::FEW,
        };
        let [height, width] = [0; 2].map(|_| 1 + random.below(6));
        let shape = Shape::new(1 + random.below(9), height, width);
        let small = if broadcast { Shape::new(shape.channels, 1, 1) } else { shape };
        let [left, right, large] = [shape, small, shape]
            .map(|shape| vector(&mut random, images.slots * shape.elements() as usize));
        let what = format!("{shape:?} {broadcast} {twins}");
        let (record, size) = (images.record(false), images.slots * packed_elements(shape));
        let values = untouched(size);
        let scale = if twins { 0.5 } else { 1.0 };
        let factors = |values: &[f64], shape: Shape| -> Vec<f64> {
            let own = images.of(values);
            let behind = &values[images.count * shape.elements() as usize..];
            match twins {
                true => own.iter().zip(behind).map(|(a, b)| 0.5 * (a + b)).collect(),
                false => own,
            }
        };
        launch(&Multiply {
            images: images.range(&record),
            left: (&upload(&pack(&left, shape))).into(),
            right: (&upload(&pack(&right, small))).into(),
            output: (&values).into(),
            shape,
            broadcast,
            twins,
            scale,
            storage: Storage::default(),
        });
        let expected = multiply(&images.of(&left), &factors(&right, small));
        images.check(&what, &read(&values, size), shape, &expected, FORWARD);

        let channel = Shape::new(shape.channels, 1, 1);
        let size = images.slots * packed_elements(channel);
        let values = untouched(size);
        launch(&ProductSum {
            images: images.range(&record),
            left: (&upload(&pack(&left, shape))).into(),
            right: (&upload(&pack(&large, shape))).into(),
            output: (&values).into(),
            shape,
            twins,
            scale,
            storage: Storage::default(),
        });
        let pixels = shape.pixels() as usize;
        let expected = product_sum(&images.of(&left), &factors(&large, shape), pixels);
        images.check(&what, &read(&values, size), channel, &expected, GRADIENT);
    }
}

#[test]
fn partial_sums_are_set_or_added() {
    for count in [1usize, 64, 131] {
        let partial_sums = vector(&mut Random(count as u64), count);
        for (accumulate, scale) in [(false, 1.0), (true, 1.0), (true, 0.25)] {
            let gradients = upload(&[UNTOUCHED, 2.5, UNTOUCHED]);
            let record = Images::ONE.record(accumulate);
            launch(&SumPartials {
                images: Images::ONE.range(&record),
                partial_sums: (&upload(&floats(&partial_sums))).into(),
                gradients: &gradients,
                count: count as u32,
                index: 1,
                scale,
            });
            let scaled: Vec<f64> = partial_sums.iter().map(|sum| scale * sum).collect();
            let expected = sum_partials(&scaled, accumulate.then_some(2.5));
            let actual: Vec<f32> = read(&gradients, 3);
            assert!((f64::from(actual[1]) - expected).abs() < 1e-5, "{actual:?} {expected}");
            assert_eq!([actual[0], actual[2]], [UNTOUCHED; 2]);
        }
    }
}
/// In any order of its buffers a kernel gets the same ones.
#[test]
fn buffers_are_bound_by_their_names() {
    let partial_sums = [1.0, 2.5, -0.25];
    let (gradients, record) = (untouched(6), Images::ONE.record(false));
    let buffers =
        [("images", &record), ("partial_sums", &upload(&partial_sums)), ("gradients", &gradients)];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (index, order) in (0u32..).zip(orders) {
        let specialization = Specialization::new()
            .tile("WORKGROUP", kernels::ELEMENTWISE)
            .constant("COUNT", partial_sums.len() as u32)
            .constant("INDEX", index)
            .constant("SCALE", 1.0);
        let bound = order.iter().fold(Launch::new("sum_partials", specialization), |own, &at| {
            let (name, buffer) = buffers[at];
            own.bind(name, buffer)
        });
        submit(bound);
    }
    assert_eq!(read::<f32>(&gradients, 6), [3.25; 6]);
}

const QUANTIZED: [u32; 3] = [5, 3, 9];

/// Weight tensors [5, 3, 3, 3] that are hard on a quantizer, with their names.
fn weight_tensors() -> Vec<(&'static str, Vec<f32>)> {
    let mut random = Random(21);
    let count = QUANTIZED.iter().product::<u32>() as usize;
    let mut plain = || random.vector(count);
    let with = |mut values: Vec<f32>, change: &dyn Fn(usize, f32) -> f32| {
        values.iter_mut().enumerate().for_each(|(index, value)| *value = change(index, *value));
        values
    };
    vec![
        ("random", plain()),
        ("small", with(plain(), &|_, w| 0.05 * w)),
        ("all positive", with(plain(), &|_, w| w.abs() + 0.5)),
        ("all negative", with(plain(), &|_, w| -w.abs() - 0.5)),
        ("constant", vec![0.3; count]),
        ("negative constant", vec![-0.3; count]),
        ("zero", vec![0.0; count]),
        ("a zero channel", with(plain(), &|index, w| if index / 27 == 2 { 0.0 } else { w })),
        (
            "channels of different size",
            with(plain(), &|index, w| w * 10f32.powi(2 - (index / 27) as i32)),
        ),
        ("huge", with(plain(), &|_, w| w * 1e20)),
        ("tiny", with(plain(), &|_, w| w * 1e-20)),
        ("an outlier", with(plain(), &|index, w| if index == 40 { 300.0 } else { w * 0.1 })),
    ]
}

/// More weights than a driver takes in loops of one weight an iteration.
#[test]
fn ranges_of_many_weights() {
    let inputs = 70_001;
    let shape = weight_shape([3, inputs, 1]);
    let mut random = Random(77);
    let values: Vec<f32> = (0..3 + 3 * inputs).map(|_| 0.1 * random.signed()).collect();
    let statistics = untouched(12);
    launch(&WeightRange { parameters: &upload(&values), statistics: &statistics, shape });
    let statistics = read::<f32>(&statistics, 12);
    for (own, weights) in
        statistics.as_chunks::<4>().0.iter().zip(values[3..].chunks_exact(inputs as usize))
    {
        let weights: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
        let expected = saliq::reference::weight_range::weight_range(&weights);
        let largest = expected.largest.max(-expected.smallest);
        let mean = expected.absolute_sum / expected.count / largest;
        let variance = expected.square_sum / expected.count / largest.powi(2) - mean.powi(2);
        let all = [expected.smallest, expected.largest, mean, variance];
        assert_close("statistics", own, &all, 1e-5);
    }
}

fn check_weight_quantizer(quantizer: WeightQuantizer, bits: u32, per_channel: bool) {
    let [out_channels, in_channels, taps] = QUANTIZED;
    let shape = weight_shape(QUANTIZED);
    let (per, count) = (shape.fan_in() as usize, shape.count() as usize);
    let plan = weight_plan(quantizer, bits, per_channel);
    let levels = f64::from((1u32 << bits) - 1);
    let step_count = if per_channel { out_channels as usize } else { 1 };
    for (name, weight) in weight_tensors() {
        let what = format!("{quantizer:?}, {bits} bits, per channel {per_channel}, {name}");
        let mut values = vec![UNTOUCHED; 3];
        values.extend(&weight);
        let bias: Vec<f32> = (0..out_channels).map(|channel| channel as f32 + 0.25).collect();
        values.extend(&bias);
        let steps = match plan.learns_step() {
            true => initial_steps(&weight, step_count, highest_level(bits)),
            false => Vec::new(),
        };
        values.extend(&steps);
        let (parameters, statistics, constants) = (upload(&values), untouched(20), untouched(20));
        if plan.learns_step() {
            launch(&LearnedStep {
                parameters: &parameters,
                quantizer: &constants,
                channels: out_channels,
                step_index: 3 + shape.count() + out_channels,
                plan,
            });
        } else {
            launch(&WeightRange { parameters: &parameters, statistics: &statistics, shape });
            launch(&kernels::WeightScale {
                statistics: &statistics,
                quantizer: &constants,
                channels: out_channels,
                plan,
            });
        }
        let (in_padded, out_padded) = (padded(in_channels), padded(out_channels));
        let size = (taps * in_padded * out_padded) as usize;
        let [forward, backward] = [(); 2].map(|()| upload(&vec![0.0; size]));
        let bias_buffer = upload(&vec![0.0; out_padded as usize]);
        launch(&PrepareWeights {
            parameters: &parameters,
            quantizer: &constants,
            forward_weight: &forward,
            bias: &bias_buffer,
            shape,
            backward: Some((&backward, BackwardLayout::TapsFirst)),
            plan,
        });

        // 1. The constants are the reference's.
        let constants: Vec<[f32; 4]> = read::<f32>(&constants, 20).as_chunks::<4>().0.to_vec();
        let latent: Vec<f64> = weight.iter().map(|&w| f64::from(w)).collect();
        let mut scales = Vec::new();
        for (channel, actual) in constants.iter().enumerate() {
            let own =
                if per_channel { &latent[channel * per..(channel + 1) * per] } else { &latent[..] };
            let expected = match steps.get(channel % step_count) {
                Some(&step) => WeightScale::Lsq { step: f64::from(step) },
                None => weight_scale(quantizer, bits, &weight_range(own)),
            };
            scales.push(check_constants(&what, actual, expected, levels));
        }

        // 2. With the constants, levels and values are the reference's wherever f32 does not decide
        //    a tie.
        let (forward, backward): (Vec<f32>, Vec<f32>) =
            (read(&forward, size), read(&backward, size));
        let mut quantized = vec![0.0f32; count];
        let mut exact = 0;
        for (index, &w) in latent.iter().enumerate() {
            let (o, i, tap) =
                (index / per, index / taps as usize % in_channels as usize, index % taps as usize);
            let value = forward[(tap * in_padded as usize + i) * out_padded as usize + o];
            quantized[index] = value;
            let scale = scales[o];
            let actual = match scale {
                WeightScale::Affine { step, zero, .. } => f64::from(value) / step + zero,
                WeightScale::Dorefa { .. } => (f64::from(value) + 1.0) * levels / 2.0,
                WeightScale::Sawb { clip } if clip > 0.0 => {
                    (f64::from(value) + clip) * levels / (2.0 * clip)
                }
                WeightScale::Symmetric { step } | WeightScale::Lsq { step } => {
                    f64::from(value) / step
                }
                WeightScale::Binary { mean } if mean > 0.0 => (f64::from(value) / mean + 1.0) / 2.0,
                WeightScale::Binary { .. } => 1.0 + f64::from(value),
                _ => f64::from(value),
            };
            let (lowest, highest) = level_range(scale, levels);
            let is_level = (actual - actual.round()).abs() < 1e-3
                && (lowest..=highest).contains(&actual.round());
            assert!(is_level, "{what}: {w} → {value}");
            let distance = position(scale, levels, w);
            if (distance - distance.floor() - 0.5).abs() > 1e-4 {
                exact += 1;
                assert_eq!(actual.round(), level(scale, levels, w), "{what}: level of {w}");
                let expected = quantize(scale, levels, w);
                let size = match scale {
                    WeightScale::Affine { low, high, .. } => high - low,
                    WeightScale::Sawb { clip } => clip,
                    WeightScale::Symmetric { step } | WeightScale::Lsq { step } => highest * step,
                    WeightScale::Binary { mean } => mean,
                    _ => 1.0,
                };
                assert!(
                    (f64::from(value) - expected).abs() <= 1e-6 * size,
                    "{what}: {w} → {value}, not {expected}"
                );
            }
        }
        // Halves are not rare by themselves: 0 between two levels of dorefa and sawb, weights all
        // equal to the end of a range. A constant is half of LSQ's first step at 2 bits.
        let half_a_step = plan.learns_step() && bits == 2 && name.ends_with("constant");
        let on_edges = bits == 1
            || half_a_step
            || ["zero", "a zero channel", "an outlier", "channels of different size"]
                .contains(&name);
        assert!(
            on_edges || exact * 100 >= count * 97,
            "{what}: only {exact} of {count} away from edges"
        );

        // 3. Both arrangements hold these values and zeros in their padding; biases are copied.
        let natural: Vec<f64> = quantized.iter().map(|&w| f64::from(w)).collect();
        let arranged = arrange(&natural, QUANTIZED.map(|size| size as usize), true)
            .map(|values| floats(&values));
        assert!(arranged[0] == forward && arranged[1] == backward, "{what}: arrangement");
        assert_eq!(read::<f32>(&bias_buffer, out_channels as usize), bias, "{what}: bias");
    }
}

/// Asserts that a kernel's constants are those of `expected` to 2e-5 (SAWB's difference of two near
/// numbers costs digits), and returns them.
#[track_caller]
fn check_constants(
    what: &str,
    actual: &[f32; 4],
    expected: WeightScale,
    levels: f64,
) -> WeightScale {
    let values = actual.map(f64::from);
    let close = |a: f64, e: f64| {
        assert!((a - e).abs() <= 2e-5 * e.abs(), "{what}: {actual:?}, not {expected:?}")
    };
    match expected {
        WeightScale::Affine { step, zero, low, high } => {
            close(values[0], step);
            let position = -low / step;
            if (position - position.floor() - 0.5).abs() > 1e-4 {
                assert_eq!(values[1], zero, "{what}: zero point");
            } else {
                assert!((values[1] - position).abs() < 0.501, "{what}: zero point");
            }
            assert_eq!([values[2], values[3]], [low, high], "{what}: range");
            WeightScale::Affine { step: values[0], zero: values[1], low, high }
        }
        WeightScale::Dorefa { largest } => {
            close(values[0], largest);
            WeightScale::Dorefa { largest: values[0] }
        }
        WeightScale::Sawb { clip } => {
            close(values[0], clip);
            WeightScale::Sawb { clip: values[0] }
        }
        WeightScale::Symmetric { step } => {
            close(values[0], step);
            assert_eq!((values[1], values[2]), level_range(expected, levels), "{what}: levels");
            WeightScale::Symmetric { step: values[0] }
        }
        WeightScale::Lsq { step } => {
            assert_eq!(values[0], step, "{what}: step");
            assert_eq!((values[1], values[2]), level_range(expected, levels), "{what}: levels");
            expected
        }
        WeightScale::Binary { mean } => {
            close(values[0], mean);
            WeightScale::Binary { mean: values[0] }
        }
        WeightScale::Float => expected,
    }
}

#[test]
fn affine_weights_of_2_to_8_bits() {
    for bits in 2..=8 {
        check_weight_quantizer(WeightQuantizer::Affine, bits, bits % 2 == 0);
    }
    check_weight_quantizer(WeightQuantizer::Affine, 2, false);
}

#[test]
fn dorefa_weights_of_2_to_8_bits() {
    for bits in 2..=8 {
        check_weight_quantizer(WeightQuantizer::Dorefa, bits, bits % 2 == 1);
    }
    check_weight_quantizer(WeightQuantizer::Dorefa, 2, true);
}

#[test]
fn sawb_weights_of_all_their_widths() {
    for bits in [2, 3, 4, 5, 8] {
        check_weight_quantizer(WeightQuantizer::Sawb, bits, bits % 2 == 1);
    }
    check_weight_quantizer(WeightQuantizer::Sawb, 4, true);
}

#[test]
fn symmetric_weights_of_2_to_8_bits() {
    for bits in 2..=8 {
        check_weight_quantizer(WeightQuantizer::Symmetric, bits, bits % 2 == 0);
    }
    check_weight_quantizer(WeightQuantizer::Symmetric, 2, false);
}

#[test]
fn learned_step_weights_of_2_to_8_bits() {
    for bits in 2..=8 {
        check_weight_quantizer(WeightQuantizer::Lsq, bits, bits % 2 == 1);
    }
    check_weight_quantizer(WeightQuantizer::Lsq, 2, true);
}

#[test]
fn binary_weights() {
    for per_channel in [false, true] {
        check_weight_quantizer(WeightQuantizer::Binary, 1, per_channel);
    }
}

#[test]
fn weight_gradients_pass_through_the_quantizers() {
    let [out_channels, in_channels, taps] = QUANTIZED;
    let sizes = QUANTIZED.map(|size| size as usize);
    let count = sizes.iter().product::<usize>();
    let mut random = Random(31);
    let weight: Vec<f64> = vector(&mut random, count).iter().map(|w| 1.5 * w).collect();
    let stride = ((taps * padded(in_channels) + 1) * padded(out_channels)) as usize;
    let part_count = 3;
    let gradients: Vec<Vec<f64>> = (0..part_count).map(|_| vector(&mut random, count)).collect();
    let mut parts = Vec::new();
    for gradient in &gradients {
        let [mut part, _] = arrange(gradient, sizes, true).map(|values| floats(&values));
        part.resize(stride, 1.5);
        parts.extend(part);
    }
    let parts = upload(&parts);
    use WeightQuantizer::{Affine, Binary, Dorefa, Lsq, Sawb, Symmetric};
    let scales = [
        ((Affine, 32), WeightScale::Float, [0.0; 4]),
        (
            (Affine, 4),
            WeightScale::Affine { step: 0.1, zero: 4.0, low: -0.5, high: 0.75 },
            [0.1, 4.0, -0.5, 0.75],
        ),
        ((Dorefa, 4), WeightScale::Dorefa { largest: 0.75 }, [0.75, 0.0, 0.0, 0.0]),
        ((Sawb, 4), WeightScale::Sawb { clip: 0.625 }, [0.625, 0.25, 0.0, 0.0]),
        ((Symmetric, 4), WeightScale::Symmetric { step: 0.25 }, [0.25, -7.0, 7.0, 0.0]),
        ((Lsq, 4), WeightScale::Lsq { step: 0.125 }, [0.125, -8.0, 7.0, 0.0]),
        ((Binary, 1), WeightScale::Binary { mean: 0.5 }, [0.5, 0.0, 0.0, 0.0]),
    ];
    for ((quantizer, bits), scale, constants) in scales {
        let plan = weight_plan(quantizer, bits, true);
        for before in [None, Some(0.5f32)] {
            let record = Images::FEW.record(before.is_some());
            let constants = vec![constants; out_channels as usize];
            let quantizer = (plan, &floats(&weight)[..], &constants[..]);
            let images = Images::FEW.range(&record);
            let (actual, bias, terms) =
                reduce(images, (&parts, part_count), weight_shape(QUANTIZED), before, quantizer);
            if plan.learns_step() {
                check_step_gradients(&terms, &gradients, &weight, (0.125, plan));
            }
            let before = f64::from(before.unwrap_or(0.0));
            let expected = reduce_weight_gradient(
                &gradients,
                &weight,
                &vec![scale; sizes[0]],
                15.0,
                Some(&vec![before; count]),
            );
            assert_close(&format!("{scale:?}"), &actual, &expected, GRADIENT);
            assert_close("bias", &bias, &vec![4.5 + before; sizes[0]], GRADIENT);
        }
    }
}

/// The gradients of one step for all weights, and of one an output channel (all of them `step`, −8
/// … 7), set and added to.
fn check_step_gradients(
    terms: &[f32],
    parts: &[Vec<f64>],
    weight: &[f64],
    (step, plan): (f64, WeightQuantizerPlan),
) {
    let gradient: Vec<f64> =
        (0..weight.len()).map(|index| parts.iter().map(|part| part[index]).sum()).collect();
    for count in [1, QUANTIZED[0] as usize] {
        let expected = learned_step_gradient(&gradient, weight, &vec![step; count], (-8.0, 7.0));
        let elements = weight.len() / count;
        for before in [None, Some(0.5)] {
            let gradients = upload(&vec![before.unwrap_or(UNTOUCHED); count + 3]);
            let record = Images::ONE.record(before.is_some());
            launch(&LearnedStepGradient {
                images: Images::ONE.range(&record),
                terms: &upload(terms),
                gradients: &gradients,
                steps: count as u32,
                elements: elements as u32,
                step_index: 2,
                plan,
            });
            let actual: Vec<f32> = read(&gradients, count + 3);
            let expected: Vec<f64> =
                expected.iter().map(|g| g + f64::from(before.unwrap_or(0.0))).collect();
            assert_close("step gradients", &actual[2..2 + count], &expected, GRADIENT);
            let around = [actual[0], actual[1], actual[count + 2]];
            assert_eq!(around, [before.unwrap_or(UNTOUCHED); 3], "beside the steps");
        }
    }
}

#[test]
fn widths_without_levels_are_refused() {
    let plan = |weight_quant, bits| {
        let quantization = QuantizationConfig { weight_quant, ..Default::default() };
        WeightQuantizerPlan::new(&quantization, LayerBits { weight: bits, activation: 32 })
    };
    let refusal = |quantizer, bits| plan(quantizer, bits).unwrap_err().to_string();
    assert!(refusal(WeightQuantizer::Sawb, 6).contains("sawb"));
    assert!(refusal(WeightQuantizer::Affine, 1).contains("affine"));
    assert!(plan(WeightQuantizer::Sawb, 4).is_ok());
}
