//! The commands as a user runs them: what they print, what they write.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use image::GenericImageView;
use safetensors::Dtype;
use saliq::{config::Shape, data::Split};
use serde_json::Value;

use crate::{
    common::assert_close,
    support::{
        self, MNIST, SMALL_NETWORK, Tensors, colored, golden, json, refused, succeed, text,
        write_folder,
    },
};

/// A run folder with a small trained model, made once.
fn trained() -> &'static Path {
    static RUN: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, out) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("small.toml");
        fs::write(
            &config,
            format!("test-limit = 20\nbatch-size = 32\nsteps = 12\nlr = 0.1\n{SMALL_NETWORK}"),
        )
        .unwrap();
        let out = folder.path().join("small");
        let result = json(&["train", "--config", text(&config), "--out", text(&out)]);
        assert_eq!(result["images"], 20);
        (folder, out)
    });
    out
}

#[test]
fn train_writes_a_run_folder() {
    let mut names: Vec<_> = fs::read_dir(trained())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [".lock", "checkpoint.safetensors", "config.toml", "metrics.jsonl", "model.safetensors"]
    );
    let metrics = fs::read_to_string(trained().join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<_> = lines.iter().filter(|line| line["kind"] == "step").collect();
    let numbers: Vec<u64> = steps.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    for key in ["loss", "ce", "kl", "accuracy", "lr"] {
        assert!(steps.iter().all(|line| line[key].is_f64()), "{key}");
    }
    let epoch = lines.iter().find(|line| line["kind"] == "epoch").unwrap();
    for key in [
        "epoch",
        "step",
        "train_loss",
        "train_ce",
        "train_kl",
        "train_accuracy",
        "test_accuracy",
        "test_loss",
        "seconds",
        "images_per_second",
    ] {
        assert!(epoch[key].is_number(), "{key}");
    }
    assert!(epoch["alpha"].is_object());
    // config.toml repeats the run.
    let folder = tempfile::tempdir().unwrap();
    let again = folder.path().join("again");
    succeed(&[
        "train",
        "--config",
        text(&trained().join("config.toml")),
        "--out",
        text(&again),
        "--quiet",
    ]);
    let model = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert!(model(trained()) == model(&again), "config.toml gave another model");
    assert!(refused(2, &["train", "--out", text(&again)]).contains("--force"));
}

/// The highest label that a byte holds is a class like any other: in the file, by name and with a
/// cross in the picture.
#[test]
fn class_255_has_a_label() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("linear.toml"));
    let shape = Shape::new(1, 4, 4);
    let labels = [0, 255, 7, 255, 254];
    let split = Split { images: (0..80).map(|value| value * 3).collect(), labels: labels.into() };
    write_folder(&data, shape, &split, &split);
    fs::write(
        &config,
        "[network]\nlayers = [ { type = \"linear\", name = \"fc1\", out-features = 256 } ]\n",
    )
    .unwrap();
    let (run, maps) = (folder.path().join("run"), folder.path().join("maps"));
    let common = [
        "train",
        "--config",
        text(&config),
        "--dataset",
        text(&data),
        "--sgt",
        "false",
        "--steps",
        "2",
    ];
    succeed(&[&common[..], &["--batch-size", "4", "--lr", "1e-6", "--out", text(&run)]].concat());
    succeed(&[
        "explain",
        text(&run),
        "--dataset",
        text(&data),
        "--count",
        "5",
        "--target",
        "label",
        "--out",
        text(&maps),
    ]);
    let tensors = Tensors::open(&maps.join("attributions.safetensors"));
    assert_eq!(tensors.i64("labels"), labels.map(i64::from));
    let picture = fs::read_to_string(maps.join("grid.svg")).unwrap();
    let wrong = tensors
        .i64("predictions")
        .iter()
        .zip(labels)
        .filter(|(class, label)| **class != i64::from(*label))
        .count();
    assert!(wrong > 2);
    // One more stands in the caption.
    assert_eq!(picture.matches('✗').count(), wrong + 1);
    assert_eq!(picture.matches(">255<").count(), 2, "the name of the class below its images");
}

