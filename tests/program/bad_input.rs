//! Everything that can be wrong with what a user hands over: each mistake is one line `error: …`
//! that says what and where, with the right exit code (2 usage, 1 otherwise), and never a panic.

use std::{
    fs,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, tensor::TensorView};
use saliq::config::Shape;

use crate::support::{
    self, SMALL_NETWORK, Tensors, colored, failure, golden, refused, run, saliq, succeed, text,
    write_folder,
};

const SHAPE: Shape = Shape::new(3, 11, 13);

/// A folder of four good IDX files.
fn good_folder(folder: &Path) -> PathBuf {
    let images = folder.join("images");
    write_folder(&images, SHAPE, &colored(12, 1), &colored(8, 2));
    images
}

fn idx_header(kind: u8, sizes: &[u32]) -> Vec<u8> {
    let mut header = vec![0, 0, kind, sizes.len() as u8];
    header.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    header
}

#[test]
fn damaged_idx_files() {
    let folder = tempfile::tempdir().unwrap();
    let images = good_folder(folder.path());
    let out = folder.path().join("out");
    const IMAGES: &str = "train-images-idx4-ubyte";
    const LABELS: &str = "train-labels-idx1-ubyte";
    let good = fs::read(images.join(IMAGES)).unwrap();
    let (short, long) = (good[..good.len() - 1].to_vec(), [&good[..], &[0]].concat());
    let max = u32::MAX;
    for (what, name, bytes) in [
        ("truncated", IMAGES, short),
        ("too long", IMAGES, long),
        ("header cut", IMAGES, good[..9].to_vec()),
        ("empty", IMAGES, Vec::new()),
        ("text", IMAGES, b"<html>404 not found</html>".to_vec()),
        ("huge in every dimension", IMAGES, idx_header(8, &[max, max, max, max])),
        ("huge in number", IMAGES, idx_header(8, &[max, 3, 11, 13])),
        ("huge but within each bound", IMAGES, idx_header(8, &[1 << 24, 64, 4096, 4096])),
        (
            "more than the file has",
            IMAGES,
            [idx_header(8, &[1 << 20, 3, 11, 13]), vec![7; 500]].concat(),
        ),
        ("no images", IMAGES, idx_header(8, &[0, 3, 11, 13])),
        ("no pixels", IMAGES, idx_header(8, &[12, 3, 0, 13])),
        ("floats", IMAGES, idx_header(0x0d, &[12, 3, 11, 13])),
        ("unknown type", IMAGES, idx_header(0x42, &[12, 3, 11, 13])),
        ("rank 0", IMAGES, vec![0, 0, 8, 0]),
        ("rank 255", IMAGES, [vec![0, 0, 8, 255], vec![1; 1020]].concat()),
        ("labels for images", IMAGES, [idx_header(8, &[12]), vec![0; 12]].concat()),
        ("images for labels", LABELS, good.clone()),
        ("fewer labels than images", LABELS, [idx_header(8, &[11]), vec![0; 11]].concat()),
        ("labels cut", LABELS, [idx_header(8, &[12]), vec![0; 11]].concat()),
        (
            "other image size",
            "t10k-images-idx4-ubyte",
            [idx_header(8, &[8, 3, 13, 11]), vec![0; 8 * 429]].concat(),
        ),
        ("gzip of nothing", IMAGES, vec![0x1f, 0x8b, 8, 0]),
    ] {
        let path = images.join(name);
        let original = fs::read(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let message = refused(1, &["train", "--dataset", text(&images), "--out", text(&out)]);
        assert!(message.contains(text(&images)), "{what}: does not name the file: {message}");
        fs::write(&path, original).unwrap();
    }
    assert!(!out.exists(), "a refused run left a folder");

    // A bomb: a small gzip file of very many zeros behind an honest header.
    let path = images.join(IMAGES);
    fs::remove_file(&path).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    use std::io::Write;
    encoder.write_all(&good).unwrap();
    for _ in 0..256 {
        encoder.write_all(&[0; 1 << 18]).unwrap();
    }
    fs::write(images.join(format!("{IMAGES}.gz")), encoder.finish().unwrap()).unwrap();
    let message = refused(1, &["train", "--dataset", text(&images), "--out", text(&out)]);
    assert!(message.contains(IMAGES), "{message}");
    fs::remove_file(images.join(format!("{IMAGES}.gz"))).unwrap();
    let message = refused(1, &["train", "--dataset", text(&images), "--out", text(&out)]);
    assert!(message.contains("lacks") && message.contains("train-images"), "{message}");
}

#[test]
fn labels_outside_a_named_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut split = saliq::data::Split { images: vec![0; 2 * 784], labels: vec![3, 10] };
    write_folder(&folder.path().join("mnist"), support::MNIST, &split, &split);
    let arguments =
        ["train", "--dataset", "mnist", "--data-dir", text(folder.path()), "--out", "/nowhere/out"];
    let message = refused(1, &arguments);
    assert!(message.contains("label 10") && message.contains("10 classes"), "{message}");
    // In a folder of one's own the highest label says how many classes there are; a model for fewer
    // does not fit.
    split.labels[1] = 11;
    let images = folder.path().join("twelve");
    write_folder(&images, support::MNIST, &split, &split);
    let message = refused(1, &["eval", text(&golden("table1")), "--dataset", text(&images)]);
    assert!(message.contains("12 classes"), "{message}");
}

