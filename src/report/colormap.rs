//! Colours for saliency values.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::colormap_tables::{INFERNO, VIRIDIS};

/// An RGB colour, 8 bits a channel (sRGB).
pub(super) type Rgb = [u8; 3];

/// Colour of values that are not numbers. No colour map contains it, so it cannot be mistaken for a
/// value.
const NOT_A_NUMBER: Rgb = [255, 0, 255];

/// A colour map for saliency values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ColorMap {
    /// Blue (negative) through white (zero) to red (positive). Lightness depends only on |value|,
    /// so a greyscale print shows the magnitude but not the sign.
    #[default]
    Diverging,
    /// Black through red to yellow, uniform in perceived lightness.
    Inferno,
    /// Dark blue through green to yellow, uniform in perceived lightness.
    Viridis,
    /// Black to white.
    Gray,
}

impl ColorMap {
    /// The colour at `position`: 0 is the lower end, 1 the upper (clamped); for signed maps 0.5 is
    /// zero. NaN is drawn in magenta.
    pub fn at(self, position: f32) -> [u8; 3] {
        if position.is_nan() {
            return NOT_A_NUMBER;
        }
        let position = position.clamp(0.0, 1.0);
        let index = (position * 255.0).round() as usize;
        match self {
            ColorMap::Diverging => diverging(2.0 * position - 1.0),
            ColorMap::Inferno => unpack(INFERNO[index]),
            ColorMap::Viridis => unpack(VIRIDIS[index]),
            ColorMap::Gray => [index as u8; 3],
        }
    }
}

fn unpack(color: u32) -> Rgb {
    let [_, red, green, blue] = color.to_be_bytes();
    [red, green, blue]
}

/// `value` ∈ −1..=1. A straight line in CIELAB from near-white to a blue and a red of the same
/// lightness L* = 40; the two end colours are close to the most saturated that sRGB has at this
/// lightness, and differ under every common colour blindness.
fn diverging(value: f32) -> Rgb {
    const WHITE: f32 = 98.0;
    const END: f32 = 40.0;
    let (chroma, hue) = if value < 0.0 { (50.0, 280.0_f32) } else { (79.0, 35.0_f32) };
    let strength = value.abs();
    let (sin, cos) = hue.to_radians().sin_cos();
    lab_to_srgb(WHITE + (END - WHITE) * strength, chroma * strength * cos, chroma * strength * sin)
}

/// CIELAB (D65) to sRGB, IEC 61966-2-1.
fn lab_to_srgb(lightness: f32, a: f32, b: f32) -> Rgb {
    let y = (lightness + 16.0) / 116.0;
    let cube = |t: f32| {
        if t > 6.0 / 29.0 { t * t * t } else { 3.0 * (6.0_f32 / 29.0).powi(2) * (t - 4.0 / 29.0) }
    };
    let (x, y, z) = (0.950_47 * cube(y + a / 500.0), cube(y), 1.088_83 * cube(y - b / 200.0));
    let linear = [
        3.240_454_2 * x - 1.537_138_5 * y - 0.498_531_4 * z,
        -0.969_266 * x + 1.876_010_8 * y + 0.041_556 * z,
        0.055_643_4 * x - 0.204_025_9 * y + 1.057_225_2 * z,
    ];
    linear.map(|v| {
        let v = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
        (v * 255.0).round().clamp(0.0, 255.0) as u8
    })
}

/// The range of the values of one map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SaliencyScale {
    /// |value| that gets the end colour; above 0.
    pub limit: f32,
    /// Whether the range is −limit..limit (else 0..limit).
    pub signed: bool,
}

