//! Diagnostic filters of a shader: `diagnostic(…)` and `@diagnostic(…)`.

use crate::check::{
    diagnostic::Severity,
    syntax::tree::{
        Attribute, Block, Bytes, DeclarationKind, DirectiveKind, ExprKind, Module, Statement,
        StatementKind,
    },
};

/// Largest number of filters that are looked at.
const MAX_FILTERS: usize = 1_000;

/// The severity that a filter gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtered {
    Off,
    Severity(Severity),
}

impl Filtered {
    fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "off" => Filtered::Off,
            "info" => Filtered::Severity(Severity::Info),
            "warning" => Filtered::Severity(Severity::Warning),
            "error" => Filtered::Severity(Severity::Error),
            _ => return None,
        })
    }
}

/// The filters of a file with the bytes that they cover.
#[derive(Debug, Default)]
pub struct Filters<'s> {
    /// Outer ones first.
    found: Vec<(Bytes, &'s str, Filtered)>,
}

impl<'s> Filters<'s> {
    /// The filters of a file.
    pub fn of(module: &Module<'s>) -> Self {
        let mut filters = Filters::default();
        for directive in &module.directives {
            if let DirectiveKind::Diagnostic(filter) = &directive.kind {
                filters.add(0..usize::MAX, filter.rule.0, filter.severity.name);
            }
        }
        for declaration in &module.declarations {
            if let DeclarationKind::Function(function) = &declaration.kind {
                filters.attributes(module, &declaration.attributes, &declaration.span);
                filters.block(module, &function.body);
            }
        }
        filters
    }

    fn add(&mut self, bytes: Bytes, rule: &'s str, severity: &str) {
        if let Some(severity) = Filtered::of_name(severity)
            && self.found.len() < MAX_FILTERS
        {
            self.found.push((bytes, rule, severity));
        }
    }

    fn attributes(&mut self, module: &Module<'s>, attributes: &[Attribute<'s>], bytes: &Bytes) {
        for attribute in attributes.iter().filter(|one| one.name.name == "diagnostic") {
            let Some([severity, rule, ..]) = attribute.arguments.as_deref() else { continue };
            if let (ExprKind::Name(severity, _), ExprKind::Name(rule, _)) =
                (&module.expr(*severity).kind, &module.expr(*rule).kind)
            {
                self.add(bytes.clone(), rule.name, severity.name);
            }
        }
    }

    fn block(&mut self, module: &Module<'s>, block: &Block<'s>) {
        self.attributes(module, &block.attributes, &block.span);
        for statement in &block.statements {
            self.statement(module, statement);
        }
    }

    fn statement(&mut self, module: &Module<'s>, statement: &Statement<'s>) {
        self.attributes(module, &statement.attributes, &statement.span);
        match &statement.kind {
            StatementKind::Block(block) => self.block(module, block),
            StatementKind::If { then, otherwise, .. } => {
                self.block(module, then);
                if let Some(otherwise) = otherwise {
                    self.statement(module, otherwise);
                }
            }
            StatementKind::Switch { body_attributes, cases, .. } => {
                self.attributes(module, body_attributes, &statement.span);
                for case in cases {
                    self.block(module, &case.body);
                }
            }
            StatementKind::Loop { body, continuing } => {
                self.block(module, body);
                if let Some(continuing) = continuing {
                    self.block(module, &continuing.block);
                }
            }
            StatementKind::For { body, .. } | StatementKind::While { body, .. } => {
                self.block(module, body);
            }
            _ => {}
        }
    }

    /// The severity of a rule at a place: that of the innermost filter, or the default one; `None`
    /// if it is off.
    pub fn severity(&self, rule: &str, at: usize, default: Severity) -> Option<Severity> {
        let covering =
            self.found.iter().filter(|(bytes, name, _)| *name == rule && bytes.contains(&at));
        // The shortest is the innermost; of equal ones the last.
        let innermost = covering.rev().min_by_key(|(bytes, ..)| bytes.end - bytes.start);
        match innermost {
            None => Some(default),
            Some((_, _, Filtered::Severity(severity))) => Some(*severity),
            Some((_, _, Filtered::Off)) => None,
        }
    }
}
