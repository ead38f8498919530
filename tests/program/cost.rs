//! `saliq cost`: what a model, a run folder or a configuration costs. No adapter is needed.

use std::fs;

use saliq::{config::PixelNormalization, data, graph::Graph, model::Model};

use crate::support::{self, SMALL_NETWORK, json, refused, run_config, succeed, text};

#[test]
fn the_papers_table_is_printed_exactly() {
    for (bits, figure) in
        [("32", 32_025_344u64), ("2,2", 3_108_704), ("4,2", 3_122_816), ("4,4", 5_036_480)]
    {
        let cost = json(&["cost", "--bits", bits, "--accounting", "paper"]);
        assert_eq!(
            (&cost["accounting"], &cost["weighted_flops"]),
            (&"paper".into(), &figure.into()),
            "{bits}"
        );
        assert_eq!(cost["flops"], 32_025_344u64, "{bits}");
    }
    assert!(succeed(&["cost", "--bits", "4,2", "--accounting", "paper"]).contains("3,122,816"));
}

/// One value is that of the convolutions; what that leaves in float is said.
#[test]
fn float_layers_that_are_most_of_the_bytes_are_named() {
    let told = |arguments: &[&str]| String::from_utf8(support::run(arguments).stderr).unwrap();
    let said = told(&["cost", "--bits", "8"]);
    assert!(
        said.contains("fc1, fc2 are in float: 99.5 %") && said.contains("--bits 8 --all-layers"),
        "{said}"
    );
    assert_eq!(told(&["cost", "--bits", "8", "--all-layers"]), "");
    let widths = |arguments: &[&str]| -> Vec<u64> {
        let cost = json(&[&["cost"], arguments].concat());
        cost["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer["weight_bits"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(widths(&["--bits", "8", "--all-layers"]), [8; 4]);
    assert_eq!(widths(&["--bits", "8", "--all-layers", "false"]), [8, 8, 32, 32]);
    assert!(
        refused(2, &["cost", "--bits", "4,2", "--all-layers"]).contains("--bits 4,2 is a list")
    );
    assert!(refused(2, &["cost", "--all-layers"]).contains("without --bits"));
}

#[test]
fn a_model_a_run_folder_and_a_configuration_agree() {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("bits = \"w4a2,w2a3\"\nper-channel = true\n{SMALL_NETWORK}");
    let toml = folder.path().join("small.toml");
    fs::write(&toml, &settings).unwrap();
    let dataset = data::load("mnist-mini", None).unwrap();
    let config = run_config(&settings, &dataset, folder.path());
    let layout = Graph::new(&config.network, &config.quantization).unwrap().layout;
    let model = folder.path().join("run/model.safetensors");
    let metadata = config.model_config(PixelNormalization::uniform(0.0, 1.0), &[]);
    Model::save(&model, &metadata, &layout, &vec![1.0; layout.padded_length() as usize]).unwrap();
    let begun = folder.path().join("begun");
    fs::create_dir(&begun).unwrap();
    fs::write(begun.join("config.toml"), config.to_toml()).unwrap();

    let from_config = json(&["cost", text(&toml)]);
    // Of a model that is there the size of its packed file is known too.
    let packed = folder.path().join("packed.safetensors");
    succeed(&["export", text(&model), "--format", "packed", "--out", text(&packed)]);
    let file_bytes = fs::metadata(&packed).unwrap().len();
    let without_file = |mut cost: serde_json::Value| {
        let file = cost.as_object_mut().unwrap().shift_remove("packed_file_bytes");
        (cost, file.and_then(|bytes| bytes.as_u64()))
    };
    for (path, file) in
        [(&model, Some(file_bytes)), (&folder.path().join("run"), Some(file_bytes)), (&begun, None)]
    {
        assert_eq!(
            without_file(json(&["cost", text(path)])),
            (from_config.clone(), file),
            "{}",
            path.display()
        );
    }
    // conv1: 8×13×13 outputs of 9 inputs; conv2: 8×6×6 of 72; fc1: 10 of the pool's 8×3×3.
    let column = |key: &str| -> Vec<u64> {
        from_config["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer[key].as_u64().unwrap())
            .collect()
    };
    let macs = [8 * 169 * 9, 8 * 36 * 72, 10 * 72];
    assert_eq!(column("macs"), macs);
    assert_eq!(column("flops"), macs.map(|macs| 2 * macs));
    assert_eq!(column("bit_ops"), [macs[0] * 4 * 8, macs[1] * 2 * 2, macs[2] * 32 * 3]);
    assert_eq!(column("weight_bytes"), [8 * 9 * 4 / 8, 8 * 72 * 2 / 8, 720 * 4]);
    assert_eq!(column("activation_bytes"), [8 * 169 * 2 / 8, 8 * 36 * 3 / 8, 10 * 4]);
    assert_eq!(from_config["weighted_flops"], 2 * (macs[0] * 4 / 32 + macs[1] * 2 / 32 + macs[2]));
    assert_eq!(from_config["parameters"], 72 + 8 + 576 + 8 + 720 + 10);
    // Weights, 26 biases, a step for each of the 16 output channels of the convolutions, two α's.
    assert_eq!(from_config["packed_bytes"], 36 + 144 + 2880 + 4 * (26 + 16 + 2));

    // Flags win over what the model says, and over the configuration alike.
    let wider = json(&["cost", text(&model), "--bits", "8,4", "--per-channel=false"]);
    let (wider, file) = without_file(wider);
    assert!(file > Some(file_bytes));
    assert_eq!(wider, json(&["cost", text(&toml), "--bits", "8,4", "--per-channel=false"]));
    assert_eq!(wider["layers"][1]["bit_ops"], macs[1] * 4 * 8);
    assert!(succeed(&["cost", text(&model)]).contains("packed model: "));
}

#[test]
fn what_cannot_be_counted_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("small.toml");
    fs::write(&toml, SMALL_NETWORK).unwrap();
    assert!(refused(2, &["cost", text(&toml), "--accounting", "paper"]).contains("Table I"));
    assert!(refused(2, &["cost", "--bits", "2,2,2,2,2"]).contains("4 layers"));
    assert!(refused(1, &["cost", "--dataset", "mnost"]).contains("did you mean mnist"));
    assert!(refused(1, &["cost", text(&folder.path().join("none.toml"))]).contains("none.toml"));
    assert!(
        refused(1, &["cost", text(&folder.path().join("none.safetensors"))])
            .contains("none.safetensors")
    );
    fs::write(&toml, "lamda = 1").unwrap();
    assert!(refused(2, &["cost", text(&toml)]).contains("did you mean `lambda`"));
}
