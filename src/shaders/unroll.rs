//! Register tiles: unrolls loops marked `@unroll` in the syntax tree, so that arrays indexed by the
//! loop variable can stay in registers.
//!
//! `@unroll for (var i = 0u; i < TILE; i++) { … }` becomes one block per value, each starting with
//! `const i = 0u;`. Bounds are integers, module constants, and sums, differences, products,
//! quotients and remainders of them. Drivers do not do this reliably: some keep the array in memory
//! if the loop is long.
//!
//! `@unroll(N) for (…) { … }`, over any range, does up to N rounds an iteration, each behind the
//! loop's condition: llvmpipe ends all loops of an invocation after 65,535 iterations together
//! ([`crate::gpu::Device::most_iterations`]).
//!
//! What a marked loop becomes cannot be continued, and blocks cannot be left: [`lost_jump`] finds
//! what would mean another loop.

use std::collections::HashMap;

use wesl::syntax::{
    AssignmentOperator, Attribute, BinaryOperator, CompoundStatement, Declaration, DeclarationKind,
    Expression, ExpressionNode, ForStatement, GlobalDeclaration, Ident, IfClause, IfStatement,
    LiteralExpression, Statement, StatementNode, TranslationUnit,
};

/// A kernel with more statements than this has a wrong tile size.
const STATEMENT_LIMIT: usize = 200_000;

/// Unrolls every marked loop of every function in `unit`.
pub(super) fn unroll(unit: &mut TranslationUnit) -> Result<(), String> {
    let constants = module_constants(unit);
    let mut budget = STATEMENT_LIMIT;
    for declaration in &mut unit.global_declarations {
        if let GlobalDeclaration::Function(function) = declaration.node_mut() {
            function.body = unroll_block(&function.body, &constants, &mut budget)?;
        }
    }
    Ok(())
}

/// A jump that a marked loop would lose: its place in the module's text and its word.
pub(super) struct LostJump {
    pub at: usize,
    pub word: &'static str,
}

/// The first `continue` of a marked loop, or `break` of one that becomes blocks. Those of loops and
/// `switch` statements nested in it are their own.
pub(super) fn lost_jump(unit: &TranslationUnit) -> Option<LostJump> {
    unit.global_declarations.iter().find_map(|declaration| match declaration.node() {
        GlobalDeclaration::Function(function) => lost_in(&function.body, Jumps::default()),
        _ => None,
    })
}

/// Whether an iteration of the loop with `body` may end early by a `continue`.
pub(super) fn is_continued(body: &CompoundStatement) -> bool {
    lost_in(body, Jumps { continues: true, breaks: false }).is_some()
}

/// The jumps that are lost at a place of a function.
#[derive(Clone, Copy, Default)]
struct Jumps {
    continues: bool,
    breaks: bool,
}

fn lost_in(block: &CompoundStatement, lost: Jumps) -> Option<LostJump> {
    let own = Jumps::default();
    block.statements.iter().find_map(|statement| {
        let at = statement.span().start;
        match statement.node() {
            Statement::Continue(_) => lost.continues.then_some(LostJump { at, word: "continue" }),
            Statement::Break(_) => lost.breaks.then_some(LostJump { at, word: "break" }),
            Statement::For(body) => {
                let inside = match mark(body) {
                    None => own,
                    Some(rounds) => Jumps { continues: true, breaks: rounds.is_empty() },
                };
                lost_in(&body.body, inside)
            }
            Statement::While(body) => lost_in(&body.body, own),
            Statement::Loop(body) => lost_in(&body.body, own),
            Statement::Compound(body) => lost_in(body, lost),
            Statement::If(branch) => lost_in(&branch.if_clause.body, lost)
                .or_else(|| branch.else_if_clauses.iter().find_map(|one| lost_in(&one.body, lost)))
                .or_else(|| lost_in(&branch.else_clause.as_ref()?.body, lost)),
            Statement::Switch(switch) => {
                let inside = Jumps { breaks: false, ..lost };
                switch.clauses.iter().find_map(|one| lost_in(&one.body, inside))
            }
            _ => None,
        }
    })
}

