//! Loops over the numbers of one or two values: sums, activations alone, functions, products,
//! concatenations, and the copy of an image.

use super::{
    code::{Code, float, index, place},
    ending::PlainEnding,
    stored::{Number, Stored},
};
use crate::config::ActivationFunction;

/// A pass over numbers that lie in the same order in all values.
struct Pass<'a> {
    values: Vec<(&'static str, &'a Stored)>,
    code: Code,
}

impl<'a> Pass<'a> {
    /// Opens the function and its loops; `i` is the number within a row.
    fn open(values: Vec<(&'static str, &'a Stored)>) -> Pass<'a> {
        let mut code = Code::default();
        let parameter = |(name, value): &(&str, &Stored)| {
            let kind = value.number.name();
            if *name == "to" { format!("{kind} *to") } else { format!("const {kind} *{name}") }
        };
        let parameters: Vec<String> = values.iter().map(parameter).collect();
        code.line(format!("static inline void @prefix@_@name@({}) {{", parameters.join(", ")));
        let mut pass = Pass { values, code };
        let shape = pass.values[0].1.shape;
        let mut numbers = shape.elements();
        if pass.has_rows() {
            pass.code.count("y", shape.height, 1);
            numbers /= shape.height;
        }
        pass.code.line(format!("for (uint32_t i = 0; i < {numbers}; i++) {{"));
        pass
    }

    /// Whether rows do not follow one another everywhere.
    fn has_rows(&self) -> bool {
        self.values.iter().any(|(_, value)| value.has_halo()) && self.values[0].1.shape.height > 1
    }

    /// The number of value `at` in C.
    fn number(&self, at: usize) -> String {
        let (name, value) = self.values[at];
        let row = if self.has_rows() { value.row() } else { 0 };
        format!("{name}[{}]", place("", &[("y", row), ("i", 1)]))
    }

    fn close(mut self) -> String {
        self.code.line("}");
        if self.has_rows() {
            self.code.line("}");
        }
        self.code.line("}");
        self.code.finish()
    }
}

/// One value, or the sum of two, in units of the output.
pub(super) fn rescaled(from: &[&Stored], to: &Stored, ending: &PlainEnding) -> String {
    let names = match from {
        [_] => vec!["from"],
        _ => vec!["first", "second"],
    };
    let mut values: Vec<_> = names.into_iter().zip(from.iter().copied()).collect();
    values.push(("to", to));
    let mut pass = Pass::open(values);
    let numbers: Vec<(String, Number)> =
        (0..from.len()).map(|at| (pass.number(at), from[at].number)).collect();
    let (statements, value) = ending.value(&numbers);
    let target = pass.number(from.len());
    for statement in statements {
        pass.code.line(statement);
    }
    pass.code.line(format!("{target} = {value};"));
    pass.close()
}

/// A function of floats.
pub(super) fn function(from: &Stored, to: &Stored, function: ActivationFunction) -> String {
    let mut pass = Pass::open(vec![("from", from), ("to", to)]);
    let [number, target] = [pass.number(0), pass.number(1)];
    pass.code.line(format!("const float x = {number};"));
    let value = match function {
        ActivationFunction::Identity => "x".into(),
        ActivationFunction::Relu => "x > 0.0f ? x : 0.0f".into(),
        ActivationFunction::Relu6 => "x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x".into(),
        ActivationFunction::LeakyRelu { slope } => format!("x < 0.0f ? x * {} : x", float(slope)),
        ActivationFunction::Tanh => "tanhf(x)".into(),
        ActivationFunction::Sigmoid => "1.0f / (1.0f + expf(-x))".into(),
        ActivationFunction::Silu => "x / (1.0f + expf(-x))".into(),
        ActivationFunction::HardSwish => {
            // Each rounded, whatever the precision of a machine's registers is.
            pass.code.line("const float more = x + 3.0f, product = x * more;");
            "x < -3.0f ? 0.0f : x > 3.0f ? x : product / 6.0f".to_string()
        }
    };
    pass.code.line(format!("{target} = {value};"));
    pass.close()
}

/// The product of two values of floats; where the second has one pixel, it meets all pixels.
pub(super) fn product(first: &Stored, second: &Stored, to: &Stored) -> String {
    let channels = to.shape.channels;
    let is_broadcast = second.shape.pixels() != to.shape.pixels();
    let mut code = Code::default();
    code.line(
        "static inline void @prefix@_@name@(const float *first, const float *second, float *to) {",
    );
    let shape = to.shape;
    let y = code.count("y", shape.height, 1);
    let x = code.count("x", shape.width, 1);
    code.line(format!("for (uint32_t k = 0; k < {channels}; k++) {{"));
    let own = |value: &Stored| place("", &[(y, value.row()), (x, value.pixel()), ("k", 1)]);
    let second = if is_broadcast { "k".to_string() } else { own(second) };
    code.line(format!("to[{}] = first[{}] * second[{second}];", own(to), own(first)));
    code.line("}");
    code.end_count(shape.width, 1);
    code.end_count(shape.height, 1);
    code.line("}");
    code.finish()
}

/// The channels of the second value behind those of the first.
pub(super) fn concatenation(first: &Stored, second: &Stored, to: &Stored) -> String {
    let kind = to.number.name();
    let shape = to.shape;
    let mut code = Code::default();
    code.line(format!(
        "static inline void @prefix@_@name@(const {kind} *first, const {kind} *second, \
         {kind} *to) {{"
    ));
    let y = code.count("y", shape.height, 1);
    let x = code.count("x", shape.width, 1);
    let pixel = |name: &str, value: &Stored| place(name, &[(y, value.row()), (x, value.pixel())]);
    code.line(format!(
        "const {kind} *p = {}, *q = {};",
        pixel("first", first),
        pixel("second", second)
    ));
    code.line(format!("{kind} *t = {};", pixel("to", to)));
    let [own, other] = [first.shape.channels, second.shape.channels];
    code.line(format!("for (uint32_t k = 0; k < {own}; k++) {{ t[k] = p[k]; }}"));
    code.line(format!("for (uint32_t k = 0; k < {other}; k++) {{ t[{own} + k] = q[k]; }}"));
    code.end_count(shape.width, 1);
    code.end_count(shape.height, 1);
    code.line("}");
    code.finish()
}

/// The caller's image, pixel by pixel.
pub(super) fn image(from: &Stored, to: &Stored) -> String {
    let shape = to.shape;
    let mut code = Code::default();
    code.line("static inline void @prefix@_@name@(const uint8_t *from, uint8_t *to) {");
    let y = code.count("y", shape.height, 1);
    let x = code.count("x", shape.width, 1);
    let k = code.count("k", shape.channels, 1);
    let at =
        |value: &Stored| index(&[(y, value.row()), (x, value.pixel()), (k, value.channel())], 0);
    code.line(format!("to[{}] = from[{}];", at(to), at(from)));
    code.end_count(shape.channels, 1);
    code.end_count(shape.width, 1);
    code.end_count(shape.height, 1);
    code.line("}");
    code.finish()
}
