//! Layers in the making, and the network that they become: what only the graph needed goes, names
//! become plain.

use std::collections::{HashMap, HashSet};

use super::{Fallible, constant::Levels};
use crate::config::{
    ActivationFunction, BatchNorm, ChannelGroups, Convolution, IMAGES, LayerBits, LayerConfig,
    LayerKind, NetworkConfig, Padding, Prelu, QuantizationConfig, Shape, WeightQuantizer,
};

/// Longest name of a layer.
const LONGEST_NAME: usize = 64;

/// What a layer computes.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A layer without parameters.
    Plain(LayerKind),
    /// A convolution or a fully connected layer; whether there is a bias is in `bias` alone.
    Weighted {
        kind: LayerKind,
        shape: Vec<usize>,
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
        levels: Option<Levels>,
    },
    /// A batch norm: scale, shift, mean and variance of every channel.
    Norm { own: BatchNorm, parameters: [Vec<f32>; 4] },
    /// A PReLU: a slope, or one a channel.
    Prelu { slopes: Vec<f32> },
    /// scale·x + shift with a number of each a channel.
    Affine { scale: Vec<f64>, shift: Vec<f64> },
}

/// A layer in the making. Layers are numbered in the order in which they are computed.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// The name that it asks for; others may have it too.
    pub(super) name: String,
    pub(super) step: Step,
    /// The layers that it reads; none for the images.
    pub(super) inputs: Vec<Option<usize>>,
    /// Shape of what it makes.
    pub(super) output: Shape,
    /// What its values are rounded to.
    pub(super) grid: Option<Grid>,
}

/// Multiples of a scale, of which the lowest is at most 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    pub(super) scale: f32,
    pub(super) lowest: i64,
    pub(super) highest: i64,
}

impl Grid {
    /// The bits that have as many levels.
    fn bits(self) -> Fallible<u32> {
        let levels = self.highest - self.lowest + 1;
        let bits = (1..=8).find(|bits| 1i64 << bits == levels);
        bits.filter(|_| self.lowest <= 0 && self.highest > 0).ok_or_else(|| {
            format!(
                "activations on levels {} to {} are not supported; 2^b levels with 0 among them \
                 are, b from 1 to 8",
                self.lowest, self.highest
            )
        })
    }
}

/// A named tensor of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedParameter {
    /// Its name as in PyTorch: `conv1.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

impl Made {
    /// Puts scale·x + shift behind the layer, if it can take them; a number each, or one a channel.
    pub(super) fn scale(&mut self, scale: &[f64], shift: &[f64]) -> bool {
        let of = |values: &[f64], channel: usize| values[channel % values.len()];
        match &mut self.step {
            Step::Plain(_) | Step::Prelu { .. } => return false,
            Step::Weighted { weight, bias, levels, .. } => {
                if scale.iter().any(|&scale| scale != 1.0) {
                    *levels = None;
                }
                let channels = self.output.channels as usize;
                let each = weight.len() / channels.max(1);
                for (channel, row) in weight.chunks_mut(each.max(1)).enumerate() {
                    let scale = of(scale, channel);
                    if scale != 1.0 {
                        row.iter_mut().for_each(|own| *own = (f64::from(*own) * scale) as f32);
                    }
                }
                if bias.is_some() || shift.iter().any(|&shift| shift != 0.0) {
                    let own = bias.get_or_insert_with(|| vec![0.0; channels]);
                    for (channel, own) in own.iter_mut().enumerate() {
                        let scaled = f64::from(*own) * of(scale, channel);
                        *own = (scaled + of(shift, channel)) as f32;
                    }
                }
            }
            Step::Norm { parameters: [own_scale, own_shift, ..], .. } => {
                for (channel, (a, b)) in own_scale.iter_mut().zip(own_shift).enumerate() {
                    *a = (f64::from(*a) * of(scale, channel)) as f32;
                    *b = (f64::from(*b) * of(scale, channel) + of(shift, channel)) as f32;
                }
            }
            Step::Affine { scale: own_scale, shift: own_shift } => {
                for (channel, (a, b)) in own_scale.iter_mut().zip(own_shift).enumerate() {
                    *a *= of(scale, channel);
                    *b = *b * of(scale, channel) + of(shift, channel);
                }
            }
        }
        true
    }

