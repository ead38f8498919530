//! Tests of the formats on small sets made here.

use std::{
    fs,
    io::{Cursor, Write},
    path::Path,
};

use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use crate::{
    Error,
    config::{ColorMode, ImageSize, ReadOptions, Shape},
    data::{self, Dataset, FileFormat, Split},
};

fn load(path: &Path, options: &ReadOptions) -> crate::Result<Dataset> {
    data::load_with(path.to_str().expect("UTF-8"), None, options, &mut |_, _| {})
}

fn read(path: &Path) -> crate::Result<Dataset> {
    load(path, &ReadOptions::default())
}

/// The error, which is one line, of something that is not read.
#[track_caller]
fn refused(result: crate::Result<Dataset>, part: &str) {
    let text = result.expect_err(part).to_string();
    assert!(text.contains(part) && !text.contains('\n'), "{text}");
}

fn share(share: f32) -> ReadOptions {
    ReadOptions { test_share: Some(share), ..ReadOptions::default() }
}

/// A picture of `height` × `width` whose pixels depend on `seed`.
fn color(height: u32, width: u32, seed: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([seed, (16 * x) as u8, (16 * y) as u8]))
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    encoded(image, ImageFormat::Png)
}

fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, bytes).expect("written");
}

/// `train` and `test` of two classes, all pictures of `height` × `width`.
fn photos(root: &Path, height: u32, width: u32) {
    for (index, name) in [
        "train/cat/a.png",
        "train/cat/b.png",
        "train/dog/a.png",
        "test/cat/c.png",
        "test/dog/d.png",
    ]
    .iter()
    .enumerate()
    {
        write(root, name, &png(color(height, width, index as u8)));
    }
}

/// `image` as planes.
fn planes(image: &RgbImage) -> Vec<u8> {
    (0..3).flat_map(|channel| image.pixels().map(move |pixel| pixel[channel])).collect()
}

