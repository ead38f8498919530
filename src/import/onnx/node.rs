//! A node with its attributes, taken by name and type.

use super::{
    Fallible,
    schema::{AttributeProto, NodeProto, TensorProto},
};

/// A node of the graph.
#[derive(Clone, Copy)]
pub(super) struct Node<'a>(pub(super) &'a NodeProto);

impl<'a> Node<'a> {
    /// Its operator; that of another set with the set's name.
    pub(super) fn operator(self) -> String {
        match self.0.domain() {
            "" | "ai.onnx" => self.0.op_type().into(),
            domain => format!("{domain}::{}", self.0.op_type()),
        }
    }

    /// How it is called in messages.
    pub(super) fn label(self) -> &'a str {
        let output = self.0.output.first().map_or("", |name| name);
        if self.0.name().is_empty() { output } else { self.0.name() }
    }

    /// The name of its input `index`; none where it is left out.
    pub(super) fn input(self, index: usize) -> Option<&'a str> {
        self.0.input.get(index).map(|name| &name[..]).filter(|name| !name.is_empty())
    }

    /// The name of the input `index`, which must be there.
    pub(super) fn needed(self, index: usize) -> Fallible<&'a str> {
        self.input(index).ok_or_else(|| format!("its input {} is missing", index + 1))
    }

    /// The name of its first output.
    pub(super) fn output(self) -> Fallible<&'a str> {
        let name = self.0.output.first().map(|name| &name[..]).filter(|name| !name.is_empty());
        name.ok_or_else(|| "it makes nothing".into())
    }

    fn attribute(self, name: &str) -> Option<&'a AttributeProto> {
        self.0.attribute.iter().find(|attribute| attribute.name() == name)
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub(super) fn integer(self, name: &str, default: i64) -> Fallible<i64> {
        match self.attribute(name) {
            None => Ok(default),
            Some(own) => own.i.ok_or_else(|| format!("its attribute {name} is no integer")),
        }
    }

    pub(super) fn real(self, name: &str, default: f32) -> Fallible<f32> {
        match self.attribute(name) {
            None => Ok(default),
            Some(own) => {
                let value = own.f.filter(|value| value.is_finite());
                value.ok_or_else(|| format!("its attribute {name} is no finite number"))
            }
        }
    }

    /// The integers of a list that is there.
    pub(super) fn integers(self, name: &str) -> Option<&'a [i64]> {
        self.attribute(name).map(|own| &own.ints[..])
    }

    pub(super) fn reals(self, name: &str) -> Option<&'a [f32]> {
        self.attribute(name).map(|own| &own.floats[..])
    }

    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.attribute(name).and_then(|own| std::str::from_utf8(own.s()).ok())
    }

    pub(super) fn tensor(self, name: &str) -> Option<&'a TensorProto> {
        self.attribute(name).and_then(|own| own.t.as_ref())
    }

    /// A list of `N` sizes from `lowest` on, `default` each where there is none.
    pub(super) fn sizes<const N: usize>(
        self,
        name: &str,
        lowest: i64,
        default: u32,
    ) -> Fallible<[u32; N]> {
        let Some(given) = self.integers(name).filter(|given| !given.is_empty()) else {
            return Ok([default; N]);
        };
        let fit = |&size: &i64| u32::try_from(size).ok().filter(|_| size >= lowest);
        let sizes: Option<Vec<u32>> = given.iter().map(fit).collect();
        sizes.and_then(|sizes| sizes.try_into().ok()).ok_or_else(|| {
            format!("{name} {given:?}: {N} integers of at least {lowest} are needed")
        })
    }
}