    /// Adds the scales of its weights, one or as many as channels, to `all`.
    fn push_scales(&self, (name, per_channel): (&str, bool), all: &mut Vec<NamedParameter>) {
        let Step::Weighted { shape, levels: Some(levels), .. } = &self.step else { return };
        let count = if per_channel { shape[0] } else { 1 };
        let values: Vec<f32> =
            (0..count).map(|channel| levels.scales[channel % levels.scales.len()]).collect();
        all.push(NamedParameter {
            name: format!("{name}.weight_scale"),
            shape: vec![count],
            values,
        });
    }

    /// Adds what its grid is learned as to `all`.
    fn push_grid(&self, name: &str, all: &mut Vec<NamedParameter>) {
        let (Some(grid), Step::Plain(LayerKind::Activation(function))) = (self.grid, &self.step)
        else {
            return;
        };
        let mut add = |suffix: &str, value: f32| {
            let name = format!("{name}.{suffix}");
            all.push(NamedParameter { name, shape: vec![1], values: vec![value] });
        };
        if function.is_rectifier() {
            add("alpha", grid.scale * grid.highest as f32);
        } else {
            add("step", grid.scale);
            add("offset", grid.lowest as f32 * grid.scale);
        }
    }

    /// A convolution of factor 1 that reads what it reads, an activation.
    fn same_in_front(&self) -> Made {
        let (kind, shape, weight) = same(self.output.channels);
        Made {
            name: format!("{}/same", self.name),
            step: Step::Weighted { kind, shape, weight, bias: None, levels: None },
            inputs: self.inputs.clone(),
            output: self.output,
            grid: None,
        }
    }

    /// Whether it changes nothing.
    fn is_identity(&self) -> bool {
        match &self.step {
            // What is left of a factor and its inverse.
            Step::Affine { scale, shift } => {
                scale.iter().all(|scale| (scale - 1.0).abs() < 1e-7)
                    && shift.iter().all(|&shift| shift == 0.0)
            }
            _ => false,
        }
    }

    /// Makes `grid` the levels of the layer, if it is an activation that can have them.
    pub(super) fn quantize(&mut self, grid: Grid) -> bool {
        let Step::Plain(LayerKind::Activation(function)) = &mut self.step else { return false };
        let is_clip = grid.lowest == 0;
        match function {
            _ if self.grid.is_some() => return false,
            ActivationFunction::Relu if is_clip => {}
            // A ReLU whose grid has levels below 0: they are not used.
            ActivationFunction::Relu => *function = ActivationFunction::LeakyRelu { slope: 0.0 },
            ActivationFunction::Relu6 if !is_clip || grid.scale * grid.highest as f32 > 6.001 => {
                return false;
            }
            _ => {}
        }
        self.grid = Some(grid);
        true
    }

    /// Whether nothing that it makes is below 0.
    pub(super) fn is_positive(&self) -> bool {
        use ActivationFunction::{Relu, Relu6, Sigmoid};
        matches!(self.step, Step::Plain(LayerKind::Activation(Relu | Relu6 | Sigmoid)))
    }
}

/// A depthwise convolution without padding and bias, and the shape of its weights.
pub(super) fn depthwise(
    channels: u32,
    kernel: [u32; 2],
    stride: [u32; 2],
) -> (Convolution, Vec<usize>) {
    let own = Convolution {
        out_channels: channels,
        kernel,
        stride,
        padding: Padding::Sides([0; 4]),
        dilation: [1; 2],
        groups: ChannelGroups::Count(channels),
        bias: false,
    };
    (own, [channels, 1, kernel[0], kernel[1]].map(|size| size as usize).to_vec())
}

/// A depthwise convolution that takes the mean of windows, as a layer's settings and weights.
pub(super) fn window_means(
    channels: u32,
    [kernel, stride, dilation]: [[u32; 2]; 3],
    sides: [u32; 4],
) -> (LayerKind, Vec<usize>, Vec<f32>) {
    let taps = u64::from(kernel[0]) * u64::from(kernel[1]);
    let (own, shape) = depthwise(channels, kernel, stride);
    let own = Convolution { padding: Padding::Sides(sides), dilation, ..own };
    let weights = vec![(1.0 / taps as f64) as f32; channels as usize * taps as usize];
    (LayerKind::Conv(own), shape, weights)
}

