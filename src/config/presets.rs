//! Networks known by name. Layers are called as PyTorch's modules of the same networks are, so that
//! their state_dicts fit.

use super::{
    BatchNorm, ChannelGroups, Convolution, LayerConfig, LayerKind, NetworkConfig, Padding, Shape,
    suggestion,
};

/// A network known by name.
#[derive(Debug)]
pub struct Preset {
    /// What `--network` takes.
    pub name: &'static str,
    /// The images that it was published for.
    pub input: Shape,
    /// The classes that it was published with.
    pub classes: u32,
    /// Where it is from.
    pub source: &'static str,
    /// The layers for images of a shape and a number of classes. They need not fit the images.
    layers: fn(Shape, u32) -> Vec<LayerConfig>,
}

/// Every network known by name; the first is the default.
pub static PRESETS: [Preset; 7] = [
    Preset {
        name: "table-1",
        input: Shape::new(1, 28, 28),
        classes: 10,
        source: "Saliency Assisted Quantization, Table I",
        layers: |input, classes| NetworkConfig::table_one(input, classes, [0.0; 2]).layers,
    },
    Preset {
        name: "lenet-5",
        input: Shape::new(1, 28, 28),
        classes: 10,
        source: "LeCun et al. 1998, with ReLU and max-pool",
        layers: lenet_5,
    },
    Preset {
        name: "vgg-small",
        input: Shape::new(3, 32, 32),
        classes: 10,
        source: "Zhang et al. 2018 (LQ-Nets)",
        layers: vgg_small,
    },
    Preset {
        name: "resnet-8",
        input: Shape::new(3, 32, 32),
        classes: 10,
        source: "MLPerf Tiny, image classification",
        layers: resnet_8,
    },
    Preset {
        name: "resnet-20",
        input: Shape::new(3, 32, 32),
        classes: 10,
        source: "He et al. 2016, with projections",
        layers: resnet_20,
    },
    Preset {
        name: "ds-cnn",
        input: Shape::new(1, 49, 10),
        classes: 12,
        source: "MLPerf Tiny, keyword spotting",
        layers: ds_cnn,
    },
    Preset {
        name: "mobilenet-v1-0.25",
        input: Shape::new(3, 96, 96),
        classes: 2,
        source: "MLPerf Tiny, visual wake words",
        layers: mobilenet_v1_025,
    },
];

impl Preset {
    /// The preset called `name`.
    pub fn find(name: &str) -> Option<&'static Preset> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// What is said where none is called `name`.
    pub fn unknown(name: &str) -> String {
        let names = PRESETS.each_ref().map(|preset| preset.name);
        format!("no such network{} (known: {})", suggestion(name, names), names.join(", "))
    }

    /// Whether it is what a configuration without a network has.
    pub fn is_default(&self) -> bool {
        *self == PRESETS[0]
    }

    /// The network for images of shape `input` and `classes`; it may not fit them
    /// ([`NetworkConfig::validate`]).
    pub fn network(&self, input: Shape, classes: u32) -> NetworkConfig {
        NetworkConfig { input, classes, layers: (self.layers)(input, classes) }
    }

    /// The network as it was published.
    pub fn published(&self) -> NetworkConfig {
        self.network(self.input, self.classes)
    }
}

/// A name stands for one network.
impl PartialEq for Preset {
    fn eq(&self, other: &Preset) -> bool {
        self.name == other.name
    }
}

/// Batch norms of TensorFlow, whose moving average keeps 99 %.
const KERAS_NORM: BatchNorm = BatchNorm { epsilon: 1e-3, momentum: 0.01 };

/// A square convolution padded by TensorFlow's rule, with a bias.
fn same(out_channels: u32, kernel: u32, stride: u32) -> Convolution {
    Convolution { padding: Padding::Same, ..Convolution::square(out_channels, [kernel, stride, 0]) }
}

