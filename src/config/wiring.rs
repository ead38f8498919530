//! What layers are called, and which layer reads which: worked out from a list of layers.

use std::collections::HashMap;

use super::{
    layer_kind::Stem,
    layers::{IMAGES, LayerConfig},
    misfit::Misfit,
};

/// Most values that a sum may have. Every value is a step of its own, so that a short file could
/// ask for any number of steps.
const MAX_TERMS: usize = 64;

/// Where what a layer reads comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The images.
    Images,
    /// The layer of this number, counted from 0, which stands further in front.
    Layer(usize),
}

/// Names and sources of a list of layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Wiring {
    /// The name of every layer.
    pub names: Vec<String>,
    /// What every layer reads, at least one source each.
    pub sources: Vec<Vec<Source>>,
    /// The nearest layer with weights on the way back from every layer, which counts itself. A sum
    /// is left by its first input that leads to one.
    pub weighted: Vec<Option<usize>>,
}

/// The name of every layer: its own, or its type and number.
pub(super) fn names(layers: &[LayerConfig]) -> Vec<String> {
    let mut counts: HashMap<&str, u32> = HashMap::new();
    let own = |(place, layer): (usize, &LayerConfig)| {
        let given = match layer.kind.stem() {
            Stem::OfType(stem) => {
                let count = counts.entry(stem).or_default();
                *count += 1;
                format!("{stem}{count}")
            }
            Stem::OfPlace(stem) => format!("{stem}{}", place + 1),
        };
        layer.name.clone().unwrap_or(given)
    };
    layers.iter().enumerate().map(own).collect()
}

/// What is said of the input `input` of layer `index`, which is none of those in front.
fn unknown(input: &str, names: &[String], index: usize) -> String {
    // Only what can be a layer's name is worth repeating.
    let called = match input.len() {
        ..=64 => format!("no layer in front is called `{input}`"),
        length => format!("no layer has a name of {length} bytes"),
    };
    let place = match names.iter().skip(index + 1).any(|name| name == input) {
        true => " (one behind it is: layers stand in the order in which they are computed)",
        false => "",
    };
    let others: String = names[..index].iter().map(|name| format!(", {name}")).collect();
    format!("{called}{place}; those in front: {IMAGES} (the images){others}")
}

