//! The kernels of networks against their f64 references, one by one: random odd shapes, several
//! tile sizes, ranges of images inside larger buffers, gradients that are set and gradients that
//! are added to. Whole networks are in `core_networks.rs`.

use saliq::{
    config::{LayerBits, PactKind, QuantizationConfig, Shape, WeightQuantizer},
    gpu::{Buffer, Specialization},
    layout::{groups, padded},
    nn::{
        CooperativeTiles, Pooling, ProductTiles, StripShape, StripTiles, TileTable,
        WeightGradientTiles,
    },
    quant::{highest_level, initial_steps, sawb_coefficients},
    reference::{
        activation::{Activation, activation},
        activation_gradient::activation_gradient,
        convolution::{Convolution, convolution},
        convolution_input_gradient::convolution_input_gradient,
        convolution_weight_gradient::convolution_weight_gradient,
        fully_connected_weight_gradient::fully_connected_weight_gradient,
        layout::{pack, packed_elements, padding, unpack},
        learned_step_gradient::learned_step_gradient,
        matrix_product::{matrix_product, matrix_product_input_gradient},
        max_pool::{max_pool, output_shape},
        max_pool_gradient::max_pool_gradient,
        prepare_weights::{arrange, level, level_range, position, quantize},
        reduce_weight_gradient::reduce_weight_gradient,
        slice_weights::slice_weights,
        storage::f16,
        sum_partials::sum_partials,
        weight_range::weight_range,
        weight_scale::{WeightScale, weight_scale},
    },
};

use crate::common::{Random, assert_close, gpu, read, run, upload_f32 as upload};

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
        let buffer = gpu().uniform("images", 16).unwrap();
        gpu().write(
            &buffer,
            0,
            &[self.first as u32, self.count as u32, self.count as u32, u32::from(accumulate)],
        );
        buffer
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

fn no_activation(specialization: Specialization) -> Specialization {
    specialization.feature("pact", false).constant("ACTIVATION", 0u32)
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
        let output = shape.output();
        let (in_groups, out_groups) = (groups(shape.input.channels), groups(shape.out_channels));
        let (kernel, depth) = (shape.kernel, shape.input.channels.min(4));
        let forward = StripShape {
            out_groups,
            in_groups,
            depth,
            pixels: [output.height, output.width],
            kernel,
            stride: shape.stride,
            spacing: 1,
            pooling: Pooling::None,
            images: 1,
        };
        let input = StripShape {
            out_groups: in_groups,
            in_groups: out_groups,
            depth: shape.out_channels.min(4),
            pixels: [shape.input.height, shape.input.width],
            stride: 1,
            spacing: shape.stride,
            ..forward
        };
        Tiles {
            forward: table.strips(forward).unwrap(),
            input: table.strips(input).unwrap(),
            weight: table.convolution_weight_gradient(
                [in_groups, out_groups],
                output.width,
                kernel,
                depth,
                false,
            ),
            parts: 2,
        }
    }
}

/// Whether kernels that share loads within subgroups of 8 lanes run here. Where they do not, `saliq
/// check` (`check.rs`) validates and translates them all the same.
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
        let (in_groups, out_groups) = (groups(shape.input.channels), groups(shape.out_channels));
        let (output, taps) = (shape.output(), shape.kernel * shape.kernel);
        Products {
            forward: table.product(out_groups, output.pixels(), taps * in_groups).unwrap(),
            input: table.product(in_groups, shape.input.pixels(), taps * out_groups).unwrap(),
            weight: table.weight_gradient_product(out_groups, taps * in_groups + 1).unwrap(),
            parts: 2,
        }
    }
}

/// Tiles [row lanes, column lanes, rows, depth of a slab, slices].
fn product_tiles([row_lanes, column_lanes, rows, deep, slices]: [u32; 5]) -> ProductTiles {
    ProductTiles { row_lanes, column_lanes, rows, deep, slices }
}

/// Constants of a tiled product: shapes are [height, width, groups], the window [kernel, stride,
/// padding].
fn tiled_constants(
    tiles: ProductTiles,
    input: [u32; 3],
    output: [u32; 3],
    window: [u32; 3],
    depth: u32,
) -> Specialization {
    let specialization = tiles.specialize(Specialization::new()).tile("DEPTH", depth);
    let names = [
        ["IN_HEIGHT", "IN_WIDTH", "IN_GROUPS"],
        ["OUT_HEIGHT", "OUT_WIDTH", "OUT_GROUPS"],
        ["KERNEL", "STRIDE", "PADDING"],
    ];
    let values = [input, output, window];
    let pairs = names.as_flattened().iter().zip(values.as_flattened());
    pairs.fold(specialization, |specialization, (&name, &value)| {
        specialization.constant(name, value)
    })
}

/// Dispatches `convolution_tiled`; `spacing` is 0 in forward passes.
fn run_tiled(
    images: Images,
    tiles: ProductTiles,
    [input, output, window]: [[u32; 3]; 3],
    depth: u32,
    spacing: u32,
    bindings: &[&Buffer],
    more: impl Fn(Specialization) -> Specialization,
) {
    let (rows, columns) = tiles.workgroups(images.most as u32 * output[0] * output[1], output[2]);
    let specialization = tiled_constants(tiles, input, output, window, depth)
        .feature("sliced", tiles.slices > 1)
        .feature("bias", bindings.len() > 4)
        .constant("MIRRORED", u32::from(spacing > 0))
        .constant("SPACING", spacing.max(1));
    // Two rows of workgroups, as where one would be too long.
    run("convolution_tiled", more(specialization), bindings, [rows.div_ceil(2), 2, columns]);
}

fn dimensions(shape: Shape) -> [u32; 3] {
    [shape.height, shape.width, groups(shape.channels)]
}

