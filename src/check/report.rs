//! A shader and the results of its check.

use serde::Serialize;

use super::diagnostic::{Diagnostic, Platform, Severity};
use super::forms::Form;

/// One shader to check.
#[derive(Debug, Clone, PartialEq)]
pub struct ShaderSource {
    /// Kernel name (with the specialisation, e.g. `conv2d_forward[tile=8]`) or the path of a file.
    pub name: String,
    /// WGSL without imports.
    pub wgsl: String,
    /// Values of pipeline-overridable constants, by name or by the decimal text of their `@id`.
    pub constants: Vec<(String, f64)>,
    /// Whether it is a user's shader: exceeding WebGPU's default limits is then a warning and not a
    /// failure.
    pub user: bool,
}

/// The result of one stage of the check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// No problem.
    Pass,
    /// Works on some backends only; does not fail the shader.
    Warn {
        /// The part that is not portable.
        message: String,
        /// 1-based line in the source, if it is known.
        line: Option<u32>,
        /// 1-based column in characters, if it is known.
        column: Option<u32>,
    },
    /// Not checked; does not fail the shader.
    Skipped {
        /// The reason.
        reason: String,
    },
    /// The shader is wrong.
    Fail {
        /// The message of the parser, validator or translator.
        message: String,
        /// 1-based line in the source, if it is known.
        line: Option<u32>,
        /// 1-based column in characters, if it is known.
        column: Option<u32>,
    },
}

impl Outcome {
    /// Whether this outcome fails the shader.
    pub fn is_fail(&self) -> bool {
        matches!(self, Outcome::Fail { .. })
    }

    /// A failure without a position.
    pub(crate) fn fail(message: impl Into<String>) -> Self {
        Outcome::Fail { message: message.into(), line: None, column: None }
    }

    /// A stage that did not run.
    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        Outcome::Skipped { reason: reason.into() }
    }

    /// The worse of the two, the first if they are equal: fail, warn, skipped, pass.
    pub(crate) fn worse(self, other: Outcome) -> Outcome {
        let rank = |outcome: &Outcome| match outcome {
            Outcome::Pass => 0,
            Outcome::Skipped { .. } => 1,
            Outcome::Warn { .. } => 2,
            Outcome::Fail { .. } => 3,
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
}

/// The outcome of every stage for one shader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShaderReport {
    /// Name or path, as in [`ShaderSource::name`].
    pub name: String,
    /// Whether this is a user's file and not one of saliq's kernels.
    pub user: bool,
    /// Entry points found, in the order of the source.
    pub entry_points: Vec<String>,
    /// Reading, linking and parsing.
    pub parse: Outcome,
    /// Validity as WGSL, whatever the backend.
    pub validate: Outcome,
    /// Validation with Vulkan's capabilities and translation to SPIR-V 1.3.
    pub spirv: Outcome,
    /// Validation with Metal's capabilities and translation to MSL 3.1.
    pub msl: Outcome,
    /// Validation with Direct3D's capabilities and translation to HLSL, shader model 6.6.
    pub hlsl: Outcome,
    /// Translation to GLSL ES 3.10; never a failure for a feature that GLSL lacks.
    pub glsl: Outcome,
    /// WebGPU's default limits: 8 storage buffers, 256 invocations and 16 KiB of workgroup memory
    /// per workgroup, …
    pub webgpu_limits: Outcome,
    /// Every finding, in the order of the source.
    pub diagnostics: Vec<Diagnostic>,
    /// What the shader needs beyond WebGPU without features and with default limits: features by
    /// the names of the WebGPU specification, limits as `NAME = VALUE`. Sorted.
    pub needs: Vec<String>,
    /// The form of the file, in one word.
    pub form: Form,
    /// The combinations of conditions and constants that were checked, if there are several.
    pub specialisations: Vec<Specialisation>,
}

/// A combination of conditions and constants that a file was checked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Specialisation {
    /// What it defines: `A, B=2`; empty if nothing.
    pub name: String,
    /// How it ended.
    pub outcome: SpecialisationOutcome,
}

/// How the check of a specialisation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpecialisationOutcome {
    /// No error.
    Passed,
    /// An error that fails the file.
    Failed,
    /// It lacks a name that the file declares under another condition, or declares one twice, and
    /// what it holds passes in another combination: it is none that the file is meant for.
    NotMeant,
}

