//! How good is the search of bits? Measures all assignments of {1, 2, 4, 8} bits to the four layers
//! of the network of Table I (256), and compares what `saliq::search` chooses at every budget with
//! the best of them: `bits_truth measure MODEL DATASET FILE.csv`, then
//! `bits_truth judge [CANDIDATES] FILE.csv…` with a file a seed. `bits_truth halved DATASET SEED
//! FILE.csv` trains a float network itself, on images of half the size, which takes a sixth of the
//! time. An unfinished file is continued. In a file with 64 assignments the last layer has 8 bits.
//! `docs/results/bits.md` has results.

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use saliq::{
    Error, Result,
    batch::ResidentData,
    config::{
        NetworkConfig, PartialRunConfig, QuantizationConfig, QuantizationOverrides, Shape,
        WeightQuantizer, resolve,
    },
    data::{self, Dataset, Split},
    gpu::{Gpu, GpuOptions},
    model::Model,
    post_training::{Calibration, WeightRanges},
    search::{
        Assignment, Budget, Candidates, Costs, Measured, Objective, Oracle, Outcome, Probe, Rule,
        SearchSettings, Sensitivities, Sensitivity, Space, Unit, Watcher, activation_ranges,
        fisher, frontier, hypervolume, sensitivities,
    },
    train::{Observer, Start, Trainer},
};

const WIDTHS: [u32; 4] = [1, 2, 4, 8];
const SLOTS: usize = 4;
/// Images of the search, and those whose maps are compared; the same of the test.
const SEARCH: [u32; 2] = [256, 128];
const TEST: [u32; 2] = [500, 128];
const CALIBRATION: u32 = 128;

fn settings() -> SearchSettings {
    SearchSettings {
        widths: WIDTHS.to_vec(),
        tied: true,
        budget: Budget::BitOps(1.0),
        objective: Objective::Both,
        quantization: QuantizationConfig {
            weight_quant: WeightQuantizer::Lsq,
            ..QuantizationConfig::default()
        },
        calibration: Calibration::Mse,
        images: SEARCH[0],
        map_images: SEARCH[1],
        calibration_images: CALIBRATION,
        candidates: 12,
        levels: 0,
        random: 20,
        seed: 0,
    }
}

fn space(network: &NetworkConfig) -> Result<Space> {
    Space::new(network, &settings().quantization, &WIDTHS, true)
}

fn table_one(size: u32) -> NetworkConfig {
    NetworkConfig::table_one(Shape::new(1, size, size), 10, [0.0; 2])
}

/// The mean of every 2×2 pixels.
fn halved(split: &Split, shape: Shape) -> Split {
    let (height, width) = (shape.height as usize, shape.width as usize);
    let mut images = Vec::new();
    for image in split.images.chunks_exact(height * width) {
        for row in (0..height).step_by(2) {
            for column in (0..width).step_by(2) {
                let at = row * width + column;
                let sum: u32 = [at, at + 1, at + width, at + width + 1]
                    .iter()
                    .map(|&pixel| u32::from(image[pixel]))
                    .sum();
                images.push(((sum + 2) / 4) as u8);
            }
        }
    }
    Split { images, labels: split.labels.clone() }
}

/// Trains a float network on images of half the size.
fn measure_halved(dataset: &str, seed: &str, file: &Path) -> Result<()> {
    let gpu = pollster::block_on(Gpu::new(&GpuOptions::default()))?;
    let mut dataset = data::load(dataset, None)?;
    let shape = dataset.shape;
    dataset.train = halved(&dataset.train, shape);
    dataset.test = halved(&dataset.test, shape);
    dataset.shape = Shape::new(1, shape.height / 2, shape.width / 2);
    let out = file.with_extension("run");
    let settings = format!(
        "sgt = false\nepochs = 3\nbatch-size = 64\noptimizer = \"momentum\"\nlr = 0.02\n\
         schedule = \"one-cycle\"\nlog-every = 0\nseed = {seed}\n"
    );
    let mut settings = PartialRunConfig::parse(&settings, "the example")?;
    settings.dataset = Some(dataset.name.clone());
    settings.out = Some(out.clone());
    if !out.join("model.safetensors").exists() {
        let config = resolve(settings, &dataset.info())?;
        let mut trainer = Trainer::new(&gpu, &config, &dataset)?;
        pollster::block_on(trainer.run(Start::Replace, &mut Silent))?;
    }
    let model = Model::load(&out, &QuantizationOverrides::default())?;
    measure(&gpu, &model, &dataset, file)
}

