//! The declarations of a linked kernel, read by naga.

use wesl::{EscapeMangler, Mangler};

use crate::{Error, Result};

/// A buffer that a kernel declares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    /// Its name in the kernel's file, or in the module that it is imported from.
    pub name: String,
    /// Its number in group 0.
    pub binding: u32,
}

/// The buffers of group 0 that `wgsl`, the linked kernel `name`, declares, ordered by their
/// numbers.
///
/// # Errors
/// [`Error::Shader`] if naga cannot read it.
pub fn bindings_of(name: &str, wgsl: &str) -> Result<Vec<Bound>> {
    let failed = |reason| Error::Shader { kernel: name.into(), reason };
    let module = naga::front::wgsl::parse_str(wgsl)
        .map_err(|error| failed(error.emit_to_string_with_path(wgsl, name)))?;
    let bound = |(_, variable): (_, &naga::GlobalVariable)| {
        let place = variable.binding.filter(|place| place.group == 0)?;
        Some(Bound { name: own_name(variable.name.as_deref()?), binding: place.binding })
    };
    let mut all: Vec<Bound> = module.global_variables.iter().filter_map(bound).collect();
    all.sort_by_key(|own| own.binding);
    Ok(all)
}

/// The name of a declaration in its own file; the linker prefixes it with the file's path.
fn own_name(linked: &str) -> String {
    let imported = linked.strip_prefix("package_").and_then(|_| EscapeMangler.unmangle(linked));
    imported.map_or_else(|| linked.into(), |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shaders::{Specialization, link};

    #[test]
    fn imported_buffers_have_the_names_of_their_files() {
        let shape = Specialization::new().feature("moves", true);
        let linked = link("batch_norm_update", &shape).unwrap();
        let names: Vec<_> =
            linked.bindings.iter().map(|own| (own.binding, own.name.as_str())).collect();
        let expected = ["parameters", "images", "current", "moments", "factors", "coefficients"];
        assert_eq!(names, (0..).zip(expected).collect::<Vec<_>>());
    }

    #[test]
    fn what_naga_does_not_read_names_the_kernel() {
        let error = bindings_of("mine", "fn f(").unwrap_err();
        assert!(matches!(&error, Error::Shader { kernel, .. } if kernel == "mine"), "{error}");
    }
}
