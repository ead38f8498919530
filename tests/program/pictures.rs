//! Folders of pictures through the program: explanations with masks, and by channel.

use std::{fs, path::Path};

use image::{GrayImage, Luma, Rgb, RgbImage};

use crate::support::{Tensors, json, refused, run, succeed, text};

const ROWS: u32 = 12;
const COLUMNS: u32 = 10;

/// A folder of colour pictures whose classes brighten the left or the right half, with masks of
/// these halves beside it, and a model of one layer trained on it.
fn prepare(folder: &Path) {
    let at = |name: &str| folder.join(name);
    for split in ["train", "test"] {
        for (class, name) in ["left", "right"].iter().enumerate() {
            let place = at(&format!("photos/{split}/{name}"));
            let masks = at(&format!("masks/{split}/{name}"));
            fs::create_dir_all(&place).unwrap();
            fs::create_dir_all(&masks).unwrap();
            for number in 0..4u32 {
                let inside = |x: u32| (x < COLUMNS / 2) == (class == 0);
                let pixel = |x: u32, y: u32| {
                    let noise = (x * 31 + y * 17 + number * 7) % 50;
                    let bright = if inside(x) { 150 } else { 20 };
                    Rgb([(bright + noise) as u8, noise as u8, (100 + noise) as u8])
                };
                let picture = RgbImage::from_fn(COLUMNS, ROWS, pixel);
                picture.save(place.join(format!("{number}.bmp"))).unwrap();
                // Of 0 and 1, as annotations often are.
                let mask = GrayImage::from_fn(COLUMNS, ROWS, |x, _| Luma([u8::from(inside(x))]));
                mask.save(masks.join(format!("{number}.png"))).unwrap();
            }
        }
    }
    let layers = "sgt = false\nbatch-size = 8\nepochs = 3\nlr = 0.05\n[network]\n\
                  layers = [{ type = \"linear\", name = \"fc1\", out-features = 2 }]\n";
    fs::write(at("one.toml"), layers).unwrap();
    let (photos, run) = (at("photos"), at("run"));
    let config = at("one.toml");
    let train = ["train", "--config", text(&config), "--dataset", text(&photos), "--quiet"];
    succeed(&[&train[..], &["--out", text(&run)]].concat());
}

/// The means of pointing game, mass, rank and overlap, computed from the written maps, of `images`.
fn expected(file: &Path, images: &[usize]) -> [f64; 4] {
    let tensors = Tensors::open(file);
    let (maps, labels) = (tensors.f32("gradient"), tensors.i64("labels"));
    let pixels = (ROWS * COLUMNS) as usize;
    let mut sums = [0.0; 4];
    for &image in images {
        let own = &maps[image * 3 * pixels..(image + 1) * 3 * pixels];
        let relevance: Vec<f64> = (0..pixels)
            .map(|pixel| (0..3).map(|c| f64::from(own[c * pixels + pixel]).abs()).sum())
            .collect();
        let inside = |pixel: usize| {
            (pixel % COLUMNS as usize) < 5 && labels[image] == 0
                || (pixel % COLUMNS as usize) >= 5 && labels[image] == 1
        };
        let most = relevance.iter().copied().fold(0.0, f64::max);
        let first = relevance.iter().position(|&value| value == most).unwrap();
        let mass: f64 = (0..pixels).filter(|&pixel| inside(pixel)).map(|p| relevance[p]).sum();
        // As many pixels as the half have a relevance above that of the others.
        let mut sorted = relevance.clone();
        sorted.sort_by(f64::total_cmp);
        let threshold = sorted[pixels / 2];
        let top: Vec<usize> = (0..pixels).filter(|&p| relevance[p] >= threshold).collect();
        assert_eq!(top.len(), pixels / 2, "no ties");
        let hits = top.iter().filter(|&&pixel| inside(pixel)).count() as f64;
        let half = pixels as f64 / 2.0;
        let values = [
            f64::from(u8::from(inside(first))),
            mass / relevance.iter().sum::<f64>(),
            hits / half,
            hits / (pixels as f64 - hits),
        ];
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value / images.len() as f64);
    }
    sums
}

const METRICS: [&str; 4] = ["pointing-game", "relevance-mass", "relevance-rank", "mask-overlap"];