/// A safetensors file with this header and so many bytes behind it.
fn tensor_file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn hostile_model_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensor = |dtype: &str, shape: &str, first: u64, last: u64| {
        format!("{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{first},{last}]}}")
    };
    let nested = format!("{{\"__metadata__\":{{\"saliq\":\"{}\"}}}}", "[".repeat(50_000));
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("seven bytes", vec![1; 7]),
        ("garbage", (0..4000u32).map(|n| (n * 37 % 251) as u8).collect()),
        ("a header of 2^64 bytes", u64::MAX.to_le_bytes().to_vec()),
        ("a header of 1 GiB", [&(1u64 << 30).to_le_bytes()[..], b"{}"].concat()),
        ("no JSON", tensor_file("{\"a\":", 0)),
        ("not an object", tensor_file("[1,2]", 0)),
        ("nesting", tensor_file(&"[".repeat(100_000), 0)),
        ("nesting in the metadata", tensor_file(&nested, 0)),
        ("no tensors", tensor_file("{}", 0)),
        (
            "overlapping tensors",
            tensor_file(
                &format!(
                    "{{\"a\":{},\"b\":{}}}",
                    tensor("F32", "[2]", 0, 8),
                    tensor("F32", "[2]", 4, 12)
                ),
                12,
            ),
        ),
        (
            "beyond the end",
            tensor_file(&format!("{{\"a\":{}}}", tensor("F32", "[1000]", 0, 4000)), 8),
        ),
        ("backwards", tensor_file(&format!("{{\"a\":{}}}", tensor("F32", "[1]", 8, 4)), 8)),
        (
            "a size that overflows",
            tensor_file(
                &format!("{{\"a\":{}}}", tensor("F32", "[4294967295,4294967295,4294967295]", 0, 4)),
                4,
            ),
        ),
        (
            "a shape that is not its size",
            tensor_file(&format!("{{\"a\":{}}}", tensor("F32", "[3]", 0, 8)), 8),
        ),
        ("a network of nothing", tensor_file("{\"__metadata__\":{\"saliq\":\"{}\"}}", 0)),
    ] {
        fs::write(&path, bytes).unwrap();
        for arguments in [
            vec!["eval", text(&path)],
            vec!["eval", text(folder.path())],
            vec!["explain", text(&path), "--out", "/nowhere/out"],
            vec!["train", "--init", text(&path), "--out", "/nowhere/out"],
        ] {
            let message = refused(1, &arguments);
            assert!(
                message.contains("model.safetensors"),
                "{what}: does not name the file: {message}"
            );
        }
    }
    for missing in ["/nowhere/model.safetensors", text(&folder.path().join("no/such"))] {
        let message = refused(1, &["eval", missing]);
        assert!(message.contains(missing), "{message}");
    }
    fs::remove_file(&path).unwrap();
    assert!(refused(1, &["eval", text(folder.path())]).contains("model.safetensors"));
}

/// Writes `tensors`, with `metadata` under the key `saliq`.
fn write_tensors(
    path: &Path,
    tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)],
    metadata: Option<&str>,
) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (
            name.clone(),
            TensorView::new(*dtype, shape.clone(), bytes)
                .unwrap_or_else(|error| panic!("{name}: {error}")),
        )
    });
    let metadata = metadata.map(|text| [("saliq".to_string(), text.to_string())].into());
    fs::write(path, safetensors::serialize(views, metadata).unwrap()).unwrap();
}