#[test]
fn a_folder_of_pictures_is_read_in_order() {
    let root = tempfile::tempdir().unwrap();
    photos(root.path(), 3, 4);
    write(root.path(), "train/cat/b/0.bmp", &encoded(color(3, 4, 9), ImageFormat::Bmp));
    write(root.path(), "train/cat/.hidden.png", b"no picture");
    write(root.path(), "train/cat/notes.txt", b"no picture");
    write(root.path(), "train/cat/scan.TIF", b"II*\0");
    write(root.path(), "train/dog/text.png", b"no picture");
    write(root.path(), "train/dog/cut.png", &png(color(3, 4, 1))[..60]);
    write(root.path(), "test/loose.png", &png(color(3, 4, 1)));
    let set = read(root.path()).unwrap();
    assert_eq!((set.shape, set.classes), (Shape::new(3, 3, 4), 2));
    assert_eq!(set.class_names, ["cat", "dog"]);
    assert_eq!(
        set.details.train_files,
        ["train/cat/a.png", "train/cat/b.png", "train/cat/b/0.bmp", "train/dog/a.png"]
    );
    assert_eq!(set.details.test_files, ["test/cat/c.png", "test/dog/d.png"]);
    let expected: Vec<u8> =
        [0, 1, 9, 2].iter().flat_map(|&seed| planes(&color(3, 4, seed))).collect();
    assert_eq!(set.train, Split { images: expected, labels: vec![0, 0, 0, 1] });
    let skipped: Vec<_> = set
        .details
        .skipped
        .iter()
        .map(|skipped| (skipped.file.as_str(), skipped.reason.as_str()))
        .collect();
    assert_eq!(skipped.len(), 4, "{skipped:?}");
    for (at, (file, reason)) in [
        ("test/loose.png", "no class folder"),
        ("train/cat/scan.TIF", "TIF files are not read"),
        ("train/dog/cut.png", "truncated"),
        ("train/dog/text.png", "is text"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(skipped[at].0 == file && skipped[at].1.contains(reason), "{:?}", skipped[at]);
    }
}

#[test]
fn folders_without_a_test_set_need_a_share() {
    let root = tempfile::tempdir().unwrap();
    for index in 0..20u8 {
        let class = if index < 8 { "cat" } else { "dog" };
        write(root.path(), &format!("{class}/{index:02}.png"), &png(color(2, 2, index)));
    }
    refused(read(root.path()), "test-share = 0.2");
    let set = load(root.path(), &share(0.25)).unwrap();
    assert_eq!((set.train.per_class(2), set.test.per_class(2)), (vec![6, 9], vec![2, 3]));
    assert_eq!(set, load(root.path(), &share(0.25)).unwrap());
    let other = load(root.path(), &ReadOptions { seed: 1, ..share(0.25) }).unwrap();
    assert_ne!(set.details.test_files, other.details.test_files);
    let mut files = [&set.details.train_files[..], &set.details.test_files].concat();
    files.sort();
    assert_eq!(files.len(), 20);
    files.dedup();
    assert_eq!(files.len(), 20);
    // Of a set with train/ only, that is divided; val/ alone is the test set.
    let root = tempfile::tempdir().unwrap();
    photos(root.path(), 2, 2);
    fs::rename(root.path().join("test"), root.path().join("val")).unwrap();
    assert_eq!(read(root.path()).unwrap().test.len(), 2);
    write(root.path(), "test/cat/x.png", &png(color(2, 2, 77)));
    let set = read(root.path()).unwrap();
    assert_eq!(set.test.len(), 1);
    assert_eq!(set.details.validation.unwrap().len(), 2);
}

#[test]
fn arrangements_that_cannot_be_meant_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let case = |name: &str, files: &[&str], part: &str| {
        let folder = root.path().join(name);
        for file in files {
            write(&folder, file, &png(color(2, 2, file.len() as u8)));
        }
        refused(read(&folder), part);
    };
    // Of several the first is named, whatever the order of a hash.
    let two = ["train/Cat/a.png", "train/Dog/a.png", "test/cat/a.png", "test/dog/a.png"];
    case("two-spelled", &two, "class Cat of one split is cat in another");
    case("spelled", &["train/Cat/a.png", "train/dog/a.png", "test/cat/a.png"], "class Cat");
    case("flat", &["train/a.png"], "train/CLASS");
    case("loose", &["a.png", "b.png"], "each class needs a folder");
    case("one", &["cat/a.png"], "single class folder");
    case("nested", &["photos/cat/a.png", "photos/dog/b.png"], "did you mean");
    case("no-train", &["test/cat/a.png"], "training images");
    case("twice", &["train/a/1.png", "training/a/1.png"], "both folders of training");
    case("text", &["train/a/1.txt", "train/b/2.md"], "no PNG");
    // Folders called train may be classes of vehicles.
    let vehicles = root.path().join("vehicles");
    for (index, class) in ["car", "train"].iter().enumerate() {
        for image in 0..4 {
            let bytes = png(color(2, 2, (4 * index + image) as u8));
            write(&vehicles, &format!("{class}/{image}.png"), &bytes);
        }
    }
    let set = load(&vehicles, &share(0.25)).unwrap();
    assert_eq!(set.class_names, ["car", "train"]);
    let damaged = root.path().join("damaged");
    photos(&damaged, 2, 2);
    write(&damaged, "train/owl/a.png", b"text");
    refused(read(&damaged), "no picture of class owl can be read: train/owl/a.png is text");
    write(&damaged, "test/owl/a.png", &png(color(2, 2, 9)));
    let said = "no training picture of class owl can be read: train/owl/a.png is text";
    refused(read(&damaged), said);
}

