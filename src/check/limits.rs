//! WebGPU's default limits, and bounds on the values that backends write out element by element.
//! Source: WebGPU specification, "Limits", the default column; WGSL, "Limits".

use naga::{
    AddressSpace, Binding, Handle, ImageClass, ScalarKind, ShaderStage, Type, TypeInner,
    valid::ModuleInfo,
};

/// Names and defaults of WebGPU's limits that a shader shows.
pub const DEFAULTS: [(&str, u64); 18] = [
    ("maxBindGroups", 4),
    ("maxBindingsPerBindGroup", 1000),
    ("maxSampledTexturesPerShaderStage", 16),
    ("maxSamplersPerShaderStage", 16),
    ("maxStorageBuffersPerShaderStage", 8),
    ("maxStorageTexturesPerShaderStage", 4),
    ("maxUniformBuffersPerShaderStage", 12),
    ("maxUniformBufferBindingSize", 64 << 10),
    ("maxStorageBufferBindingSize", 128 << 20),
    ("maxVertexAttributes", 16),
    ("maxInterStageShaderVariables", 16),
    ("maxColorAttachments", 8),
    ("maxColorAttachmentBytesPerSample", 32),
    ("maxComputeWorkgroupStorageSize", 16 << 10),
    ("maxComputeInvocationsPerWorkgroup", 256),
    ("maxComputeWorkgroupSizeX", 256),
    ("maxComputeWorkgroupSizeY", 256),
    ("maxComputeWorkgroupSizeZ", 64),
];

/// Largest size in bytes of a value in function, private or workgroup memory that is translated.
/// GLSL and MSL initialise such values element by element, so a hostile size would become gigabytes
/// of text.
pub(super) const MAX_VALUE_BYTES: u64 = 1 << 20;

/// What an entry point needs of a limit.
#[derive(Debug, Clone)]
pub(super) struct Need {
    /// The limit's name in the WebGPU specification.
    pub limit: &'static str,
    /// What it must be at least.
    pub value: u64,
    /// What needs it, without the limit.
    pub message: String,
    pub span: naga::Span,
}

/// The default of a limit.
pub(super) fn default_of(limit: &str) -> u64 {
    DEFAULTS.iter().find(|(name, _)| *name == limit).map_or(u64::MAX, |(_, value)| *value)
}

/// What the entry point `name`, with resolved overrides, needs of limits, where `allowed` has less;
/// `None` if there is no such entry point. One need for each limit, in the order of the source.
pub(super) fn needs(
    module: &naga::Module,
    info: &ModuleInfo,
    name: Option<&str>,
    allowed: impl Fn(&str) -> u64,
) -> Option<Vec<Need>> {
    let name = name?;
    let (index, entry) =
        module.entry_points.iter().enumerate().find(|(_, entry)| entry.name == name)?;
    let mut found: Vec<Need> = Vec::new();
    let mut add = |limit: &'static str, value: u64, message: String, span: naga::Span| {
        if value <= allowed(limit) {
            return;
        }
        match found.iter_mut().find(|need| need.limit == limit) {
            Some(known) => known.value = known.value.max(value),
            None => found.push(Need { limit, value, message, span }),
        }
    };

    let mut workgroup_bytes = 0u64;
    let mut counts = [
        ("maxStorageBuffersPerShaderStage", "storage buffers", 0u64),
        ("maxUniformBuffersPerShaderStage", "uniform buffers", 0),
        ("maxSampledTexturesPerShaderStage", "sampled textures", 0),
        ("maxStorageTexturesPerShaderStage", "storage textures", 0),
        ("maxSamplersPerShaderStage", "samplers", 0),
    ];
    let used = info.get_entry_point(index);
    for (handle, variable) in
        module.global_variables.iter().filter(|(handle, _)| !used[*handle].is_empty())
    {
        let span = module.global_variables.get_span(handle);
        let label = variable.name.as_deref().unwrap_or("a variable");
        let bytes = size_of(module, variable.ty);
        if let Some(binding) = variable.binding {
            let groups = u64::from(binding.group) + 1;
            let message = format!(
                "{label} is in @group({}); groups are 0 to {}",
                binding.group,
                default_of("maxBindGroups") - 1
            );
            add("maxBindGroups", groups, message, span);
            let message = format!(
                "{label} is @binding({}); bindings are 0 to {}",
                binding.binding,
                default_of("maxBindingsPerBindGroup") - 1
            );
            add("maxBindingsPerBindGroup", u64::from(binding.binding) + 1, message, span);
        }
        let kind = match (&variable.space, &module.types[variable.ty].inner) {
            (AddressSpace::Storage { .. }, _) => {
                let most = default_of("maxStorageBufferBindingSize");
                let message = format!("{label} needs a binding of {bytes} bytes, above {most}");
                add("maxStorageBufferBindingSize", bytes, message, span);
                0
            }
            (AddressSpace::Uniform, _) => {
                let most = default_of("maxUniformBufferBindingSize");
                let message = format!("uniform {label} has {bytes} bytes, above {most}");
                add("maxUniformBufferBindingSize", bytes, message, span);
                1
            }
            (AddressSpace::WorkGroup, _) => {
                // The specification counts each variable from a multiple of 16 bytes.
                workgroup_bytes = workgroup_bytes.saturating_add(bytes.next_multiple_of(16));
                let most = default_of("maxComputeWorkgroupStorageSize");
                let message = format!(
                    "{name} uses {workgroup_bytes} bytes of workgroup memory, above {most}"
                );
                add("maxComputeWorkgroupStorageSize", workgroup_bytes, message, span);
                continue;
            }
            (AddressSpace::Handle, TypeInner::Image { class, .. }) => match class {
                ImageClass::Storage { .. } => 3,
                _ => 2,
            },
            (AddressSpace::Handle, TypeInner::Sampler { .. }) => 4,
            _ => continue,
        };
        let (limit, what, count) = &mut counts[kind];
        *count += 1;
        let message =
            format!("{name} uses more than {} {what} ({label} is one too many)", default_of(limit));
        add(limit, *count, message, span);
    }
    interface(module, entry, &mut add);

    if entry.stage == ShaderStage::Compute {
        let size = entry.workgroup_size;
        let invocations: u64 = size.iter().map(|&n| u64::from(n)).fold(1, u64::saturating_mul);
        let span = entry_span(module, index);
        let axes =
            ["maxComputeWorkgroupSizeX", "maxComputeWorkgroupSizeY", "maxComputeWorkgroupSizeZ"];
        for (limit, value) in axes.into_iter().zip(size) {
            let most = axes.map(default_of);
            let message = format!("{name} has workgroup size {size:?}, above {most:?}");
            add(limit, u64::from(value), message, span);
        }
        let most = default_of("maxComputeInvocationsPerWorkgroup");
        let message = format!("{name} has {invocations} invocations a workgroup, above {most}");
        add("maxComputeInvocationsPerWorkgroup", invocations, message, span);
    }
    Some(found)
}

