//! Distillation: the divergence of a student's predictions from its teacher's.

use super::logits::log_softmax;

/// An image's term of D = mean D_KL(teacher ‖ student) over a batch of `batch` images, with the
/// gradient of `weight`·D with respect to the student's logits of each of its copies. `copies` are
/// (student, teacher) logits of the image, and of its masked copy where it has one.
pub fn distill_loss(
    copies: &[(&[f64], &[f64])],
    batch: usize,
    weight: f64,
) -> (f64, Vec<Vec<f64>>) {
    let share = 1.0 / copies.len() as f64;
    let mut term = 0.0;
    let gradients = copies.iter().map(|(student, teacher)| {
        let (log_p, log_t) = (log_softmax(student), log_softmax(teacher));
        let divergence: f64 = log_t.iter().zip(&log_p).map(|(t, p)| t.exp() * (t - p)).sum();
        term += share * divergence.max(0.0);
        let scale = weight * share / batch as f64;
        log_t.iter().zip(&log_p).map(|(t, p)| scale * (p.exp() - t.exp())).collect()
    });
    let gradients = gradients.collect();
    (term, gradients)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: [f64; 4] = [0.3, -1.2, 2.0, 0.7];
    const MASKED: [f64; 4] = [1.1, 0.2, -0.4, 0.9];
    const TEACHER: [[f64; 4]; 2] = [[2.0, 0.1, 0.4, -0.7], [-0.2, 0.6, 0.5, 0.0]];

    #[test]
    fn gradients_are_the_differences() {
        let term = |clean: &[f64], masked: &[f64]| {
            distill_loss(&[(clean, &TEACHER[0]), (masked, &TEACHER[1])], 1, 1.0).0
        };
        let copies = [(&CLEAN[..], &TEACHER[0][..]), (&MASKED[..], &TEACHER[1][..])];
        let (_, gradients) = distill_loss(&copies, 5, 0.7);
        for class in 0..CLEAN.len() {
            let slope = |of: &dyn Fn(f64) -> f64| 0.7 / 5.0 * (of(1e-6) - of(-1e-6)) / 2e-6;
            let moved = |logits: [f64; 4], by: f64| {
                let mut logits = logits;
                logits[class] += by;
                logits
            };
            let clean = slope(&|by| term(&moved(CLEAN, by), &MASKED));
            let masked = slope(&|by| term(&CLEAN, &moved(MASKED, by)));
            assert!((gradients[0][class] - clean).abs() < 1e-8);
            assert!((gradients[1][class] - masked).abs() < 1e-8);
        }
        // An image without a copy is a term of its own.
        let alone = distill_loss(&copies[..1], 5, 0.7);
        let both = distill_loss(&[copies[0], copies[0]], 5, 0.7);
        assert!((alone.0 - both.0).abs() < 1e-15);
        assert!((alone.1[0][2] - 2.0 * both.1[0][2]).abs() < 1e-15);
    }

    #[test]
    fn equal_predictions_have_no_divergence() {
        for shift in 0..100 {
            let shifted = CLEAN.map(|z| z + f64::from(shift) / 7.0);
            let (term, gradients) = distill_loss(&[(&shifted, &CLEAN)], 1, 1.0);
            assert!((0.0..1e-12).contains(&term));
            assert!(gradients[0].iter().all(|value| value.abs() < 1e-12));
        }
    }
}
