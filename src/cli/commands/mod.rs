//! One thin function per command.

pub mod bench;
pub mod check;
pub mod compare;
pub mod cost;
pub mod data;
pub mod demo;
pub mod devices;
pub mod drop;
pub mod eval;
pub mod explain;
pub mod export;
pub mod import;
mod judge;
mod localize;
pub mod networks;
mod parts;
pub mod quantize;
pub mod reproduce;
pub mod runs;
mod sbatch;
pub mod search;
pub mod shell;
mod snapshots;
pub mod sweep;
pub mod train;
pub mod watch;

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{
    args::{DatasetArgs, GlobalArgs, ModelInputArgs, NetworkArgs, Split},
    output::Output,
    tuning,
};
use crate::{
    Error, Result,
    cli::words::phrased,
    config::{
        ModelConfig, NetworkChoice, NormalizeSpec, PartialRunConfig, PixelNormalization,
        QuantizationOverrides, ReadOptions, Shape, short_name,
    },
    data::{self as datasets, Dataset, catalog::Entry},
    gpu::{DeviceProfile, Gpu, GpuOptions},
    metrics::Cost,
    model::{Images, MODEL_FILE, Model, ModelFile, Reading},
    pipelines::CachedGpu,
    saliency::{Method, MethodOptions},
    train::{DataLocation, RunFolder},
};

/// The adapter that `--adapter` names. `SALIQ_DEVICE_PROFILE=webgpu` requests WebGPU's default
/// limits and no optional feature, and takes a browser's kernels.
fn open_gpu(global: &GlobalArgs) -> Result<CachedGpu> {
    let profile = match std::env::var("SALIQ_DEVICE_PROFILE").as_deref() {
        Ok("webgpu") => DeviceProfile::WebGpuDefaults,
        _ => DeviceProfile::Full,
    };
    let gpu =
        pollster::block_on(Gpu::new(&GpuOptions { adapter: global.adapter.clone(), profile }))?;
    log::info!("running on {}", gpu.adapter_description());
    tuning::activate(&global.tiles, &gpu)?;
    Ok(CachedGpu::new(gpu))
}

/// A data set with its name, the folder in which it was looked up, and how it was read.
type ReadDataset = (String, Option<PathBuf>, ReadOptions, Rc<Dataset>);

/// The flags of a command that apply to its models.
struct ModelFlags<'a> {
    /// Assumptions about files without information. [`Self::say`] prints them when the work begins,
    /// so that an error is printed alone.
    assumed: RefCell<Vec<String>>,
    /// The data set that was read last, with its name and lookup folder, so that models that share
    /// a data set read it once.
    read: RefCell<Option<ReadDataset>>,
    network: &'a NetworkArgs,
    quantization: &'a QuantizationOverrides,
    dataset: Option<&'a str>,
    data_dir: Option<&'a Path>,
    normalize: Option<&'a NormalizeSpec>,
    /// How images are read; where it says nothing, as for the training of a model.
    reading: ReadOptions,
    /// Where the progress of reading is shown.
    output: Output,
}

impl<'a> ModelFlags<'a> {
    fn new(input: &'a ModelInputArgs, global: &GlobalArgs) -> Self {
        let (network, normalize) = (&input.network, input.normalize.as_ref());
        let flags = ModelFlags::of(network, &input.quantization, &input.data, normalize, global);
        ModelFlags { reading: input.read.options(global.image_color(), 0), ..flags }
    }

    /// The flags of a command that reads images as for the training of a model.
    fn of(
        network: &'a NetworkArgs,
        quantization: &'a QuantizationOverrides,
        data: &'a DatasetArgs,
        normalize: Option<&'a NormalizeSpec>,
        global: &GlobalArgs,
    ) -> Self {
        ModelFlags {
            assumed: RefCell::default(),
            read: RefCell::default(),
            network,
            quantization,
            dataset: data.dataset.as_deref(),
            data_dir: data.data_dir.as_deref(),
            normalize,
            reading: ReadOptions::default(),
            output: global.output(),
        }
    }

