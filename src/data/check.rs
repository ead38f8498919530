//! Checks that the files that were read form a data set: shapes, labels, sums.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use super::{
    catalog::{Entry, PinnedFile},
    content::{Content, Part},
    dataset::{Dataset, Split},
    format::{array::MAX_LABEL, idx},
};
use crate::{
    Error, Result,
    config::{ReadOptions, Shape},
    error::phrase,
    random::{self, random_bits, random_key},
};

/// Checks that training, test and validation images have one shape.
pub(super) fn same_shape(source: &str, content: &Content) -> Result<Shape> {
    let train = &content.train;
    let text = |shape: Shape| format!("{}×{}×{}", shape.channels, shape.height, shape.width);
    let others = content.test.iter().map(|part| ("test", part));
    let others = others.chain(content.validation.iter().map(|part| ("validation", part)));
    for (name, part) in others {
        if part.shape != train.shape {
            let setting = if part.shape.channels == train.shape.channels {
                "image-size makes them one size"
            } else {
                "color gives them the same channels"
            };
            return Err(Error::Data(format!(
                "{source}: training images are {}, {name} images {} ({}); they must agree; the \
                 setting {setting}",
                text(train.shape),
                text(part.shape),
                part.name
            )));
        }
    }
    if train.shape.elements() == 0 || content.parts().any(|part| part.split.is_empty()) {
        return Err(Error::format(source, "holds a part without images"));
    }
    Ok(train.shape)
}

/// Takes the test images of `--test-share` out of the training images, if there are none.
pub(super) fn split(source: &str, content: &mut Content, options: &ReadOptions) -> Result<()> {
    match (options.test_share, content.test.is_some()) {
        (_, true) => Ok(()),
        (None, false) => Err(Error::Settings(phrase!(
            "{}: has no test images; <test-share 0.2> takes a fifth of each class for the test, or \
             add them (test/ beside train/, x_test, …)",
            source
        ))),
        (Some(share), false) => {
            let chosen = stratified(&content.train.split.labels, share, options.seed);
            if !chosen.contains(&true) || !chosen.contains(&false) {
                return Err(Error::Settings(phrase!(
                    "{}: <test-share {}> of {} images leaves none to train on or to test with",
                    source,
                    share,
                    chosen.len()
                )));
            }
            let whole = std::mem::take(&mut content.train);
            let take = |is_test: bool, name: &str| {
                let places: Vec<usize> =
                    (0..chosen.len()).filter(|&place| chosen[place] == is_test).collect();
                Part {
                    shape: whole.shape,
                    split: whole.split.select(&places, whole.shape),
                    files: places
                        .iter()
                        .filter_map(|&place| whole.files.get(place))
                        .cloned()
                        .collect(),
                    name: format!("{} ({name})", whole.name),
                }
            };
            content.test = Some(take(true, "test"));
            content.train = take(false, "training");
            Ok(())
        }
    }
}

/// Which images are for the test: `share` of each class, in all `share` of all images, rounded.
/// Where shares are no whole numbers, the classes of the largest rests have one more. A class keeps
/// an image to train on as long as others can do without.
fn stratified(labels: &[u32], share: f32, seed: u64) -> Vec<bool> {
    let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
    let mut places: Vec<Vec<usize>> = vec![Vec::new(); classes];
    for (place, &label) in labels.iter().enumerate() {
        places[label as usize].push(place);
    }
    let share = f64::from(share);
    let total = ((labels.len() as f64 * share).round() as usize).max(1);
    let mut quotas: Vec<usize> =
        places.iter().map(|own| (own.len() as f64 * share + 1e-6).floor() as usize).collect();
    let rest = |class: usize| {
        let exact = places[class].len() as f64 * share;
        exact - (exact + 1e-6).floor()
    };
    let mut order: Vec<usize> = (0..classes).filter(|&class| !places[class].is_empty()).collect();
    order.sort_by(|&one, &other| rest(other).total_cmp(&rest(one)).then(one.cmp(&other)));
    let mut left = total.saturating_sub(quotas.iter().sum());
    for keep in [1, 0] {
        let mut giving = order.clone();
        while left > 0 && !giving.is_empty() {
            giving.retain(|&class| quotas[class] + keep < places[class].len());
            for &class in giving.iter().take(left) {
                quotas[class] += 1;
            }
            left -= giving.len().min(left);
        }
    }
    let key = random_key(seed, 0, random::TEST_SHARE);
    let mut chosen = vec![false; labels.len()];
    for (class, own) in places.iter_mut().enumerate() {
        own.sort_by_cached_key(|&place| random_bits(key, place as u32, 0, 0));
        own.iter().take(quotas[class]).for_each(|&place| chosen[place] = true);
    }
    chosen
}

