//! Values of constants: conversions and operators, with the errors of the specification.

use super::types::{Number, Scalar, Type, Value, holds, in_range, rounded, wrapped};
use crate::check::{
    diagnostic::Diagnostic,
    syntax::tree::{BinaryOp, Bytes, UnaryOp},
};

/// Largest number of numbers in one constant; a larger one has no known value.
pub const MAX_NUMBERS: usize = 4_096;
/// Largest number of numbers in all constants of a file.
const MAX_ALL_NUMBERS: usize = 4_000_000;
/// Largest number of errors.
const MAX_ERRORS: usize = 100;

/// Computes constants and keeps their errors.
#[derive(Debug, Default)]
pub struct Constants {
    pub errors: Vec<Diagnostic>,
    /// Numbers of all constants so far.
    numbers: usize,
    /// Whether errors are kept: not behind a `&&` or `||` that is decided.
    pub silent: u32,
}

impl Constants {
    /// Reports an error of a constant.
    pub fn error(&mut self, rule: &'static str, span: Bytes, message: String) {
        if self.silent == 0 && self.errors.len() < MAX_ERRORS {
            self.errors.push(Diagnostic::error(rule, message).at(Some(span)));
        }
    }

    /// A value of bounded size.
    pub fn bounded(&mut self, value: Vec<Number>) -> Option<Value> {
        self.numbers += value.len();
        (value.len() <= MAX_NUMBERS && self.numbers <= MAX_ALL_NUMBERS).then(|| value.into())
    }

    /// The value in the type that it converts to by itself; reports one that the type cannot hold.
    pub fn converted(
        &mut self,
        span: &Bytes,
        value: Option<Value>,
        from: &Type<'_>,
        to: &Type<'_>,
    ) -> Option<Value> {
        let value = value?;
        let (Some(from), Some(to)) = (from.leaf(), to.leaf()) else { return Some(value) };
        if !from.is_abstract() || to.is_abstract() {
            return Some(value);
        }
        for number in value.iter() {
            let fits = match *number {
                Number::Int(whole) if to.is_integer() => holds(to, whole),
                Number::Int(whole) if to.is_float() => in_range(whole as f64, to),
                Number::Float(float) if to.is_float() => in_range(float, to),
                _ => true,
            };
            if !fits {
                self.too_large(span.clone(), *number, to);
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
    pub fn cast(&mut self, span: Bytes, value: &Value, from: Scalar, to: Scalar) -> Option<Value> {
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
                        self.too_large(span.clone(), number, to);
                        return None;
                    }
                    Number::Int(wrapped(to, whole))
                }
                (number, _) => {
                    match rounded(number.float(), to).filter(|_| in_range(number.float(), to)) {
                        Some(float) => Number::Float(float),
                        None => {
                            self.too_large(span.clone(), number, to);
                            return None;
                        }
                    }
                }
            });
        }
        self.bounded(numbers)
    }

    /// A float result as one of the type; reports one that is too large.
    pub fn float(&mut self, span: &Bytes, value: f64, scalar: Scalar) -> Option<Number> {
        // Halves are not rounded to the largest one.
        let result = rounded(value, scalar)
            .filter(|_| scalar != Scalar::F16 || in_range(value, scalar))
            .map(Number::Float);
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

    pub fn operate(
        &mut self,
        span: &Bytes,
        operator: BinaryOp,
        (left_ty, a): (&Type<'_>, &Value),
        (right_ty, b): (&Type<'_>, &Value),
        scalar: Scalar,
    ) -> Option<Value> {
        let to = |number: &Number| {
            if operator.is_shift() { *number } else { convert_quietly(*number, scalar) }
        };
        let (a, b): (Vec<_>, Vec<_>) = (a.iter().map(to).collect(), b.iter().map(to).collect());
        let mut numbers = Vec::new();
        let products = operator == BinaryOp::Multiply;
        match (left_ty, right_ty) {
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
    pub fn dot(
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

    /// The product of the first pair less that of the second.
    pub fn difference(
        &mut self,
        span: &Bytes,
        pairs: [(Number, Number); 2],
        scalar: Scalar,
    ) -> Option<Number> {
        let mut product = |(x, y)| self.operate_lane(span, BinaryOp::Multiply, x, y, scalar);
        let (from, less) = (product(pairs[0])?, product(pairs[1])?);
        self.operate_lane(span, BinaryOp::Subtract, from, less, scalar)
    }

    pub fn operate_lane(
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

    pub fn overflow<T>(&mut self, span: &Bytes, scalar: Scalar) -> Option<T> {
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

    /// The value of an operator of one operand.
    pub fn unary(
        &mut self,
        span: &Bytes,
        operator: UnaryOp,
        value: &Value,
        scalar: Scalar,
    ) -> Option<Value> {
        let mut numbers = Vec::with_capacity(value.len());
        for number in value.iter() {
            numbers.push(match (operator, *number) {
                // The least number stays itself.
                (UnaryOp::Negate, Number::Int(whole)) if whole == i128::from(i64::MIN) => {
                    Number::Int(whole)
                }
                (UnaryOp::Negate, Number::Int(whole)) => {
                    self.whole(span, whole.checked_neg(), scalar)?
                }
                (UnaryOp::Negate, Number::Float(float)) => Number::Float(-float),
                (UnaryOp::Not, Number::Bool(truth)) => Number::Bool(!truth),
                (UnaryOp::Complement, Number::Int(whole)) => Number::Int(wrapped(scalar, !whole)),
                _ => return None,
            });
        }
        self.bounded(numbers)
    }
}

/// The number as one of a type that holds it.
pub fn convert_quietly(number: Number, to: Scalar) -> Number {
    match number {
        Number::Int(_) if to.is_float() => {
            Number::Float(rounded(number.float(), to).unwrap_or(number.float()))
        }
        Number::Float(value) if to.is_float() => Number::Float(rounded(value, to).unwrap_or(value)),
        other => other,
    }
}