impl Wiring {
    /// Of `layers`, in an order in which they can be computed.
    ///
    /// # Errors
    /// Names that are taken or not plain, inputs that no earlier layer is called, a number of
    /// inputs that the type does not take, layers that nobody reads.
    pub(super) fn new(layers: &[LayerConfig]) -> Result<Wiring, Misfit> {
        let names = names(layers);
        let mut sources: Vec<Vec<Source>> = Vec::with_capacity(layers.len());
        let mut weighted: Vec<Option<usize>> = Vec::with_capacity(layers.len());
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut is_read = vec![false; layers.len()];
        for (index, (layer, name)) in layers.iter().zip(&names).enumerate() {
            let misfit = |reason: String| Misfit::of_layer(index, layer.name.as_deref(), reason);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
            let is_plain = !name.is_empty() && name.len() <= 64 && name.bytes().all(plain);
            if !is_plain || name.starts_with('.') || name.ends_with('.') {
                return Err(misfit(
                    "a name is 1 to 64 letters, digits, underscores and points inside, such as \
                     `conv1`"
                        .into(),
                ));
            }
            if name == IMAGES {
                return Err(misfit(format!("`{IMAGES}` is the name of the images")));
            }
            let before = index.checked_sub(1).map_or(Source::Images, Source::Layer);
            let source = |input: &String| match places.get(input.as_str()) {
                Some(&place) => Ok(Source::Layer(place)),
                None if input == IMAGES => Ok(Source::Images),
                None => Err(misfit(unknown(input, &names, index))),
            };
            let own = match &layer.inputs[..] {
                [] => vec![before],
                inputs => inputs.iter().map(source).collect::<Result<_, _>>()?,
            };
            let kind = layer.kind.type_name();
            match (layer.kind.takes_several(), own.len()) {
                (true, 0 | 1) => {
                    return Err(misfit(format!("`{kind}` needs inputs = [\"a\", \"b\"]")));
                }
                (true, terms) if terms > MAX_TERMS => {
                    return Err(misfit(format!(
                        "`{kind}` reads at most {MAX_TERMS} values, not {terms}"
                    )));
                }
                (false, 2..) => {
                    return Err(misfit(format!("`{kind}` reads one layer, not {}", own.len())));
                }
                _ => {}
            }
            let fronts = own.iter().filter_map(|source| match *source {
                Source::Images => None,
                Source::Layer(place) => Some(place),
            });
            let fronts: Vec<usize> = fronts.collect();
            fronts.iter().for_each(|&place| is_read[place] = true);
            weighted.push(match layer.kind.is_weighted() {
                true => Some(index),
                false => fronts.iter().find_map(|&place| weighted[place]),
            });
            sources.push(own);
            if places.insert(name, index).is_some() {
                return Err(misfit(match layer.name {
                    Some(_) => "the name is taken by an earlier layer".into(),
                    None => format!(
                        "without a name it is called `{name}`, which is taken by an earlier layer"
                    ),
                }));
            }
        }
        for (index, (layer, name)) in layers.iter().zip(&names).enumerate() {
            let owner = [".weight", ".bias"].iter().find_map(|own| name.strip_suffix(own));
            let owner = owner.and_then(|owner| Some((owner, *places.get(owner)?)));
            if let Some((owner, place)) = owner
                && layers[place].kind.is_weighted()
            {
                let reason = format!("that is the name of a parameter of layer `{owner}`");
                return Err(Misfit::of_layer(index, layer.name.as_deref(), reason));
            }
        }
        let unread = is_read.iter().rev().skip(1).position(|is_read| !is_read);
        if let Some(behind) = unread {
            let index = layers.len() - 2 - behind;
            let reason = "no layer reads what it puts out".into();
            return Err(Misfit::of_layer(index, layers[index].name.as_deref(), reason));
        }
        Ok(Wiring { names, sources, weighted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ActivationFunction, LayerKind};

    fn layers() -> Vec<LayerConfig> {
        vec![
            LayerConfig::conv("stem", 4, [3, 1, 1]),
            LayerKind::Activation(ActivationFunction::Relu).into(),
            LayerConfig::conv("main", 4, [3, 1, 1]),
            LayerKind::Add {}.into(),
            LayerKind::Activation(ActivationFunction::Relu).into(),
            LayerConfig::max_pool(2, 2),
            LayerConfig::linear("fc", 2),
        ]
    }

    fn reason(layers: &[LayerConfig]) -> String {
        Wiring::new(layers).unwrap_err().to_string()
    }

    #[test]
    fn layers_without_names_are_counted() {
        let mut own = layers();
        own[3].inputs = vec!["main".into(), "act1".into()];
        let wiring = Wiring::new(&own).unwrap();
        assert_eq!(wiring.names, ["stem", "act1", "main", "add1", "act2", "pool6", "fc"]);
        use Source::{Images, Layer};
        assert_eq!(wiring.sources[0], [Images]);
        assert_eq!(wiring.sources[3], [Layer(2), Layer(1)]);
        assert_eq!(wiring.sources[4], [Layer(3)]);
        // The activation behind the sum has the bits of the main way.
        assert_eq!(wiring.weighted[4], Some(2));
        assert_eq!(wiring.weighted[1], Some(0));
    }

    /// Every sum doubles the ways back to the images: none of them is gone twice.
    #[test]
    fn ways_back_are_not_counted_one_by_one() {
        let sum = |place: usize, front: &str| LayerConfig::add(&format!("add{place}"), &[front; 2]);
        let mut own = vec![sum(1, IMAGES)];
        own.extend((2..=200).map(|place| sum(place, &format!("add{}", place - 1))));
        own.push(LayerKind::Activation(ActivationFunction::Relu).into());
        let wiring = Wiring::new(&own).unwrap();
        assert_eq!(wiring.weighted, [None; 201]);
    }

    #[test]
    fn what_cannot_be_wired_is_named() {
        let change = |change: &dyn Fn(&mut Vec<LayerConfig>)| {
            let mut own = layers();
            own[3].inputs = vec!["main".into(), "act1".into()];
            change(&mut own);
            reason(&own)
        };
        let text = change(&|own| own[3].inputs[1] = "act2".into());
        assert!(text.contains("layer 4: no layer in front is called `act2`"), "{text}");
        let text = change(&|own| own[3].inputs.truncate(0));
        assert!(text.contains("`add` needs inputs = [\"a\", \"b\"]"), "{text}");
        let text = change(&|own| own[2].inputs = vec!["stem".into(), "act1".into()]);
        assert!(text.contains("layer 3 (`main`): `conv` reads one layer, not 2"), "{text}");
        let text = change(&|own| own[4].inputs = vec!["stem".into()]);
        assert!(text.contains("layer 4: no layer reads what it puts out"), "{text}");
        let text = change(&|own| own[2].name = Some("input".into()));
        assert!(text.contains("`input` is the name of the images"), "{text}");
        let text = change(&|own| own[0].inputs = vec!["main".into()]);
        let expected = "(`stem`): no layer in front is called `main` (one behind it is: layers \
                        stand in the order in which they are computed); those in front: input \
                        (the images)";
        assert!(text.ends_with(expected), "{text}");
        let text = change(&|own| own[3].inputs[1] = "z".repeat(100_000));
        assert!(
            text.contains("no layer has a name of 100000 bytes; those in front: input"),
            "{text}"
        );
        let text = change(&|own| own[3].inputs = vec!["stem".into(); 65]);
        assert!(text.contains("`add` reads at most 64 values, not 65"), "{text}");
        // Where parameters lie in files, and constants of an exported graph.
        let text = change(&|own| own[4].name = Some("stem.weight".into()));
        assert!(text.contains("a parameter of layer `stem`"), "{text}");
        let text = change(&|own| {
            own[1].name = Some("act2".into());
            own[3].inputs[1] = "act2".into();
        });
        assert!(text.contains("without a name it is called `act2`, which is taken"), "{text}");
        let text = change(&|own| own[2].name = Some("stem".into()));
        assert!(text.contains("the name is taken"), "{text}");
    }
}