/// A square convolution as in ResNets: padded by half its window, without a bias.
fn centred(out_channels: u32, kernel: u32, stride: u32) -> Convolution {
    let window = [kernel, stride, kernel / 2];
    Convolution { bias: false, ..Convolution::square(out_channels, window) }
}

/// `convolution`, a filter a channel.
fn depthwise(convolution: Convolution) -> Convolution {
    Convolution { groups: ChannelGroups::Depthwise, ..convolution }
}

fn norm(name: impl Into<String>, norm: BatchNorm) -> LayerConfig {
    LayerConfig::named(name, LayerKind::BatchNorm(norm))
}

/// 61,706 parameters for 28×28, which are padded to 32×32, and for 32×32.
fn lenet_5(input: Shape, classes: u32) -> Vec<LayerConfig> {
    let padding = if (input.height, input.width) == (28, 28) { 2 } else { 0 };
    vec![
        LayerConfig::conv("conv1", 6, [5, 1, padding]),
        LayerConfig::activation("relu1"),
        LayerConfig::named("pool1", LayerConfig::max_pool(2, 2).kind),
        LayerConfig::conv("conv2", 16, [5, 1, 0]),
        LayerConfig::activation("relu2"),
        LayerConfig::named("pool2", LayerConfig::max_pool(2, 2).kind),
        LayerConfig::linear("fc1", 120),
        LayerConfig::activation("relu3"),
        LayerConfig::linear("fc2", 84),
        LayerConfig::activation("relu4"),
        LayerConfig::linear("fc3", classes),
    ]
}

/// Three blocks of two convolutions and a max-pool, as torch.nn.Sequential numbers them; a single
/// fully connected layer. 4,660,106 parameters: the convolutions have no bias.
fn vgg_small(_: Shape, classes: u32) -> Vec<LayerConfig> {
    let mut layers = Vec::new();
    let next = |layers: &Vec<LayerConfig>| format!("features.{}", layers.len());
    for channels in [128, 256, 512] {
        for _ in 0..2 {
            layers.push(LayerConfig::convolution(&next(&layers), centred(channels, 3, 1)));
            layers.push(norm(next(&layers), BatchNorm::default()));
            layers.push(LayerConfig::activation(&next(&layers)));
        }
        layers.push(LayerConfig::named(next(&layers), LayerConfig::max_pool(2, 2).kind));
    }
    layers.push(LayerConfig::linear("classifier", classes));
    layers
}

/// The reference network of MLPerf Tiny's image classification, 78,186 parameters. Convolutions
/// have biases in front of batch norms, and the projections have no batch norm.
fn resnet_8(_: Shape, classes: u32) -> Vec<LayerConfig> {
    let mut layers = Vec::new();
    let convolution = |layers: &mut Vec<LayerConfig>, index: usize, own: Convolution| {
        layers.push(LayerConfig::convolution(&format!("conv{index}"), own));
        layers.push(norm(format!("bn{index}"), KERAS_NORM));
    };
    convolution(&mut layers, 1, same(16, 3, 1));
    layers.push(LayerConfig::activation("relu1"));
    for (block, channels) in [16, 32, 64].into_iter().enumerate() {
        let (first, front) = (2 * block + 2, format!("relu{}", 2 * block + 1));
        let stride = if block == 0 { 1 } else { 2 };
        convolution(&mut layers, first, same(channels, 3, stride));
        layers.push(LayerConfig::activation(&format!("relu{first}")));
        convolution(&mut layers, first + 1, same(channels, 3, 1));
        let other = if block == 0 {
            front
        } else {
            let down = format!("down{block}");
            let projection = LayerConfig::convolution(&down, same(channels, 1, stride));
            layers.push(projection.reading(&[&front]));
            down
        };
        let main = format!("bn{}", first + 1);
        layers.push(LayerConfig::add(&format!("add{}", block + 1), &[&main, &other]));
        layers.push(LayerConfig::activation(&format!("relu{}", first + 1)));
    }
    layers.push(LayerConfig::global_average_pool("pool"));
    layers.push(LayerConfig::linear("fc", classes));
    layers
}

