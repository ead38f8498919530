//! Attribution methods against Captum's maps (`goldens/README.md`), and what must hold of them.

mod common;
mod support;

use common::{assert_close, gpu, read};
use saliq::{
    config::{NetworkConfig, QuantizationConfig, QuantizationOverrides, Shape},
    gpu::Buffer,
    model::Model,
    nn::{from_nchw, groups, to_nchw},
    saliency::{ExplainedNetwork, Explainer, ImageSet, Method, MethodOptions},
};
use support::{MNIST, NORMALIZATION, Tensors, golden};

/// A network with images to explain.
struct Subject {
    config: NetworkConfig,
    quantization: QuantizationConfig,
    parameters: Buffer,
    images: ImageSet,
    count: u32,
}

impl Subject {
    /// `pixels` are normalised, [N, C, H, W].
    fn new(
        config: &NetworkConfig,
        quantization: &QuantizationConfig,
        parameters: &[f32],
        pixels: &[f32],
        classes: &[u32],
    ) -> Subject {
        let count = classes.len() as u32;
        let images = ImageSet::new(gpu(), config.input, count, 0).unwrap();
        gpu().write(&images.pixels, 0, &from_nchw(pixels, config.input));
        gpu().write(&images.classes, 0, classes);
        let parameters = gpu().upload("parameters", parameters).unwrap();
        Subject { config: config.clone(), quantization: quantization.clone(), parameters, images, count }
    }

    fn network(&self) -> ExplainedNetwork<'_> {
        ExplainedNetwork { config: &self.config, quantization: &self.quantization, parameters: &self.parameters }
    }

    /// [N, C, H, W].
    fn explain(&self, method: Method, options: &MethodOptions) -> Vec<f32> {
        let explainer = Explainer::new(gpu(), self.network(), method, options, self.count).unwrap();
        let maps = self.images.maps(gpu()).unwrap();
        explainer.record(gpu(), &self.images, &maps).unwrap().run(gpu(), self.count, &mut |_| {}).unwrap();
        self.nchw(&maps)
    }

    fn nchw(&self, maps: &Buffer) -> Vec<f32> {
        let shape: Shape = self.config.input;
        to_nchw(&read::<f32>(maps, (self.count * shape.pixels() * groups(shape.channels) * 4) as usize), shape)
    }
}

/// Table I's network with the golden parameters, and MNIST's images normalised as its twin saw them.
fn table_one(tensors: &Tensors) -> Subject {
    let model = Model::load(&golden("table1"), &QuantizationOverrides::default()).unwrap();
    let (mean, deviation) = NORMALIZATION;
    let pixels: Vec<f32> = tensors.u8("images").iter().map(|&byte| (f32::from(byte) / 255.0 - mean) / deviation).collect();
    let labels: Vec<u32> = tensors.i64("labels").into_iter().map(|label| label as u32).collect();
    assert_eq!(model.config.network.input, MNIST);
    Subject::new(&model.config.network, &model.config.quantization, &model.parameters, &pixels, &labels)
}

#[test]
fn table_one_float() {
    let tensors = Tensors::golden("attributions");
    let subject = table_one(&tensors);
    // Chunks of 7: images' samples lie across their ends.
    let options = MethodOptions { batch_size: 7, ..MethodOptions::default() };
    let occlusion: Vec<f64> = tensors.f32("occlusion").into_iter().map(f64::from).collect();
    for (method, expected, tolerance) in [
        (Method::InputXGradient, tensors.f64("input_x_gradient_f64"), 1e-4),
        (Method::IntegratedGradients, tensors.f64("integrated_gradients_f64"), 1e-3),
        (Method::GuidedBackprop, tensors.f64("guided_backprop_f64"), 1e-4),
        (Method::Lrp, tensors.f64("lrp_f64"), 1e-4),
        (Method::GradCam, tensors.f64("grad_cam_f64"), 1e-4),
        (Method::Occlusion, occlusion, 1e-4),
    ] {
        let actual = subject.explain(method, &options);
        println!("{} {:e}", method.name(), common::relative_error(&actual, &expected));
        assert_close(method.name(), &actual, &expected, tolerance);
    }
}
