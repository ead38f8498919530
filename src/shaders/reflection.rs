//! The declarations of a linked kernel.

use wesl::{
    EscapeMangler, Mangler,
    syntax::{
        Attribute, Declaration, Expression, ExpressionNode, GlobalDeclaration, LiteralExpression,
        TranslationUnit,
    },
};

/// A buffer that a kernel declares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    /// Its name in the kernel's file, or in the module that it is imported from.
    pub name: String,
    /// Its number in group 0.
    pub binding: u32,
}

/// The buffers of group 0 that `unit`, a linked kernel, declares, ordered by their numbers.
pub(super) fn bindings_of(unit: &TranslationUnit) -> Vec<Bound> {
    let declarations = unit.global_declarations.iter().filter_map(|own| match own.node() {
        GlobalDeclaration::Declaration(declaration) => Some(declaration),
        _ => None,
    });
    let bound = |declaration: &Declaration| {
        let number = |read: fn(&Attribute) -> Option<&ExpressionNode>| {
            let mut all = declaration.attributes.iter().map(|own| own.node());
            literal(all.find_map(read)?.node())
        };
        let group = number(|own| match own {
            Attribute::Group(number) => Some(number),
            _ => None,
        })?;
        let binding = number(|own| match own {
            Attribute::Binding(number) => Some(number),
            _ => None,
        })?;
        let name = own_name(&declaration.ident.to_string());
        (group == 0).then_some(Bound { name, binding })
    };
    let mut all: Vec<Bound> = declarations.filter_map(bound).collect();
    all.sort_by_key(|own| own.binding);
    all
}

/// An integer that is written out.
fn literal(expression: &Expression) -> Option<u32> {
    match expression {
        Expression::Literal(LiteralExpression::AbstractInt(value)) => (*value).try_into().ok(),
        Expression::Literal(LiteralExpression::U32(value)) => Some(*value),
        Expression::Literal(LiteralExpression::I32(value)) => (*value).try_into().ok(),
        _ => None,
    }
}

/// The name of a declaration in its own file; the linker prefixes it with the file's path.
fn own_name(linked: &str) -> String {
    let imported = linked.strip_prefix("package_").and_then(|_| EscapeMangler.unmangle(linked));
    imported.map_or_else(|| linked.into(), |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shaders::{Specialization, kernel_names, link};

    #[test]
    fn imported_buffers_have_the_names_of_their_files() {
        let shape = Specialization::new().feature("moves", true);
        let linked = link("batch_norm_update", &shape).unwrap();
        let names: Vec<_> =
            linked.bindings.iter().map(|own| (own.binding, own.name.as_str())).collect();
        let expected = ["parameters", "images", "current", "moments", "factors", "coefficients"];
        assert_eq!(names, (0..).zip(expected).collect::<Vec<_>>());
    }

    /// The numbers are those that naga, which wgpu translates with, reads. Kernels that need tiles
    /// or a feature to be linked are left to wgpu, which compares numbers with its layout whenever
    /// buffers are bound.
    #[test]
    fn buffers_are_those_that_naga_reflects() {
        let mut compared = 0;
        for name in kernel_names() {
            let Ok(linked) = link(name, &Specialization::new()) else { continue };
            let Ok(module) = naga::front::wgsl::parse_str(&linked.wgsl) else { continue };
            let bound = |(_, variable): (_, &naga::GlobalVariable)| {
                let place = variable.binding.filter(|place| place.group == 0)?;
                Some(Bound { name: own_name(variable.name.as_deref()?), binding: place.binding })
            };
            let mut reflected: Vec<Bound> =
                module.global_variables.iter().filter_map(bound).collect();
            reflected.sort_by_key(|own| own.binding);
            assert_eq!(linked.bindings, reflected, "{name}");
            assert!(!reflected.is_empty(), "{name}");
            compared += 1;
        }
        assert!(compared >= 34, "{compared} of {}", kernel_names().len());
    }
}
