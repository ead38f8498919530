//! What a teacher, a trained network, adds to the loss:
//!
//! - distillation, D_KL(teacher's predictions ‖ student's), an image's own and its masked copy's;
//! - alignment, 1 − cos(∇ₓs, ∇ₓt) of the gradients of one class's logit, in inference mode.
//!
//! The teacher sees the batch of the step, in its own normalisation. For the derivative of the
//! student's map by the weights see `nn/pass/tangent.rs`.

use crate::{
    Error, Result, Shortage,
    batch::{Batch, GatherOptions, ResidentData},
    config::{
        AlignTarget, NetworkConfig, PixelNormalization, QuantizationConfig, Shape, TeachingConfig,
    },
    gpu::{Binding, Buffer, Gpu, Launcher, Recording},
    kernels::{
        AlignMaps, CacheAccess, CachedRows, DistillLoss, ImageRange, LANES, PredictedClasses,
        RenormalizeImages, SaliencySeed, Scalar, SumMetrics,
    },
    layout::{StepRecord, groups},
    nn::{Gradients, Layers, Network},
};

/// A teacher as plain data.
#[derive(Clone, Debug)]
pub struct TeacherModel {
    /// Its layers.
    pub network: NetworkConfig,
    /// Its bits and quantizers.
    pub quantization: QuantizationConfig,
    /// Its parameters, flat.
    pub parameters: Vec<f32>,
    /// Mean and deviation of its images.
    pub normalization: PixelNormalization,
}

impl TeacherModel {
    /// Checks that it judges images of `shape` as being of `classes` classes.
    ///
    /// # Errors
    /// [`Error::Model`] that says what differs.
    pub fn check(&self, shape: Shape, classes: u32) -> Result<()> {
        let (own, own_classes) = (self.network.input, self.network.classes);
        if (own, own_classes) == (shape, classes) {
            return Ok(());
        }
        Err(Error::Model(format!(
            "the teacher takes images of {own} and knows {own_classes} classes, the data set has \
             {shape} and {classes}"
        )))
    }
}

/// [scale, offset] that make pixels of `own`, the student's normalisation, those of `teacher`.
fn renormalization(own: PixelNormalization, teacher: PixelNormalization) -> Result<[f32; 2]> {
    match (own.for_all(), teacher.for_all()) {
        (Some((mean, deviation)), Some((teachers_mean, teachers_deviation))) => {
            Ok([deviation / teachers_deviation, (mean - teachers_mean) / teachers_deviation])
        }
        _ if own == teacher => Ok([1.0, 0.0]),
        _ => Err(Error::Model(format!(
            "the teacher's pixels are normalised by {teacher}, those of the run by {own}: where \
             channels differ, these must be equal"
        ))),
    }
}

/// How the teaching of a run is put together.
#[derive(Clone, Copy)]
pub struct TeachingSetup<'a> {
    /// Weights and options.
    pub config: &'a TeachingConfig,
    /// The teacher.
    pub teacher: &'a TeacherModel,
    /// Normalisation of the student's images.
    pub normalization: PixelNormalization,
    /// Largest number of images of a part.
    pub most: u32,
    /// Whether there are masked copies.
    pub twins: bool,
    /// Steps whose sums are kept.
    pub slots: u64,
}

/// What the teacher says of every image of the data set.
struct Cache {
    /// [image, class].
    logits: Buffer,
    /// [image, pixel, channel]; none without alignment.
    maps: Option<Buffer>,
    shuffle: bool,
}

/// The parts whose rows go to the cache or come from it.
#[derive(Clone, Copy)]
struct Parts<'a> {
    batch: &'a Batch,
    shuffle: bool,
    access: CacheAccess,
}

/// A teacher's buffers, and the kernels of its terms.
pub struct Teaching {
    config: TeachingConfig,
    teacher: Network,
    /// The teacher's maps, where they come from the cache.
    maps: Option<Buffer>,
    cache: Option<Cache>,
    /// Factor and summand that bring images to the teacher's normalisation.
    renormalization: [f32; 2],
    most: u32,
    twins: bool,
    /// The classes that the teacher predicts.
    predicted: Buffer,
    /// `[image]` (distance of predictions, of maps, 0, 0).
    per_image: Buffer,
    /// `[slot]` (Σ distances of predictions, of maps, 0, images).
    pub sums: Buffer,
    /// `[slot]` 1 if a distance was not finite, which the gradients are then too.
    flags: Buffer,
}

