//! Memory that the values of an inference need, as on a microcontroller: one block in which they
//! lie while somebody still reads them.

use super::{Graph, OpKind, ValueId};

/// A value in memory: how large it is, and the steps from the one that makes it to the last that
/// reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Bytes, or any other unit.
    pub size: u64,
    /// The step that makes it.
    pub first: usize,
    /// The last step that needs it.
    pub last: usize,
}

impl Lifetime {
    /// Whether both are needed at the same time.
    fn meets(self, other: Lifetime) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The values of an inference of one image in the memory that they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of the block.
    pub bytes: u64,
    /// The operation during which most bytes are needed.
    pub largest: Option<usize>,
}

impl Memory {
    /// The memory of the values of one image in `graph`, the image and the logits among them. A
    /// number has `number_bytes(value)` bytes. Batch norms, activations, dropouts and flattening
    /// work on the value in front of them where nobody else reads it: what is stored is the value
    /// behind them.
    pub fn new(graph: &Graph, number_bytes: impl Fn(ValueId) -> u64) -> Memory {
        let home = homes(graph);
        let mut lifetimes: Vec<Option<Lifetime>> = vec![None; graph.values.len()];
        for value in &graph.values {
            // Images are there before the first step.
            let made = value.producer.map_or(0, |id| id.index() + 1);
            let last = value.consumers.iter().map(|id| id.index() + 1).max().unwrap_or(made);
            let size = u64::from(value.shape.elements()) * number_bytes(value.id);
            let own = &mut lifetimes[home[value.id.index()]];
            let first = own.map_or(made, |own| own.first);
            let last = own.map_or(last, |own| own.last.max(last));
            *own = Some(Lifetime { size, first, last });
        }
        let lifetimes: Vec<Lifetime> = lifetimes.into_iter().flatten().collect();
        let needed = |step: usize| -> u64 {
            let alive = lifetimes.iter().filter(|own| (own.first..=own.last).contains(&step));
            alive.map(|own| own.size).sum()
        };
        // Of the steps that need as much, the first.
        let largest = (0..graph.ops.len()).rev().max_by_key(|index| needed(index + 1));
        Memory { bytes: place(&lifetimes).1, largest }
    }
}

/// The first value of the memory that each value of `graph` is in.
fn homes(graph: &Graph) -> Vec<usize> {
    let mut home: Vec<usize> = (0..graph.values.len()).collect();
    let is_read = |value: ValueId| graph.value(value).consumers.len() > 1;
    // Whether others read the same memory; of images, whoever gave them.
    let mut is_shared = vec![false; graph.values.len()];
    is_shared[Graph::INPUT.index()] = true;
    for op in &graph.ops {
        let (read, made) = (op.inputs[0], op.output.index());
        let shared = is_shared[read.index()] || is_read(read);
        // The same numbers, whoever reads them.
        let is_same = matches!(op.kind, OpKind::Dropout { .. } | OpKind::Flatten);
        if is_same || op.kind.is_in_place() && !shared {
            (home[made], is_shared[made]) = (home[read.index()], shared);
        }
    }
    home
}

/// The place of every value, and the size of the block. No two values that are needed at the same
/// time share memory.
///
/// In a chain values lie at both ends of the block in turns: then the block is as large as the
/// largest two neighbours, which is the least. Else the largest value is placed first, each at the
/// lowest place that is free while it is needed.
pub fn place(values: &[Lifetime]) -> (Vec<u64>, u64) {
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
    use crate::config::{LayerConfig, NetworkConfig, QuantizationConfig, Shape};

    /// The bytes of `layers` for images of 2×4×4, with a byte a number of the images and four of
    /// others, and where most are needed.
    fn memory(layers: Vec<LayerConfig>) -> (u64, String) {
        let network = NetworkConfig { input: Shape::new(2, 4, 4), classes: 3, layers };
        let graph = Graph::new(&network, &QuantizationConfig::default()).unwrap();
        let memory = Memory::new(&graph, |value| if value == Graph::INPUT { 1 } else { 4 });
        (memory.bytes, graph.ops[memory.largest.unwrap()].name.clone())
    }

    #[test]
    fn operations_in_place_need_nothing_more() {
        let conv = |name: &str, channels| LayerConfig::conv(name, channels, [3, 1, 1]);
        let (norm, act) = (LayerConfig::batch_norm("bn"), LayerConfig::activation("act"));
        let (drop, head) = (LayerConfig::dropout(0.5), LayerConfig::linear("fc", 3));
        let chain = vec![conv("conv1", 5), norm, act, drop, conv("conv2", 4), head.clone()];
        // conv2 reads 5 planes of 16 floats and writes 4.
        assert_eq!(memory(chain), (4 * 16 * (5 + 4), "conv2".into()));
        // The images and the logits count.
        assert_eq!(memory(vec![head.clone()]), (32 + 4 * 3, "fc".into()));
        // Nobody writes over images.
        assert_eq!(memory(vec![LayerConfig::activation("act"), head]), (32 + 4 * 32, "act".into()));
    }

    #[test]
    fn what_waits_for_a_sum_stays() {
        let conv = |name: &str| LayerConfig::conv(name, 2, [3, 1, 1]);
        let layers = |last: &str| {
            let sum = LayerConfig::add("sum", &[last, "conv1"]);
            vec![
                conv("conv1"),
                conv("conv2"),
                LayerConfig::activation("act"),
                conv("conv3"),
                sum,
                LayerConfig::linear("fc", 3),
            ]
        };
        // conv1 waits while conv3 reads act and writes.
        assert_eq!(memory(layers("conv3")), (3 * 4 * 32, "conv3".into()));
        // An activation has memory of its own where its input is read elsewhere.
        let both = vec![
            conv("conv1"),
            LayerConfig::activation("act"),
            LayerConfig::add("sum", &["conv1", "act"]),
            LayerConfig::linear("fc", 3),
        ];
        assert_eq!(memory(both), (3 * 4 * 32, "sum".into()));
    }

    #[test]
    fn no_two_values_of_one_time_share_memory() {
        let of = |all: &[(u64, usize, usize)]| {
            let life = |&(size, first, last): &_| Lifetime { size, first, last };
            all.iter().map(life).collect::<Vec<_>>()
        };
        let chain = of(&[(5, 0, 1), (4, 1, 2), (3, 2, 3), (4, 3, 4)]);
        assert_eq!(place(&chain), (vec![0, 5, 0, 5], 9));
        assert_eq!(place(&[]), (vec![], 0));
        let block = of(&[(5, 0, 3), (4, 1, 2), (3, 2, 3), (5, 3, 4)]);
        let (places, total) = place(&block);
        for (a, own) in block.iter().enumerate() {
            for (b, other) in block.iter().enumerate().filter(|(b, _)| *b != a) {
                let apart =
                    places[a] + own.size <= places[b] || places[b] + other.size <= places[a];
                assert!(apart || !own.meets(*other), "{a} {b} {places:?}");
            }
        }
        assert_eq!(total, 13);
    }
}
