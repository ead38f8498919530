//! Writes the report of a study as one HTML page, and as Markdown, JSON and CSV.

use std::path::Path;

use clap::ValueEnum;

use super::{
    figures::{self, Figure},
    findings, formats,
    judge::CALIBRATION_IMAGES,
    names::slug,
    plan::{Plan, PlannedRun, Stage},
    preset::Preset,
    result::Collected,
    searches,
    summary::Summary,
    tables, terms,
};
use crate::{
    Error, Result,
    config::{ActivationQuantizer, PactKind, PartialRunConfig},
    files::write_atomically,
    judgement::SensitivityOptions,
    report::{Block, Report, Section, Table, counted},
};

/// File of the page.
pub const HTML_FILE: &str = "report.html";
/// File with every number of the page.
pub const JSON_FILE: &str = "report.json";
const MARKDOWN_FILE: &str = "report.md";
const CSV_FILE: &str = "report.csv";
/// The same as the preset's help text.
const TINY: &str = "Preset tiny only shows the mechanics: models of a few steps, judged on a few \
                    digits; its numbers mean nothing.";
const TITLE: &str = "Saliency assisted quantization, reproduced";

/// Writes the report of the results in the study's folder `root`, and lists the missing results in
/// it.
///
/// # Errors
/// [`Error::Settings`] if there is no study; [`Error::Usage`] if it has no result; errors of the
/// files.
pub fn write(root: &Path) -> Result<Summary> {
    let plan = Plan::read(root)?;
    let collected = Collected::read(root, &plan)?;
    if collected.results.is_empty() {
        return Err(Error::Usage(format!(
            "{}: no model of the study is finished yet",
            root.display()
        )));
    }
    let summary = findings::stated(Summary::new(&plan, &collected));
    let figures = figures::draw(root, &plan, &summary)?;
    for figure in &figures {
        write_atomically(&root.join(&figure.file), &figure.bytes)?;
    }
    let mechanics = (plan.preset == Preset::Tiny).then(|| TINY.to_string());
    let intro: Vec<String> = mechanics
        .into_iter()
        .chain([summary.scope.clone()])
        .chain(summary.findings.clone())
        .collect();
    let mut sections = sections(&plan, &summary, &figures)?;
    let place = sections.len() - 1;
    sections.splice(place..place, searches::section(root));
    let words = terms::of_text(&intro.join(" "));
    sections
        .insert(0, Section { title: "Terms used above".into(), blocks: vec![Block::Terms(words)] });
    let json =
        serde_json::to_string_pretty(&summary).map_err(|error| Error::Model(error.to_string()))?;
    write_atomically(&root.join(JSON_FILE), json.as_bytes())?;
    write_atomically(&root.join(CSV_FILE), formats::csv(&summary).as_bytes())?;
    write_atomically(
        &root.join(MARKDOWN_FILE),
        formats::markdown(TITLE, &intro, &sections, &figures).as_bytes(),
    )?;
    Report { title: TITLE.into(), intro, sections }.write(root.join(HTML_FILE))?;
    Ok(summary)
}

fn sections(plan: &Plan, summary: &Summary, figures: &[Figure]) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    for dataset in summary.datasets() {
        let own = OfDataset { plan, summary, figures, dataset };
        let mut blocks = own.recipes()?;
        blocks.extend(own.main());
        sections.push(Section { title: dataset.to_string(), blocks });
    }
    for dataset in summary.datasets() {
        let own = OfDataset { plan, summary, figures, dataset };
        let blocks = own.other_methods();
        if !blocks.is_empty() {
            sections.push(Section { title: format!("{dataset}: further methods"), blocks });
        }
    }
    sections.push(Section {
        title: "Bit widths (Table III)".into(),
        blocks: vec![Block::Table(tables::widths(plan)?)],
    });
    sections.push(making(plan, summary)?);
    Ok(sections)
}

/// The part of the report about one data set.
struct OfDataset<'a> {
    plan: &'a Plan,
    summary: &'a Summary,
    figures: &'a [Figure],
    dataset: &'a str,
}

