//! Sizes and alignments of types: WGSL, "Memory Layout".

use super::{
    program::Program,
    types::{Length, Scalar, Type},
};
use crate::check::syntax::tree::Attribute;

/// Size and alignment in bytes; what is not known counts as one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub size: u64,
    pub align: u64,
}

/// The layouts of a program's structures.
#[derive(Debug)]
pub struct Layouts {
    structs: Vec<Layout>,
}

fn scalar(scalar: Scalar) -> u64 {
    u64::from(scalar.bits() / 8)
}

impl Layouts {
    /// Structures come behind those that they contain.
    pub fn of(program: &Program<'_, '_>) -> Self {
        let mut layouts = Layouts { structs: Vec::with_capacity(program.structs.len()) };
        for info in &program.structs {
            let (mut end, mut align) = (0u64, 1u64);
            for (syntax, (_, ty)) in program.written_members(info).iter().zip(&info.members) {
                let own = layouts.layout(ty);
                let given = |name: &str| number(program, &syntax.attributes, name);
                let member_align = given("align").unwrap_or(own.align).clamp(1, 1 << 32);
                let size = given("size").unwrap_or(own.size);
                end = round_up(end, member_align).saturating_add(size);
                align = align.max(member_align);
            }
            layouts.structs.push(Layout { size: round_up(end, align), align });
        }
        layouts
    }

    /// The layout of a type; of a run-time sized array, that of one element.
    pub fn layout(&self, ty: &Type<'_>) -> Layout {
        let of = |size: u64, align: u64| Layout { size, align };
        match ty {
            Type::Scalar(kind) | Type::Atomic(kind) => of(scalar(*kind), scalar(*kind)),
            Type::Vector(count, kind) => vector(u64::from(*count), scalar(*kind)),
            Type::Matrix(columns, rows, kind) => {
                let column = vector(u64::from(*rows), scalar(*kind));
                let stride = round_up(column.size, column.align);
                of(stride * u64::from(*columns), column.align)
            }
            Type::Array(element, length) => {
                let element = self.layout(element);
                let stride = round_up(element.size, element.align);
                let count = match length {
                    Length::Fixed(count) => u64::from(*count),
                    _ => 1,
                };
                of(stride.saturating_mul(count), element.align)
            }
            Type::Struct(id) => self.structs.get(*id).copied().unwrap_or(of(0, 1)),
            _ => of(0, 1),
        }
    }
}

fn vector(count: u64, scalar: u64) -> Layout {
    Layout { size: count * scalar, align: if count == 2 { 2 * scalar } else { 4 * scalar } }
}

fn round_up(size: u64, align: u64) -> u64 {
    size.checked_next_multiple_of(align.max(1)).unwrap_or(u64::MAX)
}

/// The whole number of an attribute.
pub fn number(program: &Program<'_, '_>, attributes: &[Attribute<'_>], name: &str) -> Option<u64> {
    let attribute = attributes.iter().find(|one| one.name.name == name)?;
    let argument = attribute.arguments.as_ref()?.first()?;
    u64::try_from(program.integer(*argument)?).ok()
}
