//! Settings of pools: windows of any shape, torch.nn.MaxPool2d and AvgPool2d.

use serde::{Deserialize, Deserializer, ser::SerializeMap};

use super::{
    convolution::check_stride,
    shape::Shape,
    sizes::{kernel, pair, sides, value, write_pair, write_sides},
    window::{Window, count_windows, extent},
};

/// Largest square window of a max-pool: the position of a maximum takes eight bits.
pub(crate) const MAX_POOL_KERNEL: u32 = 15;
/// Most pixels of a window of a max-pool.
pub(crate) const MAX_POOL_PIXELS: u32 = MAX_POOL_KERNEL * MAX_POOL_KERNEL;
/// Largest window of an average-pool: f32 counts its pixels exactly.
pub(super) const AVERAGE_POOL_KERNEL: u32 = 1 << 12;

/// Maxima over windows, torch.nn.MaxPool2d, with what a file leaves out filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "MaxPoolText")]
pub struct MaxPool {
    /// The windows, as far from one another as they are large where a file says nothing. What is
    /// padded is never a maximum: both sides together are at most a window.
    pub window: Window,
    /// Whether a last window may reach beyond the padded image; it starts within the image or the
    /// padding in front of it.
    pub ceil_mode: bool,
}

/// Means over windows, torch.nn.AvgPool2d, with what a file leaves out filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "AveragePoolText")]
pub struct AveragePool {
    /// The windows, as far from one another as they are large where a file says nothing. Zeros on
    /// both sides together are at most a window.
    pub window: Window,
    /// Whether a last window may reach beyond the padded image; it starts within the image or the
    /// padding in front of it.
    pub ceil_mode: bool,
    /// Whether means are over padded pixels too; pixels beyond the padding never count.
    pub count_include_pad: bool,
}

/// [`MaxPool`] as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MaxPoolText {
    #[serde(deserialize_with = "kernel")]
    kernel: [u32; 2],
    #[serde(default, deserialize_with = "stride")]
    stride: Option<[u32; 2]>,
    #[serde(default, deserialize_with = "padding")]
    padding: [u32; 4],
    #[serde(default)]
    ceil_mode: bool,
}

/// [`AveragePool`] as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AveragePoolText {
    #[serde(deserialize_with = "kernel")]
    kernel: [u32; 2],
    #[serde(default, deserialize_with = "stride")]
    stride: Option<[u32; 2]>,
    #[serde(default, deserialize_with = "padding")]
    padding: [u32; 4],
    #[serde(default)]
    ceil_mode: bool,
    #[serde(default = "yes")]
    count_include_pad: bool,
}

fn stride<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u32; 2]>, D::Error> {
    pair(deserializer, "stride").map(Some)
}

fn padding<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u32; 4], D::Error> {
    let needed = "padding: a number, [height, width] or [top, left, bottom, right]";
    value(deserializer, needed, sides)
}

fn yes() -> bool {
    true
}

impl From<MaxPoolText> for MaxPool {
    fn from(text: MaxPoolText) -> MaxPool {
        let MaxPoolText { kernel, stride, padding, ceil_mode } = text;
        let stride = stride.unwrap_or(kernel);
        MaxPool { window: Window { kernel, stride, dilation: [1; 2], padding }, ceil_mode }
    }
}

impl From<AveragePoolText> for AveragePool {
    fn from(text: AveragePoolText) -> AveragePool {
        let AveragePoolText { kernel, stride, padding, ceil_mode, count_include_pad } = text;
        let stride = stride.unwrap_or(kernel);
        let window = Window { kernel, stride, dilation: [1; 2], padding };
        AveragePool { window, ceil_mode, count_include_pad }
    }
}

/// Whether windows of `kernel` pixels contain a pixel wherever they are among `pads`.
fn meets_pixels(kernel: u32, pads: [u32; 2]) -> bool {
    let both: u64 = pads.iter().map(|&pad| u64::from(pad)).sum();
    both <= u64::from(kernel) && pads.iter().all(|&pad| pad < kernel)
}

/// `pads` in front and behind, in words.
fn in_words([front, back]: [u32; 2]) -> String {
    if front == back { front.to_string() } else { format!("{front} and {back}") }
}

impl MaxPool {
    /// Whole square windows inside the image.
    pub const fn inside(kernel: u32, stride: u32) -> MaxPool {
        MaxPool { window: Window::plain([kernel, stride, 0]), ceil_mode: false }
    }