struct Silent;
impl Observer for Silent {}

fn assignment(number: usize) -> Assignment {
    (0..SLOTS).map(|slot| number / WIDTHS.len().pow(slot as u32) % WIDTHS.len()).collect()
}

fn row(kind: &str, name: &str, values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(f64::to_string).collect();
    format!("{kind},{name},{}\n", values.join(","))
}

fn fields(own: &Measured) -> [f64; 4] {
    [own.accuracy, own.loss, own.alignment, own.cosine]
}

fn measure(gpu: &Gpu, model: &Model, dataset: &Dataset, file: &Path) -> Result<()> {
    let normalization = model.normalization()?;
    let resident = |split| ResidentData::new(gpu, split, dataset.shape);
    let train = resident(&dataset.train)?.first(gpu, SEARCH[0])?;
    let few = train.first(gpu, CALIBRATION)?;
    let test = resident(&dataset.test)?.first(gpu, TEST[0])?;
    let space = space(&model.config.network)?;
    let known = fs::read_to_string(file).unwrap_or_default();
    let has = |start: String| known.lines().any(|line| line.starts_with(&start));
    let mut out = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .map_err(Error::io("cannot write", file))?;
    let mut write =
        |text: String| out.write_all(text.as_bytes()).map_err(Error::io("cannot write", file));
    let calibration = Calibration::Mse;
    let weights = pollster::block_on(WeightRanges::read(gpu, model, false))?;
    let probes = [(&train, SEARCH[1]), (&test, TEST[1])].map(|(data, maps)| {
        pollster::block_on(Probe::new(gpu, model, (data, normalization), maps))
    });
    let [search_probe, test_probe] = probes;
    let (search_probe, test_probe) = (search_probe?, test_probe?);
    if !has("float,".into()) {
        write(row("size", "pixels", &[f64::from(dataset.shape.height)]))?;
        let both = [fields(&search_probe.float), fields(&test_probe.float)].concat();
        write(row("float", "32", &both))?;
    }
    if !has("slot,".into()) {
        let activations = activation_ranges(gpu, &space, model, (&few, normalization))?;
        let ranges = (&weights, &activations);
        let images = (&train, normalization);
        let by_fisher =
            pollster::block_on(fisher(gpu, &space, model, ranges, calibration, images))?;
        let measured = (&search_probe, &by_fisher[..]);
        let mut progress = |_| Ok(());
        let table = sensitivities(&space, model, ranges, calibration, measured, &mut progress);
        let table = pollster::block_on(table)?;
        let mut text = String::new();
        for (slot, own) in table.0.iter().enumerate() {
            for (width, own) in own.iter().enumerate() {
                let values = [own.loss, own.alignment, own.fisher];
                text += &row("slot", &format!("{slot}-{width}"), &values);
            }
        }
        write(text)?;
    }
    let mut oracles = [&search_probe, &test_probe].map(|probe| Candidates {
        gpu,
        space: &space,
        model,
        weights: &weights,
        calibration,
        data: (&few, normalization),
        probe,
        known: BTreeMap::new(),
    });
    // The last layer's 8 bits first: these 64 can be judged without the others.
    for number in (0..WIDTHS.len().pow(SLOTS as u32)).rev() {
        if has(format!("bits,{number},")) {
            continue;
        }
        let own = assignment(number);
        let quantized = oracles[0].model(&own)?;
        let mut values = Vec::new();
        for oracle in &mut oracles {
            values.extend(fields(&pollster::block_on(oracle.probe.measure(&quantized))?));
        }
        write(row("bits", &number.to_string(), &values))?;
    }
    Ok(())
}

/// All that a file has.
struct Truth {
    /// Rows of an image.
    size: u32,
    float: [Measured; 2],
    table: Sensitivities,
    /// On the images of the search, and on the test images.
    all: Vec<Option<[Measured; 2]>>,
}