/// The network for CIFAR-10 of section 4.2 with projections in the shortcuts, named as torchvision
/// names ResNets. 272,474 parameters.
fn resnet_20(_: Shape, classes: u32) -> Vec<LayerConfig> {
    let mut layers = Vec::new();
    let convolution = |layers: &mut Vec<LayerConfig>, [name, bn]: [String; 2], own: Convolution| {
        layers.push(LayerConfig::convolution(&name, own));
        layers.push(norm(bn, BatchNorm::default()));
        layers.len() - 2
    };
    convolution(&mut layers, ["conv1", "bn1"].map(String::from), centred(16, 3, 1));
    layers.push(LayerConfig::activation("relu"));
    let mut front = String::from("relu");
    for (stage, channels) in [16, 32, 64].into_iter().enumerate() {
        for block in 0..3 {
            let name = |part: &str| format!("layer{}.{block}.{part}", stage + 1);
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let names = ["conv1", "bn1"].map(name);
            convolution(&mut layers, names, centred(channels, 3, stride));
            layers.push(LayerConfig::activation(&name("relu1")));
            convolution(&mut layers, ["conv2", "bn2"].map(name), centred(channels, 3, 1));
            let mut shortcut = front;
            if stride == 2 {
                let names = ["downsample.0", "downsample.1"].map(name);
                let place = convolution(&mut layers, names, centred(channels, 1, stride));
                layers[place].inputs = vec![shortcut];
                shortcut = name("downsample.1");
            }
            layers.push(LayerConfig::add(&name("add"), &[&name("bn2"), &shortcut]));
            layers.push(LayerConfig::activation(&name("relu2")));
            front = name("relu2");
        }
    }
    layers.push(LayerConfig::global_average_pool("avgpool"));
    layers.push(LayerConfig::linear("fc", classes));
    layers
}

/// The reference network of MLPerf Tiny's keyword spotting, 23,756 parameters. Its dropouts do
/// nothing until `--dropout` says so; the reference trains with 0.2 and 0.4. The reference leaves
/// the last of 25 rows out of the mean.
fn ds_cnn(_: Shape, classes: u32) -> Vec<LayerConfig> {
    let mut layers = Vec::new();
    let block = |layers: &mut Vec<LayerConfig>, name: &str, own: Convolution| {
        layers.push(LayerConfig::convolution(&format!("{name}.conv"), own));
        layers.push(norm(format!("{name}.bn"), KERAS_NORM));
        layers.push(LayerConfig::activation(&format!("{name}.relu")));
    };
    let stem = Convolution { kernel: [10, 4], ..same(64, 1, 2) };
    block(&mut layers, "stem", stem);
    layers.push(LayerConfig::named("dropout1", LayerKind::Dropout { rate: 0.0 }));
    for index in 1..=4 {
        block(&mut layers, &format!("block{index}.depthwise"), depthwise(same(64, 3, 1)));
        block(&mut layers, &format!("block{index}.pointwise"), same(64, 1, 1));
    }
    layers.push(LayerConfig::named("dropout2", LayerKind::Dropout { rate: 0.0 }));
    layers.push(LayerConfig::global_average_pool("pool"));
    layers.push(LayerConfig::linear("fc", classes));
    layers
}

