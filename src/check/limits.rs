//! WebGPU's default limits, and bounds on the values that backends write out element by element.
//! Source: WebGPU specification, "Limits", the default column; WGSL, "Limits".

use super::{place::place, report::Outcome};
use naga::{AddressSpace, Handle, ShaderStage, Type, TypeInner, valid::ModuleInfo};

/// Largest number of storage buffers of an entry point.
const STORAGE_BUFFERS: usize = 8;
/// Largest number of uniform buffers of an entry point.
const UNIFORM_BUFFERS: usize = 12;
/// Upper bound (exclusive) of the numbers of bind groups.
const BIND_GROUPS: u32 = 4;
/// Upper bound (exclusive) of the numbers of bindings.
const BINDINGS: u32 = 1000;
/// Largest size of a uniform buffer in bytes.
const UNIFORM_BYTES: u64 = 64 << 10;
/// Largest size of a storage buffer binding (its fixed part) in bytes.
const STORAGE_BYTES: u64 = 128 << 20;
/// Largest workgroup size along x, y, z.
const WORKGROUP_SIZE: [u32; 3] = [256, 256, 64];
/// Largest number of invocations in a workgroup.
const INVOCATIONS: u64 = 256;
/// Largest size of workgroup memory in bytes.
const WORKGROUP_BYTES: u64 = 16 << 10;

/// Largest size in bytes of a value in function, private or workgroup memory that is translated.
/// GLSL and MSL initialise such values element by element, so a hostile size would become gigabytes
/// of text.
pub(super) const MAX_VALUE_BYTES: u64 = 1 << 20;

/// Compares the entry point `name`, with resolved overrides, with WebGPU's default limits. A breach
/// is [`Outcome::Warn`] for a user's shader and [`Outcome::Fail`] for saliq's own; only the first
/// breach is reported.
pub(super) fn check(
    module: &naga::Module,
    info: &ModuleInfo,
    name: Option<&str>,
    wgsl: &str,
    user: bool,
) -> Outcome {
    let Some(name) = name else { return Outcome::skipped("no entry point") };
    let Some((index, entry)) =
        module.entry_points.iter().enumerate().find(|(_, entry)| entry.name == name)
    else {
        return Outcome::skipped("no entry point");
    };
    let breach = |message: String, span: naga::Span| {
        let (line, column) = place(wgsl, span);
        let message = format!("{message}; WebGPU's defaults allow no more");
        if user {
            Outcome::Warn { message, line, column }
        } else {
            Outcome::Fail { message, line, column }
        }
    };

    let (mut storage, mut uniform, mut workgroup_bytes) = (0, 0, 0);
    let used = info.get_entry_point(index);
    for (handle, variable) in
        module.global_variables.iter().filter(|(handle, _)| !used[*handle].is_empty())
    {
        let span = module.global_variables.get_span(handle);
        let label = variable.name.as_deref().unwrap_or("a variable");
        let bytes = size_of(module, variable.ty);
        if let Some(binding) = variable.binding {
            if binding.group >= BIND_GROUPS {
                return breach(
                    format!(
                        "{label} is in @group({}); groups are 0 to {}",
                        binding.group,
                        BIND_GROUPS - 1
                    ),
                    span,
                );
            }
            if binding.binding >= BINDINGS {
                return breach(
                    format!(
                        "{label} is @binding({}); bindings are 0 to {}",
                        binding.binding,
                        BINDINGS - 1
                    ),
                    span,
                );
            }
        }
        match variable.space {
            AddressSpace::Storage { .. } => {
                storage += 1;
                if storage > STORAGE_BUFFERS {
                    return breach(
                        format!(
                            "{name} uses more than {STORAGE_BUFFERS} storage buffers ({label} is \
                             one too many)"
                        ),
                        span,
                    );
                }
                if bytes > STORAGE_BYTES {
                    return breach(
                        format!("{label} needs a binding of {bytes} bytes, above {STORAGE_BYTES}"),
                        span,
                    );
                }
            }
            AddressSpace::Uniform => {
                uniform += 1;
                if uniform > UNIFORM_BUFFERS {
                    return breach(
                        format!(
                            "{name} uses more than {UNIFORM_BUFFERS} uniform buffers ({label} is \
                             one too many)"
                        ),
                        span,
                    );
                }
                if bytes > UNIFORM_BYTES {
                    return breach(
                        format!("uniform {label} has {bytes} bytes, above {UNIFORM_BYTES}"),
                        span,
                    );
                }
            }
            AddressSpace::WorkGroup => {
                // The specification counts each variable from a multiple of 16 bytes.
                workgroup_bytes += bytes.next_multiple_of(16);
                if workgroup_bytes > WORKGROUP_BYTES {
                    let message = format!(
                        "{name} uses {workgroup_bytes} bytes of workgroup memory, above \
                         {WORKGROUP_BYTES}"
                    );
                    return breach(message, span);
                }
            }
            _ => {}
        }
    }

    if entry.stage == ShaderStage::Compute {
        let size = entry.workgroup_size;
        let invocations: u64 = size.iter().map(|&n| u64::from(n)).fold(1, u64::saturating_mul);
        let span = entry_span(module, index);
        if size.iter().zip(WORKGROUP_SIZE).any(|(&n, most)| n > most) {
            return breach(
                format!("{name} has workgroup size {size:?}, above {WORKGROUP_SIZE:?}"),
                span,
            );
        }
        if invocations > INVOCATIONS {
            return breach(
                format!("{name} has {invocations} invocations a workgroup, above {INVOCATIONS}"),
                span,
            );
        }
    }
    Outcome::Pass
}

