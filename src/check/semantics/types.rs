//! Types of WGSL, and constant values.

use std::rc::Rc;

/// Scalars, abstract ones and those of naga's extensions among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    Bool,
    AbstractInt,
    AbstractFloat,
    I32,
    U32,
    F32,
    F16,
    I64,
    U64,
    F64,
}

impl Scalar {
    pub fn is_integer(self) -> bool {
        matches!(self, Scalar::AbstractInt | Scalar::I32 | Scalar::U32 | Scalar::I64 | Scalar::U64)
    }

    pub fn is_float(self) -> bool {
        matches!(self, Scalar::AbstractFloat | Scalar::F32 | Scalar::F16 | Scalar::F64)
    }

    pub fn is_abstract(self) -> bool {
        matches!(self, Scalar::AbstractInt | Scalar::AbstractFloat)
    }

    pub fn is_signed(self) -> bool {
        !matches!(self, Scalar::Bool | Scalar::U32 | Scalar::U64)
    }

    /// The width that shifts and bit fields know.
    pub fn bits(self) -> u32 {
        match self {
            Scalar::AbstractInt | Scalar::I64 | Scalar::U64 | Scalar::F64 => 64,
            Scalar::F16 => 16,
            _ => 32,
        }
    }

    /// The type that a variable of an abstract initialiser has.
    pub fn concrete(self) -> Scalar {
        match self {
            Scalar::AbstractInt => Scalar::I32,
            Scalar::AbstractFloat => Scalar::F32,
            other => other,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Scalar::Bool => "bool",
            Scalar::AbstractInt => "abstract-int",
            Scalar::AbstractFloat => "abstract-float",
            Scalar::I32 => "i32",
            Scalar::U32 => "u32",
            Scalar::F32 => "f32",
            Scalar::F16 => "f16",
            Scalar::I64 => "i64",
            Scalar::U64 => "u64",
            Scalar::F64 => "f64",
        }
    }

    pub fn of_name(name: &str) -> Option<Scalar> {
        Some(match name {
            "bool" => Scalar::Bool,
            "i32" => Scalar::I32,
            "u32" => Scalar::U32,
            "f32" => Scalar::F32,
            "f16" => Scalar::F16,
            "i64" => Scalar::I64,
            "u64" => Scalar::U64,
            "f64" => Scalar::F64,
            _ => return None,
        })
    }