    /// Prints the assumptions so far, each of them once.
    fn say(&self, output: &Output) {
        let mut said = Vec::new();
        for line in self.assumed.take() {
            if !said.contains(&line) {
                output.note(&line);
                said.push(line);
            }
        }
    }

    /// Reads a model according to the flags.
    fn open(&self, path: &Path) -> Result<Model> {
        self.model(ModelFile::open(path)?)
    }

    /// As [`Self::open`], for a file in memory.
    fn model(&self, file: ModelFile) -> Result<Model> {
        let network = self.network.network.as_deref().map(NetworkChoice::find).transpose()?;
        let says_images = network.as_ref().is_some_and(|choice| choice.input().is_some());
        let images = match self.dataset.filter(|_| file.is_bare() && !says_images) {
            Some(name) => Some((name, self.known_images(name, &self.reading)?.shape())),
            None => None,
        };
        let made_for = file.quantization();
        let (model, remark) = file.model(&Reading {
            quantization: self.quantization,
            network: network.as_ref(),
            images,
        })?;
        let own = &model.config;
        if let Some(said) = own.quantization.scale_warning(&made_for, &own.network) {
            log::warn!("{}: {}", model.path.display(), phrased(&said));
        }
        self.assumed.borrow_mut().extend(remark.as_ref().map(phrased));
        if let Some(size) = self.reading.image_size {
            let taken = own.network.input;
            if (size.height, size.width) != (taken.height, taken.width) {
                return Err(Error::Usage(format!(
                    "--image-size {},{}: {} takes images of {}×{}",
                    size.height,
                    size.width,
                    model.path.display(),
                    taken.height,
                    taken.width
                )));
            }
        }
        Ok(model)
    }

    /// The data set that `model` is to be run on. The normalisation of its pixels is determined and
    /// stored in `model`.
    fn data(&self, model: &mut Model) -> Result<(Rc<Dataset>, PixelNormalization)> {
        let dataset = self.dataset_of(model)?;
        self.normalize(model, Images::Loaded(&dataset))?;
        Ok((dataset, model.normalization()?))
    }

    /// Determines the normalisation of the pixels of `images`, and stores it in `model`.
    fn normalize(&self, model: &mut Model, images: Images<'_>) -> Result<()> {
        let assumed = model.settle_normalization(self.normalize.map(|spec| &spec.0), images)?;
        self.assumed.borrow_mut().extend(assumed.as_ref().map(phrased));
        Ok(())
    }

    /// The data set that a model is to be run on: the one that is named, else the one that it was
    /// trained on.
    fn dataset_of(&self, model: &Model) -> Result<Rc<Dataset>> {
        let beside = DataLocation::beside(model);
        let name = match self.dataset {
            Some(name) => name.to_string(),
            None => self.trained_on(model, &beside)?,
        };
        let beside_dir = beside.data_dir.filter(|folder| folder.is_dir());
        let reading = self.reading_for(model);
        let dataset = self.load(&name, self.data_dir.or(beside_dir.as_deref()), &reading)?;
        check_images(model, &name, dataset.shape, dataset.classes)?;
        let Some(matched) = dataset.with_labels_of(&model.config.class_names) else {
            self.assumed.borrow_mut().extend(classes_by_index(model, &name, &dataset)?);
            return Ok(dataset);
        };
        self.assumed.borrow_mut().push(format!(
            "{name}: its classes are matched by name with those of {}, which has them in another \
             order",
            model.path.display()
        ));
        Ok(Rc::new(matched))
    }

    /// How the images for `model` are read: by the flags, else as for its training.
    fn reading_for(&self, model: &Model) -> ReadOptions {
        let own = model.config.training.get("reading").cloned();
        let own = own.and_then(|own| serde_json::from_value(own).ok()).unwrap_or_default();
        self.reading.clone().over(own)
    }