#[test]
fn sizes_and_colours_are_made_one() {
    let root = tempfile::tempdir().unwrap();
    photos(root.path(), 4, 4);
    write(root.path(), "train/dog/odd.png", &png(color(4, 6, 7)));
    refused(read(root.path()), "train/dog/odd.png is 4×6");
    let size = Some(ImageSize { height: 4, width: 4 });
    let set = load(root.path(), &ReadOptions { image_size: size, ..Default::default() }).unwrap();
    assert_eq!(set.shape, Shape::new(3, 4, 4));
    let middle = image::imageops::crop_imm(&color(4, 6, 7), 1, 0, 4, 4).to_image();
    assert_eq!(set.train.images[3 * 48..], planes(&middle));
    let grey = ReadOptions { image_size: size, color: Some(ColorMode::Grey), ..Default::default() };
    let set = load(root.path(), &grey).unwrap();
    assert_eq!(set.shape, Shape::new(1, 4, 4));
    assert_eq!(set.train.images[..2], [0, 9]);
    // Grey files alone make one channel, one colour file three.
    let root = tempfile::tempdir().unwrap();
    for name in ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"] {
        let value = name.len() as u8 + name.as_bytes()[6];
        write(root.path(), name, &png(GrayImage::from_pixel(2, 2, image::Luma([value]))));
    }
    assert_eq!(read(root.path()).unwrap().shape, Shape::new(1, 2, 2));
    write(root.path(), "test/b/2.png", &png(color(2, 2, 1)));
    assert_eq!(read(root.path()).unwrap().shape, Shape::new(3, 2, 2));
    // A damaged colour file does not decide.
    let bytes = png(color(2, 2, 1));
    write(root.path(), "test/b/2.png", &bytes[..bytes.len() - 20]);
    let set = read(root.path()).unwrap();
    assert_eq!((set.shape, set.details.skipped.len()), (Shape::new(1, 2, 2), 1));
    let rgb = ReadOptions { color: Some(ColorMode::Rgb), ..Default::default() };
    assert_eq!(load(root.path(), &rgb).unwrap().shape, Shape::new(3, 2, 2));
}

#[test]
fn pictures_are_decoded_as_they_are_shown() {
    let of = |bytes: &[u8]| data::parse(FileFormat::Picture, Path::new("x"), bytes);
    let image = color(2, 3, 5);
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
        let (shape, split) = of(&encoded(image.clone(), format)).unwrap();
        assert_eq!(
            (shape, split.images),
            (Shape::new(3, 2, 3), image.as_raw().clone()),
            "{format:?}"
        );
    }
    // Alpha is left out.
    let rgba = RgbaImage::from_fn(3, 2, |x, y| {
        let [red, green, blue] = image.get_pixel(x, y).0;
        Rgba([red, green, blue, (x * 100) as u8])
    });
    assert_eq!(of(&png(rgba)).unwrap().1.images, *image.as_raw());
    // 16 bits are rounded.
    let deep = image::ImageBuffer::from_fn(4, 1, |x, _| {
        image::Luma([[0u16, 128, 129, 65_535 - 128][x as usize]])
    });
    let (shape, split) = of(&png(DynamicImage::ImageLuma16(deep))).unwrap();
    assert_eq!((shape, &split.images[..]), (Shape::new(1, 1, 4), &[0, 0, 1, 255][..]));
    // A palette of greys in order is grey: BMP has no other grey.
    let grey = GrayImage::from_fn(4, 2, |x, y| image::Luma([(40 * x + y) as u8]));
    let (shape, split) = of(&encoded(grey.clone(), ImageFormat::Bmp)).unwrap();
    assert_eq!((shape, &split.images), (Shape::new(1, 2, 4), grey.as_raw()));
    // A JPEG that lacks its end, in one piece or in many, is not filled with grey.
    let jpeg = encoded(color(32, 32, 80), ImageFormat::Jpeg);
    assert!(of(&jpeg).is_ok());
    for length in (2..jpeg.len()).step_by(7).chain([jpeg.len() - 1]) {
        assert!(of(&jpeg[..length]).is_err(), "{length} of {}", jpeg.len());
    }
    let gif = encoded(color(32, 32, 80), ImageFormat::Gif);
    assert_eq!(of(&gif).unwrap().0, Shape::new(3, 32, 32));
    assert!(of(&gif[..gif.len() / 2]).is_err());
}

