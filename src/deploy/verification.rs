//! What a file computes against what saliq computes, layer by layer and image by image.

use serde::Serialize;

use super::onnx::Followed;

/// Two logits closer than this, relative to the image's largest, are a tie; so far may logits
/// differ.
pub const TOLERANCE: f64 = 1e-4;

/// A quantized activation that is closer to the border between two levels than this share of its
/// range may get the one or the other: sums in f32 differ by about as much with the order of their
/// terms.
pub const UNDECIDED: f64 = 2e-6;

/// The levels of a quantized activation, over all images.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LayerVerification {
    /// Name of the activation.
    pub name: String,
    /// Levels compared.
    pub levels: u64,
    /// Those that differ.
    pub different: u64,
    /// Those where rounding in f32 leaves more than one level open.
    pub near: u64,
    /// Those that are not among the levels that rounding leaves open: none where the file is right.
    pub unexplained: u64,
}

/// How well a file agrees with the model.
///
/// Every layer of an image starts from saliq's own levels, so that one activation at the edge
/// between two levels does not keep what follows from being judged: no image is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verification {
    /// Images run through the file.
    pub images: usize,
    /// Those whose levels and logits were compared.
    pub compared: usize,
    /// Images of which the file on its own predicts the same class.
    pub equal_predictions: usize,
    /// Images that were not compared: `images` − `compared`.
    pub undecided: usize,
    /// Images with a level that differs where rounding in f32 decides: the logits that the file
    /// makes on its own may differ.
    pub images_at_an_edge: usize,
    /// Levels compared, over all quantized activations and images.
    pub levels: u64,
    /// Those that differ.
    pub levels_different: u64,
    /// Those that differ by more than rounding explains.
    pub levels_unexplained: u64,
    /// Largest difference of a logit, as a share of the image's largest logit, from equal levels.
    pub largest_difference: f64,
    /// Largest difference where the file goes from the image to the logits on its own.
    pub largest_difference_of_all: f64,
    /// Images with levels that are not explained, with logits that differ by more than
    /// [`TOLERANCE`], or whose predictions differ without a tie.
    pub failed: Vec<usize>,
    /// A record a quantized activation, first to last.
    pub layers: Vec<LayerVerification>,
}

/// What a file made of one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finding {
    /// The levels that exact arithmetic makes of saliq's own, with those that rounding leaves open,
    /// and the logits.
    pub exact: Followed,
    /// The levels that the file made of saliq's own, an activation each, where a program other than
    /// that arithmetic ran it.
    pub levels: Option<Vec<Vec<i32>>>,
    /// The logits that the file made of saliq's own last levels, where a program other than that
    /// arithmetic ran it.
    pub logits: Option<Vec<f64>>,
    /// The logits that the file made of the image on its own.
    pub alone: Vec<f64>,
}

impl Verification {
    /// Adds an image: saliq's own levels, a quantized activation each, and logits, and what the
    /// file made.
    pub fn add(&mut self, own_levels: &[&[i32]], own_logits: &[f32], finding: &Finding) {
        let mut differs = false;
        let mut unexplained = 0;
        for (at, (own, exact)) in own_levels.iter().zip(&finding.exact.activations).enumerate() {
            if self.layers.len() == at {
                self.layers.push(LayerVerification {
                    name: exact.name.clone(),
                    ..LayerVerification::default()
                });
            }
            let made =
                finding.levels.as_ref().and_then(|levels| levels.get(at)).unwrap_or(&exact.levels);
            let layer = &mut self.layers[at];
            let before = layer.clone();
            for ((own, made), [low, high]) in own.iter().zip(made).zip(&exact.open) {
                let open = low..=high;
                layer.levels += 1;
                layer.different += u64::from(own != made);
                layer.near += u64::from(low != high);
                layer.unexplained += u64::from(!open.contains(&own) || !open.contains(&made));
            }
            differs |= layer.different > before.different;
            self.levels += layer.levels - before.levels;
            self.levels_different += layer.different - before.different;
            unexplained += layer.unexplained - before.unexplained;
        }
        self.levels_unexplained += unexplained;
        let exact = compare(own_logits, &finding.exact.logits);
        let made = finding.logits.as_ref().map_or(exact, |logits| compare(own_logits, logits));
        let alone = compare(own_logits, &finding.alone);
        let agrees =
            unexplained == 0 && exact.agrees() && made.agrees() && (differs || alone.agrees());
        self.failed.extend((!agrees).then_some(self.images));
        self.images += 1;
        self.compared += 1;
        self.equal_predictions += usize::from(alone.equal_classes);
        self.images_at_an_edge += usize::from(differs);
        self.largest_difference =
            worst(self.largest_difference, worst(exact.difference, made.difference));
        self.largest_difference_of_all = worst(self.largest_difference_of_all, alone.difference);
    }