impl Teaching {
    /// Uploads the teacher and makes its weights ready.
    ///
    /// # Errors
    /// [`Error::Model`] for a teacher that cannot be built; [`Error::OutOfMemory`].
    pub fn new(gpu: &Gpu, setup: TeachingSetup<'_>) -> Result<Teaching> {
        let TeachingSetup { config, teacher: model, normalization, most, twins, slots } = setup;
        let parameters = gpu.upload("teacher's parameters", &model.parameters)?;
        let masked = twins && config.distills();
        let teacher = Network::for_attribution(
            gpu,
            &model.network,
            &model.quantization,
            (if masked { 2 * most } else { most }, Layers::Joined),
            config.aligns(),
            &parameters,
        )?;
        let mut prepare = Recording::new();
        teacher.record_weights(gpu, &mut prepare)?;
        prepare.submit(gpu)?;
        let renormalization = renormalization(normalization, model.normalization)?;
        Ok(Teaching {
            config: config.clone(),
            teacher,
            maps: None,
            cache: None,
            renormalization,
            most,
            twins,
            predicted: gpu.buffer("predictions of the teacher", u64::from(most) * 4)?,
            per_image: gpu.buffer("distances from the teacher", u64::from(most) * 16)?,
            sums: gpu.buffer("sums of distances", slots * 16)?,
            flags: gpu.buffer("flags of distances", slots * 4)?,
        })
    }

    /// Whether maps are aligned: the student needs a forward pass in inference mode.
    pub fn aligns(&self) -> bool {
        self.config.aligns()
    }

    /// Asks the teacher about all images of `data` once and keeps what it says, for batches that
    /// are drawn by `gather`. `images` is room for a part. Without augmentation alone are these the
    /// images of the steps.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] where it does not fit; the teacher then works without.
    pub fn keep_all(
        &mut self,
        gpu: &Gpu,
        data: &ResidentData,
        gather: &GatherOptions,
        images: &Buffer,
    ) -> Result<()> {
        let shape = self.teacher.input_shape();
        let count = u64::from(data.epoch_images());
        let room = |label, values: u32| {
            let (bytes, limits) = (count * u64::from(values) * 4, gpu.limits());
            if bytes > limits.max_storage_buffer_binding_size {
                let asked = format!("what the teacher says of {count} images takes {bytes} bytes");
                return Err(Error::OutOfMemory(Shortage::new(asked, "keep less")));
            }
            gpu.buffer(label, bytes)
        };
        let map_bytes = u64::from(shape.pixels() * groups(shape.channels)) * 16;
        let aligns = self.aligns();
        let maps = aligns
            .then(|| gpu.buffer("maps of the teacher", u64::from(self.most) * map_bytes))
            .transpose()?;
        let cache = Cache {
            logits: room("logits of the data set", self.teacher.classes())?,
            maps: aligns.then(|| room("maps of the data set", shape.elements())).transpose()?,
            shuffle: gather.shuffle,
        };
        let records = StepRecord::in_file_order(data.epoch_images(), self.most, 0);
        let batch = Batch::new(gpu, self.most, false, records.len() as u64)?;
        let in_order = GatherOptions::in_file_order(gather.normalization);
        let mut part = Recording::new();
        batch.record_begin(gpu, &mut part)?;
        batch.record_gather(gpu, &mut part, data, &in_order, images)?;
        let own = self.record_answers(gpu, &mut part, images, &batch)?;
        let parts = Parts { batch: &batch, shuffle: false, access: CacheAccess::Store };
        let (logits, sizes) = (self.teacher.logits().into(), [1, self.teacher.classes()]);
        self.record_rows(gpu, &mut part, parts, [(&cache.logits).into(), logits], sizes)?;
        if let (Some(cache), Some(maps)) = (&cache.maps, own) {
            let sizes = [shape.pixels(), shape.channels];
            self.record_rows(gpu, &mut part, parts, [cache.into(), maps], sizes)?;
        }
        batch.write_table(gpu, &records);
        for record in &records {
            data.stage(gpu, std::slice::from_ref(record), false);
            part.submit(gpu)?;
        }
        (self.cache, self.maps) = (Some(cache), maps);
        Ok(())
    }