/// Integer constants of the module by name; they may be declared in any order.
fn module_constants(unit: &TranslationUnit) -> HashMap<String, i64> {
    let mut constants = HashMap::new();
    loop {
        let known = constants.len();
        for declaration in &unit.global_declarations {
            if let GlobalDeclaration::Declaration(declaration) = declaration.node()
                && declaration.kind.is_const()
                && let Some(value) = declaration
                    .initializer
                    .as_ref()
                    .and_then(|initializer| evaluate(initializer.node(), &constants))
            {
                constants.insert(declaration.ident.to_string(), value);
            }
        }
        if constants.len() == known {
            return constants;
        }
    }
}

fn evaluate(expression: &Expression, constants: &HashMap<String, i64>) -> Option<i64> {
    match expression {
        Expression::Literal(LiteralExpression::AbstractInt(value)) => Some(*value),
        Expression::Literal(LiteralExpression::U32(value)) => Some(i64::from(*value)),
        Expression::Literal(LiteralExpression::I32(value)) => Some(i64::from(*value)),
        Expression::TypeOrIdentifier(name) => constants.get(&name.ident.to_string()).copied(),
        Expression::Parenthesized(inner) => evaluate(inner.expression.node(), constants),
        Expression::Binary(binary) => {
            let (left, right) = (
                evaluate(binary.left.node(), constants)?,
                evaluate(binary.right.node(), constants)?,
            );
            match binary.operator {
                BinaryOperator::Addition => left.checked_add(right),
                BinaryOperator::Subtraction => left.checked_sub(right),
                BinaryOperator::Multiplication => left.checked_mul(right),
                BinaryOperator::Division => left.checked_div(right),
                BinaryOperator::Remainder => left.checked_rem(right),
                _ => None,
            }
        }
        _ => None,
    }
}

fn unroll_block(
    block: &CompoundStatement,
    constants: &HashMap<String, i64>,
    budget: &mut usize,
) -> Result<CompoundStatement, String> {
    let mut statements = Vec::with_capacity(block.statements.len());
    for statement in &block.statements {
        unroll_statement(statement, constants, budget, &mut statements)?;
    }
    Ok(CompoundStatement { attributes: block.attributes.clone(), statements })
}

fn unroll_statement(
    statement: &StatementNode,
    constants: &HashMap<String, i64>,
    budget: &mut usize,
    output: &mut Vec<StatementNode>,
) -> Result<(), String> {
    *budget = budget.checked_sub(1).ok_or("the unrolled kernel is too long: lower a tile size")?;
    let mut copy = statement.clone();
    match copy.node_mut() {
        Statement::For(body) => match mark(body) {
            None => body.body = unroll_block(&body.body, constants, budget)?,
            Some([]) => return unroll_loop(body, constants, budget, output),
            Some(rounds) => *body = in_rounds(body, rounds, constants, budget)?,
        },
        Statement::While(body) => body.body = unroll_block(&body.body, constants, budget)?,
        Statement::Loop(body) => body.body = unroll_block(&body.body, constants, budget)?,
        Statement::Compound(body) => *body = unroll_block(body, constants, budget)?,
        Statement::If(branch) => {
            branch.if_clause.body = unroll_block(&branch.if_clause.body, constants, budget)?;
            for clause in &mut branch.else_if_clauses {
                clause.body = unroll_block(&clause.body, constants, budget)?;
            }
            if let Some(clause) = &mut branch.else_clause {
                clause.body = unroll_block(&clause.body, constants, budget)?;
            }
        }
        _ => {}
    }
    output.push(copy);
    Ok(())
}

/// The arguments of the mark of a loop that has one.
fn mark(statement: &ForStatement) -> Option<&[ExpressionNode]> {
    statement.attributes.iter().find_map(|attribute| match attribute.node() {
        Attribute::Custom(custom) if custom.name == "unroll" => {
            Some(custom.arguments.as_deref().unwrap_or_default())
        }
        _ => None,
    })
}