#[test]
fn snapshots_stay_in_the_run_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("small.toml");
    fs::write(
        &config,
        format!("test-limit = 20\ntrain-limit = 64\nbatch-size = 32\n{SMALL_NETWORK}"),
    )
    .unwrap();
    let out = folder.path().join("out");
    let train = |steps: &str, more: &[&str]| {
        json(
            &[&["train", "--config", text(&config), "--out", text(&out), "--steps", steps], more]
                .concat(),
        )
    };
    let every = ["--snapshot-every", "2"];
    let (tensors, drawn) = (out.join("snapshots.safetensors"), out.join("snapshots.png"));
    assert_eq!(train("3", &every)["snapshots"], text(&drawn));
    let first = Tensors::open(&tensors);
    let steps = first.i64("steps");
    assert!(steps.len() >= 2 && steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
    assert_eq!(first.f32("maps").len(), steps.len() * 8 * 784);
    assert_eq!((first.f32("images").len(), first.i64("labels")), (8 * 784, (0..8).collect()));
    let (width, height) = picture(&drawn);
    assert!(width > 100 && height > 8 * 28, "{width}×{height}");

    // A run that goes on keeps what it had; one that replaces it does not.
    assert_eq!(train("3", &["--resume", "--snapshot-every", "2"])["snapshots"], text(&drawn));
    train("6", &["--resume", "--snapshot-every", "2"]);
    let more = Tensors::open(&tensors);
    assert!(
        more.i64("steps").starts_with(&steps[..steps.len() - 1])
            && more.i64("steps").len() > steps.len()
    );
    assert_eq!(more.f32("maps")[..8 * 784], first.f32("maps")[..8 * 784]);
    assert!(train("1", &["--force"]).get("snapshots").is_none());
    assert!(!tensors.exists() && !drawn.exists());
}

#[test]
fn a_run_folder_knows_where_its_data_are() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("fashion-mnist");
    let [train, test] = [9, 10].map(|seed| colored(40, seed));
    write_folder(&images, Shape::new(3, 11, 13), &train, &test);
    let out = folder.path().join("run");
    let network = "[[network.layers]]\ntype = \"linear\"\nname = \"fc1\"\nout-features = 4\n";
    let config = folder.path().join("linear.toml");
    fs::write(&config, format!("steps = 1\nbatch-size = 8\n{network}")).unwrap();
    // By a path that holds only where the command is run.
    let mut command = support::saliq();
    command.current_dir(&images).args([
        "train",
        "--config",
        text(&config),
        "--dataset",
        ".",
        "--out",
        text(&out),
        "--quiet",
    ]);
    assert!(command.status().unwrap().success());

    assert_eq!(json(&["eval", text(&out)])["images"], 40);
    json(&["explain", text(&out), "--count", "1", "--out", text(&folder.path().join("maps"))]);
    json(&[
        "compare",
        text(&out),
        text(&out),
        "--count",
        "2",
        "--out",
        text(&folder.path().join("compared")),
    ]);
    assert_eq!(json(&["train", "--resume", "--out", text(&out)])["already_finished"], true);
    let again = folder.path().join("again");
    succeed(&[
        "train",
        "--config",
        text(&out.join("config.toml")),
        "--out",
        text(&again),
        "--quiet",
    ]);
    let model = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert!(model(&out) == model(&again));
    assert!(
        !String::from_utf8_lossy(&model(&out)).contains(text(folder.path())),
        "a model holds no path"
    );

    // A named set in a folder of its own.
    let named = folder.path().join("named");
    let copy = folder.path().join("data").join("mnist");
    let [train, test] = [3, 4].map(|seed| {
        let mut split = Split { labels: (0..10).collect(), images: vec![0; 7840] };
        split
            .images
            .iter_mut()
            .enumerate()
            .for_each(|(index, pixel)| *pixel = (index * seed % 251) as u8);
        split
    });
    write_folder(&copy, MNIST, &train, &test);
    let mut command = support::saliq();
    command.current_dir(folder.path()).args([
        "train",
        "--steps",
        "1",
        "--sgt",
        "false",
        "--dataset",
        "mnist",
    ]);
    assert!(
        command
            .args(["--data-dir", "data", "--out", text(&named), "--quiet"])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(json(&["eval", text(&named)])["images"], 10);
}

