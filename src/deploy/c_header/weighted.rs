//! Loops of layers with weights, one function a shape.
//!
//! - [`Path::Taps`]: few weights an output channel, as of depthwise layers: they stay in variables,
//!   and the sum of a pixel is one expression.
//! - [`Path::Packed`]: a single pixel, as of fully connected layers: codes are multiplied as they
//!   are stored. With w = spacing · code + pivot, Σw·a = spacing · Σcode·a + pivot · Σa.
//! - [`Path::Chunks`]: the same with codes that cross bytes, unpacked in parts.
//! - [`Path::Blocks`]: all others. The weights of one or two output channels are unpacked once for
//!   all pixels; then a block of pixels and channels shares what it loads.

use super::{
    code::{Code, added, index, place},
    ending::Ending,
    packing::{of_row, part, unpack_name, weight},
    stored::{Number, Stored, window_of},
};
use crate::{
    config::{Shape, Window},
    deploy::{IntegerStep, StepWeights, WeightedStep},
    quant::packed_bytes,
};

/// Weights of an output channel and group that are kept in variables.
pub(super) const MOST_TAPS: u32 = 25;
/// The same where several input channels are summed: more are faster in blocks.
const MOST_WEIGHTS: u32 = 9;
/// Weights that are unpacked at a time where each is needed once.
const CHUNK: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Taps,
    Packed,
    Chunks,
    Blocks { pixels: u32, channels: u32 },
}

/// A layer as loops.
pub(super) struct Loops<'a> {
    weighted: &'a WeightedStep,
    window: Window,
    from: &'a Stored,
    to: &'a Stored,
    /// What the layer makes, in front of a pool.
    out: Shape,
    pooled: bool,
    /// Input channels of a group.
    own: u32,
    /// Output channels of a group.
    made: u32,
    /// Weights of an output channel.
    row: u32,
    path: Path,
}

/// Bits, spacing and (where one serves all channels) pivot of packed weights.
struct Codes {
    bits: u32,
    spacing: i32,
    pivot: Option<i32>,
}

