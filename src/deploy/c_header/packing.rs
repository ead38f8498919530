//! Packed weights in C.

use super::code::{Code, index};

/// The code of `bits` bits number `at` of the byte `byte`.
pub(super) fn part(byte: &str, bits: u32, at: u32) -> String {
    let (mask, shift) = ((1u32 << bits) - 1, at * bits);
    match shift {
        _ if bits == 8 => byte.to_string(),
        0 => format!("({byte} & {mask})"),
        _ if shift + bits == 8 => format!("({byte} >> {shift})"),
        _ => format!("({byte} >> {shift} & {mask})"),
    }
}

/// Code `at` of the row of codes `row`.
pub(super) fn of_row(row: &str, bits: u32, at: u32) -> String {
    let (low, shift, mask) = (at * bits / 8, at * bits % 8, (1u32 << bits) - 1);
    match shift {
        _ if bits == 8 => format!("{row}[{low}]"),
        _ if shift + bits > 8 => {
            format!("(({row}[{low}] | {row}[{}] << 8) >> {shift} & {mask})", low + 1)
        }
        0 => format!("({row}[{low}] & {mask})"),
        _ => format!("({row}[{low}] >> {shift} & {mask})"),
    }
}

/// spacing · code + pivot.
pub(super) fn weight(spacing: i32, code: &str, pivot: &str) -> String {
    let scaled = if spacing == 1 { code.to_string() } else { format!("{spacing} * {code}") };
    match (pivot, pivot.strip_prefix('-')) {
        ("0", _) => scaled,
        (_, Some(positive)) => format!("{scaled} - {positive}"),
        _ => format!("{scaled} + {pivot}"),
    }
}

/// The name of [`unpack`], behind the prefix.
pub(super) fn unpack_name(bits: u32, spacing: i32, count: u32) -> String {
    format!("unpack_{count}_of_{bits}_bits{}", if spacing == 1 { "" } else { "_odd" })
}

/// The function that unpacks `count` weights of `bits` bits.
pub(super) fn unpack(bits: u32, spacing: i32, count: u32) -> String {
    let mut code = Code::default();
    let spaced = if spacing == 1 { String::new() } else { format!("{spacing} * ") };
    code.line(format!("/* {count} weights: {spaced}code + pivot. */"));
    let name = unpack_name(bits, spacing, count);
    code.line(format!(
        "static inline void @prefix@_{name}(const uint8_t *codes, int32_t pivot, \
         int16_t *weights) {{"
    ));
    if 8 % bits == 0 {
        let per = 8 / bits;
        if count >= per {
            code.line(format!("for (uint32_t k = 0; k < {}; k++) {{", count / per));
            code.line("int32_t byte = codes[k];");
            for at in 0..per {
                code.line(format!(
                    "weights[{}] = (int16_t)({});",
                    index(&[("k", per)], at),
                    weight(spacing, &part("byte", bits, at), "pivot")
                ));
            }
            code.line("}");
        }
        for at in count / per * per..count {
            let own = weight(spacing, &of_row("codes", bits, at), "pivot");
            code.line(format!("weights[{at}] = (int16_t)({own});"));
        }
    } else {
        code.line("uint32_t word = 0, there = 0;");
        code.line(format!("for (uint32_t k = 0; k < {count}; k++) {{"));
        code.line(format!("if (there < {bits}) {{"));
        code.line("word |= (uint32_t)*codes++ << there;");
        code.line("there += 8;");
        code.line("}");
        let own = format!("(int32_t)(word & {})", (1u32 << bits) - 1);
        code.line(format!("weights[k] = (int16_t)({});", weight(spacing, &own, "pivot")));
        code.line(format!("word >>= {bits};"));
        code.line(format!("there -= {bits};"));
        code.line("}");
    }
    code.line("}");
    code.finish()
}