/// The loop with as many rounds an iteration as the mark's only argument says.
fn in_rounds(
    statement: &ForStatement,
    arguments: &[ExpressionNode],
    constants: &HashMap<String, i64>,
    budget: &mut usize,
) -> Result<ForStatement, String> {
    let rounds = match arguments {
        [only] => evaluate(only.node(), constants).filter(|rounds| (1..=64).contains(rounds)),
        _ => None,
    };
    let (Some(rounds), Some(condition), Some(update)) =
        (rounds, &statement.condition, &statement.update)
    else {
        return Err("an @unroll(N) loop has N of 1 to 64, a condition and an update".into());
    };
    let mut statements = Vec::new();
    for _ in 0..rounds {
        let mut body = unroll_block(&statement.body, constants, budget)?;
        body.statements.push(update.clone());
        let if_clause = IfClause { expression: condition.clone(), body };
        let round = IfStatement {
            attributes: Vec::new(),
            if_clause,
            else_if_clauses: Vec::new(),
            else_clause: None,
        };
        statements.push(Statement::If(round).into());
    }
    Ok(ForStatement {
        attributes: Vec::new(),
        initializer: statement.initializer.clone(),
        condition: Some(condition.clone()),
        update: None,
        body: CompoundStatement { attributes: Vec::new(), statements },
    })
}

/// The variable, first value, bound and step of a marked loop.
fn loop_range(
    statement: &ForStatement,
    constants: &HashMap<String, i64>,
) -> Option<(String, i64, i64, i64)> {
    let Statement::Declaration(Declaration { ident, initializer: Some(first), .. }) =
        statement.initializer.as_ref()?.node()
    else {
        return None;
    };
    let Expression::Binary(condition) = statement.condition.as_ref()?.node() else { return None };
    let names_variable = |expression: &Expression| match expression {
        Expression::TypeOrIdentifier(name) => name.ident.to_string() == ident.to_string(),
        _ => false,
    };
    if condition.operator != BinaryOperator::LessThan || !names_variable(condition.left.node()) {
        return None;
    }
    let step = match statement.update.as_ref()?.node() {
        Statement::Increment(increment) if names_variable(increment.expression.node()) => 1,
        Statement::Assignment(assignment)
            if assignment.operator == AssignmentOperator::PlusEqual
                && names_variable(assignment.lhs.node()) =>
        {
            evaluate(assignment.rhs.node(), constants)?
        }
        _ => return None,
    };
    (step > 0).then_some(())?;
    Some((
        ident.to_string(),
        evaluate(first.node(), constants)?,
        evaluate(condition.right.node(), constants)?,
        step,
    ))
}

