//! A written file beside the model that it was made of, over the images of a split.

use crate::{
    Error, Result,
    batch::{Batch, GatherOptions, ResidentData},
    config::{PixelNormalization, Shape},
    data::Split,
    deploy::{
        ActivationGrid, COptions, CProgram, DeployableActivation, DeployableModel, Finding,
        Operation, Verification, first_highest,
        onnx::{Interpreter, OnnxInput, OnnxOptions, follow, onnx_model},
    },
    gpu::{Gpu, Recording},
    layout::{StepRecord, to_nchw},
    metrics::Classifier,
    model::Model,
    nn::{Network, NetworkOptions},
};

/// Images at a time.
const BATCH: u32 = 16;

/// A file that [`verify`] reads.
#[derive(Clone, Copy, Debug)]
pub enum Written<'a> {
    /// The bytes of an ONNX file, and what its graph takes.
    Onnx(&'a [u8], OnnxInput),
    /// The bytes of a model file, packed or not.
    Model(&'a [u8]),
    /// The text of a C header, and what its names start with.
    C(&'a str, &'a str),
    /// The same of a header that was made with options.
    CWith(&'a str, &'a str, COptions),
}

/// The file as something to run.
struct Reader {
    /// In exact arithmetic.
    exact: Interpreter,
    input: OnnxInput,
    /// The program that the file is, where it is one.
    program: Option<CProgram>,
}

impl Reader {
    fn new(model: &Model, written: Written) -> Result<Reader> {
        let graph = |model: &Model| -> Result<(DeployableModel, Interpreter)> {
            let deployed = DeployableModel::new(model)?;
            let bytes =
                prost::Message::encode_to_vec(&onnx_model(&deployed, &OnnxOptions::default()));
            Ok((deployed, Interpreter::new(&bytes)?))
        };
        Ok(match written {
            Written::Onnx(bytes, input) => {
                Reader { exact: Interpreter::new(bytes)?, input, program: None }
            }
            Written::Model(bytes) => {
                let read = Model::parse(&model.path, bytes, &Default::default())?;
                Reader { exact: graph(&read)?.1, input: OnnxInput::Image, program: None }
            }
            Written::C(header, prefix) => {
                return Reader::new(model, Written::CWith(header, prefix, COptions::default()));
            }
            Written::CWith(header, prefix, options) => {
                let (deployed, exact) = graph(model)?;
                let program = CProgram::compile_with(header, prefix, &deployed, options)?;
                Reader { exact, input: OnnxInput::Image, program: Some(program) }
            }
        })
    }

    /// What the file makes of images, each with saliq's own levels.
    fn read(
        &self,
        images: &[(&[u8], &[&[i32]])],
        shape: Shape,
        normalization: PixelNormalization,
    ) -> Result<Vec<Finding>> {
        let constants = |channel: usize| match self.input {
            OnnxInput::Image => (0.0, 1.0),
            OnnxInput::Normalized => {
                let (mean, deviation) = normalization.channel(channel);
                (f64::from(mean), f64::from(deviation))
            }
        };
        let pixel = |(at, &byte): (usize, &u8)| {
            let (mean, deviation) = constants(shape.channel_of(at));
            (f64::from(byte) / 255.0 - mean) / deviation
        };
        let compiled = self.program.as_ref().map(|program| program.run(images)).transpose()?;
        let mut compiled = compiled.into_iter().flatten();
        let mut findings = Vec::new();
        for (image, own) in images {
            let pixels: Vec<f64> = image.iter().enumerate().map(pixel).collect();
            let exact = follow(&self.exact, &pixels, shape, own)?;
            let is_own = |(found, own): (&crate::deploy::onnx::FollowedActivation, &&[i32])| {
                found.levels == **own
            };
            findings.push(match compiled.next() {
                Some(made) => {
                    let best = first_highest(&made.alone);
                    if made.class != best {
                        return Err(Error::Model(format!(
                            "the C header names class {} where class {best} has the highest score",
                            made.class
                        )));
                    }
                    Finding {
                        exact,
                        levels: Some(made.levels),
                        logits: Some(made.scores),
                        alone: made.alone,
                    }
                }
                // From equal levels the file has gone its own way already.
                None if exact.activations.iter().zip(own.iter()).all(is_own) => {
                    Finding { alone: exact.logits.clone(), exact, ..Finding::default() }
                }
                None => Finding {
                    alone: self.exact.run(&pixels, shape)?.logits,
                    exact,
                    ..Finding::default()
                },
            });
        }
        Ok(findings)
    }
}

/// Runs the images of `split` through `written` and through `model`'s own fake-quantized network on
/// the GPU, normalised by `normalization`, and compares every level of every quantized activation,
/// and the logits.
///
/// # Errors
/// [`Error::Model`] where `written` cannot be read or run (a C header needs a C compiler);
/// [`Error`] of the device.
pub async fn verify(
    gpu: &Gpu,
    model: &Model,
    written: Written<'_>,
    (split, shape): (&Split, Shape),
    normalization: PixelNormalization,
    progress: &mut dyn FnMut(u64),
) -> Result<Verification> {
    let mut verification = Verification::default();
    let reader = Reader::new(model, written)?;
    if split.is_empty() {
        return Ok(verification);
    }
    let data = ResidentData::new(gpu, split, shape)?;
    let slots = BATCH.min(data.count);
    let options =
        NetworkOptions { slots, training: false, gradients: false, ..NetworkOptions::default() };
    let network = Network::new(gpu, &model.config.network, &model.config.quantization, options)?;
    gpu.write(network.parameters(), 0, &model.parameters);
    let table = StepRecord::in_file_order(data.count, slots, 0);
    let batch = Batch::new(gpu, slots, false, table.len() as u64)?;
    let mut part = Recording::new();
    network.record_weights(gpu, &mut part)?;
    batch.record_begin(gpu, &mut part)?;
    let options = GatherOptions::in_file_order(normalization);
    let classifier: &dyn Classifier = &network;
    classifier.record_gather(gpu, &mut part, &batch, &data, &options)?;
    classifier.record_forward(gpu, &mut part, batch.clean())?;
    batch.write_table(gpu, &table);
    let grids = quantized_activations(model)?;
    let (classes, size) = (network.classes() as usize, shape.elements() as usize);
    for record in &table {
        part.submit(gpu)?;
        let mut levels: Vec<Vec<i32>> = Vec::new();
        for (name, shape, grid) in &grids {
            let values = to_nchw(&network.read_activation(gpu, name, record.count).await?, *shape);
            levels.push(
                values.iter().map(|value| (value / grid.scale).round_ties_even() as i32).collect(),
            );
        }
        let stride = classes.next_multiple_of(4);
        let logits: Vec<f32> =
            gpu.read(network.logits(), 0, u64::from(record.count) * stride as u64).await?;
        let of_image = |at: usize| -> Vec<&[i32]> {
            let sizes = grids.iter().map(|(_, shape, _)| shape.elements() as usize);
            levels.iter().zip(sizes).map(|(levels, size)| &levels[at * size..][..size]).collect()
        };
        let own: Vec<Vec<&[i32]>> = (0..record.count as usize).map(of_image).collect();
        let images = split.images[record.position as usize * size..].chunks_exact(size);
        let images: Vec<(&[u8], &[&[i32]])> =
            images.zip(&own).map(|(image, own)| (image, &own[..])).collect();
        for (at, finding) in reader.read(&images, shape, normalization)?.iter().enumerate() {
            verification.add(&own[at], &logits[at * stride..][..classes], finding);
        }
        progress(u64::from(record.position + record.count));
    }
    Ok(verification)
}

/// Name, shape and grid of the model's quantized activations, first to last.
fn quantized_activations(model: &Model) -> Result<Vec<(String, Shape, ActivationGrid)>> {
    let of = |layer: crate::deploy::DeployableLayer| match layer.operation {
        Operation::Activation(DeployableActivation::Quantized(grid)) => {
            Some((layer.name, layer.output, grid))
        }
        _ => None,
    };
    Ok(DeployableModel::new(model)?.layers.into_iter().filter_map(of).collect())
}
