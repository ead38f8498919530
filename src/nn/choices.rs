//! Which kernel makes a pass of a weighted layer, with which tiles, and in how many workgroups.

use super::{
    Pooling, ProductShape, TileTable,
    geometry::Geometry,
    network::grid,
    node::{Node, NodeKind, Weights},
};
use crate::{quant::is_exact_in_f32, shaders::Specialization};

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
        ProductShape {
            weight_gradient: false,
            column_groups,
            rows: geometry.pixels(),
            inner: geometry.inner(),
        }
    };
    let mirrored = match node.kind {
        // An input of a single group of channels has a kernel of its own.
        NodeKind::Convolution { .. } => {
            (geometry.input[2] > 1).then(|| geometry.mirrored(node.output.channels))
        }
        _ => Some(Geometry::fully_connected(node.output_elements(), node.input_elements())),
    };
    let rows = geometry.inner() + 1;
    let weights =
        ProductShape { weight_gradient: true, column_groups: geometry.output[2], rows, inner: 0 };
    let mut all = vec![
        (format!("{} forward", node.name), product(geometry)),
        (format!("{} weight gradient", node.name), weights),
    ];
    all.extend(
        mirrored.map(|geometry| (format!("{} input gradient", node.name), product(geometry))),
    );
    all
}

/// Whether f32 holds every sum, in any order, of `products` products of integers that are at most
/// `factors` in magnitude.
fn has_exact_sums(products: u32, factors: [u32; 2]) -> bool {
    let bound = factors
        .iter()
        .try_fold(u64::from(products), |bound, &factor| bound.checked_mul(u64::from(factor)));
    bound.is_some_and(is_exact_in_f32)
}