fn convolution_constants(specialization: Specialization, shape: &Convolution) -> Specialization {
    let output = shape.output();
    specialization
        .constant("IN_HEIGHT", shape.input.height)
        .constant("IN_WIDTH", shape.input.width)
        .constant("IN_GROUPS", groups(shape.input.channels))
        .constant("OUT_HEIGHT", output.height)
        .constant("OUT_WIDTH", output.width)
        .constant("OUT_GROUPS", groups(shape.out_channels))
}

/// One convolution on the GPU: its bindings' data, and dispatches with any tiles.
struct ConvolutionOnGpu {
    shape: Convolution,
    images: Images,
    input: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl ConvolutionOnGpu {
    fn new(
        random: &mut Random,
        shape: [u32; 4],
        [kernel, stride, padding]: [u32; 3],
        images: Images,
    ) -> Self {
        let [in_channels, height, width, out_channels] = shape;
        let input = Shape::new(in_channels, height, width);
        let shape =
            Convolution { images: images.count, input, out_channels, kernel, stride, padding };
        ConvolutionOnGpu {
            shape,
            images,
            input: vector(random, images.slots * input.elements() as usize),
            weight: vector(random, shape.weights()),
            bias: vector(random, out_channels as usize),
        }
    }

    fn arranged(&self) -> [Buffer; 2] {
        self.arrangements().map(|values| upload(&floats(&values)))
    }

    fn padded_bias(&self) -> Buffer {
        let mut bias = floats(&self.bias);
        bias.resize(padded(self.shape.out_channels) as usize, 0.0);
        upload(&bias)
    }

    /// Dispatches `slice_weights` and `convolution` for every slice: forward, or mirrored with the
    /// stride as SPACING.
    fn run_strips(
        &self,
        tiles: StripTiles,
        [input, output, window]: [[u32; 3]; 3],
        (spacing, weight): (Option<u32>, &[f64]),
        [images, from, to]: [&Buffer; 3],
        epilogue: &[&Buffer],
        more: impl Fn(Specialization) -> Specialization,
    ) {
        let StripTiles { lanes, groups, blocks, uniform, .. } = tiles;
        let taps = window[0] * window[0];
        let sizes = [taps, 4 * input[2], output[2]];
        let depth =
            if spacing.is_some() { self.shape.out_channels } else { self.shape.input.channels }
                .min(4);
        let [kernel, stride, padding] = window;
        let specialization = tiles
            .specialize(Specialization::new(), tiles.weights(taps * sizes[1]))
            .tile("KERNEL", kernel)
            .tile("STRIDE", stride)
            .tile("SPACING", spacing.unwrap_or(1))
            .tile("PADDING", padding)
            .tile("DEPTH", depth)
            .feature("bias", !epilogue.is_empty())
            .constant("IN_HEIGHT", input[0])
            .constant("IN_WIDTH", input[1])
            .constant("IN_GROUPS", input[2])
            .constant("OUT_HEIGHT", output[0])
            .constant("OUT_WIDTH", output[1])
            .constant("OUT_GROUPS", output[2]);
        let specialization = more(specialization);
        let slicing = Specialization::new()
            .constant("BLOCKS", blocks)
            .constant("GROUPS", groups)
            .constant("KERNEL", kernel)
            .constant("IN_CHANNELS", sizes[1])
            .constant("OUT_GROUPS", sizes[2])
            .constant("MIRRORED", u32::from(spacing.is_some()));
        let expected = slice_weights(
            weight,
            [kernel, sizes[1], sizes[2]].map(|size| size as usize),
            [blocks as usize, groups as usize],
            spacing.is_some(),
        );
        assert_eq!(expected.len() as u32, tiles.slices(output[2]));
        let whole = upload(&floats(weight));
        let strips = tiles.strips(self.images.most as u32, [output[0], output[1]]);
        for (index, expected) in (0..).zip(expected) {
            let record = gpu().uniform("first group", 16).unwrap();
            gpu().write(&record, 0, &[index * blocks * groups]);
            let bytes = expected.len() as u64 * 4;
            let sliced =
                if uniform { gpu().uniform("slice", bytes) } else { gpu().buffer("slice", bytes) }
                    .unwrap();
            let workgroups = tiles.weights(taps * sizes[1]).div_ceil(64);
            run("slice_weights", slicing.clone(), &[&record, &whole, &sliced], [workgroups, 1, 1]);
            assert_eq!(read::<f32>(&sliced, expected.len()), floats(&expected));
            let mut bindings = vec![images, from, &sliced, &record, to];
            bindings.extend(epilogue);
            // Two rows of workgroups, as where one would be too long.
            let left = output[2].div_ceil(groups) - index * blocks;
            run(
                "convolution",
                specialization.clone(),
                &bindings,
                [strips.div_ceil(lanes).div_ceil(2), 2, left.min(blocks)],
            );
        }
    }

    /// The weights' two arrangements.
    fn arrangements(&self) -> [Vec<f64>; 2] {
        let shape = [self.shape.out_channels, self.shape.input.channels, self.shape.kernel.pow(2)]
            .map(|size| size as usize);
        arrange(&self.weight, shape, true)
    }

    /// (output, pre-activation) buffers' content; `pact` is [kind, levels, α].
    fn forward(&self, tiles: StripTiles, pact: Option<[f32; 3]>) -> [Vec<f32>; 2] {
        let (shape, output) = (&self.shape, self.shape.output());
        let size = self.images.slots * packed_elements(output);
        let (input, values, before) =
            (upload(&pack(&self.input, shape.input)), untouched(size), untouched(size));
        let (images, bias) = (self.images.record(false), self.padded_bias());
        let parameters = upload(&[0.0, 0.0, pact.map_or(0.0, |[_, _, alpha]| alpha)]);
        let mut epilogue = vec![&bias];
        epilogue.extend(pact.iter().flat_map(|_| [&before, &parameters]));
        let sizes = [
            dimensions(shape.input),
            dimensions(output),
            [shape.kernel, shape.stride, shape.padding],
        ];
        let [weight, _] = self.arrangements();
        self.run_strips(
            tiles,
            sizes,
            (None, &weight),
            [&images, &input, &values],
            &epilogue,
            |specialization| match pact {
                None => no_activation(specialization),
                Some([kind, levels, _]) => specialization
                    .feature("pact", true)
                    .constant("ACTIVATION", kind)
                    .constant("LEVELS", levels)
                    .constant("ALPHA_INDEX", 2u32),
            },
        );
        [read(&values, size), read(&before, size)]
    }

    /// As `forward`, as a matrix product.
    fn tiled_forward(&self, tiles: ProductTiles, pact: Option<[f32; 3]>) -> [Vec<f32>; 2] {
        let (shape, output) = (&self.shape, self.shape.output());
        let size = self.images.slots * packed_elements(output);
        let (input, values, before) =
            (upload(&pack(&self.input, shape.input)), untouched(size), untouched(size));
        let (images, [weight, _], bias) =
            (self.images.record(false), self.arranged(), self.padded_bias());
        let parameters = upload(&[0.0, 0.0, pact.map_or(0.0, |[_, _, alpha]| alpha)]);
        let mut bindings = vec![&images, &input, &weight, &values, &bias];
        bindings.extend(pact.iter().flat_map(|_| [&before, &parameters]));
        let sizes = [
            dimensions(shape.input),
            dimensions(output),
            [shape.kernel, shape.stride, shape.padding],
        ];
        run_tiled(
            self.images,
            tiles,
            sizes,
            shape.input.channels.min(4),
            0,
            &bindings,
            |specialization| match pact {
                None => no_activation(specialization),
                Some([kind, levels, _]) => specialization
                    .feature("pact", true)
                    .constant("ACTIVATION", kind)
                    .constant("LEVELS", levels)
                    .constant("ALPHA_INDEX", 2u32),
            },
        );
        [read(&values, size), read(&before, size)]
    }

    /// As `forward`, of levels, as a product of cooperative matrices, behind unsigned LSQ
    /// activations (whose parameter is the step) and with symmetric weights of a step a channel.
    fn cooperative_forward(
        &self,
        tiles: CooperativeTiles,
        input_step: f32,
        steps: &[f32],
        levels: [u32; 2],
    ) -> Vec<f32> {
        let (shape, output) = (&self.shape, self.shape.output());
        let size = self.images.slots * packed_elements(output);
        let (input, values) = (upload(&pack(&self.input, shape.input)), untouched(size));
        let (images, [weight, _], bias) =
            (self.images.record(false), self.arranged(), self.padded_bias());
        let mut constants: Vec<[f32; 4]> =
            steps.iter().map(|&step| [step, 0.0, 0.0, 0.0]).collect();
        constants.resize(padded(shape.out_channels) as usize, [1.0, 0.0, 0.0, 0.0]);
        let (parameters, constants) =
            (upload(&[0.0, input_step]), upload(constants.as_flattened()));
        let (rows, columns) =
            tiles.workgroups(self.images.most as u32 * output.pixels(), groups(shape.out_channels));
        let specialization =
            convolution_constants(no_activation(tiles.specialize(Specialization::new())), shape)
                .constant("KERNEL", shape.kernel)
                .constant("STRIDE", shape.stride)
                .constant("PADDING", shape.padding)
                .constant("INPUT_ACTIVATION", 5u32)
                .constant("INPUT_LEVELS", levels[0])
                .constant("INPUT_INDEX", 1u32)
                .constant("QUANTIZER", 4u32)
                .constant("WEIGHT_LEVELS", levels[1]);
        let bindings = [&images, &input, &weight, &values, &bias, &parameters, &constants];
        run("convolution_cooperative", specialization, &bindings, [rows.div_ceil(2), 2, columns]);
        read(&values, size)
    }

    fn tiled_input_gradient(&self, tiles: ProductTiles, output_gradient: &[f64]) -> Vec<f32> {
        let shape = &self.shape;
        let size = self.images.slots * packed_elements(shape.input);
        let (images, [_, weight]) = (self.images.record(false), self.arranged());
        let (from, to) = (upload(&pack(output_gradient, shape.output())), untouched(size));
        let window = [shape.kernel, 1, shape.kernel - 1 - shape.padding];
        let sizes = [dimensions(shape.output()), dimensions(shape.input), window];
        let bindings = [&images, &from, &weight, &to];
        run_tiled(
            self.images,
            tiles,
            sizes,
            shape.out_channels.min(4),
            shape.stride,
            &bindings,
            no_activation,
        );
        read(&to, size)
    }

    fn tiled_weight_gradient(
        &self,
        tiles: ProductTiles,
        part_count: u32,
        output_gradient: &[f64],
        before: Option<f32>,
    ) -> (Vec<f32>, Vec<f32>) {
        let shape = &self.shape;
        let (input, output, taps) =
            (dimensions(shape.input), dimensions(shape.output()), shape.kernel * shape.kernel);
        let window = [shape.kernel, shape.stride, shape.padding];
        let specialization =
            tiled_constants(tiles, input, output, window, shape.input.channels.min(4))
                .constant("PARTS", part_count);
        let images = self.images.record(before.is_some());
        let (from, gradient) = (
            upload(&pack(&self.input, shape.input)),
            upload(&pack(output_gradient, shape.output())),
        );
        let parts = untouched((part_count * (taps * input[2] * 4 + 1) * output[2] * 4) as usize);
        let (rows, columns) = tiles.workgroups(taps * input[2] + 1, output[2]);
        let bindings = [&images, &from, &gradient, &parts];
        run(
            "convolution_weight_gradient_tiled",
            specialization,
            &bindings,
            [rows, part_count, columns],
        );
        let sizes = [shape.out_channels, shape.input.channels, taps];
        let (weight, bias, _) = reduce(
            &images,
            &parts,
            part_count,
            sizes,
            before,
            (0, &floats(&self.weight), &[[0.0; 4]]),
        );
        (weight, bias)
    }

    fn input_gradient(&self, tiles: StripTiles, output_gradient: &[f64]) -> Vec<f32> {
        let shape = &self.shape;
        let size = self.images.slots * packed_elements(shape.input);
        let images = self.images.record(false);
        let (from, to) = (upload(&pack(output_gradient, shape.output())), untouched(size));
        let window = [shape.kernel, 1, shape.kernel - 1 - shape.padding];
        let sizes = [dimensions(shape.output()), dimensions(shape.input), window];
        let [_, weight] = self.arrangements();
        self.run_strips(
            tiles,
            sizes,
            (Some(shape.stride), &weight),
            [&images, &from, &to],
            &[],
            no_activation,
        );
        read(&to, size)
    }

    /// (∂/∂weight, ∂/∂bias) after both stages, on top of `before`.
    fn weight_gradient(
        &self,
        tiles: WeightGradientTiles,
        part_count: u32,
        output_gradient: &[f64],
        before: Option<f32>,
    ) -> (Vec<f32>, Vec<f32>) {
        let shape = &self.shape;
        let (in_groups, out_groups) = (groups(shape.input.channels), groups(shape.out_channels));
        let specialization = tiles
            .specialize(Specialization::new(), shape.stride)
            .tile("KERNEL", shape.kernel)
            .tile("STRIDE", shape.stride)
            .tile("DEPTH", shape.input.channels.min(4))
            .constant("PADDING", shape.padding)
            .constant("PARTS", part_count);
        let taps = shape.kernel * shape.kernel;
        let images = self.images.record(before.is_some());
        let (input, gradient) = (
            upload(&pack(&self.input, shape.input)),
            upload(&pack(output_gradient, shape.output())),
        );
        let parts = untouched((part_count * (taps * in_groups * 4 + 1) * out_groups * 4) as usize);
        let (rows, columns) = tiles.workgroups([in_groups, out_groups], shape.kernel);
        run(
            "convolution_weight_gradient",
            convolution_constants(specialization, shape),
            &[&images, &input, &gradient, &parts],
            [rows, part_count, columns],
        );
        let sizes = [shape.out_channels, shape.input.channels, taps];
        let (weight, bias, _) = reduce(
            &images,
            &parts,
            part_count,
            sizes,
            before,
            (0, &floats(&self.weight), &[[0.0; 4]]),
        );
        (weight, bias)
    }
}

/// Dispatches `reduce_weight_gradient`; weights stand at index 3 and biases after them. The
/// quantizer is (kind, weights, constants). Returns the gradients of weights and biases, and with
/// LSQ the terms of its step's gradient.
fn reduce(
    images: &Buffer,
    parts: &Buffer,
    part_count: u32,
    [out_channels, in_channels, taps]: [u32; 3],
    before: Option<f32>,
    (kind, weight, constants): (u32, &[f32], &[[f32; 4]]),
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let weights = out_channels * in_channels * taps;
    let learns_step = kind == 5;
    let specialization = Specialization::new()
        .feature("learned_step", learns_step)
        .constant("OUT_CHANNELS", out_channels)
        .constant("IN_CHANNELS", in_channels)
        .constant("TAPS", taps)
        .constant("OUT_PADDED", padded(out_channels))
        .constant("IN_PADDED", padded(in_channels))
        .constant("WEIGHT_INDEX", 3u32)
        .constant("BIAS_INDEX", 3 + weights)
        .constant("QUANTIZER", kind)
        .constant("PARTS", part_count);
    let mut parameters = vec![0.0; 3];
    parameters.extend(weight);
    let (parameters, constants) = (upload(&parameters), upload(constants.as_flattened()));
    let total = (3 + weights + out_channels) as usize;
    let gradients = upload(&vec![before.unwrap_or(UNTOUCHED); total + 5]);
    let terms = untouched(weights as usize);
    let mut bindings = vec![images, parts, &parameters, &constants, &gradients];
    bindings.extend(learns_step.then_some(&terms));
    run("reduce_weight_gradient", specialization, &bindings, [weights.div_ceil(64), 1, 1]);
    let values: Vec<f32> = read(&gradients, total + 5);
    assert!(
        values[..3]
            .iter()
            .chain(&values[total..])
            .all(|&value| value == before.unwrap_or(UNTOUCHED))
    );
    let (own, bias) = values[3..total].split_at(weights as usize);
    (own.to_vec(), bias.to_vec(), read(&terms, weights as usize))
}

/// The three passes in registers and as matrix products, with the tiles given or the tables'.
fn check_convolution(
    seed: u64,
    shape: [u32; 4],
    window: [u32; 3],
    images: Images,
    tiles: Option<(Tiles, Products)>,
    before: Option<f32>,
) {
    let mut random = Random(seed);
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
            case.weight_gradient(tiles.weight, tiles.parts, &gradient, before),
        );
    }
    check(
        format!("{shape:?} {window:?} {products:?}"),
        case.tiled_forward(products.forward, None),
        case.tiled_input_gradient(products.input, &gradient),
        case.tiled_weight_gradient(products.weight, products.parts, &gradient, before),
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

#[test]
fn convolution_applies_pact_and_keeps_its_input() {
    let case = ConvolutionOnGpu::new(&mut Random(7), [3, 6, 7, 5], [3, 1, 1], Images::FEW);
    let expected = convolution(&case.shape, &Images::FEW.of(&case.input), &case.weight, &case.bias);
    let output = case.shape.output();
    for (number, kind) in
        [(2.0, PactKind::Unsigned), (3.0, PactKind::Signed), (4.0, PactKind::SignedAfterRelu)]
    {
        let alpha = 2.5f32;
        let pact = Some([number, 7.0, alpha]);
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
    let levels = (kind.range().1 / step).round();
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
        assert!(actual.round().abs() <= levels, "{what}: {x} has a level out of range");
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
    let (kernel, stride, padding) =
        (shape.kernel as usize, shape.stride as usize, shape.padding as usize);
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

/// Levels of activations and weights as large as `convolution_cooperative` is taken for. On
/// adapters without cooperative matrices of f16 (all software drivers) only its arithmetic is
/// checked, on the CPU; `saliq check` and `check.rs` hold its code to validation and
/// translation.
#[test]
fn products_of_levels_are_exact() {
    let tables = TileTable::new(gpu()).cooperative(4);
    if tables.is_none() {
        eprintln!(
            "\n*** NOT RUN ON A DEVICE: convolution_cooperative. {} has no cooperative matrices of f16",
            gpu().adapter_name()
        );
        eprintln!("*** that are summed in f32; only its arithmetic was checked, on the CPU. ***\n");
    }
    // [in channels, height, width, out channels], [kernel, stride, padding], levels of inputs and
    // of weights
    let cases = [
        ([3, 9, 7, 17], [3, 1, 1], [15, 3]),
        ([28, 6, 5, 33], [3, 2, 1], [255, 255]), // 252 products
        ([258, 1, 1, 16], [1, 1, 0], [255, 255]), // the largest sums
        ([64, 4, 4, 40], [2, 1, 0], [255, 15]),
        ([5, 8, 8, 16], [3, 1, 2], [1, 1]),
    ];
    for (seed, (sizes, window, [input_levels, weight_levels])) in cases.into_iter().enumerate() {
        let mut random = Random(seed as u64);
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
        let what = format!("{sizes:?} {window:?} {input_levels} {weight_levels}");
        for backwards in [false, true] {
            let sums =
                cooperative_sums(&shape, &own_input, &weight, (input_step, &steps), backwards);
            assert!(
                sums.iter().zip(&scaled).all(|(&sum, &exact)| f64::from(sum) == exact),
                "{what}: not exact"
            );
        }
        let Some(tiles) = TileTable::new(gpu()).cooperative(groups(sizes[3])) else { continue };
        case.input = input.iter().map(|level| level * f64::from(input_step)).collect();
        case.weight = weight
            .iter()
            .enumerate()
            .map(|(at, level)| level * f64::from(steps[at / per_channel]))
            .collect();
        case.bias.fill(0.0);
        let values =
            case.cooperative_forward(tiles, input_step, &steps, [input_levels, weight_levels]);
        case.images.check(&what, &values, output, &scaled, 0.0);
    }
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
        let mut padded_bias = floats(&bias);
        padded_bias.resize(padded(outputs) as usize, 0.0);
        let (in_groups, out_groups) = (packed_elements(input_shape) as u32 / 4, groups(outputs));

        let [per_invocation, per_lane, lanes] = product;
        let of = |in_groups: u32, out_groups: u32, bias: bool, subgroups: bool| {
            let specialization = Specialization::new()
                .feature("subgroups", subgroups)
                .tile("IMAGES", per_invocation)
                .tile("GROUPS", per_lane)
                .tile("LANES", lanes)
                .constant("IN_GROUPS", in_groups)
                .constant("OUT_GROUPS", out_groups)
                .feature("bias", bias);
            let workgroups = [
                out_groups.div_ceil(lanes * per_lane),
                (images.most as u32).div_ceil(per_invocation),
                1,
            ];
            (no_activation(specialization), workgroups)
        };
        let record = images.record(false);
        let (packed_input, packed_gradient) =
            (upload(&pack(&input, input_shape)), upload(&pack(&gradient, output_shape)));
        let variants = if lanes == 8 { subgroup_variants() } else { &[false] };
        for &subgroups in variants {
            let size = images.slots * packed_elements(output_shape);
            let values = untouched(size);
            let (specialization, workgroups) = of(in_groups, out_groups, true, subgroups);
            let bindings = [&record, &packed_input, &forward, &values, &upload(&padded_bias)];
            run("matrix_product", specialization, &bindings, workgroups);
            let expected = matrix_product(images.count, &own_input, &weight, &bias);
            images.check(
                &format!("product {sizes:?}"),
                &read(&values, size),
                output_shape,
                &expected,
                FORWARD,
            );

            let size = images.slots * packed_elements(input_shape);
            let values = untouched(size);
            let (specialization, workgroups) = of(out_groups, in_groups, false, subgroups);
            run(
                "matrix_product",
                specialization,
                &[&record, &packed_gradient, &backward, &values],
                workgroups,
            );
            let expected = matrix_product_input_gradient(images.count, &own_gradient, &weight);
            images.check(
                &format!("input gradient {sizes:?}"),
                &read(&values, size),
                input_shape,
                &expected,
                GRADIENT,
            );
        }

        // The same two as matrix products in workgroup memory.
        let table = TileTable::for_kind(false);
        let hand = [product_tiles([4, 2, 3, 4, 2]), product_tiles([8, 4, 1, 8, 1])];
        for tiles in hand.into_iter().chain(table.product(out_groups, 1, in_groups)) {
            let size = images.slots * packed_elements(output_shape);
            let values = untouched(size);
            let sizes = [[1, 1, in_groups], [1, 1, out_groups], [1, 1, 0]];
            let bindings = [&record, &packed_input, &forward, &values, &upload(&padded_bias)];
            run_tiled(images, tiles, sizes, 4, 0, &bindings, no_activation);
            let expected = matrix_product(images.count, &own_input, &weight, &bias);
            images.check(
                &format!("{tiles:?} {sizes:?}"),
                &read(&values, size),
                output_shape,
                &expected,
                FORWARD,
            );
        }
        for tiles in hand.into_iter().chain(table.product(in_groups, 1, out_groups)) {
            let size = images.slots * packed_elements(input_shape);
            let values = untouched(size);
            let sizes = [[1, 1, out_groups], [1, 1, in_groups], [1, 1, 0]];
            run_tiled(
                images,
                tiles,
                sizes,
                4,
                0,
                &[&record, &packed_gradient, &backward, &values],
                no_activation,
            );
            let expected = matrix_product_input_gradient(images.count, &own_gradient, &weight);
            images.check(
                &format!("{tiles:?} {sizes:?}"),
                &read(&values, size),
                input_shape,
                &expected,
                GRADIENT,
            );
        }

        let [feature_groups, per_lane, lanes, part_count] = gradient_tiles;
        let specialization = Specialization::new()
            .tile("FEATURES", feature_groups)
            .tile("GROUPS", per_lane)
            .tile("LANES", lanes)
            .constant("IN_GROUPS", in_groups)
            .constant("OUT_GROUPS", out_groups)
            .constant("PARTS", part_count);
        let parts = untouched((part_count * (in_groups * 4 + 1) * out_groups * 4) as usize);
        let bindings = [&record, &packed_input, &packed_gradient, &parts];
        let check = |what: &str| {
            let (actual, actual_bias, _) = reduce(
                &record,
                &parts,
                part_count,
                sizes,
                None,
                (0, &floats(&weight), &[[0.0; 4]]),
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
        let workgroups =
            [in_groups.div_ceil(feature_groups), part_count, out_groups.div_ceil(lanes * per_lane)];
        run("fully_connected_weight_gradient", specialization, &bindings, workgroups);
        check("in registers");
        let hand = product_tiles([4, 2, 3, 4, 1]);
        for tiles in
            [hand].into_iter().chain(table.weight_gradient_product(out_groups, in_groups + 1))
        {
            gpu().write(
                &parts,
                0,
                &vec![UNTOUCHED; (part_count * (in_groups * 4 + 1) * out_groups * 4) as usize],
            );
            let specialization =
                tiled_constants(tiles, [1, 1, in_groups], [1, 1, out_groups], [1, 1, 0], 4);
            let (rows, columns) = tiles.workgroups(in_groups + 1, out_groups);
            let specialization = specialization.constant("PARTS", part_count);
            run(
                "convolution_weight_gradient_tiled",
                specialization,
                &bindings,
                [rows, part_count, columns],
            );
            check(&format!("{tiles:?}"));
        }
    }
}

/// (number in the kernels, reference, α or step, levels) of every activation.
fn activations() -> [(u32, Activation, f32, f32); 8] {
    let pact =
        |kind, levels: f32| Activation::Pact { kind, alpha: 0.75, levels: Some(f64::from(levels)) };
    let lsq = |kind, levels: f32, step: f32| Activation::Lsq {
        kind,
        step: f64::from(step),
        levels: f64::from(levels),
    };
    [
        (0, Activation::None, 0.0, 1.0),
        (1, Activation::Relu, 0.0, 1.0),
        (2, pact(PactKind::Unsigned, 15.0), 0.75, 15.0),
        (3, pact(PactKind::Signed, 1.0), 0.75, 1.0),
        (4, pact(PactKind::SignedAfterRelu, 7.0), 0.75, 7.0),
        (5, lsq(PactKind::Unsigned, 3.0, 0.25), 0.25, 3.0),
        (6, lsq(PactKind::Signed, 1.0, 0.75), 0.75, 1.0),
        (7, lsq(PactKind::SignedAfterRelu, 3.0, 0.25), 0.25, 3.0),
    ]
}

fn with_activation(specialization: Specialization, number: u32) -> Specialization {
    let specialization = specialization.feature("pact", number > 1).constant("ACTIVATION", number);
    let levels = activations()[number as usize].3;
    if number > 1 {
        specialization.constant("ALPHA_INDEX", 1u32).constant("LEVELS", levels)
    } else {
        specialization
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
    for (number, kind, alpha, _) in activations() {
        let what = format!("{kind:?}");
        let record = images.record(false);
        let (input, output, parameters) =
            (upload(&pack(&x, shape)), untouched(size), upload(&[9.0, alpha]));
        let specialization =
            with_activation(Specialization::new().constant("ELEMENTS", elements), number);
        let mut bindings = vec![&record, &input, &output];
        bindings.extend((number > 1).then_some(&parameters));
        run(
            "activation",
            specialization,
            &bindings,
            [(images.most as u32 * elements).div_ceil(64), 1, 1],
        );
        let actual: Vec<f32> = read(&output, size);
        let own = images.of(&x);
        let expected: Vec<f64> = own.iter().map(|&x| activation(kind, x)).collect();
        if number > 1 {
            check_levels(&what, &floats(&own), &unpack(&images.of(&actual), shape), kind);
        } else {
            images.check(&what, &actual, shape, &expected, FORWARD);
        }

        for items in [1, 3] {
            let state = if number == 1 { &output } else { &input };
            let blocks = (images.most as u32 * elements).div_ceil(64 * items);
            let mut start = vec![UNTOUCHED; size];
            let (first, last) = (
                images.first * packed_elements(shape),
                (images.first + images.count) * packed_elements(shape),
            );
            start[first..last].copy_from_slice(&images.of(&pack(&gradient, shape)));
            let (in_place, sums) = (upload(&start), untouched(blocks as usize));
            let specialization = Specialization::new()
                .tile("WORKGROUP", 64)
                .tile("ITEMS", items)
                .constant("ELEMENTS", elements);
            let mut bindings = vec![&record, state, &in_place];
            if number > 1 {
                bindings.extend([&parameters, &sums]);
            }
            run(
                "activation_gradient",
                with_activation(specialization, number),
                &bindings,
                [blocks, 1, 1],
            );
            let (expected, expected_alpha) = activation_gradient(kind, &own, &images.of(&gradient));
            images.check(&what, &read(&in_place, size), shape, &expected, GRADIENT);
            if number > 1 {
                let sums: Vec<f32> = read(&sums, blocks as usize);
                let alpha_gradient = sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
                let within = GRADIENT * expected_alpha.abs().max(1.0);
                assert!(
                    (alpha_gradient - expected_alpha).abs() < within,
                    "{what}: α {alpha_gradient}"
                );
            }
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
        let specialization = Specialization::new()
            .tile("WORKGROUP", 64)
            .tile("ITEMS", 1)
            .constant("ELEMENTS", 256u32);
        let specialization = with_activation(specialization, 2);
        run(
            "activation_gradient",
            specialization,
            &[&record, &state, &gradient, &parameters, &sums],
            workgroups,
        );
        read::<f32>(&sums, 4)
    });
    assert_eq!(sums[0], sums[1]);
    assert!(sums[0].iter().all(|&sum| sum > 0.0));
}

#[test]
fn pooling_and_its_gradient() {
    // [channels, height, width], [kernel, stride], activation in front
    let cases = [
        ([1, 4, 4], [2, 2], 0),
        ([5, 7, 6], [2, 1], 1),
        ([7, 8, 9], [3, 2], 2),
        ([3, 9, 8], [2, 3], 3),
        ([33, 5, 5], [3, 1], 4),
        ([6, 10, 7], [3, 3], 2),
        ([6, 5, 8], [2, 2], 5),
        ([3, 6, 7], [2, 1], 6),
    ];
    for (seed, ([channels, height, width], [kernel, stride], number)) in
        cases.into_iter().enumerate()
    {
        let images = if seed == 0 { Images::ONE } else { Images::FEW };
        let (number, kind, alpha, _) = activations()[number];
        let shape = Shape::new(channels, height, width);
        let output = output_shape(shape, kernel, stride);
        let what = format!("{shape:?} {kernel} {stride} {kind:?}");
        let mut random = Random(seed as u64);
        let x = activation_inputs(&mut random, images.slots * shape.elements() as usize);
        // Few different values: ties all over. The derivative of a ReLU is taken from y, of PACT
        // from x.
        let y: Vec<f64> = x.iter().map(|&x| (kind.clip(x) * 4.0).round() / 4.0).collect();
        let state = if number == 1 { &y } else { &x };
        let gradient = vector(&mut random, images.slots * output.elements() as usize);
        let shape_constants = || {
            Specialization::new()
                .constant("IN_HEIGHT", height)
                .constant("IN_WIDTH", width)
                .constant("GROUPS", groups(channels))
                .constant("OUT_HEIGHT", output.height)
                .constant("OUT_WIDTH", output.width)
                .constant("KERNEL", kernel)
                .constant("STRIDE", stride)
        };
        let record = images.record(false);
        let size = images.slots * packed_elements(output);
        let (values, choice) = (untouched(size), untouched(size / 4));
        let workgroups = |elements: usize| [(images.most * elements / 4).div_ceil(64) as u32, 1, 1];
        let bindings = [&record, &upload(&pack(&y, shape)), &values, &choice];
        run("max_pool", shape_constants(), &bindings, workgroups(packed_elements(output)));
        let own_y = images.of(&y);
        let (expected, from) = max_pool(images.count, shape, kernel, stride, &own_y);
        images.check(&what, &read(&values, size), output, &expected, 0.0);

        let size = images.slots * packed_elements(shape);
        let items = 2;
        let blocks = (images.most * packed_elements(shape) / 4).div_ceil(64 * items as usize);
        let (values, sums, parameters) =
            (untouched(size), untouched(blocks), upload(&[9.0, alpha]));
        let (packed_gradient, packed_state) =
            (upload(&pack(&gradient, output)), upload(&pack(state, shape)));
        let mut bindings = vec![&record, &packed_gradient, &choice, &packed_state, &values];
        if number > 1 {
            bindings.extend([&parameters, &sums]);
        }
        let specialization = shape_constants()
            .tile("WORKGROUP", 64)
            .tile("ITEMS", items)
            .tile("WINDOWS", kernel.div_ceil(stride));
        let specialization = with_activation(specialization, number);
        run("max_pool_gradient", specialization, &bindings, [blocks as u32, 1, 1]);
        let routed = max_pool_gradient(own_y.len(), &from, &images.of(&gradient));
        // A state that is on both sides the ReLU's output has the derivative of its input.
        let (expected, expected_alpha) = activation_gradient(kind, &images.of(state), &routed);
        images.check(&what, &read(&values, size), shape, &expected, GRADIENT);
        if number > 1 {
            let sum: f64 = read::<f32>(&sums, blocks).iter().map(|&sum| f64::from(sum)).sum();
            assert!(
                expected_alpha != 0.0
                    && (sum - expected_alpha).abs() < GRADIENT * expected_alpha.abs().max(1.0),
                "{what}: α {sum} {expected_alpha}"
            );
        }
    }
}

#[test]
fn partial_sums_are_set_or_added() {
    for count in [1usize, 64, 131] {
        let partial_sums = vector(&mut Random(count as u64), count);
        for (accumulate, scale) in [(false, 1.0), (true, 1.0), (true, 0.25)] {
            let gradients = upload(&[UNTOUCHED, 2.5, UNTOUCHED]);
            let record = Images::ONE.record(accumulate);
            let specialization = Specialization::new()
                .tile("WORKGROUP", 64)
                .constant("COUNT", count as u32)
                .constant("INDEX", 1u32)
                .constant("SCALE", scale);
            run(
                "sum_partials",
                specialization,
                &[&record, &upload(&floats(&partial_sums)), &gradients],
                [1, 1, 1],
            );
            let scaled: Vec<f64> = partial_sums.iter().map(|sum| scale * sum).collect();
            let expected = sum_partials(&scaled, accumulate.then_some(2.5));
            let actual: Vec<f32> = read(&gradients, 3);
            assert!((f64::from(actual[1]) - expected).abs() < 1e-5, "{actual:?} {expected}");
            assert_eq!([actual[0], actual[2]], [UNTOUCHED; 2]);
        }
    }
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

fn check_weight_quantizer(quantizer: WeightQuantizer, bits: u32, per_channel: bool) {
    let [out_channels, in_channels, taps] = QUANTIZED;
    let (per, count) =
        ((in_channels * taps) as usize, (out_channels * in_channels * taps) as usize);
    let number = match quantizer {
        WeightQuantizer::Affine => 1u32,
        WeightQuantizer::Dorefa => 2,
        WeightQuantizer::Sawb => 3,
        WeightQuantizer::Symmetric => 4,
        WeightQuantizer::Lsq => 5,
        WeightQuantizer::Binary => 6,
    };
    let levels = f64::from((1u32 << bits) - 1);
    let step_count = if per_channel { out_channels as usize } else { 1 };
    for (name, weight) in weight_tensors() {
        let what = format!("{quantizer:?}, {bits} bits, per channel {per_channel}, {name}");
        let mut values = vec![UNTOUCHED; 3];
        values.extend(&weight);
        let bias: Vec<f32> = (0..out_channels).map(|channel| channel as f32 + 0.25).collect();
        values.extend(&bias);
        let steps = if number == 5 {
            initial_steps(&weight, step_count, highest_level(bits))
        } else {
            Vec::new()
        };
        values.extend(&steps);
        let (parameters, statistics, constants) = (upload(&values), untouched(20), untouched(20));
        let channels = || Specialization::new().constant("OUT_CHANNELS", out_channels);
        let elements = channels().constant("IN_ELEMENTS", per as u32);
        if number == 5 {
            let specialization = channels()
                .constant("LEVELS", levels)
                .constant("PER_CHANNEL", u32::from(per_channel))
                .constant("STEP_INDEX", 3 + count as u32 + out_channels);
            run("learned_step", specialization, &[&parameters, &constants], [1, 1, 1]);
        } else {
            run(
                "weight_range",
                elements.constant("WEIGHT_INDEX", 3u32),
                &[&parameters, &statistics],
                [1, 1, 1],
            );
            let coefficients =
                sawb_coefficients(bits).filter(|_| number == 3).unwrap_or((0.0, 0.0));
            let specialization = channels()
                .constant("QUANTIZER", number)
                .constant("LEVELS", levels)
                .constant("PER_CHANNEL", u32::from(per_channel))
                .constant("SAWB_1", coefficients.0)
                .constant("SAWB_SUM", f64::from(coefficients.0) + f64::from(coefficients.1));
            run("weight_scale", specialization, &[&statistics, &constants], [1, 1, 1]);
        }
        let (in_padded, out_padded) = (padded(in_channels), padded(out_channels));
        let specialization = Specialization::new()
            .constant("OUT_CHANNELS", out_channels)
            .constant("IN_CHANNELS", in_channels)
            .constant("TAPS", taps)
            .constant("OUT_PADDED", out_padded)
            .constant("IN_PADDED", in_padded)
            .constant("WEIGHT_INDEX", 3u32)
            .constant("BIAS_INDEX", 3 + count as u32)
            .constant("QUANTIZER", number)
            .constant("LEVELS", levels)
            .constant("BACKWARD_TAP", out_padded * in_padded)
            .constant("BACKWARD_OUT", in_padded);
        let size = (taps * in_padded * out_padded) as usize;
        let [forward, backward] = [(); 2].map(|()| upload(&vec![0.0; size]));
        let bias_buffer = upload(&vec![0.0; out_padded as usize]);
        let bindings = [&parameters, &constants, &forward, &backward, &bias_buffer];
        run("prepare_weights", specialization, &bindings, [(count as u32).div_ceil(64), 1, 1]);

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
        let half_a_step = number == 5 && bits == 2 && name.ends_with("constant");
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
fn affine_weights_of_1_to_8_bits() {
    for bits in 1..=8 {
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
    let scales = [
        (0u32, WeightScale::Float, [0.0; 4]),
        (
            1,
            WeightScale::Affine { step: 0.1, zero: 4.0, low: -0.5, high: 0.75 },
            [0.1, 4.0, -0.5, 0.75],
        ),
        (2, WeightScale::Dorefa { largest: 0.75 }, [0.75, 0.0, 0.0, 0.0]),
        (3, WeightScale::Sawb { clip: 0.625 }, [0.625, 0.25, 0.0, 0.0]),
        (4, WeightScale::Symmetric { step: 0.25 }, [0.25, -7.0, 7.0, 0.0]),
        (5, WeightScale::Lsq { step: 0.125 }, [0.125, -8.0, 7.0, 0.0]),
        (6, WeightScale::Binary { mean: 0.5 }, [0.5, 0.0, 0.0, 0.0]),
    ];
    for (number, scale, constants) in scales {
        for before in [None, Some(0.5f32)] {
            let record = Images::FEW.record(before.is_some());
            let constants = vec![constants; out_channels as usize];
            let quantizer = (number, &floats(&weight)[..], &constants[..]);
            let (actual, bias, terms) =
                reduce(&record, &parts, part_count, QUANTIZED, before, quantizer);
            if number == 5 {
                check_step_gradients(&terms, &gradients, &weight, 0.125);
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
fn check_step_gradients(terms: &[f32], parts: &[Vec<f64>], weight: &[f64], step: f64) {
    let gradient: Vec<f64> =
        (0..weight.len()).map(|index| parts.iter().map(|part| part[index]).sum()).collect();
    for count in [1, QUANTIZED[0] as usize] {
        let expected = learned_step_gradient(&gradient, weight, &vec![step; count], (-8.0, 7.0));
        let elements = weight.len() / count;
        for before in [None, Some(0.5)] {
            let gradients = upload(&vec![before.unwrap_or(UNTOUCHED); count + 3]);
            let specialization = Specialization::new()
                .tile("WORKGROUP", 256)
                .constant("ELEMENTS", elements as u32)
                .constant("STEP_INDEX", 2u32)
                .constant("SCALE", 1.0 / (elements as f64 * 7.0).sqrt());
            let record = Images::ONE.record(before.is_some());
            let bindings = [&record, &upload(terms), &gradients];
            run("learned_step_gradient", specialization, &bindings, [count as u32, 1, 1]);
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
    let layer = |weight, activation| LayerBits { weight, activation };
    let sawb = |bits| {
        let quantization =
            QuantizationConfig { weight_quant: WeightQuantizer::Sawb, ..Default::default() };
        saliq::quant::WeightQuantizerPlan::new(&quantization, layer(bits, 32))
    };
    assert!(sawb(6).unwrap_err().to_string().contains("sawb"));
    assert!(sawb(4).is_ok());
}