#[test]
fn eval() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("predictions.csv");
    let result = json(&["eval", text(trained()), "--count", "50", "--predictions", text(&csv)]);
    assert_eq!(result["images"], 50);
    let accuracy = result["accuracy"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&accuracy));
    let per_class = result["per_class"].as_array().unwrap();
    assert_eq!(per_class.len(), 10);
    for (class, row) in per_class.iter().enumerate() {
        assert_eq!(
            (row["class"].as_u64(), row["name"].as_str()),
            (Some(class as u64), Some(&*class.to_string()))
        );
        for key in ["accuracy", "precision"] {
            assert!(
                row[key].is_null() || (0.0..=1.0).contains(&row[key].as_f64().unwrap()),
                "{row}"
            );
        }
    }
    // Of no images there is no share.
    let few = json(&["eval", text(trained()), "--count", "1"]);
    let empty: Vec<_> =
        few["per_class"].as_array().unwrap().iter().filter(|row| row["images"] == 0).collect();
    assert!(empty.len() == 9 && empty.iter().all(|row| row["accuracy"].is_null()), "{few}");
    assert!(succeed(&["eval", text(trained()), "--count", "1"]).contains('–'));
    for more in [&["--per-channel", "false"][..], &["--per-channel=false"]] {
        assert_eq!(
            json(&[&["eval"], more, &[text(trained()), "--count", "1"]].concat()),
            few,
            "{more:?}"
        );
    }
    let confusion: Vec<Vec<u64>> = serde_json::from_value(result["confusion"].clone()).unwrap();
    assert_eq!(confusion.iter().flatten().sum::<u64>(), 50);
    let diagonal: u64 = (0..10).map(|class| confusion[class][class]).sum();
    assert!((accuracy - diagonal as f64 / 50.0).abs() < 1e-12);
    for (class, row) in confusion.iter().enumerate() {
        assert_eq!(per_class[class]["images"].as_u64(), Some(row.iter().sum()));
    }

    let csv = fs::read_to_string(&csv).unwrap();
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("index,label,prediction,probability,label_probability,loss"));
    let rows: Vec<Vec<f64>> =
        lines.map(|line| line.split(',').map(|field| field.parse().unwrap()).collect()).collect();
    assert_eq!(rows.len(), 50);
    let mut counted = vec![vec![0u64; 10]; 10];
    for (index, row) in rows.iter().enumerate() {
        let [number, label, prediction, probability, label_probability, loss] = row[..] else {
            panic!("{row:?}")
        };
        assert_eq!(number as usize, index);
        counted[label as usize][prediction as usize] += 1;
        assert!(label_probability <= probability && probability <= 1.0, "{row:?}");
        assert!((loss + label_probability.ln()).abs() < 1e-4, "{row:?}");
    }
    assert_eq!(counted, confusion);
    let mean = rows.iter().map(|row| row[5]).sum::<f64>() / 50.0;
    assert!((result["loss"].as_f64().unwrap() - mean).abs() < 1e-6);

    // Batches of another size are other work, not other results.
    let cut = json(&[
        "eval",
        text(&trained().join("model.safetensors")),
        "--count",
        "50",
        "--batch-size",
        "7",
    ]);
    assert_eq!(cut, result);
    assert_eq!(json(&["eval", text(trained()), "--count", "3", "--split", "train"])["images"], 3);
    let table = succeed(&["eval", text(trained()), "--count", "50"]);
    assert!(table.contains(&format!("accuracy {:.2} %", 100.0 * accuracy)), "{table}");
}

/// Width and height of a picture with more than one colour.
fn picture(path: &Path) -> (u32, u32) {
    let picture = image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let first = picture.get_pixel(0, 0);
    assert!(picture.pixels().any(|(.., pixel)| pixel != first), "{}: one colour", path.display());
    picture.dimensions()
}