/// The bare export of Table I, to be damaged.
fn export() -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
    let file = Tensors::golden("table1");
    let bytes = |name: &str| bytemuck::cast_slice(&file.f32(name)).to_vec();
    file.contents()
        .into_iter()
        .map(|(name, dtype, shape)| (name.clone(), dtype, shape, bytes(&name)))
        .collect()
}

#[test]
fn models_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    type Damage = fn(&mut Vec<(String, Dtype, Vec<usize>, Vec<u8>)>);
    let cases: [(&str, Damage, &str); 9] = [
        (
            "no conv2.weight",
            |tensors| tensors.retain(|(name, ..)| name != "conv2.weight"),
            "conv2.weight",
        ),
        ("no fc1", |tensors| tensors.retain(|(name, ..)| !name.starts_with("fc1")), "Table I"),
        (
            "another shape",
            |tensors| tensors[3].2 = vec![64, 32, 1, 9],
            "conv2.weight has shape [64, 32, 1, 9]",
        ),
        (
            "another width",
            |tensors| {
                tensors[2].2 = vec![32];
                tensors[2].3.truncate(128);
            },
            "conv2.bias has shape [32]",
        ),
        (
            "NaN",
            |tensors| tensors[3].3[40..44].copy_from_slice(&f32::NAN.to_le_bytes()),
            "conv2.weight contains NaN",
        ),
        (
            "infinite",
            |tensors| tensors[0].3[..4].copy_from_slice(&f32::INFINITY.to_le_bytes()),
            "conv1.bias contains inf",
        ),
        ("integers", |tensors| tensors[0].1 = Dtype::I32, "conv1.bias is I32"),
        (
            "α of 0",
            |tensors| {
                tensors.extend(
                    ["act1", "act2"]
                        .map(|name| (format!("{name}.alpha"), Dtype::F32, vec![1], vec![0; 4])),
                )
            },
            "act1.alpha is 0",
        ),
        (
            "α of two",
            |tensors| {
                tensors.extend(
                    ["act1", "act2"]
                        .map(|name| (format!("{name}.alpha"), Dtype::F32, vec![2], vec![0x3f; 8])),
                )
            },
            "act1.alpha has shape [2]",
        ),
    ];
    for (what, damage, expected) in cases {
        let mut tensors = export();
        damage(&mut tensors);
        write_tensors(&path, &tensors, None);
        let bits: &[&str] = if what.starts_with('α') { &["--bits", "4,2"] } else { &[] };
        let message = refused(1, &[&["eval", text(&path)], bits].concat());
        assert!(
            message.contains(expected) && message.contains("model.safetensors"),
            "{what}: {message}"
        );
    }

    // A good model, and images that it was not made for.
    let images = good_folder(folder.path());
    let message = refused(1, &["eval", text(&golden("table1")), "--dataset", text(&images)]);
    assert!(message.contains("[3, 11, 13]") && message.contains("[1, 28, 28]"), "{message}");
    let message = refused(
        1,
        &[
            "train",
            "--init",
            text(&golden("table1")),
            "--dataset",
            text(&images),
            "--out",
            "/nowhere/out",
        ],
    );
    assert!(message.contains("table1.safetensors"), "{message}");
    let message = refused(2, &["eval", text(&golden("table1")), "--bits", "4,4,4,4,4"]);
    assert!(message.contains("4 layers"), "{message}");
}