#[test]
fn maps_are_compared_with_masks() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let at = |name: &str| folder.path().join(name);
    let (model, masks, out) = (at("run"), at("masks"), at("out"));
    let explain = ["explain", text(&model), "--masks", text(&masks), "--out", text(&out)];
    let check = |scores: &serde_json::Value, images: &[usize]| {
        for (metric, expected) in
            METRICS.iter().zip(expected(&at("out/attributions.safetensors"), images))
        {
            let [mean, low, high] =
                ["mean", "low", "high"].map(|key| scores[metric][key].as_f64().unwrap());
            assert!((mean - expected).abs() < 1e-9, "{metric}: {mean}, not {expected}");
            assert!(low <= mean && mean <= high, "{metric}");
        }
    };
    let all = json(&explain);
    assert_eq!(all["masks"], 8);
    check(&all["localization"][0]["scores"], &[0, 1, 2, 3, 4, 5, 6, 7]);
    let said = succeed(&[&explain[..], &["--count", "4"]].concat());
    assert!(
        said.contains("means of 4 images with masks") && said.contains("relevance-mass ↑"),
        "{said}"
    );

    // Below the masks without the folder of the split, in another format, one mask missing, one
    // that is black.
    let test = at("masks/test");
    fs::remove_file(test.join("left/1.png")).unwrap();
    GrayImage::new(COLUMNS, ROWS).save(test.join("left/2.png")).unwrap();
    fs::rename(test.join("left/3.png"), test.join("left/3.other")).unwrap();
    let file = test.join("left/3.GIF");
    let flipped = GrayImage::from_fn(COLUMNS, ROWS, |x, _| Luma([if x < 5 { 200 } else { 3 }]));
    flipped.save_with_format(&file, image::ImageFormat::Bmp).unwrap();
    let explain = ["explain", text(&model), "--masks", text(&test), "--out", text(&out)];
    let output = run(&[&explain[..], &["--json"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("1 of 8 images have no mask") && said.contains("test/left/1.bmp"),
        "{said}"
    );
    assert!(
        said.contains("a mask that is all black") && said.contains("test/left/2.bmp"),
        "{said}"
    );
    let some: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(some["masks"], 6);
    check(&some["localization"][0]["scores"], &[0, 3, 4, 5, 6, 7]);

    // Compared models have the same, in table, JSON and CSV.
    let compared = at("compared");
    let compare = ["compare", text(&model), text(&model), "--count", "8", "--target", "predicted"];
    let compare = [&compare[..], &["--masks", text(&test), "--out", text(&compared)]].concat();
    let result = json(&compare);
    assert_eq!(result["masks"], 6);
    for model in result["models"].as_array().unwrap() {
        check(&model["methods"][0]["scores"], &[0, 3, 4, 5, 6, 7]);
    }
    let csv = fs::read_to_string(compared.join("compare.csv")).unwrap();
    assert!(METRICS.iter().all(|metric| csv.contains(&format!(",{metric},"))), "{csv}");

    // What cannot be a mask.
    let refused_with = |part: &str| {
        let error = refused(1, &explain);
        assert!(error.contains(part), "{error}");
    };
    GrayImage::new(COLUMNS, ROWS + 1).save(test.join("left/2.png")).unwrap();
    refused_with("left/2.png: is 13×10, its picture 12×10");
    fs::write(test.join("left/2.png"), "text").unwrap();
    refused_with("left/2.png: is text, not a picture");
    fs::remove_file(test.join("left/2.png")).unwrap();
    for name in ["2.bmp", "2.gif"] {
        fs::copy(&file, test.join("left").join(name)).unwrap();
    }
    let output = run(&[&explain[..], &["--json"]].concat());
    assert!(output.status.success(), "one has the picture's own name");
    fs::rename(test.join("left/2.bmp"), test.join("left/2.jpg")).unwrap();
    refused_with("are both masks of test/left/2.bmp");
    let empty = at("empty");
    fs::create_dir(&empty).unwrap();
    let error =
        refused(1, &["explain", text(&model), "--masks", text(&empty), "--out", text(&out)]);
    assert!(error.contains("no mask of test/left/0.bmp"), "{error}");
}

/// Sizes and cuts of pictures are those of their masks.
#[test]
fn masks_are_cut_as_their_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for class in ["a", "b"] {
        for place in ["photos", "masks"] {
            fs::create_dir_all(at(&format!("{place}/{class}"))).unwrap();
        }
        // 16 × 8: of the columns the middle 8 stay; the mask is their left half.
        let mask = GrayImage::from_fn(16, 8, |x, _| Luma([if x < 8 { 255 } else { 0 }]));
        mask.save(at(&format!("photos/{class}/1.png"))).unwrap();
        mask.save(at(&format!("masks/{class}/1.png"))).unwrap();
        mask.save(at(&format!("photos/{class}/2.png"))).unwrap();
        mask.save(at(&format!("masks/{class}/2.png"))).unwrap();
    }
    let options = saliq::config::ReadOptions {
        image_size: Some("4,4".parse().unwrap()),
        test_share: Some(0.5),
        ..Default::default()
    };
    let dataset =
        saliq::data::load_with(text(&at("photos")), None, &options, &mut |_, _| {}).unwrap();
    let files = &dataset.details.test_files;
    let place = at("photos");
    let masks = |options| {
        saliq::data::masks(&at("masks"), (&place, files), dataset.shape, options, &mut |_, _| {})
    };
    let read = masks(&options).unwrap();
    let rows = [[true, true, false, false]; 4].concat();
    assert_eq!(read.of_images, vec![Some(rows.clone()); 2]);
    // The images are the same pictures.
    let bright: Vec<bool> = dataset.test.images[..16].iter().map(|&value| value >= 128).collect();
    assert_eq!(bright, rows);
    let transposed = saliq::config::ReadOptions { transpose: true, ..options.clone() };
    let rows = [[true; 4], [true; 4], [false; 4], [false; 4]].concat();
    assert_eq!(masks(&transposed).unwrap().of_images[0], Some(rows));
}

