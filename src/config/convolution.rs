//! Settings of a convolution: windows of any shape over groups of channels, torch.nn.Conv2d.

use serde::{Deserialize, Deserializer, ser::SerializeMap};

use super::{
    shape::Shape,
    sizes::{kernel, pair, sides, size, value, write_pair, write_sides},
    window::{extent, same_padding},
};

/// Most pixels along an axis that a window spreads over.
const MOST_EXTENT: u64 = 1 << 16;

/// Largest step between windows: places of pixels are 32-bit numbers.
pub(super) const MAX_STRIDE: u32 = 1 << 12;

/// Refuses a stride that no image is large enough for.
pub(super) fn check_stride(stride: u32) -> Result<(), String> {
    match stride {
        ..=MAX_STRIDE => Ok(()),
        _ => Err(format!("a stride is at most {MAX_STRIDE} pixels, not {stride}")),
    }
}

/// Zero rows and columns around an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Above, to the left, below, to the right.
    Sides([u32; 4]),
    /// As many as it takes for ⌈size / stride⌉ outputs, the odd one below and to the right:
    /// TensorFlow's `SAME`.
    Same,
}

/// Groups of channels that are convolved on their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelGroups {
    /// As many.
    Count(u32),
    /// One an input channel.
    Depthwise,
}

impl ChannelGroups {
    /// How many there are of `channels` input channels.
    pub fn count(self, channels: u32) -> u32 {
        match self {
            ChannelGroups::Count(count) => count,
            ChannelGroups::Depthwise => channels,
        }
    }
}

/// A convolution (cross-correlation), torch.nn.Conv2d, with what a file leaves out filled in. Pairs
/// are of rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolution {
    /// Number of filters.
    pub out_channels: u32,
    /// Height and width of a filter.
    #[serde(deserialize_with = "kernel")]
    pub kernel: [u32; 2],
    /// Steps between outputs.
    #[serde(default = "ones", deserialize_with = "stride")]
    pub stride: [u32; 2],
    /// Zeros around the image.
    #[serde(default = "no_padding", deserialize_with = "padding")]
    pub padding: Padding,
    /// Distance of a filter's taps.
    #[serde(default = "ones", deserialize_with = "dilation")]
    pub dilation: [u32; 2],
    /// Groups of channels.
    #[serde(default = "one_group", deserialize_with = "groups")]
    pub groups: ChannelGroups,
    /// Whether there is a bias.
    #[serde(default = "yes")]
    pub bias: bool,
}

fn stride<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u32; 2], D::Error> {
    pair(deserializer, "stride")
}

fn dilation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u32; 2], D::Error> {
    pair(deserializer, "dilation")
}

fn padding<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Padding, D::Error> {
    let needed = "padding: a number, [height, width], [top, left, bottom, right] or \"same\"";
    value(deserializer, needed, |value| match value == "same" {
        true => Some(Padding::Same),
        false => sides(value).map(Padding::Sides),
    })
}

fn groups<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChannelGroups, D::Error> {
    value(deserializer, "groups: a number or \"depthwise\"", |value| {
        if value == "depthwise" {
            return Some(ChannelGroups::Depthwise);
        }
        size(value).map(ChannelGroups::Count)
    })
}

fn ones() -> [u32; 2] {
    [1; 2]
}

fn no_padding() -> Padding {
    Padding::Sides([0; 4])
}

fn one_group() -> ChannelGroups {
    ChannelGroups::Count(1)
}

fn yes() -> bool {
    true
}

impl Convolution {
    /// A convolution of all channels by square windows, as [kernel, stride, padding], with a bias.
    pub fn square(out_channels: u32, [kernel, stride, padding]: [u32; 3]) -> Convolution {
        Convolution {
            out_channels,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: Padding::Sides([padding; 4]),
            dilation: [1; 2],
            groups: ChannelGroups::Count(1),
            bias: true,
        }
    }

