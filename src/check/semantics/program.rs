//! What the names and expressions of a file mean.

use super::types::{Access, Number, Scalar, Space, Type, Value};
use crate::check::{
    diagnostic::Diagnostic,
    syntax::tree::{Bytes, DeclarationKind, ExprId, Function, Member, Module},
};

/// The number of a variable in [`Program::variables`].
pub type VariableId = usize;
/// The number of a function in [`Program::functions`].
pub type FunctionId = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Known when a module is made.
    Const,
    /// Known when a pipeline is made.
    Override,
    /// Known when a shader runs.
    Runtime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Const,
    Override,
    Let,
    Var,
    Parameter,
}

/// A variable, constant or parameter.
#[derive(Clone, Debug)]
pub struct Variable<'s> {
    pub name: &'s str,
    pub span: Bytes,
    pub kind: Kind,
    pub space: Space,
    pub access: Access,
    pub ty: Type<'s>,
    pub value: Option<Value>,
    /// The function that declares it; `None` at module scope.
    pub function: Option<FunctionId>,
    /// What the pointer in a `let` points into.
    pub root: Option<VariableId>,
    /// The declaration, if it is at module scope.
    pub declaration: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Vertex,
    Fragment,
    Compute,
    /// A stage of naga's extensions.
    Other,
}

/// A function of the file.
#[derive(Clone, Debug)]
pub struct FunctionInfo<'m, 's> {
    pub syntax: &'m Function<'s>,
    pub declaration: usize,
    pub parameters: Vec<VariableId>,
    pub result: Type<'s>,
    pub stage: Option<Stage>,
}

/// A structure of the file.
#[derive(Clone, Debug)]
pub struct StructInfo<'s> {
    pub name: &'s str,
    pub declaration: usize,
    pub members: Vec<(&'s str, Type<'s>)>,
    /// The number of numbers in a value, if it is known and not too large.
    pub lanes: Option<usize>,
    /// Whether it contains an atomic.
    pub atomic: bool,
    /// Whether it contains a bool.
    pub bool: bool,
    /// Whether it contains an array.
    pub array: bool,
}

/// What an expression refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    None,
    Variable(VariableId),
    /// A call of a function of the file.
    Function(FunctionId),
    /// A type, or the construction of a value of one.
    Type,
    /// A call of a function of the language.
    Builtin,
}

/// The meaning of a file. Lists of expressions are indexed by their numbers.
#[derive(Debug)]
pub struct Program<'m, 's> {
    pub module: &'m Module<'s>,
    pub types: Vec<Type<'s>>,
    pub values: Vec<Option<Value>>,
    pub phases: Vec<Phase>,
    pub meanings: Vec<Meaning>,
    /// What a pointer or a reference points into.
    pub roots: Vec<Option<VariableId>>,
    pub variables: Vec<Variable<'s>>,
    pub functions: Vec<FunctionInfo<'m, 's>>,
    pub structs: Vec<StructInfo<'s>>,
    /// Variables by where their names begin.
    pub declared: std::collections::HashMap<usize, VariableId>,
    pub diagnostics: Vec<Diagnostic>,
}

impl<'m, 's> Program<'m, 's> {
    /// The members of a structure as they are written.
    pub fn written_members(&self, info: &StructInfo<'_>) -> &'m [Member<'s>] {
        match &self.module.declarations[info.declaration].kind {
            DeclarationKind::Struct { members, .. } => members,
            _ => &[],
        }
    }

    /// The variable that an expression names.
    pub fn variable_of(&self, id: ExprId) -> Option<VariableId> {
        match self.meaning(id) {
            Meaning::Variable(variable) => Some(variable),
            _ => None,
        }
    }

    /// Whether a type is or contains an atomic.
    pub fn has_atomic(&self, ty: &Type<'_>) -> bool {
        match ty {
            Type::Atomic(_) => true,
            Type::Array(element, _) => self.has_atomic(element),
            Type::Struct(id) => self.structs[*id].atomic,
            _ => false,
        }
    }

    /// Whether a type is or contains a bool.
    pub fn has_bool(&self, ty: &Type<'_>) -> bool {
        match ty {
            Type::Array(element, _) => self.has_bool(element),
            Type::Struct(id) => self.structs[*id].bool,
            other => other.scalar() == Some(Scalar::Bool),
        }
    }

    /// Whether a type is or contains an array.
    pub fn has_array(&self, ty: &Type<'_>) -> bool {
        match ty {
            Type::Array(..) => true,
            Type::Struct(id) => self.structs[*id].array,
            _ => false,
        }
    }

    pub fn ty(&self, id: ExprId) -> &Type<'s> {
        &self.types[id as usize]
    }

    pub fn phase(&self, id: ExprId) -> Phase {
        self.phases[id as usize]
    }

    pub fn value(&self, id: ExprId) -> Option<&Value> {
        self.values[id as usize].as_ref()
    }

    pub fn meaning(&self, id: ExprId) -> Meaning {
        self.meanings[id as usize]
    }

    pub fn root(&self, id: ExprId) -> Option<VariableId> {
        self.roots[id as usize]
    }

    pub fn span(&self, id: ExprId) -> Bytes {
        self.module.expr(id).span.clone()
    }

    /// A whole number that is a constant.
    pub fn integer(&self, id: ExprId) -> Option<i128> {
        match self.value(id)?.first()? {
            Number::Int(value) => Some(*value),
            _ => None,
        }
    }
}
