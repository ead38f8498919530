//! `saliq eval`.

use crate::{
    Result,
    batch::ResidentData,
    cli::{
        args::{EvalArgs, GlobalArgs},
        progress::Progress,
    },
    files::write_atomically,
    metrics::{Evaluation, Evaluator},
    model::Model,
    nn::{Network, NetworkOptions},
    post_training::distributions,
    report::{DistributionChart, Table},
};

/// Images whose activations `--histograms` shows.
const HISTOGRAM_IMAGES: u32 = 512;

/// Evaluates a model.
///
/// # Errors
/// [`crate::Error`] of the work behind it.
pub fn run(args: &EvalArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    let model = Model::load(&args.model, &args.input.quantization)?;
    model.require_alphas()?;
    let (dataset, normalization) = super::model_data(&model, &args.input)?;
    let mut split = super::split_of(&dataset, args.input.split).clone();
    if let Some(count) = args.count {
        split.truncate(count as usize, dataset.shape);
    }
    let gpu = super::open_gpu(global)?;
    let data = ResidentData::new(&gpu, &split, dataset.shape)?;
    let slots = args.input.batch_size.min(data.count);
    let options = NetworkOptions { slots, training: false, gradients: false, precision: args.precision };
    let network = Network::new(&gpu, &model.config.network, &model.config.quantization, options)?;
    gpu.write(&network.parameters, 0, &model.parameters);
    let evaluator = Evaluator::record(&gpu, &network, &data, normalization, slots)?;
    let bar = Progress::items(&output, "evaluating", u64::from(data.count));
    let names = if model.config.class_names.is_empty() { &dataset.class_names } else { &model.config.class_names };
    let evaluation = pollster::block_on(evaluator.run(&gpu, names, &mut |done| bar.set(done)))?;
    bar.finish();
    if let Some(path) = &args.predictions {
        write_atomically(path, predictions(&evaluation).as_bytes())?;
    }
    if let Some(path) = &args.histograms {
        let shown = pollster::block_on(distributions(&gpu, &model, &data.first(HISTOGRAM_IMAGES), normalization))?;
        DistributionChart::new("Weights and activations, before and after quantization", &shown).write(path)?;
    }
    output.result(&evaluation, || describe(&evaluation))
}

/// One line an image: index, label, prediction, its probability, the label's, the loss.
fn predictions(evaluation: &Evaluation) -> String {
    let mut text = String::from("index,label,prediction,probability,label_probability,loss\n");
    for (index, prediction) in evaluation.predictions.iter().enumerate() {
        text.push_str(&format!(
            "{index},{},{},{},{},{}\n",
            prediction.label, prediction.class, prediction.probability, prediction.label_probability, prediction.loss
        ));
    }
    text
}

fn describe(evaluation: &Evaluation) -> String {
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    let rows: Vec<_> = evaluation
        .per_class
        .iter()
        .zip(&evaluation.confusion)
        .map(|(class, confusion)| {
            let mut row = vec![class.name.clone(), class.images.to_string(), percent(class.accuracy), percent(class.precision)];
            row.extend(confusion.iter().map(u64::to_string));
            row
        })
        .collect();
    let mut header = vec!["label".to_string(), "images".into(), "accuracy %".into(), "precision %".into()];
    header.extend((0..evaluation.confusion.len()).map(|class| format!("→ {class}")));
    format!(
        "{}\naccuracy {} % of {} images, loss {:.4}",
        Table::new(header, rows).to_text(None),
        percent(evaluation.accuracy),
        evaluation.images,
        evaluation.loss
    )
}
