//! Bits of layers by name or pattern, and the way from all that can be said of bits to those of
//! every layer.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
    ser::SerializeMap,
};

use super::{
    BitsList, LayerBits, NetworkConfig, NetworkOrigin, WeightLayer,
    text::{LooseBits, suggestion},
};
use crate::{Error, Result, error::phrase, plain};

/// The name of the entry for all layers that no pattern matches.
const DEFAULT: &str = "default";

/// The `[quantization]` table of a file: what has no flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartialQuantization {
    /// `[quantization.bits]`.
    pub bits: BitsTable,
}

/// `[quantization.bits]`: bits by the names of layers with weights, or by patterns of them (`*`
/// stands for any letters, `?` for one). The first that matches wins, `default` is the last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BitsTable {
    /// Patterns in the order of the file, without `default`.
    entries: Vec<(String, LayerBits)>,
    /// Bits of layers that no pattern matches; float where absent.
    default: Option<LayerBits>,
    /// Where the entries stand, for messages.
    origin: NetworkOrigin,
}

impl BitsTable {
    /// A table of patterns in this order.
    pub fn new(entries: impl IntoIterator<Item = (String, LayerBits)>) -> BitsTable {
        let (last, entries): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(pattern, _)| pattern == DEFAULT);
        let default = last.first().map(|(_, bits)| *bits);
        BitsTable { entries, default, origin: NetworkOrigin::default() }
    }

    /// The same entries in the order in which `origin` has them: those of `places`, pattern and
    /// line each.
    pub(super) fn placed(mut self, file: &str, mut places: Vec<(String, usize)>) -> BitsTable {
        places.retain(|(pattern, _)| pattern != DEFAULT);
        let place = |pattern: &String| places.iter().position(|(other, _)| other == pattern);
        self.entries.sort_by_key(|(pattern, _)| place(pattern));
        let lines = places.iter().map(|(_, line)| *line).collect();
        self.origin = NetworkOrigin::new(file, lines);
        self
    }

    /// Bits of each of `layers`.
    ///
    /// # Errors
    /// [`Error::Usage`] that names a pattern that matches none of them.
    fn spread(&self, layers: &[WeightLayer]) -> Result<Vec<LayerBits>> {
        for (index, (pattern, _)) in self.entries.iter().enumerate() {
            if !layers.iter().any(|layer| matches(pattern, &layer.name)) {
                let names: Vec<&str> = layers.iter().map(|layer| &layer.name[..]).collect();
                return Err(Error::Usage(format!(
                    "{}quantization.bits: `{}` matches no layer with weights{}; there are {}",
                    self.origin.place(Some(index)),
                    plain(pattern),
                    suggestion(pattern, names.iter().copied()),
                    names.join(", ")
                )));
            }
        }
        let bits = |layer: &WeightLayer| {
            let found = self.entries.iter().find(|(pattern, _)| matches(pattern, &layer.name));
            found.map(|(_, bits)| *bits).or(self.default).unwrap_or(LayerBits::FLOAT)
        };
        Ok(layers.iter().map(bits).collect())
    }
}

/// Whether `pattern` with its `*` and `?` is `name`.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` is, and what it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

impl Serialize for BitsTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (pattern, bits) in &self.entries {
            map.serialize_entry(pattern, bits)?;
        }
        if let Some(bits) = &self.default {
            map.serialize_entry(DEFAULT, bits)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for BitsTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BitsTable, D::Error> {
        deserializer.deserialize_map(TableVisitor)
    }
}

struct TableVisitor;

impl<'de> Visitor<'de> for TableVisitor {
    type Value = BitsTable;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a table of layers and their bits, such as \"conv*\" = \"w4a4\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<BitsTable, A::Error> {
        let mut entries = Vec::new();
        while let Some(pattern) = access.next_key::<String>()? {
            if pattern.is_empty() {
                return Err(A::Error::custom("a layer's name or a pattern is needed, not \"\""));
            }
            let LooseBits(bits) = access.next_value()?;
            entries.push((pattern, bits));
        }
        Ok(BitsTable::new(entries))
    }
}