    /// Why the file does not pass: `None` where it does.
    pub fn failure(&self) -> Option<String> {
        let images = self.images;
        if self.compared == 0 {
            return Some(format!("of {images} images none was compared: nothing is verified"));
        }
        let first = self.failed.first()?;
        let layer = self.layers.iter().find(|layer| layer.unexplained > 0).map_or_else(
            || format!("logits differ by up to {:.1e} of the largest", self.largest_difference),
            |layer| {
                format!(
                    "{}: {} of {} levels differ by more than rounding explains",
                    layer.name, layer.unexplained, layer.levels
                )
            },
        );
        Some(format!(
            "differs from the model on {} of {images} images, first image {first}; {layer}",
            self.failed.len()
        ))
    }
}

/// Two sets of logits of an image.
#[derive(Clone, Copy)]
struct Comparison {
    difference: f64,
    equal_classes: bool,
    tie: bool,
}

impl Comparison {
    fn agrees(self) -> bool {
        self.difference <= TOLERANCE && (self.equal_classes || self.tie)
    }
}

fn compare(ours: &[f32], theirs: &[f64]) -> Comparison {
    if ours.len() != theirs.len() || ours.is_empty() {
        return Comparison { difference: f64::INFINITY, equal_classes: false, tie: false };
    }
    let largest = theirs.iter().fold(f64::MIN_POSITIVE, |largest, logit| largest.max(logit.abs()));
    let difference = ours
        .iter()
        .zip(theirs)
        .map(|(&ours, theirs)| (f64::from(ours) - theirs).abs() / largest)
        .fold(0.0, worst);
    let (our_class, their_class) = (first_highest(ours), first_highest(theirs));
    let gap = (theirs[their_class] - theirs[our_class]) / largest;
    Comparison { difference, equal_classes: our_class == their_class, tie: gap <= TOLERANCE }
}

/// The larger of two differences; one that is not a number is the worst.
fn worst(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::INFINITY } else { a.max(b) }
}

/// The class of the highest logit; the first of equal ones.
pub(crate) fn first_highest<T: Copy + PartialOrd>(logits: &[T]) -> usize {
    (1..logits.len()).fold(0, |best, class| if logits[class] > logits[best] { class } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::onnx::FollowedActivation;

    fn of(logits: [f64; 2]) -> Finding {
        Finding {
            exact: Followed { logits: logits.to_vec(), ..Followed::default() },
            alone: logits.to_vec(),
            ..Finding::default()
        }
    }

    #[test]
    fn ties_are_no_failures() {
        let mut verification = Verification::default();
        assert!(verification.failure().is_some_and(|reason| reason.contains("none was compared")));
        for (ours, theirs) in [
            ([1.0f32, 2.0], [1.0, 2.0]),
            ([5.0, 5.0001], [5.0001, 5.0]),
            ([4.0, 0.0], [4.001, 0.0]),
            ([1.0, f32::NAN], [1.0, 2.0]),
        ] {
            verification.add(&[], &ours, &of(theirs));
        }
        assert_eq!(
            (verification.images, verification.compared, verification.equal_predictions),
            (4, 4, 2)
        );
        assert_eq!(verification.failed, [2, 3]);
        assert_eq!(verification.largest_difference, f64::INFINITY);
    }

    #[test]
    fn levels_at_an_edge_are_counted_and_others_are_failures() {
        let activation = FollowedActivation {
            name: "act1".into(),
            levels: vec![1, 2],
            open: vec![[1, 1], [2, 3]],
        };
        let exact = Followed { activations: vec![activation], logits: vec![1.0, 2.0] };
        // On its own the file differs, for a level at an edge.
        let finding = Finding { exact, alone: vec![1.0, 2.5], ..Finding::default() };
        let mut verification = Verification::default();
        verification.add(&[&[1, 3]], &[1.0, 2.0], &finding);
        assert_eq!(verification.failure(), None);
        assert_eq!(
            (verification.levels, verification.levels_different, verification.images_at_an_edge),
            (2, 1, 1)
        );
        assert_eq!(
            (verification.largest_difference, verification.largest_difference_of_all),
            (0.0, 0.2)
        );
        // The same difference without one.
        verification.add(&[&[1, 2]], &[1.0, 2.0], &finding);
        verification.add(&[&[0, 2]], &[1.0, 2.0], &finding);
        // A program that ran the file made another level.
        verification.add(
            &[&[1, 2]],
            &[1.0, 2.0],
            &Finding { levels: Some(vec![vec![1, 1]]), alone: vec![1.0, 2.0], ..finding },
        );
        assert_eq!(verification.failed, [1, 2, 3]);
        assert_eq!((verification.levels_unexplained, verification.layers[0].near), (2, 4));
    }
}
