//! Checks whether a method can explain a network, before anything is computed.

use super::{
    Method, MethodOptions, Output,
    folding::check_foldable,
    layer::layer,
    method::{Explained, Map},
};
use crate::{Error, Result, config::NetworkConfig, error::phrase};

/// Returns an error if `method` cannot explain `network` with `options` on any adapter.
///
/// # Errors
/// [`Error::Settings`] with the method, the reason and a way to avoid it; [`Error::Unfolded`] with
/// a batch norm that cannot be folded where the method's rule needs it.
pub fn check_applicable(
    method: Method,
    network: &NetworkConfig,
    options: &MethodOptions,
) -> Result<()> {
    let spec = method.spec();
    if spec.explains == Explained::Logit && options.output != Output::Logit {
        return Err(Error::Settings(phrase!(
            "{} distributes a logit; use <output logit> with it",
            method.name()
        )));
    }
    if options.folds_batch_norms(method, network) {
        check_foldable(network)?;
    }
    match spec.map {
        Map::Channels(_) | Map::GuidedChannels => {
            layer(method, network, options.layer.as_deref()).map(|_| ())
        }
        _ => Ok(()),
    }
}