#[test]
fn explain() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let methods = ["--method", "gradient,input-x-gradient,random"];
    let explain = |name: &str, more: &[&str]| {
        let path = out(name);
        json(&[&["explain", text(trained()), "--out", text(&path)], more].concat());
        Tensors::open(&path.join("attributions.safetensors"))
    };
    let first = explain("first", &[&methods[..], &["--count", "4"]].concat());
    let maps = |name: &str| (name.to_string(), Dtype::F32, vec![4, 1, 28, 28]);
    let numbers = |name: &str| (name.to_string(), Dtype::I64, vec![4]);
    let mut expected = vec![
        maps("gradient"),
        maps("images"),
        numbers("indices"),
        maps("input-x-gradient"),
        numbers("labels"),
    ];
    expected.extend([
        ("logits".to_string(), Dtype::F32, vec![4, 10]),
        numbers("predictions"),
        maps("random"),
    ]);
    assert_eq!(first.contents(), expected);

    // images are in 0..1, the maps with respect to the normalised ones.
    let (images, gradient) = (first.f32("images"), first.f32("gradient"));
    assert!(images.iter().all(|pixel| (0.0..=1.0).contains(pixel)) && images.contains(&1.0));
    let product: Vec<f64> = images
        .iter()
        .zip(&gradient)
        .map(|(&x, &g)| (f64::from(x) - 0.1307) / 0.3081 * f64::from(g))
        .collect();
    assert_close("input × gradient", &first.f32("input-x-gradient"), &product, 1e-5);
    let random = first.f32("random");
    assert!(
        random.iter().all(|value| value.abs() <= 1.0) && random.iter().any(|&value| value < -0.9)
    );
    assert!(random[..784] != random[784..1568], "every image has its own");
    let logits = first.f32("logits");
    for (row, &predicted) in logits.chunks_exact(10).zip(&first.i64("predictions")) {
        assert!(row.iter().all(|&logit| logit <= row[predicted as usize]), "{row:?}: {predicted}");
    }
    assert_eq!(first.i64("indices"), [0, 1, 2, 3]);

    // One image's results do not depend on its company, its place, or the size of the batches.
    let picked =
        explain("picked", &[&methods[..], &["--indices", "3,0-1,3", "--batch-size", "3"]].concat());
    assert_eq!(picked.i64("indices"), [3, 0, 1, 3]);
    assert_eq!(picked.f32("gradient")[..784], gradient[3 * 784..]);
    assert_eq!(picked.f32("gradient")[784..3 * 784], gradient[..2 * 784]);

    // The same command gives the same bytes; another seed other random maps.
    explain("again", &[&methods[..], &["--count", "4"]].concat());
    for name in ["attributions.safetensors", "grid.png"] {
        assert!(
            fs::read(out("first").join(name)).unwrap()
                == fs::read(out("again").join(name)).unwrap(),
            "{name}"
        );
    }
    let seeded = explain("seeded", &[&methods[..], &["--count", "2", "--seed", "9"]].concat());
    assert!(seeded.f32("random") != random[..1568]);
    assert_eq!(seeded.f32("gradient"), gradient[..1568]);

    // A picture grows with its rows and columns.
    let (width, height) = picture(&out("first").join("grid.png"));
    let (seeded_width, seeded_height) = picture(&out("seeded").join("grid.png"));
    assert_eq!(width, seeded_width);
    assert!(height > seeded_height + 2 * 28, "{height} for 4 rows, {seeded_height} for 2");
    assert!(width > 7 * 28, "an image, and a map and a masked image a method: {width}");

    // Targets: the class asked for, the label, the predicted class.
    let zero = explain("zero", &["--count", "4", "--target", "0"]).f32("gradient");
    let label = explain("label", &["--count", "4", "--target", "label"]).f32("gradient");
    for (image, (&class, &predicted)) in
        first.i64("labels").iter().zip(&first.i64("predictions")).enumerate()
    {
        let of = |maps: &[f32]| maps[image * 784..(image + 1) * 784].to_vec();
        assert_eq!(of(&label) == of(&gradient), class == predicted, "image {image}");
        assert_eq!(of(&zero) == of(&gradient), predicted == 0, "image {image}");
    }
    let log = explain("log", &["--count", "4", "--output", "log-softmax"]).f32("gradient");
    assert!(log != gradient && log.iter().all(|value| value.is_finite()));
}

#[test]
fn explain_by_every_method() {
    let folder = tempfile::tempdir().unwrap();
    let names = saliq::saliency::Method::ALL.map(saliq::saliency::Method::name);
    let methods = names.join(",");
    let arguments = [
        "explain",
        text(trained()),
        "--method",
        &methods,
        "--count",
        "2",
        "--out",
        text(folder.path()),
    ];
    let more = [
        "--samples",
        "4",
        "--steps",
        "3",
        "--noise",
        "0.1",
        "--baseline",
        "black",
        "--layer",
        "conv1",
    ];
    let result = json(&[&arguments[..], &more].concat());
    assert_eq!(result["methods"].as_array().unwrap().len(), names.len());
    let file = Tensors::open(&folder.path().join("attributions.safetensors"));
    for name in names {
        let map = file.f32(name);
        assert_eq!(map.len(), 2 * 784, "{name}");
        assert!(
            map.iter().all(|value| value.is_finite()) && map.iter().any(|&value| value != 0.0),
            "{name}"
        );
    }
    picture(&folder.path().join("grid.png"));
    let refused = |flags: &[&str]| {
        refused(2, &[&["explain", text(trained()), "--count", "1"], flags].concat())
    };
    assert!(refused(&["--method", "grad-cam", "--layer", "conv7"]).contains("conv1"));
    assert!(refused(&["--method", "lrp", "--output", "log-softmax"]).contains("--output logit"));
    assert!(refused(&["--layer", "conv1"]).contains("grad-cam"));
    assert_eq!(
        refused(&["--method", "gradient,lrp,gradient"]),
        "--method: gradient is named twice"
    );
}

