//! The dispatches of weighted layers: which kernel makes a pass of a convolution or a fully connected layer, and with what.

use super::{
    ActivationPlan, Format, GROUP, ImageRange, Pooling, ProductShape, Storage, StripShape, TileTable, groups,
    network::{ELEMENTWISE, grid},
    node::{Node, NodeKind, Weights},
    padded,
    slices::{WeightSizes, WeightSlices},
};
use crate::{
    Error, Result,
    config::Shape,
    gpu::{Binding, Buffer, Gpu, Recording, Specialization, Work},
};

/// Real channels in the groups of a tensor of `channels`: fewer than 4 only where there is a single group.
fn depth(channels: u32) -> u32 {
    channels.min(GROUP)
}

/// Sizes of a weighted layer as its kernels see it: images are [height, width, groups], windows [kernel, stride, padding]. Behind a max-pool
/// that is part of the layer, the sizes are those of the pixels that its windows cover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    input: [u32; 3],
    pub output: [u32; 3],
    window: [u32; 3],
    /// Real channels of an input group.
    depth: u32,
    /// Distance of the pixels of the input, 1 but for mirrored ones.
    spacing: u32,
    /// Where a max-pool is part of the layer.
    pooling: Pooling,
}

impl Geometry {
    pub fn convolution(input: Shape, output: Shape, window: [u32; 3]) -> Self {
        let size = |shape: Shape| [shape.height, shape.width, groups(shape.channels)];
        let [input_size, output] = [size(input), size(output)];
        Geometry { input: input_size, output, window, depth: depth(input.channels), spacing: 1, pooling: Pooling::None }
    }

    /// A fully connected layer is a convolution of one pixel by one tap.
    pub fn fully_connected(in_groups: u32, out_groups: u32) -> Self {
        let (input, output) = ([1, 1, in_groups], [1, 1, out_groups]);
        Geometry { input, output, window: [1, 1, 0], depth: GROUP, spacing: 1, pooling: Pooling::None }
    }

    fn of(node: &Node) -> Self {
        match node.kind {
            NodeKind::Convolution { kernel, stride, padding, ref pool, .. } => {
                let geometry = Geometry::convolution(node.input, node.output, [kernel, stride, padding]);
                let [height, width, groups] = geometry.output;
                match pool {
                    Some(_) => Geometry { output: [2 * height, 2 * width, groups], pooling: Pooling::Output, ..geometry },
                    None => geometry,
                }
            }
            _ => Geometry::fully_connected(node.input_elements(), node.output_elements()),
        }
    }

    /// The convolution of the output's gradient that gives the input's.
    fn mirrored(self, out_channels: u32) -> Self {
        let [kernel, stride, padding] = self.window;
        let pooling = if self.pooling == Pooling::Output { Pooling::Input } else { Pooling::None };
        let window = [kernel, 1, kernel - 1 - padding];
        Geometry { input: self.output, output: self.input, window, depth: depth(out_channels), spacing: stride, pooling }
    }

    /// Height and width of `pixels`, in windows where `pooled`.
    fn stored([height, width, _]: [u32; 3], pooled: bool) -> [u32; 2] {
        if pooled { [height / 2, width / 2] } else { [height, width] }
    }

    /// What the tiles of `convolution` depend on.
    pub fn strip_shape(self) -> StripShape {
        let ([height, width, out_groups], [kernel, stride, _]) = (self.output, self.window);
        StripShape {
            out_groups,
            in_groups: self.input[2],
            depth: self.depth,
            pixels: [height, width],
            kernel,
            stride,
            spacing: self.spacing,
            pooling: self.pooling,
        }
    }

    pub fn pixels(self) -> u32 {
        self.output[0] * self.output[1]
    }

    /// Groups of inputs that an output is the sum of.
    pub fn inner(self) -> u32 {
        self.window[0] * self.window[0] * self.input[2]
    }

    fn sizes(self, specialization: Specialization) -> Specialization {
        let [in_height, in_width] = Geometry::stored(self.input, self.pooling == Pooling::Input);
        let [out_height, out_width] = Geometry::stored(self.output, self.pooling == Pooling::Output);
        specialization
            .constant("IN_HEIGHT", in_height)
            .constant("IN_WIDTH", in_width)
            .constant("IN_GROUPS", self.input[2])
            .constant("OUT_HEIGHT", out_height)
            .constant("OUT_WIDTH", out_width)
            .constant("OUT_GROUPS", self.output[2])
    }

