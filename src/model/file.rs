//! Models, and the files that they are read from: the facts that a file contains, and those that
//! must be given before it becomes a model.

use std::path::{Path, PathBuf};

use super::{
    fill::fill,
    names::{METADATA_KEY, MODEL_FILE},
    normalization::Images,
    packed, state_dict,
    table_one::TableOne,
    tensors::{FILE_LIMIT, Tensor, TensorFile},
};
use crate::{
    Error, Phrase, Remedy, Result,
    config::{
        LayerBits, LayerKind, ModelConfig, NetworkChoice, NetworkConfig, Normalize, NormalizeSpec,
        PixelNormalization, Preset, QuantizationConfig, QuantizationOverrides, Shape,
    },
    error::phrase,
    files::read_bounded,
    graph::{Graph, Parameter, ParameterLayout, ParameterRole},
    import::onnx::{self, OnnxNetwork},
    plain,
};

/// The convolutions of Table I have no padding; those of many copies of the network have one pixel.
const PADDINGS: [u32; 2] = [0, 1];

/// A trained network on the host.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network and how to run it.
    pub config: ModelConfig,
    /// The operations, and the place of each parameter in `parameters`.
    pub graph: Graph,
    /// All parameters, flat; padded to a multiple of 4.
    pub parameters: Vec<f32>,
    /// Names of the α's (or steps of activations) that the layout has and the file does not.
    /// Missing steps of weights have LSQ's initial values.
    pub missing_alphas: Vec<String>,
    /// Where it was read from.
    pub path: PathBuf,
}

impl Model {
    /// Reads a model file, or the one in a run folder, to run it with `overrides`: one of this
    /// program, or an ONNX file of any. A bare PyTorch
    /// export of the network of Table I is accepted too, if its images are those of the paper.
    /// [`ModelFile`] accepts others and reports its assumptions.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for an invalid file; [`Error::Unsaid`] for a file without
    /// necessary information; [`Error::Model`] for an impossible network.
    pub fn load(path: &Path, overrides: &QuantizationOverrides) -> Result<Model> {
        ModelFile::open(path)?.model_alone(overrides)
    }