impl OfDataset<'_> {
    fn figure(&self, file: &str) -> Option<Block> {
        self.figures.iter().find(|figure| figure.file == file).map(Figure::block)
    }

    fn named(&self, name: &str) -> Option<Block> {
        self.figure(&format!("{}-{name}", slug(self.dataset)))
    }

    /// The kinds of training that the study has: with Saliency Guided Training, and without.
    fn trainings(&self) -> Vec<bool> {
        [true, false]
            .into_iter()
            .filter(|&sgt| self.summary.of(self.dataset, sgt).next().is_some())
            .collect()
    }

    /// A table for every kind of training, with the text `says` above it.
    fn tables(&self, says: &str, table: impl Fn(bool) -> Option<Table>) -> Vec<Block> {
        let of = |sgt: bool| {
            let table = table(sgt)?;
            let training =
                if sgt { "With Saliency Guided Training" } else { "With plain training" };
            Some([Block::Paragraph(format!("{training}: {says}")), Block::Table(table)])
        };
        self.trainings().into_iter().filter_map(of).flatten().collect()
    }

    /// The training recipe of every model.
    fn recipes(&self) -> Result<Vec<Block>> {
        let says = "How each model was made. Steps: those of the model that it starts from + its \
                    own. Models trained with quantization and their control differ only in the \
                    bits; seeds are paired. Models quantized after training (PTQ) have the weight \
                    quantizer in their row, whatever --weight-quant is. If it is not that of the \
                    trained models, the two differ in more than training.";
        let table = tables::recipes(self.plan, self.dataset)?;
        Ok(vec![
            Block::Heading("Recipes".into()),
            Block::Paragraph(says.into()),
            Block::Table(table),
        ])
    }

    fn main(&self) -> Vec<Block> {
        let (summary, dataset) = (self.summary, self.dataset);
        let method = summary.main_method.as_str();
        let mut blocks = vec![Block::Heading("Accuracy and cost (Table II)".into())];
        blocks.extend(self.tables(
            "test accuracy of the last step. Control: the model that the one in this row is \
             compared with. PTQ: the float model quantized without training.",
            |sgt| Some(tables::accuracy(summary, dataset, sgt)),
        ));
        blocks.push(Block::Terms(terms::accuracy()));
        blocks.push(Block::Paragraph("Cost of a forward pass of one image:".into()));
        blocks.push(Block::Table(tables::cost(summary, dataset)));
        blocks.push(Block::Terms(terms::cost()));
        blocks.extend(self.named("tradeoff.svg"));
        let training = self.training(method);
        if !training.is_empty() {
            blocks.push(Block::Heading("Saliency Guided Training against plain training".into()));
            blocks.extend(training);
        }
        blocks.push(Block::Heading("Saliency maps (Fig. 1)".into()));
        blocks.extend(self.named("maps.png"));
        if let Some(figure) = self.named("kl.svg") {
            blocks.extend([Block::Heading("Saliency Guided Training (Fig. 2)".into()), figure]);
        }
        blocks.push(Block::Heading("Faithfulness (Fig. 3)".into()));
        blocks.extend(self.figure(&figures::drop_file(dataset, method)));
        let says = format!(
            "mean accuracy (0 to 1) over the accuracy-drop curves of {} images; the lower it is, \
             the better the map ranks the pixels that the model uses.",
            summary.drop_images
        );
        blocks.extend(self.tables(&says, |sgt| Some(tables::drop(summary, dataset, sgt))));
        blocks.push(Block::Terms(terms::drop()));
        blocks.extend(self.retraining());
        blocks.push(Block::Heading(format!("Clarity, stability and alignment: {method}")));
        blocks.extend(self.map_tables(method));
        blocks.extend(self.randomisation());
        if let Some(figure) = self.named("quantizers.svg") {
            blocks.extend([Block::Heading("Quantizers while training".into()), figure]);
        }
        let widths = summary
            .trained(dataset, true)
            .chain(summary.trained(dataset, false))
            .map(|model| model.variant.bits.as_str());
        let mut files: Vec<String> =
            widths.map(|bits| figures::histogram_file(dataset, bits)).collect();
        files.sort();
        files.dedup();
        let histograms: Vec<Block> = files.iter().filter_map(|file| self.figure(file)).collect();
        if !histograms.is_empty() {
            blocks.push(Block::Heading("Distributions".into()));
            blocks.extend(histograms);
        }
        blocks
    }

    /// The effect of Saliency Guided Training, with the maps by `method`.
    fn training(&self, method: &str) -> Vec<Block> {
        let says = format!(
            "Models with guidance minus models without, which are otherwise alike, paired by seed \
             and image; in brackets the 95 % interval, with p adjusted for the number of tests. \
             Maps: {method}. Faithfulness: the accuracy for random order minus that for the order \
             of the map, averaged over the curve."
        );
        let table = tables::trainings(self.summary, self.dataset, method);
        table.map_or(Vec::new(), |table| vec![Block::Paragraph(says), Block::Table(table)])
    }

    fn map_tables(&self, method: &str) -> Vec<Block> {
        let (summary, dataset) = (self.summary, self.dataset);
        let noises = match self.plan.judgement.sensitivity_samples {
            0 => String::new(),
            samples => format!(", max-sensitivity over {}", counted(samples as usize, "noise")),
        };
        let images = counted(summary.judged_images as usize, "test image");
        let says = format!(
            "clarity and stability of the {method} maps of {images}, means with 95 % \
             intervals{noises}."
        );
        let mut blocks =
            self.tables(&says, |sgt| Some(tables::maps(summary, dataset, sgt, method)));
        blocks.push(Block::Terms(terms::maps()));
        let says = format!("alignment of the {method} maps with those of the control.");
        let aligned = self.tables(&says, |sgt| tables::alignment(summary, dataset, sgt, method));
        if !aligned.is_empty() {
            blocks.extend(aligned);
            blocks.push(Block::Terms(terms::alignment()));
        }
        blocks
    }

    fn retraining(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        for method in self.plan.judgement.retraining.iter().flat_map(|plan| &plan.methods) {
            let tables = self.tables(
                "accuracy of the network trained without the removed features; its intervals are \
                 the bands of the chart.",
                |sgt| tables::retraining(self.summary, self.dataset, sgt, method),
            );
            if !tables.is_empty() {
                blocks.push(Block::Heading(format!("Remove and retrain: {method}")));
                blocks.extend(self.figure(&figures::retraining_file(self.dataset, method)));
                blocks.extend(tables);
                blocks.push(Block::Terms(terms::retraining()));
            }
        }
        blocks
    }

    fn randomisation(&self) -> Vec<Block> {
        let says = "rank correlation of |map| with the own map after all layers were randomised, \
                    and the share of the trained model's maps that is exactly 0. Zeros share a \
                    rank: where both maps have them in the same places, as from the dark \
                    background of an image, the correlation is higher for that reason alone.";
        let tables =
            self.tables(says, |sgt| tables::randomisation(self.summary, self.dataset, sgt));
        if tables.is_empty() {
            return tables;
        }
        let mut blocks = vec![Block::Heading("Randomisation check".into())];
        blocks.extend(self.named("randomisation.svg"));
        blocks.extend(tables);
        blocks.push(Block::Terms(terms::randomisation()));
        blocks
    }

    /// Curves and tables of all methods except the main one.
    fn other_methods(&self) -> Vec<Block> {
        let others = self
            .plan
            .judgement
            .methods
            .iter()
            .filter(|method| **method != self.summary.main_method);
        others
            .flat_map(|method| {
                let mut blocks = vec![Block::Heading(method.clone())];
                blocks.extend(self.figure(&figures::drop_file(self.dataset, method)));
                blocks.extend(self.map_tables(method));
                blocks.extend(self.training(method));
                blocks
            })
            .collect()
    }
}

