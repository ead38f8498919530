//! Names of the tensors of a bare state_dict: the prefixes of wrappers, the user's own renaming,
//! and what is meant where a name does not fit.

use super::tensors::TensorFile;
use crate::{Error, Result, error::phrase, graph::ParameterLayout, plain};

/// Prefixes of PyTorch's wrappers: data parallel training and `torch.compile`.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];
/// Suffixes of the names of quantizer parameters, learned or stored with packed weights.
const QUANTIZERS: [&str; 7] = [
    ".alpha",
    ".step",
    ".offset",
    ".weight_step",
    ".weight_scale",
    ".weight_zero_point",
    ".weight_packed",
];
/// Most names in a line.
const MOST_NAMES: usize = 6;

/// Removes the prefixes of wrappers, if all tensors have them. Returns what was removed.
pub(super) fn unwrap_names(tensors: &mut TensorFile) -> Vec<&'static str> {
    let mut removed = Vec::new();
    // Wrappers are in each other a few times at most.
    while let Some(prefix) = WRAPPERS
        .into_iter()
        .find(|prefix| !tensors.is_empty() && tensors.names().all(|name| name.starts_with(prefix)))
    {
        let rest = |name: &str| name[prefix.len()..].to_string();
        if tensors.rename(rest).is_err() || removed.len() == 8 {
            break;
        }
        removed.push(prefix);
    }
    removed
}

/// Gives tensors other names: `from` is a name, or what names begin with up to a dot; with an empty
/// `to` it is taken away.
///
/// # Errors
/// [`Error::Settings`] for a `from` that no tensor has, and for two tensors of one name.
pub(super) fn rename(tensors: &mut TensorFile, renames: &[(String, String)]) -> Result<()> {
    for (from, to) in renames {
        let renamed = |name: &str| {
            if name == from {
                return Some(to.clone());
            }
            let rest = name.strip_prefix(&**from)?;
            let rest = rest.strip_prefix('.').or_else(|| from.ends_with('.').then_some(rest))?;
            let separator = if to.is_empty() || to.ends_with('.') { "" } else { "." };
            Some(format!("{to}{separator}{rest}"))
        };
        if !tensors.names().any(|name| renamed(name).is_some()) {
            let mut names: Vec<&str> = tensors.names().collect();
            names.sort_unstable();
            return Err(Error::Settings(phrase!(
                "<rename {}={}>: no tensor is called so or begins with it; the file has {}",
                plain(from),
                plain(to),
                listed(&names)
            )));
        }
        tensors.rename(|name| renamed(name).unwrap_or_else(|| name.into())).map_err(|twice| {
            Error::Settings(phrase!(
                "<rename {}={}>: two tensors would be called {}",
                plain(from),
                plain(to),
                plain(&twice)
            ))
        })?;
    }
    Ok(())
}

/// Whether the tensor `name` belongs to a quantizer.
pub(super) fn is_quantizer(name: &str) -> bool {
    QUANTIZERS.iter().any(|ending| name.ends_with(ending))
}

/// The tensors that `layout` has no use for and that belong to no quantizer, in order.
pub(super) fn leftovers<'a>(tensors: &'a TensorFile, layout: &ParameterLayout) -> Vec<&'a str> {
    let is_left = |name: &&str| !is_quantizer(name) && layout.find(name).is_none();
    let mut names: Vec<&str> = tensors.names().filter(is_left).collect();
    names.sort_unstable();
    names
}

/// A few of `names`, with the number of the others.
pub(super) fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(MOST_NAMES).map(|name| plain(name)).collect();
    let others = names.len() - shown.len();
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// The unused tensors that may be meant by the parameter `name` of `shape`: those of its shape, the
/// most similar names first.
pub(super) fn candidates<'a>(
    tensors: &'a TensorFile,
    layout: &ParameterLayout,
    name: &str,
    shape: &[usize],
) -> Vec<&'a str> {
    let has_shape =
        |other: &&str| tensors.tensor(other).is_some_and(|tensor| tensor.shape == shape);
    let mut names: Vec<&str> = leftovers(tensors, layout).into_iter().filter(has_shape).collect();
    let similarity = |other: &str| strsim::jaro_winkler(name, other);
    // The kind of parameter, weight or bias, is the last part of a name.
    let kind = |name: &str| name.rsplit('.').next().map(str::to_string);
    names.sort_by(|a, b| {
        let same = |other: &str| kind(other) == kind(name);
        same(b).cmp(&same(a)).then(similarity(b).total_cmp(&similarity(a)))
    });
    names.truncate(3);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Preset, QuantizationConfig},
        graph::Graph,
        model::tensors::Tensor,
    };

    fn file(names: &[&str]) -> TensorFile {
        let mut file = TensorFile::default();
        for name in names {
            file.insert(Tensor::f32(name, &[1], vec![0.0]));
        }
        file
    }

    fn names(file: &TensorFile) -> Vec<&str> {
        let mut names: Vec<&str> = file.names().collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn wrappers_are_removed_where_all_names_have_them() {
        let mut wrapped = file(&["_orig_mod.module.fc.weight", "_orig_mod.module.fc.bias"]);
        assert_eq!(unwrap_names(&mut wrapped), ["_orig_mod.", "module."]);
        assert_eq!(names(&wrapped), ["fc.bias", "fc.weight"]);
        let mut partly = file(&["module.fc.weight", "fc.bias"]);
        assert!(unwrap_names(&mut partly).is_empty());
        assert_eq!(names(&partly), ["fc.bias", "module.fc.weight"]);
        assert!(unwrap_names(&mut file(&[])).is_empty());
    }

    #[test]
    fn names_are_replaced_as_a_whole_or_up_to_a_dot() {
        let pair = |from: &str, to: &str| (from.to_string(), to.to_string());
        let all = ["backbone.0.weight", "backbone.01.weight", "head.bias"];
        for (renames, expected) in [
            (
                vec![pair("backbone.0", "conv1")],
                ["backbone.01.weight", "conv1.weight", "head.bias"],
            ),
            (vec![pair("backbone", "")], ["0.weight", "01.weight", "head.bias"]),
            (vec![pair("backbone.", "")], ["0.weight", "01.weight", "head.bias"]),
            (
                vec![pair("head.bias", "fc.bias"), pair("fc", "out")],
                ["backbone.0.weight", "backbone.01.weight", "out.bias"],
            ),
        ] {
            let mut own = file(&all);
            rename(&mut own, &renames).unwrap();
            assert_eq!(names(&own), expected, "{renames:?}");
        }
        for (renames, said) in [
            (vec![pair("tail", "fc")], "the file has backbone.0.weight, backbone.01.weight, head"),
            (vec![pair("backbone.0", "backbone.01")], "two tensors would be called backbone.01.w"),
        ] {
            let error = rename(&mut file(&all), &renames).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn candidates_have_the_shape_and_similar_names() {
        let mut own = file(&["features.0.bias", "features.conv1.weight", "classifier.weight"]);
        own.insert(Tensor::f32("other.weight", &[2], vec![0.0; 2]));
        let network = Preset::find("lenet-5").unwrap().published();
        let layout = Graph::new(&network, &QuantizationConfig::default()).unwrap().layout;
        let found = candidates(&own, &layout, "conv1.weight", &[1]);
        assert_eq!(found[0], "features.conv1.weight");
        assert_eq!(found.len(), 3);
        assert_eq!(found[2], "features.0.bias");
        assert_eq!(listed(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e, f and 1 more");
    }
}