    pub fn windows(self, specialization: Specialization) -> Specialization {
        let [kernel, stride, padding] = self.window;
        self.sizes(specialization).constant("KERNEL", kernel).constant("STRIDE", stride).constant("PADDING", padding)
    }
}

/// A kernel with its specialization and the workgroups of its dispatch.
pub(super) struct Choice {
    pub kernel: &'static str,
    pub specialization: Specialization,
    pub workgroups: [u32; 3],
}

/// The products that a weighted node's passes are on GPUs, under the labels of their dispatches.
pub(super) fn products(node: &Node) -> Vec<(String, ProductShape)> {
    let geometry = Geometry::of(node);
    let product = |geometry: Geometry| {
        let [_, _, column_groups] = geometry.output;
        ProductShape { weight_gradient: false, column_groups, rows: geometry.pixels(), inner: geometry.inner() }
    };
    let mirrored = match node.kind {
        // An input of a single group of channels has a kernel of its own.
        NodeKind::Convolution { .. } => (geometry.input[2] > 1).then(|| geometry.mirrored(node.output.channels)),
        _ => Some(Geometry::fully_connected(node.output_elements(), node.input_elements())),
    };
    let rows = geometry.inner() + 1;
    let weights = ProductShape { weight_gradient: true, column_groups: geometry.output[2], rows, inner: 0 };
    let mut all =
        vec![(format!("{} forward", node.name), product(geometry)), (format!("{} weight gradient", node.name), weights)];
    all.extend(mirrored.map(|geometry| (format!("{} input gradient", node.name), product(geometry))));
    all
}

impl TileTable {
    /// The matrix product in workgroup memory for `geometry`, where it is to be taken; `spacing` is 0 in forward passes.
    fn tiled(self, geometry: Geometry, images: u32, spacing: u32) -> Option<Choice> {
        let column_groups = geometry.output[2];
        let tiles = self.product(column_groups, geometry.pixels(), geometry.inner())?;
        let (rows, columns) = tiles.workgroups(images * geometry.pixels(), column_groups);
        let [x, y, _] = grid(rows);
        let specialization = tiles
            .specialize(geometry.windows(Specialization::new()))
            .tile("DEPTH", geometry.depth)
            .feature("sliced", tiles.slices > 1)
            .constant("MIRRORED", u32::from(spacing > 0))
            .constant("SPACING", spacing.max(1));
        Some(Choice { kernel: "convolution_tiled", specialization, workgroups: [x, y, columns] })
    }

    /// The product of cooperative matrices for a node's forward pass, where the adapter has them and f16 loses nothing: inputs and weights are
    /// integer levels.
    fn cooperative_forward(self, node: &Node, weights: &Weights, images: u32) -> Option<Choice> {
        if !(node.input_activation.is_pact() && weights.quantizer.is_active()) {
            return None;
        }
        let geometry = Geometry::of(node);
        let tiles = self.cooperative(geometry.output[2])?;
        let (rows, columns) = tiles.workgroups(images * geometry.pixels(), geometry.output[2]);
        let [x, y, _] = grid(rows);
        let specialization = node.input_activation.of_inputs(tiles.specialize(geometry.windows(Specialization::new())));
        let specialization = weights.quantizer.specialize_units(specialization);
        Some(Choice { kernel: "convolution_cooperative", specialization, workgroups: [x, y, columns] })
    }

    /// The sum of products over `geometry` in workgroup memory, or as a product in registers.
    pub(super) fn sum_of_products(self, geometry: Geometry, images: u32) -> Choice {
        let [_, _, in_groups] = geometry.input;
        let [_, _, out_groups] = geometry.output;
        self.tiled(geometry, images, 0).unwrap_or_else(|| self.vectors_times_matrix(in_groups, out_groups, images))
    }

