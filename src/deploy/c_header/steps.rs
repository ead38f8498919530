//! A plan as calls of functions, with the constants that they take.

use std::collections::BTreeSet;

use super::{
    code::{Functions, Names, added, array, float},
    elements,
    ending::{Edges, Ending, PlainEnding, Table},
    layout::{Layout, Unit},
    options::{COptions, Rescale},
    packing::{unpack, unpack_name},
    pools,
    stored::{Number, Place, Stored, window_of},
    weighted::Loops,
};
use crate::{
    config::{Shape, Window},
    deploy::{Encoding, IntegerPlan, IntegerStep, StepOperation, StepWeights, WeightedStep},
    quant::pack_codes,
};

/// Names of the template, which no layer gets.
const OWN_NAMES: [&str; 15] = [
    "signed_level",
    "workspace",
    "class_names",
    "level",
    "clipped",
    "scaled",
    "rescaled",
    "shifted",
    "larger",
    "mean",
    "clear",
    "step",
    "scores",
    "classify",
    "h",
];

/// The parts of a header's text.
#[derive(Default)]
pub(super) struct Program {
    pub constants: String,
    pub functions: String,
    /// Cases of a switch.
    pub calls: String,
    /// Parts of the template that are needed.
    pub parts: BTreeSet<&'static str>,
    pub rom_bytes: u64,
    pub edges: Edges,
}

/// What is known of a step while it is written.
struct Call {
    body: String,
    arguments: Vec<String>,
    /// What the function does, and what the step makes.
    function: String,
    summary: String,
}

/// `shape` in words.
fn shape_text(shape: Shape) -> String {
    let Shape { channels, height, width } = shape;
    format!("{height} x {width} x {channels}")
}

/// Rows and columns of `window`, in words.
fn kernel_text(window: Window) -> String {
    let [height, width] = window.kernel;
    format!("{height} x {width}")
}

/// What numbers stand for, in words.
fn grid_text(encoding: &Encoding) -> String {
    match encoding {
        Encoding::Pixels => "pixels".into(),
        Encoding::Float => "floats".into(),
        Encoding::Levels(grid) => {
            let [low, high] = grid.numbers();
            let zero = match grid.zero_point {
                0 => String::new(),
                zero => format!(" from {zero} on"),
            };
            format!("levels {low} to {high}{zero} of {:.4e} each", grid.scale)
        }
    }
}

/// An expression for number `first` of `value`.
fn address(value: &Stored, first: u32) -> String {
    match (value.place, value.number) {
        (Place::Pixels, _) => added("pixels", first),
        (Place::Scores, _) => added("scores", first),
        (Place::Word(word), Number::Float) => {
            added("workspace->values.floats", word + u64::from(first))
        }
        (Place::Word(word), number) => {
            let bytes = added("workspace->values.bytes", 4 * word + u64::from(first));
            if number == Number::I8 { format!("(int8_t *)({bytes})") } else { bytes }
        }
    }
}

/// The address of the first pixel of `value`.
fn start(value: &Stored) -> String {
    address(value, value.first([0, 0]))
}

impl Program {
    pub fn new(plan: &IntegerPlan, layout: &Layout, options: COptions) -> Program {
        let mut program = Program::default();
        let (mut names, mut functions) = (Names::default(), Functions::default());
        for name in OWN_NAMES {
            names.give(name);
        }
        program.unpack_functions(plan, layout, &mut names);
        for (at, &unit) in layout.units.iter().enumerate() {
            let to = layout.value(unit.makes());
            let (wanted, call) = match unit {
                Unit::Image => ("image".to_string(), program.image(to, options)),
                Unit::Step { step, .. } => {
                    let name = plan.steps[step].name.clone();
                    (name, program.step(plan, layout, (at, unit), options, &mut names))
                }
            };
            let name = functions.add(&mut names, &wanted, &call.function, &call.body);
            let line = format!("    case {at}: /* {} */\n", call.summary);
            program.calls.push_str(&line);
            if to.has_halo() {
                program.parts.insert("clear");
                let Place::Word(word) = to.place else { unreachable!("scores have no halo") };
                let first = added("workspace->values.bytes", 4 * word);
                let clear = format!("        @prefix@_clear({first}, {});\n", to.bytes());
                program.calls.push_str(&clear);
            }
            program.calls.push_str(&format!(
                "        @prefix@_{name}({});\n        break;\n",
                call.arguments.join(", ")
            ));
        }
        program.functions.push_str(&functions.text);
        for part in
            ["level", "signed_level", "clipped", "scaled", "rescaled", "shifted", "larger", "mean"]
        {
            if program.functions.contains(&format!("@prefix@_{part}(")) {
                program.parts.insert(part);
            }
        }
        if options.rescale == Rescale::Integer {
            program.parts.insert("fixed");
        }
        program
    }