fn read(file: &str) -> Truth {
    let text = fs::read_to_string(file).expect("a file that `measure` wrote");
    let lines = |kind: &'static str| {
        text.lines().filter_map(move |line| {
            let mut parts = line.split(',');
            (parts.next() == Some(kind)).then(|| {
                let name = parts.next().unwrap_or_default().to_string();
                let values: Vec<f64> =
                    parts.map(|value| value.parse().expect("a number")).collect();
                (name, values)
            })
        })
    };
    let of = |v: &[f64]| Measured { accuracy: v[0], loss: v[1], alignment: v[2], cosine: v[3] };
    let two = |v: &[f64]| [of(&v[..4]), of(&v[4..])];
    let (_, float) = lines("float").next().expect("the float network");
    let mut table = vec![vec![Sensitivity::default(); WIDTHS.len()]; SLOTS];
    for (name, v) in lines("slot") {
        let (slot, width) = name.split_once('-').expect("slot-width");
        table[slot.parse::<usize>().expect("a slot")][width.parse::<usize>().expect("a width")] =
            Sensitivity { loss: v[0], alignment: v[1], fisher: v[2] };
    }
    let mut all = vec![None; 256];
    for (name, v) in lines("bits").filter(|(_, v)| v.len() == 8) {
        all[name.parse::<usize>().expect("a number")] = Some(two(&v));
    }
    let is_slice = all[..192].iter().any(Option::is_none);
    assert!(all[192..].iter().all(Option::is_some), "{file} is not finished");
    if is_slice {
        // The last layer has 8 bits; the others are not to be chosen for it.
        all[..192].fill(None);
        for own in &mut table[SLOTS - 1][..WIDTHS.len() - 1] {
            *own = Sensitivity { loss: 1e6, alignment: 1e6, fisher: 1e6 };
        }
    }
    let (_, size) = lines("size").next().expect("the size");
    Truth { size: size[0] as u32, float: two(&float), table: Sensitivities(table), all }
}

/// Looks measurements up.
struct Lookup<'a>(&'a Truth);

fn number_of(own: &[usize]) -> usize {
    own.iter().rev().fold(0, |number, &width| number * WIDTHS.len() + width)
}

impl Oracle for Lookup<'_> {
    fn measure(&mut self, own: &[usize]) -> Result<Measured> {
        let nothing = Measured { accuracy: -1.0, alignment: -1.0, ..Measured::default() };
        Ok(self.0.all[number_of(own)].map_or(nothing, |own| own[0]))
    }

    fn float(&self) -> Measured {
        self.0.float[0]
    }
}

struct Quiet;
impl Watcher for Quiet {
    fn progress(&mut self, _: &str, _: u64, _: u64) -> Result<()> {
        Ok(())
    }
}

const OBJECTIVES: [Objective; 3] = [Objective::Accuracy, Objective::Explanation, Objective::Both];
const GOALS: [f64; 2] = [0.2, 0.02];

/// All assignments of a file that are known, with the cost in one unit.
struct Judge<'a> {
    truth: &'a Truth,
    unit: usize,
    costs: Vec<u64>,
    known: Vec<usize>,
    /// The costs at which the best assignment can change.
    limits: Vec<u64>,
}