/// The information that is needed to check or repeat a number.
fn making(plan: &Plan, summary: &Summary) -> Result<Section> {
    let mut seeds: Vec<u64> = plan.runs.iter().map(|run| run.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let facts = vec![
        ("preset".into(), format!("{:?}", plan.preset).to_lowercase()),
        ("seeds".into(), seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
        ("adapter".into(), summary.adapters.join("; ")),
        ("saliq".into(), summary.versions.join(", ")),
        ("made".into(), summary.dates.join(" to ")),
    ];
    let mut blocks = vec![
        Block::Facts(facts),
        Block::Paragraph(
            "Accuracies are those of the last step, on the test set, which was not used for any \
             choice. Intervals are 95 %: Student's over seeds; of a single seed, Wilson's for \
             accuracies and the bootstrap over images for maps. Intervals end where the metric \
             does; where all values are alike, and of one image, there is none, but Wilson's for \
             accuracies and areas under their curves. Differences are paired by seed and image; of \
             several seeds they are tested by Student's paired t over the seeds, of one by \
             McNemar's exact test (accuracies) and Student's paired t (maps) over the images. \
             Margins of areas are those of shares of the images, as if all points of a curve were \
             one. Maps explain the logit of the true label. Quantized models' gradients are those \
             of the straight-through estimator."
                .into(),
        ),
        Block::Paragraph(multiplicity(summary)),
        Block::Paragraph(format!(
            "Commands that make these numbers again in the study's folder. Max-sensitivity \
             differs: the study uses {} per image, `saliq compare` always {}.",
            counted(plan.judgement.sensitivity_samples as usize, "noise"),
            SensitivityOptions::default().samples
        )),
        Block::Code(commands(plan)?.join("\n")),
    ];
    if !summary.missing.is_empty() {
        blocks.push(Block::Paragraph("Without a result:".into()));
        let rows = summary.missing.iter().map(|(folder, reason)| [folder.clone(), reason.clone()]);
        blocks.push(Block::Table(Table::new(["model", "why"], rows)));
    }
    Ok(Section { title: "How this was made".into(), blocks })
}

/// The number of tests, and the adjustment for it.
fn multiplicity(summary: &Summary) -> String {
    if summary.families.is_empty() {
        return "Nothing was tested, because no model has another to be compared with.".into();
    }
    let families = summary
        .families
        .iter()
        .map(|family| format!("{} ({})", counted(family.tests, "test"), family.question));
    format!(
        "Every p is adjusted for the number of tests by Holm's rule, all those of the same \
         question together, over all data sets: {}. A difference counts as significant if the \
         adjusted p is below 0.05; intervals are those of a single comparison.",
        families.collect::<Vec<_>>().join("; ")
    )
}

/// Settings of a model quantized after training that are not defaults of `saliq quantize`.
fn quantization_flags(run: &PlannedRun) -> Result<String> {
    let settings = PartialRunConfig::parse(&run.settings, &run.folder)?;
    let mut flags =
        settings.test_limit.map_or(String::new(), |limit| format!(" --test-limit {limit}"));
    if settings.per_channel == Some(true) {
        flags.push_str(" --per-channel");
    }
    let pact = settings
        .pact
        .filter(|&kind| kind != PactKind::Unsigned)
        .and_then(|kind| kind.to_possible_value());
    let act_quant = settings
        .act_quant
        .filter(|&kind| kind != ActivationQuantizer::Pact)
        .and_then(|kind| kind.to_possible_value());
    for (flag, value) in [("pact", pact), ("act-quant", act_quant)] {
        if let Some(value) = value {
            flags.push_str(&format!(" --{flag} {}", value.get_name()));
        }
    }
    Ok(flags)
}

/// Commands that make every model and its figures again.
fn commands(plan: &Plan) -> Result<Vec<String>> {
    let judgement = &plan.judgement;
    let methods = judgement.methods.join(",");
    let mut commands = Vec::new();
    let folder_of = |index: Option<usize>| {
        index.and_then(|index| plan.runs.get(index)).map(|run| run.folder.as_str())
    };
    for run in &plan.runs {
        let folder = &run.folder;
        commands.push(match (run.variant.stage, folder_of(run.start)) {
            (Stage::PostTraining, Some(float)) => format!(
                "saliq quantize runs/{float} --bits {} --calibrate {CALIBRATION_IMAGES}{} --out \
                 again/{folder}",
                run.variant.bits,
                quantization_flags(run)?
            ),
            _ => format!("saliq train --config runs/{folder}/config.toml --out again/{folder}"),
        });
    }
    for run in &plan.runs {
        let (folder, seed) = (&run.folder, run.seed);
        commands.push(format!(
            "saliq drop runs/{folder} --method {methods} --target label --count {} --fill {} \
             --seed {seed} --out again/{folder}-drop",
            judgement.drop_images,
            judgement.fill.name()
        ));
        if let Some(control) = folder_of(run.control) {
            commands.push(format!(
                "saliq compare runs/{control} runs/{folder} --method {methods} --count {} --seed \
                 {seed}{} --out again/{folder}-maps",
                judgement.images.min(judgement.drop_images),
                if judgement.randomisation { " --randomisation" } else { "" }
            ));
        }
    }
    Ok(commands)
}