#[test]
fn usage() {
    let model = golden("table1");
    let model = text(&model);
    for (expected, arguments) in [
        ("--mask-ratio", &["train", "--mask-ration", "0.5"][..]),
        ("--mask-ratio 1.5", &["train", "--mask-ratio", "1.5"]),
        ("1 to 8", &["train", "--bits", "9"]),
        ("'train'", &["tran"]),
        ("9 values", &["train", "--bits", "4,4,4,4,4,4,4,4,4"]),
        ("classes 0 to 9", &["explain", model, "--dataset", "mnist-mini", "--target", "10"]),
        (
            "has 1000 images",
            &[
                "explain",
                model,
                "--dataset",
                "mnist-mini",
                "--indices",
                "0,4000000000",
                "--out",
                "/nowhere/out",
            ],
        ),
        ("`gradient`", &["explain", model, "--method", "gradeint"]),
    ] {
        let message = refused(2, arguments);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("run.toml");
    for (content, expected) in [
        ("mask-ration = 0.5", "did you mean `mask-ratio`?"),
        ("bits = \"9\"", "bits"),
        ("[network]\nlayers = []", "layer"),
        ("[network]\nlayers = [{ type = \"transformer\" }]", "transformer"),
        (
            "[network]\n\
             layers = [{ type = \"conv\", name = \"a\", out-channels = 4, kernel = 99 }, \
             { type = \"linear\", name = \"b\", out-features = 10 }]",
            "does not fit",
        ),
        (
            "[network]\nlayers = [{ type = \"linear\", name = \"b\", out-features = 4000000000 }]",
            "2^28",
        ),
        (
            "[network]\n\
             layers = [{ type = \"conv\", name = \"a\", out-channels = 4000000000, kernel = 1 }, \
             { type = \"linear\", name = \"b\", out-features = 10 }]",
            "2^28",
        ),
        (
            "[network]\n\
             layers = [{ type = \"conv\", name = \"a\", out-channels = 4, kernel = 1 }, \
             { type = \"linear\", name = \"a\", out-features = 10 }]",
            "a",
        ),
    ] {
        fs::write(&config, content).unwrap();
        let out = folder.path().join("out");
        let message = refused(2, &["train", "--config", text(&config), "--out", text(&out)]);
        assert!(message.contains(expected), "{content}: {message}");
        assert!(!out.exists(), "{content}");
    }
    for name in ["mnst", "/nowhere/images"] {
        let message = refused(1, &["train", "--dataset", name]);
        assert!(message.contains(name), "{message}");
    }
    assert!(refused(1, &["train", "--dataset", "mnst"]).contains("mnist"));
}

#[test]
fn models_that_are_none_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("zip.pt"), b"PK\x03\x04\0\0\x08\x08\0\0rest").unwrap();
    fs::write(at("old.pt"), b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20rest").unwrap();
    for (name, expected) in [
        ("nosuch", "the run folder that `saliq train` wrote"),
        ("empty", "holds no model.safetensors"),
        ("zip.pt", "safetensors.torch.save_file"),
        ("old.pt", "safetensors.torch.save_file"),
    ] {
        let message = refused(1, &["eval", text(&at(name))]);
        assert!(message.contains(expected) && message.contains(name), "{message}");
    }
    let model = golden("table1");
    for command in [
        vec!["explain", text(&model)],
        vec!["drop", text(&model)],
        vec!["compare", text(&model), text(&model)],
    ] {
        let message = refused(
            2,
            &[&command[..], &["--dataset", "mnist-mini", "--out", text(&at("zip.pt"))]].concat(),
        );
        assert!(message.contains("is a file; name a folder"), "{message}");
    }
}