/// A warning about files in `folder` that differ from the published ones. Results are then not
/// comparable, but the difference may be intended.
pub(super) fn sums(entry: &Entry, folder: &Path, splits: [(Shape, &Split); 2]) -> Vec<String> {
    let [train, test] = splits.map(|(shape, split)| idx::sums(shape, split));
    let found = train.into_iter().chain(test);
    let differing = entry.files.iter().zip(found).filter(|(file, sum)| file.sha256 != sum);
    let said = |(file, _): (&PinnedFile, String)| {
        format!(
            "{}: {} is not the published file of {} (its SHA-256 differs)",
            folder.display(),
            file.name,
            entry.name
        )
    };
    differing.map(said).collect()
}

/// The number of classes: of the names, else of the labels, which count from 0; at least two.
///
/// # Errors
/// [`Error::Data`] if there is one class.
pub(super) fn classes(source: &str, content: &Content) -> Result<u32> {
    let labels = content.parts().flat_map(|part| &part.split.labels);
    let highest = labels.max().copied().unwrap_or(0);
    if highest > MAX_LABEL {
        return Err(Error::Data(format!(
            "{source}: label {highest}; labels are at most {MAX_LABEL}"
        )));
    }
    let named = content.class_names.as_ref().map_or(0, |names| names.len() as u32);
    let classes = (highest + 1).max(content.least_classes).max(named);
    if classes < 2 {
        return Err(Error::Data(format!(
            "{source}: all images are of one class; a classifier needs two"
        )));
    }
    Ok(classes)
}

/// What is odd about a data set of a user's own, a line each.
pub(super) fn oddities(dataset: &Dataset) -> Vec<String> {
    let mut said = Vec::new();
    said.extend(gaps(dataset));
    let counts = [&dataset.train, &dataset.test].map(|split| split.per_class(dataset.classes));
    for (split, own, other) in [("training", 0, 1), ("test", 1, 0)] {
        let missing: Vec<u32> = (0..dataset.classes)
            .filter(|&class| counts[own][class as usize] == 0 && counts[other][class as usize] > 0)
            .collect();
        if !missing.is_empty() {
            said.push(format!("{} in the {split} images", missing_text(dataset, &missing)));
        }
    }
    let (validation, shape) = (dataset.details.validation.as_ref(), dataset.shape);
    let named = [("training", &dataset.train), ("test", &dataset.test)];
    let all = || named.into_iter().chain(validation.map(|split| ("validation", split)));
    for (name, split) in all() {
        if split.images.iter().all(|&value| value <= 1) {
            said.push(format!(
                "no pixel of the {name} images is above 1 of 255: they are almost black; scale \
                 whole numbers to 0..255 before"
            ));
        }
    }
    let [train, test] = named;
    said.extend(leak(test, train, shape, "accuracy is too good on them"));
    if let Some(validation) = validation.map(|split| ("validation", split)) {
        said.extend(leak(
            validation,
            train,
            shape,
            "what is chosen on them fits the training images",
        ));
        said.extend(leak(test, validation, shape, "they take part in what is chosen"));
    }
    said
}

/// `class cat has no images` or `classes … have no images`.
fn missing_text(dataset: &Dataset, missing: &[u32]) -> String {
    let is_numbered =
        dataset.class_names.iter().enumerate().all(|(class, name)| *name == class.to_string());
    let names = if is_numbered {
        ranges(missing)
    } else {
        const MOST: usize = 5;
        let names = missing
            .iter()
            .take(MOST)
            .map(|&class| dataset.class_names.get(class as usize).map_or("?", String::as_str));
        let more = if missing.len() > MOST {
            format!(" and {} more", missing.len() - MOST)
        } else {
            String::new()
        };
        format!("{}{more}", names.collect::<Vec<_>>().join(", "))
    };
    if missing.len() == 1 {
        format!("class {names} has no image")
    } else {
        format!("classes {names} have no image")
    }
}