/// Maps of each channel are columns of their own; by default one has their sum.
#[test]
fn maps_by_channel() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let (model, out) = (folder.path().join("run"), folder.path().join("out"));
    let explain = ["explain", text(&model), "--count", "2", "--out", text(&out)];
    let grid = || fs::read_to_string(out.join("grid.svg")).unwrap();
    let maps = || Tensors::open(&out.join("attributions.safetensors")).f32("gradient");
    succeed(&explain);
    let (sum, own) = (grid(), maps());
    assert!(sum.contains("summed over the colour") && !sum.contains("gradient, red"), "{sum}");
    succeed(&[&explain[..], &["--per-channel-maps"]].concat());
    assert!(
        ["red", "green", "blue"].iter().all(|color| grid().contains(&format!("gradient, {color}")))
    );
    assert!(grid().contains("of each colour channel"));
    assert_eq!(own, maps());
}

/// The first images in file order would be of one class.
#[test]
fn limits_take_every_class_alike() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let at = |name: &str| folder.path().join(name);
    let (config, photos, out) = (at("one.toml"), at("photos"), at("limited"));
    let train = ["train", "--config", text(&config), "--dataset", text(&photos), "--force"];
    let said = |flags: &[&str]| {
        let output = run(&[&train[..], &["--out", text(&out)], flags].concat());
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let both = said(&["--train-limit", "6", "--validation-share", "0.34", "--epochs", "1"]);
    let note = "in the order of classes; --train-limit and --validation-share take every class";
    assert!(both.contains(note), "{both}");
    let lines = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    assert!(lines.contains("validation_accuracy"), "{lines}");
    let model = |flags: &[&str]| {
        said(&[&["--train-limit", "4", "--epochs", "1"], flags].concat());
        fs::read(out.join("model.safetensors")).unwrap()
    };
    assert_eq!(model(&[]), model(&[]));
    assert!(!said(&["--epochs", "1"]).contains("order of classes"));
    assert!(said(&["--test-limit", "3"]).contains("--test-limit: of the 2 classes"));
}

/// Flags of reading where other commands read images for a model.
#[test]
fn every_command_that_reads_images_takes_their_size() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let at = |name: &str| folder.path().join(name);
    let large = at("large");
    for (class, name) in ["left", "right"].iter().enumerate() {
        for split in ["train", "test"] {
            let place = large.join(split).join(name);
            fs::create_dir_all(&place).unwrap();
            let picture = GrayImage::from_pixel(2 * COLUMNS, 2 * ROWS, Luma([100 * class as u8]));
            picture.save(place.join("1.png")).unwrap();
        }
    }
    let (model, config, out) = (at("run"), at("one.toml"), at("quantized"));
    let data = ["--dataset", text(&large)];
    let size = ["--image-size", "12,10", "--color", "rgb"];
    let quantize = ["quantize", text(&model), "--bits", "8", "--all-layers", "--out", text(&out)];
    assert!(refused(1, &[&quantize[..], &data].concat()).contains("the model takes [3, 12, 10]"));
    succeed(&[&quantize[..], &data, &size].concat());
    let packed = at("model.packed");
    let export = ["export", text(&model), "--format", "packed", "--out", text(&packed)];
    succeed(&[&export[..], &data, &size].concat());
    let cost = ["cost", text(&config), "--dataset", text(&large), "--image-size", "6,5"];
    assert_eq!(json(&cost)["layers"][0]["parameters"], 6 * 5 * 2 + 2);
}
