//! `saliq explain`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{KnownImages, ModelFlags, localize};
use crate::{
    Error, Result,
    batch::ResidentData,
    cli::{
        args::{ExplainArgs, ExplainTarget, GlobalArgs},
        npz::{self, Member},
        output::Output,
        progress::Progress,
        words::worded,
    },
    config::{Normalize, PixelNormalization, Shape},
    data::{ArrayValues, Masks, Split, read_images, read_labels},
    gpu::Gpu,
    judgement::{Scores, add_localizations, localization},
    model::{Images, Model, Tensor, TensorFile},
    report::{ColorMap, Grid, GridColumn, Ground, Picture, read_picture},
    saliency::{
        Attributions, DataOptions, ExplainedNetwork, Method, check_applicable, explain_data,
    },
};

/// Largest number of images in an image grid; `attributions.safetensors` has all.
const GRID_ROWS: usize = 40;
/// Metadata key of `attributions.safetensors`: a JSON list of the pictures of `--image`, with the
/// paths as given, or of the files of a folder, in the order of the images.
const FILES_KEY: &str = "image_files";

/// Writes `grid.png`, `grid.svg` and `attributions.safetensors`.
///
/// # Errors
/// [`Error`] of the library functions that it calls.
pub fn run(args: &ExplainArgs, global: &GlobalArgs) -> Result<()> {
    args.validate()?;
    super::refuse_file(&args.out)?;
    let output = global.output();
    let flags = ModelFlags::new(&args.input, global);
    let mut models = args.models.iter().map(|path| flags.open(path)).collect::<Result<Vec<_>>>()?;
    for model in &models {
        model.require_alphas()?;
        if let ExplainTarget::Class(class) = args.target
            && class >= model.config.network.classes
        {
            return Err(Error::Usage(format!(
                "--target {class}: the model has classes 0 to {}",
                model.config.network.classes - 1
            )));
        }
    }
    let shapes: Vec<_> = models.iter().map(|model| model.config.network.input).collect();
    if shapes.iter().any(|shape| *shape != shapes[0]) {
        return Err(Error::Usage(
            "the models take images of different shapes; explain them one by one".into(),
        ));
    }
    let choose = |model| match &args.array {
        Some(array) => of_array(model, array, args, &flags),
        None if args.image.is_empty() => of_data_set(model, args, &flags),
        None => of_pictures(model, args, &flags),
    };
    let chosen = models.iter_mut().map(choose).collect::<Result<Vec<_>>>()?;
    if let Some(other) = chosen.iter().position(|other| other.split != chosen[0].split) {
        return Err(super::different_images(
            &model_name(&models[0].path),
            &model_name(&models[other].path),
        ));
    }
    for remark in &chosen[0].remarks {
        remark.say(&output);
    }
    let gpu = super::open_gpu(global)?;
    flags.say(&output);
    if args.image.is_empty() && args.array.is_none() {
        note_count(args, &chosen[0], &output);
        for (model, chosen) in models.iter().zip(&chosen) {
            super::note_other_classes(model, &chosen.source, &chosen.class_names, &output);
        }
    }
    let read = |folder: &PathBuf| {
        let (first, shape) = (&chosen[0], models[0].config.network.input);
        let reading = flags.reading_for(&models[0]);
        localize::read_masks(folder, (&first.place, &first.files), (shape, &reading), &output)
    };
    let masks = args.masks.as_ref().map(read).transpose()?;
    let (mut explained, mut refused) = (Vec::new(), Vec::new());
    for (model, chosen) in models.iter().zip(chosen) {
        let Chosen {
            source,
            class_names,
            normalization,
            numbers,
            split,
            labels,
            files,
            floats,
            ..
        } = chosen;
        let (methods, not_done) = methods_for(model, args, normalization)?;
        refused.extend(not_done);
        let mut options = args.data_options(&methods, normalization, &numbers);
        options.values = normalized(&floats, &normalization, model.config.network.input);
        super::note_folding(model, &methods, &options.settings, &output);
        let bar = Progress::items(
            &output,
            "explaining",
            options.work(&model.config.network, numbers.len() as u32),
        );
        let attributions =
            pollster::block_on(attribute(&gpu, model, &split, &options, &mut |done| {
                bar.set(done)
            }))?;
        bar.finish();
        let name = model_name(&model.path);
        explained.push(Explained {
            model,
            name,
            source,
            class_names,
            split,
            labels,
            numbers,
            files,
            floats,
            methods,
            attributions,
        });
    }
    super::prepare_folder(&args.out)?;
    write_grid(&explained, args)?;
    let files = write_tensors(&explained, args)?;
    let localized = match &masks {
        Some(masks) => localized(&explained, masks, args.seed)?,
        None => Vec::new(),
    };
    let result = ExplainResult {
        grid: args.out.join("grid.png"),
        attributions: files,
        images: explained[0].numbers.len(),
        methods: args
            .method
            .iter()
            .filter(|method| explained.iter().any(|one| one.methods.contains(method)))
            .map(|method| method.name())
            .collect(),
        masks: masks.as_ref().map(localize::masked_images),
        localization: localized,
    };
    output.result(&result, || {
        let files: Vec<_> =
            result.attributions.iter().map(|file| file.display().to_string()).collect();
        let said = format!(
            "{} images explained: {} and {}",
            result.images,
            result.grid.display(),
            files.join(", ")
        );
        let Some(masks) = result.masks else { return said };
        let rows = result.localization.iter();
        let rows = rows.map(|one| (one.model.as_str(), one.method, &one.scores));
        format!(
            "{}\nmeans of {masks} images with masks, with 95 % bootstrap intervals\n{}{said}",
            localize::table(rows).to_text(None),
            localize::explanations()
        )
    })?;
    if refused.is_empty() {
        Ok(())
    } else {
        Err(Error::Model(format!("{} (the other methods are done)", refused.join("; "))))
    }
}

