//! Data sets through the public interface: the embedded sets, folders of IDX files, and every
//! possible fault of an IDX file.

mod allocations;

use std::{fs, io::Write, path::Path};

use allocations::largest_allocation;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use saliq::{
    Error,
    config::{Normalize, PixelNormalization, Shape},
    data::{self, Dataset, Split, idx},
};

#[global_allocator]
static ALLOCATOR: allocations::Watching = allocations::Watching;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An IDX header with these sizes (rank = their number) of unsigned bytes, then `content`.
fn idx_file(sizes: &[u32], content: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    file.extend(content);
    file
}

fn parse_images(bytes: &[u8]) -> saliq::Result<idx::Images> {
    idx::parse_images(Path::new("FILE"), bytes)
}

fn parse_labels(bytes: &[u8]) -> saliq::Result<Vec<u32>> {
    idx::parse_labels(Path::new("FILE"), bytes)
}

/// The message, after checking that it is one line that names the file.
fn reason<T: std::fmt::Debug>(result: saliq::Result<T>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("FILE: ") && !text.contains('\n'), "{text}");
    text
}

#[test]
fn the_embedded_sets_are_whole_and_balanced() {
    for (name, garment) in [("mnist-mini", "9"), ("fashion-mini", "Ankle boot")] {
        let set = data::load(name, None).unwrap();
        assert_eq!((set.name.as_str(), set.shape, set.classes), (name, Shape::new(1, 28, 28), 10));
        assert_eq!(
            (set.train.len(), set.test.len(), set.source.as_str()),
            (6000, 1000, "built-in")
        );
        assert_eq!((set.class_names.len(), set.class_names[9].as_str()), (10, garment));
        for (split, per_class) in [(&set.train, 600), (&set.test, 100)] {
            assert_eq!(split.images.len(), split.len() * 784);
            for class in 0..10 {
                assert_eq!(
                    split.labels.iter().filter(|&&label| label == class).count(),
                    per_class,
                    "{name} {class}"
                );
            }
        }
    }
    // The first digits of the original files, which the first images of each class keep in order.
    let mnist = data::load("mnist-mini", None).unwrap();
    assert_eq!(mnist.train.labels[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    assert_eq!(mnist.test.labels[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
}

#[test]
fn normalization_is_published_given_none_or_measured() {
    let mut set = data::load("mnist-mini", None).unwrap();
    assert_eq!(
        set.normalization(&Normalize::Standard),
        PixelNormalization::uniform(0.1307, 0.3081)
    );
    assert_eq!(set.normalization(&Normalize::Unit), PixelNormalization::uniform(0.0, 1.0));
    assert_eq!(
        set.normalization(&Normalize::Fixed(PixelNormalization::uniform(0.5, 0.25))),
        PixelNormalization::uniform(0.5, 0.25)
    );
    set.published_normalization = None;
    let (mean, deviation) = set.normalization(&Normalize::Standard).for_all().unwrap();
    // A tenth of MNIST is close to all of it, but not equal.
    assert!(
        (mean - 0.1307).abs() < 3e-3 && (deviation - 0.3081).abs() < 3e-3,
        "{mean} {deviation}"
    );

    set.train.images = vec![0, 255, 255, 0];
    assert_eq!(set.normalization(&Normalize::Standard), PixelNormalization::uniform(0.5, 0.5));
    for constant in [0u8, 1, 128, 255] {
        set.train.images = vec![constant; 1000];
        let (mean, deviation) = set.normalization(&Normalize::Standard).for_all().unwrap();
        assert!(
            (mean - f32::from(constant) / 255.0).abs() < 1e-6 && deviation == 1.0 / 255.0,
            "{mean} {deviation}"
        );
    }
}

fn numbered(n: u8) -> Split {
    Split { images: (0..n).flat_map(|i| [i, i]).collect(), labels: (0..n.into()).collect() }
}

#[test]
fn truncate_keeps_the_first_images() {
    let shape = Shape::new(1, 1, 2);
    for (n, kept) in [(0, 0), (3, 3), (10, 10), (usize::MAX, 10)] {
        let mut split = numbered(10);
        split.truncate(n, shape);
        assert_eq!(split, numbered(kept));
    }
}

#[test]
fn split_off_tail_takes_the_last_images() {
    let shape = Shape::new(1, 1, 2);
    let cases = [
        (0.0, 0),
        (0.1, 1),
        (0.3, 3),
        (0.7, 7),
        (0.99, 9),
        (1.0, 9),
        (9e9, 9),
        (-1.0, 0),
        (f32::NAN, 0),
    ];
    for (share, taken) in cases {
        let mut split = numbered(10);
        let tail = split.split_off_tail(share, shape);
        assert_eq!(tail.labels, (10 - u32::from(taken)..10).collect::<Vec<u32>>(), "{share}");
        assert_eq!(split, numbered(10 - taken), "{share}");
        split.images.extend(tail.images);
        assert_eq!(split.images, numbered(10).images);
    }
    assert!(Split::default().split_off_tail(0.5, shape).is_empty());
}

#[test]
fn images_of_rank_3_and_4_and_labels_are_read_raw_and_compressed() {
    let pixels: Vec<u8> = (0..24).collect();
    for (sizes, shape) in
        [(&[4, 2, 3][..], Shape::new(1, 2, 3)), (&[2, 3, 2, 2], Shape::new(3, 2, 2))]
    {
        let file = idx_file(sizes, &pixels);
        for bytes in [file.clone(), gzip(&file), [gzip(&file[..9]), gzip(&file[9..])].concat()] {
            let images = parse_images(&bytes).unwrap();
            assert_eq!(
                (images.shape, images.count(), &images.pixels),
                (shape, sizes[0] as usize, &pixels)
            );
        }
        let mut written = Vec::new();
        idx::write_images(&mut written, shape, &pixels).unwrap();
        assert_eq!(written, file);
    }
    let file = idx_file(&[3], &[9, 0, 255]);
    assert_eq!(parse_labels(&file).unwrap(), [9, 0, 255]);
    assert_eq!(parse_labels(&gzip(&file)).unwrap(), [9, 0, 255]);
    let mut written = Vec::new();
    idx::write_labels(&mut written, &[9, 0, 255]).unwrap();
    assert_eq!(written, file);
    assert!(idx::write_images(Vec::new(), Shape::new(1, 2, 3), &[0; 7]).is_err());
    assert!(idx::write_images(Vec::new(), Shape::new(1, 0, 3), &[]).is_err());
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let file = idx_file(&[2, 2, 3], &[7; 12]);
    let packed = gzip(&file);
    for whole in [&file, &packed] {
        assert!(parse_images(whole).is_ok());
        for length in 0..whole.len() {
            reason(parse_images(&whole[..length]));
        }
        reason(parse_images(&[&whole[..], &[1]].concat()));
    }
    reason(parse_images(&[&file[..], &[0]].concat()));
    assert!(
        reason(parse_images(&file[..20]))
            .contains("declares 2 images of 2×3 (12 bytes), the file has 4")
    );
    assert!(
        reason(parse_images(&gzip(&[&file[..], &[0]].concat())))
            .contains("data after the 2 images")
    );
    assert!(reason(parse_images(&gzip(&file[..20]))).contains("the file has 4"));
    assert!(reason(parse_images(b"\x00\x00")).contains("ends within its IDX header"));
}

/// As in gzip and Python's `gzip`: zeros behind a stream are padding, another stream is its
/// continuation, anything else is an error.
#[test]
fn zeros_behind_a_gzip_stream_are_padding() {
    let file = idx_file(&[2, 2, 3], &[7; 12]);
    let (whole, halves) = (gzip(&file), [gzip(&file[..9]), gzip(&file[9..])]);
    for padding in [1, 512, 70_000] {
        let zeros = vec![0; padding];
        for bytes in
            [[&whole[..], &zeros].concat(), [&halves[0][..], &zeros, &halves[1], &zeros].concat()]
        {
            assert_eq!(parse_images(&bytes).unwrap().pixels, [7; 12], "{padding}");
        }
        let message = reason(parse_images(&[&whole[..], &zeros, b"<html>"].concat()));
        assert!(message.contains("behind the end of the gzip stream"), "{message}");
    }
    let labels = idx_file(&[3], &[9, 0, 255]);
    assert_eq!(parse_labels(&[&gzip(&labels)[..], &[0; 100]].concat()).unwrap(), [9, 0, 255]);
}

#[test]
fn images_with_their_channels_last_are_not_taken_for_many_channels() {
    let parse = |sizes: [u32; 4]| {
        parse_images(&idx_file(&sizes, &vec![7; sizes.iter().product::<u32>() as usize]))
    };
    for sizes in [[2, 12, 12, 3], [1, 28, 28, 1], [2, 32, 20, 3], [1, 8, 8, 4], [1, 128, 128, 3]] {
        let message = reason(parse(sizes));
        let [_, height, width, channels] = sizes;
        assert!(
            message.contains("channels-last") && message.contains("transpose(0, 3, 1, 2)"),
            "{message}"
        );
        assert!(message.contains(&format!("{channels} channels of {height}×{width}")), "{message}");
    }
    // Ambiguous sizes are read as channels first: three channels of 12 × 3, six of 4 × 4, nine
    // signals of 50.
    for [count, channels, height, width] in
        [[2, 3, 12, 3], [1, 6, 4, 4], [2, 9, 50, 1], [2, 3, 20, 12], [1, 7, 5, 6], [3, 2, 4, 3]]
    {
        let images = parse([count, channels, height, width]).unwrap();
        assert_eq!(
            (images.shape, images.count() as u32),
            (Shape::new(channels, height, width), count)
        );
    }
}

#[test]
fn gaps_in_the_labels_are_known() {
    let mut set = data::load("mnist-mini", None).unwrap();
    assert!(set.empty_classes().is_empty());
    set.classes = 12;
    assert_eq!(set.empty_classes(), [10, 11]);
    set.train.labels.retain(|&label| label != 0);
    assert_eq!(set.empty_classes(), [10, 11], "class 0 is in the test set");
    set.test.labels.retain(|&label| label != 0 && label != 5);
    assert_eq!(set.empty_classes(), [0, 10, 11]);
}

#[test]
fn a_damaged_gzip_file_is_refused() {
    let mut packed = gzip(&idx_file(&[2, 2, 3], &[7; 12]));
    let checksum = packed.len() - 8;
    packed[checksum] ^= 1;
    assert!(reason(parse_images(&packed)).contains("damaged or truncated gzip"));
}

#[test]
fn other_formats_are_named() {
    let mut floats = idx_file(&[1, 1, 4], &[0; 4]);
    floats[2] = 0x0d;
    let cases: [(&[u8], bool, &str); 7] = [
        (&floats, true, "32-bit floats"),
        (&idx_file(&[4], &[0; 4]), true, "is an IDX file of labels"),
        (&idx_file(&[1, 2, 2], &[0; 4]), false, "is an IDX file of images"),
        (&idx_file(&[2, 2], &[0; 4]), true, "rank 2"),
        (b"\x89PNG\r\n\x1a\n", true, "is not an IDX file of images"),
        (b"\x00\x00\x77\x03", true, "unknown element type 0x77"),
        (&idx_file(&[], &[]), false, "rank 0"),
    ];
    for (bytes, images, part) in cases {
        let text = if images { reason(parse_images(bytes)) } else { reason(parse_labels(bytes)) };
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_allocated() {
    let many = u32::MAX;
    let cases: [&[u32]; 9] = [
        &[many, many, many],
        &[many, many, many, many],
        &[(1 << 24) + 1, 1, 1],
        &[1, 4097, 1],
        &[1, 65, 1, 1],
        &[1 << 24, 4096, 4096],
        &[0, 28, 28],
        &[1, 0, 28],
        // Within every limit, 3 GiB, but the bytes are missing.
        &[3 << 10, 1024, 1024],
    ];
    for sizes in cases {
        for file in [idx_file(sizes, &[0; 100]), gzip(&idx_file(sizes, &[0; 100]))] {
            let (text, largest) = largest_allocation(|| reason(parse_images(&file)));
            assert!(largest < 200_000, "{sizes:?}: allocated {largest} bytes: {text}");
        }
    }
    let (_, largest) =
        largest_allocation(|| reason(parse_labels(&idx_file(&[1 << 24], &[0; 100]))));
    assert!(largest < 200_000);
}

#[test]
fn a_gzip_bomb_is_unpacked_no_further_than_declared() {
    let bomb = gzip(&idx_file(&[10, 10, 10], &vec![0; 50_000_000]));
    let (text, largest) = largest_allocation(|| reason(parse_images(&bomb)));
    assert!(text.contains("data after the 10 images"), "{text}");
    assert!(largest < 200_000, "allocated {largest} bytes");
}

proptest! {
    #[test]
    fn random_bytes_never_panic_nor_allocate_much(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let parsed = || (parse_images(&bytes).is_ok(), parse_labels(&bytes).is_ok());
        let (_, largest) = largest_allocation(parsed);
        prop_assert!(largest < 200_000, "{largest}");
    }

    #[test]
    fn random_headers_never_panic_nor_allocate_much(
        sizes in prop::collection::vec(prop_oneof![0u32..5, 0u32..5000, any::<u32>()], 0..6),
        content in prop::collection::vec(any::<u8>(), 0..100),
        compress in any::<bool>(),
    ) {
        let file = idx_file(&sizes, &content);
        let file = if compress { gzip(&file) } else { file };
        let ((images, labels), largest) =
            largest_allocation(|| (parse_images(&file), parse_labels(&file)));
        prop_assert!(largest < 200_000, "{largest}");
        if let Ok(images) = images {
            prop_assert_eq!(images.pixels, content);
        } else if let Ok(labels) = labels {
            let content: Vec<u32> = content.iter().map(|&byte| byte.into()).collect();
            prop_assert_eq!(labels, content);
        }
    }

    #[test]
    fn a_flipped_byte_never_panics(
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        compress in any::<bool>(),
    ) {
        let file = idx_file(&[5, 3, 2, 1], &[1; 30]);
        let mut file = if compress { gzip(&file) } else { file };
        let at = at.index(file.len());
        file[at] = value;
        let _ = parse_images(&file);
    }

    #[test]
    fn what_is_written_is_read_back(
        (shape, pixels) in (1u32..5, 1u32..6, 1u32..6, 1usize..5).prop_flat_map(
            |(channels, height, width, count)| {
                let shape = Shape::new(channels, height, width);
                let pixels = count * shape.elements() as usize;
                (Just(shape), prop::collection::vec(any::<u8>(), pixels))
            },
        ),
        compress in any::<bool>(),
    ) {
        let mut file = Vec::new();
        idx::write_images(&mut file, shape, &pixels).unwrap();
        let file = if compress { gzip(&file) } else { file };
        prop_assert_eq!(parse_images(&file).unwrap(), idx::Images { shape, pixels });
    }
}

/// The four files of a set with 2 training and 1 test images of 1×2×2.
fn tiny_set(labels: [u8; 3]) -> [Vec<u8>; 4] {
    [
        idx_file(&[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]),
        idx_file(&[2], &labels[..2]),
        idx_file(&[1, 2, 2], &[9, 10, 11, 12]),
        idx_file(&[1], &labels[2..]),
    ]
}

fn load_files(files: &[(&str, &[u8])]) -> saliq::Result<Dataset> {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("my-set");
    fs::create_dir(&set).unwrap();
    for (name, content) in files {
        fs::write(set.join(name), content).unwrap();
    }
    data::load(set.to_str().unwrap(), None)
}

#[test]
fn a_folder_is_read_in_every_spelling() {
    let [a, b, c, d] = tiny_set([0, 2, 1]);
    let spellings = [
        [
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        ],
        [
            "train-images.idx3-ubyte",
            "train-labels.idx1-ubyte",
            "t10k-images.idx3-ubyte",
            "t10k-labels.idx1-ubyte",
        ],
    ];
    for names in spellings {
        let raw =
            load_files(&[(names[0], &a), (names[1], &b), (names[2], &c), (names[3], &d)]).unwrap();
        let packed: Vec<(String, Vec<u8>)> = names
            .iter()
            .zip([&a, &b, &c, &d])
            .map(|(name, file)| (format!("{name}.gz"), gzip(file)))
            .collect();
        let packed: Vec<(&str, &[u8])> =
            packed.iter().map(|(name, file)| (name.as_str(), &file[..])).collect();
        for set in [raw, load_files(&packed).unwrap()] {
            assert_eq!(
                (set.name.as_str(), set.shape, set.classes),
                ("my-set", Shape::new(1, 2, 2), 3)
            );
            assert_eq!(set.class_names, ["0", "1", "2"]);
            assert_eq!(set.train, Split { images: (1..9).collect(), labels: vec![0, 2] });
            assert_eq!(set.test, Split { images: (9..13).collect(), labels: vec![1] });
            assert_eq!(set.published_normalization, None);
            assert!(set.source.ends_with("my-set"));
        }
    }
}

const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Loads the tiny set with one file replaced.
fn load_with(role: usize, file: &[u8]) -> saliq::Result<Dataset> {
    let mut files = tiny_set([0, 2, 1]);
    files[role] = file.to_vec();
    let files: Vec<(&str, &[u8])> =
        NAMES.iter().zip(&files).map(|(name, file)| (*name, &file[..])).collect();
    load_files(&files)
}

#[test]
fn classes_are_counted_over_both_splits_and_are_at_least_two() {
    assert_eq!(load_with(3, &idx_file(&[1], &[200])).unwrap().classes, 201);
    assert_eq!(load_with(3, &idx_file(&[1], &[255])).unwrap().classes, 256);
    let [a, b, c, d] = tiny_set([0, 0, 0]);
    let set =
        load_files(&[(NAMES[0], &a), (NAMES[1], &b), (NAMES[2], &c), (NAMES[3], &d)]).unwrap();
    assert_eq!(set.classes, 2);
}

#[test]
fn files_that_do_not_fit_together_are_refused() {
    let text = load_with(1, &idx_file(&[3], &[0; 3])).unwrap_err().to_string();
    assert!(text.contains("train-labels-idx1-ubyte: has 3 labels for the 2 images of"), "{text}");
    let text = load_with(2, &idx_file(&[1, 1, 4], &[0; 4])).unwrap_err().to_string();
    assert!(text.contains("training images are 1×2×2, test images 1×1×4"), "{text}");
    let text = load_with(0, &idx_file(&[2], &[0; 2])).unwrap_err().to_string();
    assert!(text.contains("train-images-idx3-ubyte: is an IDX file of labels"), "{text}");
}

#[test]
fn an_incomplete_folder_says_what_is_missing() {
    let [a, ..] = tiny_set([0, 1, 0]);
    let text = load_files(&[(NAMES[0], &a)]).unwrap_err().to_string();
    assert!(
        text.contains(
            "lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte"
        ),
        "{text}"
    );
}

#[test]
fn unknown_names_are_answered_with_a_suggestion() {
    let cases = [
        ("mnsit", "did you mean mnist?"),
        ("MNIST", "did you mean mnist?"),
        ("fashion_mnist", "did you mean fashion-mnist?"),
        ("fashionmnist", "did you mean fashion-mnist?"),
        ("mnist-min", "did you mean mnist-mini?"),
        ("cifar100", "it is called `cifar-100` here; `saliq data fetch cifar-100` gets it"),
        ("svhn", "(known: mnist, fashion-mnist, mnist-mini, fashion-mini, cifar-10, cifar-100, "),
        ("", "unknown data set ''"),
        ("no/such/folder", "no such folder"),
        ("Cargo.toml", "is a file"),
    ];
    for (name, part) in cases {
        let error = data::load(name, None).unwrap_err();
        assert!(matches!(error, Error::Data(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(part) && !text.contains('\n'), "{name}: {text}");
    }
    assert!(!data::load("svhn", None).unwrap_err().to_string().contains("did you mean"));
}

#[cfg(unix)]
#[test]
fn folders_and_pipes_in_the_place_of_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(idx::read_images(folder.path()), Err(Error::Format { .. })));
    let made =
        std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
    assert!(made.success());
    // Reading it would wait forever.
    assert!(matches!(idx::read_images(&folder.path().join("pipe")), Err(Error::Format { .. })));
    assert!(matches!(idx::read_images(&folder.path().join("none")), Err(Error::Io { .. })));
}

#[test]
fn the_list_tells_what_there_is() {
    let list = data::list(None);
    let names: Vec<&str> = list.iter().map(|row| row.name.as_str()).collect();
    let first = ["mnist", "fashion-mnist", "mnist-mini", "fashion-mini", "cifar-10", "cifar-100"];
    assert_eq!(names[..6], first);
    assert!(list.iter().all(|row| row.embedded == row.name.ends_with("-mini")));
    let mini = serde_json::to_value(&list[2]).unwrap();
    let expected = serde_json::json!({
        "name": "mnist-mini", "shape": [1, 28, 28], "classes": 10, "train": 6000, "test": 1000,
        "found": null,
        "licence": "CC BY-SA 3.0 (Y. LeCun, C. Cortes, C. J. C. Burges)", "embedded": true
    });
    assert_eq!(mini, expected);
}
