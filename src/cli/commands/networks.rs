//! `saliq networks`.

use serde::Serialize;

use crate::{
    Error, Result,
    cli::args::{GlobalArgs, NetworksArgs},
    config::{PRESETS, PartialNetwork, Preset, QuantizationConfig, QuantizationOverrides, Shape},
    metrics::Cost,
    plain,
    report::{Table, bytes, thousands},
};

/// Lists the networks known by name, or prints one as a TOML file.
///
/// # Errors
/// [`Error::Usage`] for an unknown name; [`Error::Settings`] for bits that do not fit.
pub fn run(args: &NetworksArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    let Some(name) = &args.name else {
        let all = PRESETS.iter().map(|preset| Listing::new(preset, &args.quantization));
        let all: Vec<Listing> = all.collect::<Result<_>>()?;
        if args.markdown {
            return output.text(without_sources(table(&all)).to_markdown().trim_end());
        }
        return output.result(&all, || table(&all).to_text(None));
    };
    let Some(preset) = Preset::find(name) else {
        return Err(Error::Usage(format!("{}: {}", plain(name), Preset::unknown(name))));
    };
    if args.quantization != QuantizationOverrides::default() {
        return Err(Error::Usage(format!(
            "{name}: a network's file has no bits; give them to `saliq train`, or leave the name \
             out to list figures at these bits"
        )));
    }
    let file = NetworkFile { network: preset.published().into() };
    output.result(&file, || file.text(preset))
}

/// The file of a network.
#[derive(Serialize)]
struct NetworkFile {
    network: PartialNetwork,
}

impl NetworkFile {
    fn text(&self, preset: &Preset) -> String {
        let Preset { name, source, .. } = preset;
        // Texts, numbers and tables only, all of which TOML has.
        let body = toml::to_string(self).unwrap_or_default();
        let follows = "Without `input` and `classes` the shape of the data is taken.";
        format!("# {name}: {source}.\n# {follows}\n{}", body.trim_end())
    }
}

/// What a network costs.
#[derive(Serialize)]
struct Listing {
    name: &'static str,
    input: Shape,
    classes: u32,
    parameters: u64,
    macs: u64,
    bit_ops: u64,
    packed_bytes: u64,
    float_bytes: u64,
    peak_activation_bytes: u64,
    source: &'static str,
}

impl Listing {
    fn new(preset: &Preset, bits: &QuantizationOverrides) -> Result<Listing> {
        let network = preset.published();
        let quantization = bits.apply(&QuantizationConfig::default(), &network)?;
        let cost = Cost::new(&network, &quantization)?;
        Ok(Listing {
            name: preset.name,
            input: preset.input,
            classes: preset.classes,
            parameters: network.parameter_count()?,
            macs: cost.macs,
            bit_ops: cost.bit_ops,
            packed_bytes: cost.packed_bytes,
            float_bytes: cost.float_bytes,
            peak_activation_bytes: cost.peak_activation_bytes,
            source: preset.source,
        })
    }
}

/// Lines of documents are narrow.
fn without_sources(mut table: Table) -> Table {
    table.headers.pop();
    table
}

fn table(all: &[Listing]) -> Table {
    let headers = [
        "network",
        "input",
        "classes",
        "parameters",
        "MACs",
        "BitOPs",
        "model",
        "activations",
        "source",
    ];
    let row = |own: &Listing| {
        [
            own.name.into(),
            own.input.to_string(),
            own.classes.to_string(),
            thousands(own.parameters),
            thousands(own.macs),
            thousands(own.bit_ops),
            bytes(own.packed_bytes),
            bytes(own.peak_activation_bytes),
            own.source.into(),
        ]
    };
    Table::new(headers, all.iter().map(row))
}
