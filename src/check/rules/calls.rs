//! The order of functions in which each comes behind those that it calls.

use crate::check::{
    semantics::{FunctionId, Meaning, Program},
    syntax::tree::{DeclarationKind, ExprKind, Module},
};

/// Which functions each function calls.
pub struct Calls {
    /// By the caller, without repetitions.
    pub callees: Vec<Vec<FunctionId>>,
    /// Every function behind those that it calls; one in a circle anywhere.
    pub order: Vec<FunctionId>,
    /// Functions that are part of a circle or call one.
    pub circular: Vec<bool>,
}

impl Calls {
    /// The calls of a program.
    pub fn of(program: &Program<'_, '_>) -> Self {
        let owner = owners(program.module, program);
        let mut callees = vec![Vec::new(); program.functions.len()];
        for (id, expression) in program.module.expressions.iter().enumerate() {
            if let (ExprKind::Call { .. }, Meaning::Function(callee)) =
                (&expression.kind, program.meanings[id])
                && let Some(caller) = owner.find(expression.span.start)
            {
                let found: &mut Vec<FunctionId> = &mut callees[caller];
                found.push(callee);
            }
        }
        for found in &mut callees {
            found.sort_unstable();
            found.dedup();
        }
        let (order, circular) = ordered(&callees);
        Calls { callees, order, circular }
    }
}

/// Functions by the bytes of their declarations.
pub struct Owners(Vec<(usize, usize, FunctionId)>);

impl Owners {
    /// The function that contains a byte.
    pub fn find(&self, at: usize) -> Option<FunctionId> {
        let index = self.0.partition_point(|(start, ..)| *start <= at).checked_sub(1)?;
        let (_, end, id) = self.0[index];
        (at < end).then_some(id)
    }
}

/// Which function contains which bytes.
pub fn owners(module: &Module<'_>, program: &Program<'_, '_>) -> Owners {
    let spans = program.functions.iter().enumerate().filter_map(|(id, function)| {
        let declaration = &module.declarations[function.declaration];
        matches!(declaration.kind, DeclarationKind::Function(_)).then_some((
            declaration.span.start,
            declaration.span.end,
            id,
        ))
    });
    Owners(spans.collect())
}

fn ordered(callees: &[Vec<FunctionId>]) -> (Vec<FunctionId>, Vec<bool>) {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; callees.len()];
    let mut circular = vec![false; callees.len()];
    let mut order = Vec::with_capacity(callees.len());
    for root in 0..callees.len() {
        let mut stack = vec![(root, 0)];
        while let Some((id, next)) = stack.pop() {
            if next == 0 {
                if marks[id] != Mark::New {
                    continue;
                }
                marks[id] = Mark::Open;
            }
            match callees[id].get(next) {
                Some(callee) => {
                    stack.push((id, next + 1));
                    match marks[*callee] {
                        Mark::New => stack.push((*callee, 0)),
                        Mark::Open => circular[id] = true,
                        Mark::Done => circular[id] |= circular[*callee],
                    }
                }
                None => {
                    marks[id] = Mark::Done;
                    circular[id] |= callees[id].iter().any(|callee| circular[*callee]);
                    order.push(id);
                }
            }
        }
    }
    (order, circular)
}
