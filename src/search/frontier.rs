//! The whole search: sensitivities, the choice at the budget, and the frontier beside baselines.

use serde::Serialize;

use super::{
    baselines::{random_assignment, uniform},
    choice::{Choice, choose},
    costs::{Costs, Unit},
    fisher::fisher,
    oracle::{Candidates, Oracle},
    probe::{Measured, Probe},
    sensitivity::{Sensitivities, sensitivities},
    settings::SearchSettings,
    slots::{Assignment, Space},
    solver::{Front, solve},
};
use crate::{
    Error, Result,
    batch::ResidentData,
    config::{LayerBits, PixelNormalization},
    error::phrase,
    gpu::Gpu,
    graph::Graph,
    metrics::Cost,
    model::Model,
    post_training::{ActivationPass, ActivationRanges, WeightRanges},
};

/// What chose an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// This search.
    Search,
    /// One width for all slots.
    Uniform,
    /// The sensitivity of the loss alone.
    Loss,
    /// Squared gradients.
    Fisher,
    /// Chance.
    Random,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 5] =
        [Rule::Search, Rule::Uniform, Rule::Loss, Rule::Fisher, Rule::Random];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Search => "search",
            Rule::Uniform => "uniform",
            Rule::Loss => "loss",
            Rule::Fisher => "fisher",
            Rule::Random => "random",
        }
    }
}

/// An assignment at a budget, with what it achieves on test images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// What chose it.
    pub rule: Rule,
    /// What was limited.
    pub unit: Unit,
    /// The limit.
    pub limit: u64,
    /// Bits of each layer.
    pub bits: Vec<LayerBits>,
    /// Its bit operations.
    pub bit_ops: u64,
    /// Bytes of its packed model.
    pub bytes: u64,
    /// What it achieves.
    #[serde(flatten)]
    pub measured: Measured,
    /// Widths of the slots.
    #[serde(skip)]
    pub assignment: Assignment,
}

/// Receives progress, and can stop a search.
pub trait Watcher {
    /// `done` of `total` measurements of the part `what` are done.
    ///
    /// # Errors
    /// [`Error::Interrupted`] stops the search.
    fn progress(&mut self, what: &str, done: u64, total: u64) -> Result<()>;
}

/// The result of a search.
pub struct Found {
    /// What each slot does at each width.
    pub sensitivities: Sensitivities,
    /// The bits that were chosen, measured on the images of the search.
    pub chosen: Choice,
    /// The quantized model with them, without training.
    pub model: Model,
    /// The limit, in the unit of the budget.
    pub limit: u64,
    /// What the float network does on the images of the search, and on the test images.
    pub float: [Measured; 2],
    /// The frontier with its baselines; the chosen bits are the first point.
    pub points: Vec<Point>,
    /// Forward passes of all images that the sensitivities took, a pass back to the input counted
    /// as one.
    pub forward_equivalents: f64,
}

/// All that is known in front of measurements.
struct Fronts<'a> {
    settings: &'a SearchSettings,
    /// Of BitOPs and of bytes.
    costs: [Costs; 2],
    /// By the objective's shares, of each unit.
    own: [Vec<Front>; 2],
    damages: Vec<Vec<f64>>,
    loss: [Front; 2],
    fisher: [Front; 2],
}