    /// [`load`](Self::load) from the bytes of a model file; `path` only names them in errors.
    /// Memory never exceeds a few times the size of `bytes`, whatever network the file describes.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(path: &Path, bytes: &[u8], overrides: &QuantizationOverrides) -> Result<Model> {
        ModelFile::parse(path.to_path_buf(), bytes, None)?.model_alone(overrides)
    }

    /// Whether the file has every α (or step of an activation) of the layout.
    pub fn has_alphas(&self) -> bool {
        self.missing_alphas.is_empty()
    }

    /// Returns an error for a quantized model without some of its α's (or steps of its
    /// activations), because their clipping thresholds are unknown.
    pub fn require_alphas(&self) -> Result<()> {
        if self.has_alphas() {
            return Ok(());
        }
        let what = format!(
            "quantized activations need {}, which the file does not have",
            self.missing_alphas.join(" and ")
        );
        Err(Error::unfit(&self.path, &what, Remedy::FloatOrCalibration))
    }

    /// The parameters as named tensors, in order.
    pub fn tensors(layout: &ParameterLayout, parameters: &[f32]) -> Vec<Tensor> {
        let all = layout.parameters.iter();
        all.map(|parameter| Tensor::of(parameter, parameters)).collect()
    }

    /// Writes a model file. The same network and configuration give the same bytes.
    pub fn save(
        path: &Path,
        config: &ModelConfig,
        layout: &ParameterLayout,
        parameters: &[f32],
    ) -> Result<()> {
        TensorFile::write(
            path,
            &Model::tensors(layout, parameters),
            &[(METADATA_KEY, config.to_metadata())],
        )
    }

    /// The bytes that [`Self::save`] writes.
    ///
    /// # Errors
    /// [`Error::Model`] if they cannot be made.
    pub fn to_bytes(
        config: &ModelConfig,
        layout: &ParameterLayout,
        parameters: &[f32],
    ) -> Result<Vec<u8>> {
        let tensors = Model::tensors(layout, parameters);
        TensorFile::to_bytes(&tensors, &[(METADATA_KEY, config.to_metadata())])
    }

    // The normalisation of pixels: as requested; else as the model says; else an error that asks
    // for it. The network of Table I on a named data set is an exception and takes the published
    // constants of the set.

    /// The normalisation of pixels p ∈ 0..1: the input of the network is (p − mean) / deviation.
    ///
    /// # Errors
    /// [`Error::Unsaid`] if the model does not say it.
    pub fn normalization(&self) -> Result<PixelNormalization> {
        self.config.normalize.ok_or_else(|| self.unnormalized(Images::Unknown))
    }

    /// Determines the normalisation of pixels and stores it in the configuration: as `asked`, else
    /// as the model says, else by the rule for files without this information. Returns a line about
    /// an assumption, if any.
    ///
    /// # Errors
    /// [`Error::Unsaid`] if no source says it; the error lists the possible values.
    pub fn settle_normalization(
        &mut self,
        asked: Option<&Normalize>,
        images: Images<'_>,
    ) -> Result<Option<Phrase>> {
        let mut assumed = None;
        let normalization = match (asked, self.config.normalize) {
            (Some(mode), _) => match mode.constants().or_else(|| images.standard()) {
                Some(pair) => pair,
                None => self.own_standard()?,
            },
            (None, Some(own)) => own,
            (None, None) => {
                let published = images.published().filter(|_| self.config.network.is_table_one());
                let (name, pair) = published.ok_or_else(|| self.unnormalized(images))?;
                assumed = Some(phrase!(
                    "{}: does not say how its pixels are normalised; taken as {} is published: \
                     <normalize {}>",
                    self.path.display(),
                    name,
                    pair
                ));
                pair
            }
        };
        if let Err(reason) = normalization.check(self.config.network.input.channels) {
            return Err(Error::Settings(phrase!("<normalize>: {}", reason)));
        }
        self.config.normalize = Some(normalization);
        Ok(assumed)
    }

    /// `standard` without a data set: the model's own constants, if it was trained with `standard`.
    fn own_standard(&self) -> Result<PixelNormalization> {
        let standard = serde_json::to_value(Normalize::Standard).unwrap_or_default();
        if self.config.training["normalize"] == standard && self.config.normalize.is_some() {
            return self.normalization();
        }
        let what = format!(
            "does not say that it was trained with the mean and deviation of a data set, which \
             `{}` is",
            NormalizeSpec(Normalize::Standard)
        );
        Err(Error::unsaid(&self.path, &what, Remedy::NormalizationOrImages))
    }

    fn unnormalized(&self, images: Images<'_>) -> Error {
        let what = "does not say how its pixels are normalised";
        Error::unsaid(&self.path, what, Remedy::Normalization(Box::new(images.known())))
    }
}

/// How to read a model file; overrides the file.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Bits and quantizers to run it with.
    pub quantization: &'a QuantizationOverrides,
    /// The network of a file that does not say it.
    pub network: Option<&'a NetworkChoice>,
    /// The name and the shape of the images that the model is to be run on, if known.
    pub images: Option<(&'a str, Shape)>,
}

/// A model file in memory.
pub struct ModelFile {
    path: PathBuf,
    tensors: TensorFile,
    config: Option<ModelConfig>,
    /// Whether `tensors` has the packed weights as floats already.
    is_unpacked: bool,
    /// Whether another program wrote it; its network is then known, and was not trained here.
    is_foreign: bool,
    /// Whether tensors that its network does without are an error.
    keeps_leftovers: bool,
    /// What was left out or assumed when it was read.
    remarks: Vec<String>,
}

impl ModelFile {
    /// Reads a model file, or the one in a run folder. An ONNX file is known by its content, or by
    /// its name.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for an invalid file.
    pub fn open(path: &Path) -> Result<ModelFile> {
        let path = model_file(path)?;
        let bytes = read_bounded(&path, FILE_LIMIT)?;
        let beside = path.clone();
        ModelFile::parse(path, &bytes, Some(&beside))
    }

    /// As [`Self::open`], from the bytes of the file; other files that an ONNX file names are read
    /// from the folder of `beside`.
    ///
    /// # Errors
    /// [`Error::Format`] for an invalid file.
    pub fn parse(path: PathBuf, bytes: &[u8], beside: Option<&Path>) -> Result<ModelFile> {
        let is_named = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx"));
        if !TensorFile::may_be(bytes) && (is_named || onnx::is_model(bytes)) {
            let network = onnx::read(&path, bytes, beside)?;
            return ModelFile::of_onnx(network, path);
        }
        ModelFile::new(TensorFile::parse(&path, bytes)?, path)
    }

