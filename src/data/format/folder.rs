//! Folders of pictures: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`.
//!
//! Classes, folders and files are in the order of torchvision's `ImageFolder`: by the bytes of
//! their names, a folder's own files before those of the folders in it. Pictures that cannot be
//! read are left out with their reason.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    path::{Path, PathBuf},
};

use sha2::Sha256;

use super::{
    cache,
    names::{self, Item, Use},
    picture::{self, Header},
    planes::{Decoded, MAX_FILE, check_regular, open, planes, turned_if},
};
use crate::{
    Error, Result,
    config::{ColorMode, ImageSize, ReadOptions, Shape},
    data::{
        content::{Content, Part},
        dataset::{Skipped, Split},
        parallel::{self, Progress},
        pixels,
    },
    digest::hex_of,
    error::phrase,
};

/// Largest number of pictures.
const MAX_COUNT: usize = 1 << 24;
/// Largest depth of folders in a class.
const MAX_DEPTH: usize = 64;
/// Largest number of classes.
const MAX_CLASSES: usize = 1 << 16;
/// Pictures of other sizes than most that are looked at more closely.
const MAX_ODD: usize = 64;

/// The folders of a data set.
#[derive(Debug)]
struct Layout {
    root: PathBuf,
    /// Folders with class folders: training (or all) images, test images, validation images.
    splits: [Option<PathBuf>; 3],
    skipped: Vec<Skipped>,
    warnings: Vec<String>,
}

/// A picture of a class.
#[derive(Clone, Debug)]
struct Candidate {
    path: PathBuf,
    /// Path in the data set's folder, with `/`.
    name: String,
    /// Number of the split: 0, 1, 2.
    split: usize,
    class: u32,
}

/// Reads the data set in the folder `root`.
///
/// # Errors
/// [`Error::Data`] for a folder that is arranged otherwise, pictures of different sizes without
/// `--image-size`, or a class without a picture that can be read to train on; [`Error::Io`].
pub(super) fn read(
    root: &Path,
    options: &ReadOptions,
    progress: &mut Progress<'_>,
) -> Result<Content> {
    let mut layout = Layout::find(root)?;
    let (classes, candidates) = layout.candidates()?;
    if candidates.is_empty() {
        return Err(Error::Data(format!(
            "{}: its class folders hold no PNG, JPEG, WebP, BMP or GIF pictures",
            root.display()
        )));
    }
    let sums = parallel::map(&candidates, progress, |_, candidate| sum(&candidate.path));
    let key = cache::key(&(
        options,
        &classes,
        candidates
            .iter()
            .zip(&sums)
            .map(|(candidate, sum)| (&candidate.name, candidate.split, candidate.class, sum))
            .collect::<Vec<_>>(),
        &layout.skipped,
        &layout.warnings,
    ));
    if let Some(content) = cache::load(&key) {
        return Ok(content);
    }
    let content = layout.decoded(classes, &candidates, options, progress)?;
    cache::store(&key, &content);
    Ok(content)
}

