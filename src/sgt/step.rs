//! Algorithm 1, recorded.

use super::{
    Losses, StepInputs, StepOptions, Teaching, record_judgement, record_loss, record_saliency_seed,
};
use crate::{
    Result,
    gpu::{Gpu, Recording},
    nn::{Gradients, TrainingPass},
};

/// One training step as three lists of dispatches: one before the parts of the batch, one for every
/// part, one after them.
///
/// A batch that does not fit the adapter's buffers is cut into parts whose gradients add up to the
/// batch's.
pub struct TrainingStep {
    begin: Recording,
    part: Recording,
    update: Recording,
}

impl TrainingStep {
    /// Records Algorithm 1 (Saliency Guided Training) over buffers that exist already.
    pub fn record(
        gpu: &Gpu,
        inputs: &StepInputs<'_>,
        options: &StepOptions<'_>,
    ) -> Result<TrainingStep> {
        let StepInputs { network, data, batch, masking, teaching, metrics, .. } = *inputs;
        let StepInputs { class_weights, optimizer, .. } = *inputs;
        let mut begin = Recording::new();
        network.record_weights(gpu, &mut begin)?; // fake-quantized, eq. (1)

        let mut part = Recording::new();
        batch.record_begin(gpu, &mut part)?;
        batch.record_gather(gpu, &mut part, data, &options.gather, network.input())?;
        // Batch norms treat clean and masked images as two batches, in that order.
        let pass = TrainingPass {
            step: &batch.step,
            batches: if batch.twins { 2 } else { 1 },
            freeze_after: options.freeze_after,
        };
        let training = options.inference_differs.then_some(pass);

        // f(X). Saliency and loss share it, unless inference differs from training. Saliency then
        // has a pass of its own in inference mode, which alignment has of all clean images.
        let aligns = teaching.is_some_and(Teaching::aligns);
        if !options.inference_differs || aligns {
            network.record_forward(gpu, &mut part, batch.clean(), None)?;
        }
        if let Some(teaching) = teaching {
            // What the teacher says of X, and W·(1 − cos(∇_X f, ∇_X teacher)) with its ∇_θ.
            let maps = teaching.record_answers(gpu, &mut part, network.input(), batch)?;
            if let Some(maps) = maps {
                teaching.record_alignment(gpu, &mut part, network, batch, maps)?;
            }
        }
        if let Some(masking) = masking {
            // I = Sort(∇_X f(X)): the k lowest features of every image. (A variant's entry may mask
            // the highest, or fewer images.)
            let images = batch.to_mask();
            if options.inference_differs && !aligns {
                network.record_forward(gpu, &mut part, images, None)?;
            }
            record_saliency_seed(
                gpu,
                &mut part,
                network,
                images,
                &batch.labels,
                options.sgt.target.into(),
            )?;
            let saliency = network.record_backward(
                gpu,
                &mut part,
                batch.to_mask_in_chunks(),
                None,
                Gradients::Input,
            )?;
            masking.record_selection(gpu, &mut part, batch, saliency)?;
            // X̃ = M_k(I, X)
            masking.record_fill(gpu, &mut part, batch, network.input())?;
            if let Some(teaching) = teaching {
                teaching.record_masked_answers(gpu, &mut part, network.input(), batch)?;
            }
            // f(X̃)
            if !options.inference_differs {
                network.record_forward(gpu, &mut part, batch.masked(), None)?;
            }
        }
        if options.inference_differs {
            network.record_forward(gpu, &mut part, batch.both(), training)?;
        }
        // L = CE(f(X), y) + λ·D_KL(f(X) ‖ f(X̃)) and ∇_θ L, through both branches as one batch.
        let losses = Losses { sgt: options.sgt, class_weights, metrics };
        record_loss(gpu, &mut part, network, batch, losses)?;
        if let Some(teaching) = teaching {
            // + W·D_KL(teacher ‖ f) of both
            teaching.record_distillation(gpu, &mut part, network, batch)?;
        }
        network.record_backward(
            gpu,
            &mut part,
            batch.both_in_chunks(),
            training,
            Gradients::Parameters,
        )?;
        if aligns {
            network.record_adding_map_gradient(gpu, &mut part)?;
        }

        // θ ← θ − τ·∇_θ L, eq. (3), for the float weights, if all numbers are finite.
        let mut update = Recording::new();
        optimizer.record_probe(gpu, &mut update, network, &batch.step)?;
        record_judgement(gpu, &mut update, &batch.step, metrics, optimizer, options.on_non_finite)?;
        optimizer.record(gpu, &mut update, network, &batch.step)?;
        Ok(TrainingStep { begin, part, update })
    }

    /// Submits one step of `parts` parts, as one submission without read-back.
    pub fn submit(&self, gpu: &Gpu, parts: u32) -> Result<()> {
        let mut encoder = gpu.encoder();
        self.begin.encode(gpu, &mut encoder)?;
        for _ in 0..parts {
            self.part.encode(gpu, &mut encoder)?;
        }
        self.update.encode(gpu, &mut encoder)?;
        gpu.submit(encoder)
    }

    /// All dispatches of [`Self::submit`] as one list.
    pub fn whole(&self, parts: u32) -> Recording {
        let mut whole = self.begin.clone();
        (0..parts).for_each(|_| whole.extend(&self.part));
        whole.extend(&self.update);
        whole
    }

    /// The dispatches of a step of one part, in order.
    pub fn recordings(&self) -> [&Recording; 3] {
        [&self.begin, &self.part, &self.update]
    }
}