/// Vertex attributes, variables between stages and colour attachments.
fn interface(
    module: &naga::Module,
    entry: &naga::EntryPoint,
    add: &mut impl FnMut(&'static str, u64, String, naga::Span),
) {
    let name = &entry.name;
    let mut inputs = Vec::new();
    for argument in &entry.function.arguments {
        locations(module, argument.ty, argument.binding.as_ref(), &mut inputs);
    }
    let mut outputs = Vec::new();
    if let Some(result) = &entry.function.result {
        locations(module, result.ty, result.binding.as_ref(), &mut outputs);
    }
    let slots = |list: &[(u32, Handle<Type>)]| {
        list.iter().map(|(location, _)| u64::from(*location) + 1).max().unwrap_or(0)
    };
    let span = naga::Span::UNDEFINED;
    let mut slot = |limit: &'static str, what: &str, list: &[(u32, Handle<Type>)]| {
        let count = slots(list);
        let message = format!("{name} has {count} {what}, above {}", default_of(limit));
        add(limit, count, message, span);
    };
    match entry.stage {
        ShaderStage::Vertex => {
            slot("maxVertexAttributes", "vertex attributes", &inputs);
            slot("maxInterStageShaderVariables", "inter-stage variables", &outputs);
        }
        ShaderStage::Fragment => {
            slot("maxInterStageShaderVariables", "inter-stage variables", &inputs);
            slot("maxColorAttachments", "colour attachments", &outputs);
            // As if each attachment had the format of the shader's type: 8-bit formats have less.
            let bytes: u64 = outputs.iter().map(|(_, ty)| attachment_bytes(module, *ty)).sum();
            let limit = "maxColorAttachmentBytesPerSample";
            let message = format!(
                "the colour attachments of {name} have up to {bytes} bytes a sample, above {}",
                default_of(limit)
            );
            add(limit, bytes, message, span);
        }
        _ => {}
    }
}

/// Locations with their types, also of the members of a structure.
fn locations(
    module: &naga::Module,
    ty: Handle<Type>,
    binding: Option<&Binding>,
    found: &mut Vec<(u32, Handle<Type>)>,
) {
    if let Some(Binding::Location { location, .. }) = binding {
        found.push((*location, ty));
    } else if let TypeInner::Struct { members, .. } = &module.types[ty].inner {
        for member in members {
            if let Some(Binding::Location { location, .. }) = member.binding {
                found.push((location, member.ty));
            }
        }
    }
}

fn attachment_bytes(module: &naga::Module, ty: Handle<Type>) -> u64 {
    let (count, scalar) = match module.types[ty].inner {
        TypeInner::Scalar(scalar) => (1, scalar),
        // An attachment of three components has a fourth.
        TypeInner::Vector { size, scalar } => (if size as u64 == 2 { 2 } else { 4 }, scalar),
        _ => return 0,
    };
    let wide = if matches!(scalar.kind, ScalarKind::Bool) { 0 } else { u64::from(scalar.width) };
    count * wide
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
