//! Tile sizes that were measured on an adapter and take precedence over the table's: of the matrix products in workgroup memory.
//!
//! They are data. Measuring is `bench::tuning`; where the file is and whether it is used is the program's business.

use std::{collections::BTreeMap, sync::OnceLock};

use serde::{Deserialize, Serialize};

use super::ProductTiles;
use crate::{Error, Result};

/// Products that a file may name at most.
const MOST_PRODUCTS: usize = 1024;

/// A product, as far as the choice of its tiles goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProductShape {
    /// `convolution_weight_gradient_tiled`, else `convolution_tiled`.
    pub weight_gradient: bool,
    /// Groups of 4 columns.
    pub column_groups: u32,
    /// Rows an image; groups of 4 rows of a weight gradient.
    pub rows: u32,
    /// Groups that an output sums; 0 for a weight gradient, which sums the pixels of a batch.
    pub inner: u32,
}

/// The tiles of one product, and how they did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TunedProduct {
    /// The product.
    pub product: ProductShape,
    /// Its fastest tiles.
    pub tiles: ProductTiles,
    /// Milliseconds with the table's tiles.
    pub table_ms: f64,
    /// Milliseconds with these.
    pub ms: f64,
}

/// Measured tile sizes of one adapter, as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tuning {
    /// Name, backend and driver.
    pub adapter: String,
    /// Version of the program whose kernels were measured.
    pub version: String,
    /// Products whose fastest tiles are not the table's.
    pub products: Vec<TunedProduct>,
}

static ACTIVE: OnceLock<BTreeMap<ProductShape, ProductTiles>> = OnceLock::new();

impl Tuning {
    /// Parses a file's text, which may come from anywhere.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no such file, or for tiles that no kernel could have.
    pub fn parse(text: &str) -> Result<Tuning> {
        let tuning: Tuning = serde_json::from_str(text)
            .map_err(|error| Error::Usage(format!("not a file of `saliq bench --autotune`: {error}")))?;
        if tuning.products.len() > MOST_PRODUCTS {
            return Err(Error::Usage(format!("more than {MOST_PRODUCTS} products")));
        }
        match tuning.products.iter().find(|tuned| !tuned.tiles.fit(tuned.product.weight_gradient)) {
            Some(bad) => Err(Error::Usage(format!("{:?} are not tiles that a kernel can have", bad.tiles))),
            None => Ok(tuning),
        }
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Has every network of this process that is made from now on use these tiles. Once a process: `false` if others are in use.
    pub fn activate(&self) -> bool {
        ACTIVE.set(self.products.iter().map(|tuned| (tuned.product, tuned.tiles)).collect()).is_ok()
    }

    /// The tiles in use for `product`, if any were activated.
    pub(super) fn active(product: ProductShape) -> Option<ProductTiles> {
        ACTIVE.get()?.get(&product).copied()
    }
}

impl ProductTiles {
    /// Whether kernels can have these tiles on every device: WebGPU's default limits, and what the kernels assert.
    pub fn fit(self, weight_gradient: bool) -> bool {
        const LARGEST_WORKGROUP: u32 = 256;
        const WORKGROUP_BYTES: u32 = 16 << 10;
        let ProductTiles { row_lanes, column_lanes, rows, deep, slices } = self;
        let numbers = [row_lanes, column_lanes, rows, deep, slices];
        if numbers.iter().any(|number| !(1..=LARGEST_WORKGROUP).contains(number)) || rows > 16 || deep > 64 {
            return false;
        }
        let lanes = row_lanes * column_lanes * slices;
        let groups = if weight_gradient {
            (row_lanes * rows + column_lanes) * deep
        } else {
            row_lanes * rows * (deep + 1) + 4 * deep * column_lanes + if slices > 1 { lanes } else { 0 }
        };
        let shared = if weight_gradient { slices == 1 } else { lanes % deep == 0 && deep % slices == 0 };
        lanes <= LARGEST_WORKGROUP && groups * 16 <= WORKGROUP_BYTES && shared
    }

    /// A handful of tiles to try beside these: one size doubled or halved at a time, and both sides of the square.
    pub fn neighbours(self, weight_gradient: bool) -> Vec<ProductTiles> {
        let twice = |number: u32, up: bool| if up { 2 * number } else { number / 2 };
        let mut all = Vec::new();
        for up in [false, true] {
            all.extend([
                ProductTiles { rows: twice(self.rows, up), ..self },
                ProductTiles { row_lanes: twice(self.row_lanes, up), ..self },
                ProductTiles { column_lanes: twice(self.column_lanes, up), ..self },
                ProductTiles { deep: twice(self.deep, up), ..self },
                ProductTiles { row_lanes: twice(self.row_lanes, up), rows: twice(self.rows, !up), ..self },
            ]);
        }
        all.retain(|tiles| tiles.fit(weight_gradient));
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_bounded_and_tiles_fit() {
        let tiles = ProductTiles { row_lanes: 8, column_lanes: 16, rows: 8, deep: 4, slices: 1 };
        let product = ProductShape { weight_gradient: false, column_groups: 16, rows: 576, inner: 72 };
        let tuned = TunedProduct { product, tiles, table_ms: 2.0, ms: 1.0 };
        let tuning = Tuning { adapter: "a".into(), version: "1".into(), products: vec![tuned] };
        assert_eq!(Tuning::parse(&tuning.to_text()).unwrap(), tuning);
        for (from, to) in
            [("\"rows\": 8", "\"rows\": 0"), ("\"deep\": 4", "\"deep\": 4000000000"), ("\"deep\": 4", "\"deep\": 3")]
        {
            let text = tuning.to_text().replacen(from, to, 1);
            assert_ne!(text, tuning.to_text(), "{from}");
            assert!(Tuning::parse(&text).is_err(), "{to}");
        }
        assert!(Tuning::parse("{}").is_err());
        let many = Tuning { products: vec![tuned; MOST_PRODUCTS + 1], ..tuning };
        assert!(Tuning::parse(&many.to_text()).is_err());
    }

    #[test]
    fn neighbours_are_others_that_fit() {
        let tiles = ProductTiles { row_lanes: 8, column_lanes: 16, rows: 8, deep: 4, slices: 1 };
        let near = tiles.neighbours(false);
        assert!(near.len() >= 4 && near.iter().all(|other| *other != tiles && other.fit(false)), "{near:?}");
    }
}