#[test]
fn bombs_are_refused_by_their_header() {
    let of = |bytes: &[u8]| {
        let error = data::parse(FileFormat::Picture, Path::new("x"), bytes).unwrap_err();
        error.to_string()
    };
    let header = |side: u32| {
        let data = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
        let signature = b"\x89PNG\r\n\x1a\n".to_vec();
        [signature, chunk(b"IHDR", &data), chunk(b"IDAT", &[0; 100])].concat()
    };
    assert!(of(&header(30_000)).contains("at most 120 million"), "{}", of(&header(30_000)));
    assert!(of(&header(9_000)).contains("cannot hold"), "{}", of(&header(9_000)));
    assert!(!of(&header(i32::MAX as u32)).is_empty());
    let mut bmp = encoded(color(2, 2, 1), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&60_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000u32.to_le_bytes());
    assert!(of(&bmp).contains("million"), "{}", of(&bmp));
    let mut gif = encoded(color(2, 2, 1), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0xff; 4]);
    assert!(of(&gif).contains("million"), "{}", of(&gif));
}

/// A chunk of a PNG file.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(&[kind, data].concat());
    let length = (data.len() as u32).to_be_bytes();
    [&length[..], kind, data, &crc.sum().to_be_bytes()].concat()
}

#[test]
fn profiles_that_inflate_without_end_are_left_out() {
    let picture = png(color(2, 3, 1));
    let with_profile = |length: usize| {
        let mut packed =
            flate2::write::ZlibEncoder::new(b"name\0\0".to_vec(), flate2::Compression::best());
        packed.write_all(&vec![0; length]).expect("packed");
        let profile = chunk(b"iCCP", &packed.finish().expect("packed"));
        // Behind the signature and the header.
        [&picture[..33], &profile, &picture[33..]].concat()
    };
    let length_of = |bytes: &[u8]| {
        let decoder = super::png::decoder(bytes, image::Limits::no_limits());
        decoder.expect("a picture").icc_profile().expect("read").map(|profile| profile.len())
    };
    assert_eq!(length_of(&with_profile(1 << 20)), Some(1 << 20));
    let bomb = with_profile(1 << 25);
    assert_eq!(length_of(&bomb), None);
    let of = |bytes: &[u8]| data::parse(FileFormat::Picture, Path::new("x"), bytes).expect("read");
    assert_eq!(of(&bomb), of(&picture));
}

#[cfg(unix)]
#[test]
fn pipes_links_and_unreadable_files_are_left_out() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    photos(root.path(), 2, 2);
    let at = |name: &str| root.path().join(name);
    assert!(
        std::process::Command::new("mkfifo").arg(at("train/cat/p.png")).status().unwrap().success()
    );
    symlink("nowhere", at("train/cat/gone.png")).unwrap();
    symlink("a.png", at("train/cat/z.png")).unwrap();
    // A folder that contains itself is visited once.
    symlink(".", at("train/cat/self")).unwrap();
    let set = read(root.path()).unwrap();
    assert_eq!(set.train.labels, [0, 0, 0, 1]);
    let files: Vec<_> = set.details.skipped.iter().map(|skipped| skipped.file.as_str()).collect();
    assert_eq!(files, ["train/cat/gone.png", "train/cat/p.png"]);
}

/// A header of version 1 and the numbers behind it.
fn npy(descr: &str, fortran: bool, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let length = (text.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), bytes].concat()
}

fn npz(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        archive.start_file(format!("{name}.npy"), options).expect("a member");
        archive.write_all(bytes).expect("written");
    }
    archive.finish().expect("whole").into_inner()
}

