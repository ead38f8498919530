//! What is timed.

use crate::{
    Result,
    config::{PartialRunConfig, RunConfig, resolve},
    data::Dataset,
};

/// The timed configuration: the float SGT step of Table I's network, `uniform` fill, no dropout.
pub fn configuration(dataset: &Dataset, batch_size: u32) -> Result<RunConfig> {
    let mut config = resolve(PartialRunConfig::default(), &dataset.info())?;
    config.batch_size = batch_size;
    config.epochs = 1;
    Ok(config)
}