    /// The functions that unpack weights, one for each number of weights and bits.
    fn unpack_functions(&mut self, plan: &IntegerPlan, layout: &Layout, names: &mut Names) {
        let mut all = BTreeSet::new();
        for &unit in &layout.units {
            let Unit::Step { step, pool } = unit else { continue };
            let step = &plan.steps[step];
            if let StepOperation::Weighted(weighted) = &step.operation {
                let values = (layout.value(step.reads[0]), layout.value(unit.makes()));
                all.extend(Loops::new(step, weighted, values, pool.is_some()).unpacks());
            }
        }
        for (bits, spacing, count) in all {
            names.give(&unpack_name(bits, spacing, count));
            self.functions.push_str(&unpack(bits, spacing, count));
            self.functions.push('\n');
        }
    }

    fn image(&mut self, to: &Stored, options: COptions) -> Call {
        let mut from = Stored { place: Place::Pixels, halo: [0; 4], ..to.clone() };
        from.order = options.pixels;
        Call {
            body: elements::image(&from, to),
            arguments: vec!["pixels".into(), start(to)],
            function: format!("Copies an image of {}.", shape_text(to.shape)),
            summary: format!("image: the pixels in order, {}", shape_text(to.shape)),
        }
    }

    fn step(
        &mut self,
        plan: &IntegerPlan,
        layout: &Layout,
        (at, unit): (usize, Unit),
        options: COptions,
        names: &mut Names,
    ) -> Call {
        let Unit::Step { step: index, pool } = unit else { unreachable!("an image is no step") };
        let step = &plan.steps[index];
        let from: Vec<&Stored> = step.reads.iter().map(|&read| layout.value(read)).collect();
        let to = layout.value(unit.makes());
        let ranges: Vec<Option<[i32; 2]>> =
            step.reads.iter().map(|&read| plan.encoding(read).range()).collect();
        let mut arguments: Vec<String> = from.iter().map(|value| start(value)).collect();
        arguments.push(start(to));
        let mut titles = vec![step.name.clone()];
        titles.extend(step.activation.clone().filter(|name| *name != step.name));
        titles.extend(pool.map(|pool| plan.steps[pool].name.clone()));
        let plain = |program: &mut Program, ending: &PlainEnding| {
            program.edges += ending.edges(&ranges);
            elements::rescaled(&from, to, ending)
        };
        let (body, what) = match &step.operation {
            StepOperation::Weighted(weighted) => {
                let ending = Ending::new(step, weighted, to, options.rescale);
                let loops = Loops::new(step, weighted, (from[0], to), pool.is_some());
                self.edges += ending.edges(step, weighted);
                arguments[0] = address(from[0], loops.first());
                arguments.extend(self.constants_of(step, weighted, (&loops, &ending), names));
                if let Some(word) = layout.rows[at] {
                    arguments.push(added("workspace->values.shorts", 2 * word));
                }
                (loops.body(&ending), weighted_text(step, weighted))
            }
            &StepOperation::MaxPool(own) => (
                pools::max_pool(from[0], to, own),
                format!("maxima of {}", kernel_text(own.window)),
            ),
            StepOperation::AveragePool { pool: own, scale, zero } => {
                let body = pools::average_pool(from[0], to, *own, (*scale, *zero));
                (body, format!("means of {}", kernel_text(own.window)))
            }
            StepOperation::Add { multipliers, offset, range } => {
                let end = (to.number, *range);
                let ending = PlainEnding::new(&ranges, multipliers, *offset, end, options.rescale);
                (plain(self, &ending), "sum of two".into())
            }
            StepOperation::Activation { multiplier, offset, range } => {
                let end = (to.number, *range);
                let ending =
                    PlainEnding::new(&ranges, &[*multiplier], *offset, end, options.rescale);
                (plain(self, &ending), format!("one by one, times {}", float(*multiplier as f32)))
            }
            &StepOperation::Function(function) => {
                (elements::function(from[0], to, function), function.name().to_string())
            }
            StepOperation::Multiply => {
                (elements::product(from[0], from[1], to), "product of two".into())
            }
            StepOperation::Concat => {
                (elements::concatenation(from[0], from[1], to), "channels of two".into())
            }
        };
        let (input, output) = (shape_text(step.input), shape_text(step.output));
        let shapes = match pool {
            None => format!("{input} to {output}"),
            Some(_) => {
                format!("{input} to {output}, maxima of 2 x 2 to {}", shape_text(to.shape))
            }
        };
        Call {
            body,
            arguments,
            function: format!("{}: {what}, {shapes}.", titles.join(", ")),
            summary: format!("{}: {what}, {shapes}; {}", titles.join(", "), grid_text(&step.to)),
        }
    }