    /// The gradient of an input that has a single group of channels.
    fn narrow_gradient(self, geometry: Geometry, in_channels: u32, images: u32) -> Choice {
        let ([height, width, _], [kernel, stride, padding]) = (geometry.input, geometry.window);
        let (lanes, columns) = self.narrow_input_gradient(width, kernel, stride, in_channels);
        let specialization = Specialization::new()
            .tile("COLUMNS", columns)
            .tile("LANES", lanes)
            .tile("KERNEL", kernel)
            .tile("STRIDE", stride)
            .tile("PADDING", padding)
            .tile("CHANNELS", in_channels);
        Choice {
            kernel: "convolution_input_gradient_narrow",
            specialization: geometry.sizes(specialization),
            workgroups: [width.div_ceil(columns) * height.div_ceil(lanes), images, 1],
        }
    }

    /// The product of `images` vectors of `in_groups` with a matrix of `out_groups` columns.
    fn vectors_times_matrix(self, in_groups: u32, out_groups: u32, images: u32) -> Choice {
        if let Some(choice) = self.tiled(Geometry::fully_connected(in_groups, out_groups), images, 0) {
            return choice;
        }
        let (lanes, per_lane, per_invocation) = self.matrix_product(out_groups);
        let specialization = Specialization::new()
            .feature("subgroups", self.shares_loads())
            .tile("IMAGES", per_invocation)
            .tile("GROUPS", per_lane)
            .tile("LANES", lanes)
            .constant("IN_GROUPS", in_groups)
            .constant("OUT_GROUPS", out_groups);
        let workgroups = [out_groups.div_ceil(lanes * per_lane), images.div_ceil(per_invocation), 1];
        Choice { kernel: "matrix_product", specialization, workgroups }
    }

    /// The first stage of a node's weight gradient in one part; `workgroups[1]` and PARTS are the number of parts.
    fn weight_gradient(self, node: &Node) -> Choice {
        let geometry = Geometry::of(node);
        let ([_, _, in_groups], [_, width, out_groups], depth) = (geometry.input, geometry.output, geometry.depth);
        let [kernel, stride, padding] = geometry.window;
        let row_groups = geometry.inner() + 1;
        if let Some(tiles) = self.weight_gradient_product(out_groups, row_groups) {
            let (rows, columns) = tiles.workgroups(row_groups, out_groups);
            let specialization = tiles.specialize(geometry.windows(Specialization::new())).tile("DEPTH", depth);
            return Choice { kernel: "convolution_weight_gradient_tiled", specialization, workgroups: [rows, 1, columns] };
        }
        if matches!(node.kind, NodeKind::FullyConnected { .. }) {
            let (lanes, per_lane, features) = self.fully_connected_weight_gradient(out_groups);
            let specialization = Specialization::new()
                .tile("FEATURES", features)
                .tile("GROUPS", per_lane)
                .tile("LANES", lanes)
                .constant("IN_GROUPS", in_groups)
                .constant("OUT_GROUPS", out_groups);
            let workgroups = [in_groups.div_ceil(features), 1, out_groups.div_ceil(lanes * per_lane)];
            return Choice { kernel: "fully_connected_weight_gradient", specialization, workgroups };
        }
        let channels = [in_groups, out_groups];
        let pooled = geometry.pooling == Pooling::Output;
        let tiles = self.convolution_weight_gradient(channels, width, kernel, depth, pooled);
        let specialization = tiles
            .specialize(geometry.sizes(Specialization::new()), stride)
            .feature("pooled", pooled)
            .tile("KERNEL", kernel)
            .tile("STRIDE", stride)
            .tile("DEPTH", depth)
            .constant("PADDING", padding);
        let (rows, columns) = tiles.workgroups(channels, kernel);
        Choice { kernel: "convolution_weight_gradient", specialization, workgroups: [rows, 1, columns] }
    }

    /// Parts that the weight gradient of a weighted node should be summed in.
    pub(super) fn wanted_parts(self, node: &Node, images: u32) -> u32 {
        let [rows, _, columns] = self.weight_gradient(node).workgroups;
        self.weight_gradient_parts(rows * columns, images, Geometry::of(node).pixels())
    }
}

