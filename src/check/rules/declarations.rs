//! Declarations: attributes, extensions, and the limits that the specification fixes.

use super::accesses::Effects;
use crate::check::{
    diagnostic::Diagnostic,
    semantics::{
        Kind, Meaning, Phase, Program, Stage,
        builtins::is_subgroup,
        layout::Layouts,
        types::{Length, Scalar, Space, Type},
    },
    syntax::tree::{
        Attribute, Block, Bytes, DeclarationKind, DirectiveKind, ExprKind, Filter, Literal, Module,
        Statement, StatementKind, Variable, VariableKind,
    },
};

/// Limits of the specification: WGSL, "Limits".
mod limit {
    /// Members of a structure.
    pub const MEMBERS: usize = 1_023;
    /// Depth of a composite type.
    pub const DEPTH: u32 = 15;
    /// Depth of nested braces in a function.
    pub const BRACES: u32 = 127;
    /// Parameters of a function.
    pub const PARAMETERS: usize = 255;
    /// Case selectors of a switch.
    pub const SELECTORS: usize = 1_023;
    /// Bytes of the variables of a function.
    pub const FUNCTION_BYTES: u64 = 8_192;
    /// Bytes of the private variables of an entry point.
    pub const PRIVATE_BYTES: u64 = 8_192;
    /// Elements of an array that is a value.
    pub const ELEMENTS: u32 = 2_047;
    /// Elements of an array in workgroup, private or function memory, exclusive.
    pub const ARRAY: u32 = 65_536;
}

/// Extensions of `enable` in the specification.
pub const ENABLE: [&str; 6] = [
    "f16",
    "clip_distances",
    "dual_source_blending",
    "subgroups",
    "primitive_index",
    "subgroup_size_control",
];

/// Extensions of `requires` that the reference implementation has.
pub const REQUIRES: [&str; 16] = [
    "texel_buffers",
    "readonly_and_readwrite_storage_textures",
    "packed_4x8_integer_dot_product",
    "unrestricted_pointer_parameters",
    "pointer_composite_access",
    "uniform_buffer_standard_layout",
    "subgroup_id",
    "subgroup_uniformity",
    "texture_and_sampler_let",
    "texture_formats_tier1",
    "linear_indexing",
    "immediate_address_space",
    "swizzle_assignment",
    "sized_binding_array",
    "buffer_view",
    "fragment_depth",
];

/// The findings of a program.
pub fn check(program: &Program<'_, '_>, layouts: &Layouts, effects: &[Effects]) -> Vec<Diagnostic> {
    let mut check = Check { program, layouts, found: Vec::new() };
    check.directives();
    check.declarations();
    check.extensions();
    check.functions();
    check.private_memory(effects);
    check.arrays();
    check.found
}

/// Names of all extensions that a file enables.
pub fn enabled<'s>(module: &Module<'s>) -> Vec<&'s str> {
    let mut names = Vec::new();
    for directive in &module.directives {
        if let DirectiveKind::Enable(list) = &directive.kind {
            names.extend(list.iter().map(|name| name.name));
        }
    }
    names
}

struct Check<'a, 'm, 's> {
    program: &'a Program<'m, 's>,
    layouts: &'a Layouts,
    found: Vec<Diagnostic>,
}

impl<'s> Check<'_, '_, 's> {
    fn report(&mut self, rule: &'static str, span: &Bytes, message: String) {
        if self.found.len() < 100 {
            self.found.push(Diagnostic::error(rule, message).at(Some(span.clone())));
        }
    }

    // ---- directives and filters ----

