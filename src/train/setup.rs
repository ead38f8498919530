//! The images of a run and the parts of its batches, checked before memory is allocated.

use crate::{
    Error, Result, Shortage,
    config::RunConfig,
    data::{Dataset, Split},
    error::phrase,
    gpu::Gpu,
    layout::groups,
    metrics::Cost,
};

/// Training, validation and test images with the limits of the configuration.
pub(super) fn splits(
    config: &RunConfig,
    dataset: &Dataset,
) -> Result<(Split, Option<Split>, Split)> {
    let (mut train, mut test) = (dataset.train.clone(), dataset.test.clone());
    // Images that the files set apart come before a part of the training images.
    let own = dataset.details.validation.as_ref().filter(|_| config.validation_share > 0.0);
    let share = if own.is_some() { 0.0 } else { config.validation_share };
    let limit = config.train_limit.map_or(usize::MAX, |limit| limit as usize);
    let in_order = dataset.is_in_order_of_classes() && (limit < train.len() || share > 0.0);
    let held_out = if in_order {
        let (rest, held_out) = train.spread(limit, share, config.seed, dataset.shape);
        train = rest;
        held_out
    } else {
        train.truncate(limit, dataset.shape);
        train.split_off_tail(share, dataset.shape)
    };
    if let Some(limit) = config.test_limit {
        test.truncate(limit as usize, dataset.shape);
    }
    let validation = own.cloned().unwrap_or(held_out);
    if train.is_empty() || test.is_empty() {
        return Err(Error::Data(format!(
            "{}: no images are left to train on or to test with; raise the limits",
            dataset.name
        )));
    }
    Ok((train, Some(validation).filter(|split| !split.is_empty()), test))
}

/// Largest number of floating-point operations per dispatch. Windows resets a device that is busy
/// with one dispatch for two seconds, and any GPU does 20 GFLOP per second. A batch that batch norm
/// needs as a whole is not cut for this.
pub const DISPATCH_FLOPS: u64 = 40_000_000_000;

/// Number of images per part: the whole batch, or as many as keep every buffer within the adapter's
/// largest binding and every dispatch within [`DISPATCH_FLOPS`], but not more than `most`.
pub(super) fn part_size(
    gpu: &Gpu,
    config: &RunConfig,
    batch_size: u32,
    twins: bool,
    most: u32,
) -> Result<u32> {
    let limits = gpu.limits();
    let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let shapes = config.network.shapes()?;
    let largest = shapes
        .iter()
        .chain([&config.network.input])
        .map(|shape| u64::from(shape.pixels() * groups(shape.channels)) * 16)
        .max();
    let slots = (limit / largest.unwrap_or(16)).max(1);
    let images = if twins { slots / 2 } else { slots };
    if images == 0 {
        let (bytes, adapter) = (largest.unwrap_or(0), gpu.adapter_name());
        let asked = format!(
            "one image's activations need {bytes} bytes twice and {adapter} binds at most {limit}"
        );
        return Err(Error::OutOfMemory(Shortage::new(asked, "make the network smaller")));
    }
    let images = if config.last_step_with_batch_statistics() > 0 {
        images
    } else {
        let cost = Cost::new(&config.network, &config.quantization)?;
        let largest = cost.layers.iter().map(|layer| layer.flops).max().unwrap_or(0).max(1);
        images.min(DISPATCH_FLOPS / (largest * if twins { 2 } else { 1 })).max(1)
    };
    let parts = u64::from(batch_size).div_ceil(images.min(u64::from(most.max(1))));
    Ok(u64::from(batch_size).div_ceil(parts) as u32)
}

/// Number of images to try after parts of `images` were too large for the memory.
///
/// # Errors
/// [`Error::OutOfMemory`] if a batch cannot be cut any further.
pub(super) fn fewer_images(config: &RunConfig, images: u32, shortage: &Shortage) -> Result<u32> {
    let asked = &shortage.asked;
    match images {
        _ if config.last_step_with_batch_statistics() > 0 => {
            Err(Error::OutOfMemory(Shortage::new(
                format!("{asked}, and batch norm needs a batch as a whole"),
                phrase!("lower <batch-size> (now {})", config.batch_size),
            )))
        }
        0 | 1 => Err(Error::OutOfMemory(Shortage::new(
            format!("{asked}, with one image at a time"),
            phrase!("make the network smaller, or lower <train-limit> and <test-limit>"),
        ))),
        _ => Ok(images / 2),
    }
}

/// Returns an error if one of the run's `total_steps` steps needs batch statistics that do not
/// exist: for a batch cut into parts, or for a single value per channel. (A masked part of one
/// image is left out: [`crate::sgt::MaskingSchedule::without_lone_images`].)
pub(super) fn check_batch_norm(
    config: &RunConfig,
    images: u32,
    batch_size: u32,
    part_images: u32,
    total_steps: u64,
) -> Result<()> {
    let last = config.last_step_with_batch_statistics().min(total_steps);
    if last == 0 {
        return Ok(());
    }
    if part_images < batch_size {
        return Err(Error::Settings(phrase!(
            "<batch-size {}>: batch norm needs a whole batch at once, but this adapter's buffers \
             hold {} images of it; lower <batch-size> to {}",
            batch_size,
            part_images,
            part_images
        )));
    }
    let Some(norm) = config.network.single_value_norm()? else { return Ok(()) };
    let (first, what) = match (batch_size, images % batch_size) {
        (1, _) => (1, "a batch of one image".to_string()),
        (_, 1) => (
            u64::from(images.div_ceil(batch_size)),
            format!("the last batch of {images} images is a single one, which"),
        ),
        _ => return Ok(()),
    };
    if first > last {
        return Ok(());
    }
    Err(Error::Settings(phrase!(
        "<batch-size {}>: {} has no variance for batch norm {}, for which an image is one value a \
         channel; choose another <batch-size> or <train-limit>, or <freeze-bn-after {}> for the \
         running statistics from there on",
        batch_size,
        what,
        norm,
        first - 1
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DatasetInfo, PartialRunConfig, Shape, resolve};

    #[test]
    fn what_was_asked_for_is_kept_whole() {
        let info =
            DatasetInfo { name: "mnist-mini".into(), shape: Shape::new(1, 28, 28), classes: 10 };
        let config =
            |text: &str| resolve(PartialRunConfig::parse(text, "test").unwrap(), &info).unwrap();
        // The name of an adapter can be anything.
        let shortage = Shortage::new(
            "weights need 5 bytes and GPU; rev. 2 binds at most 4",
            phrase!("lower <batch-size>"),
        );
        assert_eq!(fewer_images(&config(""), 8, &shortage).unwrap(), 4);
        for (text, images, expected) in [
            (
                "",
                1,
                "with one image at a time; make the network smaller, or lower train-limit and \
                 test-limit",
            ),
            (
                "batch-norm = true\nbatch-size = 16",
                8,
                "and batch norm needs a batch as a whole; lower batch-size (now 16)",
            ),
        ] {
            let error = fewer_images(&config(text), images, &shortage).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("out of GPU memory: {}, {expected}", shortage.asked)
            );
        }
    }
}