impl Layout {
    /// The folders with class folders in `root`.
    fn find(root: &Path) -> Result<Layout> {
        let items = names::list(root)?;
        let role = |item: &&Item| match item.lower().as_str() {
            "train" | "training" => Some(0),
            "test" | "testing" => Some(1),
            "val" | "valid" | "validation" => Some(2),
            _ => None,
        };
        let folders: Vec<&Item> = items.iter().filter(|item| item.is_folder).collect();
        let place = root.display();
        // Folders with these names may also be classes, if they hold pictures themselves.
        let contains = |folder: &Path| -> Result<(bool, bool)> {
            let inside = names::list(folder)?;
            let is_picture = |item: &Item| !item.is_folder && Use::of(&item.path) == Use::Picture;
            Ok((inside.iter().any(|item| item.is_folder), inside.iter().any(is_picture)))
        };
        let mut splits: [Option<PathBuf>; 3] = [None, None, None];
        let mut flat = None;
        for item in &folders {
            let Some(role) = role(item) else { continue };
            if !contains(&item.path)?.0 {
                flat = Some(item.name().to_string_lossy().into_owned());
                continue;
            }
            if let Some(other) = &splits[role] {
                return Err(Error::Data(format!(
                    "{place}: {} and {} are both folders of {} images; one is needed",
                    other.file_name().unwrap_or_default().display(),
                    item.name().display(),
                    ["training", "test", "validation"][role]
                )));
            }
            splits[role] = Some(item.path.clone());
        }
        let others: Vec<&&Item> = folders.iter().filter(|item| role(item).is_none()).collect();
        let mut layout =
            Layout { root: root.into(), splits, skipped: Vec::new(), warnings: Vec::new() };
        if layout.splits.iter().all(Option::is_none) {
            if let Some(flat) = flat.filter(|_| others.is_empty()) {
                return Err(Error::Data(format!(
                    "{place}: {flat}/ has no class folders; pictures belong in \
                     {flat}/CLASS/PICTURE.png"
                )));
            }
            layout.splits[0] = Some(root.into());
            layout.check_classes(&items, contains)?;
            return Ok(layout);
        }
        if let Some(flat) = flat {
            return Err(Error::Data(format!(
                "{place}: {flat}/ has no class folders; pictures belong in \
                 {flat}/CLASS/PICTURE.png"
            )));
        }
        if layout.splits[0].is_none() {
            return Err(Error::Data(format!(
                "{place}: has no folder of training images; name it train/CLASS/*"
            )));
        }
        for item in others {
            let (has_folders, has_pictures) = contains(&item.path)?;
            if has_folders || has_pictures {
                layout.warnings.push(format!(
                    "{}/ is left out: it is none of train, test and val",
                    item.name().display()
                ));
            }
        }
        layout.skip_loose(root, &items);
        Ok(layout)
    }

    /// Returns an error if the folders in the root are no classes.
    fn check_classes(
        &self,
        items: &[Item],
        contains: impl Fn(&Path) -> Result<(bool, bool)>,
    ) -> Result<()> {
        let place = self.root.display();
        let folders: Vec<&Item> = items.iter().filter(|item| item.is_folder).collect();
        match folders[..] {
            [] if items.iter().any(|item| Use::of(&item.path) == Use::Picture) => {
                Err(Error::Settings(phrase!(
                    "{}: pictures lie in the folder itself; each class needs a folder: \
                     train/CLASS/*, test/CLASS/*, or CLASS/* with <test-share 0.2>",
                    place
                )))
            }
            [] => Err(Error::Data(names::no_data_set(&self.root))),
            [only] => {
                let name = only.name().display();
                let inside = contains(&only.path)?.0;
                let hint = if inside {
                    format!("did you mean {}?", only.path.display())
                } else {
                    "two are needed".into()
                };
                Err(Error::Data(format!("{place}: holds a single class folder, {name}; {hint}")))
            }
            _ => Ok(()),
        }
    }

