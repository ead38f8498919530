//! `saliq eval`.

use serde::Serialize;

use crate::{
    Result,
    batch::ResidentData,
    cli::{
        args::{Engine, EvalArgs, GlobalArgs},
        progress::Progress,
    },
    deploy::{DeployableModel, IntegerPlan},
    files::write_atomically,
    integer::{Agreement, IntegerNetwork, LayerAgreement},
    metrics::{Evaluation, Evaluator},
    nn::{Network, NetworkOptions},
    post_training::distributions,
    report::{DistributionChart, Table},
};

/// Number of images whose activations `--histograms` shows.
const HISTOGRAM_IMAGES: u32 = 512;

/// The figures, and the comparison of the engines if requested.
#[derive(Serialize)]
struct Evaluated<'a> {
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<Agreement>,
}

/// Evaluates a model.
///
/// # Errors
/// [`crate::Error`] of the library functions that it calls.
pub fn run(args: &EvalArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    let flags = super::ModelFlags::new(&args.input, global);
    let mut model = flags.open(&args.model)?;
    model.require_alphas()?;
    let (dataset, normalization) = flags.data(&mut model)?;
    super::note_other_classes(&model, &dataset.name, &dataset.class_names, &output);
    let mut split = super::split_of(&dataset, args.input.split).clone();
    if let Some(count) = args.count {
        split.truncate(count as usize, dataset.shape);
    }
    let gpu = super::open_gpu(global)?;
    flags.say(&output);
    let data = ResidentData::new(&gpu, &split, dataset.shape)?;
    let slots = args.input.batch_size.min(data.count);
    let float = || -> Result<Network> {
        let options =
            NetworkOptions { slots, precision: args.precision, ..NetworkOptions::default() };
        let network =
            Network::new(&gpu, &model.config.network, &model.config.quantization, options)?;
        gpu.write(network.parameters(), 0, &model.parameters);
        Ok(network)
    };
    let integer = match args.engine {
        Engine::Float => None,
        Engine::Integer => {
            let deployable = DeployableModel::new(&model)?;
            let plan = IntegerPlan::new(&deployable);
            if plan.integer_steps() == 0 {
                log::warn!(
                    "no layer has both quantized weights and quantized inputs, so everything is \
                     computed in floats"
                );
            }
            Some(IntegerNetwork::new(&gpu, &plan, slots)?)
        }
    };
    let evaluator = match &integer {
        Some(integer) => Evaluator::record(&gpu, integer, &data, normalization, slots)?,
        None => Evaluator::record(&gpu, &float()?, &data, normalization, slots)?,
    };
    let bar = Progress::items(&output, "evaluating", u64::from(data.count));
    let names = if model.config.class_names.is_empty() {
        &dataset.class_names
    } else {
        &model.config.class_names
    };
    let evaluation = pollster::block_on(evaluator.run(&gpu, names, &mut |done| bar.set(done)))?;
    bar.finish();
    let mut agreement = None;
    if let Some(integer) = integer.as_ref().filter(|_| args.compare_levels) {
        let bar = Progress::items(&output, "comparing", u64::from(data.count));
        let mut progress = |done| bar.set(done);
        let network = float()?;
        let measured =
            Agreement::measure(&gpu, &network, integer, &data, normalization, slots, &mut progress);
        agreement = Some(pollster::block_on(measured)?);
        bar.finish();
    }
    if let Some(path) = &args.predictions {
        write_atomically(path, predictions(&evaluation).as_bytes())?;
    }
    if let Some(path) = &args.histograms {
        let shown = pollster::block_on(distributions(
            &gpu,
            &model,
            &data.first(&gpu, HISTOGRAM_IMAGES)?,
            normalization,
        ))?;
        DistributionChart::new("Weights and activations, before and after quantization", &shown)
            .write(path)?;
    }
    let evaluated = Evaluated { evaluation: &evaluation, agreement };
    output.result(&evaluated, || {
        let agreement = evaluated.agreement.as_ref().map(describe_agreement).unwrap_or_default();
        format!("{}{agreement}", describe(&evaluation))
    })
}

/// One line per image: index, label, prediction, its probability, the label's, the loss.
fn predictions(evaluation: &Evaluation) -> String {
    let mut text = String::from("index,label,prediction,probability,label_probability,loss\n");
    for (index, prediction) in evaluation.predictions.iter().enumerate() {
        text.push_str(&format!(
            "{index},{},{},{},{},{}\n",
            prediction.label,
            prediction.class,
            prediction.probability,
            prediction.label_probability,
            prediction.loss
        ));
    }
    text
}

fn describe(evaluation: &Evaluation) -> String {
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    let share = |share: Option<f64>| share.map_or("–".into(), percent);
    let rows: Vec<_> = evaluation
        .per_class
        .iter()
        .enumerate()
        .map(|(number, class)| {
            // Many classes have no confusion matrix.
            let confusion = evaluation.confusion.get(number).into_iter().flatten();
            let mut row = vec![
                class.name.clone(),
                class.images.to_string(),
                share(class.accuracy),
                share(class.precision),
            ];
            row.extend(confusion.map(u64::to_string));
            row
        })
        .collect();
    let mut header =
        vec!["label".to_string(), "images".into(), "accuracy %".into(), "precision %".into()];
    header.extend((0..evaluation.confusion.len()).map(|class| format!("→ {class}")));
    format!(
        "{}\naccuracy {} % of {} images, loss {:.4}",
        Table::new(header, rows).to_text(None),
        percent(evaluation.accuracy),
        evaluation.images,
        evaluation.loss
    )
}

/// The agreement of the levels, one row per layer.
fn describe_agreement(agreement: &Agreement) -> String {
    let header =
        ["activation", "levels", "different", "near a rounding edge", "closest sum to an edge"];
    let row = |layer: &LayerAgreement| {
        let margin =
            layer.margin.map_or("-".into(), |margin| format!("{:.1} × rounding", margin.least));
        vec![
            layer.name.clone(),
            layer.levels.to_string(),
            layer.different.to_string(),
            layer.near.to_string(),
            margin,
        ]
    };
    format!(
        "\n\n{}\n{} of {} predictions differ from fake quantization's, logits by at most {:.1e}",
        Table::new(header, agreement.layers.iter().map(row)).to_text(None),
        agreement.predictions_different,
        agreement.images,
        agreement.largest_logit_difference
    )
}