/// The methods of `--method` that can explain `model`, and the reasons for the others.
///
/// # Errors
/// The reason, if no method can.
fn methods_for(
    model: &Model,
    args: &ExplainArgs,
    normalization: PixelNormalization,
) -> Result<(Vec<Method>, Vec<String>)> {
    let settings = args.data_options(&[], normalization, &[]).settings;
    let (mut methods, mut refused) = (Vec::new(), Vec::new());
    for &method in &args.method {
        match check_applicable(method, &model.config.network, &settings) {
            Ok(()) => methods.push(method),
            Err(error) => refused.push(error),
        }
    }
    let reasons = refused
        .iter()
        .map(|error| format!("{}: {}", model_name(&model.path), worded(error)))
        .collect();
    match refused.into_iter().next().filter(|_| methods.is_empty()) {
        Some(error) => Err(error),
        None => Ok((methods, reasons)),
    }
}

/// The JSON of `saliq explain --json`.
#[derive(Serialize)]
struct ExplainResult {
    grid: std::path::PathBuf,
    attributions: Vec<std::path::PathBuf>,
    images: usize,
    methods: Vec<&'static str>,
    /// Number of images whose masks count.
    #[serde(skip_serializing_if = "Option::is_none")]
    masks: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    localization: Vec<Localized>,
}

/// How well the maps of a method keep to the masks.
#[derive(Serialize)]
struct Localized {
    model: String,
    method: &'static str,
    scores: Scores,
}

/// The localization of all maps.
fn localized(explained: &[Explained<'_>], masks: &Masks, seed: u64) -> Result<Vec<Localized>> {
    let mut all = Vec::new();
    for one in explained {
        let shape = one.model.config.network.input;
        for (method, maps) in one.methods.iter().zip(&one.attributions.maps) {
            let mut scores = Scores::default();
            add_localizations(&mut scores, &localization(shape, maps, &masks.of_images)?, seed);
            all.push(Localized { model: one.name.clone(), method: method.name(), scores });
        }
    }
    Ok(all)
}

struct Explained<'a> {
    model: &'a Model,
    name: String,
    source: String,
    class_names: Vec<String>,
    split: Split,
    labels: Vec<Option<u32>>,
    numbers: Vec<u32>,
    files: Vec<String>,
    floats: Vec<f32>,
    methods: Vec<Method>,
    attributions: Attributions,
}

/// The name of a model: that of its run folder, or of its file.
pub(super) fn model_name(path: &Path) -> String {
    let is_default = path.file_name().is_some_and(|name| name == crate::model::MODEL_FILE);
    let named = if is_default { path.parent().and_then(Path::file_name) } else { path.file_stem() };
    named.map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned())
}