/// The reference network of MLPerf Tiny's visual wake words, 216,322 parameters with 2 classes.
/// Numbers follow a torch.nn.Sequential in which a padding is a module in front of the convolution.
fn mobilenet_v1_025(_: Shape, classes: u32) -> Vec<LayerConfig> {
    let mut layers = Vec::new();
    let mut number = 0;
    let mut block = |own: Convolution| {
        // A padding that differs by side is a module of its own.
        number += if own.stride == [2; 2] { 2 } else { 1 };
        if layers.is_empty() {
            number = 1;
        }
        layers.push(LayerConfig::convolution(&format!("features.{number}"), own));
        layers.push(norm(format!("features.{}", number + 1), KERAS_NORM));
        layers.push(LayerConfig::activation(&format!("features.{}", number + 2)));
        number += 2;
    };
    block(same(8, 3, 2));
    let mut channels = 8;
    for (out, stride) in [
        (16, 1),
        (32, 2),
        (32, 1),
        (64, 2),
        (64, 1),
        (128, 2),
        (128, 1),
        (128, 1),
        (128, 1),
        (128, 1),
        (128, 1),
        (256, 2),
        (256, 1),
    ] {
        block(depthwise(same(channels, 3, stride)));
        block(same(out, 1, 1));
        channels = out;
    }
    layers.push(LayerConfig::global_average_pool("pool"));
    layers.push(LayerConfig::linear("classifier", classes));
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published counts; those of vgg-small and ds-cnn are worked out from their sources.
    #[test]
    fn presets_have_the_published_parameters() {
        let counts = PRESETS
            .iter()
            .map(|preset| (preset.name, preset.published().parameter_count().unwrap()));
        let expected = [
            ("table-1", 1_199_882),
            ("lenet-5", 61_706),
            // 3·128·9 + 128²·9 + 128·256·9 + 256²·9 + 256·512·9 + 512²·9, γ and β, 8192·10 + 10.
            ("vgg-small", 4_574_592 + 3_584 + 81_930),
            ("resnet-8", 78_186),
            ("resnet-20", 272_474),
            // Keras counts 24,908 with the 1,152 running statistics.
            ("ds-cnn", 24_908 - 1_152),
            ("mobilenet-v1-0.25", 216_322),
        ];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
        let larger = Preset::find("lenet-5").unwrap().network(Shape::new(1, 32, 32), 10);
        assert_eq!(larger.parameter_count().unwrap(), 61_706);
    }

    #[test]
    fn presets_follow_images_and_classes() {
        for preset in &PRESETS {
            for input in [Shape::new(1, 28, 28), Shape::new(3, 33, 40), Shape::new(4, 64, 64)] {
                let said = preset.network(input, 7).validate().err();
                assert!(said.is_none(), "{} {input}: {said:?}", preset.name);
            }
        }
        // A pool of nothing.
        let small = Preset::find("vgg-small").unwrap().network(Shape::new(3, 7, 9), 10);
        let said = small.validate().unwrap_err().to_string();
        assert!(said.contains("`features.20`"), "{said}");
        let small = Preset::find("lenet-5").unwrap().network(Shape::new(1, 8, 8), 10);
        assert!(small.validate().unwrap_err().to_string().contains("`conv2`"));
    }

    /// Modules of MLPerf Tiny's references in PyTorch.
    #[test]
    fn names_are_those_of_pytorch() {
        let names = |name: &str| {
            let layers = Preset::find(name).unwrap().published().weight_layers();
            layers.into_iter().map(|layer| layer.name).collect::<Vec<_>>()
        };
        assert_eq!(
            names("resnet-8"),
            ["conv1", "conv2", "conv3", "conv4", "conv5", "down1", "conv6", "conv7", "down2", "fc"]
        );
        let features = [
            1, 4, 7, 11, 14, 17, 20, 24, 27, 30, 33, 37, 40, 43, 46, 49, 52, 55, 58, 61, 64, 67,
            70, 74, 77, 80, 83,
        ];
        let expected = features.map(|number| format!("features.{number}"));
        let found = names("mobilenet-v1-0.25");
        assert_eq!(found[..27], expected);
        assert_eq!(found[27..], ["classifier"]);
        assert_eq!(
            names("resnet-20")[7..11].join(" "),
            "layer2.0.conv1 layer2.0.conv2 \
             layer2.0.downsample.0 layer2.1.conv1"
        );
    }
}