    fn relative(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.root).unwrap_or(path);
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        parts.join("/")
    }

    fn skip(&mut self, path: &Path, reason: impl Into<String>) {
        self.skipped.push(Skipped { file: self.relative(path), reason: reason.into() });
    }

    /// Notes pictures that lie beside class folders.
    fn skip_loose(&mut self, _folder: &Path, items: &[Item]) {
        for item in items.iter().filter(|item| !item.is_folder) {
            if Use::of(&item.path) == Use::Picture {
                self.skip(&item.path, "lies in no class folder");
            }
        }
    }

    /// The classes of all splits and the pictures in them.
    fn candidates(&mut self) -> Result<(Vec<String>, Vec<Candidate>)> {
        let mut classes: BTreeMap<String, [Option<PathBuf>; 3]> = BTreeMap::new();
        for split in 0..3 {
            let Some(folder) = self.splits[split].clone() else { continue };
            let items = names::list(&folder)?;
            self.skip_loose(&folder, &items);
            for item in items.into_iter().filter(|item| item.is_folder) {
                let Some(name) = item.name().to_str() else {
                    return Err(Error::Data(format!(
                        "{}: the name of a class must be UTF-8 text; rename the folder",
                        item.path.display()
                    )));
                };
                classes.entry(name.into()).or_default()[split] = Some(item.path.clone());
            }
        }
        if classes.len() > MAX_CLASSES {
            return Err(Error::Data(format!(
                "{}: {} class folders; at most {MAX_CLASSES} are supported",
                self.root.display(),
                classes.len()
            )));
        }
        self.check_spelling(&classes)?;
        let mut candidates = Vec::new();
        for split in 0..3 {
            for (class, (_, folders)) in classes.iter().enumerate() {
                let Some(folder) = &folders[split] else { continue };
                for path in self.files(folder)? {
                    let name = self.relative(&path);
                    candidates.push(Candidate { path, name, split, class: class as u32 });
                }
                if candidates.len() > MAX_COUNT {
                    return Err(Error::Data(format!(
                        "{}: more than {MAX_COUNT} pictures",
                        self.root.display()
                    )));
                }
            }
        }
        Ok((classes.into_keys().collect(), candidates))
    }

    /// Returns an error for a class whose name is spelled differently in another split.
    fn check_spelling(&mut self, classes: &BTreeMap<String, [Option<PathBuf>; 3]>) -> Result<()> {
        let mut by_lower: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for name in classes.keys() {
            by_lower.entry(name.to_lowercase()).or_default().push(name);
        }
        let splits = |name: &String| -> BTreeSet<usize> {
            (0..3).filter(|&split| classes[name][split].is_some()).collect()
        };
        let mut alike = Vec::new();
        for names in by_lower.into_values().filter(|names| names.len() > 1) {
            for (index, one) in names.iter().enumerate() {
                for other in &names[index + 1..] {
                    if splits(one).is_disjoint(&splits(other)) {
                        return Err(Error::Data(format!(
                            "{}: class {one} of one split is {other} in another; give both \
                             folders the same name",
                            self.root.display()
                        )));
                    }
                    alike.push(format!("classes {one} and {other} differ in case only"));
                }
            }
        }
        alike.sort();
        self.warnings.extend(alike);
        Ok(())
    }

    /// The pictures of a class: the files of each folder by name, folders by path.
    fn files(&mut self, class: &Path) -> Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        collect_folders(class, &mut Vec::new(), &mut folders)?;
        let bytes = |path: &PathBuf| path.as_os_str().as_encoded_bytes().to_vec();
        folders.sort_by_cached_key(|(path, _)| bytes(path));
        let mut files = Vec::new();
        for (_, items) in folders {
            for item in items.into_iter().filter(|item| !item.is_folder) {
                match Use::of(&item.path) {
                    Use::Picture => files.push(item.path),
                    Use::Unread => {
                        let kind = item.path.extension().unwrap_or_default().display().to_string();
                        let kind = kind.to_uppercase();
                        self.skip(&item.path, format!("{kind} files are not read as pictures"));
                    }
                    Use::None => {}
                }
            }
        }
        Ok(files)
    }

    /// Decodes every picture.
    fn decoded(
        mut self,
        classes: Vec<String>,
        candidates: &[Candidate],
        options: &ReadOptions,
        progress: &mut Progress<'_>,
    ) -> Result<Content> {
        let headers = parallel::map(candidates, progress, |_, candidate| {
            open(&candidate.path).and_then(|bytes| picture::header(&bytes))
        });
        let mut readable: Vec<(&Candidate, Header)> = Vec::new();
        let mut failed: Vec<Skipped> = Vec::new();
        for (candidate, header) in candidates.iter().zip(headers) {
            match header {
                Ok(header) => readable.push((candidate, header)),
                Err(reason) => failed.push(Skipped { file: candidate.name.clone(), reason }),
            }
        }
        if options.image_size.is_none() {
            self.settle_size(&mut readable, &mut failed)?;
        }
        loop {
            self.check_all_classes(&classes, candidates, &readable, &failed)?;
            let sides = match options.image_size {
                Some(size) => [size.height, size.width],
                None => turned_if(readable[0].1.sides, options.transpose),
            };
            let grey = readable.iter().all(|(_, header)| header.is_grey);
            let mode = options.color.unwrap_or(if grey { ColorMode::Grey } else { ColorMode::Rgb });
            let shape = Shape::new(mode.channels(), sides[0], sides[1]);
            let place = self.root.display().to_string();
            pixels::check_bytes(&place, readable.len(), shape)?;
            let size = ImageSize { height: sides[0], width: sides[1] };
            let results = parallel::map(&readable, progress, |_, (candidate, _)| {
                let bytes = open(&candidate.path)?;
                planes(&bytes, mode, size, options.transpose)
            });
            let mut kept = Vec::new();
            for ((candidate, header), result) in readable.drain(..).zip(results) {
                match result {
                    Ok(image) => kept.push((candidate, header, image)),
                    Err(reason) => failed.push(Skipped { file: candidate.name.clone(), reason }),
                }
            }
            // Damaged pictures do not decide about colours.
            let still_grey = kept.iter().all(|(_, header, _)| header.is_grey);
            if options.color.is_none() && still_grey != grey && !kept.is_empty() {
                readable =
                    kept.into_iter().map(|(candidate, header, _)| (candidate, header)).collect();
                continue;
            }
            readable = kept.iter().map(|&(candidate, header, _)| (candidate, header)).collect();
            self.check_all_classes(&classes, candidates, &readable, &failed)?;
            self.skipped.extend(failed);
            self.skipped.sort_by(|one, other| one.file.cmp(&other.file));
            return Ok(self.assembled(classes, shape, kept));
        }
    }

    /// Checks that all pictures have one size; damaged ones of another size are left out.
    fn settle_size(
        &self,
        readable: &mut Vec<(&Candidate, Header)>,
        failed: &mut Vec<Skipped>,
    ) -> Result<()> {
        let mut counts: HashMap<[u32; 2], usize> = HashMap::new();
        for (_, header) in readable.iter() {
            *counts.entry(header.sides).or_default() += 1;
        }
        // The first of the sizes that are as frequent.
        let Some(most) = counts.values().max().copied() else { return Ok(()) };
        let Some(usual) =
            readable.iter().map(|(_, header)| header.sides).find(|sides| counts[sides] == most)
        else {
            return Ok(());
        };
        if readable.len() - most <= MAX_ODD {
            readable.retain(|(candidate, header)| {
                if header.sides == usual {
                    return true;
                }
                let result = open(&candidate.path).and_then(|bytes| picture::decode(&bytes));
                let Err(reason) = result else { return true };
                failed.push(Skipped { file: candidate.name.clone(), reason });
                false
            });
        }
        let Some((odd, header)) = readable.iter().find(|(_, header)| header.sides != usual) else {
            return Ok(());
        };
        let number = readable.iter().filter(|(_, header)| header.sides != usual).count();
        let text = |[height, width]: [u32; 2]| format!("{height}×{width}");
        let (place, odd, sides) = (self.root.display(), &odd.name, text(header.sides));
        if 2 * number < readable.len() {
            let [height, width] = usual;
            return Err(Error::Settings(phrase!(
                "{}: pictures differ in size: {} is {}, most are {} ({} of {} differ); \
                 <image-size {},{}> makes them one size",
                place,
                odd,
                sides,
                text(usual),
                number,
                readable.len(),
                height,
                width
            )));
        }
        Err(Error::Settings(phrase!(
            "{}: pictures differ in size: {} is {}, others are {} ({} sizes in all); \
             <image-size H,W>, such as <image-size 64,64>, makes them one size",
            place,
            odd,
            sides,
            text(usual),
            counts.len()
        )))
    }

    /// Returns an error for a class that has pictures of which none can be read, or none to train
    /// on: a network would not learn it.
    fn check_all_classes(
        &self,
        classes: &[String],
        candidates: &[Candidate],
        readable: &[(&Candidate, Header)],
        failed: &[Skipped],
    ) -> Result<()> {
        let mut has_readable = vec![[false; 2]; classes.len()];
        for (candidate, _) in readable {
            let [any, to_train] = &mut has_readable[candidate.class as usize];
            (*any, *to_train) = (true, *to_train || candidate.split == 0);
        }
        let lost = candidates.iter().find(|candidate| {
            let [any, to_train] = has_readable[candidate.class as usize];
            !any || candidate.split == 0 && !to_train
        });
        let Some(lost) = lost else { return Ok(()) };
        let reason = failed
            .iter()
            .find(|skipped| skipped.file == lost.name)
            .map_or("it cannot be read", |skipped| skipped.reason.as_str());
        let [any, _] = has_readable[lost.class as usize];
        Err(Error::Data(format!(
            "{}: no {}picture of class {} can be read: {} {reason}",
            self.root.display(),
            if any { "training " } else { "" },
            classes[lost.class as usize],
            lost.name
        )))
    }

    /// The parts of the data set.
    fn assembled(
        mut self,
        classes: Vec<String>,
        shape: Shape,
        images: Vec<(&Candidate, Header, Decoded)>,
    ) -> Content {
        let place = self.root.display().to_string();
        let mut parts = ["training", "test", "validation"].map(|name| Part {
            shape,
            split: Split::default(),
            files: Vec::new(),
            name: format!("{name} images of {place}"),
        });
        for (number, part) in parts.iter_mut().enumerate() {
            let count = images.iter().filter(|(candidate, ..)| candidate.split == number).count();
            part.split.images.reserve_exact(count * shape.elements() as usize);
        }
        let (mut transparent, mut animated, mut dark) = (0, 0, None::<u16>);
        let mut all_deep = !images.is_empty();
        for (candidate, header, image) in images {
            let part = &mut parts[candidate.split];
            part.split.images.extend(image.planes);
            part.split.labels.push(candidate.class);
            part.files.push(candidate.name.clone());
            transparent += usize::from(image.is_transparent);
            animated += usize::from(header.is_animated);
            all_deep &= image.highest_of_16_bits.is_some();
            dark = dark.max(image.highest_of_16_bits);
        }
        if transparent > 0 {
            self.warnings.push(format!(
                "{transparent} pictures have transparent pixels; alpha is left out, and their \
                 hidden colours are taken as they are"
            ));
        }
        if animated > 0 {
            self.warnings
                .push(format!("{animated} pictures are animated; the first frame is taken"));
        }
        if let Some(highest) = dark.filter(|&highest| all_deep && highest < 1 << 14) {
            self.warnings.push(format!(
                "the highest value of all 16-bit pictures is {highest} of 65535: they are almost \
                 black; scale their values (12-bit data by 16) before"
            ));
        }
        let [train, test, validation] = parts;
        // Validation images alone are the test set.
        let (test, validation) = match &self.splits {
            [_, None, Some(_)] => (Some(validation), None),
            [_, test_folder, validation_folder] => {
                (test_folder.as_ref().map(|_| test), validation_folder.as_ref().map(|_| validation))
            }
        };
        Content {
            train,
            test,
            validation,
            least_classes: classes.len() as u32,
            class_names: Some(classes),
            skipped: self.skipped,
            warnings: self.warnings,
        }
    }
}

/// The folder and all folders below it with their items. A folder that contains itself by a
/// symbolic link is visited once.
fn collect_folders(
    folder: &Path,
    above: &mut Vec<PathBuf>,
    found: &mut Vec<(PathBuf, Vec<Item>)>,
) -> Result<()> {
    let real = fs::canonicalize(folder).map_err(Error::io("cannot read", folder))?;
    if above.contains(&real) || above.len() >= MAX_DEPTH {
        return Ok(());
    }
    let items = names::list(folder)?;
    above.push(real);
    for item in items.iter().filter(|item| item.is_folder) {
        collect_folders(&item.path, above, found)?;
    }
    above.pop();
    found.push((folder.into(), items));
    Ok(())
}

/// The SHA-256 of a file, or a text that says why it cannot be read.
fn sum(path: &Path) -> String {
    let read = || -> Result<String, String> {
        let length = check_regular(path)?;
        if length > MAX_FILE {
            return Err("is too large".into());
        }
        // Most pictures fit into the buffer.
        File::open(path)
            .and_then(|file| hex_of::<Sha256>(file, (length as usize + 1).min(1 << 20)))
            .map(|(sum, _)| sum)
            .map_err(|error| error.to_string())
    };
    read().unwrap_or_else(|reason| reason)
}