/// Adds the product of `range`'s vectors, [image, in group] vec4, with a matrix, [4·in group, out group] vec4.
///
/// # Errors
/// As [`Recording::dispatch`].
pub(crate) fn record_matrix_product(
    gpu: &Gpu,
    recording: &mut Recording,
    label: String,
    range: ImageRange<'_>,
    [in_groups, out_groups]: [u32; 2],
    [vectors, matrix, product]: [Binding<'_>; 3],
    (tiles, storage): (TileTable, Storage),
) -> Result<()> {
    let choice = tiles.vectors_times_matrix(in_groups, out_groups, range.most);
    let specialization = ActivationPlan::NONE.forward(choice.specialization.feature("bias", false));
    let specialization = storage.specialize(specialization);
    let bindings = [range.binding, vectors, matrix, product];
    recording.dispatch(gpu, label, gpu.kernel(choice.kernel, specialization)?, &bindings, choice.workgroups)
}

/// Adds `convolution`, a dispatch for each slice of the weights, with what `specialization` says of storage and the sum's end. `more` are the
/// bindings behind the output.
#[expect(clippy::too_many_arguments, reason = "the sum, what is done with it, and between which buffers")]
pub(super) fn record_convolution(
    gpu: &Gpu,
    recording: &mut Recording,
    label: &str,
    range: ImageRange<'_>,
    (weights, geometry): (&WeightSlices, Geometry),
    (specialization, work): (Specialization, Work),
    [from, to]: [Binding<'_>; 2],
    more: &[Binding<'_>],
) -> Result<()> {
    let tiles = weights.tiles;
    let ([height, width, out_groups], [kernel, stride, padding]) = (geometry.output, geometry.window);
    let specialization = tiles
        .specialize(specialization, tiles.weights(GROUP * geometry.inner()))
        .tile("KERNEL", kernel)
        .tile("STRIDE", stride)
        .tile("SPACING", geometry.spacing)
        .tile("PADDING", padding)
        .tile("DEPTH", geometry.depth)
        .feature("pooled_output", geometry.pooling == Pooling::Output)
        .feature("pooled_input", geometry.pooling == Pooling::Input);
    let kernel = gpu.kernel("convolution", geometry.sizes(specialization))?;
    let strips = range.most * tiles.strips([height, width]);
    let [x, y, _] = grid(strips.div_ceil(tiles.lanes));
    let blocks = u64::from(out_groups.div_ceil(tiles.groups));
    for slice in &weights.slices {
        let mut bindings = vec![range.binding, from, (&slice.weights).into(), (&slice.record).into(), to];
        bindings.extend_from_slice(more);
        recording.dispatch(gpu, label, kernel.clone(), &bindings, [x, y, slice.blocks])?;
        let share = |all: u64| all * u64::from(slice.blocks) / blocks;
        recording.note_work(Work { flops: share(work.flops), bytes: share(work.bytes) });
    }
    Ok(())
}

/// A pass of a network: where its dispatches go, and what all of them share.
pub(super) struct Pass<'a> {
    pub gpu: &'a Gpu,
    pub recording: &'a mut Recording,
    pub range: ImageRange<'a>,
    /// Where the range's image 0 is in the buffers of activations; gradients of a chunk start with it.
    pub slot: u32,
    pub parameters: &'a Buffer,
    pub tiles: TileTable,
}

impl Pass<'_> {
    /// A buffer with `elements` groups of 4 values an image, from the pass's first image on.
    pub fn at<'b>(&self, buffer: &'b Buffer, elements: u32, format: Format) -> Binding<'b> {
        self.at_bytes(buffer, format.group_bytes() as u32 * elements)
    }

    /// As [`Self::at`], with `bytes` an image.
    pub fn at_bytes<'b>(&self, buffer: &'b Buffer, bytes: u32) -> Binding<'b> {
        let offset = u64::from(self.slot) * u64::from(bytes);
        if offset == 0 { buffer.into() } else { buffer.range(offset, buffer.size() - offset) }
    }

    /// Adds `node.value` = activate(weights · `input` + bias).
    pub fn weighted_forward(&mut self, node: &Node, weights: &Weights, input: &Buffer) -> Result<()> {
        let label = format!("{} forward", node.name);
        let work = weighted_work(node, weights, self.range.most);
        let mut epilogue = vec![Binding::from(&weights.bias)];
        if let Some(pre_activation) = &node.pre_activation {
            epilogue.extend([pre_activation.into(), Binding::from(self.parameters)]);
        }
        epilogue.extend(node.joined_pool().map(|pool| Binding::from(&pool.choice)));
        let geometry = Geometry::of(node);
        if let Some(slices) = &weights.forward_slices {
            return self.convolve(
                &label,
                slices,
                geometry,
                (node.activation.forward(Specialization::new().feature("bias", true)), node.value_storage()),
                [input.into(), (&node.value).into()],
                &epilogue,
                work,
            );
        }
        let choice = match node.kind {
            NodeKind::Convolution { .. } => self.tiles.tiled(geometry, self.range.most, 0).ok_or_else(no_kernel)?,
            _ => self.tiles.vectors_times_matrix(node.input_elements(), node.output_elements(), self.range.most),
        };
        let cooperative = self.tiles.cooperative_forward(node, weights, self.range.most);
        let mut bindings = vec![self.range.binding, input.into(), (&weights.forward).into(), (&node.value).into()];
        if cooperative.is_some() {
            bindings.extend([&weights.bias, self.parameters, &weights.constants].map(Binding::from));
            bindings.extend(node.pre_activation.as_ref().map(Binding::from));
        } else {
            bindings.extend(epilogue);
        }
        let choice = cooperative.unwrap_or(choice);
        let specialization = node.value_storage().specialize(choice.specialization.feature("bias", true));
        let specialization = node.activation.forward(specialization);
        let kernel = self.gpu.kernel(choice.kernel, specialization)?;
        self.recording.dispatch(self.gpu, label, kernel, &bindings, choice.workgroups)?;
        self.recording.note_work(work);
        Ok(())
    }

    /// Adds `convolution`, a dispatch for each slice of the weights; `more` is what follows the first five bindings.
    #[expect(clippy::too_many_arguments, reason = "the sum, what is done with it, and between which buffers")]
    fn convolve(
        &mut self,
        label: &str,
        weights: &WeightSlices,
        geometry: Geometry,
        (specialization, storage): (Specialization, Storage),
        [from, to]: [Binding<'_>; 2],
        more: &[Binding<'_>],
        work: Work,
    ) -> Result<()> {
        let sum = (storage.specialize(specialization), work);
        record_convolution(self.gpu, self.recording, label, self.range, (weights, geometry), sum, [from, to], more)
    }

    /// The choices of the max-pool that is part of `node`, from the pass's first image on.
    fn joined_choice<'b>(&self, node: &'b Node) -> Option<Binding<'b>> {
        node.joined_pool().map(|pool| self.at_bytes(&pool.choice, 4 * node.output_elements()))
    }

    /// Adds the gradient with respect to the node's input, `to`, from its output's, `from`.
    pub fn weighted_input_gradient(&mut self, node: &Node, weights: &Weights, [from, to]: [Binding<'_>; 2]) -> Result<()> {
        let label = format!("{} input gradient", node.name);
        let work = weighted_work(node, weights, self.range.most);
        if let NodeKind::Convolution { stride, .. } = node.kind {
            let geometry = Geometry::of(node);
            let mirrored = geometry.mirrored(node.output.channels);
            // But for an image's, the pass is a convolution whose input is the output's gradient.
            let storage = node.gradient_storage();
            if let Some(slices) = &weights.backward_slices {
                let plain = ActivationPlan::NONE.forward(Specialization::new().feature("bias", false));
                let choice = self.joined_choice(node);
                let more = choice.as_slice();
                return self.convolve(&label, slices, mirrored, (plain, storage.mirrored()), [from, to], more, work);
            }
            let (choice, weight, storage) = if geometry.input[2] == 1 {
                (self.tiles.narrow_gradient(geometry, node.input.channels, self.range.most), &weights.forward, storage)
            } else {
                let mut choice = self.tiles.tiled(mirrored, self.range.most, stride).ok_or_else(no_kernel)?;
                choice.specialization = ActivationPlan::NONE.forward(choice.specialization.feature("bias", false));
                (choice, &weights.backward, storage.mirrored())
            };
            let kernel = self.gpu.kernel(choice.kernel, storage.specialize(choice.specialization))?;
            self.recording.dispatch(
                self.gpu,
                label,
                kernel,
                &[self.range.binding, from, weight.into(), to],
                choice.workgroups,
            )?;
        } else {
            let sizes = [node.output_elements(), node.input_elements()];
            let bindings = [from, (&weights.backward).into(), to];
            let variant = (self.tiles, node.gradient_storage().mirrored());
            record_matrix_product(self.gpu, self.recording, label, self.range, sizes, bindings, variant)?;
        }
        self.recording.note_work(work);
        Ok(())
    }

    /// Adds the gradient with respect to the node's weights and bias, in both stages, to the flat array `gradients`.
    pub fn weight_gradient(&mut self, node: &Node, weights: &Weights, from: [Binding<'_>; 2], gradients: &Buffer) -> Result<()> {
        let (parts, count) =
            weights.parts.as_ref().ok_or_else(|| Error::Gpu("this network was made without weight gradients".into()))?;
        let [input, gradient] = from;
        let choice = self.tiles.weight_gradient(node);
        let [rows, _, columns] = choice.workgroups;
        let storage = Storage { input: node.storage.input, ..node.gradient_storage() };
        let specialization = storage.specialize(choice.specialization.constant("PARTS", *count));
        let kernel = self.gpu.kernel(choice.kernel, specialization)?;
        let mut bindings = vec![self.range.binding, input, gradient, parts.into()];
        bindings.extend(self.joined_choice(node));
        let label = format!("{} weight gradient", node.name);
        self.recording.dispatch(self.gpu, label, kernel, &bindings, [rows, *count, columns])?;
        self.recording.note_work(weighted_work(node, weights, self.range.most));

        let specialization = weights.quantizer.specialize(weight_shape(node, weights)).constant("PARTS", *count);
        let specialization = specialization.feature("learned_step", weights.step_terms.is_some());
        let kernel = self.gpu.kernel("reduce_weight_gradient", specialization)?;
        let source = weights.source(self.parameters);
        let mut bindings = vec![self.range.binding, parts.into(), source.into(), (&weights.constants).into(), gradients.into()];
        bindings.extend(weights.step_terms.as_ref().map(Binding::from));
        let elements = node.output.channels * node.input.channels * weights.taps;
        let workgroups = grid(elements.div_ceil(ELEMENTWISE));
        self.recording.dispatch(self.gpu, format!("{} weight gradient sum", node.name), kernel, &bindings, workgroups)?;

        let (Some(terms), Some(index)) = (&weights.step_terms, weights.step_index) else { return Ok(()) };
        let steps = if weights.quantizer.is_per_channel() { node.output.channels } else { 1 };
        let specialization = weights.quantizer.specialize_step_gradient(Specialization::new(), elements / steps, index);
        let kernel = self.gpu.kernel("learned_step_gradient", specialization)?;
        let bindings = [self.range.binding, terms.into(), gradients.into()];
        self.recording.dispatch(self.gpu, format!("{} step gradient", node.name), kernel, &bindings, [steps, 1, 1])
    }
}

/// A convolution has either slices for strips or tiles for products.
fn no_kernel() -> Error {
    Error::Gpu("this network was made without the weights that its passes read".into())
}

/// Gives a convolution the slices of weights that its kernels read, where they do.
pub(super) fn slice_weights(gpu: &Gpu, node: &mut Node, tiles: TileTable, gradients: bool) -> Result<()> {
    let geometry = Geometry::of(node);
    let mirrored = geometry.mirrored(node.output.channels);
    let NodeKind::Convolution { weights, kernel, .. } = &mut node.kind else { return Ok(()) };
    let slices = |geometry: Geometry, is_mirrored: bool| {
        let [out_groups, in_channels] = [geometry.output[2], GROUP * geometry.input[2]];
        let tiles = tiles.strips(geometry.strip_shape())?;
        Some(WeightSlices::new(gpu, tiles, WeightSizes { out_groups, in_channels, kernel: *kernel }, is_mirrored))
    };
    weights.forward_slices = slices(geometry, false).transpose()?;
    if gradients && geometry.input[2] > 1 {
        weights.backward_slices = slices(mirrored, true).transpose()?;
    }
    Ok(())
}

/// Adds the fake quantization and layout of a node's weights.
pub(super) fn record_weights(
    gpu: &Gpu,
    recording: &mut Recording,
    node: &Node,
    weights: &Weights,
    parameters: &Buffer,
) -> Result<()> {
    let out_channels = node.output.channels;
    let in_elements = node.input.channels * weights.taps;
    let source = weights.source(parameters);
    let channels = Specialization::new().constant("OUT_CHANNELS", out_channels);
    if let Some(index) = weights.step_index {
        let kernel = gpu.kernel("learned_step", weights.quantizer.specialize_step(channels, index))?;
        let bindings = [parameters, &weights.constants].map(Binding::from);
        recording.dispatch(gpu, format!("{} weight step", node.name), kernel, &bindings, [out_channels.div_ceil(64), 1, 1])?;
    } else if weights.quantizer.is_active() {
        let specialization = channels.clone().constant("IN_ELEMENTS", in_elements).constant("WEIGHT_INDEX", weights.weight_index);
        let kernel = gpu.kernel("weight_range", specialization)?;
        let workgroups = [out_channels.div_ceil(64), 1, 1];
        let bindings = [source, &weights.statistics].map(Binding::from);
        recording.dispatch(gpu, format!("{} weight range", node.name), kernel, &bindings, workgroups)?;
        let kernel = gpu.kernel("weight_scale", weights.quantizer.specialize_scale(channels))?;
        let bindings = [&weights.statistics, &weights.constants].map(Binding::from);
        recording.dispatch(gpu, format!("{} weight scale", node.name), kernel, &bindings, workgroups)?;
    }
    let (in_padded, out_padded) = (padded(node.input.channels), padded(out_channels));
    let [backward_tap, backward_out] = match node.kind {
        NodeKind::Convolution { .. } => [out_padded * in_padded, in_padded],
        _ => [in_padded, weights.taps * in_padded],
    };
    let specialization = weights
        .quantizer
        .specialize_levels(weight_shape(node, weights))
        .constant("BACKWARD_TAP", backward_tap)
        .constant("BACKWARD_OUT", backward_out);
    let kernel = gpu.kernel("prepare_weights", specialization)?;
    let bindings = [source, &weights.constants, &weights.forward, &weights.backward, &weights.bias].map(Binding::from);
    let workgroups = grid((out_channels * in_elements).div_ceil(ELEMENTWISE));
    let label = format!("{} weights", node.name);
    recording.dispatch(gpu, label.as_str(), kernel, &bindings, workgroups)?;
    record_slices(gpu, recording, &label, weights)
}

/// Adds cutting a layer's weights, as they are then, into the slices that its kernels read.
pub(super) fn record_slices(gpu: &Gpu, recording: &mut Recording, label: &str, weights: &Weights) -> Result<()> {
    for (slices, weights) in [(&weights.forward_slices, &weights.forward), (&weights.backward_slices, &weights.backward)] {
        if let Some(slices) = slices {
            slices.record(gpu, recording, label, weights)?;
        }
    }
    Ok(())
}

/// Constants that `prepare_weights` and `reduce_weight_gradient` share.
fn weight_shape(node: &Node, weights: &Weights) -> Specialization {
    Specialization::new()
        .constant("OUT_CHANNELS", node.output.channels)
        .constant("IN_CHANNELS", node.input.channels)
        .constant("TAPS", weights.taps)
        .constant("OUT_PADDED", padded(node.output.channels))
        .constant("IN_PADDED", padded(node.input.channels))
        .constant("WEIGHT_INDEX", weights.weight_index)
        .constant("BIAS_INDEX", weights.bias_index)
}

/// A pass of a weighted layer over `images`: its multiply-adds, and its activations and weights moved once.
fn weighted_work(node: &Node, weights: &Weights, images: u32) -> Work {
    let images = u64::from(images);
    let fan_in = u64::from(weights.taps) * u64::from(node.input.channels);
    let number_bytes = |format: Format| format.group_bytes() / u64::from(GROUP);
    let moved = u64::from(node.input.elements()) * number_bytes(node.storage.input)
        + u64::from(node.output.elements()) * number_bytes(node.storage.output);
    let outputs = match node.kind {
        NodeKind::Convolution { .. } => u64::from(node.activated().elements()),
        _ => u64::from(node.output.channels),
    };
    Work { flops: 2 * images * outputs * fan_in, bytes: images * moved + 4 * fan_in * u64::from(node.output.channels) }
}
