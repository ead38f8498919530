//! What a search will cost, without running it.

use serde::Serialize;

use super::{settings::SearchSettings, slots::Space};
use crate::{Result, config::NetworkConfig};

/// The passes of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedLayer {
    /// Its name.
    pub name: String,
    /// Its slots.
    pub slots: usize,
    /// Forward-equivalents for each width.
    pub forward_equivalents_per_width: f64,
}

/// The passes of a search in forward-equivalents: forward passes of all its images, a pass back to
/// the input counted as one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Images of the search.
    pub images: u32,
    /// Images whose maps are compared.
    pub map_images: u32,
    /// Widths.
    pub widths: Vec<u32>,
    /// The layers with weights.
    pub layers: Vec<PlannedLayer>,
    /// Of all sensitivities.
    pub sensitivities: f64,
    /// Of the float network: its maps and the ranges of its activations.
    pub reference: f64,
    /// Most candidates that are measured at one budget.
    pub candidates: usize,
    /// Of a candidate: calibration and measurement.
    pub candidate: f64,
    /// Most models of the frontier that are measured on the test images.
    pub frontier: usize,
}

impl Plan {
    /// The passes of a search with `settings`.
    ///
    /// # Errors
    /// As [`Space::new`].
    pub fn new(network: &NetworkConfig, settings: &SearchSettings, train: u32) -> Result<Plan> {
        let space = Space::new(network, &settings.quantization, &settings.widths, settings.tied)?;
        let images = settings.images.min(train).max(1);
        let map_images = settings.map_images.clamp(1, images);
        let pass = 1.0 + f64::from(map_images) / f64::from(images);
        let calibration = f64::from(settings.calibration_images.min(images)) / f64::from(images);
        let layers: Vec<PlannedLayer> = space
            .layers
            .iter()
            .enumerate()
            .map(|(layer, name)| {
                let slots = space.slots.iter().filter(|slot| slot.layer == layer).count();
                let forward_equivalents_per_width = slots as f64 * pass;
                PlannedLayer { name: name.clone(), slots, forward_equivalents_per_width }
            })
            .collect();
        let widths = space.widths.len() as f64;
        Ok(Plan {
            images,
            map_images,
            sensitivities: (space.slots.len() as f64) * widths * pass,
            widths: space.widths,
            layers,
            reference: pass + calibration,
            candidates: settings.candidates,
            candidate: pass + calibration,
            frontier: 2 * ((settings.levels + 1) * 4 + settings.random),
        })
    }
}