    /// The type that values of both convert to by themselves.
    pub fn common(self, other: Scalar) -> Option<Scalar> {
        match (self, other) {
            _ if self == other => Some(self),
            (Scalar::AbstractInt, number) | (number, Scalar::AbstractInt)
                if number != Scalar::Bool =>
            {
                Some(number)
            }
            (Scalar::AbstractFloat, float) | (float, Scalar::AbstractFloat) if float.is_float() => {
                Some(float)
            }
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Function,
    Private,
    Workgroup,
    Uniform,
    Storage,
    Handle,
    Immediate,
    /// An address space of naga's extensions.
    Other,
}

impl Space {
    pub fn of_name(name: &str) -> Space {
        match name {
            "function" => Space::Function,
            "private" => Space::Private,
            "workgroup" => Space::Workgroup,
            "uniform" => Space::Uniform,
            "storage" => Space::Storage,
            "immediate" | "push_constant" => Space::Immediate,
            _ => Space::Other,
        }
    }

    /// The access of memory that names none.
    pub fn default_access(self) -> Access {
        match self {
            Space::Storage | Space::Uniform | Space::Handle | Space::Immediate => Access::Read,
            _ => Access::ReadWrite,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Space::Function => "function",
            Space::Private => "private",
            Space::Workgroup => "workgroup",
            Space::Uniform => "uniform",
            Space::Storage => "storage",
            Space::Handle => "handle",
            Space::Immediate => "immediate",
            Space::Other => "other",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    ReadWrite,
}

impl Access {
    pub fn of_name(name: &str) -> Option<Access> {
        Some(match name {
            "read" => Access::Read,
            "write" => Access::Write,
            "read_write" => Access::ReadWrite,
            _ => return None,
        })
    }

    pub fn writes(self) -> bool {
        self != Access::Read
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Fixed(u32),
    /// Of an override, or of a constant that is not known.
    Unknown,
    Runtime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextureKind {
    Sampled,
    Multisampled,
    Depth,
    DepthMultisampled,
    Storage,
    External,
}

/// A texture's type.
#[derive(Clone, Debug, PartialEq)]
pub struct Texture<'s> {
    pub kind: TextureKind,
    /// 1, 2, 3, or 0 for a cube.
    pub dimension: u8,
    pub arrayed: bool,
    pub sampled: Scalar,
    pub format: &'s str,
    pub access: Access,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Type<'s> {
    Unknown,
    Void,
    Scalar(Scalar),
    Vector(u8, Scalar),
    /// Columns and rows.
    Matrix(u8, u8, Scalar),
    Array(Rc<Type<'s>>, Length),
    BindingArray(Rc<Type<'s>>),
    Struct(usize),
    Atomic(Scalar),
    Pointer(Space, Rc<Type<'s>>, Access),
    Reference(Space, Rc<Type<'s>>, Access),
    Sampler,
    ComparisonSampler,
    Texture(Rc<Texture<'s>>),
}

impl<'s> Type<'s> {
    pub const BOOL: Type<'static> = Type::Scalar(Scalar::Bool);
    pub const U32: Type<'static> = Type::Scalar(Scalar::U32);
    pub const I32: Type<'static> = Type::Scalar(Scalar::I32);
    pub const F32: Type<'static> = Type::Scalar(Scalar::F32);

    pub fn is_unknown(&self) -> bool {
        *self == Type::Unknown
    }

    /// The type of the value: what a reference refers to.
    pub fn value(&self) -> Type<'s> {
        match self {
            Type::Reference(_, inner, _) => match &**inner {
                Type::Atomic(scalar) => Type::Atomic(*scalar),
                other => other.clone(),
            },
            other => other.clone(),
        }
    }

    /// The scalar of a scalar, vector or matrix.
    pub fn scalar(&self) -> Option<Scalar> {
        match self {
            Type::Scalar(scalar) | Type::Vector(_, scalar) | Type::Matrix(_, _, scalar) => {
                Some(*scalar)
            }
            Type::Reference(_, inner, _) => inner.scalar(),
            _ => None,
        }
    }

    /// The same shape with another scalar.
    pub fn with_scalar(&self, scalar: Scalar) -> Type<'s> {
        match self {
            Type::Scalar(_) => Type::Scalar(scalar),
            Type::Vector(size, _) => Type::Vector(*size, scalar),
            Type::Matrix(columns, rows, _) => Type::Matrix(*columns, *rows, scalar),
            Type::Array(element, length) => {
                Type::Array(Rc::new(element.with_scalar(scalar)), *length)
            }
            other => other.clone(),
        }
    }

    /// The innermost scalar, also of arrays.
    pub fn leaf(&self) -> Option<Scalar> {
        match self {
            Type::Array(element, _) => element.leaf(),
            other => other.scalar(),
        }
    }

    /// The number of numbers in a scalar, vector or matrix.
    pub fn lanes(&self) -> Option<usize> {
        match self {
            Type::Scalar(_) => Some(1),
            Type::Vector(size, _) => Some(usize::from(*size)),
            Type::Matrix(columns, rows, _) => Some(usize::from(*columns) * usize::from(*rows)),
            _ => None,
        }
    }

    /// The scalar of an atomic, or of an array of them.
    pub fn leaf_atomic(&self) -> Option<Scalar> {
        match self {
            Type::Atomic(scalar) => Some(*scalar),
            Type::Array(element, _) => element.leaf_atomic(),
            _ => None,
        }
    }

    /// The type of a variable with this initialiser.
    pub fn concrete(&self) -> Type<'s> {
        match self.leaf() {
            Some(scalar) if scalar.is_abstract() => self.with_scalar(scalar.concrete()),
            _ => self.clone(),
        }
    }

    /// The type that values of both convert to by themselves; unknown if there is none.
    pub fn common(&self, other: &Type<'s>) -> Type<'s> {
        match (self.leaf(), other.leaf()) {
            (Some(a), Some(b)) => match a.common(b) {
                Some(scalar) if self.with_scalar(scalar) == other.with_scalar(scalar) => {
                    self.with_scalar(scalar)
                }
                _ => Type::Unknown,
            },
            _ if self == other => self.clone(),
            _ => Type::Unknown,
        }
    }
}

/// One number of a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Bool(bool),
    Int(i128),
    Float(f64),
}

impl Number {
    pub fn float(self) -> f64 {
        match self {
            Number::Bool(value) => f64::from(u8::from(value)),
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    pub fn int(self) -> i128 {
        match self {
            Number::Bool(value) => i128::from(value),
            Number::Int(value) => value,
            Number::Float(value) => value as i128,
        }
    }

    pub fn truth(self) -> bool {
        match self {
            Number::Bool(value) => value,
            Number::Int(value) => value != 0,
            Number::Float(value) => value != 0.0,
        }
    }

    /// The zero of a scalar type.
    pub fn zero(scalar: Scalar) -> Number {
        match scalar {
            Scalar::Bool => Number::Bool(false),
            scalar if scalar.is_integer() => Number::Int(0),
            _ => Number::Float(0.0),
        }
    }
}

/// A constant: its numbers in order. Its type is that of its expression.
pub type Value = Rc<[Number]>;

/// Rounds to a type, as far as it holds the number; `None` if it is too large.
pub fn rounded(value: f64, scalar: Scalar) -> Option<f64> {
    let rounded = match scalar {
        Scalar::F32 => {
            let single = value as f32;
            f64::from(single)
        }
        Scalar::F16 => half::f16::from_f64(value).to_f64(),
        _ => value,
    };
    rounded.is_finite().then_some(rounded)
}

/// Whether a number that converts by itself is in the range of the float type.
pub fn in_range(value: f64, scalar: Scalar) -> bool {
    match scalar {
        // 3.40282347e38 rounds to the largest.
        Scalar::F32 => (value as f32).is_finite(),
        Scalar::F16 => value.abs() <= 65_504.0,
        _ => value.is_finite(),
    }
}

/// Whether a whole number is one of the type.
pub fn holds(scalar: Scalar, value: i128) -> bool {
    match scalar {
        Scalar::AbstractInt | Scalar::I64 => i64::try_from(value).is_ok(),
        Scalar::I32 => i32::try_from(value).is_ok(),
        Scalar::U32 => u32::try_from(value).is_ok(),
        Scalar::U64 => u64::try_from(value).is_ok(),
        _ => true,
    }
}

/// The value modulo the width of a concrete integer type.
pub fn wrapped(scalar: Scalar, value: i128) -> i128 {
    match scalar {
        Scalar::I32 => i128::from(value as i32),
        Scalar::U32 => i128::from(value as u32),
        Scalar::I64 => i128::from(value as i64),
        Scalar::U64 => i128::from(value as u64),
        _ => value,
    }
}