/// A depthwise convolution of factor 1, as [`window_means`].
pub(super) fn same(channels: u32) -> (LayerKind, Vec<usize>, Vec<f32>) {
    window_means(channels, [[1; 2]; 3], [0; 4])
}

/// What layers become.
pub(super) struct Finished {
    pub(super) network: NetworkConfig,
    pub(super) parameters: Vec<NamedParameter>,
    pub(super) quantization: QuantizationConfig,
}

/// The bits of layers that `is_used`, by number: of their weights, and of the activations behind.
fn bits(layers: &[Made], is_used: &[bool]) -> Fallible<HashMap<usize, LayerBits>> {
    let mut all: HashMap<usize, LayerBits> = HashMap::new();
    // The nearest layer with weights on the way back, whose bits an activation has.
    let mut weighted: Vec<Option<usize>> = Vec::with_capacity(layers.len());
    for (index, made) in layers.iter().enumerate() {
        let before = made.inputs.iter().find_map(|read| read.and_then(|read| weighted[read]));
        weighted.push(if matches!(made.step, Step::Weighted { .. }) {
            Some(index)
        } else {
            before
        });
        if !is_used[index] {
            continue;
        }
        if let Step::Weighted { weight, levels, .. } = &made.step {
            let weight = levels.as_ref().and_then(|levels| levels.bits(weight)).unwrap_or(32);
            all.insert(index, LayerBits { weight, activation: 32 });
        }
        if !matches!(made.step, Step::Plain(LayerKind::Activation(_))) {
            continue;
        }
        if let Some(bits) = before.and_then(|owner| all.get_mut(&owner)) {
            bits.activation = made.grid.map_or(Ok(32), Grid::bits)?;
        }
    }
    Ok(all)
}

/// Which of `layers` layer `last` depends on.
fn used(layers: &[Made], last: usize) -> Vec<bool> {
    let mut is_used = vec![false; layers.len()];
    is_used[last] = true;
    for index in (0..=last).rev() {
        if is_used[index] {
            layers[index].inputs.iter().flatten().for_each(|&read| is_used[read] = true);
        }
    }
    is_used
}

/// `layers` up to `last` with a convolution of factor 1 in front of every activation that has other
/// bits than one behind the same layer with weights: that layer has the bits of all of them.
fn separated(layers: Vec<Made>, last: usize) -> Fallible<(Vec<Made>, usize)> {
    let is_used = used(&layers, last);
    let mut all: Vec<Made> = Vec::with_capacity(layers.len());
    let mut places: Vec<usize> = Vec::with_capacity(layers.len());
    let mut said: HashMap<usize, u32> = HashMap::new();
    // The nearest layer with weights on the way back, by number in `all`.
    let mut weighted: Vec<Option<usize>> = Vec::with_capacity(layers.len());
    for (mut made, is_used) in layers.into_iter().zip(is_used) {
        made.inputs.iter_mut().flatten().for_each(|read| *read = places[*read]);
        let mut before = made.inputs.iter().find_map(|read| read.and_then(|read| weighted[read]));
        if let (true, Some(owner), Step::Plain(LayerKind::Activation(_))) =
            (is_used, before, &made.step)
        {
            let own = made.grid.map_or(Ok(32), Grid::bits)?;
            if *said.entry(owner).or_insert(own) != own {
                before = Some(all.len());
                said.insert(all.len(), own);
                weighted.push(before);
                let same = made.same_in_front();
                made.inputs = vec![before];
                all.push(same);
            }
        }
        let is_weighted = matches!(made.step, Step::Weighted { .. });
        weighted.push(if is_weighted { Some(all.len()) } else { before });
        places.push(all.len());
        all.push(made);
    }
    Ok((all, places[last]))
}

