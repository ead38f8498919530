//! The dispatches of weighted layers' passes, and of what makes their weights ready.

use super::{
    Pooling, TileTable,
    geometry::Geometry,
    network::{ELEMENTWISE, grid},
    node::{Node, NodeKind, Weights},
    slices::{WeightSizes, WeightSlices},
};
use crate::{
    Error, Result,
    gpu::{Binding, Buffer, Gpu, Recording, Work},
    kernels::ImageRange,
    layout::{GROUP, padded},
    quant::ActivationPlan,
    shaders::Specialization,
    storage::{Format, Storage},
};

/// Adds the product of `range`'s vectors, [image, in group] vec4, with a matrix, [4·in group, out
/// group] vec4.
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
    (tiles, storage): (&TileTable, Storage),
) -> Result<()> {
    let choice = tiles.vectors_times_matrix(in_groups, out_groups, range.most);
    let specialization = ActivationPlan::NONE.forward(choice.specialization.feature("bias", false));
    let specialization = storage.specialize(specialization);
    let bindings = [range.binding, vectors, matrix, product];
    recording.dispatch(
        gpu,
        label,
        gpu.kernel(choice.kernel, specialization)?,
        &bindings,
        choice.workgroups,
    )
}

/// Adds `convolution`, a dispatch for each slice of the weights, with what `specialization` says of
/// storage and the sum's end. `more` are the bindings behind the output.
#[expect(
    clippy::too_many_arguments,
    reason = "the sum, what is done with it, and between which buffers"
)]
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
    let ([height, width, out_groups], [kernel, stride, padding]) =
        (geometry.output, geometry.window);
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
    let strips = tiles.strips(range.most, [height, width]);
    let [x, y, _] = grid(strips.div_ceil(tiles.lanes));
    let blocks = u64::from(out_groups.div_ceil(tiles.groups));
    for slice in &weights.slices {
        let mut bindings =
            vec![range.binding, from, (&slice.weights).into(), (&slice.record).into(), to];
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
    /// Where the range's image 0 is in the buffers of activations; gradients of a chunk start with
    /// it.
    pub slot: u32,
    pub parameters: &'a Buffer,
    pub tiles: &'a TileTable,
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
    pub fn weighted_forward(
        &mut self,
        node: &Node,
        weights: &Weights,
        input: &Buffer,
    ) -> Result<()> {
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
                (
                    node.activation.forward(Specialization::new().feature("bias", true)),
                    node.value_storage(),
                ),
                [input.into(), (&node.value).into()],
                &epilogue,
                work,
            );
        }
        let choice = match node.kind {
            NodeKind::Convolution { .. } => {
                self.tiles.tiled(geometry, self.range.most, 0).ok_or_else(no_kernel)?
            }
            _ => self.tiles.vectors_times_matrix(
                node.input_elements(),
                node.output_elements(),
                self.range.most,
            ),
        };
        let cooperative = self.tiles.cooperative_forward(node, weights, self.range.most);
        let mut bindings =
            vec![self.range.binding, input.into(), (&weights.forward).into(), (&node.value).into()];
        if cooperative.is_some() {
            bindings
                .extend([&weights.bias, self.parameters, &weights.constants].map(Binding::from));
            bindings.extend(node.pre_activation.as_ref().map(Binding::from));
        } else {
            bindings.extend(epilogue);
        }
        let choice = cooperative.unwrap_or(choice);
        let specialization =
            node.value_storage().specialize(choice.specialization.feature("bias", true));
        let specialization = node.activation.forward(specialization);
        let kernel = self.gpu.kernel(choice.kernel, specialization)?;
        self.recording.dispatch(self.gpu, label, kernel, &bindings, choice.workgroups)?;
        self.recording.note_work(work);
        Ok(())
    }

    /// Adds `convolution`, a dispatch for each slice of the weights; `more` is what follows the
    /// first five bindings.
    #[expect(
        clippy::too_many_arguments,
        reason = "the sum, what is done with it, and between which buffers"
    )]
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
        record_convolution(
            self.gpu,
            self.recording,
            label,
            self.range,
            (weights, geometry),
            sum,
            [from, to],
            more,
        )
    }

    /// The choices of the max-pool that is part of `node`, from the pass's first image on.
    fn joined_choice<'b>(&self, node: &'b Node) -> Option<Binding<'b>> {
        node.joined_pool().map(|pool| self.at_bytes(&pool.choice, 4 * node.output_elements()))
    }

    /// Adds the gradient with respect to the node's input, `to`, from its output's, `from`.
    pub fn weighted_input_gradient(
        &mut self,
        node: &Node,
        weights: &Weights,
        [from, to]: [Binding<'_>; 2],
    ) -> Result<()> {
        let label = format!("{} input gradient", node.name);
        let work = weighted_work(node, weights, self.range.most);
        if let NodeKind::Convolution { stride, .. } = node.kind {
            let geometry = Geometry::of(node);
            let mirrored = geometry.mirrored(node.output.channels);
            // But for an image's, the pass is a convolution whose input is the output's gradient.
            let storage = node.gradient_storage();
            if let Some(slices) = &weights.backward_slices {
                let plain =
                    ActivationPlan::NONE.forward(Specialization::new().feature("bias", false));
                let choice = self.joined_choice(node);
                let more = choice.as_slice();
                return self.convolve(
                    &label,
                    slices,
                    mirrored,
                    (plain, storage.mirrored()),
                    [from, to],
                    more,
                    work,
                );
            }
            let (choice, weight, storage) = if geometry.input[2] == 1 {
                (
                    self.tiles.narrow_gradient(geometry, node.input.channels, self.range.most),
                    &weights.forward,
                    storage,
                )
            } else {
                let mut choice =
                    self.tiles.tiled(mirrored, self.range.most, stride).ok_or_else(no_kernel)?;
                choice.specialization =
                    ActivationPlan::NONE.forward(choice.specialization.feature("bias", false));
                (choice, &weights.backward, storage.mirrored())
            };
            let kernel =
                self.gpu.kernel(choice.kernel, storage.specialize(choice.specialization))?;
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
            record_matrix_product(
                self.gpu,
                self.recording,
                label,
                self.range,
                sizes,
                bindings,
                variant,
            )?;
        }
        self.recording.note_work(work);
        Ok(())
    }

    /// Adds the gradient with respect to the node's weights and bias, in both stages, to the flat
    /// array `gradients`.
    pub fn weight_gradient(
        &mut self,
        node: &Node,
        weights: &Weights,
        from: [Binding<'_>; 2],
        gradients: &Buffer,
    ) -> Result<()> {
        let (parts, count) = weights
            .parts
            .as_ref()
            .ok_or_else(|| Error::Gpu("this network was made without weight gradients".into()))?;
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

        let specialization =
            weights.quantizer.specialize(weight_shape(node, weights)).constant("PARTS", *count);
        let specialization = specialization.feature("learned_step", weights.step_terms.is_some());
        let kernel = self.gpu.kernel("reduce_weight_gradient", specialization)?;
        let source = weights.source(self.parameters);
        let mut bindings = vec![
            self.range.binding,
            parts.into(),
            source.into(),
            (&weights.constants).into(),
            gradients.into(),
        ];
        bindings.extend(weights.step_terms.as_ref().map(Binding::from));
        let elements = node.output.channels * node.input.channels * weights.taps;
        let workgroups = grid(elements.div_ceil(ELEMENTWISE));
        self.recording.dispatch(
            self.gpu,
            format!("{} weight gradient sum", node.name),
            kernel,
            &bindings,
            workgroups,
        )?;

        let (Some(terms), Some(index)) = (&weights.step_terms, weights.step_index) else {
            return Ok(());
        };
        let steps = if weights.quantizer.is_per_channel() { node.output.channels } else { 1 };
        let specialization = weights.quantizer.specialize_step_gradient(
            Specialization::new(),
            elements / steps,
            index,
        );
        let kernel = self.gpu.kernel("learned_step_gradient", specialization)?;
        let bindings = [self.range.binding, terms.into(), gradients.into()];
        self.recording.dispatch(
            self.gpu,
            format!("{} step gradient", node.name),
            kernel,
            &bindings,
            [steps, 1, 1],
        )
    }
}

/// A convolution has either slices for strips or tiles for products.
fn no_kernel() -> Error {
    Error::Gpu("this network was made without the weights that its passes read".into())
}

/// Gives a convolution the slices of weights that its kernels read, where they do.
pub(super) fn slice_weights(
    gpu: &Gpu,
    node: &mut Node,
    tiles: &TileTable,
    gradients: bool,
) -> Result<()> {
    let geometry = Geometry::of(node);
    let mirrored = geometry.mirrored(node.output.channels);
    let NodeKind::Convolution { weights, kernel, .. } = &mut node.kind else { return Ok(()) };
    let slices = |geometry: Geometry, is_mirrored: bool| {
        let [out_groups, in_channels] = [geometry.output[2], GROUP * geometry.input[2]];
        let tiles = tiles.strips(geometry.strip_shape())?;
        Some(WeightSlices::new(
            gpu,
            tiles,
            WeightSizes { out_groups, in_channels, kernel: *kernel },
            is_mirrored,
        ))
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
        let kernel =
            gpu.kernel("learned_step", weights.quantizer.specialize_step(channels, index))?;
        let bindings = [parameters, &weights.constants].map(Binding::from);
        recording.dispatch(
            gpu,
            format!("{} weight step", node.name),
            kernel,
            &bindings,
            [out_channels.div_ceil(64), 1, 1],
        )?;
    } else if weights.quantizer.is_active() {
        let specialization = channels
            .clone()
            .constant("IN_ELEMENTS", in_elements)
            .constant("WEIGHT_INDEX", weights.weight_index);
        let kernel = gpu.kernel("weight_range", specialization)?;
        let workgroups = [out_channels.div_ceil(64), 1, 1];
        let bindings = [source, &weights.statistics].map(Binding::from);
        recording.dispatch(
            gpu,
            format!("{} weight range", node.name),
            kernel,
            &bindings,
            workgroups,
        )?;
        let kernel = gpu.kernel("weight_scale", weights.quantizer.specialize_scale(channels))?;
        let bindings = [&weights.statistics, &weights.constants].map(Binding::from);
        recording.dispatch(
            gpu,
            format!("{} weight scale", node.name),
            kernel,
            &bindings,
            workgroups,
        )?;
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
    let bindings = [source, &weights.constants, &weights.forward, &weights.backward, &weights.bias]
        .map(Binding::from);
    let workgroups = grid((out_channels * in_elements).div_ceil(ELEMENTWISE));
    let label = format!("{} weights", node.name);
    recording.dispatch(gpu, label.as_str(), kernel, &bindings, workgroups)?;
    record_slices(gpu, recording, &label, weights)
}

/// Adds cutting a layer's weights, as they are then, into the slices that its kernels read.
pub(super) fn record_slices(
    gpu: &Gpu,
    recording: &mut Recording,
    label: &str,
    weights: &Weights,
) -> Result<()> {
    for (slices, weights) in
        [(&weights.forward_slices, &weights.forward), (&weights.backward_slices, &weights.backward)]
    {
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

/// A pass of a weighted layer over `images`: its multiply-adds, and its activations and weights
/// moved once.
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
    Work {
        flops: 2 * images * outputs * fan_in,
        bytes: images * moved + 4 * fan_in * u64::from(node.output.channels),
    }
}
