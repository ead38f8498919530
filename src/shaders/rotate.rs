//! Loops with their condition at the end.
//!
//! `for (first; condition; update) { body }` becomes
//! `{ first; if condition { loop { { body } update; if !condition { break; } } } }`, and `while`
//! the same. llvmpipe runs a loop until no lane is left and never jumps out of its middle: with the
//! condition in front, the body runs once more than it counts, for no lane. GPU drivers rotate
//! loops themselves. Three kinds of loops stay as they are: marked ones, which are unrolled; those
//! whose body has a `continue`, which would skip the update; and those whose body needs uniform
//! control flow, which naga does not see behind the `if`.

use wesl::syntax::{
    BreakStatement, CompoundStatement, Expression, ExpressionNode, GlobalDeclaration, IfClause,
    IfStatement, LoopStatement, ParenthesizedExpression, Statement, StatementNode, TranslationUnit,
    UnaryExpression, UnaryOperator,
};

use super::unroll;

/// Moves the conditions of all loops of all functions in `unit`.
pub(super) fn rotate(unit: &mut TranslationUnit) {
    for declaration in &mut unit.global_declarations {
        if let GlobalDeclaration::Function(function) = declaration.node_mut() {
            rotate_block(&mut function.body);
        }
    }
}

fn rotate_block(block: &mut CompoundStatement) {
    for statement in &mut block.statements {
        for inner in blocks_of(statement.node_mut()) {
            rotate_block(inner);
        }
        if let Some(rotated) = rotated(statement.node()) {
            *statement.node_mut() = rotated;
        }
    }
}

/// The loop with its condition at the end; nothing for other statements.
fn rotated(statement: &Statement) -> Option<Statement> {
    let (first, condition, update, body) = match statement {
        Statement::For(own) if own.attributes.is_empty() => {
            (own.initializer.clone(), own.condition.as_ref()?, own.update.clone(), &own.body)
        }
        Statement::While(own) => (None, &own.condition, None, &own.body),
        _ => return None,
    };
    if unroll::is_continued(body) || is_collective(body) {
        return None;
    }
    let negated = Expression::Unary(UnaryExpression {
        operator: UnaryOperator::LogicalNegation,
        operand: Expression::Parenthesized(ParenthesizedExpression {
            expression: condition.clone(),
        })
        .into(),
    });
    let end = Statement::Break(BreakStatement { attributes: Vec::new() });
    let round = [Statement::Compound(body.clone()).into()]
        .into_iter()
        .chain(update)
        .chain([if_true(negated.into(), end)]);
    let rounds = Statement::Loop(LoopStatement {
        attributes: Vec::new(),
        body: block(round.collect()),
        continuing: None,
    });
    let whole = first.into_iter().chain([if_true(condition.clone(), rounds)]);
    Some(Statement::Compound(block(whole.collect())))
}

/// Whether invocations act together in the loop with `body`, so that all must take it.
fn is_collective(body: &CompoundStatement) -> bool {
    const CALLS: [&str; 3] = ["Barrier(", "workgroupUniformLoad(", "coop"];
    let text = body.to_string();
    CALLS.iter().any(|call| text.contains(call))
}

/// The blocks directly in `statement`.
fn blocks_of(statement: &mut Statement) -> Vec<&mut CompoundStatement> {
    match statement {
        Statement::Compound(inner) => vec![inner],
        Statement::For(own) => vec![&mut own.body],
        Statement::While(own) => vec![&mut own.body],
        Statement::Loop(own) => vec![&mut own.body],
        Statement::If(branch) => [&mut branch.if_clause.body]
            .into_iter()
            .chain(branch.else_if_clauses.iter_mut().map(|clause| &mut clause.body))
            .chain(branch.else_clause.iter_mut().map(|clause| &mut clause.body))
            .collect(),
        Statement::Switch(switch) => {
            switch.clauses.iter_mut().map(|clause| &mut clause.body).collect()
        }
        _ => Vec::new(),
    }
}

fn if_true(expression: ExpressionNode, statement: Statement) -> StatementNode {
    let if_clause = IfClause { expression, body: block(vec![statement.into()]) };
    let (else_if_clauses, else_clause) = (Vec::new(), None);
    let attributes = Vec::new();
    Statement::If(IfStatement { attributes, if_clause, else_if_clauses, else_clause }).into()
}

fn block(statements: Vec<StatementNode>) -> CompoundStatement {
    CompoundStatement { attributes: Vec::new(), statements }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(source: &str) -> String {
        let mut unit: TranslationUnit = source.parse().unwrap();
        rotate(&mut unit);
        let text = unit.to_string();
        let module = naga::front::wgsl::parse_str(&text).unwrap();
        let mut validator = naga::valid::Validator::new(
            naga::valid::ValidationFlags::all(),
            naga::valid::Capabilities::empty(),
        );
        validator.validate(&module).unwrap();
        text
    }

    #[test]
    fn conditions_come_last() {
        // The body declares again what the condition names.
        let text = after(
            "fn f(n: u32) -> u32 { var s = 0u; for (var i = 0u; i < n || s == 1u; i += 2u) { \
             let n = i; for (; s < n;) { s++; if s == 7u { break; } } } \
             if n > 1u { while (s > 4u) { s--; } } else { loop { s++; if s > 9u { break; } } } \
             return s; }",
        );
        assert!(!text.contains("for") && !text.contains("while"), "{text}");
        for condition in ["i < n || s == 1u", "s < n", "s > 4u"] {
            assert_eq!(text.matches(condition).count(), 2, "{text}");
        }
        assert_eq!(text.matches("!(").count(), 3, "{text}");
        assert_eq!(text.matches("loop").count(), 4, "{text}");
    }

    #[test]
    fn loops_that_continue_stay() {
        let text = after(
            "fn f(n: u32) -> u32 { var s = 0u; for (var i = 0u; i < n; i++) { \
             if s == i { s += 2u; } else { switch n { case 3u: { continue; } default: {} } } } \
             for (var i = 0u; i < n; i++) { for (var j = 0u; j < n; j++) { \
             if j == s { continue; } s++; } } \
             for (;;) { if s > 9u { break; } s++; } \
             for (var i = 0u; i < 3u; i++) { workgroupBarrier(); s++; } return s; }",
        );
        assert_eq!(text.matches("for").count(), 4, "{text}");
        assert_eq!(text.matches("loop").count(), 1, "{text}");
    }
}
