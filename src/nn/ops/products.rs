//! Products that convolutions and fully connected layers are on some adapters.

use super::weights::{end, work};
use crate::{
    Result,
    gpu::{Binding, Gpu, Launcher, Recording, Work},
    kernels::{
        ConvolutionCooperative, ConvolutionTiled, Epilogue, Geometry, GroupedShape, ImageRange,
        MatrixProduct,
    },
    nn::{
        ConvolutionFamily, ProductShape, TileTable,
        nodes::{Node, NodeKind, Weights},
        recorder::Recorder,
    },
    quant::is_exact_in_f32,
    storage::Storage,
};

/// A product of vectors with a matrix, by whichever kernel the adapter has for it.
pub(crate) struct Product<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, in group] vec4.
    pub vectors: Binding<'a>,
    /// [4 · in group, out group] vec4, or [4 · out group, in group] where it is `transposed`.
    pub matrix: Binding<'a>,
    /// Whether the matrix lies the other way round: kernels in registers alone read that.
    pub transposed: bool,
    /// [image, out group] vec4.
    pub product: Binding<'a>,
    /// The operation on the sums.
    pub end: Epilogue<'a>,
    /// Groups of 4 inputs and outputs.
    pub sizes: [u32; 2],
    /// Formats of vectors and product.
    pub storage: Storage,
    /// The work of the dispatch.
    pub work: Work,
}

impl Product<'_> {
    /// Adds it to `recording`, with the tiles of `table`.
    ///
    /// # Errors
    /// As [`Recording::launch`].
    pub fn record(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        table: &TileTable,
        label: impl Into<String>,
    ) -> Result<()> {
        let [in_groups, out_groups] = self.sizes;
        let geometry = Geometry::fully_connected(in_groups, out_groups);
        let &Product { images, vectors, matrix, transposed, product, end, storage, work, .. } =
            self;
        match table.product_of(geometry) {
            Some(tiles) => ConvolutionTiled {
                images,
                input: vectors,
                weight: matrix,
                output: product,
                end,
                geometry,
                mirrored: false,
                tiles,
                storage,
                work,
            }
            .record(gpu, recording, label),
            None => MatrixProduct {
                images,
                input: vectors,
                weight: matrix,
                output: product,
                end,
                transposed,
                in_groups,
                out_groups,
                tiles: table.matrix_product(out_groups),
                storage,
                work,
            }
            .record(gpu, recording, label),
        }
    }
}

/// The products that a weighted node's passes are on GPUs, under the labels of their dispatches.
pub fn products(node: &Node) -> Vec<(String, ProductShape)> {
    if node.family() != ConvolutionFamily::Dense {
        return Vec::new();
    }
    let geometry = node.geometry();
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

/// The forward pass as a product of cooperative matrices, where the adapter has them and they lose
/// nothing: inputs and weights are integer levels, which f16 holds, and f32 holds all sums of their
/// products.
pub fn cooperative<'a>(
    recorder: &Recorder<'a>,
    node: &'a Node,
    weights: &'a Weights,
    input: Binding<'a>,
) -> Option<ConvolutionCooperative<'a>> {
    if !(node.input_levels.is_pact() && weights.quantizer.is_active()) {
        return None;
    }
    let factors = [node.input_levels.level_count() as u32, weights.quantizer.levels() as u32];
    if !has_exact_sums(weights.shape.fan_in(), factors) {
        return None;
    }
    let geometry = node.geometry();
    Some(ConvolutionCooperative {
        images: recorder.images,
        input,
        weight: &weights.forward,
        output: (&node.value).into(),
        end: end(node, weights, recorder.parameters),
        quantizer: &weights.constants,
        geometry,
        input_activation: node.input_levels,
        plan: weights.quantizer,
        tiles: recorder.tiles.cooperative(geometry.output[2])?,
        storage: node.value_storage(),
        work: work(node, weights, recorder.images.most),
    })
}

/// Parts that the weight gradient of a weighted node over `images` should be summed in.
pub fn wanted_parts(tiles: &TileTable, node: &Node, images: u32) -> u32 {
    let geometry = node.geometry();
    let workgroups = match (node.family(), node.grouped()) {
        (ConvolutionFamily::Depthwise, _) => {
            let [height, _, channel_groups] = geometry.output;
            let bands = height.div_ceil(tiles.depthwise(geometry).rows);
            return tiles.depthwise_parts(channel_groups, images.saturating_mul(bands));
        }
        (ConvolutionFamily::Grouped, Some(shape)) => {
            let [workgroups, rows, _] = GroupedShape::workgroups(1, shape.part_elements());
            workgroups.saturating_mul(rows)
        }
        _ => part_workgroups(tiles, node, geometry),
    };
    tiles.weight_gradient_parts(workgroups, images, geometry.pixels())
}

/// Workgroups of one part of a dense node's weight gradient, whatever its kind.
fn part_workgroups(tiles: &TileTable, node: &Node, geometry: Geometry) -> u32 {
    let ([_, _, in_groups], [_, _, out_groups]) = (geometry.input, geometry.output);
    let (rows, columns) = match tiles.weight_gradient_product_of(geometry) {
        Some(own) => own.workgroups(geometry.inner() + 1, out_groups),
        None if matches!(node.kind, NodeKind::Convolution { .. }) => {
            let own = tiles.convolution_weight_gradient(geometry);
            let (rows, columns) =
                own.workgroups([in_groups, out_groups], geometry.window.kernel[0]);
            // Their tiles are small: two of them need the images of one, for fewer rounds of loops.
            (rows.div_ceil(2), columns)
        }
        None => {
            tiles.fully_connected_weight_gradient(out_groups).workgroups([in_groups, out_groups])
        }
    };
    rows * columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_up_to_2_to_the_24() {
        assert!(has_exact_sums(258, [255, 255]) && !has_exact_sums(259, [255, 255]));
        assert!(has_exact_sums(1 << 24, [1, 1]) && !has_exact_sums((1 << 24) + 1, [1, 1]));
        assert!(has_exact_sums(u32::MAX, [0, 255]) && !has_exact_sums(u32::MAX, [u32::MAX; 2]));
    }
}
