//! Loops of pools: windows clipped once a row and once a column.

use super::{
    code::{Code, float, index, place},
    stored::{Number, Stored},
};
use crate::config::{AveragePool, MaxPool, Window};

/// A pool along one axis.
#[derive(Clone, Copy)]
struct Axis {
    size: u32,
    outputs: u32,
    kernel: u32,
    stride: u32,
    /// In front of the first pixel.
    padding: u32,
    /// Pixels with those of the padding on both sides.
    padded: u32,
}

impl Axis {
    /// Whether some window reaches beyond the image.
    fn is_clipped(self) -> bool {
        self.padding > 0 || (self.outputs - 1) * self.stride + self.kernel > self.size
    }

    /// Opens the loop over outputs `at`, and states the pixels of a window as `first` to `end` of
    /// its own. Returns both.
    fn open(self, code: &mut Code, at: &str, (first, end): (&str, &str)) -> (String, String) {
        let at = code.count(at, self.outputs, 1);
        if !self.is_clipped() {
            return ("0".into(), self.kernel.to_string());
        }
        let begin = index(&[(at, self.stride)], 0);
        let Axis { kernel, padding, .. } = self;
        let beyond = padding + self.size;
        let mut names = ("0".to_string(), end.to_string());
        if padding > 0 {
            let taken = format!("{begin} < {padding} ? {padding} - ({begin}) : 0");
            code.line(format!("const uint32_t {first} = {taken};"));
            names.0 = first.to_string();
        }
        code.line(format!(
            "const uint32_t {end} = {begin} + {kernel} < {beyond} ? {kernel} : \
             {beyond} - ({begin});"
        ));
        names
    }
}

fn axes(from: &Stored, to: &Stored, window: Window) -> [Axis; 2] {
    let axis = |number: usize, size: u32, outputs: u32| {
        let [padding, behind] = window.pads(number);
        let (kernel, stride) = (window.kernel[number], window.stride[number]);
        Axis { size, outputs, kernel, stride, padding, padded: padding + size + behind }
    };
    [axis(0, from.shape.height, to.shape.height), axis(1, from.shape.width, to.shape.width)]
}

/// The place of the first pixel of a window, `i` rows and `j` columns inside it.
fn window(from: &Stored, [rows, columns]: [Axis; 2], (i, j): (&str, &str)) -> String {
    let [y, x] =
        [(rows, "y"), (columns, "x")].map(|(axis, name)| if axis.outputs > 1 { name } else { "" });
    let own = |name: &str| if name == "0" { String::new() } else { name.to_string() };
    let (i, j) = (own(i), own(j));
    let text = index(
        &[
            (y, rows.stride * from.row()),
            (&i, from.row()),
            (x, columns.stride * from.pixel()),
            (&j, from.pixel()),
        ],
        0,
    );
    match (&text[..], rows.padding * from.row() + columns.padding * from.pixel()) {
        ("0", _) => "from".into(),
        (text, 0) => format!("from + {text}"),
        (text, before) => format!("from + ({text} - {before})"),
    }
}

/// Where a pool puts the pixel (y, x).
fn target(to: &Stored) -> String {
    let y = if to.shape.height > 1 { "y" } else { "" };
    let x = if to.shape.width > 1 { "x" } else { "" };
    place("to", &[(y, to.row()), (x, to.pixel())])
}

/// Maxima, all channels of a pixel at a time.
pub(super) fn max_pool(from: &Stored, to: &Stored, pool: MaxPool) -> String {
    let mut code = Code::default();
    let [rows, columns] = axes(from, to, pool.window);
    let kind = from.number.name();
    let channels = from.shape.channels;
    code.line(format!("static inline void @prefix@_@name@(const {kind} *from, {kind} *to) {{"));
    let (top, bottom) = rows.open(&mut code, "y", ("top", "bottom"));
    let (left, right) = columns.open(&mut code, "x", ("left", "right"));
    code.line(format!("{kind} *most = {};", target(to)));
    let first = window(from, [rows, columns], (&top, &left));
    code.line(format!("const {kind} *p = {first};"));
    code.line(format!("for (uint32_t k = 0; k < {channels}; k++) {{ most[k] = p[k]; }}"));
    code.line(format!("for (uint32_t i = {top}; i < {bottom}; i++) {{"));
    code.line(format!("for (uint32_t j = {left}; j < {right}; j++) {{"));
    let own = window(from, [rows, columns], ("i", "j"));
    code.line(format!("const {kind} *q = {own};"));
    code.line(format!(
        "for (uint32_t k = 0; k < {channels}; k++) {{ most[k] = q[k] > most[k] ? q[k] : most[k]; }}"
    ));
    for _ in 0..2 {
        code.line("}");
    }
    code.end_count(columns.outputs, 1);
    code.end_count(rows.outputs, 1);
    code.line("}");
    code.finish()
}

/// Means: the sum of the pixels inside the image, over the pixels of the mean.
pub(super) fn average_pool(
    from: &Stored,
    to: &Stored,
    pool: AveragePool,
    (scale, zero): (f64, f64),
) -> String {
    let mut code = Code::default();
    let [rows, columns] = axes(from, to, pool.window);
    let kind = from.number.name();
    code.line(format!("static inline void @prefix@_@name@(const {kind} *from, float *to) {{"));
    let (top, bottom) = rows.open(&mut code, "y", ("top", "bottom"));
    let (left, right) = columns.open(&mut code, "x", ("left", "right"));
    let length = |first: &str, end: &str| match first {
        "0" => end.to_string(),
        _ => format!("({end} - {first})"),
    };
    let inside = format!("{} * {}", length(&top, &bottom), length(&left, &right));
    code.line(format!("const uint32_t inside = {inside};"));
    let mut averaged = "inside".to_string();
    if pool.count_include_pad {
        // Nothing counts beyond the padding.
        let along = |axis: Axis, at: &str| {
            let at = if axis.outputs > 1 { at } else { "" };
            let (begin, padded) = (index(&[(at, axis.stride)], 0), axis.padded);
            match (axis.outputs - 1) * axis.stride + axis.kernel > padded {
                true => {
                    format!("({begin} + {0} < {padded} ? {0} : {padded} - ({begin}))", axis.kernel)
                }
                false => axis.kernel.to_string(),
            }
        };
        averaged = "averaged".into();
        code.line(format!(
            "const uint32_t averaged = {} * {};",
            along(rows, "y"),
            along(columns, "x")
        ));
    }
    code.line(format!("for (uint32_t k = 0; k < {}; k++) {{", from.shape.channels));
    let is_float = from.number == Number::Float;
    code.line(if is_float { "float sum = 0.0f;" } else { "int32_t sum = 0;" });
    code.line(format!("for (uint32_t i = {top}; i < {bottom}; i++) {{"));
    code.line(format!("for (uint32_t j = {left}; j < {right}; j++) {{"));
    code.line(format!("const {kind} *q = {};", window(from, [rows, columns], ("i", "j"))));
    code.line("sum += q[k];");
    code.line("}");
    code.line("}");
    code.line(format!(
        "{}[k] = @prefix@_mean({}sum, {}, {}, inside, {averaged});",
        match target(to) {
            text if text == "to" => text,
            text => format!("({text})"),
        },
        if is_float { "" } else { "(float)" },
        float(scale as f32),
        float(zero as f32),
    ));
    code.line("}");
    code.end_count(columns.outputs, 1);
    code.end_count(rows.outputs, 1);
    code.line("}");
    code.finish()
}