#[test]
fn explain_pictures_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stroke.png");
    image::RgbImage::from_fn(56, 28, |x, _| image::Rgb(if x < 28 { [255; 3] } else { [0; 3] }))
        .save(&path)
        .unwrap();
    let out = folder.path().join("out");
    let arguments =
        ["explain", text(trained()), "--image", text(&path), "--out", text(&out), "--invert"];
    assert_eq!(json(&arguments)["images"], 1);
    let file = Tensors::open(&out.join("attributions.safetensors"));
    assert_eq!(file.i64("labels"), [-1]);
    let images = file.f32("images");
    assert!(
        images[..10].iter().all(|&pixel| pixel == 0.0)
            && images[18..28].iter().all(|&pixel| pixel == 1.0),
        "{images:?}"
    );
    picture(&out.join("grid.png"));
    fs::write(&path, b"no picture").unwrap();
    assert!(refused(1, &arguments).contains("not a PNG picture"));
    assert!(
        refused(2, &[&arguments[..], &["--target", "label"]].concat()).contains("has no label")
    );
    assert!(refused(2, &[&arguments[..], &["--count", "2"]].concat()).contains("--count"));
}

/// Names with commas, ink on nothing, pictures with nothing to see: what is done is said, and the
/// files are named in the result.
#[test]
fn explain_names_and_judges_pictures_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let ink = |color: u8| {
        image::GrayAlphaImage::from_fn(28, 28, |x, _| {
            image::LumaA(if (9..15).contains(&x) { [color, 255] } else { [0, 0] })
        })
    };
    ink(0).save(at("dark,ink.png")).unwrap();
    ink(255).save(at("light.png")).unwrap();
    ink(0).save(at("light.png,x.png")).unwrap();
    image::GrayAlphaImage::new(28, 28).save(at("nothing.png")).unwrap();
    image::GrayImage::from_pixel(28, 28, image::Luma([90])).save(at("flat.png")).unwrap();
    image::GrayImage::from_fn(28, 28, |x, _| image::Luma([x as u8])).save(at("plain.png")).unwrap();
    let explain = |lists: &[&str], flags: &[&str]| {
        let mut command = support::saliq();
        command
            .current_dir(folder.path())
            .args(["explain", text(trained()), "--out", "out"])
            .args(flags);
        command.args(lists.iter().flat_map(|list| ["--image", list])).output().unwrap()
    };
    let output = explain(&["light.png,dark,ink.png", "plain.png", "light.png,x.png"], &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let expected = [
        "light.png: transparent pixels become black, because the visible pixels are light",
        "dark,ink.png: transparent pixels become white, because the visible pixels are dark",
        "light.png,x.png: transparent pixels become white, because the visible pixels are dark",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    let bytes = fs::read(at("out/attributions.safetensors")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let names: Vec<String> =
        serde_json::from_str(&header.metadata().as_ref().unwrap()["image_files"]).unwrap();
    assert_eq!(names, ["light.png", "dark,ink.png", "plain.png", "light.png,x.png"]);
    let row = |image: usize, tensors: &Tensors| {
        tensors.f32("images")[image * 784..image * 784 + 28].to_vec()
    };
    let (strokes, ground) = ((9..15), (15..28));
    let file = Tensors::open(&at("out/attributions.safetensors"));
    for (image, stroke) in [(0, 1.0), (1, 0.0), (3, 0.0)] {
        let row = row(image, &file);
        assert!(
            strokes.clone().all(|x| row[x] == stroke)
                && ground.clone().all(|x| row[x] == 1.0 - stroke),
            "{image}: {row:?}"
        );
    }
    // No picture has a true class, so none is spoken of.
    let grid = fs::read_to_string(at("out/grid.svg")).unwrap();
    assert!(grid.contains("below each group") || grid.contains("Below each group"), "{grid}");
    assert!(!grid.contains("true class") && !grid.contains("where it is wrong"));

    let output = explain(&["dark,ink.png,nothing.png,flat.png"], &["--invert"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("warning: nothing.png: every pixel is transparent: nothing is visible"),
        "{said}"
    );
    assert!(
        said.contains(
            "warning: flat.png: has a single colour at the model's 1×28×28: nothing is visible"
        ),
        "{said}"
    );
    let row = row(0, &Tensors::open(&at("out/attributions.safetensors")));
    assert!(
        strokes.clone().all(|x| row[x] == 1.0) && ground.clone().all(|x| row[x] == 0.0),
        "{row:?}"
    );
    let missing = support::failure(&explain(&["plain.png,no,such.png"], &["--quiet"]), 1);
    assert!(missing.contains("plain.png,no,such.png") && missing.contains("`no`"), "{missing}");
    let folder = at("labelled");
    let labelled = ["explain", text(trained()), "--count", "1", "--out", text(&folder)];
    succeed(&labelled);
    assert!(fs::read_to_string(at("labelled/grid.svg")).unwrap().contains("true class"));
}

/// A network of these layers, trained for a step on eight images of 5 × 5, and the data.
fn tiny(folder: &Path, layers: &str) -> [PathBuf; 2] {
    let [run, data, config] = ["run", "data", "tiny.toml"].map(|name| folder.join(name));
    let split = Split {
        images: (0..200).map(|n| (n * 37 % 251) as u8).collect(),
        labels: (0..8).map(|n| n % 2).collect(),
    };
    write_folder(&data, Shape::new(1, 5, 5), &split, &split);
    fs::write(
        &config,
        format!("sgt = false\nbatch-size = 8\nsteps = 1\n[network]\nlayers = [{layers}]\n"),
    )
    .unwrap();
    succeed(&[
        "train",
        "--config",
        text(&config),
        "--dataset",
        text(&data),
        "--out",
        text(&run),
        "--quiet",
    ]);
    [run, data]
}

/// A convolution as large as the image: Grad-CAM's formula gives every pixel the same value, here
/// the logit without its bias (the weights of the map's only pixel are those of the linear layer).
#[test]
fn grad_cam_of_a_map_of_one_pixel_is_constant() {
    let folder = tempfile::tempdir().unwrap();
    let layers = "{ type = 'conv', name = 'c', out-channels = 5, kernel = 5 }, \
                  { type = 'linear', name = 'f', out-features = 2 }";
    let [run, data] = tiny(folder.path(), layers);
    let out = folder.path().join("out");
    let methods = ["--method", "grad-cam,gradient,occlusion", "--count", "3", "--target", "1"];
    succeed(
        &[&["explain", text(&run), "--dataset", text(&data), "--out", text(&out)], &methods[..]]
            .concat(),
    );
    let file = Tensors::open(&out.join("attributions.safetensors"));
    let (maps, logits) = (file.f32("grad-cam"), file.f32("logits"));
    let bias = Tensors::open(&run.join("model.safetensors")).f32("f.bias")[1];
    for (map, logits) in maps.chunks_exact(25).zip(logits.chunks_exact(2)) {
        assert!(
            map.iter().all(|value| (value - (logits[1] - bias)).abs() < 1e-5),
            "{map:?} {logits:?} {bias}"
        );
    }
    assert_eq!((maps.len(), file.f32("gradient").len()), (75, 75));
    let linear = ["--method", "grad-cam", "--layer", "f", "--count", "1"];
    let message =
        refused(2, &[&["explain", text(&run), "--dataset", text(&data)], &linear[..]].concat());
    assert_eq!(
        message,
        "--layer f: grad-cam needs a layer with planes (channels of rows and columns); layers with \
         planes: c"
    );
}

/// What a method cannot do is said, and does not keep the others from being done.
#[test]
fn a_method_that_cannot_be_done_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let [run, data] = tiny(folder.path(), "{ type = 'linear', name = 'f', out-features = 2 }");
    let out = folder.path().join("out");
    let explain = |methods: &str| {
        let arguments = [
            "explain",
            text(&run),
            "--dataset",
            text(&data),
            "--count",
            "2",
            "--out",
            text(&out),
            "--quiet",
        ];
        support::run(&[&arguments[..], &["--method", methods]].concat())
    };
    let none = "grad-cam looks at the last convolution, and the network has none: leave it out";
    assert_eq!(support::failure(&explain("grad-cam"), 2), none);
    assert!(!out.exists());
    let output = explain("gradient,grad-cam,rise");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), error.trim_end()),
        (Some(1), &*format!("error: run: {none} (the other methods are done)"))
    );
    let file = Tensors::open(&out.join("attributions.safetensors"));
    let names: Vec<String> = file.contents().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["gradient", "images", "indices", "labels", "logits", "predictions", "rise"]);
    let drop = [
        "drop",
        text(&run),
        "--dataset",
        text(&data),
        "--method",
        "gradient,grad-cam",
        "--out",
        text(&out),
    ];
    assert_eq!(refused(2, &drop), none);
}