#[test]
fn arrays_are_read_in_every_layout() {
    let of = |images: Vec<u8>, labels: Vec<u8>| {
        data::parse(FileFormat::Npz, Path::new("x.npz"), &npz(&[("x", images), ("y", labels)]))
    };
    let values: Vec<u8> = (0..12).collect();
    let labels = || npy("|u1", false, "(2,)", &[1, 0]);
    let expected =
        |shape, images: &[u8]| (shape, Split { images: images.into(), labels: vec![1, 0] });
    let plain = expected(Shape::new(1, 2, 3), &values);
    assert_eq!(of(npy("|u1", false, "(2, 2, 3)", &values), labels()).unwrap(), plain);
    assert_eq!(of(npy("|u1", false, "(2, 2, 3, 1)", &values), labels()).unwrap(), plain);
    // The first axis varies fastest.
    let fortran = [0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11];
    assert_eq!(of(npy("|u1", true, "(2, 2, 3)", &fortran), labels()).unwrap(), plain);
    let first = npy("|u1", false, "(1, 3, 2, 2)", &values);
    let (shape, split) = data::parse(FileFormat::Npy, Path::new("x"), &first).unwrap();
    assert_eq!((shape, split.images), (Shape::new(3, 2, 2), values.clone()));
    let last = of(npy("|u1", false, "(2, 2, 1, 3)", &values), labels());
    assert!(last.is_ok_and(|(shape, split)| shape == Shape::new(3, 2, 1)
        && split.images == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]));
    let floats: Vec<u8> =
        values.iter().flat_map(|&value| (f64::from(value) / 255.0).to_be_bytes()).collect();
    assert_eq!(of(npy(">f8", false, "(2, 2, 3)", &floats), labels()).unwrap(), plain);
    let wide: Vec<u8> = values.iter().flat_map(|&value| i64::from(value).to_le_bytes()).collect();
    let wide_labels: Vec<u8> = [1.0f32, 0.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let wide_labels = npy("<f4", false, "(2, 1)", &wide_labels);
    assert_eq!(of(npy("<i8", false, "(2, 2, 3)", &wide), wide_labels).unwrap(), plain);
    for (images, labels, part) in [
        (npy("|u1", false, "(2, 3, 2, 1)", &values), labels(), "first (3) or last (1)"),
        (npy("|u1", false, "(2, 6)", &values), labels(), "reshape"),
        (npy("|O", false, "(2, 2, 3)", &values), labels(), "Python objects"),
        (npy("|u1", false, "(-2, 2, 3)", &values), labels(), "size of -2"),
        (npy("|u1", false, "(3, 2, 3)", &values), labels(), "truncated"),
        (npy("|u1", false, "(1, 2, 3)", &values), labels(), "data behind"),
        (npy("<u8", false, "(4611686018427387904, 4, 4)", &values), labels(), "8 GiB"),
        (npy("|i1", false, "(2, 2, 3)", &[250; 12]), labels(), "0..255"),
        (npy("|u1", false, "(2, 2, 3)", &values), npy("|i1", false, "(2,)", &[0, 255]), "label -1"),
        (npy("|u1", false, "(2, 2, 3)", &values), npy("|u1", false, "(2, 2)", &[0; 4]), "one-hot"),
        (
            npy("|u1", false, "(2, 2, 3)", &values),
            npy("|u1", false, "(1,)", &[0]),
            "1 labels for the 2",
        ),
    ] {
        let text = of(images, labels).expect_err(part).to_string();
        assert!(text.contains(part), "{text}");
    }
    let normalised: Vec<u8> = [-1.2f32; 12].iter().flat_map(|value| value.to_le_bytes()).collect();
    let text = of(npy("<f4", false, "(2, 2, 3)", &normalised), labels()).unwrap_err().to_string();
    assert!(text.contains("0..1") && text.contains("normalises"), "{text}");
}

#[test]
fn archives_that_expand_beyond_their_arrays_are_refused() {
    let mut images = npy("|u1", false, "(2, 2, 3)", &[0; 12]);
    images.resize(1 << 22, 0);
    let labels = npy("|u1", false, "(2,)", &[0, 1]);
    let bytes = npz(&[("x_train", images), ("y_train", labels)]);
    let error = data::parse(FileFormat::Npz, Path::new("x"), &bytes).unwrap_err().to_string();
    assert!(error.contains("x_train") && error.contains("data behind"), "{error}");
    for length in (0..bytes.len()).step_by(11) {
        assert!(data::parse(FileFormat::Npz, Path::new("x"), &bytes[..length]).is_err());
    }
}

#[test]
fn numpy_files_lie_in_an_archive_or_a_folder() {
    let root = tempfile::tempdir().unwrap();
    let images = |first: u8| npy("|u1", false, "(2, 1, 2)", &[first, 1, 2, 3]);
    let labels = || npy("|u1", false, "(2,)", &[0, 1]);
    let archive = npz(&[
        ("x_train", images(9)),
        ("y_train", labels()),
        ("x_test", images(8)),
        ("y_test", labels()),
    ]);
    write(root.path(), "set.npz", &archive);
    let set = read(&root.path().join("set.npz")).unwrap();
    assert_eq!((set.name.as_str(), set.test.images[0], set.classes), ("set.npz", 8, 2));
    // A folder with this file alone.
    assert_eq!(read(root.path()).unwrap().train, set.train);
    write(root.path(), "pair/images.npy", &images(7));
    refused(read(&root.path().join("pair")), "no labels.npy");
    write(root.path(), "pair/labels.npy", &labels());
    let set = load(&root.path().join("pair"), &share(0.5)).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (1, 1));
    write(root.path(), "other.npz", &npz(&[("arr_0", images(1)), ("arr_1", labels())]));
    refused(read(&root.path().join("other.npz")), "arr_0");
}