/// All that can be said of bits: a list or a table, and what goes over them.
#[derive(Clone, Copy, Debug, Default)]
pub struct BitsRequest<'a> {
    /// `--bits`.
    pub list: Option<&'a [LayerBits]>,
    /// `[quantization.bits]`, which stands in the place of the list.
    pub table: Option<&'a BitsTable>,
    /// `--all-layers`: a single value is that of every layer with weights, the fully connected ones
    /// too.
    pub all_layers: bool,
    /// `--first-last`: bits of the first and the last layer with weights, whatever the others have.
    pub first_last: Option<LayerBits>,
}

impl BitsRequest<'_> {
    /// Bits of every convolution and linear layer of `network`. A single value applies to every
    /// convolution layer (to every linear layer where there is no convolution), a list to the
    /// layers in order; the rest is float. Activation bits of a layer that no activation follows
    /// (the last one) have nothing to act on and become 32.
    ///
    /// # Errors
    /// [`Error::Settings`] for a list longer than the network has layers, and for `all_layers` with
    /// anything but one value; [`Error::Usage`] for a pattern that matches nothing.
    pub fn spread(&self, network: &NetworkConfig) -> Result<Vec<LayerBits>> {
        let layers = network.weight_layers();
        let mut bits = match (self.table, self.all_layers) {
            (Some(_), true) => {
                return Err(Error::Settings(phrase!(
                    "<all-layers>: says nothing with [quantization.bits], whose `default` is that \
                     of every layer; leave <all-layers> out"
                )));
            }
            (Some(table), false) => table.spread(&layers)?,
            (None, _) => self.spread_list(&layers)?,
        };
        if let Some(ends) = self.first_last {
            set_ends(&mut bits, ends);
        }
        quiet(&mut bits, &layers);
        Ok(bits)
    }

    fn spread_list(&self, layers: &[WeightLayer]) -> Result<Vec<LayerBits>> {
        let bits = match (self.list, self.all_layers) {
            (Some(list @ [_, _, ..]), true) => {
                return Err(Error::Settings(phrase!(
                    "<all-layers>: <bits {}> is a list, whose values belong to layers in order; \
                     give <bits> one value, or leave out <all-layers>",
                    BitsList(list.to_vec())
                )));
            }
            (None, true) => {
                return Err(Error::Settings(phrase!(
                    "<all-layers>: says nothing without <bits N>; add it"
                )));
            }
            (None, false) => &[LayerBits::FLOAT],
            (Some(list), _) => list,
        };
        if bits.len() > layers.len() {
            let names: Vec<&str> = layers.iter().map(|layer| &layer.name[..]).collect();
            return Err(Error::Settings(phrase!(
                "<bits {}>: {} values, but the network has {} layers with weights ({}): give one \
                 value each at most",
                BitsList(bits.to_vec()),
                bits.len(),
                layers.len(),
                names.join(", ")
            )));
        }
        let convolutions = layers.iter().any(|layer| layer.convolution);
        let expanded = layers.iter().enumerate().map(|(position, layer)| match bits {
            [single] if self.all_layers || layer.convolution || !convolutions => *single,
            [_] => LayerBits::FLOAT,
            list => list.get(position).copied().unwrap_or(LayerBits::FLOAT),
        });
        Ok(expanded.collect())
    }
}

/// Gives the first and the last layer with weights other bits.
fn set_ends(bits: &mut [LayerBits], ends: LayerBits) {
    if let Some(first) = bits.first_mut() {
        *first = ends;
    }
    if let Some(last) = bits.last_mut() {
        *last = ends;
    }
}

/// Activation bits of layers that no activation follows are 32.
fn quiet(bits: &mut [LayerBits], layers: &[WeightLayer]) {
    for (bits, layer) in bits.iter_mut().zip(layers) {
        if layer.activation.is_none() {
            bits.activation = 32;
        }
    }
}