    fn directives(&mut self) {
        let module = self.program.module;
        let mut filters: Vec<(&str, &str)> = Vec::new();
        for directive in &module.directives {
            if directive.late {
                let message = "a directive stands before all declarations".to_owned();
                self.report("directive", &directive.span, message);
            }
            match &directive.kind {
                DirectiveKind::Enable(names) => {
                    for name in names {
                        let own = name.name.starts_with("wgpu_");
                        if !own && !ENABLE.contains(&name.name) {
                            let message = format!("there is no extension {} to enable", name.name);
                            self.report("extension", &name.span, message);
                        }
                    }
                }
                DirectiveKind::Requires(names) => {
                    for name in names {
                        if !REQUIRES.contains(&name.name) {
                            let message = format!("there is no language extension {}", name.name);
                            self.report("extension", &name.span, message);
                        }
                    }
                }
                DirectiveKind::Diagnostic(filter) => {
                    self.filter(filter);
                    let key = (filter.rule.0, filter.severity.name);
                    if filters.iter().any(|(rule, severity)| *rule == key.0 && *severity != key.1) {
                        let message = format!("another filter sets {} otherwise", key.0);
                        self.report("diagnostic-filter", &directive.span, message);
                    }
                    if filters.len() < 1_000 {
                        filters.push(key);
                    }
                }
            }
        }
    }

    /// The name of a rule is no reserved word.
    fn filter_rule(&mut self, rule: &str, span: &Bytes) {
        let words = naga::keywords::wgsl::RESERVED;
        if let Some(word) = rule.split('.').find(|part| words.contains(part)) {
            self.report("diagnostic-filter", span, format!("{word} is a reserved word"));
        }
    }

    fn filter(&mut self, filter: &Filter<'s>) {
        self.filter_rule(filter.rule.0, &filter.rule.1);
        if !["off", "info", "warning", "error"].contains(&filter.severity.name) {
            let message =
                format!("a severity is off, info, warning or error, not {}", filter.severity.name);
            self.report("diagnostic-filter", &filter.severity.span, message);
        }
    }