#[test]
fn cifar_is_the_binary_version() {
    let root = tempfile::tempdir().unwrap();
    let record = |label: u8| [vec![label], vec![label; 3072]].concat();
    for batch in 1..=5 {
        write(root.path(), &format!("data_batch_{batch}.bin"), &record(batch));
    }
    refused(read(root.path()), "lacks test_batch.bin");
    write(root.path(), "test_batch.bin", &[record(9), record(0)].concat());
    let set = read(root.path()).unwrap();
    assert_eq!((set.shape, set.classes), (Shape::new(3, 32, 32), 10));
    assert_eq!((&set.train.labels[..], &set.test.labels[..]), (&[1, 2, 3, 4, 5][..], &[9, 0][..]));
    let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    write(root.path(), "batches.meta.txt", names.as_bytes());
    assert_eq!(read(root.path()).unwrap().class_names[9], "truck");
    write(root.path(), "data_batch_2.bin", &record(10));
    refused(read(root.path()), "label 10 of record 0");
    write(root.path(), "data_batch_2.bin", &record(1)[1..]);
    refused(read(root.path()), "whole number of records of 3073");
    let hundred = tempfile::tempdir().unwrap();
    let record = |coarse: u8, fine: u8| [vec![coarse, fine], vec![7; 3072]].concat();
    write(hundred.path(), "train.bin", &[record(3, 99), record(4, 5)].concat());
    write(hundred.path(), "test.bin", &record(1, 2));
    let set = read(hundred.path()).unwrap();
    assert_eq!((set.classes, &set.train.labels[..]), (100, &[99, 5][..]));
    write(root.path(), "python/data_batch_1", b"\x80\x02");
    write(root.path(), "python/batches.meta", b"\x80\x02");
    refused(read(&root.path().join("python")), "get the binary version");
}

#[test]
fn text_has_a_label_and_pixels_a_line() {
    let of = |text: &str| data::parse(FileFormat::Csv, Path::new("x.csv"), text.as_bytes());
    let (shape, split) = of("label,p0,p1,p2,p3\r\n7,1,2,3,4\r\n0,5,6,7.0,255").unwrap();
    assert_eq!((shape, &split.labels[..]), (Shape::new(1, 2, 2), &[7, 0][..]));
    assert_eq!(split.images, [1, 2, 3, 4, 5, 6, 7, 255]);
    let (_, split) = of("\u{feff}\"dog, black\",1,2,3,4\ncat,1,2,3,4\n\n").unwrap();
    assert_eq!(split.labels, [1, 0]);
    let (shape, split) = of("l,1x1,1x2,1x3\n1,1,2,3\n0,4,5,6").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((shape, split.len()), (Shape::new(1, 1, 3), 2));
    let rgb = format!(
        "{},label\n{},3\n",
        (0..12).map(|n| format!("pixel{n}")).collect::<Vec<_>>().join(","),
        (0..12).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
    );
    let (shape, split) = of(&rgb).unwrap();
    assert_eq!((shape, &split.images[..5]), (Shape::new(3, 2, 2), &[0, 3, 6, 9, 1][..]));
    for (text, part) in [
        ("", "no images"),
        ("1,2,3,4,5\n1,2\n", "line 2 has 2 values"),
        ("1,2,3,4,256\n", "256 is not a pixel"),
        ("1,2,3,4,5\n1,2,3,,5\n", "line 2, column 4: is empty"),
        ("1,0.5,0.25,0,1\n0,0,0,0,0\n", "multiply"),
        ("1;2;3;4;5\n", "semicolons (;)"),
        ("70000,2,3,4,5\n", "not a class number"),
        ("1,2,3,4,5,6\n", "neither a square"),
    ] {
        let error = of(text).expect_err(part).to_string();
        assert!(error.contains(part), "{text:?}: {error}");
    }
    let wide = [0xfe, 0xff, 0, b'1', 0, b',', 0, b'2'];
    let error = data::parse(FileFormat::Csv, Path::new("x.csv"), &wide).unwrap_err();
    assert!(error.to_string().contains("UTF-16; save it in UTF-8"), "{error}");
    // A line is held whole: it ends, or the reading does.
    for endless in [vec![b'0'; 17 << 20], [&b"\""[..], &vec![b'\n'; 17 << 20]].concat()] {
        let error = data::parse(FileFormat::Csv, Path::new("x.csv"), &endless).unwrap_err();
        assert!(error.to_string().contains("a line has more than 16 MiB"), "{error}");
    }
}