/// `bits`, of a network's layers in order, with those of the first and the last one replaced by
/// `ends`.
pub(super) fn with_ends(
    bits: &[LayerBits],
    network: &NetworkConfig,
    ends: LayerBits,
) -> Vec<LayerBits> {
    let layers = network.weight_layers();
    let mut bits = bits.to_vec();
    bits.resize(layers.len(), LayerBits::FLOAT);
    set_ends(&mut bits, ends);
    quiet(&mut bits, &layers);
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Preset, Shape};

    fn table_one() -> NetworkConfig {
        NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.0; 2])
    }

    fn table(entries: &[(&str, &str)]) -> BitsTable {
        let entry = |(pattern, bits): &(&str, &str)| (pattern.to_string(), bits.parse().unwrap());
        BitsTable::new(entries.iter().map(entry))
    }

    fn spread(request: &BitsRequest<'_>) -> String {
        let spread = request.spread(&table_one());
        spread.map_or_else(|error| error.to_string(), |bits| BitsList(bits).to_string())
    }

    fn by(entries: &[(&str, &str)]) -> String {
        let table = &table(entries);
        spread(&BitsRequest { table: Some(table), ..BitsRequest::default() })
    }

    #[test]
    fn patterns_are_any_letters_and_one() {
        for (pattern, name, is_match) in [
            ("conv1", "conv1", true),
            ("conv1", "conv12", false),
            ("conv*", "conv12", true),
            ("*", "layer1.0.conv1", true),
            ("layer1.*.conv?", "layer1.0.conv1", true),
            ("layer1.*.conv?", "layer1.0.conv", false),
            ("*.conv1", "layer1.0.conv1", true),
            ("*conv*1", "layer1.0.conv1", true),
            ("**", "", true),
            ("?", "", false),
            ("", "a", false),
            ("a*b*c", "aXbYcbc", true),
            ("a*b*c", "aXbYcbd", false),
        ] {
            assert_eq!(matches(pattern, name), is_match, "{pattern} {name}");
        }
    }

    #[test]
    fn the_first_pattern_wins_and_default_is_last() {
        let rules = [("default", "w4a4"), ("conv1", "w8a8"), ("fc*", "w8a6")];
        assert_eq!(by(&rules), "8,4,w8a6,w8a32");
        assert_eq!(by(&[("conv*", "4"), ("conv1", "8")]), "4,4,32,32");
        assert_eq!(by(&[("conv1", "8"), ("conv*", "4")]), "8,4,32,32");
        assert_eq!(by(&[("default", "2")]), "2,2,2,w2a32");
        assert_eq!(by(&[]), "32,32,32,32");
        let said = by(&[("conv1", "8"), ("conv3", "8")]);
        let all = "there are conv1, conv2, fc1, fc2";
        assert!(said.starts_with("quantization.bits: `conv3` matches no layer"), "{said}");
        assert!(said.contains("did you mean `conv") && said.ends_with(all), "{said}");
    }

    #[test]
    fn ends_go_over_everything() {
        let parse = |text: &str| LayerBits::parse_list(text).unwrap();
        let ends = Some(parse("8")[0]);
        let list = |text: &str, all_layers| {
            let list = parse(text);
            spread(&BitsRequest { list: Some(&list), all_layers, first_last: ends, table: None })
        };
        assert_eq!(list("4", false), "8,4,32,w8a32");
        assert_eq!(list("4", true), "8,4,4,w8a32");
        assert_eq!(list("2,2,2,2", false), "8,2,2,w8a32");
        let rules = table(&[("conv1", "2"), ("default", "3")]);
        let request = BitsRequest { table: Some(&rules), first_last: ends, ..Default::default() };
        assert_eq!(spread(&request), "8,3,3,w8a32");
        let both = BitsRequest { all_layers: true, ..request };
        assert!(spread(&both).contains("whose `default` is that of every layer"));
        assert_eq!(
            spread(&BitsRequest { first_last: ends, ..Default::default() }),
            "8,32,32,w8a32"
        );
        let own = with_ends(&parse("4,2"), &table_one(), parse("8")[0]);
        assert_eq!(BitsList(own).to_string(), "8,2,32,w8a32");
    }

    #[test]
    fn layers_of_blocks_are_found_by_their_paths() {
        let network = Preset::find("resnet-20").unwrap().published();
        let table = table(&[("layer?.*.downsample.0", "8"), ("layer3.*", "2"), ("default", "4")]);
        let request = BitsRequest { table: Some(&table), ..BitsRequest::default() };
        let bits = request.spread(&network).unwrap();
        let of = |name: &str| {
            let layers = network.weight_layers();
            bits[layers.iter().position(|layer| layer.name == name).unwrap()].to_string()
        };
        assert_eq!(of("layer3.0.downsample.0"), "w8a32");
        assert_eq!([of("layer3.2.conv1"), of("layer2.2.conv1"), of("conv1")], ["2", "4", "4"]);
    }
}