    /// `@diagnostic` attributes: severities, and no two of one rule.
    fn filter_attributes(&mut self, attributes: &[Attribute<'s>]) {
        let module = self.program.module;
        let mut seen: Vec<&str> = Vec::new();
        for attribute in attributes.iter().filter(|one| one.name.name == "diagnostic") {
            let Some([severity, rule, ..]) = attribute.arguments.as_deref() else { continue };
            if let ExprKind::Name(severity, _) = &module.expr(*severity).kind
                && !["off", "info", "warning", "error"].contains(&severity.name)
            {
                let message =
                    format!("a severity is off, info, warning or error, not {}", severity.name);
                self.report("diagnostic-filter", &severity.span, message);
            }
            if let ExprKind::Name(rule, _) = &module.expr(*rule).kind {
                self.filter_rule(rule.name, &rule.span);
                if seen.contains(&rule.name) {
                    let message = format!("two filters of {} in one place", rule.name);
                    self.report("diagnostic-filter", &attribute.span, message);
                }
                seen.push(rule.name);
            }
        }
    }

    // ---- attributes ----

    fn attributes(&mut self, attributes: &[Attribute<'s>], allowed: &[&str], what: &str) {
        for (index, attribute) in attributes.iter().enumerate() {
            let name = attribute.name.name;
            if !allowed.contains(&name) {
                let known = KNOWN_ATTRIBUTES.contains(&name);
                let message = if known {
                    format!("@{name} is not for {what}")
                } else {
                    format!("there is no attribute @{name}")
                };
                self.report("attribute", &attribute.span, message);
            }
            let again = name != "diagnostic"
                && attributes[..index].iter().take(32).any(|one| one.name.name == name);
            if again {
                self.report("attribute", &attribute.span, format!("@{name} stands here twice"));
            }
        }
        for name in ["location", "align", "size", "id"] {
            self.attribute_range(attributes, name);
        }
        self.filter_attributes(attributes);
    }

    fn declarations(&mut self) {
        let program = self.program;
        for declaration in &program.module.declarations {
            let attributes = &declaration.attributes;
            match &declaration.kind {
                DeclarationKind::Variable(variable) => match variable.kind {
                    VariableKind::Var => {
                        let allowed = ["group", "binding", "coherent", "volatile"];
                        self.attributes(attributes, &allowed, "a var");
                        for name in ["group", "binding"] {
                            self.attribute_range(attributes, name);
                        }
                        self.is_bound(variable, attributes);
                    }
                    VariableKind::Override => {
                        self.attributes(attributes, &["id"], "an override");
                    }
                    _ => self.attributes(attributes, &[], "a const"),
                },
                DeclarationKind::Alias { .. } => self.attributes(attributes, &[], "an alias"),
                DeclarationKind::ConstAssert(_) => {
                    self.attributes(attributes, &[], "const_assert");
                }
                DeclarationKind::Struct { members, .. } => {
                    self.attributes(attributes, &[], "a struct");
                    if members.len() > limit::MEMBERS {
                        let message = format!(
                            "a struct of {} members; there may be {}",
                            members.len(),
                            limit::MEMBERS
                        );
                        self.report("language-limit", &declaration.span, message);
                    }
                    for member in members {
                        self.attributes(&member.attributes, MEMBER_ATTRIBUTES, "a struct member");
                    }
                }
                DeclarationKind::Function(function) => {
                    self.attributes(attributes, FUNCTION_ATTRIBUTES, "a function");
                    self.entry_attributes(attributes);
                    if function.parameters.len() > limit::PARAMETERS {
                        let message = format!(
                            "a function of {} parameters; there may be {}",
                            function.parameters.len(),
                            limit::PARAMETERS
                        );
                        self.report("language-limit", &function.name.span, message);
                    }
                    for parameter in &function.parameters {
                        self.attributes(&parameter.attributes, IO_ATTRIBUTES, "a parameter");
                    }
                    self.attributes(&function.result_attributes, IO_ATTRIBUTES, "a result");
                }
            }
        }
        self.variables();
        self.depths();
    }

    /// A resource has a group and a binding.
    fn is_bound(&mut self, variable: &Variable<'s>, attributes: &[Attribute<'s>]) {
        let Some(id) = self.program.declared.get(&variable.name.span.start) else { return };
        let info = &self.program.variables[*id];
        let is_resource = match info.space {
            Space::Uniform | Space::Storage => true,
            Space::Handle => matches!(
                info.ty,
                Type::Texture(_) | Type::Sampler | Type::ComparisonSampler | Type::BindingArray(_)
            ),
            _ => false,
        };
        let has = |name: &str| attributes.iter().any(|one| one.name.name == name);
        if is_resource && !(has("group") && has("binding")) {
            let message = format!("{} needs @group and @binding", info.name);
            self.report("attribute", &variable.name.span, message);
        }
    }

    /// The number of an attribute is of i32 or u32 and not negative.
    fn attribute_range(&mut self, attributes: &[Attribute<'s>], name: &str) {
        let Some(attribute) = attributes.iter().find(|one| one.name.name == name) else { return };
        let Some([argument]) = attribute.arguments.as_deref() else { return };
        let most = match self.program.ty(*argument).scalar() {
            Some(Scalar::U32) => i128::from(u32::MAX),
            _ => i128::from(i32::MAX),
        };
        if let Some(value) = self.program.integer(*argument)
            && !(0..=most).contains(&value)
        {
            let message = format!("@{name}({value}) is not from 0 to {most}");
            self.report("attribute", &attribute.span, message);
        }
    }

    fn entry_attributes(&mut self, attributes: &[Attribute<'s>]) {
        let has = |name: &str| attributes.iter().find(|one| one.name.name == name);
        if let Some(size) = has("subgroup_size")
            && let Some([argument]) = size.arguments.as_deref()
            && let Some(value) = self.program.integer(*argument).filter(|value| *value <= 0)
        {
            let message = format!("a subgroup of size {value}");
            self.report("attribute", &self.program.span(*argument), message);
        }
        let Some(size) = has("workgroup_size") else { return };
        if !["compute", "mesh", "task"].iter().any(|stage| has(stage).is_some()) {
            let message = "@workgroup_size is only for compute shaders".to_owned();
            self.report("attribute", &size.span, message);
        }
        let scalars: Vec<Scalar> = size
            .arguments
            .iter()
            .flatten()
            .filter_map(|argument| self.program.ty(*argument).scalar())
            .collect();
        for argument in size.arguments.iter().flatten() {
            let ty = self.program.ty(*argument);
            let is_whole = matches!(ty, Type::Scalar(scalar) if scalar.is_integer());
            if !ty.is_unknown() && !is_whole {
                let message = "the size of a workgroup is a whole number".to_owned();
                self.report("attribute", &self.program.span(*argument), message);
            }
            if self.program.phase(*argument) == Phase::Const
                && let Some(value) = self.program.integer(*argument)
                && (value <= 0 || (value > i128::from(i32::MAX) && !scalars.contains(&Scalar::U32)))
            {
                let message = format!("a workgroup of size {value}");
                self.report("attribute", &self.program.span(*argument), message);
            }
        }
        let product = size
            .arguments
            .iter()
            .flatten()
            .filter_map(|argument| self.program.integer(*argument))
            .fold(1i128, i128::saturating_mul);
        if product > i128::from(u32::MAX) {
            let message = format!("a workgroup of {product} invocations");
            self.report("attribute", &size.span, message);
        }
        if scalars.contains(&Scalar::I32) && scalars.contains(&Scalar::U32) {
            let message = "the arguments of @workgroup_size have two types, i32 and u32".to_owned();
            self.report("attribute", &size.span, message);
        }
    }

    // ---- variables ----

    fn variables(&mut self) {
        for variable in &self.program.variables {
            let span = &variable.span;
            if variable.kind != Kind::Var {
                continue;
            }
            let own_memory = matches!(
                variable.space,
                Space::Function | Space::Private | Space::Workgroup | Space::Uniform
            );
            if own_memory && self.is_runtime_sized(&variable.ty) {
                let name = variable.name;
                let message = format!("{name} has no fixed size, which storage alone allows");
                self.report("address-space", span, message);
            }
            if let (true, Type::Array(_, Length::Fixed(count))) = (own_memory, &variable.ty)
                && *count >= limit::ARRAY
            {
                let message = format!(
                    "an array of {count} elements; outside storage there are less than {}",
                    limit::ARRAY
                );
                self.report("language-limit", span, message);
            }
        }
    }

    fn is_runtime_sized(&self, ty: &Type<'_>) -> bool {
        match ty {
            Type::Array(_, Length::Runtime) => true,
            // Only the last member may be so.
            Type::Struct(id) => match self.program.structs[*id].members.last() {
                Some((_, Type::Array(_, length))) => *length == Length::Runtime,
                _ => false,
            },
            _ => false,
        }
    }

    /// Depths of types.
    fn depths(&mut self) {
        let program = self.program;
        let mut depths: Vec<u32> = Vec::with_capacity(program.structs.len());
        fn depth(depths: &[u32], ty: &Type<'_>) -> u32 {
            match ty {
                Type::Array(element, _) => 1 + depth(depths, element),
                Type::Struct(id) => depths.get(*id).copied().unwrap_or(1),
                Type::Vector(..) => 1,
                Type::Matrix(..) => 2,
                _ => 0,
            }
        }
        for info in &program.structs {
            let most = info.members.iter().map(|(_, ty)| depth(&depths, ty)).max().unwrap_or(0);
            depths.push(most.saturating_add(1));
            if most + 1 == limit::DEPTH + 1 {
                let span = program.module.declarations[info.declaration].span.clone();
                let message =
                    format!("{} nests types deeper than {} levels", info.name, limit::DEPTH);
                self.report("language-limit", &span, message);
            }
        }
        for variable in &program.variables {
            let deep = depth(&depths, &variable.ty) > limit::DEPTH;
            if deep && !matches!(variable.ty, Type::Struct(_)) {
                let message = format!("a type of more than {} levels", limit::DEPTH);
                self.report("language-limit", &variable.span, message);
            }
        }
    }

    /// Arrays that are values.
    fn arrays(&mut self) {
        for (id, expression) in self.program.module.expressions.iter().enumerate() {
            if let (ExprKind::Call { .. }, Type::Array(_, Length::Fixed(count))) =
                (&expression.kind, &self.program.types[id])
                && *count > limit::ELEMENTS
            {
                let message =
                    format!("a value of {count} elements; there may be {}", limit::ELEMENTS);
                self.report("language-limit", &expression.span, message);
            }
        }
    }

    fn private_memory(&mut self, effects: &[Effects]) {
        for (id, function) in self.program.functions.iter().enumerate() {
            if function.stage.is_none() {
                continue;
            }
            let mut bytes = 0u64;
            for variable in effects[id].named.keys() {
                let variable = &self.program.variables[*variable];
                if variable.kind == Kind::Var && variable.space == Space::Private {
                    bytes = bytes.saturating_add(self.layouts.layout(&variable.ty).size);
                    if bytes > limit::PRIVATE_BYTES {
                        let message = format!(
                            "{} uses {bytes} bytes of private memory; there may be {}",
                            function.syntax.name.name,
                            limit::PRIVATE_BYTES
                        );
                        let span = variable.span.clone();
                        self.report("language-limit", &span, message);
                        break;
                    }
                }
            }
        }
    }

    // ---- functions ----

    fn functions(&mut self) {
        let mut bytes = vec![0u64; self.program.functions.len()];
        for variable in &self.program.variables {
            let (Some(function), Kind::Var) = (variable.function, variable.kind) else { continue };
            let before = bytes[function];
            bytes[function] = before.saturating_add(self.layouts.layout(&variable.ty).size);
            if before <= limit::FUNCTION_BYTES && bytes[function] > limit::FUNCTION_BYTES {
                let message = format!(
                    "the variables of {} have more than {} bytes ({} one too many)",
                    self.program.functions[function].syntax.name.name,
                    limit::FUNCTION_BYTES,
                    variable.name
                );
                let span = variable.span.clone();
                self.report("language-limit", &span, message);
            }
        }
        let program = self.program;
        for function in &program.functions {
            self.block(&function.syntax.body, 1);
            if let (Some(Stage::Compute), Some(result)) = (function.stage, function.syntax.result) {
                let span = program.span(result);
                self.report("attribute", &span, "a compute shader has no result".to_owned());
            }
        }
    }

    fn block(&mut self, block: &Block<'s>, depth: u32) {
        if depth == limit::BRACES + 1 {
            let message = format!("braces are nested deeper than {}", limit::BRACES);
            let start = block.span.start..block.span.start + 1;
            self.report("language-limit", &start, message);
        }
        self.attributes(&block.attributes, &["diagnostic"], "a block");
        for statement in &block.statements {
            self.statement(statement, depth);
        }
    }

    fn statement(&mut self, statement: &Statement<'s>, depth: u32) {
        let compound = matches!(
            statement.kind,
            StatementKind::Block(_)
                | StatementKind::If { .. }
                | StatementKind::Switch { .. }
                | StatementKind::Loop { .. }
                | StatementKind::For { .. }
                | StatementKind::While { .. }
        );
        let allowed: &[&str] = if compound { &["diagnostic"] } else { &[] };
        self.attributes(&statement.attributes, allowed, "a statement");
        match &statement.kind {
            StatementKind::Block(block) => self.block(block, depth + 1),
            StatementKind::If { then, otherwise, .. } => {
                self.block(then, depth + 1);
                if let Some(otherwise) = otherwise {
                    self.statement(otherwise, depth);
                }
            }
            StatementKind::Switch { body_attributes, cases, .. } => {
                self.attributes(body_attributes, &["diagnostic"], "the body of a switch");
                let selectors: usize = cases.iter().map(|case| case.selectors.len()).sum();
                if selectors > limit::SELECTORS {
                    let message = format!(
                        "a switch of {selectors} case selectors; there may be {}",
                        limit::SELECTORS
                    );
                    let start = statement.span.start..statement.span.start + 6;
                    self.report("language-limit", &start, message);
                }
                for case in cases {
                    self.block(&case.body, depth + 2);
                }
            }
            StatementKind::Loop { body, continuing } => {
                self.block(body, depth + 1);
                if let Some(continuing) = continuing {
                    self.block(&continuing.block, depth + 2);
                }
            }
            StatementKind::For { body, .. } | StatementKind::While { body, .. } => {
                self.block(body, depth + 1);
            }
            _ => {}
        }
    }

    // ---- extensions ----

    fn extensions(&mut self) {
        let module = self.program.module;
        let enabled = enabled(module);
        let has = |name: &str| enabled.contains(&name);
        if !has("subgroups") {
            for (id, expression) in module.expressions.iter().enumerate() {
                if let ExprKind::Call { callee, .. } = &expression.kind
                    && self.program.meanings[id] == Meaning::Builtin
                    && is_subgroup(callee.name)
                {
                    let message = format!("{} needs `enable subgroups;` at the top", callee.name);
                    self.report("extension", &callee.span, message);
                }
            }
        }
        for attribute in builtin_attributes(module) {
            let Some([argument]) = attribute.arguments.as_deref() else { continue };
            let ExprKind::Name(name, _) = &module.expr(*argument).kind else { continue };
            let needed = match name.name {
                "subgroup_size" | "subgroup_invocation_id" | "subgroup_id" | "num_subgroups" => {
                    "subgroups"
                }
                _ => continue,
            };
            if !has(needed) && !has("subgroup_size_control") {
                let message = format!("{} needs `enable {needed};` at the top", name.name);
                self.report("extension", &name.span, message);
            }
        }
        for expression in &module.expressions {
            if let ExprKind::Literal(Literal::Float(value, "h")) = expression.kind
                && value.abs() > 65_504.0
            {
                let message = format!("{value} cannot be represented as f16");
                self.report("const-overflow", &expression.span, message);
            }
        }
    }
}

/// All `@builtin` attributes of a file.
pub fn builtin_attributes<'m, 's>(module: &'m Module<'s>) -> Vec<&'m Attribute<'s>> {
    let mut lists: Vec<&'m [Attribute<'s>]> = Vec::new();
    for declaration in &module.declarations {
        match &declaration.kind {
            DeclarationKind::Struct { members, .. } => {
                lists.extend(members.iter().map(|one| one.attributes.as_slice()));
            }
            DeclarationKind::Function(function) => {
                lists.extend(function.parameters.iter().map(|one| one.attributes.as_slice()));
                lists.push(&function.result_attributes);
            }
            _ => {}
        }
    }
    lists.into_iter().flatten().filter(|one| one.name.name == "builtin").collect()
}

const MEMBER_ATTRIBUTES: &[&str] = &[
    "align",
    "blend_src",
    "builtin",
    "interpolate",
    "invariant",
    "location",
    "size",
    "per_primitive",
];

const IO_ATTRIBUTES: &[&str] =
    &["blend_src", "builtin", "interpolate", "invariant", "location", "per_primitive"];

const FUNCTION_ATTRIBUTES: &[&str] = &[
    "compute",
    "diagnostic",
    "fragment",
    "must_use",
    "vertex",
    "workgroup_size",
    "subgroup_size",
    // Of naga's extensions.
    "early_depth_test",
    "mesh",
    "task",
    "payload",
    "incoming_payload",
    "ray_generation",
    "any_hit",
    "closest_hit",
    "miss",
];

const KNOWN_ATTRIBUTES: &[&str] = &[
    "align",
    "binding",
    "blend_src",
    "builtin",
    "compute",
    "diagnostic",
    "fragment",
    "group",
    "id",
    "interpolate",
    "invariant",
    "location",
    "must_use",
    "size",
    "vertex",
    "workgroup_size",
];
