//! Buffers of the derivative of a map of gradients by the weights (`pass/tangent.rs`).

use super::{
    nodes::{Node, NodeKind},
    routes::GradientBuffers,
};
use crate::{
    Error, Result,
    gpu::{Binding, Buffer, Gpu},
    layout::{ImagesRange, padded},
    storage::Format,
};

/// A map of gradients, and where the gradients of the layers are that it came from.
#[derive(Clone, Debug)]
pub struct GradientMap<'a> {
    /// ∂s/∂X, [image, row, column, channel / 4] vec4. What it is to be differentiated along
    /// replaces it.
    pub map: Binding<'a>,
    /// At the outputs of nodes: before their activations, and before a batch norm.
    pub(super) gradients: Vec<Option<Binding<'a>>>,
}

/// The buffers.
pub(super) struct Tangents {
    /// Gradients of the pass that makes the map, each with a place of its own.
    pub backward: GradientBuffers,
    /// At the outputs of batch norms, whose inputs' gradients replace these.
    pub copies: Vec<Option<Buffer>>,
    /// Derivatives of the outputs of nodes along a direction, as long as others read them; none
    /// where it is that of what goes in.
    pub values: Vec<Option<Buffer>>,
    /// Zeros in the place of biases.
    pub no_bias: Buffer,
    /// ∂⟨map, v⟩/∂θ, flat.
    pub gradients: Buffer,
    /// The record of one image, for kernels over the flat array.
    pub one: Buffer,
}

impl Tangents {
    /// Buffers beside those of the pass that makes the maps, `backward`, for `parameters` bytes of
    /// parameters.
    ///
    /// # Errors
    /// [`Error::Gpu`] for a network that is not linear between kinks, or stores 16-bit floats;
    /// [`Error::OutOfMemory`].
    pub fn new(
        gpu: &Gpu,
        nodes: &[Node],
        backward: GradientBuffers,
        parameters: u64,
    ) -> Result<Tangents> {
        let images = backward.plan.slots;
        for node in nodes {
            let is_bent = !node.activation.function().is_piecewise_linear()
                || matches!(node.kind, NodeKind::Multiply);
            if is_bent || node.storage.output != Format::F32 {
                let name = &node.name;
                return Err(Error::Gpu(format!("{name}: its gradient has no tangent in f32")));
            }
        }
        let bytes = |node: &Node| {
            u64::from(images) * u64::from(node.output_elements()) * Format::F32.group_bytes()
        };
        let copy = |node: &Node| match &node.kind {
            NodeKind::BatchNorm(norm) if !norm.folded => {
                gpu.buffer("gradients at batch norms", bytes(node)).map(Some)
            }
            _ => Ok(None),
        };
        let one = gpu.uniform("one image", size_of::<ImagesRange>() as u64)?;
        gpu.write(&one, 0, &[ImagesRange { count: 1, batch: 1, ..ImagesRange::default() }]);
        let channels = nodes.iter().map(|node| padded(node.output.channels)).max().unwrap_or(0);
        Ok(Tangents {
            copies: nodes.iter().map(copy).collect::<Result<_>>()?,
            backward,
            values: values(gpu, nodes, bytes)?,
            no_bias: gpu.buffer("no bias", u64::from(channels) * 4)?,
            gradients: gpu.buffer("gradients of aligned maps", parameters)?,
            one,
        })
    }
}

/// Places for the derivatives of the outputs of `nodes` of `bytes`: of each from where it is made
/// to where it is read last.
fn values(gpu: &Gpu, nodes: &[Node], bytes: impl Fn(&Node) -> u64) -> Result<Vec<Option<Buffer>>> {
    // The nodes whose places are read, none for the images' direction.
    let mut owners: Vec<Option<usize>> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        owners.push(match node.kind {
            NodeKind::Dropout { .. } | NodeKind::Flatten => {
                node.front().and_then(|front| owners[front])
            }
            _ => Some(index),
        });
    }
    let read_by = |node: &Node| -> Vec<usize> {
        node.sources.iter().filter_map(|source| owners[source.step()?]).collect()
    };
    let mut last: Vec<usize> = (0..nodes.len()).collect();
    for (index, node) in nodes.iter().enumerate() {
        read_by(node).into_iter().for_each(|owner| last[owner] = index);
    }
    let mut free: Vec<Buffer> = Vec::new();
    let mut all: Vec<Option<Buffer>> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let is_last = index + 1 == nodes.len();
        let own = match owners[index] == Some(index) && !is_last {
            false => None,
            true => {
                let fits = |(_, buffer): &(usize, &Buffer)| buffer.size() >= bytes(node);
                let found = free.iter().enumerate().filter(fits);
                let found = found.min_by_key(|(_, buffer)| buffer.size()).map(|(at, _)| at);
                Some(match found {
                    Some(at) => free.swap_remove(at),
                    None => gpu.buffer("tangents", bytes(node))?,
                })
            }
        };
        all.push(own);
        let mut done: Vec<usize> =
            read_by(node).into_iter().filter(|&owner| last[owner] == index).collect();
        done.sort_unstable();
        done.dedup();
        free.extend(done.into_iter().filter_map(|owner| all[owner].clone()));
    }
    Ok(all)
}
