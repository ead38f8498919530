//! What a file computes against what saliq computes, image by image.

use serde::Serialize;

/// Two logits closer than this, relative to the image's largest, are a tie; so far may logits differ.
pub const TOLERANCE: f64 = 1e-4;

/// A quantized activation that is closer to the border between two levels than this share of its range may get the one or the other: sums in f32
/// differ by about as much with the order of their terms.
pub const UNDECIDED: f64 = 2e-6;

/// How well two sets of logits agree.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verification {
    /// Images compared.
    pub images: usize,
    /// Images of which both predict the same class.
    pub equal_predictions: usize,
    /// Images with an activation so close to the border between two levels that the rounding of f32 decides between them; their logits may
    /// differ.
    pub undecided: usize,
    /// Largest difference of a logit, as a share of the image's largest logit, over the images that are not undecided.
    pub largest_difference: f64,
    /// Largest difference over all images.
    pub largest_difference_of_all: f64,
    /// Images, not undecided, whose logits differ by more than [`TOLERANCE`], or whose predictions differ without a tie.
    pub failed: Vec<usize>,
}

impl Verification {
    /// Compares `ours` with `theirs`, both [images, classes]. `margins` say how close every image's activations come to a border
    /// ([`super::onnx::Outcome::margins`]).
    pub fn new(classes: usize, ours: &[f32], theirs: &[f64], margins: &[f64]) -> Self {
        let mut verification = Verification::default();
        for (image, (ours, theirs)) in ours.chunks_exact(classes).zip(theirs.chunks_exact(classes)).enumerate() {
            let largest = theirs.iter().fold(f64::MIN_POSITIVE, |largest, logit| largest.max(logit.abs()));
            let difference =
                ours.iter().zip(theirs).map(|(&ours, theirs)| (f64::from(ours) - theirs).abs() / largest).fold(0.0, worst);
            let (our_class, their_class) = (first_highest(ours), first_highest(theirs));
            let gap = (theirs[their_class] - theirs[our_class]) / largest;
            let undecided = margins.get(image).is_some_and(|&margin| margin < UNDECIDED);
            verification.images += 1;
            verification.equal_predictions += usize::from(our_class == their_class);
            verification.undecided += usize::from(undecided);
            verification.largest_difference_of_all = worst(verification.largest_difference_of_all, difference);
            if !undecided {
                verification.largest_difference = worst(verification.largest_difference, difference);
                let agrees = difference <= TOLERANCE && (our_class == their_class || gap <= TOLERANCE);
                verification.failed.extend((!agrees).then_some(image));
            }
        }
        verification
    }
}

/// The larger of two differences; one that is not a number is the worst.
fn worst(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::INFINITY } else { a.max(b) }
}

fn first_highest<T: Copy + PartialOrd>(logits: &[T]) -> usize {
    (1..logits.len()).fold(0, |best, class| if logits[class] > logits[best] { class } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_and_undecided_images_are_no_failures() {
        let ours = [1.0f32, 2.0, 5.0, 5.0001, 1.0, 3.0, 4.0, 0.0, 1.0, f32::NAN];
        let theirs = [1.0, 2.0, 5.0001, 5.0, 3.0, 1.0, 4.001, 0.0, 1.0, 2.0];
        let margins = [1.0, 1.0, 1e-9, f64::INFINITY, 0.5];
        let verification = Verification::new(2, &ours, &theirs, &margins);
        assert_eq!((verification.images, verification.equal_predictions, verification.undecided), (5, 2, 1));
        assert_eq!(verification.failed, [3, 4]);
        assert_eq!(verification.largest_difference, f64::INFINITY);
    }
}