    /// The data set that a model was trained on, in the form of `--dataset`.
    fn trained_on(&self, model: &Model, beside: &DataLocation) -> Result<String> {
        let (own, path) = (crate::plain(&model.config.dataset), model.path.display());
        if own.is_empty() {
            return Err(Error::Usage(format!(
                "{path}: does not say what it was trained on; name a data set with --dataset"
            )));
        }
        let is_known = datasets::is_named(&own) && !model.config.dataset_is_folder;
        let folder = beside.dataset.as_deref().filter(|place| short_name(place) != **place);
        match folder {
            Some(folder) if Path::new(folder).exists() => return Ok(folder.into()),
            None if is_known => return Ok(own),
            _ => {}
        }
        // A folder with that name in the working directory may be the data set.
        let here = Path::new(".").join(&own);
        if folder.is_none() && short_name(&own) == own && here.exists() {
            let taken =
                format!("{path}: was trained on a folder called {own}; taken to be the one here");
            self.assumed.borrow_mut().push(taken);
            return Ok(here.display().to_string());
        }
        let gone = folder.map_or_else(String::new, |folder| {
            format!(" ({}, which stands beside it, is not there)", crate::plain(folder))
        });
        Err(Error::Usage(format!(
            "{path}: was trained on a folder called {own}, and holds no path{gone}; say where it \
             is with --dataset FOLDER/{own}"
        )))
    }

    /// The information about the images `name`, without reading more than necessary.
    fn known_images(&self, name: &str, reading: &ReadOptions) -> Result<KnownImages> {
        match datasets::catalog::find(name) {
            Some(entry) => Ok(KnownImages::Named(entry)),
            None => Ok(KnownImages::Loaded(self.load(name, self.data_dir, reading)?)),
        }
    }

    /// The data set `name`, which is read unless it was read last.
    fn load(
        &self,
        name: &str,
        data_dir: Option<&Path>,
        reading: &ReadOptions,
    ) -> Result<Rc<Dataset>> {
        // The path of a folder needs no lookup.
        let data_dir = data_dir.filter(|_| datasets::is_named(name));
        if let Some((own, place, options, dataset)) = &*self.read.borrow()
            && (own.as_str(), place.as_deref(), options) == (name, data_dir, reading)
        {
            return Ok(Rc::clone(dataset));
        }
        let dataset = Rc::new(data::load(name, data_dir, reading, &self.output)?);
        let place = data_dir.map(Path::to_path_buf);
        *self.read.borrow_mut() = Some((name.into(), place, reading.clone(), Rc::clone(&dataset)));
        Ok(dataset)
    }

    /// The images that `--dataset` names, if given, for a model that is not run on them.
    fn images(&self, model: &Model) -> Result<Option<KnownImages>> {
        let Some(name) = self.dataset else { return Ok(None) };
        let images = self.known_images(name, &self.reading_for(model))?;
        check_images(model, name, images.shape(), images.classes())?;
        Ok(Some(images))
    }
}

/// The information about a data set that a model without images of its own needs; a named set is
/// not read.
enum KnownImages {
    Named(&'static Entry),
    Loaded(Rc<Dataset>),
}

impl KnownImages {
    fn shape(&self) -> Shape {
        match self {
            KnownImages::Named(entry) => entry.shape,
            KnownImages::Loaded(dataset) => dataset.shape,
        }
    }

    fn classes(&self) -> u32 {
        match self {
            KnownImages::Named(entry) => entry.class_names.len() as u32,
            KnownImages::Loaded(dataset) => dataset.classes,
        }
    }

    fn images(&self) -> Images<'_> {
        match self {
            KnownImages::Named(entry) => Images::Named(entry),
            KnownImages::Loaded(dataset) => Images::Loaded(dataset),
        }
    }
}

