//! Batch norms folded into the layers in front of them, for rules that need weights and batch norm
//! as one layer. It is done on the GPU at every run, because parameters can change in between.

use crate::{
    Error, Result,
    config::{LayerKind, NetworkConfig, QuantizationConfig},
    gpu::{Buffer, Gpu, Launcher, Recording},
    graph::{Graph, OpId, OpKind, rewrite},
    kernels::{FoldedNorm, FoldedParameters},
};

/// A network without its batch norms.
pub(super) struct Folding {
    /// Its layers.
    pub config: NetworkConfig,
    /// Its parameters, as [`Self::record`] last made them.
    pub parameters: Buffer,
    original: Buffer,
    sources: Buffer,
    norms: Buffer,
    count: u32,
}

/// Returns an error if a batch norm of `network` is not right behind a layer with weights, or not
/// its only reader.
///
/// # Errors
/// [`Error::Unfolded`] with the batch norm.
pub(super) fn check_foldable(network: &NetworkConfig) -> Result<()> {
    let graph = Graph::new(network, &QuantizationConfig::default())?;
    let (folded, _) = rewrite::without_batch_norms(network, &graph);
    let is_norm = |index: &usize| matches!(folded.layers[*index].kind, LayerKind::BatchNorm(_));
    match (0..folded.layers.len()).find(is_norm) {
        Some(index) => Err(Error::Unfolded { norm: folded.names()[index].to_string() }),
        None => Ok(()),
    }
}

impl Folding {
    /// Prepares folding the batch norms of a network with `parameters`.
    ///
    /// # Errors
    /// As [`Graph::new`], and errors of the device.
    pub fn new(
        gpu: &Gpu,
        network: &NetworkConfig,
        quantization: &QuantizationConfig,
        parameters: &Buffer,
    ) -> Result<Folding> {
        let graph = Graph::new(network, quantization)?;
        let (config, _) = rewrite::without_batch_norms(network, &graph);
        let folded = Graph::new(&config, quantization)?.layout;
        let count = folded.padded_length();
        let mut sources = vec![[0u32; 2]; count as usize];
        for parameter in &folded.parameters {
            if let Some(source) = graph.layout.find(&parameter.name) {
                let places = (source.offset + 1..).zip(&mut sources[parameter.range()]);
                places.for_each(|(index, source)| source[0] = index);
            }
        }
        let mut norms = Vec::new();
        for (op, weights) in graph.weighted() {
            let Some(OpKind::BatchNorm(norm)) = weights.norm.map(|id: OpId| &graph.op(id).kind)
            else {
                continue;
            };
            let first = |id| graph.parameter(id).offset;
            let [scale, shift, mean, variance] =
                [norm.scale, norm.shift, norm.mean, norm.variance].map(first);
            let channels = graph.parameter(norm.scale).len();
            for (suffix, shifts) in [("weight", 0), ("bias", 1)] {
                let parameter = folded.require(&format!("{}.{suffix}", op.name))?;
                let per_channel = parameter.len() / channels;
                let own = &mut sources[parameter.range()];
                for (channel, places) in (0..).zip(own.chunks_exact_mut(per_channel)) {
                    norms.push(FoldedNorm {
                        scale: scale + channel,
                        shift: shift + channel,
                        mean: mean + channel,
                        variance: variance + channel,
                        epsilon: norm.epsilon,
                        shifts,
                    });
                    places.iter_mut().for_each(|place| place[1] = norms.len() as u32);
                }
            }
        }
        Ok(Folding {
            config,
            parameters: gpu.buffer("folded parameters", u64::from(count) * 4)?,
            original: parameters.clone(),
            sources: gpu.upload("sources of parameters", &sources)?,
            norms: gpu.upload("channels of batch norms", &norms)?,
            count,
        })
    }

    /// Adds making the parameters from those of the explained network.
    ///
    /// # Errors
    /// As [`Recording::launch`].
    pub fn record(&self, gpu: &Gpu, recording: &mut Recording) -> Result<()> {
        let folding = FoldedParameters {
            parameters: &self.original,
            sources: &self.sources,
            norms: &self.norms,
            folded: &self.parameters,
            count: self.count,
        };
        folding.record(gpu, recording, "folded parameters")
    }
}