/// Labels from 1 on, as EMNIST's letters have them, make a class that no image has.
#[test]
fn classes_without_images_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("letters");
    let warning = |labels: &[u32]| {
        let split = Split { images: vec![9; 4 * labels.len()], labels: labels.to_vec() };
        write_folder(&data, Shape::new(1, 2, 2), &split, &split);
        // Refused once the data are read, as 2 × 2 is too small for the network: no training is
        // needed.
        let out = folder.path().join("out");
        let arguments = ["train", "--dataset", text(&data), "--out", text(&out)];
        let output = support::run(&arguments);
        String::from_utf8(output.stderr)
            .unwrap()
            .lines()
            .find(|line| line.starts_with("warning: "))
            .map(String::from)
    };
    let letters: Vec<u32> = (1..=26).collect();
    let said = warning(&letters).unwrap();
    assert!(
        said.contains("letters: class 0 has no images") && said.contains("27 classes, 0 to 26"),
        "{said}"
    );
    assert!(warning(&[0, 2, 3, 7]).unwrap().contains("classes 1, 4-6 have no images"));
    assert_eq!(warning(&[3, 1, 0, 2]), None);
}

#[test]
fn explain_several_models() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("both");
    let table1 = golden("table1");
    let arguments = [
        "explain",
        text(trained()),
        text(&table1),
        "--count",
        "2",
        "--dataset",
        "mnist-mini",
        "--out",
        text(&out),
    ];
    let result = json(&arguments);
    assert_eq!(result["images"], 2);
    for name in ["attributions-small.safetensors", "attributions-table1.safetensors"] {
        assert_eq!(Tensors::open(&out.join(name)).f32("gradient").len(), 2 * 784, "{name}");
    }
    picture(&out.join("grid.png"));
}

