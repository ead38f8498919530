//! Conversions and operators of constants, with the errors of the specification.

use super::{
    Phase,
    resolve::{Resolver, convert_quietly},
    types::{Number, Scalar, Type, Value, holds, in_range, rounded, wrapped},
};
use crate::check::syntax::tree::{BinaryOp, Bytes, ExprId, UnaryOp};

impl<'s> Resolver<'_, 's> {
    /// Reports a constant that the type cannot hold where it converts by itself.
    pub(super) fn check_conversion(&mut self, id: ExprId, to: &Type<'s>) {
        let from = self.program.ty(id).value();
        let value = self.program.value(id).cloned();
        let _ = self.converted(Some(id), value, &from, to);
    }

    /// The value in the type that it converts to by itself; reports one that the type cannot hold.
    pub(super) fn converted(
        &mut self,
        id: Option<ExprId>,
        value: Option<Value>,
        from: &Type<'s>,
        to: &Type<'s>,
    ) -> Option<Value> {
        let value = value?;
        let (Some(from), Some(to)) = (from.leaf(), to.leaf()) else { return Some(value) };
        if !from.is_abstract() || to.is_abstract() {
            return Some(value);
        }
        let span = id.map_or(0..0, |id| self.program.span(id));
        for number in value.iter() {
            let fits = match *number {
                Number::Int(whole) if to.is_integer() => holds(to, whole),
                Number::Int(whole) if to.is_float() => in_range(whole as f64, to),
                Number::Float(float) if to.is_float() => in_range(float, to),
                _ => true,
            };
            if !fits {
                self.too_large(span, *number, to);
                return None;
            }
        }
        let numbers = value.iter().map(|number| convert_quietly(*number, to)).collect();
        self.bounded(numbers)
    }

    fn too_large(&mut self, span: Bytes, number: Number, scalar: Scalar) {
        let text = match number {
            Number::Bool(value) => value.to_string(),
            Number::Int(value) => value.to_string(),
            Number::Float(value) => format!("{value:e}"),
        };
        let message = format!("the value {text} cannot be represented as {}", scalar.name());
        self.error("const-overflow", span, message);
    }

    /// The value of an explicit conversion.
    pub(super) fn cast(
        &mut self,
        span: Bytes,
        value: &Value,
        from: Scalar,
        to: Scalar,
    ) -> Option<Value> {
        let mut numbers = Vec::with_capacity(value.len());
        for number in value.iter() {
            numbers.push(match (*number, to) {
                (number, Scalar::Bool) => Number::Bool(number.truth()),
                (Number::Float(float), _) if to.is_integer() => {
                    let (least, most) = match to {
                        Scalar::I32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
                        Scalar::U32 => (0, i128::from(u32::MAX)),
                        Scalar::U64 => (0, i128::from(u64::MAX)),
                        _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
                    };
                    Number::Int((float.trunc() as i128).clamp(least, most))
                }
                (number, _) if to.is_integer() => {
                    let whole = number.int();
                    if from == Scalar::AbstractInt && !holds(to, whole) {
                        self.too_large(span, number, to);
                        return None;
                    }
                    Number::Int(wrapped(to, whole))
                }
                (number, _) => {
                    match rounded(number.float(), to).filter(|_| in_range(number.float(), to)) {
                        Some(float) => Number::Float(float),
                        None => {
                            self.too_large(span, number, to);
                            return None;
                        }
                    }
                }
            });
        }
        self.bounded(numbers)
    }

    /// A float result as one of the type; reports one that is too large.
    pub(super) fn float(&mut self, span: &Bytes, value: f64, scalar: Scalar) -> Option<Number> {
        let result = rounded(value, scalar).map(Number::Float);
        if result.is_none() {
            let message = format!("the result cannot be represented as {}", scalar.name());
            self.error("const-overflow", span.clone(), message);
        }
        result
    }

    /// A whole result as one of the type: concrete types wrap around.
    fn whole(&mut self, span: &Bytes, value: Option<i128>, scalar: Scalar) -> Option<Number> {
        match value {
            Some(value) if scalar != Scalar::AbstractInt => {
                Some(Number::Int(wrapped(scalar, value)))
            }
            Some(value) if holds(scalar, value) => Some(Number::Int(value)),
            _ => {
                let message = format!("the result cannot be represented as {}", scalar.name());
                self.error("const-overflow", span.clone(), message);
                None
            }
        }
    }

    pub(super) fn unary(&mut self, id: ExprId, operator: UnaryOp, operand: ExprId) {
        let ty = self.program.ty(operand).value();
        let phase = self.program.phase(operand);
        let value = self.program.value(operand).cloned();
        let span = self.program.span(id);
        let scalar = ty.scalar();
        let value = value.zip(scalar).and_then(|(value, scalar)| {
            let mut numbers = Vec::with_capacity(value.len());
            for number in value.iter() {
                numbers.push(match (operator, *number) {
                    // The least number stays itself.
                    (UnaryOp::Negate, Number::Int(whole)) if whole == i128::from(i64::MIN) => {
                        Number::Int(whole)
                    }
                    (UnaryOp::Negate, Number::Int(whole)) => {
                        self.whole(&span, whole.checked_neg(), scalar)?
                    }
                    (UnaryOp::Negate, Number::Float(float)) => Number::Float(-float),
                    (UnaryOp::Not, Number::Bool(truth)) => Number::Bool(!truth),
                    (UnaryOp::Complement, Number::Int(whole)) => {
                        Number::Int(wrapped(scalar, !whole))
                    }
                    _ => return None,
                });
            }
            self.bounded(numbers)
        });
        self.set(id, ty, phase, value);
    }

    pub(super) fn binary(&mut self, id: ExprId, operator: BinaryOp, left: ExprId, right: ExprId) {
        self.expr(left);
        // What a constant decides is not evaluated.
        let decided = operator.is_logical()
            && self
                .program
                .value(left)
                .and_then(|value| value.first())
                .is_some_and(|value| value.truth() == (operator == BinaryOp::LogicalOr));
        if decided {
            self.silent += 1;
        }
        self.expr(right);
        if decided {
            self.silent -= 1;
        }
        let phase = self.program.phase(left).max(self.program.phase(right));
        if operator.is_logical() {
            let truth = |value: Option<&Value>| value.and_then(|v| v.first()).map(|v| v.truth());
            let (a, b) = (truth(self.program.value(left)), truth(self.program.value(right)));
            let result = match (decided, a, b) {
                (true, ..) => a,
                (_, Some(a), Some(b)) => {
                    Some(if operator == BinaryOp::LogicalAnd { a && b } else { a || b })
                }
                _ => None,
            };
            let value = result.and_then(|truth| self.bounded(vec![Number::Bool(truth)]));
            self.set(id, Type::BOOL, phase, value);
            return;
        }
        let span = self.program.span(id);
        let ty = self.check_operands(operator, left, right);
        let value = self.operate(&span, operator, left, right, &ty);
        let ty = if operator.is_comparison() {
            match ty {
                Type::Unknown => Type::Unknown,
                other => other.with_scalar(Scalar::Bool),
            }
        } else {
            ty
        };
        self.set(id, ty, phase, value);
    }

    /// The type of the operation (for comparisons that of the operands), unknown if it is not
    /// certain. Reports operands that are constants and wrong whatever the other one is.
    pub(super) fn check_operands(
        &mut self,
        operator: BinaryOp,
        left: ExprId,
        right: ExprId,
    ) -> Type<'s> {
        let (a, b) = (self.program.ty(left).value(), self.program.ty(right).value());
        let (Some(left_scalar), Some(right_scalar)) = (a.scalar(), b.scalar()) else {
            return Type::Unknown;
        };
        let constant = self.program.value(right).cloned();
        if operator.is_shift() {
            let runtime = self.program.value(left).is_none();
            let ty = if runtime { a.concrete() } else { a };
            if !left_scalar.is_integer() {
                return Type::Unknown;
            }
            if right_scalar == Scalar::AbstractInt {
                self.check_conversion(right, &b.with_scalar(Scalar::U32));
            }
            let bits = ty.scalar().map_or(32, Scalar::bits);
            let abstract_left = ty.scalar() == Some(Scalar::AbstractInt);
            if let Some(constant) = constant
                && !abstract_left
                && let Some(amount) =
                    constant.iter().map(|n| n.int()).find(|n| *n >= i128::from(bits))
            {
                let message = format!("a shift by {amount} of a value of {bits} bits");
                let at = self.program.span(right);
                self.error("shift-amount", at, message);
            }
            return ty;
        }
        let Some(scalar) = left_scalar.common(right_scalar) else { return Type::Unknown };
        for (operand, ty) in [(left, &a), (right, &b)] {
            let to = ty.with_scalar(scalar);
            self.check_conversion(operand, &to);
        }
        if matches!(operator, BinaryOp::Divide | BinaryOp::Modulo)
            && scalar.is_integer()
            && constant.is_some_and(|value| value.iter().any(|number| number.int() == 0))
        {
            let at = self.program.span(right);
            self.error("division-by-zero", at, "an integer is divided by zero".into());
            return Type::Unknown;
        }
        match (operator, &a, &b) {
            (_, Type::Scalar(_), Type::Scalar(_)) => Type::Scalar(scalar),
            (_, Type::Vector(n, _), Type::Vector(m, _)) if n == m => Type::Vector(*n, scalar),
            (_, Type::Vector(n, _), Type::Scalar(_)) | (_, Type::Scalar(_), Type::Vector(n, _))
                if operator.is_arithmetic() =>
            {
                Type::Vector(*n, scalar)
            }
            (BinaryOp::Add | BinaryOp::Subtract, Type::Matrix(c, r, _), Type::Matrix(d, s, _))
                if c == d && r == s =>
            {
                Type::Matrix(*c, *r, scalar)
            }
            (BinaryOp::Multiply, Type::Matrix(c, r, _), Type::Scalar(_))
            | (BinaryOp::Multiply, Type::Scalar(_), Type::Matrix(c, r, _)) => {
                Type::Matrix(*c, *r, scalar)
            }
            (BinaryOp::Multiply, Type::Matrix(c, r, _), Type::Vector(n, _)) if c == n => {
                Type::Vector(*r, scalar)
            }
            (BinaryOp::Multiply, Type::Vector(n, _), Type::Matrix(c, r, _)) if r == n => {
                Type::Vector(*c, scalar)
            }
            (BinaryOp::Multiply, Type::Matrix(k, r, _), Type::Matrix(c, s, _)) if k == s => {
                Type::Matrix(*c, *r, scalar)
            }
            _ => Type::Unknown,
        }
    }

    fn operate(
        &mut self,
        span: &Bytes,
        operator: BinaryOp,
        left: ExprId,
        right: ExprId,
        ty: &Type<'s>,
    ) -> Option<Value> {
        let scalar = ty.scalar()?;
        let (a, b) = (self.program.value(left).cloned()?, self.program.value(right).cloned()?);
        let (left_ty, right_ty) = (self.program.ty(left).value(), self.program.ty(right).value());
        let to = |number: &Number| {
            if operator.is_shift() { *number } else { convert_quietly(*number, scalar) }
        };
        let (a, b): (Vec<_>, Vec<_>) = (a.iter().map(to).collect(), b.iter().map(to).collect());
        let mut numbers = Vec::new();
        let products = operator == BinaryOp::Multiply;
        match (&left_ty, &right_ty) {
            (Type::Matrix(inner, rows, _), Type::Matrix(columns, ..)) if products => {
                let (k, r, c) = (usize::from(*inner), usize::from(*rows), usize::from(*columns));
                for column in 0..c {
                    for row in 0..r {
                        let terms = (0..k).map(|i| (a[i * r + row], b[column * k + i]));
                        numbers.push(self.dot(span, terms, scalar)?);
                    }
                }
            }
            (Type::Matrix(columns, rows, _), Type::Vector(..)) if products => {
                let (c, r) = (usize::from(*columns), usize::from(*rows));
                for row in 0..r {
                    let terms = (0..c).map(|i| (a[i * r + row], b[i]));
                    numbers.push(self.dot(span, terms, scalar)?);
                }
            }
            (Type::Vector(..), Type::Matrix(columns, rows, _)) if products => {
                let (c, r) = (usize::from(*columns), usize::from(*rows));
                for column in 0..c {
                    let terms = (0..r).map(|i| (a[i], b[column * r + i]));
                    numbers.push(self.dot(span, terms, scalar)?);
                }
            }
            _ => {
                let count = a.len().max(b.len());
                for lane in 0..count {
                    let x = *a.get(lane).or(a.first().filter(|_| a.len() == 1))?;
                    let y = *b.get(lane).or(b.first().filter(|_| b.len() == 1))?;
                    numbers.push(self.operate_lane(span, operator, x, y, scalar)?);
                }
            }
        }
        self.bounded(numbers)
    }

    /// The sum of products, each of which the type must hold.
    pub(super) fn dot(
        &mut self,
        span: &Bytes,
        terms: impl Iterator<Item = (Number, Number)>,
        scalar: Scalar,
    ) -> Option<Number> {
        let mut sum = Number::zero(scalar);
        for (x, y) in terms {
            let product = self.operate_lane(span, BinaryOp::Multiply, x, y, scalar)?;
            sum = self.operate_lane(span, BinaryOp::Add, sum, product, scalar)?;
        }
        Some(sum)
    }

    pub(super) fn operate_lane(
        &mut self,
        span: &Bytes,
        operator: BinaryOp,
        x: Number,
        y: Number,
        scalar: Scalar,
    ) -> Option<Number> {
        if operator.is_comparison() {
            let order = match (x, y) {
                (Number::Int(x), Number::Int(y)) => Some(x.cmp(&y)),
                (Number::Bool(x), Number::Bool(y)) => Some(x.cmp(&y)),
                _ => x.float().partial_cmp(&y.float()),
            };
            return Some(Number::Bool(match operator {
                BinaryOp::Equal => order.is_some_and(|o| o.is_eq()),
                BinaryOp::NotEqual => order.is_none_or(|o| o.is_ne()),
                BinaryOp::Less => order.is_some_and(|o| o.is_lt()),
                BinaryOp::LessEqual => order.is_some_and(|o| o.is_le()),
                BinaryOp::Greater => order.is_some_and(|o| o.is_gt()),
                _ => order.is_some_and(|o| o.is_ge()),
            }));
        }
        match (x, y) {
            (Number::Bool(x), Number::Bool(y)) => Some(Number::Bool(match operator {
                BinaryOp::And => x & y,
                BinaryOp::Or => x | y,
                BinaryOp::Xor => x ^ y,
                _ => return None,
            })),
            (Number::Int(x), Number::Int(y)) => match operator {
                BinaryOp::Divide | BinaryOp::Modulo => {
                    let result = if operator == BinaryOp::Divide {
                        x.checked_div(y)
                    } else {
                        x.checked_rem(y)
                    };
                    let quotient = x.checked_div(y);
                    if quotient.is_some_and(|quotient| !holds(scalar, quotient)) {
                        return self.overflow(span, scalar);
                    }
                    self.whole(span, result, scalar)
                }
                BinaryOp::ShiftLeft => self.shift_left(span, x, y, scalar),
                BinaryOp::ShiftRight => {
                    let amount = u32::try_from(y).ok()?.min(127);
                    Some(Number::Int(x >> amount))
                }
                _ => {
                    let result = match operator {
                        BinaryOp::Add => x.checked_add(y),
                        BinaryOp::Subtract => x.checked_sub(y),
                        BinaryOp::Multiply => x.checked_mul(y),
                        BinaryOp::And => Some(x & y),
                        BinaryOp::Or => Some(x | y),
                        BinaryOp::Xor => Some(x ^ y),
                        _ => return None,
                    };
                    self.whole(span, result, scalar)
                }
            },
            _ => {
                let (x, y) = (x.float(), y.float());
                let result = match operator {
                    BinaryOp::Add => x + y,
                    BinaryOp::Subtract => x - y,
                    BinaryOp::Multiply => x * y,
                    BinaryOp::Divide => x / y,
                    BinaryOp::Modulo => x % y,
                    _ => return None,
                };
                self.float(span, result, scalar)
            }
        }
    }

    pub(super) fn overflow<T>(&mut self, span: &Bytes, scalar: Scalar) -> Option<T> {
        let message = format!("the result cannot be represented as {}", scalar.name());
        self.error("const-overflow", span.clone(), message);
        None
    }

    /// A shift to the left must not change the sign, nor lose bits of a value without one.
    fn shift_left(&mut self, span: &Bytes, x: i128, y: i128, scalar: Scalar) -> Option<Number> {
        let bits = scalar.bits();
        let amount = u32::try_from(y).ok()?;
        if amount >= bits {
            // Reported with the operands, if the width is known.
            return if scalar == Scalar::AbstractInt && x != 0 {
                self.overflow(span, scalar)
            } else {
                None
            };
        }
        let result = x.checked_shl(amount).filter(|result| result >> amount == x);
        match result.filter(|result| holds(scalar, *result)) {
            Some(result) => Some(Number::Int(result)),
            None => self.overflow(span, scalar),
        }
    }

    /// A value whose phase is that of the arguments.
    pub(super) fn phase_of(&self, arguments: &[ExprId]) -> Phase {
        arguments.iter().map(|id| self.program.phase(*id)).max().unwrap_or(Phase::Const)
    }
}