    /// Writes the constants of a step with weights. Returns their names, as arguments.
    fn constants_of(
        &mut self,
        step: &IntegerStep,
        weighted: &WeightedStep,
        (loops, ending): (&Loops, &Ending),
        names: &mut Names,
    ) -> Vec<String> {
        let order = loops.order();
        let mut tables = Vec::new();
        match &weighted.weights {
            StepWeights::Integer { levels, .. } => {
                let codes = levels.codes();
                let row = order.len() / weighted.channels();
                let packed: Vec<u8> = order
                    .chunks_exact(row)
                    .flat_map(|own| {
                        let own: Vec<u8> = own.iter().map(|&at| codes[at]).collect();
                        pack_codes(&own, levels.grid.bits)
                    })
                    .collect();
                tables.push(Table::new("weights", "uint8_t", &packed, u8::to_string));
                let pivots = loops.pivots();
                if pivots.iter().any(|pivot| *pivot != pivots[0]) {
                    tables.push(Table::new("pivots", "int16_t", &pivots, i32::to_string));
                }
            }
            StepWeights::Float(values) => {
                tables.push(Table::new("weights", "float", &order, |&at| float(values[at])));
            }
        }
        tables.extend(ending.tables());
        let comment = format!("/* {}: {}. */\n", step.name, weighted_text(step, weighted));
        self.constants.push_str(&comment);
        let mut arguments = Vec::new();
        for table in tables {
            let name = names.give(&format!("{}_{}", step.name, table.name));
            self.rom_bytes += table.bytes();
            self.constants
                .push_str(&array(&format!("{} @prefix@_{name}", table.kind), table.values));
            arguments.push(format!("@prefix@_{name}"));
        }
        self.constants.push('\n');
        arguments
    }
}

/// The layer in words.
fn weighted_text(step: &IntegerStep, weighted: &WeightedStep) -> String {
    let bits = match &weighted.weights {
        StepWeights::Integer { levels, .. } => match levels.grid.bits {
            1 => "1 bit".into(),
            bits => format!("{bits} bits"),
        },
        StepWeights::Float(_) => "floats".to_string(),
    };
    if weighted.window.is_none() {
        return format!("fully connected by {bits}");
    }
    let window = window_of(step, weighted);
    let [height, width] = window.kernel;
    let groups = match weighted.groups {
        1 => String::new(),
        groups if groups == step.input.channels => " a channel".into(),
        groups => format!(" in {groups} groups"),
    };
    let stride = match window.stride {
        [1, 1] => String::new(),
        [down, right] => format!(", steps of {down} x {right}"),
    };
    let padding = match window.padding {
        [0, 0, 0, 0] => String::new(),
        sides => format!(", padding {}", sides.map(|side| side.to_string()).join(" ")),
    };
    format!("{height} x {width} taps{groups} by {bits}{stride}{padding}")
}
