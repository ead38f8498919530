//! The syntax tree of WGSL. Expressions lie in one list and are named by their numbers, so that
//! analyses keep what they find in lists of the same length. Types are expressions, as in the
//! grammar.

use std::ops::Range;

/// Bytes of the source.
pub type Bytes = Range<usize>;

/// The number of an expression in [`Module::expressions`].
pub type ExprId = u32;

/// A name and its bytes.
#[derive(Clone, Debug)]
pub struct Ident<'s> {
    pub name: &'s str,
    pub span: Bytes,
}

/// A file.
#[derive(Debug, Default)]
pub struct Module<'s> {
    pub directives: Vec<Directive<'s>>,
    pub declarations: Vec<Declaration<'s>>,
    pub expressions: Vec<Expr<'s>>,
    /// Operators that the grammar does not mix without parentheses: where, and which two.
    pub mixed_operators: Vec<(Bytes, BinaryOp, BinaryOp)>,
}

impl<'s> Module<'s> {
    pub fn expr(&self, id: ExprId) -> &Expr<'s> {
        &self.expressions[id as usize]
    }

    /// The expression inside any parentheses.
    pub fn inner(&self, mut id: ExprId) -> ExprId {
        while let ExprKind::Paren(inner) = self.expr(id).kind {
            id = inner;
        }
        id
    }
}

/// `enable`, `requires` or `diagnostic`.
#[derive(Debug)]
pub struct Directive<'s> {
    pub kind: DirectiveKind<'s>,
    pub span: Bytes,
    /// Whether a declaration stands before it.
    pub late: bool,
}

#[derive(Debug)]
pub enum DirectiveKind<'s> {
    Enable(Vec<Ident<'s>>),
    Requires(Vec<Ident<'s>>),
    Diagnostic(Filter<'s>),
}

/// The severity and the rule of a diagnostic filter.
#[derive(Clone, Debug)]
pub struct Filter<'s> {
    pub severity: Ident<'s>,
    /// The rule's name, with the part before a dot.
    pub rule: (&'s str, Bytes),
}

#[derive(Debug)]
pub struct Attribute<'s> {
    pub name: Ident<'s>,
    /// The arguments in parentheses; `None` without parentheses.
    pub arguments: Option<Vec<ExprId>>,
    pub span: Bytes,
}

#[derive(Debug)]
pub struct Declaration<'s> {
    pub attributes: Vec<Attribute<'s>>,
    pub kind: DeclarationKind<'s>,
    pub span: Bytes,
}

#[derive(Debug)]
pub enum DeclarationKind<'s> {
    Variable(Variable<'s>),
    Alias { name: Ident<'s>, ty: ExprId },
    Struct { name: Ident<'s>, members: Vec<Member<'s>> },
    Function(Function<'s>),
    ConstAssert(ExprId),
}

impl<'s> Declaration<'s> {
    pub fn name(&self) -> Option<&Ident<'s>> {
        match &self.kind {
            DeclarationKind::Variable(variable) => Some(&variable.name),
            DeclarationKind::Alias { name, .. } | DeclarationKind::Struct { name, .. } => {
                Some(name)
            }
            DeclarationKind::Function(function) => Some(&function.name),
            DeclarationKind::ConstAssert(_) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableKind {
    Const,
    Override,
    Let,
    Var,
}

#[derive(Debug)]
pub struct Variable<'s> {
    pub kind: VariableKind,
    pub name: Ident<'s>,
    /// Address space and access mode of a `var`.
    pub template: Vec<ExprId>,
    pub ty: Option<ExprId>,
    pub value: Option<ExprId>,
}

#[derive(Debug)]
pub struct Member<'s> {
    pub attributes: Vec<Attribute<'s>>,
    pub name: Ident<'s>,
    pub ty: ExprId,
}

#[derive(Debug)]
pub struct Function<'s> {
    pub name: Ident<'s>,
    pub parameters: Vec<Member<'s>>,
    pub result_attributes: Vec<Attribute<'s>>,
    pub result: Option<ExprId>,
    pub body: Block<'s>,
}

#[derive(Debug)]
pub struct Block<'s> {
    pub attributes: Vec<Attribute<'s>>,
    pub statements: Vec<Statement<'s>>,
    pub span: Bytes,
}

#[derive(Debug)]
pub struct Statement<'s> {
    pub attributes: Vec<Attribute<'s>>,
    pub kind: StatementKind<'s>,
    pub span: Bytes,
}

