//! The network of Table I in a file that does not say what its network is: finds the images that
//! its tensors can belong to.

use super::tensors::TensorFile;
use crate::{
    Error, Remedy, Result,
    config::{LayerKind, NetworkConfig, Padding, Shape},
};

/// Images that the tensors of a file can belong to, and the padding of its convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    /// Rows and columns of zeros on each side, for both convolutions.
    padding: u32,
    height: u32,
    width: u32,
}

impl Reading {
    /// Rows or columns that remain of `size` behind both convolutions and the pool.
    fn pooled(size: u32, padding: u32) -> u32 {
        (size + 4 * padding).saturating_sub(4) / 2
    }

    /// Number of features per channel at the first fully connected layer.
    fn features(self) -> u64 {
        let [height, width] =
            [self.height, self.width].map(|size| u64::from(Reading::pooled(size, self.padding)));
        height * width
    }
}

/// `without padding`, or the padding in words.
fn padded(padding: u32) -> String {
    if padding == 0 { "without padding".into() } else { format!("with padding {padding}") }
}

/// `1×28×28`.
fn sizes(shape: Shape) -> String {
    format!("{}×{}×{}", shape.channels, shape.height, shape.width)
}

/// The information of the tensors about a network with the layers of Table I.
pub(super) struct TableOne {
    channels: u32,
    classes: u32,
    /// Number of features per channel at fc1.
    features: u64,
    batch_norm: bool,
}

impl TableOne {
    /// The file's network, if its layers are those of Table I.
    ///
    /// # Errors
    /// The first difference; the caller adds the file's name.
    pub fn of(file: &TensorFile) -> Result<TableOne, String> {
        let shape = |name: &str| -> Result<&[usize], String> {
            let found = file.tensor(name).map(|tensor| tensor.shape.as_slice());
            found.ok_or_else(|| {
                format!(
                    "has no `saliq` metadata, and no {name} as the network of Table I has (conv1, \
                     conv2, fc1, fc2 as PyTorch names them)"
                )
            })
        };
        let unlike = |name: &str, found: &[usize], expected: &str| {
            format!(
                "{name} has shape {found:?} where the network of Table I has {expected}: it is \
                 another network"
            )
        };
        let (conv1, conv2) = (shape("conv1.weight")?, shape("conv2.weight")?);
        let (fc1, fc2) = (shape("fc1.weight")?, shape("fc2.weight")?);
        let &[32, channels @ 1..=64, 3, 3] = conv1 else {
            return Err(unlike("conv1.weight", conv1, "[32, C, 3, 3]"));
        };
        if *conv2 != [64, 32, 3, 3] {
            return Err(unlike("conv2.weight", conv2, "[64, 32, 3, 3]"));
        }
        let features = match *fc1 {
            [128, features] if features > 0 && features % 64 == 0 => features / 64,
            _ => return Err(unlike("fc1.weight", fc1, "[128, 64·H·W]")),
        };
        let classes = match *fc2 {
            [classes, 128] if classes >= 2 => u32::try_from(classes).ok(),
            _ => None,
        };
        let Some(classes) = classes else {
            return Err(unlike("fc2.weight", fc2, "[classes, 128]"));
        };
        let batch_norm = file.tensor("bn1.weight").is_some();
        Ok(TableOne { channels: channels as u32, classes, features: features as u64, batch_norm })
    }

    fn network(&self, reading: Reading) -> NetworkConfig {
        let input = Shape::new(self.channels, reading.height, reading.width);
        let mut network = NetworkConfig::table_one(input, self.classes, [0.0; 2]);
        for layer in &mut network.layers {
            if let LayerKind::Conv(own) = &mut layer.kind {
                own.padding = Padding::Sides([reading.padding; 4]);
            }
        }
        if self.batch_norm { network.with_batch_norm() } else { network }
    }

    fn described(&self, reading: Reading) -> String {
        let shape = Shape::new(self.channels, reading.height, reading.width);
        format!(
            "the network of Table I {}, for images of {}",
            padded(reading.padding),
            sizes(shape)
        )
    }