/// Returns an error for images and classes that do not match the model.
fn check_images(model: &Model, name: &str, shape: Shape, classes: u32) -> Result<()> {
    let network = &model.config.network;
    if shape == network.input && classes <= network.classes {
        return Ok(());
    }
    let Shape { channels, height, width } = network.input;
    let mut flags = Vec::new();
    if matches!((shape.channels, channels), (1, 3) | (3, 1)) {
        flags.push(if channels == 1 { "--color grey".into() } else { "--color rgb".into() });
    }
    if (shape.height, shape.width) != (height, width) {
        flags.push(format!("--image-size {height},{width}"));
    }
    let hint = if flags.is_empty() {
        String::new()
    } else {
        format!("; images of its shape: {}", flags.join(" "))
    };
    Err(Error::Data(format!(
        "{name} has images of {:?} and {classes} classes, the model takes {:?} and {}{hint}",
        <[u32; 3]>::from(shape),
        <[u32; 3]>::from(network.input),
        network.classes
    )))
}

/// What is said of the classes of `dataset`, called `name`, where labels are taken for the numbers
/// of outputs because the model names none. Named classes that are not the model's own must be as
/// many as its outputs.
fn classes_by_index(model: &Model, name: &str, dataset: &Dataset) -> Result<Option<String>> {
    let (own, names) = (&model.config.class_names, &dataset.class_names);
    if !names.is_empty() && names.iter().all(|name| own.contains(name)) {
        return Ok(None);
    }
    let (path, outputs) = (model.path.display(), model.config.network.classes);
    let is_numbered = names.iter().enumerate().all(|(class, name)| *name == class.to_string());
    if !is_numbered && dataset.classes != outputs {
        return Err(Error::Data(format!(
            "{name} has {} classes, {path} has {outputs} and {}; `saliq import --classes` names \
             the classes of a model, which are then matched by name",
            dataset.classes,
            if own.is_empty() { "names none" } else { "calls them otherwise" }
        )));
    }
    let is_assumed = own.is_empty() && !is_numbered;
    Ok(is_assumed.then(|| format!("{path}: names no classes; those of {name} go by index")))
}

/// Refuses a model that is quantized already; `command` takes the float one.
fn check_float(model: &Model, command: &str) -> Result<()> {
    match model.config.quantization.label().as_str() {
        "32" => Ok(()),
        bits => Err(Error::Usage(format!(
            "{}: is quantized already ({}); {command} takes the float model",
            model.path.display(),
            bits.replace('-', ",")
        ))),
    }
}

/// Refuses an output that is there already, without `--force`.
fn check_new(output: &Path, force: bool) -> Result<()> {
    if !output.exists() || force {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{}: is there already; --force replaces it, --out names another",
        output.display()
    )))
}

/// Writes into `config` of which data set its model is, where it does not say one.
fn name_dataset(config: &mut ModelConfig, dataset: &Dataset) {
    if config.dataset.is_empty() {
        (config.dataset, config.dataset_is_folder) = (dataset.name.clone(), !dataset.is_named());
    }
    if config.class_names.is_empty() {
        config.class_names.clone_from(&dataset.class_names);
    }
}

/// The config.toml of the run folder that a model is in, if it is in one.
fn settings_beside(model: &Model) -> Option<Result<PartialRunConfig>> {
    let in_folder = model.path.file_name().is_some_and(|name| name == MODEL_FILE);
    let file =
        model.path.parent().map(RunFolder::config_of).filter(|file| in_folder && file.exists())?;
    Some(PartialRunConfig::from_file(&file))
}

/// Prints a note if methods fold batch norms of `model` for their maps.
fn note_folding(model: &Model, methods: &[Method], settings: &MethodOptions, output: &Output) {
    let network = &model.config.network;
    let folding = |method: &&Method| settings.folds_batch_norms(**method, network);
    let names: Vec<_> = methods.iter().filter(folding).map(|method| method.name()).collect();
    if !names.is_empty() {
        output.note(&format!(
            "{}: its batch norms are folded into the layers in front of them for {}",
            model.path.display(),
            names.join(", ")
        ));
    }
}

