//! Features that a shader needs, by the names of the WebGPU specification, and of wgpu where it has
//! none.

use std::collections::BTreeSet;

use super::declarations::enabled;
use crate::check::{
    semantics::{
        Program,
        types::{Access, Scalar, Space, TextureKind, Type},
    },
    syntax::tree::{ExprKind, Literal},
};

/// Formats of storage textures that every device has.
const CORE_FORMATS: [&str; 16] = [
    "rgba8unorm",
    "rgba8snorm",
    "rgba8uint",
    "rgba8sint",
    "rgba16uint",
    "rgba16sint",
    "rgba16float",
    "r32uint",
    "r32sint",
    "r32float",
    "rg32uint",
    "rg32sint",
    "rg32float",
    "rgba32uint",
    "rgba32sint",
    "rgba32float",
];

/// Formats that may be read and written in one shader on every device.
const READ_WRITE_FORMATS: [&str; 3] = ["r32uint", "r32sint", "r32float"];

/// The features of a program, sorted.
pub fn features(program: &Program<'_, '_>) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut add = |name: &str| {
        if !found.contains(name) {
            found.insert(name.to_owned());
        }
    };
    for extension in enabled(program.module) {
        match extension {
            "f16" => add("shader-f16"),
            other => add(&other.strip_prefix("wgpu_").unwrap_or(other).replace('_', "-")),
        }
    }
    for variable in &program.variables {
        if variable.space == Space::Immediate {
            add("immediates");
        }
        match &variable.ty {
            Type::BindingArray(_) => add("binding-arrays"),
            Type::Texture(texture) if texture.kind == TextureKind::Storage => {
                let format = texture.format;
                let core = CORE_FORMATS.contains(&format);
                match (format, texture.access) {
                    (_, Access::ReadWrite) if READ_WRITE_FORMATS.contains(&format) => {}
                    ("r64uint" | "r64sint", _) => add("texture-int64-atomic"),
                    (_, Access::ReadWrite) => add("texture-formats-tier2"),
                    ("bgra8unorm", _) => add("bgra8unorm-storage"),
                    _ if !core => add("texture-formats-tier1"),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    for expression in &program.module.expressions {
        match &expression.kind {
            ExprKind::Name(name, _) => match name.name {
                "i64" | "u64" => add("shader-int64"),
                "f64" => add("shader-f64"),
                "i16" | "u16" => add("shader-i16"),
                "acceleration_structure" | "ray_query" => add("ray-query"),
                "primitive_index" => add("primitive-index"),
                "clip_distances" => add("clip-distances"),
                "view_index" => add("multiview"),
                "barycentric" => add("shader-barycentrics"),
                _ => {}
            },
            ExprKind::Literal(Literal::Int(_, "li" | "lu")) => add("shader-int64"),
            ExprKind::Literal(Literal::Float(_, "lf")) => add("shader-f64"),
            ExprKind::Call { callee, .. } => match callee.name {
                "f64" => add("shader-f64"),
                "i64" | "u64" => add("shader-int64"),
                name if name.starts_with("textureAtomic") => add("texture-atomic"),
                _ => {}
            },
            _ => {}
        }
    }
    let float_atomic = program.variables.iter().any(|v| v.ty.leaf_atomic() == Some(Scalar::F32));
    if float_atomic {
        found.insert("shader-float32-atomic".to_owned());
    }
    found
}