    /// The network for `images` (their name and shape), whose convolutions have one of `paddings`,
    /// and the assumptions in words.
    ///
    /// # Errors
    /// [`Unread::Ask`] if several networks fit, with their names; otherwise the reason why none
    /// fits. The caller adds the file's name.
    pub fn read(
        &self,
        images: Option<(&str, Shape)>,
        paddings: &[u32],
    ) -> Result<(NetworkConfig, String), Unread> {
        let Some((name, shape)) = images else { return self.read_alone(paddings) };
        let readings = paddings.iter().map(|&padding| Reading {
            padding,
            height: shape.height,
            width: shape.width,
        });
        let fits = |reading: &Reading| {
            shape.channels == self.channels && reading.features() == self.features
        };
        if let Some(reading) = readings.clone().find(fits) {
            return Ok((
                self.network(reading),
                format!("{}, as {name} has them", self.described(reading)),
            ));
        }
        // The tensors have the published sizes, and the images have others.
        if let Some(published) = self.published() {
            return Ok(published);
        }
        if shape.channels != self.channels {
            return Err(Unread::Other(format!(
                "conv1.weight takes images of {} channels, and {name} has images of {}",
                self.channels,
                sizes(shape)
            )));
        }
        let given: Vec<_> = readings
            .map(|reading| format!("{} 64·{}", padded(reading.padding), reading.features()))
            .collect();
        Err(Unread::Unfit(format!(
            "fc1.weight takes 64·{} features, and images of {} ({name}) give the network of Table \
             I other numbers ({})",
            self.features,
            sizes(shape),
            given.join(", ")
        )))
    }

    /// The network of the paper itself, for grey images of 28×28, if the tensors have its sizes.
    fn published(&self) -> Option<(NetworkConfig, String)> {
        let reading = Reading { padding: 0, height: 28, width: 28 };
        let is_published = self.channels == 1 && self.features == reading.features();
        is_published.then(|| (self.network(reading), self.described(reading)))
    }

    /// As [`Self::read`], for unknown images: only the paper's own sizes are accepted without a
    /// question.
    fn read_alone(&self, paddings: &[u32]) -> Result<(NetworkConfig, String), Unread> {
        if let Some(published) = self.published() {
            return Ok(published);
        }
        let side = self.features.isqrt();
        if side * side != self.features {
            return Err(Unread::Ask(format!(
                "fc1.weight takes 64·{} features, which images that are not square give in several \
                 ways",
                self.features
            )));
        }
        let options: Vec<_> = paddings
            .iter()
            .map(|&padding| {
                let least = 2 * side + 4 - 4 * u64::from(padding);
                let shape = |size: u64| format!("{}×{size}×{size}", self.channels);
                format!(
                    "{} for images of {} or {}",
                    padded(padding),
                    shape(least),
                    shape(least + 1)
                )
            })
            .collect();
        Err(Unread::Ask(format!("may be the network of Table I {}", options.join(", or "))))
    }
}

/// Why a file's network is not known.
#[derive(Debug)]
pub(super) enum Unread {
    /// Several networks fit, so the user is asked.
    Ask(String),
    /// No network fits these images.
    Unfit(String),
    /// No network fits any images.
    Other(String),
}

impl Unread {
    /// The error with the file's name.
    pub fn error(self, path: &std::path::Path) -> Error {
        match self {
            Unread::Ask(reason) => Error::unsaid(path, &reason, Remedy::NetworkOrImages),
            Unread::Unfit(reason) => Error::unfit(path, &reason, Remedy::NetworkOrImages),
            Unread::Other(reason) => Error::format(path, reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(channels: u32, features: u64) -> TableOne {
        TableOne { channels, classes: 10, features, batch_norm: false }
    }

    /// For images of every shape that a network can be trained on, the network is read correctly or
    /// the user is asked.
    #[test]
    fn what_was_built_is_read() {
        for padding in [0, 1] {
            for (height, width) in
                [(28, 28), (27, 27), (29, 29), (32, 32), (6, 6), (7, 6), (20, 31), (31, 20)]
            {
                let shape = Shape::new(3, height, width);
                let built = table(3, 1).network(Reading { padding, height, width });
                let pooled = built.shapes().unwrap()[4];
                assert_eq!(
                    Reading { padding, height, width }.features(),
                    u64::from(pooled.pixels())
                );
                let (read, said) =
                    table(3, u64::from(pooled.pixels())).read(Some(("d", shape)), &[0, 1]).unwrap();
                assert_eq!(read, built, "{said}");
                assert!(matches!(
                    table(3, u64::from(pooled.pixels())).read(None, &[0, 1]),
                    Err(Unread::Ask(_))
                ));
            }
        }
    }

    #[test]
    fn only_the_published_sizes_need_no_data_set() {
        let (network, said) = table(1, 144).read(None, &[0, 1]).unwrap();
        assert_eq!(network, NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.0; 2]));
        assert!(said.contains("without padding") && said.contains("1×28×28"));
        let Err(Unread::Ask(reason)) = table(3, 256).read(None, &[0, 1]) else { panic!("guessed") };
        for reading in ["3×36×36", "3×37×37", "3×32×32", "3×33×33"] {
            assert!(reason.contains(reading), "{reason}");
        }
        let Err(Unread::Unfit(reason)) =
            table(1, 121).read(Some(("digits", Shape::new(1, 28, 28))), &[0, 1])
        else {
            panic!()
        };
        assert!(
            reason.contains("64·121") && reason.contains("64·144") && reason.contains("64·196"),
            "{reason}"
        );
    }
}
