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
    let log_p = log_softmax(clean);
    let log_q = masked.map_or_else(|| log_p.clone(), log_softmax);
    let divergence: f64 = log_p.iter().zip(&log_q).map(|(p, q)| p.exp() * (p - q)).sum();
    let share = 1.0 / batch as f64;
    let classes = 0..clean.len();
    let clean_gradient = classes.clone().map(|c| {
        let cross_entropy = log_p[c].exp() - f64::from(u8::from(c == label));
        let through_clean =
            if stop_gradient { 0.0 } else { log_p[c].exp() * (log_p[c] - log_q[c] - divergence) };
        share * (cross_entropy + lambda * through_clean)
    });
    ImageLoss {
        cross_entropy: -log_p[label],
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