impl SaliencyScale {
    /// The scale of one map. Its limit is the 99.5th percentile of |value|, so that a few extreme
    /// pixels do not wash out the rest. It is signed if any value is below 0. Values that are not
    /// finite are ignored; a map of zeros has the limit 1.
    pub fn of(values: &[f32]) -> SaliencyScale {
        let mut sizes: Vec<f32> =
            values.iter().filter(|v| v.is_finite()).map(|v| v.abs()).collect();
        let signed = values.iter().any(|&v| v < 0.0 && v.is_finite());
        let rank = ((sizes.len() as f64 * 0.995).ceil() as usize).saturating_sub(1);
        let limit = if sizes.is_empty() {
            0.0
        } else {
            let (_, &mut percentile, _) = sizes.select_nth_unstable_by(rank, f32::total_cmp);
            // If fewer pixels are lit than the percentile leaves out, the limit is the largest
            // value, so that they stay visible.
            if percentile > 0.0 { percentile } else { sizes.iter().copied().fold(0.0, f32::max) }
        };
        SaliencyScale { limit: if limit > 0.0 { limit } else { 1.0 }, signed }
    }

    /// The colour of `value`. With [`ColorMap::Diverging`] zero is white, and unsigned maps use
    /// only the positive half.
    pub fn color(self, map: ColorMap, value: f32) -> [u8; 3] {
        let share = value / self.limit;
        map.at(if self.signed || map == ColorMap::Diverging { 0.5 + 0.5 * share } else { share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, which a greyscale print preserves.
    fn luminance(color: Rgb) -> f32 {
        let [r, g, b] = color.map(|v| {
            let v = f32::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    #[test]
    fn sequential_maps_only_get_lighter_and_diverging_darkens_evenly_both_ways() {
        for map in [ColorMap::Inferno, ColorMap::Viridis, ColorMap::Gray] {
            let steps: Vec<f32> = (0..=32).map(|i| luminance(map.at(i as f32 / 32.0))).collect();
            assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{map:?} {steps:?}");
        }
        for i in 0..=64 {
            let share = i as f32 / 128.0;
            let (low, high) =
                (ColorMap::Diverging.at(0.5 - share), ColorMap::Diverging.at(0.5 + share));
            assert!((luminance(low) - luminance(high)).abs() < 0.012, "{share}: {low:?} {high:?}");
            if i > 0 {
                assert!(low[2] > low[0] && high[0] > high[2], "{share}: {low:?} {high:?}");
                let before = ColorMap::Diverging.at(0.5 + share - 1.0 / 128.0);
                assert!(luminance(high) < luminance(before));
            }
        }
    }

    #[test]
    fn known_colors() {
        assert_eq!(ColorMap::Viridis.at(0.0), [0x44, 0x01, 0x54]);
        assert_eq!(ColorMap::Viridis.at(1.0), [0xfd, 0xe7, 0x25]);
        assert_eq!(ColorMap::Gray.at(9.0), [255; 3]);
        assert_eq!(ColorMap::Gray.at(f32::NEG_INFINITY), [0; 3]);
        let white = ColorMap::Diverging.at(0.5);
        assert!(white.iter().all(|&v| v >= 248), "{white:?}");
        assert_eq!(ColorMap::Viridis.at(f32::NAN), NOT_A_NUMBER);
    }

    #[test]
    fn scale_ignores_outliers_and_survives_degenerate_maps() {
        let mut values: Vec<f32> = (0..1000).map(|i| i as f32 / 1000.0).collect();
        values[999] = 1e9;
        let scale = SaliencyScale::of(&values);
        assert_eq!(scale, SaliencyScale { limit: 0.994, signed: false });
        values[0] = -0.5;
        assert!(SaliencyScale::of(&values).signed);
        for values in
            [&[][..], &[0.0; 10], &[f32::NAN; 3], &[f32::INFINITY, f32::NEG_INFINITY], &[-0.0, 0.0]]
        {
            assert_eq!(
                SaliencyScale::of(values),
                SaliencyScale { limit: 1.0, signed: false },
                "{values:?}"
            );
        }
        let mut single = vec![0.0; 1000];
        single[3] = -2.0;
        assert_eq!(SaliencyScale::of(&single), SaliencyScale { limit: 2.0, signed: true });
        let scale = SaliencyScale { limit: 2.0, signed: false };
        assert_eq!(scale.color(ColorMap::Gray, 1.0), [128; 3]);
        assert_eq!(scale.color(ColorMap::Diverging, 0.0), ColorMap::Diverging.at(0.5));
        assert_eq!(scale.color(ColorMap::Gray, f32::NAN), NOT_A_NUMBER);
    }
}