    /// Adds what the teacher says of the clean images of `batch`, which are in `images` in the
    /// student's normalisation: logits, and maps where these are aligned.
    pub fn record_answers(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: &Buffer,
        batch: &Batch,
    ) -> Result<Option<Binding<'_>>> {
        let (teacher, range) = (&self.teacher, batch.clean());
        if let Some(cache) = &self.cache {
            return self.record_kept(gpu, recording, cache, batch);
        }
        self.record_forward(gpu, recording, images, range)?;
        self.record_predictions(gpu, recording, range)?;
        if !self.aligns() {
            return Ok(None);
        }
        let gradient = teacher.logit_gradients()?;
        self.record_seed(gpu, recording, teacher, gradient, batch)?;
        let wanted = Gradients::Input;
        teacher.record_backward(gpu, recording, range, None, wanted).map(Some)
    }

    /// As [`Self::record_answers`], from the cache.
    fn record_kept(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        cache: &Cache,
        batch: &Batch,
    ) -> Result<Option<Binding<'_>>> {
        let shape = self.teacher.input_shape();
        let parts = Parts { batch, shuffle: cache.shuffle, access: CacheAccess::Read };
        let (logits, sizes) = (self.teacher.logits().into(), [1, self.teacher.classes()]);
        self.record_rows(gpu, recording, parts, [(&cache.logits).into(), logits], sizes)?;
        self.record_predictions(gpu, recording, batch.clean())?;
        let (Some(kept), Some(maps)) = (&cache.maps, &self.maps) else { return Ok(None) };
        let sizes = [shape.pixels(), shape.channels];
        self.record_rows(gpu, recording, parts, [kept.into(), maps.into()], sizes)?;
        Ok(Some(maps.into()))
    }

    /// Adds moving rows of [pixels, channels] between the cache and a part.
    fn record_rows(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        parts: Parts<'_>,
        [cache, rows]: [Binding<'_>; 2],
        [pixels, channels]: [u32; 2],
    ) -> Result<()> {
        let Parts { batch, shuffle, access } = parts;
        let (current, most) = (&batch.step, self.most);
        let rows = CachedRows { current, cache, rows, access, pixels, channels, most, shuffle };
        rows.record(gpu, recording, "teacher's answers")
    }

    /// Adds the teacher's forward pass over `range` of `images`.
    fn record_forward(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: &Buffer,
        range: ImageRange<'_>,
    ) -> Result<()> {
        let [scale, offset] = self.renormalization;
        let own = RenormalizeImages {
            images: range,
            input: images,
            output: self.teacher.input(),
            shape: self.teacher.input_shape(),
            scale,
            offset,
        };
        own.record(gpu, recording, "images of the teacher")?;
        self.teacher.record_forward(gpu, recording, range, None)
    }

    /// Adds the classes that the teacher predicts, where they are asked for.
    fn record_predictions(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
    ) -> Result<()> {
        if !self.aligns() || self.config.align_target != AlignTarget::Predicted {
            return Ok(());
        }
        let classes = PredictedClasses {
            images: range,
            logits: self.teacher.logits(),
            predicted: &self.predicted,
            classes: self.teacher.classes(),
            lanes: LANES,
        };
        classes.record(gpu, recording, "teacher's predictions")
    }

    /// Adds the gradient of the explained logit of `network` with respect to its logits.
    fn record_seed(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        network: &Network,
        gradient: &Buffer,
        batch: &Batch,
    ) -> Result<()> {
        let seed = SaliencySeed {
            images: batch.clean(),
            logits: network.logits(),
            labels: match self.config.align_target {
                AlignTarget::Label => &batch.labels,
                AlignTarget::Predicted => &self.predicted,
            },
            gradient,
            classes: network.classes(),
            target: Scalar::LogitLabel,
            lanes: LANES,
        };
        seed.record(gpu, recording, "map seed")
    }

    /// Adds the distances of the maps of `student` from `maps`, and their gradient with respect to
    /// the parameters, which [`Network::record_adding_map_gradient`] adds to the loss's. The
    /// student's forward pass in inference mode is before it.
    pub fn record_alignment(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        student: &Network,
        batch: &Batch,
        maps: Binding<'_>,
    ) -> Result<()> {
        let images = batch.clean();
        self.record_seed(gpu, recording, student, student.map_logit_gradients()?, batch)?;
        let own = student.record_map(gpu, recording, images)?;
        let shape = student.input_shape();
        let alignment = AlignMaps {
            images,
            teacher: maps,
            student: own.map,
            sums: &self.per_image,
            elements: shape.pixels() * groups(shape.channels),
            weight: self.config.align,
        };
        alignment.record(gpu, recording, "align maps")?;
        student.record_map_gradient(gpu, recording, images, &own)
    }

    /// Adds what the teacher says of the masked images, which lie behind the clean ones in
    /// `images`.
    pub fn record_masked_answers(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: &Buffer,
        batch: &Batch,
    ) -> Result<()> {
        if !self.config.distills() {
            return Ok(());
        }
        self.record_forward(gpu, recording, images, batch.masked())
    }

    /// Adds the divergence of the predictions of `student`, and its gradient to that of the loss,
    /// which must be there; and the sums of both distances.
    pub fn record_distillation(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        student: &Network,
        batch: &Batch,
    ) -> Result<()> {
        if self.config.distills() {
            let loss = DistillLoss {
                images: batch.clean(),
                logits: student.logits(),
                teacher: self.teacher.logits(),
                gradient: student.logit_gradients()?,
                sums: &self.per_image,
                current: &batch.step,
                classes: student.classes(),
                weight: self.config.distill,
                twins: self.twins,
                lanes: LANES,
            };
            loss.record(gpu, recording, "distillation")?;
        }
        let sums = SumMetrics {
            images: batch.clean(),
            current: &batch.step,
            sums: &self.per_image,
            metrics: &self.sums,
            flags: &self.flags,
            workgroup: LANES,
        };
        sums.record(gpu, recording, "sum distances")
    }
}