impl<'a> Judge<'a> {
    fn new(truth: &'a Truth, unit: usize) -> Result<Judge<'a>> {
        let costs = Costs::new(&space(&table_one(truth.size))?, Unit::ALL[unit])?;
        let costs: Vec<u64> = (0..256).map(|number| costs.of(&assignment(number))).collect();
        let known: Vec<usize> = (0..256).filter(|&number| truth.all[number].is_some()).collect();
        let mut limits: Vec<u64> = known.iter().map(|&number| costs[number]).collect();
        limits.sort_unstable();
        limits.dedup();
        Ok(Judge { truth, unit, costs, known, limits })
    }

    fn of(&self, number: usize, images: usize) -> Measured {
        self.truth.all[number].map_or_else(Measured::default, |own| own[images])
    }

    fn within(&self, limit: u64) -> impl Iterator<Item = usize> {
        self.known.iter().copied().filter(move |&number| self.costs[number] <= limit)
    }

    /// What each rule chooses at each limit. Random assignments are rules of their own.
    fn chosen(&self, candidates: usize) -> Result<BTreeMap<String, Vec<usize>>> {
        let mut lines: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let space = space(&table_one(self.truth.size))?;
        for objective in OBJECTIVES {
            let name = format!("{objective:?}").to_lowercase();
            for &limit in &self.limits {
                let mut two = [0; 2];
                two[self.unit] = limit;
                let own = SearchSettings { objective, candidates, ..settings() };
                let mut oracle = Lookup(self.truth);
                let table = &self.truth.table;
                let points = frontier(&space, &own, table, two, &mut oracle, &mut Quiet)?;
                let mut draw = 0;
                for (rule, _, _, own) in
                    points.into_iter().filter(|(_, unit, ..)| *unit == Unit::ALL[self.unit])
                {
                    let label = match rule {
                        Rule::Search => format!("search, {name}"),
                        // The baselines have no objective.
                        _ if objective != Objective::Both => continue,
                        Rule::Random => {
                            draw += 1;
                            format!("random {draw}")
                        }
                        _ => rule.name().into(),
                    };
                    lines.entry(label).or_default().push(number_of(&own));
                }
                let score = |number: usize| objective.score(&self.of(number, 0));
                let best = self.within(limit).max_by(|&a, &b| score(a).total_cmp(&score(b)));
                lines.entry(format!("all measured, {name}")).or_default().extend(best);
            }
        }
        let is_whole = |own: &Vec<usize>| {
            own.len() == self.limits.len() && own.iter().all(|own| self.truth.all[*own].is_some())
        };
        lines.retain(|_, own| is_whole(own));
        Ok(lines)
    }

    /// Regret of accuracy in points, mean and largest; of correlation, likewise; hypervolume.
    fn judged(&self, chosen: &[usize], images: usize) -> [f64; 5] {
        let (mut accuracy, mut alignment) = (Vec::new(), Vec::new());
        for (&limit, &number) in self.limits.iter().zip(chosen) {
            let best = |value: fn(&Measured) -> f64| {
                let values = self.within(limit).map(|own| value(&self.of(own, images)));
                values.fold(f64::NEG_INFINITY, f64::max) - value(&self.of(number, images))
            };
            accuracy.push(100.0 * best(|own| own.accuracy));
            alignment.push(best(|own| own.alignment));
        }
        let largest = |v: &[f64]| v.iter().copied().fold(0.0, f64::max);
        let volume = self.volume(chosen, images);
        [mean(&accuracy), largest(&accuracy), mean(&alignment), largest(&alignment), volume]
    }

    fn volume(&self, chosen: &[usize], images: usize) -> f64 {
        let outcome = |&number: &usize| {
            let Measured { accuracy, alignment, .. } = self.of(number, images);
            Outcome { cost: self.costs[number] as f64, accuracy, alignment }
        };
        let outcomes: Vec<Outcome> = chosen.iter().map(outcome).collect();
        let ends = [self.limits.first(), self.limits.last()];
        let [least, most] = ends.map(|limit| limit.copied().unwrap_or(1) as f64);
        hypervolume(&outcomes, (least, most))
    }

    /// The share of limits at which any one assignment meets both goals.
    fn attainable(&self, images: usize) -> f64 {
        let meets = |limit: &&u64| {
            let of = |number| self.of(number, images);
            let own: Vec<Measured> = self.within(**limit).map(of).collect();
            let best = |value: fn(&Measured) -> f64| own.iter().map(value).fold(0.0, f64::max);
            let (accuracy, alignment) = (best(|own| own.accuracy), best(|own| own.alignment));
            own.iter().any(|own| {
                100.0 * (accuracy - own.accuracy) <= GOALS[0] + 1e-9
                    && alignment - own.alignment <= GOALS[1]
            })
        };
        self.limits.iter().filter(meets).count() as f64 / self.limits.len().max(1) as f64
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Mean and half the width of the 95 % interval by Student's t, for up to 10 values.
fn interval(values: &[f64]) -> (f64, f64) {
    const T: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
    let (mean, count) = (mean(values), values.len() as f64);
    let Some(t) = values.len().checked_sub(2).and_then(|own| T.get(own)) else {
        return (mean, f64::NAN);
    };
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, t * (squares / (count - 1.0) / count).sqrt())
}

/// `0.18 ±0.05`; without an interval if there is one value.
fn written(values: &[f64], digits: usize) -> String {
    match interval(values) {
        (mean, width) if width.is_nan() => format!("{mean:.digits$}"),
        (mean, width) => format!("{mean:.digits$} ±{width:.digits$}"),
    }
}

fn judge(files: &[String], candidates: usize) -> Result<()> {
    println!(
        "| images | unit | bits by | regret of accuracy | largest | regret of correlation | \
         largest | hypervolume |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    let truths: Vec<Truth> = files.iter().map(|file| read(file)).collect();
    let mut notes = Vec::new();
    for (unit, own) in Unit::ALL.iter().enumerate() {
        let judges: Vec<Judge<'_>> =
            truths.iter().map(|truth| Judge::new(truth, unit)).collect::<Result<_>>()?;
        let chosen: Vec<BTreeMap<String, Vec<usize>>> =
            judges.iter().map(|judge| judge.chosen(candidates)).collect::<Result<_>>()?;
        for (images, name) in ["search", "test"].into_iter().enumerate() {
            let start = format!("| {name} | {} |", own.name());
            let mut volumes: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            let random = |label: &&String| label.starts_with("random ");
            let mut labels: Vec<&str> =
                chosen[0].keys().filter(|label| !random(label)).map(String::as_str).collect();
            labels.extend(chosen[0].keys().find(random).map(|_| "random"));
            for label in labels {
                let of_file = |(judge, lines): (&Judge<'_>, &BTreeMap<String, Vec<usize>>)| {
                    // The mean of all draws.
                    let draws: Vec<[f64; 5]> = lines
                        .iter()
                        .filter(|(own, _)| *own == label || (label == "random" && random(own)))
                        .map(|(_, own)| judge.judged(own, images))
                        .collect();
                    [0, 1, 2, 3, 4].map(|at| mean(&draws.iter().map(|v| v[at]).collect::<Vec<_>>()))
                };
                let all: Vec<[f64; 5]> = judges.iter().zip(&chosen).map(of_file).collect();
                let column = |at: usize| all.iter().map(|v| v[at]).collect::<Vec<f64>>();
                let cell = |at: usize, digits| written(&column(at), digits);
                let most = |at: usize| column(at).into_iter().fold(0.0, f64::max);
                println!(
                    "{start} {label} | {} | {:.2} | {} | {:.4} | {} |",
                    cell(0, 2),
                    most(1),
                    cell(2, 4),
                    most(3),
                    cell(4, 4)
                );
                volumes.insert(label, column(4));
            }
            let of =
                |value: &dyn Fn(&Judge<'_>) -> f64| judges.iter().map(value).collect::<Vec<_>>();
            let ceiling = of(&|judge| judge.volume(&judge.known, images));
            println!("{start} every assignment | | | | | {} |", written(&ceiling, 4));
            let best = |file: usize| {
                let baselines = ["uniform", "loss", "fisher", "random"].iter();
                let values = baselines.filter_map(|own| Some(volumes.get(own)?[file]));
                values.fold(0.0, f64::max)
            };
            let gain = |values: &[f64]| -> Vec<f64> {
                let pairs = values.iter().enumerate();
                pairs.map(|(file, value)| 100.0 * (value / best(file) - 1.0)).collect()
            };
            let search = volumes.get("search, both").cloned().unwrap_or_default();
            notes.push(format!(
                "{name} images, {}: hypervolume of the search {} % above the best baseline, of \
                 every assignment {} %; one assignment meets both goals at {} % of the budgets",
                own.name(),
                written(&gain(&search), 2),
                written(&gain(&ceiling), 2),
                written(&of(&|judge| 100.0 * judge.attainable(images)), 0),
            ));
        }
    }
    for (file, truth) in files.iter().zip(&truths) {
        let [own, test] = truth.float.map(|own| 100.0 * own.accuracy);
        println!(
            "\n{file}: float {own:.1} % on the images of the search, {test:.1} % on test images"
        );
    }
    println!("\n{}", notes.join("\n\n"));
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [what, model, dataset, file] if what == "measure" => {
            let gpu = pollster::block_on(Gpu::new(&GpuOptions::default()))?;
            let model = Model::load(Path::new(model), &QuantizationOverrides::default())?;
            measure(&gpu, &model, &data::load(dataset, None)?, Path::new(file))
        }
        [what, dataset, seed, file] if what == "halved" => {
            measure_halved(dataset, seed, Path::new(file))
        }
        [what, number, files @ ..] if what == "judge" => match number.parse() {
            Ok(candidates) if !files.is_empty() => judge(files, candidates),
            _ => judge(&arguments[1..], settings().candidates),
        },
        _ => Err(Error::Usage(
            "bits_truth measure MODEL DATASET FILE.csv, bits_truth halved DATASET SEED FILE.csv, \
             or bits_truth judge [CANDIDATES] FILE.csv…"
                .into(),
        )),
    }
}