#[test]
fn explain_refuses_models_of_different_images() {
    let folder = tempfile::tempdir().unwrap();
    let (other, out) = (folder.path().join("garments"), folder.path().join("out"));
    let config = folder.path().join("small.toml");
    fs::write(&config, format!("test-limit = 20\nbatch-size = 8\nsteps = 1\n{SMALL_NETWORK}"))
        .unwrap();
    succeed(&[
        "train",
        "--config",
        text(&config),
        "--dataset",
        "fashion-mini",
        "--out",
        text(&other),
        "--quiet",
    ]);
    let both = ["explain", text(trained()), text(&other), "--count", "1", "--out", text(&out)];
    assert!(refused(2, &both).contains("small and garments were trained on different images"));
    // With --dataset the model that has other names for the classes is named.
    let output = support::run(&[&both[..], &["--dataset", "mnist-mini"]].concat());
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && notes.contains("class 0 is T-shirt"), "{notes}");
    assert!(!notes.contains("small"), "{notes}");

    let few = support::run(&[
        "explain",
        text(trained()),
        "--count",
        "99999",
        "--method",
        "random",
        "--out",
        text(&out),
    ]);
    let notes = String::from_utf8_lossy(&few.stderr);
    assert!(
        few.status.success() && notes.contains("the test split of mnist-mini has 1000 images"),
        "{notes}"
    );
}