    pub(super) fn new(tensors: TensorFile, path: PathBuf) -> Result<ModelFile> {
        let mut tensors = tensors;
        let own = tensors.metadata(METADATA_KEY).map(ModelConfig::from_metadata).transpose();
        let config = own.map_err(|error| Error::format(&path, error.to_string()))?;
        let mut remarks = Vec::new();
        if config.is_none() {
            let removed = state_dict::unwrap_names(&mut tensors);
            if !removed.is_empty() {
                remarks.push(format!("its names begin with {}, left out", removed.concat()));
            }
        }
        Ok(ModelFile {
            path,
            tensors,
            config,
            is_unpacked: false,
            is_foreign: false,
            keeps_leftovers: true,
            remarks,
        })
    }

    /// A network of an ONNX file as if it were read from a file of this program.
    fn of_onnx(own: OnnxNetwork, path: PathBuf) -> Result<ModelFile> {
        let OnnxNetwork { network, parameters, quantization, exported, normalize, remarks } = own;
        let mut tensors = TensorFile::default();
        for own in parameters {
            tensors.insert(Tensor::f32(&own.name, &own.shape, own.values));
        }
        let mut config = ModelConfig { normalize, ..said_nothing(network, quantization) };
        if let Some(own) = exported.filter(|own| own.network.classes == config.network.classes) {
            let ModelConfig { dataset, dataset_is_folder, class_names, .. } = own;
            config = ModelConfig { dataset, dataset_is_folder, class_names, ..config };
        }
        config.validate().map_err(|error| Error::format(&path, error.to_string()))?;
        Ok(ModelFile {
            path,
            tensors,
            config: Some(config),
            is_unpacked: true,
            is_foreign: true,
            keeps_leftovers: true,
            remarks,
        })
    }

    /// Whether it is a bare state_dict: tensors without information about the network, its
    /// quantization and its images.
    pub fn is_bare(&self) -> bool {
        self.config.is_none()
    }

    /// Gives tensors of a bare state_dict other names, pair by pair: a name, or what names begin
    /// with up to a dot, and what stands there instead.
    ///
    /// # Errors
    /// [`Error::Settings`] for a name that no tensor has, for two tensors of one name, and for a
    /// file that says itself what it is.
    pub fn rename(&mut self, renames: &[(String, String)]) -> Result<()> {
        if !self.is_bare() && !renames.is_empty() {
            return Err(Error::Settings(phrase!(
                "<rename>: {} says itself what its tensors are",
                self.path.display()
            )));
        }
        state_dict::rename(&mut self.tensors, renames)
    }