impl<'a> Loops<'a> {
    pub fn new(
        step: &'a IntegerStep,
        weighted: &'a WeightedStep,
        (from, to): (&'a Stored, &'a Stored),
        pooled: bool,
    ) -> Loops<'a> {
        let window = window_of(step, weighted);
        let own = step.input.channels / weighted.groups;
        let made = step.output.channels / weighted.groups;
        let row = own * window.taps();
        let path = Path::Taps;
        let out = step.output;
        let mut loops = Loops { weighted, window, from, to, out, pooled, own, made, row, path };
        loops.path = loops.choose();
        loops
    }

    fn choose(&self) -> Path {
        let is_few = self.row <= MOST_WEIGHTS || self.own == 1 && self.row <= MOST_TAPS;
        let is_alone = self.out.pixels() == 1;
        if is_few && (!is_alone || self.weighted.groups > 1) || self.from.channel() > 1 {
            return Path::Taps;
        }
        let is_packed = is_alone && self.weighted.groups == 1 && self.segments() == [1, 1];
        if let (true, Some(codes)) = (is_packed, self.codes()) {
            return if self.multiplies_codes(&codes) { Path::Packed } else { Path::Chunks };
        }
        let [mut pixels, mut channels] = [self.flat()[1].min(2), self.made.min(2)];
        if self.pooled {
            [pixels, channels] = [4, 1];
        } else if pixels == 1 {
            channels = if self.made >= 4 { 4 } else { channels };
        }
        Path::Blocks { pixels, channels }
    }

    fn codes(&self) -> Option<Codes> {
        let StepWeights::Integer { levels, .. } = &self.weighted.weights else { return None };
        let first = levels.zero_points.first().copied().unwrap_or(0);
        let is_same = levels.zero_points.iter().all(|&zero| zero == first);
        Some(Codes {
            bits: levels.grid.bits,
            spacing: levels.grid.spacing,
            pivot: is_same.then_some(levels.grid.lowest - first),
        })
    }

    /// Whether codes can be multiplied where they are stored, with sums of 32 bits.
    fn multiplies_codes(&self, codes: &Codes) -> bool {
        let StepWeights::Integer { levels, .. } = &self.weighted.weights else { return false };
        let most = if self.from.number == Number::I8 { 128 } else { 255 };
        let sum = |own: &[u8]| own.iter().map(|&code| i64::from(code)).sum::<i64>();
        let sums = levels.codes().chunks_exact(self.row as usize).map(sum).max().unwrap_or(0);
        let pivots = self.pivots().into_iter().map(|pivot| i64::from(pivot.abs())).max();
        let totals = pivots.unwrap_or(0) * i64::from(self.row);
        let largest = sums.max(i64::from(self.row)) * i64::from(codes.spacing);
        8 % codes.bits == 0 && most * largest.max(totals) < 1 << 30
    }

    /// A pivot an output channel.
    pub fn pivots(&self) -> Vec<i32> {
        let StepWeights::Integer { levels, .. } = &self.weighted.weights else { return Vec::new() };
        (0..self.out.channels as usize)
            .map(|channel| levels.grid.lowest - levels.zero_point(channel))
            .collect()
    }

    /// Weights that are unpacked at a time.
    pub fn unpacked(&self) -> u64 {
        match (self.path, &self.weighted.weights) {
            (Path::Blocks { channels, .. }, StepWeights::Integer { .. }) => {
                u64::from(channels) * u64::from(self.row)
            }
            (Path::Chunks, _) => u64::from(self.row.min(CHUNK)),
            _ => 0,
        }
    }

    /// Rows and columns of what is made before a pool, as one row where pixels follow one another
    /// as those of the input do.
    fn flat(&self) -> [u32; 2] {
        let window = &self.window;
        let is_point = window.taps() == 1 && window.stride == [1, 1];
        let is_dense = !self.from.has_halo() && !self.to.has_halo();
        let is_plain = !self.pooled && self.weighted.border.is_none();
        match is_point && is_dense && is_plain {
            true => [1, self.out.pixels()],
            false => [self.out.height, self.out.width],
        }
    }

    /// How many runs of contiguous weights a window has: [rows of runs, runs of a row].
    fn segments(&self) -> [u32; 2] {
        let [height, width] = self.window.kernel;
        let is_row = self.weighted.groups == 1 && self.window.dilation[1] == 1 || width == 1;
        if !is_row {
            return [height, width];
        }
        let is_whole = width * self.own == self.from.row() && self.window.dilation[0] == 1;
        [if is_whole { 1 } else { height }, 1]
    }

    /// Places of the window's taps and channels, in the order of the weights of a row.
    fn offsets(&self) -> Vec<u32> {
        let [height, width] = self.window.kernel;
        let [down, right] = self.window.dilation;
        let mut offsets = Vec::new();
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |c| (row, c))) {
            let tap = row * down * self.from.row() + column * right * self.from.pixel();
            offsets.extend((0..self.own).map(|channel| tap + channel * self.from.channel()));
        }
        offsets
    }

    /// The index of each weight in PyTorch's order, [out][in][row][column], in the order of the
    /// header, [out][row][column][in].
    pub fn order(&self) -> Vec<usize> {
        let [taps, own] = [self.window.taps(), self.own].map(|count| count as usize);
        let of = |at: usize| {
            let (out, tap, channel) = (at / (taps * own), at / own % taps, at % own);
            (out * own + channel) * taps + tap
        };
        (0..self.out.channels as usize * taps * own).map(of).collect()
    }

    /// The window's first number of the input, from the value's beginning.
    pub fn first(&self) -> u32 {
        self.from.first([self.window.padding[0], self.window.padding[1]])
    }

    /// The function's body; its parameters are those of [`Self::parameters`].
    pub fn body(&self, ending: &Ending) -> String {
        let mut code = Code::default();
        code.line(format!("static inline void @prefix@_@name@({}) {{", self.parameters(ending)));
        match self.path {
            Path::Taps => self.taps(&mut code, ending),
            Path::Packed => self.packed(&mut code, ending),
            Path::Chunks => self.chunks(&mut code, ending),
            Path::Blocks { pixels, channels } => self.blocks(&mut code, ending, (pixels, channels)),
        }
        code.line("}");
        code.finish()
    }

    fn parameters(&self, ending: &Ending) -> String {
        let mut parameters = vec![
            format!("const {} *from", self.from.number.name()),
            format!("{} *to", self.to.number.name()),
        ];
        match self.codes() {
            Some(codes) => {
                parameters.push("const uint8_t *codes".into());
                if codes.pivot.is_none() {
                    parameters.push("const int16_t *pivots".into());
                }
            }
            None => parameters.push("const float *weights".into()),
        }
        parameters.extend(ending.parameters().map(String::from));
        if self.unpacked() > 0 {
            parameters.push("int16_t *weights".into());
        }
        parameters.join(", ")
    }

    /// Bytes of the codes of an output channel.
    fn code_bytes(&self, bits: u32) -> u32 {
        packed_bytes(self.row as usize, bits) as u32
    }

    /// The pivot of output channel `out`, or of all.
    fn pivot(&self, codes: &Codes, out: &str) -> String {
        codes.pivot.map_or_else(|| format!("pivots[{out}]"), |pivot| pivot.to_string())
    }

    /// Whether weights and sums are floats.
    fn is_float(&self) -> bool {
        matches!(self.weighted.weights, StepWeights::Float(_))
    }

    /// (rows, columns) of blocks, their pixels' (row, column) in units of outputs.
    fn pixels_of(&self, count: u32) -> Vec<[u32; 2]> {
        match (self.pooled, count) {
            (true, _) => vec![[0, 0], [0, 1], [1, 0], [1, 1]],
            (false, count) => (0..count).map(|at| [0, at]).collect(),
        }
    }

    /// Rows and columns of what is stored.
    fn stored(&self) -> [u32; 2] {
        match self.pooled {
            true => [self.to.shape.height, self.to.shape.width],
            false => self.flat(),
        }
    }

    /// Numbers of the input from an output to the next one that is stored, down and to the right.
    fn strides(&self) -> [u32; 2] {
        let by = if self.pooled { 2 } else { 1 };
        let [down, right] = self.window.stride;
        [by * down * self.from.row(), by * right * self.from.pixel()]
    }

    /// Numbers of the input from the first pixel of a block to the one at `[row, column]`.
    fn pixel_offset(&self, [row, column]: [u32; 2]) -> u32 {
        row * self.window.stride[0] * self.from.row()
            + column * self.window.stride[1] * self.from.pixel()
    }

    fn taps(&self, code: &mut Code, ending: &Ending) {
        let codes = self.codes();
        let offsets = self.offsets();
        let is_float = self.is_float();
        let out = code.count("out", self.out.channels, 1);
        let channel = if out.is_empty() { "0" } else { out };
        // Weights as variables.
        let row = match &codes {
            Some(codes) => self.code_bytes(codes.bits),
            None => self.row,
        };
        let source = if is_float { "weights" } else { "codes" };
        code.line(format!(
            "const {} *row = {};",
            if is_float { "float" } else { "uint8_t" },
            place(source, &[(out, row)])
        ));
        for at in 0..self.row {
            match &codes {
                Some(codes) => {
                    let value = of_row("row", codes.bits, at);
                    code.line(format!(
                        "const int32_t w{at} = {};",
                        weight(codes.spacing, &value, &self.pivot(codes, channel))
                    ));
                }
                None => code.line(format!("const float w{at} = row[{at}];")),
            }
        }
        let group_of = match (self.weighted.groups, self.made) {
            (1, _) => String::new(),
            (_, 1) => out.to_string(),
            (_, made) => format!("out / {made}"),
        };
        let group = self.own * self.from.channel();
        code.line(format!(
            "const {} *plane = {};",
            self.from.number.name(),
            place("from", &[(&group_of, group)])
        ));
        let [height, width] = self.stored();
        let y = code.count("y", height, 1);
        let x = code.count("x", width, 1);
        let [down, right] = self.strides();
        code.line(format!(
            "const {} *p = {};",
            self.from.number.name(),
            place("plane", &[(y, down), (x, right)])
        ));
        let pixels = self.pixels_of(1);
        for (number, pixel) in pixels.iter().enumerate() {
            let sum = if pixels.len() == 1 { "sum".into() } else { format!("sum{number}") };
            let at = |offset: &u32| offset + self.pixel_offset(*pixel);
            if is_float {
                code.line(format!("float {sum} = 0.0f, product;"));
                for (k, offset) in offsets.iter().enumerate() {
                    code.line(format!("product = w{k} * {}p[{}];", self.cast(), at(offset)));
                    code.line(format!("{sum} += product;"));
                }
            } else {
                let terms = offsets.iter().enumerate();
                let terms: Vec<String> =
                    terms.map(|(k, offset)| format!("w{k} * p[{}]", at(offset))).collect();
                code.line(format!("int32_t {sum} = {};", terms.join(" + ")));
            }
        }
        let largest = match pixels.len() {
            1 => "sum".to_string(),
            _ => largest(&["sum0", "sum1", "sum2", "sum3"].map(String::from)),
        };
        self.store(code, ending, (y, x), channel, &largest);
        code.end_count(width, 1);
        code.end_count(height, 1);
        code.end_count(self.out.channels, 1);
    }

    /// What turns a number of the input into a float.
    fn cast(&self) -> &'static str {
        if self.from.number == Number::Float { "" } else { "(float)" }
    }

    /// Stores what `sum` of output channel `channel` makes at the pixel (y, x).
    fn store(
        &self,
        code: &mut Code,
        ending: &Ending,
        (y, x): (&str, &str),
        channel: &str,
        sum: &str,
    ) {
        let [y_index, x_index] = [y, x].map(|own| if own.is_empty() { "0" } else { own });
        let target = place("", &[(y, self.to.row()), (x, self.to.pixel())]);
        let target = match &target[..] {
            "" => channel.to_string(),
            target => added(target, channel),
        };
        let value = ending.value(sum, channel, (y_index, x_index), self.is_float());
        code.line(format!("to[{target}] = {value};"));
    }

    fn packed(&self, code: &mut Code, ending: &Ending) {
        let Some(codes) = self.codes() else { return };
        let needs_total = codes.pivot != Some(0);
        if needs_total {
            code.line("int32_t total = 0;");
            code.line(format!(
                "for (uint32_t k = 0; k < {}; k++) {{ total += from[k]; }}",
                self.row
            ));
        }
        code.line(format!(
            "for (uint32_t out = 0; out < {}; out++, codes += {}) {{",
            self.out.channels,
            self.code_bytes(codes.bits)
        ));
        code.line("int32_t sum = 0;");
        let per = 8 / codes.bits;
        if self.row >= per {
            code.line(format!("for (uint32_t k = 0; k < {}; k++) {{", self.row / per));
            if per > 1 {
                code.line("int32_t byte = codes[k];");
            }
            for at in 0..per {
                let value = if per == 1 { "codes[k]".into() } else { part("byte", codes.bits, at) };
                code.line(format!("sum += {value} * from[{}];", index(&[("k", per)], at)));
            }
            code.line("}");
        }
        for at in self.row / per * per..self.row {
            code.line(format!("sum += {} * from[{at}];", of_row("codes", codes.bits, at)));
        }
        let total = match needs_total {
            true => format!(" + {} * total", self.pivot(&codes, "out")),
            false => String::new(),
        };
        let sum = match codes.spacing {
            1 => format!("sum{total}"),
            spacing => format!("{spacing} * sum{total}"),
        };
        self.store(code, ending, ("", ""), "out", &sum);
        code.line("}");
    }

    fn chunks(&self, code: &mut Code, ending: &Ending) {
        let Some(codes) = self.codes() else { return };
        let pivot = self.pivot(&codes, "out");
        code.line(format!(
            "for (uint32_t out = 0; out < {}; out++, codes += {}) {{",
            self.out.channels,
            self.code_bytes(codes.bits)
        ));
        code.line("int32_t sum = 0;");
        let whole = self.row / CHUNK;
        let bytes = CHUNK * codes.bits / 8;
        for (first, count, size) in [(0, whole, CHUNK), (whole, 1, self.row % CHUNK)] {
            if count == 0 || size == 0 {
                continue;
            }
            code.line(format!(
                "for (uint32_t part = {first}; part < {}; part++) {{",
                first + count
            ));
            code.line(format!(
                "@prefix@_{}(codes + part * {bytes}, {pivot}, weights);",
                unpack_name(codes.bits, codes.spacing, size)
            ));
            code.line(format!(
                "for (uint32_t k = 0; k < {size}; k++) {{ sum += weights[k] * \
                 from[part * {CHUNK} + k]; }}"
            ));
            code.line("}");
        }
        self.store(code, ending, ("", ""), "out", "sum");
        code.line("}");
    }

    fn blocks(&self, code: &mut Code, ending: &Ending, (pixels, channels): (u32, u32)) {
        let codes = self.codes();
        let groups = self.weighted.groups;
        let group = code.count("group", groups, 1);
        let block = code.count("block", self.made, channels);
        // The last block of a group may overlap the one in front.
        let mut first = block.to_string();
        if !self.made.is_multiple_of(channels) && !block.is_empty() {
            let last = self.made - channels;
            code.line(format!("const uint32_t first = block < {last} ? block : {last};"));
            first = "first".into();
        }
        let out = match (group, &first[..]) {
            ("", "") => String::new(),
            ("", first) => first.to_string(),
            (_, first) => {
                code.line(format!(
                    "const uint32_t out = {};",
                    index(&[("group", self.made), (first, 1)], 0)
                ));
                "out".into()
            }
        };
        if let Some(codes) = &codes {
            for channel in 0..channels {
                let own = index(&[(&out, 1)], channel);
                let bytes = self.code_bytes(codes.bits);
                code.line(format!(
                    "@prefix@_{}({}, {}, {});",
                    unpack_name(codes.bits, codes.spacing, self.row),
                    added("codes", index(&[(&out, bytes)], channel * bytes)),
                    self.pivot(codes, &own),
                    added("weights", channel * self.row),
                ));
            }
        }
        let [height, width] = self.stored();
        let columns = if self.pooled { 1 } else { pixels };
        let y = code.count("y", height, 1);
        let is_whole = width <= columns || width.is_multiple_of(columns);
        let x = code.count(if is_whole { "x" } else { "at" }, width, columns);
        let x = match is_whole {
            true => x,
            false => {
                let last = width - columns;
                code.line(format!("const uint32_t x = at < {last} ? at : {last};"));
                "x"
            }
        };
        self.block(code, (pixels, channels), (y, x), (group, &out));
        self.store_block(code, ending, (pixels, channels), (y, x), &out);
        code.end_count(width, columns);
        code.end_count(height, 1);
        code.end_count(self.made, channels);
        code.end_count(groups, 1);
    }

    /// The sums of a block, `sPC` of its pixel P and channel C.
    fn block(
        &self,
        code: &mut Code,
        (pixels, channels): (u32, u32),
        (y, x): (&str, &str),
        (group, out): (&str, &str),
    ) {
        let is_float = self.is_float();
        let [down, right] = self.strides();
        code.line(format!(
            "const {} *p = {};",
            self.from.number.name(),
            place("from", &[(group, self.own), (y, down), (x, right)])
        ));
        code.line(match is_float {
            true => format!("const float *w = {};", place("weights", &[(out, self.row)])),
            false => "const int16_t *w = weights;".to_string(),
        });
        let zero = if is_float { "0.0f" } else { "0" };
        let all = (0..channels).flat_map(|c| (0..pixels).map(move |p| (p, c)));
        let sums: Vec<String> = all.clone().map(|(p, c)| format!("s{p}{c} = {zero}")).collect();
        let kind = if is_float { "float" } else { "int32_t" };
        code.line(format!("{kind} {};", sums.join(", ")));
        let [rows, runs] = self.segments();
        let run = self.row / (rows * runs);
        let [step_down, step_right] = [
            self.window.dilation[0] * self.from.row(),
            self.window.dilation[1] * self.from.pixel(),
        ];
        // Runs lie one behind another; behind those of a row comes the next row.
        let at = match [rows, runs] {
            [1, 1] => None,
            [_, 1] => Some(format!("i * {step_down}")),
            [1, _] => Some(format!("i * {step_right}")),
            _ => Some(format!("i / {runs} * {step_down} + i % {runs} * {step_right}")),
        };
        if let Some(at) = &at {
            code.line(format!("for (uint32_t i = 0; i < {}; i++) {{", rows * runs));
            code.line(format!("const {} *q = p + {at};", self.from.number.name()));
            let stored = if is_float { "float" } else { "int16_t" };
            code.line(format!("const {stored} *v = w + i * {run};"));
        }
        let (p, w) = if at.is_some() { ("q", "v") } else { ("p", "w") };
        let k = code.count("k", run, 1);
        let places = self.pixels_of(pixels);
        let cast = if is_float { self.cast() } else { "" };
        let loads = places.iter().enumerate().map(|(number, &pixel)| {
            format!("a{number} = {cast}{p}[{}]", index(&[(k, 1)], self.pixel_offset(pixel)))
        });
        code.line(format!("const {kind} {};", loads.collect::<Vec<_>>().join(", ")));
        let loads =
            (0..channels).map(|c| format!("w{c} = {w}[{}]", index(&[(k, 1)], c * self.row)));
        code.line(format!("const {kind} {};", loads.collect::<Vec<_>>().join(", ")));
        if is_float {
            let products: Vec<String> =
                all.clone().map(|(p, c)| format!("t{p}{c} = w{c} * a{p}")).collect();
            code.line(format!("const float {};", products.join(", ")));
        }
        for (p, c) in all {
            let product = if is_float { format!("t{p}{c}") } else { format!("w{c} * a{p}") };
            code.line(format!("s{p}{c} += {product};"));
        }
        code.end_count(run, 1);
        if rows * runs > 1 {
            code.line("}");
        }
    }

    fn store_block(
        &self,
        code: &mut Code,
        ending: &Ending,
        (pixels, channels): (u32, u32),
        (y, x): (&str, &str),
        out: &str,
    ) {
        for channel in 0..channels {
            let own = index(&[(out, 1)], channel);
            if self.pooled {
                let sums = [0, 1, 2, 3].map(|pixel| format!("s{pixel}{channel}"));
                self.store(code, ending, (y, x), &own, &largest(&sums));
                continue;
            }
            for pixel in 0..pixels {
                let at = match (pixel, x) {
                    (0, x) => x.to_string(),
                    (pixel, "") => pixel.to_string(),
                    (pixel, x) => format!("({x} + {pixel})"),
                };
                self.store(code, ending, (y, &at), &own, &format!("s{pixel}{channel}"));
            }
        }
    }

    /// The (bits, spacing, count) of the functions that unpack weights.
    pub fn unpacks(&self) -> Vec<(u32, i32, u32)> {
        let Some(codes) = self.codes() else { return Vec::new() };
        let counts = match self.path {
            Path::Taps | Path::Packed => Vec::new(),
            Path::Chunks if self.row < CHUNK => vec![self.row],
            Path::Chunks => vec![CHUNK, self.row % CHUNK],
            Path::Blocks { .. } => vec![self.row],
        };
        let is_there = counts.into_iter().filter(|&count| count > 0);
        is_there.map(|count| (codes.bits, codes.spacing, count)).collect()
    }
}

/// The largest of four sums.
fn largest(sums: &[String; 4]) -> String {
    let [a, b, c, d] = sums;
    format!("@prefix@_larger(@prefix@_larger({a}, {b}), @prefix@_larger({c}, {d}))")
}