impl<'a> Fronts<'a> {
    fn new(
        space: &Space,
        settings: &'a SearchSettings,
        table: &Sensitivities,
    ) -> Result<Fronts<'a>> {
        let costs = [Costs::new(space, Unit::BitOps)?, Costs::new(space, Unit::Bytes)?];
        let shares = settings.objective.shares().iter();
        let mut mixtures: Vec<_> =
            shares.map(|&share| table.damages(share, space.network.classes)).collect();
        let own = costs
            .each_ref()
            .map(|costs| mixtures.iter().map(|damages| solve(costs, damages)).collect());
        let of = |damages: &[Vec<f64>]| costs.each_ref().map(|costs| solve(costs, damages));
        Ok(Fronts {
            settings,
            damages: mixtures.swap_remove(0),
            loss: of(&table.loss_damages()),
            fisher: of(&table.fisher_damages()),
            own,
            costs,
        })
    }

    fn choose(&self, unit: usize, limit: u64, oracle: &mut dyn Oracle) -> Result<Option<Choice>> {
        let fronts = (&self.own[unit][..], &self.damages[..]);
        let (most, objective) = (self.settings.candidates, self.settings.objective);
        choose(&self.costs[unit], fronts, limit, most, objective, oracle)
    }

    /// Budgets of a unit, from the least to the most, evenly in logarithms.
    fn levels(&self, unit: usize) -> Vec<u64> {
        let costs = &self.costs[unit];
        let ends = [0, costs.widths - 1].map(|width| costs.of(&vec![width; costs.slots]) as f64);
        let count = self.settings.levels;
        let at = |level: usize| {
            let share = level as f64 / (count.max(2) - 1) as f64;
            (ends[0] * (ends[1] / ends[0]).powf(share)).ceil() as u64
        };
        (0..count).map(at).collect()
    }

    /// As the function [`frontier`]; the search at the limit of a unit of that number is `chosen`
    /// already.
    fn frontier(
        &self,
        chosen: Option<(usize, &Choice)>,
        limits: [u64; 2],
        oracle: &mut dyn Oracle,
        watcher: &mut dyn Watcher,
    ) -> Result<Vec<(Rule, Unit, u64, Assignment)>> {
        let settings = self.settings;
        let mut found = Vec::new();
        let total = 2 * (settings.levels as u64 + 1);
        for (unit, name) in Unit::ALL.into_iter().enumerate() {
            let mut levels = vec![limits[unit]];
            levels.extend(self.levels(unit));
            for (number, &limit) in levels.iter().enumerate() {
                let choice = match chosen {
                    Some((own, choice)) if (own, 0) == (unit, number) => Some(choice.clone()),
                    _ => self.choose(unit, limit, oracle)?,
                };
                let best = |front: &Front| Some(front.within(limit).next()?.assignment.clone());
                let costs = &self.costs[unit];
                let rules = [
                    (Rule::Search, choice.map(|choice| choice.assignment)),
                    (Rule::Uniform, uniform(costs, limit)),
                    (Rule::Loss, best(&self.loss[unit])),
                    (Rule::Fisher, best(&self.fisher[unit])),
                ];
                let random = if number == 0 { settings.random } else { 0 };
                let random = (0..random as u32).map(|number| {
                    (Rule::Random, random_assignment(costs, limit, settings.seed, number))
                });
                let all = rules.into_iter().chain(random);
                found.extend(all.filter_map(|(rule, own)| Some((rule, name, limit, own?))));
                let done = unit as u64 * (settings.levels as u64 + 1) + number as u64 + 1;
                watcher.progress("candidates", done, total)?;
            }
        }
        Ok(found)
    }
}

/// The frontier of `table` with its baselines in both units, as bits: what [`search`] measures.
/// `limits` are further budgets, in BitOPs and in bytes, at which random assignments are drawn too.
///
/// # Errors
/// Errors of the oracle and the watcher.
pub fn frontier(
    space: &Space,
    settings: &SearchSettings,
    table: &Sensitivities,
    limits: [u64; 2],
    oracle: &mut dyn Oracle,
    watcher: &mut dyn Watcher,
) -> Result<Vec<(Rule, Unit, u64, Assignment)>> {
    Fronts::new(space, settings, table)?.frontier(None, limits, oracle, watcher)
}

