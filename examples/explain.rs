//! Explains a model's predictions by two methods. Run the example `train` first: `cargo run
//! --release --no-default-features --features gpu --example explain`.

use std::path::Path;

use saliq::{
    Result,
    batch::ResidentData,
    config::QuantizationOverrides,
    data,
    gpu::{Gpu, GpuOptions},
    model::Model,
    saliency::{DataOptions, ExplainedNetwork, Method, explain_data},
};

fn main() -> Result<()> {
    let gpu = pollster::block_on(Gpu::new(&GpuOptions::default()))?;
    let dataset = data::load("mnist-mini", None)?;
    let path = Path::new("runs/example/model.safetensors");
    let model = Model::load(path, &QuantizationOverrides::default())?;
    let parameters = gpu.upload("parameters", &model.parameters)?;
    let network = ExplainedNetwork {
        config: &model.config.network,
        quantization: &model.config.quantization,
        parameters: &parameters,
    };
    let images = ResidentData::new(&gpu, &dataset.test, dataset.shape)?.first(&gpu, 5)?;
    let options = DataOptions {
        methods: vec![Method::Gradient, Method::IntegratedGradients],
        normalization: dataset.normalization(&saliq::config::Normalize::Standard),
        ..DataOptions::default()
    };
    let mut progress = |_| {};
    let explained = explain_data(&gpu, network, &images, &options, &mut progress);
    let explained = pollster::block_on(explained)?;
    let pixels = dataset.shape.elements() as usize;
    for (method, maps) in options.methods.iter().zip(&explained.maps) {
        for (number, map) in maps.chunks_exact(pixels).enumerate() {
            let strongest = (0..pixels).max_by(|&a, &b| map[a].abs().total_cmp(&map[b].abs()));
            let at = strongest.unwrap_or(0) as u32;
            let (row, column) = (at / dataset.shape.width, at % dataset.shape.width);
            let class = explained.predictions[number];
            println!("{}: image {number} is a {class}, by ({row}, {column})", method.name());
        }
    }
    Ok(())
}
