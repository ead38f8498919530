//! Tile sizes that were measured on an adapter and take precedence over the table's: of the matrix
//! products in workgroup memory.
//!
//! They are data that a [`super::Gpu`] carries, so that two devices of one process have their own.
//! Measuring is `bench::tuning`; where the file is and whether it is used is the program's
//! business.

use serde::{Deserialize, Serialize};

use crate::shaders::Specialization;
use crate::{Error, Result, error::phrase};

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

/// Tiles of a matrix product in workgroup memory: ROW_LANES·ROWS rows (groups of 4 rows in a weight
/// gradient) × COLUMN_LANES groups of 4 columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProductTiles {
    /// Invocations side by side along the rows.
    pub row_lanes: u32,
    /// Invocations side by side along the columns, each with a group of 4.
    pub column_lanes: u32,
    /// Rows an invocation.
    pub rows: u32,
    /// Length of a slab along the inner dimension.
    pub deep: u32,
    /// Sets of invocations that share a slab.
    pub slices: u32,
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

impl Tuning {
    /// Parses a file's text, which may come from anywhere.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no such file, or for tiles that no kernel could have.
    pub fn parse(text: &str) -> Result<Tuning> {
        let tuning: Tuning = serde_json::from_str(text).map_err(|error| {
            Error::Settings(phrase!("not a file of `saliq bench` with <autotune>: {}", error))
        })?;
        if tuning.products.len() > MOST_PRODUCTS {
            return Err(Error::Usage(format!("more than {MOST_PRODUCTS} products")));
        }
        match tuning.products.iter().find(|tuned| !tuned.tiles.fit(tuned.product.weight_gradient)) {
            Some(bad) => {
                Err(Error::Usage(format!("{:?} are not tiles that a kernel can have", bad.tiles)))
            }
            None => Ok(tuning),
        }
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The fastest tiles of `product`, where they are not the table's.
    pub fn tiles_of(&self, product: ProductShape) -> Option<ProductTiles> {
        self.products.iter().rfind(|tuned| tuned.product == product).map(|tuned| tuned.tiles)
    }
}

impl ProductTiles {
    /// Adds the tiles to a kernel's specialization.
    pub fn specialize(self, specialization: Specialization) -> Specialization {
        specialization
            .tile("ROW_LANES", self.row_lanes)
            .tile("COLUMN_LANES", self.column_lanes)
            .tile("ROWS", self.rows)
            .tile("DEEP", self.deep)
            .tile("SLICES", self.slices)
    }

    /// (tiles along the rows, tiles along the columns) of a product of `rows` × `column_groups`
    /// groups.
    pub fn workgroups(self, rows: u32, column_groups: u32) -> (u32, u32) {
        (rows.div_ceil(self.row_lanes * self.rows), column_groups.div_ceil(self.column_lanes))
    }

    /// Whether kernels can have these tiles on every device: WebGPU's default limits, and what the
    /// kernels assert.
    pub fn fit(self, weight_gradient: bool) -> bool {
        const LARGEST_WORKGROUP: u32 = 256;
        const WORKGROUP_BYTES: u32 = 16 << 10;
        let ProductTiles { row_lanes, column_lanes, rows, deep, slices } = self;
        let numbers = [row_lanes, column_lanes, rows, deep, slices];
        if numbers.iter().any(|number| !(1..=LARGEST_WORKGROUP).contains(number))
            || rows > 16
            || deep > 64
        {
            return false;
        }
        let lanes = row_lanes * column_lanes * slices;
        let groups = if weight_gradient {
            (row_lanes * rows + column_lanes) * deep
        } else {
            row_lanes * rows * (deep + 1)
                + 4 * deep * column_lanes
                + if slices > 1 { lanes } else { 0 }
        };
        let shared =
            if weight_gradient { slices == 1 } else { lanes % deep == 0 && deep % slices == 0 };
        lanes <= LARGEST_WORKGROUP && groups * 16 <= WORKGROUP_BYTES && shared
    }

    /// A handful of tiles to try beside these: one size doubled or halved at a time, and both sides
    /// of the square.
    pub fn neighbours(self, weight_gradient: bool) -> Vec<ProductTiles> {
        let twice = |number: u32, up: bool| if up { 2 * number } else { number / 2 };
        let mut all = Vec::new();
        for up in [false, true] {
            all.extend([
                ProductTiles { rows: twice(self.rows, up), ..self },
                ProductTiles { row_lanes: twice(self.row_lanes, up), ..self },
                ProductTiles { column_lanes: twice(self.column_lanes, up), ..self },
                ProductTiles { deep: twice(self.deep, up), ..self },
                ProductTiles {
                    row_lanes: twice(self.row_lanes, up),
                    rows: twice(self.rows, !up),
                    ..self
                },
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
        let product =
            ProductShape { weight_gradient: false, column_groups: 16, rows: 576, inner: 72 };
        let tuned = TunedProduct { product, tiles, table_ms: 2.0, ms: 1.0 };
        let tuning = Tuning { adapter: "a".into(), version: "1".into(), products: vec![tuned] };
        assert_eq!(Tuning::parse(&tuning.to_text()).unwrap(), tuning);
        for (from, to) in [
            ("\"rows\": 8", "\"rows\": 0"),
            ("\"deep\": 4", "\"deep\": 4000000000"),
            ("\"deep\": 4", "\"deep\": 3"),
        ] {
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
        assert!(
            near.len() >= 4 && near.iter().all(|other| *other != tiles && other.fit(false)),
            "{near:?}"
        );
    }
}
