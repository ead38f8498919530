//! How good is the search of bits? Measures all assignments of {1, 2, 4, 8} bits to the four layers
//! of the network of Table I (256), and compares what `saliq::search` chooses at every budget with
//! the best of them: `bits_truth measure MODEL DATASET FILE.csv`, then
//! `bits_truth judge FILE.csv…`. `bits_truth halved DATASET SEED FILE.csv` trains a float network
//! itself, on images of half the size, which takes a sixth of the time. An unfinished file is
//! continued. In a file with 64 assignments the last layer has 8 bits. `docs/results/bits.md` has
//! results.

use std::{collections::HashMap, fs, io::Write, path::Path};

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
        candidates: 8,
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
        known: HashMap::new(),
    });
    for number in 0..WIDTHS.len().pow(SLOTS as u32) {
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
struct Lookup<'a> {
    all: &'a [Option<[Measured; 2]>],
}

fn number_of(own: &[usize]) -> usize {
    own.iter().rev().fold(0, |number, &width| number * WIDTHS.len() + width)
}

impl Oracle for Lookup<'_> {
    fn measure(&mut self, own: &[usize]) -> Result<Measured> {
        let nothing = Measured { accuracy: -1.0, alignment: -1.0, ..Measured::default() };
        Ok(self.all[number_of(own)].map_or(nothing, |own| own[0]))
    }
}

struct Quiet;
impl Watcher for Quiet {
    fn progress(&mut self, _: &str, _: u64, _: u64) -> Result<()> {
        Ok(())
    }
}

fn judge(files: &[String]) -> Result<()> {
    println!(
        "| file | images | unit | bits by | regret of accuracy, mean (largest) | regret of \
              correlation, mean (largest) | hypervolume |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for file in files {
        let truth = read(file);
        let space = space(&table_one(truth.size))?;
        let costs = [Costs::new(&space, Unit::BitOps)?, Costs::new(&space, Unit::Bytes)?];
        let name = Path::new(file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let [own, test] = truth.float.map(|own| own.accuracy);
        eprintln!("{name}: float {own} on the images of the search, {test} on the test images");
        for (unit, costs) in costs.iter().enumerate() {
            let cost_of: Vec<u64> = (0..256).map(|number| costs.of(&assignment(number))).collect();
            let known: Vec<usize> =
                (0..256).filter(|&number| truth.all[number].is_some()).collect();
            let mut limits: Vec<u64> = known.iter().map(|&number| cost_of[number]).collect();
            limits.sort_unstable();
            limits.dedup();
            let (least, most) = (limits[0] as f64, limits[limits.len() - 1] as f64);
            for images in 0..2 {
                let of = |number: usize| truth.all[number].map(|own| own[images]);
                let mut lines: Vec<(String, Vec<usize>)> = Vec::new();
                let objectives = [Objective::Accuracy, Objective::Explanation, Objective::Both];
                for objective in objectives {
                    let mut by_rule: HashMap<&str, Vec<usize>> = HashMap::new();
                    for &limit in &limits {
                        let settings = SearchSettings { objective, random: 0, ..settings() };
                        let mut oracle = Lookup { all: &truth.all };
                        let mut two = [0; 2];
                        two[unit] = limit;
                        let table = &truth.table;
                        let chosen =
                            frontier(&space, &settings, table, two, &mut oracle, &mut Quiet)?;
                        for (rule, at, _, own) in chosen {
                            if at == Unit::ALL[unit] {
                                by_rule.entry(rule.name()).or_default().push(number_of(&own));
                            }
                        }
                    }
                    let label = format!("search, {objective:?}").to_lowercase();
                    lines.push((label, by_rule.remove(Rule::Search.name()).unwrap_or_default()));
                    if objective == Objective::Both {
                        for rule in [Rule::Uniform, Rule::Loss, Rule::Fisher] {
                            let own = by_rule.remove(rule.name()).unwrap_or_default();
                            lines.push((rule.name().into(), own));
                        }
                    }
                }
                for (label, chosen) in lines {
                    if chosen.len() != limits.len() || chosen.iter().any(|&own| of(own).is_none()) {
                        continue;
                    }
                    let (mut accuracy, mut alignment) = (Vec::new(), Vec::new());
                    for (&limit, &number) in limits.iter().zip(&chosen) {
                        let feasible = known.iter().filter(|&&other| cost_of[other] <= limit);
                        let feasible: Vec<Measured> = feasible.filter_map(|&own| of(own)).collect();
                        let chosen = of(number).unwrap_or_default();
                        let best = |value: fn(&Measured) -> f64| {
                            let values = feasible.iter().map(value);
                            values.fold(f64::NEG_INFINITY, f64::max) - value(&chosen)
                        };
                        accuracy.push(100.0 * best(|own| own.accuracy));
                        alignment.push(best(|own| own.alignment));
                    }
                    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
                    let largest = |v: &[f64]| v.iter().copied().fold(0.0, f64::max);
                    let outcomes: Vec<Outcome> = chosen
                        .iter()
                        .filter_map(|&number| {
                            let Measured { accuracy, alignment, .. } = of(number)?;
                            Some(Outcome { cost: cost_of[number] as f64, accuracy, alignment })
                        })
                        .collect();
                    println!(
                        "| {name} | {} | {} | {label} | {:.2} ({:.2}) | {:.4} ({:.4}) | {:.4} |",
                        ["search", "test"][images],
                        Unit::ALL[unit].name(),
                        mean(&accuracy),
                        largest(&accuracy),
                        mean(&alignment),
                        largest(&alignment),
                        hypervolume(&outcomes, (least, most)),
                    );
                }
            }
        }
    }
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
        [what, files @ ..] if what == "judge" && !files.is_empty() => judge(files),
        _ => Err(Error::Usage(
            "bits_truth measure MODEL DATASET FILE.csv, bits_truth halved DATASET SEED FILE.csv, \
             or bits_truth judge FILE.csv…"
                .into(),
        )),
    }
}
