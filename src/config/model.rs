//! What a model file says about itself: the JSON under the metadata key `saliq` of
//! `model.safetensors`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{NetworkConfig, QuantizationConfig};
use crate::{Error, Result, plain};

/// Largest metadata text that is parsed.
const MAX_METADATA: usize = 1 << 20;
/// Longest data set or class name that is kept.
const MAX_NAME: usize = 256;

/// Pixel normalisation as numbers: a pixel p ∈ [0, 1] becomes (p − mean) / deviation, in every
/// channel alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelNormalization {
    /// Subtracted from the pixel.
    pub mean: f32,
    /// Divides the difference; above 0.
    pub deviation: f32,
}

/// All that is needed to run a trained model, and a record of how it was trained.
///
/// Keys that are not known here (of a later version) are ignored; a layer or a quantizer that is
/// not known is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelConfig {
    /// The network.
    pub network: NetworkConfig,
    /// Bits and quantizers.
    #[serde(default)]
    pub quantization: QuantizationConfig,
    /// Normalisation of the images; absent where the model does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<PixelNormalization>,
    /// Name of the data set it was trained on, never a path; empty where it does not say.
    #[serde(default)]
    pub dataset: String,
    /// Whether `dataset` is the name of a folder, not of a data set known by name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dataset_is_folder: bool,
    /// Names of the classes in order; empty where none are known.
    #[serde(default)]
    pub class_names: Vec<String>,
    /// The training settings that the numbers depend on; null for a model that was not trained
    /// here.
    #[serde(default)]
    pub training: Value,
}

impl ModelConfig {
    /// The weights of a teacher's terms in its training, if it says so.
    pub fn teaching(&self) -> Option<&Value> {
        self.training.get("teaching")
    }

    /// Parses and validates the metadata of a model file: it may come from anywhere.
    ///
    /// # Errors
    /// [`Error::Model`] for more than 1 MiB, malformed JSON, or a network, quantization or
    /// normalisation that cannot be.
    pub fn from_metadata(text: &str) -> Result<ModelConfig> {
        let bad = |reason: &str| {
            Error::Model(format!(
                "metadata `saliq`: {}; is this a model file of saliq?",
                plain(reason)
            ))
        };
        if text.len() > MAX_METADATA {
            return Err(bad("longer than 1 MiB"));
        }
        let config: ModelConfig =
            serde_json::from_str(text).map_err(|error| bad(&error.to_string()))?;
        config.validate()?;
        Ok(config)
    }

    /// Checks everything that memory or arithmetic will depend on.
    ///
    /// # Errors
    /// [`Error::Model`] that names the part.
    pub fn validate(&self) -> Result<()> {
        let bad = |reason: String| Err(Error::Model(format!("metadata `saliq`: {reason}")));
        if let Err(error) = self.network.validate() {
            return bad(format!("network: {error}"));
        }
        if let Err(error) = self.quantization.validate() {
            return bad(format!("quantization: {error}"));
        }
        let layers = self.network.weight_layers().len();
        if self.quantization.bits.len() > layers {
            return bad(format!(
                "{} bit widths for {layers} layers with weights",
                self.quantization.bits.len()
            ));
        }
        if let Some(PixelNormalization { mean, deviation }) = self.normalize
            && (!mean.is_finite() || !deviation.is_finite() || deviation <= 0.0)
        {
            return bad(format!(
                "normalize: mean {mean}, deviation {deviation}: must be finite, the deviation \
                 above 0"
            ));
        }
        let names = self.class_names.len();
        if names != 0 && names != self.network.classes as usize {
            return bad(format!("{names} class names for {} classes", self.network.classes));
        }
        if self.class_names.iter().chain([&self.dataset]).any(|name| name.len() > MAX_NAME) {
            return bad(format!("a name of more than {MAX_NAME} bytes"));
        }
        Ok(())
    }

    /// The text to store under the metadata key `saliq`; the same configuration always gives the
    /// same text.
    pub fn to_metadata(&self) -> String {
        // Struct fields and text keys only: serialisation has nothing to fail on.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DatasetInfo, PartialRunConfig, RunConfig, Shape, resolve};

    fn run(text: &str) -> RunConfig {
        let info = DatasetInfo {
            name: "/secret/folder/garments".into(),
            shape: Shape::new(1, 28, 28),
            classes: 10,
        };
        resolve(PartialRunConfig::parse(text, "test").unwrap(), &info).unwrap()
    }

    fn metadata(text: &str) -> String {
        run(text)
            .model_config(PixelNormalization { mean: 0.1307, deviation: 0.3081 }, &[])
            .to_metadata()
    }

    #[test]
    fn metadata_survives_a_round_trip() {
        let normalize = PixelNormalization { mean: 0.1307, deviation: 0.3081 };
        let names: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
        let config =
            run("bits = \"4,2\"\nalpha-init = 3\ndropout = 0.1").model_config(normalize, &names);
        assert_eq!(ModelConfig::from_metadata(&config.to_metadata()).unwrap(), config);
    }

    #[test]
    fn paths_and_logging_leave_no_trace() {
        let plain = metadata("seed = 1");
        let noisy = "out = \"secret/out\"\ninit = \"secret/model\"\n\
                     data-dir = \"secret\"\nlog-every = 50\n\
                     checkpoint-every = \"5m\"\nsnapshot-every = 9\ntest-limit = 10\nseed = 1";
        assert_eq!(metadata(noisy).replace("\"from-model\":true", "\"from-model\":false"), plain);
        assert!(!plain.contains("secret") && plain.contains("garments"));
        assert_ne!(metadata("seed = 2"), plain);
        assert!(plain.contains("\"learning-rate\":0.2,"));
        assert_eq!(metadata("steps = 5\nepochs = 2"), metadata("steps = 5\nepochs = 3"));
        assert_eq!(metadata("sgt = false\nmask-ratio = 0.1"), metadata("sgt = false"));
    }

    #[test]
    fn hostile_metadata_is_refused() {
        let good = metadata("bits = 4");
        assert!(ModelConfig::from_metadata(&good).is_ok());
        let swap = |from: &str, to: &str| {
            let changed = good.replacen(from, to, 1);
            assert_ne!(changed, good, "{from}");
            changed
        };
        let nested = "[".repeat(100_000);
        let huge = " ".repeat(MAX_METADATA + 1);
        let cases = [
            String::new(),
            "null".into(),
            "{}".into(),
            nested,
            huge,
            swap("\"out_channels\":32", "\"out_channels\":4294967295"),
            swap("\"out_channels\":32", "\"out_channels\":-1"),
            swap("\"kernel\":3", "\"kernel\":0"),
            swap("\"stride\":1", "\"stride\":0"),
            swap("[1,28,28]", "[4294967295,4294967295,4294967295]"),
            swap("\"classes\":10", "\"classes\":11"),
            swap("\"type\":\"conv\"", "\"type\":\"transformer\""),
            swap("\"name\":\"conv2\"", "\"name\":\"conv1\""),
            swap("\"deviation\":0.3081", "\"deviation\":0"),
            swap("\"deviation\":0.3081", "\"deviation\":1e60"),
            swap("\"class-names\":[]", "\"class-names\":[\"one\"]"),
            swap("\"bits\":[", "\"bits\":[\"4\",\"4\",\"4\","),
            swap("\"bits\":[\"4\"", "\"bits\":[\"1\""),
        ];
        for case in cases {
            assert!(
                matches!(ModelConfig::from_metadata(&case), Err(Error::Model(_))),
                "{}",
                &case[..case.len().min(300)]
            );
        }
    }
}
