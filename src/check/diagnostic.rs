//! A diagnostic: what is wrong with a shader, where, and on which targets.

use std::ops::Range;

use clap::ValueEnum;
use serde::Serialize;

use super::place::Region;

/// How serious a diagnostic is. Errors fail a shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Valid, and probably not meant.
    Warning,
    /// The shader is refused.
    Error,
}

impl Severity {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// An implementation that a shader is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum Platform {
    /// The WGSL specification, as Chromium implements it.
    WebGpu,
    /// naga's SPIR-V.
    Vulkan,
    /// naga's Metal Shading Language.
    Metal,
    /// naga's HLSL.
    Dx12,
    /// naga's GLSL ES.
    Gles,
}

impl Platform {
    /// All of them.
    pub const ALL: [Platform; 5] =
        [Platform::WebGpu, Platform::Vulkan, Platform::Metal, Platform::Dx12, Platform::Gles];

    /// The word of `--targets` and of reports.
    pub fn name(self) -> &'static str {
        match self {
            Platform::WebGpu => "webgpu",
            Platform::Vulkan => "vulkan",
            Platform::Metal => "metal",
            Platform::Dx12 => "dx12",
            Platform::Gles => "gles",
        }
    }

    /// Whether shaders for it go through naga.
    pub fn is_native(self) -> bool {
        self != Platform::WebGpu
    }
}

/// One finding of the check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The stable id of the rule (`saliq check --explain RULE`).
    pub rule: &'static str,
    /// How serious it is.
    pub severity: Severity,
    /// What is wrong, in plain words on one line.
    pub message: String,
    /// The file; the shader's name if it has none.
    pub file: String,
    /// 1-based line of its start.
    pub line: Option<u32>,
    /// 1-based column of its start, in characters.
    pub column: Option<u32>,
    /// 1-based line of its end.
    pub end_line: Option<u32>,
    /// 1-based column behind its end, in characters.
    pub end_column: Option<u32>,
    /// The targets on which it is wrong.
    pub targets: Vec<Platform>,
    /// Its bytes in the WGSL that was checked, which for a linked shader is not the file.
    #[serde(skip)]
    pub span: Option<Range<usize>>,
}

impl Diagnostic {
    /// A diagnostic without a place and without targets; [`Diagnostic::at`] sets the place.
    pub fn new(rule: &'static str, severity: Severity, message: impl Into<String>) -> Self {
        Diagnostic {
            rule,
            severity,
            message: message.into(),
            file: String::new(),
            line: None,
            column: None,
            end_line: None,
            end_column: None,
            targets: Vec::new(),
            span: None,
        }
    }

    /// An error.
    pub fn error(rule: &'static str, message: impl Into<String>) -> Self {
        Self::new(rule, Severity::Error, message)
    }

    /// The same at bytes of the WGSL that was checked.
    #[must_use]
    pub fn at(mut self, span: Option<Range<usize>>) -> Self {
        self.span = span;
        self
    }

    /// The same for `targets` only.
    #[must_use]
    pub fn on(mut self, targets: impl IntoIterator<Item = Platform>) -> Self {
        self.targets = targets.into_iter().collect();
        self
    }

    /// Sets file, lines and columns from the span in `wgsl`.
    pub(super) fn locate(&mut self, file: &str, wgsl: &str) {
        self.file = file.to_owned();
        if let Some(region) = self.span.clone().and_then(|span| Region::of(wgsl, span)) {
            self.line = Some(region.line);
            self.column = Some(region.column);
            self.end_line = Some(region.end_line);
            self.end_column = Some(region.end_column);
        }
    }
}
