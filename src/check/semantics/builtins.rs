//! Functions of the language: types of their results, values of constant calls and their errors.

use super::{
    constants::{Constants, convert_quietly},
    program::Phase,
    types::{Access, Number, Scalar, TextureKind, Type, Value, holds, wrapped},
};
use crate::check::syntax::tree::{BinaryOp, Bytes};

/// An argument of a call.
#[derive(Clone, Debug)]
pub struct Argument<'s> {
    /// The type of its value.
    pub ty: Type<'s>,
    pub value: Option<Value>,
    pub phase: Phase,
    pub span: Bytes,
}

impl<'s> Argument<'s> {
    /// A whole number that is a constant.
    fn integer(&self) -> Option<i128> {
        match self.value.as_ref()?.first()? {
            Number::Int(value) => Some(*value),
            _ => None,
        }
    }
}

/// Type, phase and value of a call; `target` is the type of a `bitcast`.
pub fn call<'s>(
    constants: &mut Constants,
    name: &str,
    span: Bytes,
    target: Option<Type<'s>>,
    arguments: &[Argument<'s>],
) -> (Type<'s>, Phase, Option<Value>) {
    Call { constants, name, span, arguments }.resolve(target)
}

/// A call of a function of the language.
struct Call<'c, 's> {
    constants: &'c mut Constants,
    name: &'c str,
    span: Bytes,
    arguments: &'c [Argument<'s>],
}

/// Functions of one float argument, component by component.
const FLOAT_UNARY: &[&str] = &[
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "degrees",
    "exp",
    "exp2",
    "floor",
    "fract",
    "inverseSqrt",
    "log",
    "log2",
    "quantizeToF16",
    "radians",
    "round",
    "saturate",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
];

/// Functions whose arguments and result have one type, of floats.
const FLOAT_SAME: &[&str] = &[
    "atan2",
    "cross",
    "faceForward",
    "fma",
    "mix",
    "normalize",
    "pow",
    "reflect",
    "smoothstep",
    "step",
];

/// Functions whose arguments and result have one type.
const SAME: &[&str] = &[
    "abs",
    "clamp",
    "countLeadingZeros",
    "countOneBits",
    "countTrailingZeros",
    "firstLeadingBit",
    "firstTrailingBit",
    "max",
    "min",
    "reverseBits",
    "sign",
];

/// Functions of derivatives.
pub const DERIVATIVES: &[&str] = &[
    "dpdx",
    "dpdxCoarse",
    "dpdxFine",
    "dpdy",
    "dpdyCoarse",
    "dpdyFine",
    "fwidth",
    "fwidthCoarse",
    "fwidthFine",
];

/// Whether a function is one of subgroups or quads.
pub fn is_subgroup(name: &str) -> bool {
    matches!(
        name,
        "subgroupAdd"
            | "subgroupExclusiveAdd"
            | "subgroupInclusiveAdd"
            | "subgroupAll"
            | "subgroupAnd"
            | "subgroupAny"
            | "subgroupBallot"
            | "subgroupBroadcast"
            | "subgroupBroadcastFirst"
            | "subgroupElect"
            | "subgroupMax"
            | "subgroupMin"
            | "subgroupMul"
            | "subgroupExclusiveMul"
            | "subgroupInclusiveMul"
            | "subgroupOr"
            | "subgroupShuffle"
            | "subgroupShuffleDown"
            | "subgroupShuffleUp"
            | "subgroupShuffleXor"
            | "subgroupXor"
            | "quadBroadcast"
            | "quadSwapX"
            | "quadSwapY"
            | "quadSwapDiagonal"
    )
}

