//! Where the values of a program's steps lie in one block of memory.

/// A value: how large it is, and the steps from the one that makes it to the last that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub size: u64,
    pub first: usize,
    pub last: usize,
}

impl Lifetime {
    fn meets(self, other: Lifetime) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The place of every value, and the size of the block. No two values that are needed at the same
/// time share memory.
///
/// In a chain values lie at both ends of the block in turns: then the block is as large as the
/// largest two neighbours, which is the least. Else the largest value is placed first, each at the
/// lowest place that is free while it is needed.
pub(super) fn place(values: &[Lifetime]) -> (Vec<u64>, u64) {
    let is_chain = values.windows(2).all(|pair| pair[0].last <= pair[1].first);
    if is_chain {
        let pairs = values.windows(2).map(|pair| pair[0].size + pair[1].size);
        let total = values.iter().map(|value| value.size).chain(pairs).max().unwrap_or(0);
        let at = |(index, value): (usize, &Lifetime)| match index % 2 {
            0 => 0,
            _ => total - value.size,
        };
        return (values.iter().enumerate().map(at).collect(), total);
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(values[index].size));
    let mut places: Vec<Option<u64>> = vec![None; values.len()];
    for &index in &order {
        let own = values[index];
        let mut taken: Vec<(u64, u64)> = (0..values.len())
            .filter(|&other| values[other].meets(own))
            .filter_map(|other| Some((places[other]?, places[other]? + values[other].size)))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (start, end) in taken {
            if at + own.size <= start {
                break;
            }
            at = at.max(end);
        }
        places[index] = Some(at);
    }
    let places: Vec<u64> = places.into_iter().map(Option::unwrap_or_default).collect();
    let ends = places.iter().zip(values).map(|(at, value)| at + value.size);
    let total = ends.max().unwrap_or(0);
    (places, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(of: &[(u64, usize, usize)]) -> Vec<Lifetime> {
        of.iter().map(|&(size, first, last)| Lifetime { size, first, last }).collect()
    }

    #[test]
    fn chains_take_their_largest_neighbours() {
        let sizes = values(&[(5, 0, 1), (4, 1, 2), (3, 2, 3), (4, 3, 4)]);
        assert_eq!(place(&sizes), (vec![0, 5, 0, 5], 9));
        assert_eq!(place(&[]), (vec![], 0));
    }

    #[test]
    fn values_that_wait_are_not_written_over() {
        // The first is read by the last step: what goes round a block.
        let sizes = values(&[(5, 0, 3), (4, 1, 2), (3, 2, 3), (5, 3, 4)]);
        let (places, total) = place(&sizes);
        for (a, own) in sizes.iter().enumerate() {
            for (b, other) in
                sizes.iter().enumerate().filter(|(b, other)| *b != a && own.meets(**other))
            {
                let apart =
                    places[a] + own.size <= places[b] || places[b] + other.size <= places[a];
                assert!(apart, "{a} {b} {places:?}");
            }
        }
        assert_eq!(total, 13);
    }
}