fn unroll_loop(
    statement: &ForStatement,
    constants: &HashMap<String, i64>,
    budget: &mut usize,
    output: &mut Vec<StatementNode>,
) -> Result<(), String> {
    let (name, first, bound, step) = loop_range(statement, constants).ok_or(
        "an @unroll loop must be `for (var i = A; i < B; i++)` (or `i += C`) with A, B, C known \
         when the kernel is linked",
    )?;
    let mut value = first;
    while value < bound {
        let literal =
            u32::try_from(value).map_err(|_| format!("@unroll: {name} = {value} is not a u32"))?;
        let declaration = Declaration {
            attributes: Vec::new(),
            kind: DeclarationKind::Const,
            ident: Ident::new(name.clone()),
            ty: None,
            initializer: Some(Expression::Literal(LiteralExpression::U32(literal)).into()),
        };
        // The variable is a constant in loops nested in this one.
        let mut inner = constants.clone();
        inner.insert(name.clone(), value);
        let mut body = unroll_block(&statement.body, &inner, budget)?;
        body.statements.insert(0, Statement::Declaration(declaration).into());
        output.push(Statement::Compound(body).into());
        value += step;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unrolled(source: &str) -> Result<String, String> {
        let mut unit: TranslationUnit = source.parse().map_err(|error| format!("{error:?}"))?;
        unroll(&mut unit)?;
        Ok(unit.to_string())
    }

    #[test]
    fn nested_loops_become_blocks_and_others_stay() {
        let text = unrolled(
            r"const N = 2u;
            fn f() {
                @unroll for (var i = 0u; i < N + 1u; i++) {
                    @unroll for (var j = i; j < 3u; j += 2u) { g(i, j); }
                }
                for (var k = 0u; k < N; k++) { g(k, k); }
            }",
        )
        .unwrap();
        assert_eq!(text.matches("g(i, j)").count(), 4, "{text}");
        assert_eq!(text.matches("const i = ").count(), 3);
        assert!(text.contains("for"));
        assert!(
            naga::front::wgsl::parse_str(&format!("fn g(a: u32, b: u32) {{}}\n{text}")).is_ok()
        );
    }

    #[test]
    fn rounds_are_behind_the_condition() {
        let text = unrolled(
            "fn f(n: u32) { var s = 0u; @unroll(4) for (var i = 1u; i < n && s < 9u; i++) { \
             @unroll for (var j = 0u; j < 2u; j++) { s += g(i, j); } } }",
        )
        .unwrap();
        assert_eq!(text.matches("if").count(), 4, "{text}");
        assert_eq!(text.matches("g(i, j)").count(), 8);
        assert_eq!(text.matches("i++").count(), 4);
        let whole = format!("fn g(a: u32, b: u32) -> u32 {{ return a + b; }}\n{text}");
        assert!(naga::front::wgsl::parse_str(&whole).is_ok(), "{text}");
        for wrong in ["@unroll(0)", "@unroll(n)", "@unroll(2, 2)"] {
            let source = format!("fn f(n: u32) {{ {wrong} for (var i = 0u; i < n; i++) {{ }} }}");
            assert!(unrolled(&source).unwrap_err().contains("@unroll(N)"), "{wrong}");
        }
    }

    #[test]
    fn jumps_of_marked_loops_are_found_and_those_of_nested_ones_are_not() {
        let lost = |text: &str| {
            let unit: TranslationUnit = text.parse().map_err(|error| format!("{error:?}")).unwrap();
            lost_jump(&unit).map(|jump| &text[jump.at..jump.at + jump.word.len()] == jump.word)
        };
        let marked = |mark: &str, body: &str| {
            format!(
                "fn f(n: u32) {{\n    {mark} for (var i = 0u; i < 8u; i++) {{\n {body} }}\n}}\n"
            )
        };
        for body in [
            "if n == i { g(); continue; }",
            "if n == i { g(); } else if n == 2u { continue; } else { g(); }",
            "if n == i { g(); } else { continue; }",
            "{ { continue; } }",
            "switch n { case 1u: { continue; } default: {} }",
            "for (var j = 0u; j < n; j++) { continue; } continue;",
        ] {
            assert_eq!(lost(&marked("", body)), None, "{body}");
            assert_eq!(lost(&marked("@unroll(4)", body)), Some(true), "{body}");
            assert_eq!(lost(&marked("@unroll", body)), Some(true), "{body}");
        }
        for body in [
            "for (var j = 0u; j < n; j++) { if j == i { continue; } if j == 7u { break; } }",
            "while n > 3u { continue; }",
            "loop { if n == i { continue; } continuing { break if n > 1u; } }",
            "switch n { case 1u: { break; } default: {} }",
        ] {
            assert_eq!(lost(&marked("@unroll(4)", body)), None, "{body}");
            assert_eq!(lost(&marked("@unroll", body)), None, "{body}");
        }
        // Rounds stand in a loop, which a `break` ends as before.
        assert_eq!(lost(&marked("@unroll(4)", "if n == i { break; }")), None);
        assert_eq!(lost(&marked("@unroll", "if n == i { break; }")), Some(true));
    }

    #[test]
    fn an_unknown_bound_is_refused() {
        assert!(
            unrolled("fn f(n: u32) { @unroll for (var i = 0u; i < n; i++) { g(i); } }")
                .unwrap_err()
                .contains("@unroll")
        );
        assert!(
            unrolled(
                "const N = 9999999u; fn f() { @unroll for (var i = 0u; i < N; i++) { g(i); } }"
            )
            .unwrap_err()
            .contains("too long")
        );
    }
}