#[test]
fn what_is_converted_is_read_back() {
    let root = tempfile::tempdir().unwrap();
    photos(root.path(), 2, 3);
    let set = read(root.path()).unwrap();
    let file = root.path().join("set.safetensors");
    fs::write(&file, data::to_file(&set).unwrap()).unwrap();
    let again = read(&file).unwrap();
    assert_eq!((&again.train, &again.test), (&set.train, &set.test));
    assert_eq!((&again.class_names, again.shape), (&set.class_names, set.shape));
    assert_eq!(again.details.test_files, set.details.test_files);
    let bytes = fs::read(&file).unwrap();
    for length in (0..bytes.len()).step_by(13) {
        assert!(data::parse(FileFormat::Safetensors, &file, &bytes[..length]).is_err());
    }
}

#[test]
fn other_files_are_named() {
    let root = tempfile::tempdir().unwrap();
    for (name, bytes, part) in [
        ("a.mat", &b"MATLAB 5.0 MAT-file"[..], "MATLAB"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "HDF5"),
        ("a.pt", b"\x80\x02}q\x00", "pickle"),
        ("a.bin", b"\0\0\x08\x03\0\0\0\x01", "name the folder"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "is a picture"),
        ("a.xyz", b"what is this", "no format"),
        ("a.npz", b"", "is empty"),
    ] {
        write(root.path(), name, bytes);
        refused(read(&root.path().join(name)), part);
    }
    refused(read(&root.path().join("none/at/all")), "no such folder");
}

