//! The loss of Saliency Guided Training and its gradient (algorithm 1, step 4).

use super::logits::{log_softmax, predicted_class};

/// What one image adds to the loss, and the loss's gradient with respect to its logits.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageLoss {
    /// Cross entropy of the clean image.
    pub cross_entropy: f64,
    /// D_KL(p ‖ p̃) of the clean and the masked prediction; 0 where rounding leaves less.
    pub divergence: f64,
    /// Whether the first highest logit is the label's.
    pub correct: bool,
    /// Gradient with respect to the clean logits.
    pub clean_gradient: Vec<f64>,
    /// Gradient with respect to the masked logits.
    pub masked_gradient: Vec<f64>,
}

/// An image's share of L = mean CE + λ · mean D_KL over a batch of `batch` images; `masked` is
/// absent without SGT.
pub fn sgt_loss(
    clean: &[f64],
    masked: Option<&[f64]>,
    label: usize,
    batch: usize,
    lambda: f64,
    stop_gradient: bool,
) -> ImageLoss {
    weighted(clean, masked, (label, 1.0 / batch as f64), batch, lambda, stop_gradient)
}

/// As [`sgt_loss`], where the cross entropy is the weighted mean Σ w_y CE / Σ w_y over the batch:
/// `label_share` is the image's w_y / Σ w_y. The cross entropy that is returned is that of which
/// the weighted mean is the mean, N · w_y / Σ w_y · CE.
pub fn weighted(
    clean: &[f64],
    masked: Option<&[f64]>,
    (label, label_share): (usize, f64),
    batch: usize,
    lambda: f64,
    stop_gradient: bool,
) -> ImageLoss {
    let log_p = log_softmax(clean);
    let log_q = masked.map_or_else(|| log_p.clone(), log_softmax);
    let divergence: f64 = log_p.iter().zip(&log_q).map(|(p, q)| p.exp() * (p - q)).sum();
    let share = 1.0 / batch as f64;
    let classes = 0..clean.len();
    let clean_gradient = classes.clone().map(|c| {
        let cross_entropy = log_p[c].exp() - f64::from(u8::from(c == label));
        let through_clean =
            if stop_gradient { 0.0 } else { log_p[c].exp() * (log_p[c] - log_q[c] - divergence) };
        label_share * cross_entropy + share * lambda * through_clean
    });
    ImageLoss {
        cross_entropy: -log_p[label] * batch as f64 * label_share,
        divergence: if divergence < 0.0 { 0.0 } else { divergence },
        correct: predicted_class(clean) == label,
        clean_gradient: clean_gradient.collect(),
        masked_gradient: classes
            .map(|c| share * lambda * (log_q[c].exp() - log_p[c].exp()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: [f64; 4] = [0.3, -1.2, 2.0, 0.7];
    const MASKED: [f64; 4] = [1.1, 0.2, -0.4, 0.9];
    const LABEL: usize = 3;
    const BATCH: usize = 5;
    const LAMBDA: f64 = 0.7;

    fn loss(clean: &[f64], masked: &[f64]) -> f64 {
        let own = sgt_loss(clean, Some(masked), LABEL, BATCH, LAMBDA, false);
        (own.cross_entropy + LAMBDA * own.divergence) / BATCH as f64
    }

    /// Central difference of `function` along component `index` of `at`.
    fn slope(function: impl Fn(&[f64]) -> f64, at: &[f64], index: usize) -> f64 {
        let step = 1e-6;
        let moved = |by: f64| {
            let mut point = at.to_vec();
            point[index] += by;
            function(&point)
        };
        (moved(step) - moved(-step)) / (2.0 * step)
    }

    #[test]
    fn gradients_are_the_differences() {
        let own = sgt_loss(&CLEAN, Some(&MASKED), LABEL, BATCH, LAMBDA, false);
        for class in 0..CLEAN.len() {
            let clean = slope(|clean| loss(clean, &MASKED), &CLEAN, class);
            let masked = slope(|masked| loss(&CLEAN, masked), &MASKED, class);
            assert!((own.clean_gradient[class] - clean).abs() < 1e-8);
            assert!((own.masked_gradient[class] - masked).abs() < 1e-8);
        }
    }

    /// Weights 0.5, 2 and 1.25 of three images, by the definition of the weighted mean.
    #[test]
    fn gradients_of_weighted_means_are_the_differences() {
        let images = [(CLEAN, 3), (MASKED, 0), ([0.1, 0.4, -0.3, 1.5], 2)];
        let weights = [0.5, 2.0, 1.25];
        let total: f64 = weights.iter().sum();
        let mean = |images: &[([f64; 4], usize)]| {
            let of = |((clean, label), weight): (&([f64; 4], usize), &f64)| {
                weight * sgt_loss(clean, None, *label, 1, 0.0, false).cross_entropy
            };
            images.iter().zip(&weights).map(of).sum::<f64>() / total
        };
        let divergences = |images: &[([f64; 4], usize)]| {
            let of = |(clean, _): &([f64; 4], usize)| {
                sgt_loss(clean, Some(&MASKED), 0, 1, LAMBDA, false).divergence
            };
            images.iter().map(of).sum::<f64>() / 3.0
        };
        let mut sum = 0.0;
        for (number, (clean, label)) in images.iter().enumerate() {
            let share = (*label, weights[number] / total);
            let own = weighted(clean, Some(&MASKED), share, 3, LAMBDA, false);
            sum += own.cross_entropy / 3.0;
            for class in 0..CLEAN.len() {
                let difference = slope(
                    |clean| {
                        let mut moved = images;
                        moved[number].0.copy_from_slice(clean);
                        mean(&moved) + LAMBDA * divergences(&moved)
                    },
                    clean,
                    class,
                );
                assert!((own.clean_gradient[class] - difference).abs() < 1e-8);
            }
        }
        assert!((sum - mean(&images)).abs() < 1e-12);
    }

    #[test]
    fn a_stopped_gradient_leaves_the_cross_entropy_at_the_clean_image() {
        let own = sgt_loss(&CLEAN, Some(&MASKED), LABEL, BATCH, LAMBDA, true);
        for class in 0..CLEAN.len() {
            let alone = slope(
                |clean| sgt_loss(clean, None, LABEL, 1, 0.0, false).cross_entropy / BATCH as f64,
                &CLEAN,
                class,
            );
            assert!((own.clean_gradient[class] - alone).abs() < 1e-8);
        }
        assert_eq!(
            own.masked_gradient,
            sgt_loss(&CLEAN, Some(&MASKED), LABEL, BATCH, LAMBDA, false).masked_gradient
        );
    }

    #[test]
    fn equal_predictions_have_no_divergence() {
        let own = sgt_loss(&CLEAN, Some(&CLEAN), 0, 1, 1.0, false);
        assert_eq!(own.divergence, 0.0);
        // Log-softmaxes of shifted logits differ by rounding alone.
        for shift in 1..200 {
            let shifted = CLEAN.map(|z| z + f64::from(shift) / 7.0);
            assert!(sgt_loss(&CLEAN, Some(&shifted), 0, 1, 1.0, false).divergence >= 0.0);
        }
        assert!(own.masked_gradient.iter().all(|&g| g == 0.0));
    }
}