    /// Whether no window has a place that is no pixel: without padding and ceil mode.
    pub fn is_inside(self) -> bool {
        self.window.padding == [0; 4] && !self.ceil_mode
    }

    /// Writes its settings; padding and ceil mode only where it has them.
    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        write_pair(map, "kernel", self.window.kernel)?;
        write_pair(map, "stride", self.window.stride)?;
        if self.window.padding != [0; 4] {
            write_sides(map, "padding", self.window.padding)?;
        }
        if self.ceil_mode {
            map.serialize_entry("ceil_mode", &true)?;
        }
        Ok(())
    }

    /// Windows along the rows (0) or columns (1), `size` pixels, or why there are none.
    pub(crate) fn windows(self, axis: usize, size: u32) -> Result<u32, String> {
        let (kernel, stride) = (self.window.kernel[axis], self.window.stride[axis]);
        let pads = self.window.pads(axis);
        check_stride(stride)?;
        let count = match kernel == 0 || stride == 0 || !meets_pixels(kernel, pads) {
            true => None,
            false => count_windows(size, (extent(kernel, 1), stride), pads, self.ceil_mode),
        };
        count.ok_or_else(|| {
            format!(
                "a pooling window of {kernel} with stride {stride} and padding {} does not fit \
                 {size} pixels",
                in_words(pads)
            )
        })
    }

    /// Shape of what it makes of `input`, or why it makes nothing.
    pub(crate) fn output(self, input: Shape) -> Result<Shape, String> {
        let [height, width] = self.window.kernel;
        if u64::from(height) * u64::from(width) > u64::from(MAX_POOL_PIXELS) {
            return Err(format!(
                "pooling windows are at most {MAX_POOL_KERNEL} × {MAX_POOL_KERNEL} or have as many \
                 pixels, not {height} × {width}"
            ));
        }
        let [height, width] = [self.windows(0, input.height)?, self.windows(1, input.width)?];
        Ok(Shape::new(input.channels, height, width))
    }
}

impl AveragePool {
    /// One window over planes of the shape `input`.
    pub(crate) fn global(input: Shape) -> AveragePool {
        let window = Window::side_by_side([input.height, input.width]);
        AveragePool { window, ceil_mode: false, count_include_pad: false }
    }

    /// Whether it is the mean of all pixels of planes of the shape `input`.
    pub(crate) fn is_global(self, input: Shape) -> bool {
        let Window { kernel, padding, .. } = self.window;
        padding == [0; 4] && kernel[0] >= input.height && kernel[1] >= input.width
    }

    /// Writes its settings.
    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        write_pair(map, "kernel", self.window.kernel)?;
        write_pair(map, "stride", self.window.stride)?;
        write_sides(map, "padding", self.window.padding)?;
        map.serialize_entry("ceil_mode", &self.ceil_mode)?;
        map.serialize_entry("count_include_pad", &self.count_include_pad)
    }

    /// Windows along the rows (0) or columns (1), `size` pixels, or why there are none.
    pub(crate) fn windows(self, axis: usize, size: u32) -> Result<u32, String> {
        let (kernel, stride) = (self.window.kernel[axis], self.window.stride[axis]);
        let pads = self.window.pads(axis);
        if kernel == 0 || stride == 0 {
            return Err("an average-pool needs a kernel and a stride of at least 1".into());
        }
        check_stride(stride)?;
        if kernel > AVERAGE_POOL_KERNEL {
            return Err(format!(
                "averaging windows are at most {AVERAGE_POOL_KERNEL} × {AVERAGE_POOL_KERNEL}, not \
                 {kernel}"
            ));
        }
        if !meets_pixels(kernel, pads) {
            return Err(match pads {
                [front, back] if front == back => format!(
                    "a padding of {front} is more than half the averaging window of {kernel}"
                ),
                _ => format!(
                    "a padding of {} is more than the averaging window of {kernel}",
                    in_words(pads)
                ),
            });
        }
        let count = count_windows(size, (extent(kernel, 1), stride), pads, self.ceil_mode);
        count.ok_or_else(|| {
            format!(
                "an averaging window of {kernel} with stride {stride} and padding {} does not fit \
                 {size} pixels",
                in_words(pads)
            )
        })
    }

    /// Shape of what it makes of `input`, or why it makes nothing.
    pub(crate) fn output(self, input: Shape) -> Result<Shape, String> {
        let [height, width] = [self.windows(0, input.height)?, self.windows(1, input.width)?];
        Ok(Shape::new(input.channels, height, width))
    }
}