/// A warning about images of one part that `other` has too; `effect` is what they do. Images of a
/// single colour are not counted, because they are alike by chance, nor those that all classes of
/// `other` have, because they say nothing about a class.
fn leak(
    (name, split): (&str, &Split),
    (other_name, other): (&str, &Split),
    shape: Shape,
    effect: &str,
) -> Option<String> {
    let size = (shape.elements() as usize).max(1);
    let plane = (shape.pixels() as usize).max(1);
    let hash = |image: &[u8]| {
        let mut hasher = DefaultHasher::new();
        image.hash(&mut hasher);
        hasher.finish()
    };
    /// An image, the labels that it has here, and those that it has in the other part.
    type Known<'a> = (&'a [u8], Vec<u32>, BTreeSet<u32>);
    let mut known: HashMap<u64, Vec<Known<'_>>> = HashMap::new();
    for (image, &label) in split.images.chunks_exact(size).zip(&split.labels) {
        let is_flat = |plane: &[u8]| plane.iter().all(|value| *value == plane[0]);
        if image.chunks_exact(plane).all(is_flat) {
            continue;
        }
        let alike = known.entry(hash(image)).or_default();
        match alike.iter_mut().find(|(own, ..)| *own == image) {
            Some((_, labels, _)) => labels.push(label),
            None => alike.push((image, vec![label], BTreeSet::new())),
        }
    }
    for (image, &label) in other.images.chunks_exact(size).zip(&other.labels) {
        let Some(alike) = known.get_mut(&hash(image)) else { continue };
        if let Some((.., others)) = alike.iter_mut().find(|(own, ..)| *own == image) {
            others.insert(label);
        }
    }
    let classes = other.labels.iter().collect::<BTreeSet<_>>().len();
    let is_leak = |others: &BTreeSet<u32>| match others.len() {
        0 => false,
        1 => true,
        several => several < classes,
    };
    let leaked = || known.values().flatten().filter(|(.., others)| is_leak(others));
    let count: usize = leaked().map(|(_, labels, _)| labels.len()).sum();
    let is_other = |others: &BTreeSet<u32>, label: u32| others.iter().any(|&own| own != label);
    let differing: usize = leaked()
        .map(|(_, labels, others)| labels.iter().filter(|&&own| is_other(others, own)).count())
        .sum();
    let images = if count == 1 { "image is" } else { "images are" };
    let contradiction = match differing {
        0 => String::new(),
        1 => " (1 with another label)".into(),
        _ => format!(" ({differing} with another label)"),
    };
    (count > 0).then(|| {
        format!(
            "{count} {name} {images} also among the {other_name} images, pixel for \
             pixel{contradiction}: {effect}"
        )
    })
}

/// A warning about classes without images.
pub(super) fn gaps(dataset: &Dataset) -> Option<String> {
    let empty = dataset.empty_classes();
    let (first, last) = (empty.first()?, dataset.classes - 1);
    let is_numbered =
        dataset.class_names.get(*first as usize).is_some_and(|name| *name == first.to_string());
    let have = match (is_numbered, empty.len()) {
        (false, _) => missing_text(dataset, &empty),
        (true, 1) => format!("class {first} has no images"),
        (true, _) => format!("classes {} have no images", ranges(&empty)),
    };
    let classes = dataset.classes;
    Some(format!(
        "{have}; labels count from 0, so there are {classes} classes, 0 to {last}, and a network \
         gets {classes} outputs"
    ))
}

/// Ascending numbers as `0, 3, 5-9`, at most ten items.
fn ranges(numbers: &[u32]) -> String {
    const MOST: usize = 10;
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let mut items: Vec<String> = runs
        .iter()
        .take(MOST)
        .map(
            |&(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        )
        .collect();
    if runs.len() > MOST {
        items.push("…".into());
    }
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use super::stratified;

    fn per_class(labels: &[u32], chosen: &[bool]) -> Vec<usize> {
        let highest = labels.iter().max().copied().unwrap_or(0);
        let count = |class| {
            labels.iter().zip(chosen).filter(|&(&label, &chosen)| label == class && chosen).count()
        };
        (0..=highest).map(count).collect()
    }

    #[test]
    fn shares_are_by_class_and_by_seed() {
        let labels: Vec<u32> = (0..16).map(|place| place / 8).collect();
        let chosen = stratified(&labels, 0.25, 0);
        assert_eq!(per_class(&labels, &chosen), [2, 2]);
        assert_eq!(chosen, stratified(&labels, 0.25, 0));
        let others = (1..5).filter(|&seed| stratified(&labels, 0.25, seed) != chosen).count();
        assert!(others > 0);
        // 2.5 images of 10, of classes with 7 and 3.
        let labels = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1];
        assert_eq!(per_class(&labels, &stratified(&labels, 0.25, 3)), [2, 1]);
        // Classes of one image keep it, as long as there are others.
        let labels = [0, 1, 2, 3, 3, 3, 3, 3];
        assert_eq!(per_class(&labels, &stratified(&labels, 0.25, 3)), [0, 0, 0, 2]);
        let labels: Vec<u32> = (0..8).chain([8; 10]).collect();
        let expected = [0, 0, 0, 0, 0, 0, 0, 0, 5];
        assert_eq!(per_class(&labels, &stratified(&labels, 0.25, 3)), expected);
        let labels = [0, 1, 2, 3];
        assert_eq!(stratified(&labels, 0.5, 3).iter().filter(|&&chosen| chosen).count(), 2);
        // A fifth of five is one, though 0.2 as a float is not exactly a fifth.
        let labels: Vec<u32> = (0..10).map(|place| place / 5).collect();
        assert_eq!(per_class(&labels, &stratified(&labels, 0.2, 0)), [1, 1]);
    }
}