/// The network that ends with layer `last`, and its parameters.
pub(super) fn network(mut layers: Vec<Made>, last: usize, input: Shape) -> Fallible<Finished> {
    // What changes nothing is not there for those who read it.
    let mut stands_for: Vec<Option<usize>> = Vec::with_capacity(layers.len());
    for (index, own) in layers.iter_mut().enumerate() {
        for read in &mut own.inputs {
            *read = read.and_then(|read| stands_for[read]);
        }
        stands_for.push(if own.is_identity() { own.inputs[0] } else { Some(index) });
    }
    let Some(last) = stands_for[last] else {
        return Err("the output is the input itself: there is no network in it".into());
    };
    let output = layers[last].output;
    if (output.height, output.width) != (1, 1) {
        return Err(format!("the output is {output} an image; a number a class is needed"));
    }
    let (layers, last) = separated(layers, last)?;
    let is_used = used(&layers, last);
    let bits = bits(&layers, &is_used)?;
    let is_per_channel = |made: &Made| match &made.step {
        Step::Weighted { levels: Some(levels), .. } => levels.scales.len() > 1,
        _ => false,
    };
    let mut quantization = QuantizationConfig {
        weight_quant: WeightQuantizer::Symmetric,
        per_channel: layers.iter().any(is_per_channel),
        weights_are_levels: bits.values().any(|bits| bits.quantizes_weights()),
        ..QuantizationConfig::default()
    };
    if bits.values().all(|bits| *bits == LayerBits::FLOAT) {
        quantization = QuantizationConfig::default();
    }
    let mut names = Names::default();
    let mut parameters = Vec::new();
    let mut configured: Vec<LayerConfig> = Vec::new();
    // Names of the layers so far, by number.
    let mut called: HashMap<usize, String> = HashMap::new();
    let mut before: Option<usize> = None;
    for (index, made) in layers.into_iter().enumerate().filter(|&(index, _)| is_used[index]) {
        let name = names.take(&made.name);
        let read = |read: &Option<usize>| match read {
            Some(read) => called[read].clone(),
            None => IMAGES.into(),
        };
        let inputs = match &made.inputs[..] {
            [only] if *only == before => Vec::new(),
            inputs => inputs.iter().map(read).collect(),
        };
        if let Some(own) = bits.get(&index) {
            quantization.bits.push(*own);
            if own.quantizes_weights() {
                made.push_scales((&name, quantization.per_channel), &mut parameters);
            }
        }
        made.push_grid(&name, &mut parameters);
        let kind = made.step.finish(&name, &mut parameters);
        configured.push(LayerConfig { name: Some(name.clone()), inputs, kind });
        called.insert(index, name);
        before = Some(index);
    }
    let network = NetworkConfig { input, classes: output.channels, layers: configured };
    Ok(Finished { network, parameters, quantization })
}

/// Takes the suffix, the shape and the values of a parameter.
type Adding<'a> = dyn FnMut(&str, Vec<usize>, Vec<f32>) + 'a;

impl Step {
    /// The layer's settings; its parameters are added to `all`.
    fn finish(self, name: &str, all: &mut Vec<NamedParameter>) -> LayerKind {
        let mut add = |suffix: &str, shape: Vec<usize>, values: Vec<f32>| {
            all.push(NamedParameter { name: format!("{name}.{suffix}"), shape, values });
        };
        let norm = |own: BatchNorm, parameters: [Vec<f32>; 4], add: &mut Adding<'_>| {
            let suffixes = ["weight", "bias", "running_mean", "running_var"];
            for (suffix, values) in suffixes.into_iter().zip(parameters) {
                add(suffix, vec![values.len()], values);
            }
            LayerKind::BatchNorm(own)
        };
        match self {
            Step::Plain(kind) => kind,
            Step::Prelu { slopes } => {
                let per_channel = slopes.len() > 1;
                add("weight", vec![slopes.len()], slopes);
                LayerKind::Prelu(Prelu { per_channel })
            }
            Step::Norm { own, parameters } => norm(own, parameters, &mut add),
            Step::Affine { scale, shift } => {
                let own = BatchNorm::default();
                // The variance that gives a deviation of 1.
                let variance = vec![1.0 - own.epsilon; scale.len()];
                let mean = vec![0.0; scale.len()];
                let rounded = |values: Vec<f64>| values.iter().map(|&x| x as f32).collect();
                norm(own, [rounded(scale), rounded(shift), mean, variance], &mut add)
            }
            Step::Weighted { mut kind, shape, weight, bias, .. } => {
                match &mut kind {
                    LayerKind::Conv(Convolution { bias: own, .. })
                    | LayerKind::Linear { bias: own, .. } => *own = bias.is_some(),
                    _ => {}
                }
                add("weight", shape, weight);
                if let Some(bias) = bias {
                    add("bias", vec![bias.len()], bias);
                }
                kind
            }
        }
    }
}