#[test]
fn devices() {
    let adapters = json(&["devices"]);
    let adapters = adapters.as_array().unwrap();
    assert!(!adapters.is_empty());
    for (index, adapter) in adapters.iter().enumerate() {
        assert_eq!(adapter["index"].as_u64(), Some(index as u64));
        for key in ["name", "backend", "kind", "driver", "reason"] {
            assert!(adapter[key].is_string(), "{key}: {adapter}");
        }
        assert!(adapter["features"].is_array());
        assert!(adapter["max_storage_binding_bytes"].as_u64() >= Some(1 << 27), "{adapter}");
    }
    assert_eq!(adapters.iter().filter(|adapter| adapter["picked"] == true).count(), 1);
    let table = succeed(&["devices"]);
    assert!(
        table.contains(adapters[0]["name"].as_str().unwrap()) && table.contains("is picked"),
        "{table}"
    );
}

#[test]
fn data_list() {
    let sets = json(&["data", "list"]);
    let names: Vec<_> =
        sets.as_array().unwrap().iter().map(|set| set["name"].as_str().unwrap()).collect();
    let to_fetch = ["cifar-10", "cifar-100", "kmnist", "qmnist", "emnist-letters", "pathmnist"];
    for name in ["mnist", "fashion-mnist", "mnist-mini", "fashion-mini"].iter().chain(&to_fetch) {
        assert!(names.contains(name), "{names:?}");
    }
    for set in &sets.as_array().unwrap()[..4] {
        assert_eq!(set["shape"], serde_json::json!([1, 28, 28]));
        assert_eq!(set["classes"], 10);
        assert_eq!(set["embedded"] == true, set["name"].as_str().unwrap().ends_with("mini"));
        assert!(set["train"].as_u64() > set["test"].as_u64());
    }
    assert!(succeed(&["data", "list"]).contains("fashion-mini"));
}

#[test]
fn demo() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let printed = json(&["demo", "--tiny", "--out", text(&out)]);
    let written: Value =
        serde_json::from_str(&fs::read_to_string(out.join("results.json")).unwrap()).unwrap();
    assert_eq!(printed, written);
    support::schema::hold("demo", &[printed]);
    let models = written["models"].as_array().unwrap();
    assert_eq!(
        models.iter().map(|model| model["bits"].as_str().unwrap()).collect::<Vec<_>>(),
        ["32", "4,4", "4,2", "2,2"]
    );
    assert!(models.iter().all(|model| (0.0..=1.0).contains(&model["accuracy"].as_f64().unwrap())));
    for name in ["saliency.png", "filmstrip.png"] {
        let (width, height) = picture(&out.join(name));
        assert!(width > 100 && height > 100, "{name}: {width}×{height}");
    }
    for name in ["loss.svg", "kl.svg", "quantizers.svg"] {
        let drawing = fs::read_to_string(out.join(name)).unwrap();
        assert!(
            drawing.trim_start().starts_with("<svg") && drawing.trim_end().ends_with("</svg>"),
            "{name}"
        );
        assert!(drawing.contains("(4,2)"), "{name} has a legend");
    }
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("</html>") && report.contains("(2,2)"));
    // The quantized models have more training behind them than the float one: nothing is said as if
    // they had not.
    let steps =
        |model: &Value| (model["steps_before"].as_u64().unwrap(), model["steps"].as_u64().unwrap());
    assert_eq!(models.iter().map(steps).collect::<Vec<_>>(), [(0, 3), (3, 1), (3, 1), (3, 1)]);
    assert!(
        report.contains(">3 + 1<") && report.contains("does not come from the bits alone"),
        "the table says the steps"
    );
    assert!(report.contains(
        "the 50 % of its pixels that the map ranks lowest, sign included, replaced by uniform noise"
    ));
    for scheme in ["src=\"http", "href=\"http", "url(http"] {
        assert!(!report.contains(scheme), "the report must stand alone: {scheme}");
    }
    let commands: Vec<_> = report
        .match_indices("saliq train")
        .map(|(at, _)| report[at..].lines().next().unwrap())
        .collect();
    let folders: std::collections::HashSet<_> =
        commands.iter().filter_map(|line| line.split("--out ").nth(1)).collect();
    assert_eq!(
        (commands.len(), folders.len()),
        (4, 4),
        "each has a folder of its own: {commands:?}"
    );
    for model in ["float", "4-4", "4-2", "2-2"] {
        assert!(out.join(model).join("model.safetensors").is_file(), "{model}");
    }

    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.tex"), "years of work").unwrap();
    assert!(refused(2, &["demo", "--tiny", "--out", text(&other)]).contains("--force"));
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
}