    /// Writes its settings; those that few convolutions have only where they have them.
    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("out_channels", &self.out_channels)?;
        write_pair(map, "kernel", self.kernel)?;
        write_pair(map, "stride", self.stride)?;
        match self.padding {
            Padding::Same => map.serialize_entry("padding", "same")?,
            Padding::Sides(own) => write_sides(map, "padding", own)?,
        }
        if self.dilation != [1; 2] {
            write_pair(map, "dilation", self.dilation)?;
        }
        match self.groups {
            ChannelGroups::Count(1) => {}
            ChannelGroups::Count(count) => map.serialize_entry("groups", &count)?,
            ChannelGroups::Depthwise => map.serialize_entry("groups", "depthwise")?,
        }
        if !self.bias {
            map.serialize_entry("bias", &false)?;
        }
        Ok(())
    }

    /// Pixels along each axis from a window's first tap to its last one.
    fn extent(&self, axis: usize) -> u64 {
        extent(self.kernel[axis], self.dilation[axis])
    }

    /// Zeros above, to the left, below and to the right of an image of `input`.
    pub fn sides(&self, input: Shape) -> [u32; 4] {
        let same = |axis: usize, size: u32| {
            let all = same_padding(size, self.extent(axis), self.stride[axis]) as u32;
            [all / 2, all - all / 2]
        };
        match self.padding {
            Padding::Sides(sides) => sides,
            Padding::Same => {
                let ([top, bottom], [left, right]) = (same(0, input.height), same(1, input.width));
                [top, left, bottom, right]
            }
        }
    }

    /// Inputs that an output is the sum of, or why there are none, of `channels` input channels.
    pub(super) fn fan_in(&self, channels: u32) -> u128 {
        let groups = self.groups.count(channels).max(1);
        let [height, width] = self.kernel.map(u128::from);
        u128::from(channels / groups) * height * width
    }

    /// Shape of its output, or why there is none.
    pub(super) fn output(&self, input: Shape) -> Result<Shape, String> {
        let groups = self.groups.count(input.channels);
        if groups == 0 || !input.channels.is_multiple_of(groups) {
            let channels = input.channels;
            return Err(format!("{groups} groups do not divide {channels} input channels"));
        }
        if !self.out_channels.is_multiple_of(groups) {
            let channels = self.out_channels;
            return Err(format!("{groups} groups do not divide {channels} output channels"));
        }
        let of_axis = |axis: usize, size: u32| {
            let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
            let (dilation, extent) = (self.dilation[axis], self.extent(axis));
            let misfit = |pads: [u32; 2]| {
                let padding = match (self.padding, pads) {
                    (Padding::Same, _) => "\"same\"".into(),
                    (_, [front, back]) if front == back => front.to_string(),
                    (_, [front, back]) => format!("{front} and {back}"),
                };
                let dilated = match dilation {
                    1 => String::new(),
                    _ => format!(", dilation {dilation}"),
                };
                format!(
                    "a convolution of {kernel} with stride {stride}{dilated} and padding {padding} \
                     does not fit {size} pixels"
                )
            };
            check_stride(stride)?;
            if kernel == 0 || stride == 0 || dilation == 0 {
                return Err(misfit([0; 2]));
            }
            if extent > MOST_EXTENT {
                return Err(format!(
                    "a window of {kernel} taps with dilation {dilation} spreads over {extent} \
                     pixels; at most {MOST_EXTENT} are possible"
                ));
            }
            let sides = self.sides(input);
            let pads = [sides[axis], sides[axis + 2]];
            let padded = u64::from(size) + pads.map(u64::from).iter().sum::<u64>();
            if pads.iter().any(|&pad| u64::from(pad) >= extent) || extent > padded {
                return Err(misfit(pads));
            }
            // Less than 2^28 + 2^17.
            Ok(((padded - extent) / u64::from(stride) + 1) as u32)
        };
        Ok(Shape::new(self.out_channels, of_axis(0, input.height)?, of_axis(1, input.width)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LayerConfig, LayerKind};

    fn read(text: &str) -> Result<Convolution, String> {
        let layer: LayerConfig = toml::from_str(&format!("type = \"conv\"\n{text}"))
            .map_err(|error: toml::de::Error| error.message().to_string())?;
        match layer.kind {
            LayerKind::Conv(own) => Ok(own),
            other => panic!("{other:?}"),
        }
    }

    fn written(own: Convolution) -> String {
        serde_json::to_string(&LayerConfig::from(LayerKind::Conv(own))).unwrap()
    }

    #[test]
    fn settings_are_written_as_they_are_read() {
        let plain = Convolution::square(8, [3, 1, 0]);
        assert_eq!(read("out_channels = 8\nkernel = 3"), Ok(plain));
        let start = r#"{"type":"conv","out_channels":8,"#;
        assert_eq!(written(plain), format!(r#"{start}"kernel":3,"stride":1,"padding":0}}"#));
        let cases = [
            (
                "kernel = [3, 5]\nstride = [2, 1]\npadding = [1, 2]",
                r#""kernel":[3,5],"stride":[2,1],"padding":[1,2]}"#,
            ),
            (
                "kernel = [3, 3]\npadding = [1, 0, 2, 0]",
                r#""kernel":3,"stride":1,"padding":[1,0,2,0]}"#,
            ),
            (
                "kernel = 3\npadding = [1, 1, 1, 1]\nbias = true",
                r#""kernel":3,"stride":1,"padding":1}"#,
            ),
            (
                "kernel = 3\npadding = \"same\"\ndilation = [1, 2]\ngroups = \"depthwise\"\n\
                 bias = false",
                "\"kernel\":3,\"stride\":1,\"padding\":\"same\",\"dilation\":[1,2],\
                 \"groups\":\"depthwise\",\"bias\":false}",
            ),
            (
                "kernel = 1\ngroups = 4\ndilation = 1",
                r#""kernel":1,"stride":1,"padding":0,"groups":4}"#,
            ),
        ];
        for (text, json) in cases {
            let own = read(&format!("out_channels = 8\n{text}")).unwrap();
            assert_eq!(written(own), format!("{start}{json}"));
            let layer: LayerConfig = serde_json::from_str(&written(own)).unwrap();
            assert_eq!(layer.kind, LayerKind::Conv(own));
        }
    }

    #[test]
    fn what_is_no_setting_is_named() {
        for (text, named) in [
            ("kernel = \"three\"", "kernel: a number or [height, width]"),
            ("kernel = [1, 2, 3]", "kernel: a number or [height, width]"),
            ("kernel = -1", "kernel: a number or [height, width]"),
            ("kernel = 3\nstride = 1.5", "stride: a number or [height, width]"),
            ("kernel = 3\ndilation = []", "dilation: a number or [height, width]"),
            ("kernel = 3\npadding = \"valid\"", "[top, left, bottom, right] or \"same\""),
            ("kernel = 3\npadding = [1, 2, 3]", "[top, left, bottom, right] or \"same\""),
            ("kernel = 3\npadding = 4294967296", "[top, left, bottom, right] or \"same\""),
            ("kernel = 3\ngroups = \"all\"", "groups: a number or \"depthwise\""),
            ("kernel = 3\ngroup = 2", "unknown field `group`"),
            ("", "missing field `kernel`"),
        ] {
            let error = read(&format!("out_channels = 8\n{text}")).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn same_padding_is_tensorflows() {
        let of = |text: &str, [height, width]: [u32; 2]| {
            let own = read(&format!("out_channels = 1\npadding = \"same\"\n{text}")).unwrap();
            let input = Shape::new(1, height, width);
            let output = own.output(input).unwrap();
            (own.sides(input), [output.height, output.width])
        };
        assert_eq!(of("kernel = 3", [5, 6]), ([1; 4], [5, 6]));
        // Of an even size the odd pixel is below and to the right.
        assert_eq!(of("kernel = 3\nstride = 2", [6, 7]), ([0, 1, 1, 1], [3, 4]));
        assert_eq!(of("kernel = [2, 4]", [5, 5]), ([0, 1, 1, 2], [5, 5]));
        assert_eq!(of("kernel = 3\ndilation = 3\nstride = 2", [8, 9]), ([2, 3, 3, 3], [4, 5]));
        // Strides that leave pixels out need no padding.
        assert_eq!(of("kernel = 1\nstride = 3", [7, 9]), ([0; 4], [3, 3]));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let of = |text: &str| {
            let own = read(&format!("out_channels = 6\n{text}")).unwrap();
            own.output(Shape::new(4, 9, 12)).map(|shape| [shape.height, shape.width])
        };
        assert_eq!(of("kernel = [9, 12]"), Ok([1, 1]));
        assert_eq!(
            of("kernel = [2, 3]\nstride = [2, 3]\ndilation = [4, 1]\npadding = [0, 2, 1, 0]"),
            Ok([3, 4])
        );
        for (text, reason) in [
            (
                "kernel = 10",
                "a convolution of 10 with stride 1 and padding 0 does not fit 9 pixels",
            ),
            (
                "kernel = 5\ndilation = 3",
                "a convolution of 5 with stride 1, dilation 3 and padding 0 does not fit 9",
            ),
            ("kernel = 3\npadding = [0, 3, 0, 0]", "padding 3 and 0 does not fit 12 pixels"),
            ("kernel = 0", "does not fit"),
            ("kernel = 3\nstride = [1, 0]", "does not fit 12"),
            ("kernel = 3\ndilation = 0", "does not fit"),
            ("kernel = 2\ndilation = 65536\npadding = 32768", "at most 65536"),
            ("kernel = 4294967295\ndilation = 4294967295\npadding = \"same\"", "at most 65536"),
            ("kernel = 1\ngroups = 0", "0 groups do not divide 4 input channels"),
            ("kernel = 1\ngroups = 3", "3 groups do not divide 4 input channels"),
            ("kernel = 1\ngroups = 4", "4 groups do not divide 6 output channels"),
            ("kernel = 1\ngroups = \"depthwise\"", "4 groups do not divide 6 output channels"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