/// Searches the bits of the float `model`: `train` are the images of the search, `test` those that
/// the frontier is measured on.
///
/// # Errors
/// [`Error::Settings`] for a budget that cannot be met, with the least one; errors of quantization
/// and the device.
pub fn search(
    gpu: &Gpu,
    model: &Model,
    settings: &SearchSettings,
    [train, test]: [&ResidentData; 2],
    normalization: PixelNormalization,
    watcher: &mut dyn Watcher,
) -> Result<Found> {
    let network = &model.config.network;
    let space = Space::new(network, &settings.quantization, &settings.widths, settings.tied)?;
    let float_cost = Cost::new(network, &model.config.quantization)?;
    let unit = settings.budget.unit();
    let limit = settings.budget.limit(&float_cost);
    check_budget(settings, &space, &float_cost)?;

    let train = train.first(gpu, settings.images)?;
    let few = train.first(gpu, settings.calibration_images)?;
    let read = WeightRanges::read(gpu, model, settings.quantization.per_channel);
    let weights = pollster::block_on(read)?;
    let activations = activation_ranges(gpu, &space, model, (&few, normalization))?;
    let (calibration, maps) = (settings.calibration, settings.map_images);
    let probe = pollster::block_on(Probe::new(gpu, model, (&train, normalization), maps))?;
    let reference = probe.forward_equivalents();
    let ranges = (&weights, &activations);
    let images = (&train, normalization);
    let by_fisher = pollster::block_on(fisher(gpu, &space, model, ranges, calibration, images))?;
    let total = (space.slots.len() * space.widths.len()) as u64;
    let mut progress = |done| watcher.progress("sensitivities", done, total);
    let measured = (&probe, &by_fisher[..]);
    let table = sensitivities(&space, model, ranges, calibration, measured, &mut progress);
    let table = pollster::block_on(table)?;
    let forward_equivalents = probe.forward_equivalents() - reference;

    let mut oracle = Candidates {
        gpu,
        space: &space,
        model,
        weights: &weights,
        calibration,
        data: (&few, normalization),
        probe: &probe,
        known: Default::default(),
    };
    let fronts = Fronts::new(&space, settings, &table)?;
    let index = Unit::ALL.iter().position(|own| *own == unit).unwrap_or_default();
    let chosen = fronts.choose(index, limit, &mut oracle)?;
    let chosen = chosen.ok_or_else(|| {
        Error::Settings(phrase!("<budget>: cannot be met; raise it, or give lower <widths>"))
    })?;
    let mut limits = fronts.costs.each_ref().map(|costs| costs.of(&chosen.assignment));
    limits[index] = limit;
    let mut bits = fronts.frontier(Some((index, &chosen)), limits, &mut oracle, watcher)?;
    // The chosen bits begin the list.
    let own = bits.iter().position(|(rule, at, ..)| (*rule, *at) == (Rule::Search, unit));
    if let Some(own) = own {
        let point = bits.remove(own);
        bits.insert(0, point);
    }
    let quantized = oracle.model(&chosen.assignment)?;
    let test_probe = pollster::block_on(Probe::new(gpu, model, (test, normalization), maps))?;
    let mut judge = Candidates { probe: &test_probe, known: Default::default(), ..oracle };
    let mut points = Vec::new();
    let total = bits.len() as u64;
    for (rule, unit, limit, assignment) in bits {
        let [bit_ops, bytes] = fronts.costs.each_ref().map(|costs| costs.of(&assignment));
        let (bits, measured) = (space.bits(&assignment), judge.measure(&assignment)?);
        points.push(Point { rule, unit, limit, bits, bit_ops, bytes, measured, assignment });
        watcher.progress("frontier", points.len() as u64, total)?;
    }
    Ok(Found {
        sensitivities: table,
        chosen,
        model: quantized,
        limit,
        float: [probe.float, test_probe.float],
        points,
        forward_equivalents,
    })
}

/// The ranges of the activations of the float `model` on all images of `data`.
///
/// # Errors
/// As [`ActivationRanges::observe`].
pub fn activation_ranges(
    gpu: &Gpu,
    space: &Space,
    model: &Model,
    (data, normalization): (&ResidentData, PixelNormalization),
) -> Result<ActivationRanges> {
    // The ranges are those of all widths.
    let quantization = space.activations(8);
    let graph = Graph::new(&space.network, &quantization)?;
    let pass = ActivationPass {
        network: &space.network,
        quantization: &quantization,
        layout: &graph.layout,
        parameters: &graph.layout.gather_network(&model.graph.layout, &model.parameters)?,
        normalization,
        live: None,
    };
    pollster::block_on(ActivationRanges::observe(gpu, &pass, data))
}