/// Prints a note if a model has other class names than the data set that it is run on, because it
/// was trained on another one.
fn note_other_classes(model: &Model, source: &str, class_names: &[String], output: &Output) {
    let own = &model.config.class_names;
    let differing = own.iter().zip(class_names).enumerate().find(|(_, (own, used))| own != used);
    if let Some((class, (own, used))) = differing {
        let path = model.path.display();
        output.note(&format!(
            "{path}: class {class} is {own} to the model, trained on {}, and {used} in {source}",
            model.config.dataset
        ));
    }
}

/// Prints a note if float layers are most of a quantized model's bytes. `model` is given only for a
/// model with α's for its own bits; other bits need training or calibration.
fn note_float_bulk(cost: &Cost, model: Option<&Path>, output: &Output) {
    let command = model.map_or_else(String::new, |model| {
        let config = RunFolder::config_of(model);
        match model.is_dir() && config.exists() {
            true => {
                let (config, model) =
                    (quoted(&config.display().to_string()), quoted(&model.display().to_string()));
                format!("saliq train --config {config} --init {model} --out NEW ")
            }
            false => "saliq quantize FLOAT --out NEW, of the float model, with ".into(),
        }
    });
    if let Some(bulk) = cost.float_bulk(&command) {
        output.note(&phrased(&bulk));
    }
}

/// The error for models that are to be compared but were trained on different images.
fn different_images(one: &str, other: &str) -> Error {
    Error::Usage(format!(
        "{one} and {other} were trained on different images; name the ones to use for both with \
         --dataset"
    ))
}

/// Returns an error if a file has the name of the folder for a command's results, before the work
/// begins.
fn refuse_file(out: &Path) -> Result<()> {
    if out.exists() && !out.is_dir() {
        return Err(Error::Usage(format!(
            "--out {}: is a file; name a folder for the results",
            out.display()
        )));
    }
    Ok(())
}

/// Creates the folder for a command's results.
fn prepare_folder(out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).map_err(Error::io("cannot create", out))
}

/// An argument, quoted if a shell requires it.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./,=:+@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The command line of this process, quoted if a shell requires it.
fn command_line() -> String {
    let arguments = std::env::args_os().skip(1).map(|argument| quoted(&argument.to_string_lossy()));
    std::iter::once("saliq".to_string()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The files of the images of a split; empty where they have none.
fn files_of(dataset: &Dataset, split: Split) -> &[String] {
    match split {
        Split::Test => &dataset.details.test_files,
        Split::Train => &dataset.details.train_files,
    }
}

/// The split that `--split` names.
fn split_of(dataset: &Dataset, split: Split) -> &datasets::Split {
    match split {
        Split::Test => &dataset.test,
        Split::Train => &dataset.train,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_set_that_models_share_is_read_once() {
        let flags = ModelFlags {
            assumed: RefCell::default(),
            read: RefCell::default(),
            network: &NetworkArgs::default(),
            quantization: &QuantizationOverrides::default(),
            dataset: None,
            data_dir: None,
            normalize: None,
            reading: ReadOptions::default(),
            output: Output::new(false, true, false),
        };
        let options = ReadOptions::default();
        let load = |name: &str, data_dir: Option<&str>| {
            flags.load(name, data_dir.map(Path::new), &options).unwrap()
        };
        let first = load("mnist-mini", None);
        assert!(Rc::ptr_eq(&first, &load("mnist-mini", None)));
        let elsewhere = load("mnist-mini", Some("/elsewhere"));
        assert!(!Rc::ptr_eq(&first, &elsewhere));
        let other = load("fashion-mini", Some("/elsewhere"));
        assert!(other.name == "fashion-mini" && flags.load("no such set", None, &options).is_err());
    }
}