#[test]
fn places_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "a file, not a folder").unwrap();
    let under = file.join("out");
    let under = text(&under);
    let config = folder.path().join("small.toml");
    fs::write(
        &config,
        format!("train-limit = 4\ntest-limit = 4\nbatch-size = 4\nsteps = 1\n{SMALL_NETWORK}"),
    )
    .unwrap();
    let model = golden("table1");
    let data = ["--dataset", "mnist-mini", "--count", "2"];
    for arguments in [
        vec!["train", "--config", text(&config), "--out", under],
        [&["explain", text(&model), "--out", under], &data[..]].concat(),
        [&["eval", text(&model), "--predictions", under], &data[..]].concat(),
        vec!["demo", "--tiny", "--out", under],
    ] {
        let message = refused(1, &arguments);
        assert!(message.contains(under), "{arguments:?}: {message}");
    }
    #[cfg(target_os = "linux")]
    {
        let message = refused(1, &["train", "--config", text(&config), "--out", "/proc/saliq/run"]);
        assert!(message.contains("/proc/saliq/run"), "{message}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "a file, not a folder");
}

#[test]
fn no_adapter() {
    let model = golden("table1");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for arguments in [
        vec!["devices"],
        vec!["devices", "--json"],
        vec!["train", "--out", text(&out)],
        vec!["eval", text(&model), "--dataset", "mnist-mini"],
        vec!["explain", text(&model), "--dataset", "mnist-mini", "--out", text(&out)],
    ] {
        let mut command = saliq();
        command
            .args(&arguments)
            .env("VK_ICD_FILENAMES", "/dev/null")
            .env("VK_DRIVER_FILES", "/dev/null");
        let output = command.env_remove("SALIQ_ADAPTER").output().unwrap();
        if cfg!(target_os = "linux") {
            let message = failure(&output, 1);
            assert!(
                message.contains("no GPU adapter found") && message.contains("mesa-vulkan-drivers"),
                "{arguments:?}: {message}"
            );
        }
    }
    assert!(!out.exists(), "a run without a device left a folder");
    let message = refused(
        1,
        &["eval", text(&model), "--dataset", "mnist-mini", "--adapter", "no such thing"],
    );
    assert!(message.contains("no such thing"), "{message}");
}

#[test]
fn a_loss_that_is_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("small.toml");
    fs::write(
        &config,
        format!("train-limit = 24\ntest-limit = 4\nbatch-size = 8\nsteps = 9\n{SMALL_NETWORK}"),
    )
    .unwrap();
    let out = folder.path().join("blown");
    let arguments = ["train", "--config", text(&config), "--out", text(&out)];
    let message = refused(1, &[&arguments[..], &["--lr", "1e30"]].concat());
    let names_layer = |message: &str| {
        ["conv1", "conv2", "fc1", "fc2", "act1", "act2", "act3"]
            .iter()
            .any(|layer| message.contains(layer))
    };
    assert!(
        message.contains("step ") && names_layer(&message) && message.contains("--lr"),
        "{message}"
    );
    assert!(!out.join("model.safetensors").exists(), "a model that is none");

    // The failed step does not touch the checkpoint of the one before: a run goes on from it, to
    // the same end.
    let out = folder.path().join("kept");
    let arguments = [
        "train",
        "--config",
        text(&config),
        "--out",
        text(&out),
        "--lr",
        "1e30",
        "--checkpoint-every",
        "1",
    ];
    let message = refused(1, &arguments);
    assert!(
        message.contains("step 2: ")
            && names_layer(&message)
            && message.contains("checkpoint.safetensors"),
        "{message}"
    );
    let path = out.join("checkpoint.safetensors");
    let kept = fs::read(&path).unwrap();
    assert!(Tensors::open(&path).f32("parameters").iter().all(|value| value.is_finite()));
    let output = run(&[&arguments[..], &["--resume"]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("step 2: ") && !error.contains("starting over"), "{error}");
    assert!(fs::read(&path).unwrap() == kept, "another checkpoint");

    // With the network of the paper, and through the infinities of a quantized one.
    for bits in ["32", "4,2"] {
        let out = folder.path().join(bits);
        let limits = [
            "--train-limit",
            "16",
            "--test-limit",
            "4",
            "--batch-size",
            "8",
            "--steps",
            "4",
            "--bits",
            bits,
        ];
        let message =
            refused(1, &[&["train", "--out", text(&out), "--lr", "1e30"], &limits[..]].concat());
        assert!(message.contains("step ") && names_layer(&message), "{bits}: {message}");
    }
}

#[test]
fn hostile_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("small.toml");
    fs::write(
        &config,
        format!("train-limit = 8\ntest-limit = 4\nbatch-size = 4\nsteps = 2\n{SMALL_NETWORK}"),
    )
    .unwrap();
    let out = folder.path().join("run");
    let train = ["train", "--config", text(&config), "--out", text(&out)];
    succeed(&train);
    let path = out.join("checkpoint.safetensors");
    let model = fs::read(out.join("model.safetensors")).unwrap();
    let good = fs::read(&path).unwrap();
    let header_length = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(good[8..8 + header_length].to_vec()).unwrap();
    let file = |header: &str| {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &good[8 + header_length..]]
            .concat()
    };
    let changed = |from: &str, to: &str| {
        let new = header.replacen(from, to, 1);
        assert_ne!(new, header, "{from}");
        file(&new)
    };
    let mut not_a_number = good.clone();
    not_a_number[8 + header_length..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let metrics = fs::read(out.join("metrics.jsonl")).unwrap();
    let bytes_key = format!("\\\"metrics_bytes\\\":{}", metrics.len());
    for (what, bytes) in [
        ("cut", good[..good.len() - 5].to_vec()),
        ("metadata gone", changed("saliq-checkpoint", "saliq-chequepoint")),
        ("metrics of an exabyte", changed(&bytes_key, "\\\"metrics_bytes\\\":1152921504606846976")),
        ("a step that is not a number", changed("\\\"step\\\":2", "\\\"step\\\":-2")),
        ("NaN", not_a_number),
    ] {
        fs::write(&path, bytes).unwrap();
        let output = run(&[&train[..], &["--resume"]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{what}: {error}");
        assert!(error.contains("starting over"), "{what}: {error}");
        assert!(fs::read(out.join("model.safetensors")).unwrap() == model, "{what}: another model");
        assert_eq!(
            fs::metadata(out.join("metrics.jsonl")).unwrap().len() / 100,
            metrics.len() as u64 / 100,
            "{what}"
        );
    }
}