impl TileTable {
    /// The matrix product in workgroup memory for `geometry`, where it is to be taken; `spacing` is
    /// 0 in forward passes.
    pub(super) fn tiled(&self, geometry: Geometry, images: u32, spacing: u32) -> Option<Choice> {
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

    /// The product of cooperative matrices for a node's forward pass, where the adapter has them
    /// and they lose nothing: inputs and weights are integer levels, which f16 holds, and f32 holds
    /// all sums of their products.
    pub(super) fn cooperative_forward(
        &self,
        node: &Node,
        weights: &Weights,
        images: u32,
    ) -> Option<Choice> {
        if !(node.input_activation.is_pact() && weights.quantizer.is_active()) {
            return None;
        }
        let products = match node.kind {
            NodeKind::Convolution { kernel, .. } => kernel * kernel * node.input.channels,
            _ => node.input.elements(),
        };
        if !has_exact_sums(
            products,
            [node.input_activation.highest_level(), weights.quantizer.highest_multiple()],
        ) {
            return None;
        }
        let geometry = Geometry::of(node);
        let tiles = self.cooperative(geometry.output[2])?;
        let (rows, columns) = tiles.workgroups(images * geometry.pixels(), geometry.output[2]);
        let [x, y, _] = grid(rows);
        let specialization = node
            .input_activation
            .of_inputs(tiles.specialize(geometry.windows(Specialization::new())));
        let specialization = weights.quantizer.specialize_units(specialization);
        Some(Choice {
            kernel: "convolution_cooperative",
            specialization,
            workgroups: [x, y, columns],
        })
    }

    /// The sum of products over `geometry` in workgroup memory, or as a product in registers.
    pub(super) fn sum_of_products(&self, geometry: Geometry, images: u32) -> Choice {
        let [_, _, in_groups] = geometry.input;
        let [_, _, out_groups] = geometry.output;
        self.tiled(geometry, images, 0)
            .unwrap_or_else(|| self.vectors_times_matrix(in_groups, out_groups, images))
    }

    /// The gradient of an input that has a single group of channels.
    pub(super) fn narrow_gradient(
        &self,
        geometry: Geometry,
        in_channels: u32,
        images: u32,
    ) -> Choice {
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
    pub(super) fn vectors_times_matrix(
        &self,
        in_groups: u32,
        out_groups: u32,
        images: u32,
    ) -> Choice {
        if let Some(choice) =
            self.tiled(Geometry::fully_connected(in_groups, out_groups), images, 0)
        {
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
        let workgroups =
            [out_groups.div_ceil(lanes * per_lane), images.div_ceil(per_invocation), 1];
        Choice { kernel: "matrix_product", specialization, workgroups }
    }

    /// The first stage of a node's weight gradient in one part; `workgroups[1]` and PARTS are the
    /// number of parts.
    pub(super) fn weight_gradient(&self, node: &Node) -> Choice {
        let geometry = Geometry::of(node);
        let ([_, _, in_groups], [_, width, out_groups], depth) =
            (geometry.input, geometry.output, geometry.depth);
        let [kernel, stride, padding] = geometry.window;
        let row_groups = geometry.inner() + 1;
        if let Some(tiles) = self.weight_gradient_product(out_groups, row_groups) {
            let (rows, columns) = tiles.workgroups(row_groups, out_groups);
            let specialization =
                tiles.specialize(geometry.windows(Specialization::new())).tile("DEPTH", depth);
            return Choice {
                kernel: "convolution_weight_gradient_tiled",
                specialization,
                workgroups: [rows, 1, columns],
            };
        }
        if matches!(node.kind, NodeKind::FullyConnected { .. }) {
            let (lanes, per_lane, features) = self.fully_connected_weight_gradient(out_groups);
            let specialization = Specialization::new()
                .tile("FEATURES", features)
                .tile("GROUPS", per_lane)
                .tile("LANES", lanes)
                .constant("IN_GROUPS", in_groups)
                .constant("OUT_GROUPS", out_groups);
            let workgroups =
                [in_groups.div_ceil(features), 1, out_groups.div_ceil(lanes * per_lane)];
            return Choice {
                kernel: "fully_connected_weight_gradient",
                specialization,
                workgroups,
            };
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
        Choice {
            kernel: "convolution_weight_gradient",
            specialization,
            workgroups: [rows, 1, columns],
        }
    }

    /// Parts that the weight gradient of a weighted node should be summed in.
    pub(super) fn wanted_parts(&self, node: &Node, images: u32) -> u32 {
        let [rows, _, columns] = self.weight_gradient(node).workgroups;
        self.weight_gradient_parts(rows * columns, images, Geometry::of(node).pixels())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{LayerBits, LayerConfig, NetworkConfig, QuantizationConfig, Shape},
        gpu::{Abilities, Command, Gpu, Recording},
        kernels::ImageRange,
        nn::{Network, NetworkOptions},
    };

    #[test]
    fn sums_are_exact_up_to_2_to_the_24() {
        assert!(has_exact_sums(258, [255, 255]) && !has_exact_sums(259, [255, 255]));
        assert!(has_exact_sums(1 << 24, [1, 1]) && !has_exact_sums((1 << 24) + 1, [1, 1]));
        assert!(has_exact_sums(u32::MAX, [0, 255]) && !has_exact_sums(u32::MAX, [u32::MAX; 2]));
    }

    /// The kernel of the forward pass of a fully connected layer of `inputs` behind an activation,
    /// both of `bits`.
    fn kernel_of(inputs: u32, bits: u32) -> &'static str {
        let linear =
            |name: &str, out_features| LayerConfig::Linear { name: name.into(), out_features };
        let layers = vec![
            linear("fc1", inputs),
            LayerConfig::Activation { name: "act1".into() },
            linear("fc2", 16),
        ];
        let network = NetworkConfig { input: Shape::new(1, 1, 4), classes: 16, layers };
        let bits = vec![
            LayerBits { weight: 32, activation: bits },
            LayerBits { weight: bits, activation: 32 },
        ];
        let quantization = QuantizationConfig { bits, ..QuantizationConfig::default() };
        let gpu =
            Gpu::noop(false, Abilities { subgroup_lanes: Some(32), cooperative_side: Some(16) });
        let options = NetworkOptions { slots: 1, ..NetworkOptions::default() };
        let network = Network::new(&gpu, &network, &quantization, options).unwrap();
        let range = gpu.uniform("range", 16).unwrap();
        let mut recording = Recording::new();
        network
            .record_forward(
                &gpu,
                &mut recording,
                ImageRange { binding: (&range).into(), most: 1 },
                None,
            )
            .unwrap();
        let forward = recording.commands().iter().find_map(|command| match command {
            Command::Dispatch { kernel, label, .. } if label == "fc2 forward" => {
                Some(kernel.name())
            }
            _ => None,
        });
        forward.unwrap()
    }

    #[test]
    fn cooperative_matrices_multiply_where_their_sums_are_exact() {
        assert_eq!(
            [kernel_of(258, 8), kernel_of(259, 8)],
            ["convolution_cooperative", "convolution_tiled"]
        );
        assert_eq!(kernel_of(3000, 4), "convolution_cooperative");
    }
}