#[derive(Debug)]
pub enum StatementKind<'s> {
    Block(Block<'s>),
    If {
        condition: ExprId,
        then: Block<'s>,
        /// A block or another `if`.
        otherwise: Option<Box<Statement<'s>>>,
    },
    Switch {
        selector: ExprId,
        body_attributes: Vec<Attribute<'s>>,
        cases: Vec<Case<'s>>,
    },
    Loop {
        body: Block<'s>,
        continuing: Option<Continuing<'s>>,
    },
    For {
        initializer: Option<Box<Statement<'s>>>,
        condition: Option<ExprId>,
        update: Option<Box<Statement<'s>>>,
        body: Block<'s>,
    },
    While {
        condition: ExprId,
        body: Block<'s>,
    },
    Break,
    Continue,
    Return(Option<ExprId>),
    Discard,
    Call(ExprId),
    Assign {
        /// `None` for `_`.
        target: Option<ExprId>,
        /// The operator of a compound assignment.
        operator: Option<BinaryOp>,
        value: ExprId,
    },
    Step {
        target: ExprId,
    },
    ConstAssert(ExprId),
    Variable(Variable<'s>),
}

#[derive(Debug)]
pub struct Continuing<'s> {
    pub block: Block<'s>,
    pub break_if: Option<ExprId>,
    /// The expressions inside it.
    pub expressions: Range<ExprId>,
}

#[derive(Debug)]
pub struct Case<'s> {
    /// Selectors; `None` is `default`.
    pub selectors: Vec<Option<ExprId>>,
    pub body: Block<'s>,
}

#[derive(Debug)]
pub struct Expr<'s> {
    pub kind: ExprKind<'s>,
    pub span: Bytes,
}

#[derive(Debug)]
pub enum ExprKind<'s> {
    Literal(Literal),
    /// A value, a type, a function or an enumerant, with the arguments of its template.
    Name(Ident<'s>, Vec<ExprId>),
    Call {
        callee: Ident<'s>,
        template: Vec<ExprId>,
        arguments: Vec<ExprId>,
    },
    Index(ExprId, ExprId),
    Member(ExprId, Ident<'s>),
    Unary(UnaryOp, ExprId),
    Binary(BinaryOp, ExprId, ExprId),
    Paren(ExprId),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal {
    Bool(bool),
    /// A whole number and its suffix.
    Int(i128, &'static str),
    /// A float and its suffix.
    Float(f64, &'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    Negate,
    Not,
    Complement,
    Dereference,
    AddressOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    LogicalAnd,
    LogicalOr,
}

impl BinaryOp {
    /// The operator's text.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Modulo => "%",
            BinaryOp::And => "&",
            BinaryOp::Or => "|",
            BinaryOp::Xor => "^",
            BinaryOp::ShiftLeft => "<<",
            BinaryOp::ShiftRight => ">>",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Less => "<",
            BinaryOp::LessEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterEqual => ">=",
            BinaryOp::LogicalAnd => "&&",
            BinaryOp::LogicalOr => "||",
        }
    }

    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Less
                | BinaryOp::LessEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterEqual
        )
    }

    pub fn is_shift(self) -> bool {
        matches!(self, BinaryOp::ShiftLeft | BinaryOp::ShiftRight)
    }

    pub fn is_arithmetic(self) -> bool {
        self.strength() >= BinaryOp::Add.strength()
    }

    pub fn is_logical(self) -> bool {
        matches!(self, BinaryOp::LogicalAnd | BinaryOp::LogicalOr)
    }

    /// How tightly it binds.
    pub fn strength(self) -> u8 {
        match self {
            BinaryOp::LogicalOr => 1,
            BinaryOp::LogicalAnd => 2,
            BinaryOp::Or => 3,
            BinaryOp::Xor => 4,
            BinaryOp::And => 5,
            _ if self.is_comparison() => 6,
            BinaryOp::ShiftLeft | BinaryOp::ShiftRight => 7,
            BinaryOp::Add | BinaryOp::Subtract => 8,
            _ => 9,
        }
    }

    /// Whether the grammar lets `self` have an operand that is an expression of `inner` without
    /// parentheses; `left` for the left operand.
    pub fn takes(self, inner: BinaryOp, left: bool) -> bool {
        if self.is_arithmetic() {
            return inner.strength() > self.strength()
                || (left && inner.strength() == self.strength());
        }
        if self.is_shift() {
            return false;
        }
        if self.is_comparison() {
            return inner.is_arithmetic() || inner.is_shift();
        }
        let same = left && inner == self;
        if self.is_logical() {
            return same || inner.is_arithmetic() || inner.is_shift() || inner.is_comparison();
        }
        same
    }
}