impl<'s> Call<'_, 's> {
    fn resolve(&mut self, target: Option<Type<'s>>) -> (Type<'s>, Phase, Option<Value>) {
        let name = self.name;
        let phase = self.phase();
        if name == "bitcast" {
            let ty = target.unwrap_or(Type::Unknown);
            let is_number = matches!(ty, Type::Unknown | Type::Scalar(_) | Type::Vector(..));
            if !is_number || ty.scalar() == Some(Scalar::Bool) {
                self.fail::<()>("bitcast makes numbers and vectors of numbers");
            }
            let value = self.bitcast(&ty);
            return (ty, phase, value);
        }
        let types: Vec<Type<'s>> =
            self.arguments.iter().map(|argument| argument.ty.clone()).collect();
        if name == "subgroupElect"
            && let Some(argument) = self.arguments.first()
        {
            let span = argument.span.clone();
            let message = "subgroupElect takes no argument".to_owned();
            self.constants.error("builtin-argument", span, message);
        }
        let Some(first) = types.first().cloned() else {
            let ty = if name == "subgroupElect" { Type::BOOL } else { Type::Void };
            return (ty, Phase::Runtime, None);
        };
        if let Some(ty) = self.runtime_type(name, &first, &types) {
            self.subgroup_arguments();
            self.texture_arguments(&first);
            return (ty, Phase::Runtime, None);
        }
        if name == "sign" && first.scalar() == Some(Scalar::U32) {
            self.fail::<()>("sign has no form for u32");
        }
        if let ("insertBits", [a, b, ..]) = (name, types.as_slice())
            && !a.is_unknown()
            && !b.is_unknown()
            && a.common(b).is_unknown()
        {
            self.fail::<()>("the first two arguments of insertBits have one type");
        }
        let Some(common) = self.operand_type(name, &types) else {
            return (Type::Unknown, phase, None);
        };
        if let Some(scalar) = common.scalar() {
            let count = unified(name, self.arguments.len());
            for argument in &self.arguments[..count.min(self.arguments.len())] {
                self.convert(argument, scalar);
            }
        }
        let (ty, value) = self.evaluate(&common);
        (ty, phase, value)
    }

    fn phase(&self) -> Phase {
        self.arguments.iter().map(|one| one.phase).max().unwrap_or(Phase::Const)
    }

    /// Reports a constant that the scalar type does not hold.
    fn convert(&mut self, argument: &Argument<'s>, scalar: Scalar) {
        let to = argument.ty.with_scalar(scalar);
        let value = argument.value.clone();
        let _ = self.constants.converted(&argument.span, value, &argument.ty, &to);
    }

    /// The common type of the arguments that must agree.
    fn operand_type(&self, name: &str, types: &[Type<'s>]) -> Option<Type<'s>> {
        let mut common = types.first()?.clone();
        let scalar_of_last = name == "mix" && types.len() == 3;
        for (index, ty) in types.iter().enumerate().take(unified(name, types.len())) {
            common = if scalar_of_last && index == 2 && matches!(ty, Type::Scalar(_)) {
                let scalar = common.scalar()?.common(ty.scalar()?)?;
                common.with_scalar(scalar)
            } else {
                common.common(ty)
            };
        }
        let scalar = common.scalar()?;
        let float = FLOAT_UNARY.contains(&name)
            || FLOAT_SAME.contains(&name)
            || matches!(
                name,
                "length"
                    | "distance"
                    | "determinant"
                    | "transpose"
                    | "ldexp"
                    | "refract"
                    | "frexp"
                    | "modf"
            )
            || name.starts_with("pack2x16")
            || name.starts_with("pack4x8");
        Some(if float && scalar == Scalar::AbstractInt {
            common.with_scalar(Scalar::AbstractFloat)
        } else {
            common
        })
    }

    /// The result of a function that is never constant.
    fn runtime_type(&self, name: &str, first: &Type<'s>, types: &[Type<'s>]) -> Option<Type<'s>> {
        let pointee = match first {
            Type::Pointer(_, inner, _) => (**inner).clone(),
            _ => Type::Unknown,
        };
        Some(match name {
            "arrayLength" => Type::U32,
            "atomicStore" => Type::Void,
            "atomicCompareExchangeWeak" => Type::Unknown,
            _ if name.starts_with("atomic") => match pointee {
                Type::Atomic(scalar) => Type::Scalar(scalar),
                _ => Type::Unknown,
            },
            "workgroupUniformLoad" => match pointee {
                Type::Atomic(scalar) => Type::Scalar(scalar),
                other => other,
            },
            _ if DERIVATIVES.contains(&name) => match first.scalar() {
                Some(scalar) if scalar.is_abstract() => first.with_scalar(Scalar::F32),
                _ => first.clone(),
            },
            "subgroupAll" | "subgroupAny" => Type::BOOL,
            "subgroupBallot" => Type::Vector(4, Scalar::U32),
            _ if name.starts_with("subgroup") || name.starts_with("quad") => first.concrete(),
            _ if name.starts_with("texture") => self.texture_result(name, first, types),
            _ => return None,
        })
    }

    /// Values have a type that the operation takes. Lanes that are constants are in range; those of
    /// a broadcast must be constants.
    fn subgroup_arguments(&mut self) {
        let (name, arguments) = (self.name, self.arguments);
        if !is_subgroup(name) {
            return;
        }
        let number =
            |ty: &Type<'_>| matches!(ty, Type::Unknown | Type::Scalar(_) | Type::Vector(..));
        if let Some(argument) = arguments.first().filter(|one| !number(&one.ty)) {
            let message = format!("{name} takes a scalar or a vector");
            self.constants.error("builtin-argument", argument.span.clone(), message);
            return;
        }
        if let Some(scalar) = arguments.first().and_then(|one| one.ty.scalar()) {
            let fits = match name {
                "subgroupAll" | "subgroupAny" | "subgroupBallot" => {
                    scalar == Scalar::Bool && matches!(arguments[0].ty, Type::Scalar(_))
                }
                "subgroupAnd" | "subgroupOr" | "subgroupXor" => scalar.is_integer(),
                _ => scalar != Scalar::Bool,
            };
            if !fits {
                let span = arguments[0].span.clone();
                let message = format!("{name} takes no value of {}", scalar.name());
                self.constants.error("builtin-argument", span, message);
                return;
            }
        }
        let most = match name {
            "subgroupBroadcast"
            | "subgroupShuffle"
            | "subgroupShuffleUp"
            | "subgroupShuffleDown"
            | "subgroupShuffleXor" => 127,
            "quadBroadcast" => 3,
            _ => return,
        };
        let Some(lane) = arguments.get(1) else { return };
        let span = lane.span.clone();
        // A lane is i32 or u32, what is added to it or mixed into it u32.
        let fits = match &lane.ty {
            Type::Unknown | Type::Scalar(Scalar::U32 | Scalar::AbstractInt) => true,
            Type::Scalar(Scalar::I32) => {
                name == "subgroupShuffle" || !name.starts_with("subgroupShuffle")
            }
            _ => false,
        };
        if !fits {
            let message = format!("the second argument of {name} is a whole number");
            self.constants.error("builtin-argument", span, message);
        } else if name.ends_with("Broadcast") && lane.phase != Phase::Const {
            let message = format!("the lane of {name} must be a constant expression");
            self.constants.error("builtin-argument", span, message);
        } else if let Some(value) = lane.integer()
            && !(0..=most).contains(&value)
        {
            let message = format!("the lane of {name} is 0 to {most}, not {value}");
            self.constants.error("builtin-argument", span, message);
        }
    }

    fn texture_result(&self, name: &str, first: &Type<'s>, types: &[Type<'s>]) -> Type<'s> {
        // Gathering names a component before the texture.
        let texture = match (first, types.get(1)) {
            (Type::Texture(texture), _) | (_, Some(Type::Texture(texture))) => texture,
            _ => return Type::Unknown,
        };
        let depth = matches!(texture.kind, TextureKind::Depth | TextureKind::DepthMultisampled);
        match name {
            "textureStore" => Type::Void,
            "textureNumLayers" | "textureNumLevels" | "textureNumSamples" => Type::U32,
            "textureDimensions" => match texture.dimension {
                1 => Type::U32,
                3 => Type::Vector(3, Scalar::U32),
                _ => Type::Vector(2, Scalar::U32),
            },
            "textureGather" if depth => Type::Vector(4, Scalar::F32),
            "textureGather" => Type::Vector(4, texture.sampled),
            "textureGatherCompare" => Type::Vector(4, Scalar::F32),
            "textureSampleCompare" | "textureSampleCompareLevel" => Type::F32,
            _ if depth => Type::F32,
            _ if name.starts_with("textureSample") || name == "textureLoad" => {
                Type::Vector(4, texture.sampled)
            }
            _ => Type::Unknown,
        }
    }

    /// Offsets and components must be constants in a range.
    fn texture_arguments(&mut self, first: &Type<'s>) {
        let (name, arguments) = (self.name, self.arguments);
        let texture_at = usize::from(!matches!(first, Type::Texture(_)));
        let texture = match arguments.get(texture_at).map(|one| one.ty.clone()) {
            Some(Type::Texture(texture)) => texture,
            _ => return,
        };
        if texture_at == 1
            && name == "textureGather"
            && let Some(component) = arguments[0].integer()
            && !(0..=3).contains(&component)
        {
            let span = arguments[0].span.clone();
            let message = format!("the component of textureGather is 0 to 3, not {component}");
            self.constants.error("texture-argument", span, message);
        }
        let depth = matches!(texture.kind, TextureKind::Depth | TextureKind::DepthMultisampled);
        if matches!(name, "textureDimensions" | "textureLoad") {
            for argument in &arguments[texture_at + 1..] {
                if argument.ty.scalar() == Some(Scalar::AbstractInt) {
                    self.convert(argument, Scalar::I32);
                }
            }
        }
        let (is_storage, access) = (texture.kind == TextureKind::Storage, texture.access);
        let mistake = match name {
            "textureLoad" if is_storage && access == Access::Write => {
                Some("this texture is only written: it cannot be read")
            }
            "textureStore" if is_storage && access == Access::Read => {
                Some("this texture is only read: it cannot be written")
            }
            _ => None,
        };
        if let Some(message) = mistake {
            let span = arguments[texture_at].span.clone();
            self.constants.error("texture-argument", span, message.to_owned());
        }
        let no_form = (depth && (texture_at == 1 || name == "textureSampleGrad"))
            || (texture.dimension == 1
                && matches!(name, "textureSampleBias" | "textureSampleGrad" | "textureGather"));
        if no_form {
            let span = arguments[texture_at].span.clone();
            let message = format!("{name} has no form for this texture");
            self.constants.error("texture-argument", span, message);
            return;
        }
        let takes_offset = match name {
            "textureSample"
            | "textureSampleBias"
            | "textureSampleLevel"
            | "textureSampleGrad"
            | "textureSampleCompare"
            | "textureSampleCompareLevel"
            | "textureGather"
            | "textureGatherCompare" => texture.dimension == 2 || texture.dimension == 3,
            _ => false,
        };
        // Texture, sampler, coordinates, then an array index and numbers, then the offset.
        let extra = match name {
            "textureSampleBias"
            | "textureSampleLevel"
            | "textureSampleCompare"
            | "textureSampleCompareLevel"
            | "textureGatherCompare" => 1,
            "textureSampleGrad" => 2,
            _ => 0,
        };
        let offset_at = texture_at + 2 + 1 + usize::from(texture.arrayed) + extra;
        let sampling = name.starts_with("textureSample") || name.starts_with("textureGather");
        if sampling
            && !takes_offset
            && name != "textureSampleBaseClampToEdge"
            && let Some(offset) = arguments.get(offset_at)
        {
            let span = offset.span.clone();
            let message = format!("{name} takes no offset for this texture");
            self.constants.error("texture-argument", span, message);
            return;
        }
        if takes_offset && let Some(offset) = arguments.get(offset_at) {
            let span = offset.span.clone();
            if offset.phase != Phase::Const {
                let message = "the offset must be a constant expression".to_owned();
                self.constants.error("texture-argument", span, message);
            } else if let Some(value) = &offset.value
                && let Some(outside) = value.iter().map(|n| n.int()).find(|n| !(-8..=7).contains(n))
            {
                let message = format!("an offset is -8 to 7, not {outside}");
                self.constants.error("texture-argument", span, message);
            }
        }
    }

    fn fail<T>(&mut self, message: impl Into<String>) -> Option<T> {
        let span = self.span.clone();
        self.constants.error("builtin-argument", span, message.into());
        None
    }

    /// Type and value of a function that may be constant.
    fn evaluate(&mut self, common: &Type<'s>) -> (Type<'s>, Option<Value>) {
        let (name, arguments) = (self.name, self.arguments);
        let Some(scalar) = common.scalar() else { return (Type::Unknown, None) };
        let values: Vec<Option<Vec<Number>>> = arguments
            .iter()
            .map(|argument| {
                argument.value.as_ref().map(|value| {
                    value
                        .iter()
                        .map(|number| match number {
                            Number::Int(_) if scalar.is_float() && unified(name, 1) > 0 => {
                                convert_quietly(*number, scalar)
                            }
                            other => *other,
                        })
                        .collect()
                })
            })
            .collect();
        self.check_constants(common, &values);
        let one = Type::Scalar(scalar);
        let ty = match name {
            _ if FLOAT_UNARY.contains(&name)
                || FLOAT_SAME.contains(&name)
                || SAME.contains(&name) =>
            {
                common.clone()
            }
            "select" | "ldexp" | "refract" | "extractBits" | "insertBits" => common.clone(),
            "dot" | "length" | "distance" | "determinant" => one,
            "transpose" => match common {
                Type::Matrix(columns, rows, scalar) => Type::Matrix(*rows, *columns, *scalar),
                _ => Type::Unknown,
            },
            "all" | "any" => Type::BOOL,
            "dot4U8Packed" => Type::U32,
            "dot4I8Packed" => Type::I32,
            _ if name.starts_with("pack") => Type::U32,
            "unpack4x8snorm" | "unpack4x8unorm" => Type::Vector(4, Scalar::F32),
            "unpack2x16snorm" | "unpack2x16unorm" | "unpack2x16float" => {
                Type::Vector(2, Scalar::F32)
            }
            "unpack4xI8" => Type::Vector(4, Scalar::I32),
            "unpack4xU8" => Type::Vector(4, Scalar::U32),
            _ => return (Type::Unknown, None),
        };
        let known: Option<Vec<Vec<Number>>> = values.into_iter().collect();
        let value = known.and_then(|values| self.value_of(common, scalar, &values));
        let constant = self.phase() == Phase::Const;
        let ty = if constant { ty } else { ty.concrete() };
        let lanes = ty.lanes();
        (ty, value.filter(|value| Some(value.len()) == lanes))
    }

    /// Errors that some of the arguments show alone.
    fn check_constants(&mut self, common: &Type<'s>, values: &[Option<Vec<Number>>]) {
        let (name, arguments) = (self.name, self.arguments);
        let lanes = |index: usize| values.get(index).and_then(Option::as_ref);
        let scalar = common.scalar().unwrap_or(Scalar::F32);
        match name {
            "clamp" => {
                if let (Some(low), Some(high)) = (lanes(1), lanes(2))
                    && low.iter().zip(high).any(|(low, high)| low.float() > high.float())
                {
                    self.fail::<()>("clamp has a lower bound above the upper one");
                }
            }
            "smoothstep" => {
                if let (Some(low), Some(high)) = (lanes(0), lanes(1))
                    && low.iter().zip(high).any(|(low, high)| low.float() == high.float())
                {
                    self.fail::<()>("smoothstep has two equal edges");
                }
            }
            "extractBits" | "insertBits" => {
                let at = arguments.len().saturating_sub(2);
                if let (Some(offset), Some(count)) = (lanes(at), lanes(at + 1))
                    && let (Some(offset), Some(count)) = (offset.first(), count.first())
                    && offset.int() + count.int() > 32
                {
                    let message =
                        format!("{name} reaches behind bit 32: offset and count are too large");
                    self.fail::<()>(message);
                }
            }
            "ldexp" => {
                let most = match scalar {
                    Scalar::F16 => 16,
                    Scalar::AbstractFloat | Scalar::F64 if self.phase() == Phase::Const => 1024,
                    _ => 128,
                };
                if let Some(exponent) = lanes(1)
                    && exponent.iter().any(|n| n.int() > most)
                {
                    self.fail::<()>(format!("the exponent of ldexp is at most {most}"));
                }
            }
            _ => {}
        }
    }

    fn value_of(
        &mut self,
        common: &Type<'s>,
        scalar: Scalar,
        values: &[Vec<Number>],
    ) -> Option<Value> {
        let (span, name) = (self.span.clone(), self.name);
        let first = values.first()?;
        let lane = |index: usize, at: usize| -> Option<Number> {
            let value = values.get(index)?;
            value.get(at).or(value.first().filter(|_| value.len() == 1)).copied()
        };
        let mut numbers = Vec::with_capacity(first.len());
        if FLOAT_UNARY.contains(&name) {
            for number in first {
                let result = self.float_unary(number.float())?;
                numbers.push(self.constants.float(&span, result, scalar)?);
            }
            return self.constants.bounded(numbers);
        }
        match name {
            "select" => {
                let truth = values.get(2)?;
                for at in 0..first.len() {
                    let chosen = truth.get(at).or(truth.first().filter(|_| truth.len() == 1))?;
                    numbers.push(lane(usize::from(chosen.truth()), at)?);
                }
            }
            "all" => numbers.push(Number::Bool(first.iter().all(|n| n.truth()))),
            "any" => numbers.push(Number::Bool(first.iter().any(|n| n.truth()))),
            "dot" => {
                let terms: Vec<_> =
                    first.iter().copied().zip(values.get(1)?.iter().copied()).collect();
                numbers.push(self.constants.dot(&span, terms.into_iter(), scalar)?);
            }
            "length" | "distance" | "normalize" => {
                let mut parts = first.clone();
                if name == "distance" {
                    let other = values.get(1)?;
                    for (part, other) in parts.iter_mut().zip(other) {
                        *part = self.constants.operate_lane(
                            &span,
                            BinaryOp::Subtract,
                            *part,
                            *other,
                            scalar,
                        )?;
                    }
                }
                let length = if parts.len() == 1 {
                    parts[0].float().abs()
                } else {
                    let terms: Vec<_> = parts.iter().map(|n| (*n, *n)).collect();
                    self.constants.dot(&span, terms.into_iter(), scalar)?.float().sqrt()
                };
                if name == "normalize" {
                    if length == 0.0 {
                        return self.fail("a vector of length zero has no direction");
                    }
                    for part in &parts {
                        numbers.push(self.constants.float(&span, part.float() / length, scalar)?);
                    }
                } else {
                    numbers.push(self.constants.float(&span, length, scalar)?);
                }
            }
            "cross" => {
                let (a, b) = (first, values.get(1)?);
                if a.len() != 3 || b.len() != 3 {
                    return None;
                }
                for (i, j) in [(1, 2), (2, 0), (0, 1)] {
                    let pairs = [(a[i], b[j]), (a[j], b[i])];
                    numbers.push(self.constants.difference(&span, pairs, scalar)?);
                }
            }
            "determinant" => {
                let Type::Matrix(size, ..) = common else { return None };
                if *size != 2 {
                    let all: Vec<f64> = first.iter().map(|n| n.float()).collect();
                    let result = determinant(&all, usize::from(*size));
                    numbers.push(self.constants.float(&span, result, scalar)?);
                    return self.constants.bounded(numbers);
                }
                let pairs = [(first[0], first[3]), (first[1], first[2])];
                numbers.push(self.constants.difference(&span, pairs, scalar)?);
            }
            "reflect" => {
                let normal = values.get(1)?.clone();
                let terms: Vec<_> = first.iter().copied().zip(normal.iter().copied()).collect();
                let dot = self.constants.dot(&span, terms.into_iter(), scalar)?;
                let twice = self.constants.operate_lane(&span, BinaryOp::Add, dot, dot, scalar)?;
                for (x, n) in first.iter().zip(&normal) {
                    let part = self.constants.operate_lane(
                        &span,
                        BinaryOp::Multiply,
                        twice,
                        *n,
                        scalar,
                    )?;
                    numbers.push(self.constants.operate_lane(
                        &span,
                        BinaryOp::Subtract,
                        *x,
                        part,
                        scalar,
                    )?);
                }
            }
            "transpose" => {
                let Type::Matrix(columns, rows, _) = common else { return None };
                let (c, r) = (usize::from(*columns), usize::from(*rows));
                for row in 0..r {
                    for column in 0..c {
                        numbers.push(*first.get(column * r + row)?);
                    }
                }
            }
            "dot4U8Packed" | "dot4I8Packed" => return None,
            "pack2x16float" => {
                let mut word = 0u32;
                for (at, number) in first.iter().enumerate().take(2) {
                    let half = half::f16::from_f64(number.float());
                    if !half.is_finite() {
                        return self.constants.overflow(&span, Scalar::F16);
                    }
                    word |= u32::from(half.to_bits()) << (16 * at);
                }
                numbers.push(Number::Int(i128::from(word)));
            }
            "unpack2x16float" => {
                let word = first.first()?.int() as u32;
                for half in [word as u16, (word >> 16) as u16] {
                    let value = half::f16::from_bits(half).to_f64();
                    numbers.push(self.constants.float(&span, value, Scalar::F32)?);
                }
            }
            "pack4x8snorm" | "pack4x8unorm" | "pack2x16snorm" | "pack2x16unorm" | "pack4xI8"
            | "pack4xU8" | "pack4xI8Clamp" | "pack4xU8Clamp" | "unpack4x8snorm"
            | "unpack4x8unorm" | "unpack2x16snorm" | "unpack2x16unorm" | "unpack4xI8"
            | "unpack4xU8" | "refract" | "faceForward" => return None,
            _ => {
                for at in 0..first.len() {
                    let number = self.lane_of(scalar, |index| lane(index, at))?;
                    numbers.push(number);
                }
            }
        }
        self.constants.bounded(numbers)
    }

    /// One component of a function that works component by component.
    fn lane_of(
        &mut self,
        scalar: Scalar,
        lane: impl Fn(usize) -> Option<Number>,
    ) -> Option<Number> {
        let (span, name) = (self.span.clone(), self.name);
        let x = lane(0)?;
        if scalar.is_integer() {
            let bits = 32;
            let word = x.int() as u32;
            let result = match name {
                "abs" => {
                    let result = x.int().abs();
                    return if holds(scalar, result) {
                        Some(Number::Int(result))
                    } else if scalar == Scalar::AbstractInt {
                        self.constants.overflow(&span, scalar)
                    } else {
                        Some(Number::Int(wrapped(scalar, result)))
                    };
                }
                "min" => x.int().min(lane(1)?.int()),
                "max" => x.int().max(lane(1)?.int()),
                "clamp" => x.int().max(lane(1)?.int()).min(lane(2)?.int()),
                "sign" => x.int().signum(),
                "countOneBits" => i128::from(word.count_ones()),
                "countLeadingZeros" => i128::from(word.leading_zeros()),
                "countTrailingZeros" => i128::from(word.trailing_zeros()),
                "reverseBits" => wrapped(scalar.concrete(), i128::from(word.reverse_bits())),
                "firstTrailingBit" if word == 0 => wrapped(scalar.concrete(), -1),
                "firstTrailingBit" => i128::from(word.trailing_zeros()),
                "firstLeadingBit" => {
                    let word = if scalar.is_signed() && (word as i32) < 0 { !word } else { word };
                    if word == 0 {
                        wrapped(scalar.concrete(), -1)
                    } else {
                        i128::from(bits - 1 - word.leading_zeros())
                    }
                }
                "extractBits" => {
                    let (offset, count) = (lane(1)?.int().min(32), lane(2)?.int());
                    let count = count.min(32 - offset);
                    if count <= 0 {
                        0
                    } else {
                        let kept = (u64::from(word) >> offset) & ((1u64 << count) - 1);
                        let negative = scalar.is_signed() && kept >> (count - 1) & 1 == 1;
                        i128::from(kept) - if negative { 1i128 << count } else { 0 }
                    }
                }
                "insertBits" => {
                    let (offset, count) = (lane(2)?.int().min(32), lane(3)?.int());
                    let count = count.min(32 - offset);
                    let mask = (((1u64 << count.max(0)) - 1) << offset) as u32;
                    let new = ((u64::from(lane(1)?.int() as u32)) << offset) as u32;
                    wrapped(scalar.concrete(), i128::from((word & !mask) | (new & mask)))
                }
                _ => return None,
            };
            return Some(Number::Int(result));
        }
        let a = x.float();
        let result = match name {
            "abs" => a.abs(),
            "sign" => {
                if a == 0.0 {
                    0.0
                } else {
                    a.signum()
                }
            }
            "min" => a.min(lane(1)?.float()),
            "max" => a.max(lane(1)?.float()),
            "clamp" => a.max(lane(1)?.float()).min(lane(2)?.float()),
            "atan2" => a.atan2(lane(1)?.float()),
            "pow" => {
                let exponent = lane(1)?.float();
                let defined = a > 0.0 || (a == 0.0 && exponent > 0.0);
                if !defined {
                    return self.fail(format!("pow({a}, {exponent}) has no value"));
                }
                a.powf(exponent)
            }
            "step" => f64::from(u8::from(a <= lane(1)?.float())),
            "fma" => {
                let product =
                    self.constants.operate_lane(&span, BinaryOp::Multiply, x, lane(1)?, scalar)?;
                return self.constants.operate_lane(
                    &span,
                    BinaryOp::Add,
                    product,
                    lane(2)?,
                    scalar,
                );
            }
            "mix" => {
                let weight = lane(2)?.float();
                let (y, rest) = (lane(1)?, Number::Float(1.0 - weight));
                let left =
                    self.constants.operate_lane(&span, BinaryOp::Multiply, x, rest, scalar)?;
                let weight = Number::Float(weight);
                let right =
                    self.constants.operate_lane(&span, BinaryOp::Multiply, y, weight, scalar)?;
                return self.constants.operate_lane(&span, BinaryOp::Add, left, right, scalar);
            }
            "ldexp" => a * 2f64.powi(i32::try_from(lane(1)?.int().clamp(-5_000, 2_000)).ok()?),
            "smoothstep" => {
                let (high, value) = (lane(1)?.float(), lane(2)?.float());
                let t = ((value - a) / (high - a)).clamp(0.0, 1.0);
                t * t * (3.0 - 2.0 * t)
            }
            _ => return None,
        };
        self.constants.float(&span, result, scalar)
    }

    fn float_unary(&mut self, x: f64) -> Option<f64> {
        let name = self.name;
        let needs = |holds: bool, range: &str| -> Result<(), String> {
            if holds {
                Ok(())
            } else {
                Err(format!("{name} of {x} has no value; it takes {range}"))
            }
        };
        let domain = match name {
            "acos" | "asin" => needs(x.abs() <= 1.0, "-1 to 1"),
            "acosh" => needs(x >= 1.0, "1 and more"),
            "atanh" => needs(x.abs() < 1.0, "more than -1 and less than 1"),
            "log" | "log2" | "inverseSqrt" => needs(x > 0.0, "more than 0"),
            "sqrt" => needs(x >= 0.0, "0 and more"),
            _ => Ok(()),
        };
        if let Err(message) = domain {
            return self.fail(message);
        }
        Some(match name {
            "acos" => x.acos(),
            "acosh" => x.acosh(),
            "asin" => x.asin(),
            "asinh" => x.asinh(),
            "atan" => x.atan(),
            "atanh" => x.atanh(),
            "ceil" => x.ceil(),
            "cos" => x.cos(),
            "cosh" => x.cosh(),
            "degrees" => x.to_degrees(),
            "exp" => x.exp(),
            "exp2" => x.exp2(),
            "floor" => x.floor(),
            "fract" => x - x.floor(),
            "inverseSqrt" => 1.0 / x.sqrt(),
            "log" => x.ln(),
            "log2" => x.log2(),
            "quantizeToF16" => {
                let half = half::f16::from_f64(x);
                if x.abs() > 65_504.0 {
                    let span = self.span.clone();
                    return self.constants.overflow(&span, Scalar::F16);
                }
                half.to_f64()
            }
            "radians" => x.to_radians(),
            "round" => x.round_ties_even(),
            "saturate" => x.clamp(0.0, 1.0),
            "sin" => x.sin(),
            "sinh" => x.sinh(),
            "sqrt" => x.sqrt(),
            "tan" => x.tan(),
            "tanh" => x.tanh(),
            "trunc" => x.trunc(),
            _ => return None,
        })
    }

    /// The value of a `bitcast`, where both sides have components of 32 bits.
    fn bitcast(&mut self, ty: &Type<'s>) -> Option<Value> {
        let argument = self.arguments.first()?;
        let from = argument.ty.concrete();
        if let Some(scalar) = from.scalar() {
            self.convert(argument, scalar);
        }
        let shape = (from.lanes(), ty.lanes());
        let (from, to) = (from.scalar()?, ty.scalar()?);
        // A number without a suffix may also be a half.
        let may_be_half = argument.ty.scalar().is_some_and(Scalar::is_abstract);
        if let (Some(a), Some(b)) = shape
            && a * from.bits() as usize != b * to.bits() as usize
            && !(may_be_half && a * 16 == b * to.bits() as usize)
        {
            return self.fail("the two sides of bitcast have different sizes");
        }
        let value = argument.value.clone()?;
        let span = self.span.clone();
        if to == Scalar::F16 && matches!(from, Scalar::I32 | Scalar::U32) {
            let halves = value.iter().map(|n| n.int() as u32).flat_map(|n| [n, n >> 16]);
            // All bits of the exponent: not finite.
            if halves.into_iter().any(|half| half & 0x7c00 == 0x7c00) {
                return self.constants.overflow(&span, Scalar::F16);
            }
        }
        if from.bits() != 32 || to.bits() != 32 || ty.lanes() != Some(value.len()) {
            return None;
        }
        let mut numbers = Vec::with_capacity(value.len());
        for number in value.iter() {
            let bits = match from {
                Scalar::F32 => (number.float() as f32).to_bits(),
                Scalar::I32 | Scalar::U32 => number.int() as u32,
                _ => return None,
            };
            numbers.push(match to {
                Scalar::F32 => {
                    let float = f32::from_bits(bits);
                    if !float.is_finite() {
                        return self.constants.overflow(&span, Scalar::F32);
                    }
                    Number::Float(f64::from(float))
                }
                _ => Number::Int(wrapped(to, i128::from(bits))),
            });
        }
        self.constants.bounded(numbers)
    }
}

/// How many of the first arguments have the common type.
fn unified(name: &str, count: usize) -> usize {
    match name {
        "select" | "refract" | "insertBits" => count.min(2),
        "ldexp" | "extractBits" | "all" | "any" => count.min(1),
        _ if name.starts_with("unpack") => count.min(1),
        _ => count,
    }
}

/// The determinant of a square matrix in columns.
fn determinant(numbers: &[f64], size: usize) -> f64 {
    if size == 1 {
        return numbers[0];
    }
    let mut sum = 0.0;
    for column in 0..size {
        let mut minor = Vec::with_capacity((size - 1) * (size - 1));
        for other in (0..size).filter(|other| *other != column) {
            minor.extend_from_slice(&numbers[other * size + 1..(other + 1) * size]);
        }
        let sign = if column % 2 == 0 { 1.0 } else { -1.0 };
        sum += sign * numbers[column * size] * determinant(&minor, size - 1);
    }
    sum
}