#[test]
fn oddities_are_said() {
    let root = tempfile::tempdir().unwrap();
    photos(root.path(), 2, 2);
    fs::create_dir(root.path().join("train/owl")).unwrap();
    write(root.path(), "test/dog/same.png", &png(color(2, 2, 0)));
    fs::remove_file(root.path().join("train/dog/a.png")).unwrap();
    let set = read(root.path()).unwrap();
    let said = set.details.warnings.join("\n");
    for part in [
        "class owl has no image",
        "class dog has no image in the training images",
        "1 test image is also among the training images",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn images_in_two_parts_are_said() {
    let root = tempfile::tempdir().unwrap();
    let own = |name: &str, seed: u8| write(root.path(), name, &png(color(2, 2, seed)));
    for (class, seed) in [("a", 10), ("b", 20), ("c", 30)] {
        own(&format!("train/{class}/1.png"), seed);
        own(&format!("test/{class}/1.png"), seed + 1);
        own(&format!("val/{class}/1.png"), seed + 2);
        // A picture of all classes tells nothing, nor does one of a single colour.
        own(&format!("train/{class}/2.png"), 1);
        let flat = png(RgbImage::from_pixel(2, 2, Rgb([9; 3])));
        write(root.path(), &format!("train/{class}/3.png"), &flat);
    }
    own("test/a/2.png", 1);
    write(root.path(), "test/a/3.png", &png(RgbImage::from_pixel(2, 2, Rgb([9; 3]))));
    let said = || read(root.path()).unwrap().details.warnings;
    assert_eq!(said(), [""; 0]);
    own("train/b/4.png", 10);
    own("test/a/4.png", 10);
    own("val/c/4.png", 20);
    own("val/a/5.png", 31);
    assert_eq!(
        said(),
        [
            "1 test image is also among the training images, pixel for pixel (1 with another \
             label): accuracy is too good on them",
            "1 validation image is also among the training images, pixel for pixel (1 with another \
             label): what is chosen on them fits the training images",
            "1 test image is also among the validation images, pixel for pixel (1 with another \
             label): they take part in what is chosen",
        ]
    );
}

#[test]
fn floats_have_one_scale_in_all_parts() {
    let floats = |values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        npy("<f4", false, "(2, 1, 2)", &bytes)
    };
    let root = tempfile::tempdir().unwrap();
    let of = |train: Vec<u8>, test: Vec<u8>| {
        let labels = || npy("|u1", false, "(2,)", &[0, 1]);
        let members =
            [("x_train", train), ("y_train", labels()), ("x_test", test), ("y_test", labels())];
        write(root.path(), "set.npz", &npz(&members));
        read(&root.path().join("set.npz"))
    };
    let levels = floats(&[0.0, 255.0, 3.0, 4.0]);
    let unit = floats(&[0.0, 1.0, 0.2, 0.4]);
    let binary = floats(&[0.0, 1.0, 1.0, 0.0]);
    let black = floats(&[0.0; 4]);
    refused(of(levels.clone(), unit.clone()), "x_test has pixels up to 1, x_train up to 255");
    refused(of(binary.clone(), levels.clone()), "scale them alike");
    let set = of(unit, binary.clone()).unwrap();
    assert_eq!(
        (&set.train.images, &set.test.images),
        (&vec![0, 255, 51, 102], &vec![0, 255, 255, 0])
    );
    let set = of(levels, black).unwrap();
    assert_eq!((&set.train.images[..2], &set.test.images), (&[0, 255][..], &vec![0; 4]));
    // Bytes have their own scale, whatever the floats beside them.
    let set = of(npy("|u1", false, "(2, 1, 2)", &[0, 1, 1, 1]), binary).unwrap();
    let said = "no pixel of the training images is above 1 of 255";
    assert_eq!(set.train.images, [0, 1, 1, 1]);
    assert!(set.details.warnings.iter().any(|own| own.contains(said)), "{:?}", set.details);
}

#[test]
fn images_are_transposed_and_labels_are_wide() {
    let root = tempfile::tempdir().unwrap();
    let idx = |kind: u8, sizes: &[u32], bytes: &[u8]| {
        let mut file = vec![0, 0, kind, sizes.len() as u8];
        file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        file.extend(bytes);
        file
    };
    let wide = |labels: &[i32]| -> Vec<u8> {
        labels.iter().flat_map(|label| label.to_be_bytes()).collect()
    };
    write(
        root.path(),
        "set-train-images-idx3-ubyte",
        &idx(8, &[2, 2, 3], &(0..12).collect::<Vec<_>>()),
    );
    write(root.path(), "set-test-images-idx3-ubyte", &idx(8, &[1, 2, 3], &[9; 6]));
    write(
        root.path(),
        "set-test-labels-idx2-int",
        &idx(12, &[1, 8], &wide(&[4, 1, 1, 1, 1, 1, 1, 1])),
    );
    refused(read(root.path()), "lacks set-train-labels-idx1-ubyte");
    write(root.path(), "set-train-labels-idx1-int", &idx(12, &[2], &wide(&[300, 0])));
    let set = read(root.path()).unwrap();
    assert_eq!(
        (&set.train.labels[..], &set.test.labels[..], set.classes),
        (&[300, 0][..], &[4][..], 301)
    );
    let turned = ReadOptions { transpose: true, ..Default::default() };
    let set = load(root.path(), &turned).unwrap();
    assert_eq!((set.shape, &set.train.images[..6]), (Shape::new(1, 3, 2), &[0, 3, 1, 4, 2, 5][..]));
    write(root.path(), "set-train-labels-idx1-int", &idx(12, &[2], &wide(&[-1, 0])));
    refused(read(root.path()), "label -1");
    write(root.path(), "set-train-labels-idx1-int", &idx(12, &[2, 5], &wide(&[0; 10])));
    assert!(matches!(read(root.path()), Err(Error::Format { .. })));
}