/// Images to explain, with their labels and names.
struct Chosen {
    source: String,
    class_names: Vec<String>,
    normalization: PixelNormalization,
    /// Where the data set is.
    place: String,
    numbers: Vec<u32>,
    split: Split,
    /// The true class of each image, if it has one.
    labels: Vec<Option<u32>>,
    /// The pictures of `--image`, with the paths as given, or the files in a folder of pictures.
    files: Vec<String>,
    /// The numbers of an array of floats; empty for other images.
    floats: Vec<f32>,
    /// Notes about conversions of the pictures.
    remarks: Vec<Remark>,
}

/// A note about a user's picture.
enum Remark {
    Note(String),
    Warning(String),
}

impl Remark {
    fn say(&self, output: &Output) {
        match self {
            Remark::Note(text) => output.note(text),
            Remark::Warning(text) => output.warn(text),
        }
    }
}

/// The conversions of the picture `name`, and whether anything is visible in it.
fn remarks(name: &str, picture: &Picture, shape: Shape) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if picture.is_turned {
        remarks.push(Remark::Note(format!("{name}: rotated by its EXIF orientation")));
    }
    if picture.is_transparent {
        remarks.push(Remark::Warning(format!(
            "{name}: every pixel is transparent: nothing is visible"
        )));
        return remarks;
    }
    match picture.ground {
        Some(Ground::White) => remarks.push(Remark::Note(format!(
            "{name}: transparent pixels become white, because the visible pixels are dark"
        ))),
        Some(Ground::Black) => remarks.push(Remark::Note(format!(
            "{name}: transparent pixels become black, because the visible pixels are light"
        ))),
        None => {}
    }
    if picture.is_blank(shape) {
        let [channels, height, width] = <[u32; 3]>::from(shape);
        let warning = format!(
            "{name}: has a single colour at the model's {channels}×{height}×{width}: nothing is \
             visible"
        );
        remarks.push(Remark::Warning(warning));
    }
    remarks
}

/// Prints a note if there are fewer images than `--count`.
fn note_count(args: &ExplainArgs, chosen: &Chosen, output: &Output) {
    let there = chosen.numbers.len();
    if args.indices.is_none() && there < args.count as usize {
        let split = args.input.split.name();
        output.note(&format!(
            "--count {}: the {split} split of {} has {there} images",
            args.count, chosen.source
        ));
    }
}

/// The images that `--indices` or `--count` select.
fn of_data_set(model: &mut Model, args: &ExplainArgs, flags: &ModelFlags<'_>) -> Result<Chosen> {
    let (dataset, normalization) = flags.data(model)?;
    let split = super::split_of(&dataset, args.input.split);
    let own_files = super::files_of(&dataset, args.input.split);
    let numbers: Vec<u32> = match &args.indices {
        Some(indices) => indices.numbers(own_files)?,
        None => (0..args.count.min(split.len() as u32)).collect(),
    };
    if let Some(beyond) = numbers.iter().find(|&&number| number as usize >= split.len()) {
        return Err(Error::Usage(format!(
            "--indices {beyond}: the {} split of {} has {} images",
            args.input.split.name(),
            dataset.name,
            split.len()
        )));
    }
    let places: Vec<usize> = numbers.iter().map(|&number| number as usize).collect();
    let split = split.select(&places, dataset.shape);
    let labels = split.known_labels();
    let files = places.iter().filter_map(|&place| own_files.get(place)).cloned().collect();
    let remarks = Vec::new();
    Ok(Chosen {
        source: dataset.name.clone(),
        class_names: dataset.class_names.clone(),
        normalization,
        place: dataset.source.clone(),
        numbers,
        split,
        labels,
        files,
        floats: Vec::new(),
        remarks,
    })
}

/// The pictures of `--image`, in the form that the model takes.
fn of_pictures(model: &mut Model, args: &ExplainArgs, flags: &ModelFlags<'_>) -> Result<Chosen> {
    let mut split = Split::default();
    let (mut files, mut said) = (Vec::new(), Vec::new());
    let shape = model.config.network.input;
    for path in args.pictures()? {
        let picture = read_picture(&path, shape, args.invert)?;
        let name = path.to_string_lossy().into_owned();
        said.extend(remarks(&name, &picture, shape));
        split.images.extend(picture.pixels);
        // A batch needs labels, but these are not used, because `--target label` is an error.
        split.labels.push(0);
        files.push(name);
    }
    let images = flags.images(model)?;
    flags.normalize(model, images.as_ref().map_or(Images::Unknown, KnownImages::images))?;
    Ok(Chosen {
        source: "own pictures".into(),
        class_names: model.config.class_names.clone(),
        normalization: model.normalization()?,
        place: String::new(),
        numbers: (0..files.len() as u32).collect(),
        split,
        labels: vec![None; files.len()],
        files,
        floats: Vec::new(),
        remarks: said,
    })
}

