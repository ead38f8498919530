//! Shares of images that are in the order of their classes, as in a folder of pictures.

use std::collections::BTreeMap;

use crate::random::{TEST_SHARE, random_bits, random_key};

/// The step of the key: the choice of test images has 0.
const STEP: u32 = 1;

/// The places of `labels` in an order in which every stretch has all classes in proportion: within
/// a class by `seed`, and the k-th of n images of a class at (k + 1/2) / n.
pub(super) fn spread_order(labels: &[u32], seed: u64) -> Vec<usize> {
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
}