    /// Leaves out tensors that the network does without, with a remark; they are an error else.
    pub fn without_leftovers(&mut self) {
        self.keeps_leftovers = false;
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The quantization of its weights; float if the file does not say it.
    pub fn quantization(&self) -> QuantizationConfig {
        self.config
            .as_ref()
            .map_or_else(QuantizationConfig::default, |own| own.quantization.clone())
    }

    /// Names of the learned parameters of quantizers, in order.
    pub fn quantizers(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.tensors.names().filter(|name| state_dict::is_quantizer(name)).map(plain).collect();
        names.sort();
        names
    }

    /// Returns an error for a bare file with learned parameters of quantizers, because it does not
    /// say to how many bits they belong.
    ///
    /// # Errors
    /// [`Error::Unsaid`] that asks for the bits.
    pub fn require_bits(&self) -> Result<()> {
        let quantizers = self.quantizers();
        if !self.is_bare() || quantizers.is_empty() {
            return Ok(());
        }
        let what = format!(
            "has {}, so it is quantized, and does not say to how many bits",
            quantizers.join(", ")
        );
        Err(Error::unsaid(&self.path, &what, Remedy::Bits))
    }

    /// Name of the data set that it was trained on, if the file says it.
    pub fn dataset(&self) -> Option<&str> {
        self.config.as_ref().map(|own| own.dataset.as_str()).filter(|name| !name.is_empty())
    }

    /// The model if only the file is known; assumptions go to the log.
    pub(super) fn model_alone(self, quantization: &QuantizationOverrides) -> Result<Model> {
        let made_for = self.quantization();
        let (model, remark) = self.model(&Reading { quantization, network: None, images: None })?;
        let own = &model.config;
        if let Some(said) = own.quantization.scale_warning(&made_for, &own.network) {
            log::warn!("{}: {said}", model.path.display());
        }
        if let Some(remark) = remark {
            log::info!("{remark}");
        }
        Ok(model)
    }

    /// The model, to be run as in `reading`, and a line about the assumptions for a file without
    /// information.
    ///
    /// # Errors
    /// [`Error::Unsaid`] if the file lacks information and several possibilities fit;
    /// [`Error::Format`] if none fits; [`Error::Model`] for an impossible network.
    pub fn model(mut self, reading: &Reading<'_>) -> Result<(Model, Option<Phrase>)> {
        let (config, remark) = match &self.config {
            Some(own) => {
                let said = self.unused_network(own, reading).or_else(|| self.remark());
                (own.clone(), said)
            }
            None => self.bare(reading)?,
        };
        let stored = Graph::new(&config.network, &config.quantization)?.layout;
        self.unpack(&stored)?;
        let ModelFile { path, tensors, .. } = self;
        let mut config = config;
        let own = std::mem::take(&mut config.quantization);
        config.quantization = reading.quantization.apply(&own, &config.network)?;
        let graph = Graph::new(&config.network, &config.quantization)?;
        let (parameters, missing) = fill(&tensors, &graph.layout, &stored, &path)?;
        Ok((Model { config, graph, parameters, missing_alphas: missing, path }, remark))
    }

    /// The initial parameters of a training run, in the `layout` of its network, and the names of
    /// the α's and steps of activations that the file does not have.
    ///
    /// # Errors
    /// Errors of [`Self::model`]; [`Error::Settings`] for tensors that the network does not have,
    /// because they would be lost silently.
    pub fn start(&mut self, layout: &ParameterLayout) -> Result<(Vec<f32>, Vec<String>)> {
        use ParameterRole::{Bias, RunningMean, RunningVariance, Scale, Shift, Slope, Weight};
        let has_place = |name: &str| layout.find(name).is_some();
        let (stored, lost) = match &self.config {
            // Clips, steps and scales belong to the quantizers.
            Some(own) => {
                let stored = Graph::new(&own.network, &own.quantization)?.layout;
                let is_network = |role| {
                    matches!(
                        role,
                        Weight | Bias | Scale | Shift | Slope | RunningMean | RunningVariance
                    )
                };
                let lost = stored
                    .parameters
                    .iter()
                    .find(|parameter| is_network(parameter.role) && !has_place(&parameter.name));
                let lost = lost.map(|parameter| parameter.name.clone());
                (stored, lost)
            }
            None => {
                let left = state_dict::leftovers(&self.tensors, layout);
                (layout.clone(), left.first().map(ToString::to_string))
            }
        };
        if let Some(lost) = lost {
            return Err(Error::Settings(phrase!(
                "<init>: {} has {}, which the network to be trained does without; give its \
                 network: <batch-norm>, or <config> with its config.toml",
                self.path.display(),
                plain(&lost)
            )));
        }
        if let Some((name, own, needed)) = self.misshapen(layout) {
            let what =
                format!("{name} has shape {own:?}, that of the network to be trained {needed:?}");
            return Err(Error::unfit(&self.path, &what, Remedy::OwnNetwork));
        }
        if self.config.is_some() {
            self.unpack(&stored)?;
        }
        fill(&self.tensors, layout, &stored, &self.path)
    }

    /// Replaces packed weights by float weights, in the layout that the file was written with.
    fn unpack(&mut self, stored: &ParameterLayout) -> Result<()> {
        if !self.is_unpacked {
            packed::unpack(&mut self.tensors, stored, &self.path)?;
            self.is_unpacked = true;
        }
        Ok(())
    }

    /// The file as a float model of `network`. A start model says how its pixels are normalised,
    /// and is read as the network that is trained.
    ///
    /// # Errors
    /// Errors of [`Self::start`].
    pub fn as_start(&mut self, network: &NetworkConfig) -> Result<Model> {
        let float = QuantizationConfig::default();
        let (graph, path) = (Graph::new(network, &float)?, self.path.clone());
        let own = self.config.clone();
        let (parameters, missing) = self.start(&graph.layout)?;
        let config = own.unwrap_or_else(|| said_nothing(network.clone(), float));
        Ok(Model {
            config: ModelConfig { network: network.clone(), ..config },
            graph,
            parameters,
            missing_alphas: missing,
            path,
        })
    }

    /// Its network, if the file says it.
    pub fn network(&self) -> Option<&NetworkConfig> {
        self.config.as_ref().map(|own| &own.network)
    }

    /// Whether another program wrote it.
    pub fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// What was left out or assumed when the file was read, in a line.
    pub fn remark(&self) -> Option<Phrase> {
        let said = self.remarks.join("; ");
        let path = self.path.display();
        (!said.is_empty()).then(|| format!("{path}: {said}").into())
    }

    /// A note, if the file says what its network is and another one is given.
    fn unused_network(&self, own: &ModelConfig, reading: &Reading<'_>) -> Option<Phrase> {
        let choice = reading.network?;
        let inference = |network: &NetworkConfig| network.without(LayerKind::is_dropout).layers;
        let given = choice.network(own.network.input, own.network.classes).ok();
        let is_same = given.is_some_and(|given| {
            inference(&given) == inference(&own.network) && given.input == own.network.input
        });
        (!is_same).then(|| {
            phrase!(
                "{}: says what network it is; <network {}> is for files that do not",
                self.path.display(),
                choice.label()
            )
        })
    }

    /// The configuration of a bare file, and a line about the assumptions.
    fn bare(&mut self, reading: &Reading<'_>) -> Result<(ModelConfig, Option<Phrase>)> {
        let bits_given = reading.quantization.bits.is_some();
        if !bits_given {
            self.require_bits()?;
        }
        let mut assumed = Vec::new();
        let network = match reading.network {
            Some(choice) if !choice.is_default() => self.given(choice, reading, &mut assumed)?,
            choice => {
                let paddings = if choice.is_some() { &PADDINGS[..1] } else { &PADDINGS };
                let table = TableOne::of(&self.tensors)
                    .map_err(|reason| Error::unfit(&self.path, &reason, Remedy::Network))?;
                let (network, said) = table
                    .read(reading.images, paddings)
                    .map_err(|unread| unread.error(&self.path))?;
                assumed.push(format!("read as {said}"));
                network
            }
        };
        let quantization = QuantizationConfig {
            bits: vec![LayerBits::FLOAT; network.weight_layers().len()],
            ..QuantizationConfig::default()
        };
        let layout = Graph::new(&network, &quantization)?.layout;
        let whose = reading.network.map_or("the network of Table I".into(), |choice| {
            format!("the network {}", choice.label())
        });
        self.check_names(&layout, &whose)?;
        assumed.extend(self.take_absent_biases(&layout));
        assumed.extend(self.take_leftovers(&layout, &whose)?);
        assumed.extend(std::mem::take(&mut self.remarks));
        if !bits_given {
            assumed.push("run in float".into());
        }
        let remark =
            format!("{}: has no `saliq` metadata; {}", self.path.display(), assumed.join("; "));
        Ok((said_nothing(network, quantization), (!assumed.is_empty()).then(|| remark.into())))
    }

    /// Returns an error for a tensor of `layout` that the file does not have, with those that may
    /// be meant; biases may be absent.
    fn check_names(&self, layout: &ParameterLayout, whose: &str) -> Result<()> {
        let is_missing = |parameter: &&Parameter| {
            !parameter.role.is_quantizers()
                && !matches!(parameter.role, ParameterRole::BatchCount | ParameterRole::Bias)
                && self.tensors.tensor(&parameter.name).is_none()
        };
        let Some(missing) = layout.parameters.iter().find(is_missing) else { return Ok(()) };
        let others = state_dict::leftovers(&self.tensors, layout);
        let meant = state_dict::candidates(&self.tensors, layout, &missing.name, &missing.shape);
        let what = match others.is_empty() {
            true => format!("has no tensor {}, which {whose} needs", missing.name),
            false => format!(
                "has {}, which {whose} does without, and no {}, which it needs{}",
                state_dict::listed(&others),
                missing.name,
                match meant.is_empty() {
                    true => String::new(),
                    false => format!("; of its shape: {}", state_dict::listed(&meant)),
                }
            ),
        };
        let remedy = if meant.is_empty() { Remedy::Network } else { Remedy::NetworkOrNames };
        Err(Error::unfit(&self.path, &what, remedy))
    }

    /// Biases that the file does not have are 0. Returns a line about them.
    fn take_absent_biases(&mut self, layout: &ParameterLayout) -> Option<String> {
        let is_absent = |parameter: &&Parameter| {
            parameter.role == ParameterRole::Bias && self.tensors.tensor(&parameter.name).is_none()
        };
        let absent: Vec<&Parameter> = layout.parameters.iter().filter(is_absent).collect();
        for bias in &absent {
            self.tensors.insert(Tensor::f32(&bias.name, &bias.shape, vec![0.0; bias.len()]));
        }
        let names: Vec<&str> = absent.iter().map(|bias| &bias.name[..]).collect();
        (!names.is_empty()).then(|| format!("{} absent, taken as 0", state_dict::listed(&names)))
    }

    /// Tensors that the network does without: an error, or a line about them.
    fn take_leftovers(&self, layout: &ParameterLayout, whose: &str) -> Result<Option<String>> {
        let names = state_dict::leftovers(&self.tensors, layout);
        if names.is_empty() {
            return Ok(None);
        }
        let listed = state_dict::listed(&names);
        if self.keeps_leftovers {
            let what = format!("has {listed}, which {whose} does without");
            return Err(Error::unfit(&self.path, &what, Remedy::Network));
        }
        Ok(Some(format!("left out: {listed}, which {whose} does without")))
    }

    /// The network of `--network` for the given images; one known by name has as many classes as
    /// its last layer here.
    fn given(
        &self,
        choice: &NetworkChoice,
        reading: &Reading<'_>,
        assumed: &mut Vec<String>,
    ) -> Result<NetworkConfig> {
        let named = choice.input().or(reading.images.map(|(_, shape)| shape));
        let (input, classes) = match (named, choice.preset()) {
            (Some(input), None) => (input, 0),
            (input, Some(preset)) => {
                let classes = self.classes_of(preset).unwrap_or(preset.classes);
                let whose =
                    if input.is_none() { "; images of its own size are assumed" } else { "" };
                let input = input.unwrap_or(preset.input);
                let name = preset.name;
                assumed.push(format!("read as {name} for {input}, {classes} classes{whose}"));
                (input, classes)
            }
            (None, None) => {
                let what = "does not say which images it is for";
                return Err(Error::unsaid(choice.label().as_ref(), what, Remedy::InputOrImages));
            }
        };
        let network = choice.network(input, classes)?;
        if let NetworkChoice::File { others, .. } = choice
            && !others.is_empty()
        {
            assumed.push(format!(
                "of {} only [network] is used, not {}",
                choice.label(),
                plain(&others.join(", "))
            ));
        }
        let layout = Graph::new(&network, &QuantizationConfig::default())?.layout;
        for parameter in &layout.parameters {
            let Some(tensor) = self.tensors.tensor(&parameter.name) else { continue };
            if tensor.shape != parameter.shape && parameter.role != ParameterRole::BatchCount {
                return Err(Error::format(
                    &self.path,
                    format!(
                        "{} has shape {:?} where the network of {}, for images of {:?}, has {:?}",
                        parameter.name,
                        tensor.shape,
                        choice.label(),
                        <[u32; 3]>::from(input),
                        parameter.shape
                    ),
                ));
            }
        }
        Ok(network)
    }

    /// Outputs of the last layer of `preset` in this file.
    fn classes_of(&self, preset: &Preset) -> Option<u32> {
        let last = preset.published().weight_layers().pop()?;
        let tensor = self.tensors.tensor(&format!("{}.weight", last.name))?;
        u32::try_from(*tensor.shape.first()?).ok()
    }

    /// A tensor of the float network that has another shape in `layout`: its name, its shape, and
    /// the shape in `layout`.
    fn misshapen<'a>(
        &'a self,
        layout: &'a ParameterLayout,
    ) -> Option<(&'a str, &'a [usize], &'a [usize])> {
        let of_network =
            |role: ParameterRole| !role.is_quantizers() && role != ParameterRole::BatchCount;
        layout.parameters.iter().filter(|parameter| of_network(parameter.role)).find_map(
            |parameter| {
                let own = self.tensors.tensor(&parameter.name)?;
                let differs = own.shape != parameter.shape;
                differs.then_some((
                    parameter.name.as_str(),
                    own.shape.as_slice(),
                    parameter.shape.as_slice(),
                ))
            },
        )
    }
}

/// The model file for `path`: `path` itself, or the one in a run folder.
fn model_file(path: &Path) -> Result<PathBuf> {
    if !path.exists() {
        let what = "no such file or folder; a model is a .safetensors or .onnx file, or the run \
                    folder that `saliq train` wrote";
        return Err(Error::format(path, what));
    }
    if !path.is_dir() {
        return Ok(path.into());
    }
    let file = path.join(MODEL_FILE);
    if !file.exists() {
        let what =
            format!("holds no {MODEL_FILE}: not a run folder, or its training has not finished");
        return Err(Error::unfit(path, &what, Remedy::Training));
    }
    Ok(file)
}

/// The configuration of a model whose file contains no information.
fn said_nothing(network: NetworkConfig, quantization: QuantizationConfig) -> ModelConfig {
    ModelConfig {
        network,
        quantization,
        normalize: None,
        dataset: String::new(),
        dataset_is_folder: false,
        class_names: Vec::new(),
        training: serde_json::Value::Null,
    }
}
