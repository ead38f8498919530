//! Shares of images that are in the order of their classes, as in a folder of pictures.

use std::collections::BTreeMap;

use super::{Dataset, Split, dataset::tail_length};
use crate::{
    config::Shape,
    random::{TEST_SHARE, random_bits, random_key},
};

/// The step of the key: the choice of test images has 0.
const STEP: u32 = 1;

impl Dataset {
    /// Whether the training images are files in the order of at least two classes: the first or last
    /// of them then lack classes.
    pub fn is_in_order_of_classes(&self) -> bool {
        let labels = &self.train.labels;
        !self.details.train_files.is_empty()
            && labels.is_sorted()
            && labels.first() != labels.last()
    }
}

impl Split {
    /// `limit` images, and of these `share` (0..1, rounded) to validate with, of every class alike,
    /// chosen by `seed`. Both are in file order.
    pub fn spread(&self, limit: usize, share: f32, seed: u64, shape: Shape) -> (Split, Split) {
        let order = spread_order(&self.labels, seed);
        let kept = &order[..limit.min(order.len())];
        let (train, validation) = kept.split_at(kept.len() - tail_length(kept.len(), share));
        let select = |places: &[usize]| {
            let mut places = places.to_vec();
            places.sort_unstable();
            self.select(&places, shape)
        };
        (select(train), select(validation))
    }
}

/// The places of `labels` in an order in which every stretch has all classes in proportion: within a
/// class by `seed`, and the k-th of n images of a class at (k + 1/2) / n.
fn spread_order(labels: &[u32], seed: u64) -> Vec<usize> {
    let mut classes = BTreeMap::<u32, Vec<usize>>::new();
    for (place, &label) in labels.iter().enumerate() {
        classes.entry(label).or_default().push(place);
    }
    let key = random_key(seed, STEP, TEST_SHARE);
    let mut order: Vec<(f64, u32, usize)> = Vec::with_capacity(labels.len());
    for (class, mut places) in classes {
        places.sort_by_cached_key(|&place| random_bits(key, place as u32, 0, 0));
        let count = places.len() as f64;
        let at = |(k, place): (usize, usize)| ((k as f64 + 0.5) / count, class, place);
        order.extend(places.into_iter().enumerate().map(at));
    }
    order.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    order.into_iter().map(|(.., place)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stretch_has_all_classes() {
        let labels: Vec<u32> = [vec![0; 40], vec![3; 20], vec![5; 20]].concat();
        let order = spread_order(&labels, 7);
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, (0..80).collect::<Vec<_>>());
        for stretch in order.chunks(8) {
            let count = |class| stretch.iter().filter(|&&place| labels[place] == class).count();
            assert_eq!([count(0), count(3), count(5)], [4, 2, 2]);
        }
        assert_eq!(order, spread_order(&labels, 7));
        assert_ne!(order, spread_order(&labels, 8));
    }

    #[test]
    fn parts_are_in_file_order_and_have_the_sizes_of_others() {
        let labels: Vec<u32> = [vec![0; 9], vec![1; 11]].concat();
        let split = Split { images: (0..20).collect(), labels };
        let (train, validation) = split.spread(11, 0.3, 1, Shape::new(1, 1, 1));
        assert_eq!(
            (train.len(), validation.len()),
            (11 - tail_length(11, 0.3), tail_length(11, 0.3))
        );
        for part in [&train, &validation] {
            assert!(
                part.images.is_sorted() && part.labels.contains(&0) && part.labels.contains(&1)
            );
        }
        assert!(train.images.iter().all(|image| !validation.images.contains(image)));
        let (all, none) = split.spread(usize::MAX, 0.0, 1, Shape::new(1, 1, 1));
        assert!(all == split && none.is_empty());
    }
}