impl ShaderReport {
    /// Every stage with its name in reports.
    pub fn stages(&self) -> [(&'static str, &Outcome); 7] {
        [
            ("parse", &self.parse),
            ("validate", &self.validate),
            ("SPIR-V", &self.spirv),
            ("MSL", &self.msl),
            ("HLSL", &self.hlsl),
            ("GLSL", &self.glsl),
            ("limits", &self.webgpu_limits),
        ]
    }

    /// The form of the file and how many combinations were checked, in a few words.
    pub(crate) fn form_in_words(&self) -> String {
        let mut words = Vec::new();
        if self.form != Form::Plain {
            words.push(self.form.name().to_owned());
        }
        let count = self.specialisations.len();
        if count > 1 {
            let is_unmeant = |one: &&Specialisation| one.outcome == SpecialisationOutcome::NotMeant;
            words.push(match self.specialisations.iter().filter(is_unmeant).count() {
                0 => format!("{count} variants"),
                unmeant => format!("{count} variants ({unmeant} not meant)"),
            });
        }
        words.join(", ")
    }

    /// The outcomes of [`ShaderReport::stages`].
    pub(crate) fn outcomes_mut(&mut self) -> [&mut Outcome; 7] {
        [
            &mut self.parse,
            &mut self.validate,
            &mut self.spirv,
            &mut self.msl,
            &mut self.hlsl,
            &mut self.glsl,
            &mut self.webgpu_limits,
        ]
    }

    /// Says in every finding with what definitions it is found.
    pub(crate) fn say_with(&mut self, definitions: &str) {
        let said = format!(" (with {definitions})");
        for one in &mut self.diagnostics {
            one.message.push_str(&said);
        }
        for outcome in self.outcomes_mut() {
            if let Outcome::Fail { message, .. } | Outcome::Warn { message, .. } = outcome {
                message.push_str(&said);
            }
        }
    }

    /// Adds what another specialisation of the file, named by its `definitions`, has found.
    pub(crate) fn merge(&mut self, other: ShaderReport, definitions: &str) {
        let said = format!(" (with {definitions})");
        for mut one in other.diagnostics {
            let is_known = |known: &Diagnostic| {
                let message = known.message.split(" (with ").next();
                known.rule == one.rule
                    && message == Some(one.message.as_str())
                    && (&known.file, known.line, known.column) == (&one.file, one.line, one.column)
            };
            if let Some(known) = self.diagnostics.iter_mut().find(|known| is_known(known)) {
                for target in one.targets {
                    if !known.targets.contains(&target) {
                        known.targets.push(target);
                    }
                }
                continue;
            }
            if one.severity != Severity::Info {
                one.message.push_str(&said);
            }
            self.diagnostics.push(one);
        }
        let theirs = [
            other.parse,
            other.validate,
            other.spirv,
            other.msl,
            other.hlsl,
            other.glsl,
            other.webgpu_limits,
        ];
        for (own, mut their) in self.outcomes_mut().into_iter().zip(theirs) {
            if let Outcome::Fail { message, .. } | Outcome::Warn { message, .. } = &mut their {
                message.push_str(&said);
            }
            *own = std::mem::replace(own, Outcome::Pass).worse(their);
        }
        for entry in other.entry_points {
            if !self.entry_points.contains(&entry) {
                self.entry_points.push(entry);
            }
        }
        for need in other.needs {
            if !self.needs.contains(&need) {
                self.needs.push(need);
            }
        }
        self.needs.sort();
    }

    /// Whether any stage failed, or anything else is an error.
    pub fn failed(&self) -> bool {
        self.stages().iter().any(|(_, outcome)| outcome.is_fail())
            || self.diagnostics.iter().any(|one| one.severity == Severity::Error)
    }

    /// Adds a diagnostic for each stage that failed or warned; what several stages say is one
    /// diagnostic with all their targets.
    pub(crate) fn collect_stages(&mut self) {
        let every = || Platform::ALL.to_vec();
        let stages = [
            (&self.parse, "syntax", every()),
            (&self.validate, "validation", every()),
            (&self.spirv, "translation", vec![Platform::Vulkan]),
            (&self.msl, "translation", vec![Platform::Metal]),
            (&self.hlsl, "translation", vec![Platform::Dx12]),
            (&self.glsl, "translation", vec![Platform::Gles]),
            (&self.webgpu_limits, "limit", every()),
        ];
        let mut found: Vec<Diagnostic> = Vec::new();
        for (outcome, rule, targets) in stages {
            let (severity, message, line, column) = match outcome {
                Outcome::Warn { message, line, column } => {
                    (Severity::Warning, message, line, column)
                }
                Outcome::Fail { message, line, column } => (Severity::Error, message, line, column),
                _ => continue,
            };
            // What a limit needs is listed in `needs`; a rule's finding is there already, with its
            // place where naga has none.
            let known = |one: &Diagnostic| {
                one.message == *message
                    || (one.severity == Severity::Error
                        && severity == Severity::Error
                        && (line.is_none() || one.line == *line)
                        && ["syntax", "validation"].contains(&rule))
            };
            let is_need = rule == "limit" && self.user;
            if is_need || self.diagnostics.iter().any(known) {
                continue;
            }
            // What several targets lack is said once.
            let core = |text: &str| {
                text.split_once(" cannot do this: ")
                    .map_or(text.to_owned(), |(_, core)| core.into())
            };
            let same = found.iter_mut().find(|one| {
                one.rule == rule && one.line == *line && core(&one.message) == core(message)
            });
            if let Some(one) = same {
                one.message = core(message);
                one.targets.extend(targets);
                continue;
            }
            // A validator that is installed judged what was written.
            let rule = if message.contains(" refuses what naga wrote") { "tool" } else { rule };
            let mut one = Diagnostic::new(rule, severity, message.clone()).on(targets);
            (one.file, one.line, one.column) = (self.name.clone(), *line, *column);
            found.push(one);
        }
        self.diagnostics.extend(found);
    }

    /// Keeps of the diagnostics what concerns `targets`.
    pub(crate) fn keep_targets(&mut self, targets: &[Platform]) {
        self.diagnostics.retain_mut(|one| {
            one.targets.retain(|target| targets.contains(target));
            !one.targets.is_empty()
        });
        self.diagnostics.sort_by_key(|one| (one.line.unwrap_or(0), one.column.unwrap_or(0)));
    }

    /// A report of a shader that could not be read or parsed.
    pub(crate) fn unparsed(name: &str, user: bool, parse: Outcome) -> Self {
        let skipped = || Outcome::skipped("not parsed");
        let mut report = ShaderReport {
            name: name.to_owned(),
            user,
            entry_points: Vec::new(),
            parse,
            validate: skipped(),
            spirv: skipped(),
            msl: skipped(),
            hlsl: skipped(),
            glsl: skipped(),
            webgpu_limits: skipped(),
            diagnostics: Vec::new(),
            needs: Vec::new(),
            form: Form::Plain,
            specialisations: Vec::new(),
        };
        report.collect_stages();
        report
    }
}