/// naga keeps no span of an entry point's name; the first expression of its body is close to it.
fn entry_span(module: &naga::Module, index: usize) -> naga::Span {
    module.entry_points[index]
        .function
        .body
        .span_iter()
        .next()
        .map_or(naga::Span::UNDEFINED, |(_, span)| *span)
}

/// Size of a type in bytes; for a run-time sized array, that of one element.
fn size_of(module: &naga::Module, ty: Handle<Type>) -> u64 {
    module.types[ty].inner.try_size(module.to_ctx()).map_or(u64::MAX >> 1, u64::from)
}

/// A description of the first value outside storage and uniform buffers that is larger than
/// [`MAX_VALUE_BYTES`].
pub(super) fn oversized_value(module: &naga::Module) -> Option<String> {
    let sized = |ty: Handle<Type>| {
        let plain =
            matches!(module.types[ty].inner, TypeInner::Array { .. } | TypeInner::Struct { .. });
        let bytes = if plain { size_of(module, ty) } else { 0 };
        (bytes > MAX_VALUE_BYTES).then_some(bytes)
    };
    let describe = |what: &str, name: Option<&str>, bytes: u64| {
        format!(
            "{what}{} of {bytes} bytes, above {MAX_VALUE_BYTES}",
            name.map(|n| format!(" {n}")).unwrap_or_default()
        )
    };
    for (_, variable) in module.global_variables.iter() {
        if matches!(variable.space, AddressSpace::Private | AddressSpace::WorkGroup)
            && let Some(bytes) = sized(variable.ty)
        {
            return Some(describe("a variable", variable.name.as_deref(), bytes));
        }
    }
    let values = |expressions: &naga::Arena<naga::Expression>| {
        expressions.iter().find_map(|(_, expression)| match *expression {
            naga::Expression::ZeroValue(ty) | naga::Expression::Compose { ty, .. } => sized(ty),
            _ => None,
        })
    };
    if let Some(bytes) = values(&module.global_expressions) {
        return Some(describe("a constant", None, bytes));
    }
    let functions = module.functions.iter().map(|(_, function)| function);
    for function in functions.chain(module.entry_points.iter().map(|entry| &entry.function)) {
        if let Some((variable, bytes)) =
            function.local_variables.iter().find_map(|(_, v)| Some((v, sized(v.ty)?)))
        {
            return Some(describe("a local variable", variable.name.as_deref(), bytes));
        }
        if let Some(bytes) = values(&function.expressions) {
            return Some(describe("a value", None, bytes));
        }
    }
    None
}
