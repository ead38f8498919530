//! The teacher of a run, read from its file.

use crate::{
    Error, Result,
    config::{QuantizationOverrides, RunConfig},
    data::Dataset,
    error::phrase,
    model::{Images, Model},
    sgt::TeacherModel,
};

/// The teacher of `config`, where it has one, for the images of `dataset`.
///
/// # Errors
/// Errors of the file; [`Error::Settings`] for a teacher of other images or classes.
pub(super) fn teacher(config: &RunConfig, dataset: &Dataset) -> Result<Option<TeacherModel>> {
    let Some(own) = &config.teaching else { return Ok(None) };
    let mut model = Model::load(&own.teacher, &QuantizationOverrides::default())?;
    model.require_alphas()?;
    model.settle_normalization(None, Images::Loaded(dataset))?;
    let (names, data_names) = (&model.config.class_names, &dataset.class_names);
    if !names.is_empty() && !data_names.is_empty() && names != data_names {
        return Err(Error::Settings(phrase!(
            "<teacher {}>: its classes are not those of the data set, or in another order",
            own.teacher.display()
        )));
    }
    let teacher = TeacherModel {
        normalization: model.normalization()?,
        network: model.config.network,
        quantization: model.config.quantization,
        parameters: model.parameters,
    };
    teacher.check(dataset.shape, dataset.classes).map_err(|error| match error {
        Error::Model(reason) => {
            Error::Settings(phrase!("<teacher {}>: {}", own.teacher.display(), reason))
        }
        other => other,
    })?;
    Ok(Some(teacher))
}
