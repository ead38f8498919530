//! Behaviour analysis: WGSL, "Behavior Analysis". Loops must have an exit, and `continue` must not
//! pass a declaration that `continuing` uses.

use crate::check::{
    diagnostic::Diagnostic,
    semantics::{Program, Stage},
    syntax::tree::{Block, Bytes, Continuing, Statement, StatementKind},
};

const NEXT: u8 = 1;
const BREAK: u8 = 2;
const CONTINUE: u8 = 4;
const RETURN: u8 = 8;

/// The findings of a program.
pub fn check(program: &Program<'_, '_>) -> Vec<Diagnostic> {
    let mut check = Check { program, returns: false, found: Vec::new() };
    for function in &program.functions {
        let returns = function.syntax.result.is_some();
        check.returns = returns;
        let behaviour = check.statements(&function.syntax.body.statements);
        if returns && behaviour & NEXT != 0 && function.stage != Some(Stage::Other) {
            let name = function.syntax.name.name;
            let end = function.syntax.body.span.end;
            let message = format!("{name} can end without a return");
            check.report("missing-return", end.saturating_sub(1)..end, message);
        }
    }
    check.found
}

struct Check<'a, 'm, 's> {
    program: &'a Program<'m, 's>,
    /// Whether the function has a result.
    returns: bool,
    found: Vec<Diagnostic>,
}

impl<'s> Check<'_, '_, 's> {
    fn report(&mut self, rule: &'static str, span: Bytes, message: String) {
        self.found.push(Diagnostic::error(rule, message).at(Some(span)));
    }

    fn statements(&mut self, statements: &[Statement<'s>]) -> u8 {
        let mut behaviour = NEXT;
        let mut dead = false;
        for statement in statements {
            let of_one = self.statement(statement);
            if dead {
                // What is never reached adds nothing.
                continue;
            }
            behaviour = (behaviour & !NEXT) | of_one;
            dead = behaviour & NEXT == 0;
        }
        behaviour
    }

    fn statement(&mut self, statement: &Statement<'s>) -> u8 {
        match &statement.kind {
            StatementKind::Block(block) => self.statements(&block.statements),
            StatementKind::If { then, otherwise, .. } => {
                let then = self.statements(&then.statements);
                let other = otherwise.as_ref().map_or(NEXT, |other| self.statement(other));
                then | other
            }
            StatementKind::Switch { cases, .. } => {
                let mut behaviour = 0;
                for case in cases {
                    behaviour |= self.statements(&case.body.statements);
                }
                if behaviour & BREAK != 0 { (behaviour & !BREAK) | NEXT } else { behaviour }
            }
            StatementKind::Loop { body, continuing } => {
                let mut behaviour = self.statements(&body.statements);
                if let Some(continuing) = continuing {
                    behaviour |= self.statements(&continuing.block.statements);
                    if continuing.break_if.is_some() {
                        behaviour |= BREAK;
                    }
                    self.passed_declarations(body, continuing);
                }
                self.leave(statement.span.clone(), behaviour)
            }
            StatementKind::For { condition, body, .. } => {
                let mut behaviour = self.statements(&body.statements);
                if condition.is_some() {
                    behaviour |= BREAK;
                }
                self.leave(statement.span.clone(), behaviour)
            }
            StatementKind::While { body, .. } => {
                let behaviour = self.statements(&body.statements) | BREAK;
                self.leave(statement.span.clone(), behaviour)
            }
            StatementKind::Break => BREAK,
            StatementKind::Continue => CONTINUE,
            StatementKind::Return(value) => {
                if value.is_none() && self.returns {
                    let message = "this return has no value, and the function has a result";
                    self.report("missing-return", statement.span.clone(), message.to_owned());
                }
                RETURN
            }
            _ => NEXT,
        }
    }

    fn leave(&mut self, span: Bytes, behaviour: u8) -> u8 {
        if behaviour & (BREAK | RETURN) == 0 {
            let start = span.start..(span.start + 4).min(span.end);
            let message = "this loop has no exit: no break and no return".to_owned();
            self.report("infinite-loop", start, message);
            return NEXT;
        }
        if behaviour & BREAK != 0 {
            (behaviour & !(BREAK | CONTINUE)) | NEXT
        } else {
            behaviour & !(CONTINUE | NEXT)
        }
    }

    /// A `continue` in front of a declaration that `continuing` uses.
    fn passed_declarations(&mut self, body: &Block<'s>, continuing: &Continuing<'s>) {
        let Some(first) = body.statements.iter().position(|one| continues(one)) else { return };
        let passed = body.statements[first + 1..].iter().filter_map(|one| match &one.kind {
            StatementKind::Variable(variable) => {
                self.program.declared.get(&variable.name.span.start).copied()
            }
            _ => None,
        });
        let passed: std::collections::HashSet<_> = passed.collect();
        if passed.is_empty() {
            return;
        }
        let used = continuing.expressions.clone().find_map(|id| {
            let variable = self.program.variable_of(id)?;
            passed.contains(&variable).then_some((id, variable))
        });
        if let Some((id, variable)) = used {
            let name = self.program.variables[variable].name;
            let message =
                format!("a continue passes the declaration of {name}, which continuing uses here");
            let span = self.program.span(id);
            self.report("continue-past-declaration", span, message);
        }
    }
}

/// Whether the statement contains a `continue` of the loop around it.
fn continues(statement: &Statement<'_>) -> bool {
    match &statement.kind {
        StatementKind::Continue => true,
        StatementKind::Block(block) => block.statements.iter().any(continues),
        StatementKind::If { then, otherwise, .. } => {
            then.statements.iter().any(continues)
                || otherwise.as_ref().is_some_and(|other| continues(other))
        }
        StatementKind::Switch { cases, .. } => {
            cases.iter().any(|case| case.body.statements.iter().any(continues))
        }
        _ => false,
    }
}
