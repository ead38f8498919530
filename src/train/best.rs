//! The best model so far, by the validation images.

use super::lines::EpochLine;

/// The best epoch of a run: highest accuracy on the validation images, then lowest loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Best {
    figures: Option<(f64, f64)>,
    /// Epochs since then.
    since: u32,
}

impl Best {
    /// That of the epochs `lines`.
    pub fn of<'a>(lines: impl IntoIterator<Item = &'a EpochLine>) -> Best {
        let mut best = Best::default();
        for line in lines {
            best.add(line);
        }
        best
    }

    /// Takes an epoch in. Returns whether it is the best so far; one without validation images is
    /// not.
    pub fn add(&mut self, line: &EpochLine) -> bool {
        let Some((accuracy, loss)) = line.validation_accuracy.zip(line.validation_loss) else {
            return false;
        };
        let is_better = self
            .figures
            .is_none_or(|(best, least)| accuracy > best || accuracy == best && loss < least);
        if is_better {
            *self = Best { figures: Some((accuracy, loss)), since: 0 };
        } else {
            self.since += 1;
        }
        is_better
    }

    /// Whether `patience` epochs were no better.
    pub fn is_over(&self, patience: Option<u32>) -> bool {
        patience.is_some_and(|patience| self.since >= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(accuracy: f64, loss: f64) -> EpochLine {
        EpochLine {
            validation_accuracy: Some(accuracy),
            validation_loss: Some(loss),
            ..EpochLine::default()
        }
    }

    #[test]
    fn the_best_epoch_is_the_most_accurate_then_the_surest() {
        let mut best = Best::default();
        let lines = [(0.8, 0.5), (0.8, 0.6), (0.8, 0.4), (0.7, 0.1), (0.9, 0.9), (0.9, f64::NAN)];
        let found = lines.map(|(accuracy, loss)| best.add(&line(accuracy, loss)));
        assert_eq!(found, [true, false, true, false, true, false]);
        assert!(best.is_over(Some(1)) && !best.is_over(Some(2)) && !best.is_over(None));
        assert_eq!(Best::of(&lines.map(|(accuracy, loss)| line(accuracy, loss))), best);
        let without = EpochLine { validation_accuracy: None, ..line(1.0, 0.0) };
        assert!(!best.add(&without) && !Best::of(&[without]).is_over(Some(1)));
    }
}