/// Whether pixels go in as they are, 0 to 255.
fn is_plain(normalization: &PixelNormalization) -> bool {
    Normalize::None.constants() == Some(*normalization)
}

/// What `floats`, [N, C, H, W], are for a network of images of `shape`.
fn normalized(floats: &[f32], normalization: &PixelNormalization, shape: Shape) -> Vec<f32> {
    if is_plain(normalization) {
        return floats.to_vec();
    }
    let of = |(at, &value): (usize, &f32)| normalization.apply(value, shape.channel_of(at));
    floats.iter().enumerate().map(of).collect()
}

/// The images of `--array`.
fn of_array(
    model: &mut Model,
    path: &Path,
    args: &ExplainArgs,
    flags: &ModelFlags<'_>,
) -> Result<Chosen> {
    let array = read_images(path)?;
    let (shape, count) = (model.config.network.input, array.count());
    if array.shape != shape {
        return Err(Error::Data(format!(
            "{}: has images of {}, the model takes {shape}",
            path.display(),
            array.shape
        )));
    }
    let labels = args.labels.as_deref().map(read_labels).transpose()?;
    if let (Some(labels), Some(file)) = (&labels, &args.labels) {
        let classes = model.config.network.classes;
        if labels.len() != count {
            let found = labels.len();
            let reason = format!("has {found} labels for {count} images");
            return Err(Error::format(file, reason));
        }
        if let Some(label) = labels.iter().find(|&&label| label >= classes) {
            let reason = format!("has label {label}; the model has classes 0 to {}", classes - 1);
            return Err(Error::format(file, reason));
        }
    }
    let images = flags.images(model)?;
    flags.normalize(model, images.as_ref().map_or(Images::Unknown, KnownImages::images))?;
    let normalization = model.normalization()?;
    let (bytes, floats) = match array.values {
        ArrayValues::Bytes(bytes) => (bytes, Vec::new()),
        ArrayValues::Floats(floats) => {
            let full = if is_plain(&normalization) { 1.0 } else { 255.0 };
            // For the pictures alone.
            let byte = |value: &f32| (value * full).round().clamp(0.0, 255.0) as u8;
            (floats.iter().map(byte).collect(), floats)
        }
    };
    let known = match &labels {
        Some(labels) => labels.iter().copied().map(Some).collect(),
        None => vec![None; count],
    };
    Ok(Chosen {
        source: path.display().to_string(),
        class_names: model.config.class_names.clone(),
        normalization,
        place: String::new(),
        numbers: (0..count as u32).collect(),
        // A batch needs labels, but these are not used without `--labels`.
        split: Split { images: bytes, labels: labels.unwrap_or_else(|| vec![0; count]) },
        labels: known,
        files: Vec::new(),
        floats,
        remarks: Vec::new(),
    })
}

