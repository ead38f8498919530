//! Inputs and outputs: types of built-in values, interpolation, and what a compute shader may have.

use crate::check::{
    diagnostic::Diagnostic,
    semantics::{
        Program, Stage,
        types::{Length, Scalar, Type},
    },
    syntax::tree::{Attribute, ExprKind},
};

/// Largest number of findings.
const MAX_FOUND: usize = 100;

/// The findings of a program.
pub fn check(program: &Program<'_, '_>) -> Vec<Diagnostic> {
    let mut check = Check { program, found: Vec::new() };
    for info in &program.structs {
        for (member, (_, ty)) in program.written_members(info).iter().zip(&info.members) {
            check.attributes(&member.attributes, ty);
        }
    }
    for function in &program.functions {
        for (syntax, id) in function.syntax.parameters.iter().zip(&function.parameters) {
            let ty = &program.variables[*id].ty;
            check.attributes(&syntax.attributes, ty);
            if function.stage == Some(Stage::Compute) {
                check.compute_input(&syntax.attributes, ty);
            }
        }
        check.attributes(&function.syntax.result_attributes, &function.result);
    }
    check.found
}

/// The type of a built-in value of the specification, and its name.
fn builtin_type(name: &str) -> Option<(Type<'static>, &'static str)> {
    Some(match name {
        "position" => (Type::Vector(4, Scalar::F32), "vec4<f32>"),
        "front_facing" => (Type::BOOL, "bool"),
        "frag_depth" => (Type::F32, "f32"),
        "local_invocation_id" | "global_invocation_id" | "workgroup_id" | "num_workgroups" => {
            (Type::Vector(3, Scalar::U32), "vec3<u32>")
        }
        "vertex_index"
        | "instance_index"
        | "sample_index"
        | "sample_mask"
        | "local_invocation_index"
        | "global_invocation_index"
        | "workgroup_index"
        | "primitive_index"
        | "subgroup_size"
        | "subgroup_invocation_id"
        | "subgroup_id"
        | "num_subgroups" => (Type::U32, "u32"),
        _ => return None,
    })
}

struct Check<'a, 'm, 's> {
    program: &'a Program<'m, 's>,
    found: Vec<Diagnostic>,
}

impl<'s> Check<'_, '_, 's> {
    fn report(&mut self, rule: &'static str, attribute: &Attribute<'_>, message: String) {
        if self.found.len() < MAX_FOUND {
            let span = Some(attribute.span.clone());
            self.found.push(Diagnostic::error(rule, message).at(span));
        }
    }

    /// The names that are the arguments of an attribute.
    fn words(&self, attribute: &Attribute<'s>) -> Vec<&'s str> {
        let arguments = attribute.arguments.iter().flatten();
        let word = |id: &u32| match &self.program.module.expr(*id).kind {
            ExprKind::Name(name, _) => Some(name.name),
            _ => None,
        };
        arguments.filter_map(word).collect()
    }

    fn attributes(&mut self, attributes: &[Attribute<'s>], ty: &Type<'s>) {
        for attribute in attributes {
            let words = self.words(attribute);
            match (attribute.name.name, words.as_slice()) {
                ("builtin", ["clip_distances"]) => {
                    let fits = match ty {
                        Type::Unknown | Type::Array(_, Length::Unknown) => true,
                        Type::Array(element, Length::Fixed(count)) => {
                            **element == Type::F32 && *count <= 8
                        }
                        _ => false,
                    };
                    if !fits {
                        let message = "clip_distances is an array of 1 to 8 f32".to_owned();
                        self.report("validation", attribute, message);
                    }
                }
                ("builtin", [name, ..]) => {
                    if let Some((needed, text)) = builtin_type(name)
                        && !ty.is_unknown()
                        && *ty != needed
                    {
                        self.report("validation", attribute, format!("{name} is of {text}"));
                    }
                }
                ("interpolate", ["linear" | "perspective", ..])
                    if ty.scalar().is_some_and(Scalar::is_integer) =>
                {
                    let message = "whole numbers are not interpolated: write @interpolate(flat)";
                    self.report("validation", attribute, message.to_owned());
                }
                _ => {}
            }
        }
    }

    /// A compute shader has no inputs of the user.
    fn compute_input(&mut self, attributes: &[Attribute<'s>], ty: &Type<'s>) {
        let program = self.program;
        let mut lists: Vec<&[Attribute<'s>]> = vec![attributes];
        if let Type::Struct(id) = ty {
            let members = program.written_members(&program.structs[*id]);
            lists.extend(members.iter().map(|member| member.attributes.as_slice()));
        }
        for attribute in lists.into_iter().flatten().filter(|one| one.name.name == "location") {
            let message = "a compute shader has no inputs with @location".to_owned();
            self.report("attribute", attribute, message);
        }
    }
}
