//! Unsigned codes of 1 to 8 bits side by side in bytes: code i takes bits i·b … i·b + b − 1 of the
//! stream, whose bit n is bit n mod 8 of byte n / 8. Codes of 3, 5, 6 and 7 bits cross bytes.

/// Bytes that `count` codes of `bits` bits take.
pub const fn packed_bytes(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// `codes`, each below 2^bits, packed; bits behind the last code are 0.
pub fn pack_codes(codes: &[u8], bits: u32) -> Vec<u8> {
    let mut packed = vec![0; packed_bytes(codes.len(), bits)];
    for (index, &code) in codes.iter().enumerate() {
        let at = index * bits as usize;
        let wide = u16::from(code) << (at % 8);
        packed[at / 8] |= wide as u8;
        if wide > 255 {
            packed[at / 8 + 1] |= (wide >> 8) as u8;
        }
    }
    packed
}

/// The first `count` codes of `packed`; codes beyond its end are 0.
pub fn unpack_codes(packed: &[u8], count: usize, bits: u32) -> Vec<u8> {
    let byte = |index: usize| packed.get(index).map_or(0, |&byte| u16::from(byte));
    let mask = (1u16 << bits) - 1;
    let code = |index: usize| {
        let at = index * bits as usize;
        ((byte(at / 8) | byte(at / 8 + 1) << 8) >> (at % 8) & mask) as u8
    };
    (0..count).map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_at_every_width() {
        assert_eq!(pack_codes(&[5, 3, 6], 3), [0b1001_1101, 0b1]);
        for bits in 1..=8 {
            for count in [0, 1, 7, 8, 9, 100] {
                let codes: Vec<u8> =
                    (0..count).map(|index| ((index * 37 + 11) % (1 << bits)) as u8).collect();
                let packed = pack_codes(&codes, bits);
                assert_eq!(packed.len(), (count * bits as usize).div_ceil(8));
                assert_eq!(unpack_codes(&packed, count, bits), codes, "{bits} bits");
            }
        }
        assert_eq!(unpack_codes(&[], 3, 5), [0; 3]);
    }
}