async fn attribute(
    gpu: &Gpu,
    model: &Model,
    split: &Split,
    options: &DataOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Attributions> {
    let data = ResidentData::new(gpu, split, model.config.network.input)?;
    let parameters = gpu.upload("parameters", &model.parameters)?;
    let network = ExplainedNetwork {
        config: &model.config.network,
        quantization: &model.config.quantization,
        parameters: &parameters,
    };
    explain_data(gpu, network, &data, options, progress).await
}

/// Pixels of `split` in 0..1.
pub(super) fn unit_pixels(split: &Split) -> Vec<f32> {
    split.images.iter().map(|&byte| f32::from(byte) / 255.0).collect()
}

/// The name of a method, for the maps of one channel or for their sum.
fn heading(method: Method, channel: Option<u32>, shape: Shape) -> String {
    let name = method.name();
    match (channel, shape.channels) {
        (None, _) | (_, 1) => name.into(),
        (Some(channel @ 0..3), 3) => {
            format!("{name}, {}", ["red", "green", "blue"][channel as usize])
        }
        (Some(channel), _) => format!("{name}, channel {channel}"),
    }
}

fn write_grid(explained: &[Explained<'_>], args: &ExplainArgs) -> Result<()> {
    let first = &explained[0];
    let shape = first.model.config.network.input;
    let rows = first.numbers.len().min(GRID_ROWS);
    let pixels = rows * shape.elements() as usize;
    let images = unit_pixels(&first.split);
    let channels: Vec<Option<u32>> = match args.per_channel_maps {
        true => (0..shape.channels).map(Some).collect(),
        false => vec![None],
    };
    let mut shown = Vec::new();
    for one in explained {
        for (index, method) in one.methods.iter().enumerate() {
            let heading = |&channel| (one, index, channel, heading(*method, channel, shape));
            shown.extend(channels.iter().map(heading));
        }
    }
    let columns = shown.iter().map(|(one, index, channel, heading)| GridColumn {
        model: &one.name,
        method: heading,
        derivative: one.methods[*index].is_derivative(),
        saliency: &one.attributions.maps[*index][..pixels],
        channel: *channel,
        masked: &one.attributions.masked[*index][..pixels],
        predictions: &one.attributions.predictions[..rows],
        probabilities: &one.attributions.probabilities[..rows],
        accuracy: None,
    });
    let grid = Grid {
        title: &format!("The pixels that the models use: {}", first.source),
        shape,
        images: &images[..pixels],
        labels: &first.labels[..rows],
        class_names: &first.class_names,
        explained: &args.target.described(&first.class_names),
        columns: columns.collect(),
        colormap: args.cmap.unwrap_or(ColorMap::Diverging),
    };
    crate::files::write_atomically(&args.out.join("grid.svg"), grid.svg()?.as_bytes())?;
    grid.write(args.out.join("grid.png"))
}

/// Writes one `attributions.safetensors`, or with several models one
/// `attributions-<model>.safetensors` each.
fn write_tensors(
    explained: &[Explained<'_>],
    args: &ExplainArgs,
) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for (position, one) in explained.iter().enumerate() {
        let name = match (
            explained.len(),
            explained[..position].iter().any(|other| other.name == one.name),
        ) {
            (1, _) => "attributions.safetensors".to_string(),
            (_, false) => format!("attributions-{}.safetensors", one.name),
            (_, true) => format!("attributions-{}-{}.safetensors", one.name, position + 1),
        };
        let count = one.numbers.len();
        let [channels, height, width] =
            <[u32; 3]>::from(one.model.config.network.input).map(|size| size as usize);
        let shape = [count, channels, height, width];
        let mut tensors: Vec<_> = one
            .methods
            .iter()
            .zip(&one.attributions.maps)
            .map(|(method, map)| Tensor::f32(method.name(), &shape, map.clone()))
            .collect();
        let integers = |values: Vec<i64>, name: &str| Tensor::i64(name, &[count], values);
        let images = match one.floats.is_empty() {
            true => unit_pixels(&one.split),
            false => one.floats.clone(),
        };
        tensors.push(Tensor::f32("images", &shape, images));
        // −1 if an image has no label.
        tensors.push(integers(
            one.labels.iter().map(|label| label.map_or(-1, i64::from)).collect(),
            "labels",
        ));
        tensors.push(integers(
            one.attributions.predictions.iter().map(|&class| i64::from(class)).collect(),
            "predictions",
        ));
        tensors.push(integers(
            one.numbers.iter().map(|&number| i64::from(number)).collect(),
            "indices",
        ));
        let classes = one.model.config.network.classes as usize;
        tensors.push(Tensor::f32("logits", &[count, classes], one.attributions.logits.clone()));
        let path = args.out.join(name);
        let metadata = if one.files.is_empty() {
            Vec::new()
        } else {
            vec![(FILES_KEY, serde_json::json!(one.files).to_string())]
        };
        TensorFile::write(&path, &tensors, &metadata)?;
        files.push(path.clone());
        if args.npz {
            let path = path.with_extension("npz");
            write_archive(&path, &tensors, &one.files)?;
            files.push(path);
        }
    }
    Ok(files)
}

/// Writes what `attributions.safetensors` has as an `.npz` file: `tensors`, and the names of the
/// pictures.
fn write_archive(path: &Path, tensors: &[Tensor], names: &[String]) -> Result<()> {
    let count = [names.len()];
    let mut members: Vec<Member<'_>> = tensors.iter().map(Member::of).collect();
    if !names.is_empty() {
        members.push(Member::texts("image_files", &count, names));
    }
    npz::write(path, &members)
}
