//! Rounding of stored activations and gradients (shaders/common/storage.wgsl): to nearest, ties to
//! even.

/// `value` with `bits` of precision and no exponent below that of 2^`lowest`.
fn rounded(value: f64, bits: i32, lowest: i32) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    // The exponent field of a normal f64; f64's own subnormals are far below every format's.
    let exponent = ((value.to_bits() >> 52 & 0x7ff) as i32 - 1023).max(lowest);
    let unit = 2f64.powi(exponent - (bits - 1));
    (value / unit).round_ties_even() * unit
}

/// IEEE binary16, saturating at ±65,504.
pub fn f16(value: f64) -> f64 {
    rounded(value.clamp(-65504.0, 65504.0), 11, -14)
}

/// bfloat16.
pub fn bf16(value: f64) -> f64 {
    rounded(value, 8, -126)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_to_even() {
        let third = 0.333_251_953_125; // 1365 · 2^−12
        for (value, expected) in [
            (1.0 / 3.0, third),
            (-1.0 / 3.0, -third),
            (2049.0, 2048.0),
            (2051.0, 2052.0),
            (1e6, 65504.0),
            (-1e6, -65504.0),
            (65519.0, 65504.0),
            (2f64.powi(-25), 0.0),
            (1.5 * 2f64.powi(-24), 2f64.powi(-23)),
            (0.0, 0.0),
        ] {
            assert_eq!(f16(value), expected, "{value}");
        }
        for (value, expected) in
            [(257.0, 256.0), (259.0, 260.0), (1e-30, 162.0 * 2f64.powi(-107)), (-1e6, -999_424.0)]
        {
            assert_eq!(bf16(value), expected, "{value}");
        }
    }
}