/// Names of layers, each of them once.
#[derive(Default)]
struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// `asked` in plain letters, with a number behind it where it is taken.
    fn take(&mut self, asked: &str) -> String {
        let mut plain = plain(asked);
        if plain.is_empty() || plain == IMAGES {
            plain = "layer".into();
        }
        let mut name = plain.clone();
        let mut number = 1;
        // A layer called as another one's parameter is refused.
        let stem = |name: &str| {
            let stem = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".bias"));
            stem.map(String::from)
        };
        let is_free = |name: &str, taken: &HashSet<String>| {
            let reserves = ["weight", "bias"].map(|suffix| format!("{name}.{suffix}"));
            !taken.contains(name)
                && stem(name).is_none_or(|stem| !taken.contains(&stem))
                && !reserves.iter().any(|name| taken.contains(name))
        };
        while !is_free(&name, &self.taken) {
            number += 1;
            let suffix = format!("_{number}");
            let end = plain.len().min(LONGEST_NAME - suffix.len());
            name = format!("{}{suffix}", plain[..end].trim_end_matches('.'));
        }
        self.taken.insert(name.clone());
        name
    }
}

/// `name` in letters, digits, underscores and points. Exporters write a module as a path in which
/// every part repeats the parts in front: `/layer1/layer1.0/conv1/Conv`.
fn plain(name: &str) -> String {
    let mut whole = String::new();
    for part in name.split('/').filter(|part| !part.is_empty()) {
        let repeats = part
            .strip_prefix(whole.as_str())
            .is_some_and(|rest| !whole.is_empty() && (rest.is_empty() || rest.starts_with('.')));
        if repeats {
            whole = part.into();
        } else {
            whole = if whole.is_empty() { part.into() } else { format!("{whole}.{part}") };
        }
    }
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
    let kept: String = whole.chars().map(keep).collect();
    // The end tells one layer from another.
    let start = kept.len().saturating_sub(LONGEST_NAME);
    kept[start..].trim_matches('.').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_plain() {
        for (asked, name) in [
            ("conv1", "conv1"),
            ("/layer1/layer1.0/conv1", "layer1.0.conv1"),
            ("/0/0.0", "0.0"),
            ("model/conv2d/Conv2D:0", "model.conv2d.Conv2D_0"),
            ("über/x y", "_ber.x_y"),
            (".a.", "a"),
        ] {
            assert_eq!(plain(asked), name);
        }
        let long = "a".repeat(70) + ".b";
        assert_eq!(plain(&long).len(), 64);
        let mut names = Names::default();
        let asked = ["conv1", "conv1", "input", "", "conv1.weight", "x.bias", "x", &long, &long];
        let taken = asked.map(|asked| names.take(asked));
        assert_eq!(taken[..4], ["conv1", "conv1_2", "layer", "layer_2"]);
        assert_eq!(taken[4..7], ["conv1.weight_2", "x.bias", "x_2"]);
        assert!(taken[7] != taken[8] && taken[8].len() <= 64);
    }

    #[test]
    fn factors_merge_into_weights() {
        let kind = LayerKind::Linear { out_features: 2, bias: false };
        let step = Step::Weighted {
            kind,
            shape: vec![2, 2],
            weight: vec![1.0, 2.0, 3.0, 4.0],
            bias: None,
            levels: None,
        };
        let mut made = Made {
            name: "fc".into(),
            step,
            inputs: vec![None],
            output: Shape::new(2, 1, 1),
            grid: None,
        };
        assert!(made.scale(&[2.0, 0.5], &[0.0]));
        assert!(made.scale(&[1.0], &[0.25]));
        let Finished { network, parameters, .. } =
            network(vec![made], 0, Shape::new(2, 1, 1)).unwrap();
        assert_eq!(network.classes, 2);
        assert_eq!(network.layers[0].kind, LayerKind::Linear { out_features: 2, bias: true });
        assert_eq!(parameters[0].values, [2.0, 4.0, 1.5, 2.0]);
        assert_eq!(parameters[1].values, [0.25; 2]);
    }
}