/// Refuses a budget below the least cost of `space`; `float` is that of the float network.
///
/// # Errors
/// [`Error::Settings`] with the least.
pub fn check_budget(settings: &SearchSettings, space: &Space, float: &Cost) -> Result<()> {
    let least = Cost::new(&space.network, &space.quantization(&space.all_at(0)))?;
    let least = settings.budget.unit().of(&least);
    let limit = settings.budget.limit(float);
    if limit >= least {
        return Ok(());
    }
    let widths: Vec<String> = space.widths.iter().map(u32::to_string).collect();
    let widths = widths.join(",");
    Err(Error::Settings(match settings.budget.unit() {
        Unit::Bytes => phrase!(
            "<budget bytes={}>: cannot be met with <widths {}>, whose least is {} bytes; raise it, \
             or give lower widths",
            limit,
            widths,
            least
        ),
        Unit::BitOps => {
            let percent = |ops: u64| 100.0 * ops as f64 / float.bit_ops as f64;
            // Rounded up, so that it can be given.
            let at_least = (1e4 * percent(least)).ceil() / 1e4;
            phrase!(
                "<budget bitops={}%>: cannot be met with <widths {}>, whose least is {}% ({} \
                 BitOPs); raise it, or give lower widths",
                (1e4 * percent(limit)).round() / 1e4,
                widths,
                at_least,
                least
            )
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{NetworkConfig, QuantizationConfig, Shape, WeightQuantizer},
        post_training::Calibration,
        search::{costs::Budget, sensitivity::Sensitivity, settings::Objective},
    };

    struct ByWidths;
    impl Oracle for ByWidths {
        fn measure(&mut self, assignment: &[usize]) -> Result<Measured> {
            let alignment = assignment.iter().sum::<usize>() as f64 / 20.0;
            Ok(Measured { accuracy: 0.9, alignment, ..Measured::default() })
        }

        fn float(&self) -> Measured {
            Measured { accuracy: 1.0, alignment: 1.0, ..Measured::default() }
        }
    }

    struct Quiet;
    impl Watcher for Quiet {
        fn progress(&mut self, _: &str, _: u64, _: u64) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_rule_keeps_to_every_budget() {
        let network = NetworkConfig::table_one(Shape::new(1, 12, 12), 10, [0.0; 2]);
        let quantization =
            QuantizationConfig { weight_quant: WeightQuantizer::Lsq, ..Default::default() };
        let space = Space::new(&network, &quantization, &[2, 4, 8], false).unwrap();
        let settings = SearchSettings {
            widths: vec![2, 4, 8],
            tied: false,
            budget: Budget::BitOps(0.02),
            objective: Objective::Both,
            quantization,
            calibration: Calibration::Mse,
            images: 8,
            map_images: 4,
            calibration_images: 8,
            candidates: 6,
            levels: 4,
            random: 20,
            seed: 0,
        };
        let slot = |slot: usize| {
            let of = |width: usize| {
                let damage = (slot + 1) as f64 / (1 << (2 * width)) as f64;
                Sensitivity { loss: damage, alignment: 0.1 * damage, fisher: damage }
            };
            (0..3).map(of).collect::<Vec<_>>()
        };
        let table = Sensitivities((0..space.slots.len()).map(slot).collect());
        let limits = Unit::ALL.map(|unit| {
            let costs = Costs::new(&space, unit).unwrap();
            costs.of(&space.all_at(1))
        });
        let points =
            frontier(&space, &settings, &table, limits, &mut ByWidths, &mut Quiet).unwrap();
        for unit in Unit::ALL {
            let costs = Costs::new(&space, unit).unwrap();
            let own = points.iter().filter(|(_, at, ..)| *at == unit);
            for (rule, _, limit, assignment) in own.clone() {
                assert!(costs.of(assignment) <= *limit, "{rule:?} {assignment:?}");
            }
            for rule in [Rule::Search, Rule::Uniform, Rule::Loss, Rule::Fisher] {
                assert_eq!(own.clone().filter(|(other, ..)| *other == rule).count(), 5);
            }
            assert_eq!(own.filter(|(rule, ..)| *rule == Rule::Random).count(), 20);
        }
    }
}
