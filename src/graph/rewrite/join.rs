//! Joins activations and max-pools with the operations in front of them.

use crate::{
    config::MaxPool,
    graph::{Graph, Op, OpId, OpKind},
};

/// Operations that are computed at once, named by the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The first operation.
    pub op: OpId,
    /// The activation behind it, its only reader; of an activation, itself.
    pub activation: Option<OpId>,
    /// The max-pool of windows of 2×2 pixels, side by side, behind both, their only reader.
    pub pool: Option<OpId>,
}

impl Group {
    /// The operation that makes what others read.
    pub fn last(self) -> OpId {
        self.pool.or(self.activation).unwrap_or(self.op)
    }
}

/// The operations of `graph` in groups, in the order of their first operations. Activations are
/// joined if `activations`, max-pools where `takes_pool` of the first operation.
pub fn join(graph: &Graph, activations: bool, takes_pool: impl Fn(&Op) -> bool) -> Vec<Group> {
    let mut is_joined = vec![false; graph.ops.len()];
    let mut groups = Vec::new();
    for op in &graph.ops {
        if is_joined[op.id.index()] {
            continue;
        }
        let activation = match &op.kind {
            OpKind::Activation(_) => Some(op),
            _ if activations && takes_activation(op) => {
                graph.behind(op).filter(|behind| is_epilogue(behind))
            }
            _ => None,
        };
        let last = activation.unwrap_or(op);
        let pool = graph.behind(last).filter(|behind| is_quartering(behind) && takes_pool(op));
        let group = Group {
            op: op.id,
            activation: activation.map(|own| own.id),
            pool: pool.map(|own| own.id),
        };
        for part in [group.activation, group.pool].into_iter().flatten() {
            is_joined[part.index()] = true;
        }
        groups.push(group);
    }
    groups
}

/// Whether an activation can be applied to what `op` makes before it is stored.
fn takes_activation(op: &Op) -> bool {
    match op.kind {
        OpKind::BatchNorm(_) => true,
        OpKind::Add => op.inputs.len() == 2,
        _ => op.kind.weights().is_some(),
    }
}

/// Whether `op` is an activation that others apply to what they make.
fn is_epilogue(op: &Op) -> bool {
    matches!(&op.kind, OpKind::Activation(activation) if activation.plan.is_epilogue())
}

/// Whether `op` is a max-pool of windows of 2×2 pixels side by side.
fn is_quartering(op: &Op) -> bool {
    op.kind == OpKind::MaxPool(MaxPool::inside(2, 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LayerConfig, NetworkConfig, QuantizationConfig, Shape};

    fn graph(layers: Vec<LayerConfig>) -> Graph {
        let network = NetworkConfig { input: Shape::new(2, 8, 8), classes: 3, layers };
        Graph::new(&network, &QuantizationConfig::default()).unwrap()
    }

    /// The names of the operations of each group.
    fn names(graph: &Graph, activations: bool, pools: bool) -> Vec<String> {
        let groups = join(graph, activations, |op| pools && op.kind.weights().is_some());
        let text = |group: Group| {
            let parts = [Some(group.op), group.activation, group.pool].into_iter().flatten();
            let mut names: Vec<_> = parts.map(|id| graph.op(id).name.as_str()).collect();
            names.dedup();
            names.join("+")
        };
        groups.into_iter().map(text).collect()
    }

    #[test]
    fn what_stands_behind_an_operation_is_computed_with_it() {
        let conv = |name: &str| LayerConfig::conv(name, 2, [3, 1, 1]);
        let chain = graph(vec![
            conv("conv1"),
            LayerConfig::activation("act1"),
            LayerConfig::max_pool(2, 2),
            LayerConfig::activation("act2"),
            LayerConfig::linear("fc", 3),
        ]);
        assert_eq!(names(&chain, true, true), ["conv1+act1+pool3", "act2", "fc"]);
        assert_eq!(names(&chain, true, false), ["conv1+act1", "pool3", "act2", "fc"]);
        assert_eq!(names(&chain, false, false), ["conv1", "act1", "pool3", "act2", "fc"]);
    }

    #[test]
    fn what_others_read_stands_alone() {
        let conv = |name: &str| LayerConfig::conv(name, 2, [3, 1, 1]);
        let block = graph(vec![
            conv("conv1"),
            LayerConfig::activation("act1"),
            LayerConfig::add("sum", &["conv1", "act1"]),
            LayerConfig::activation("act2"),
            LayerConfig::max_pool(3, 2),
            LayerConfig::linear("fc", 3),
        ]);
        let expected = ["conv1", "act1", "sum+act2", "pool5", "fc"];
        assert_eq!(names(&block, true, true), expected);
        let conv = |name: &str| LayerConfig::conv(name, 2, [3, 1, 1]);
        let three = graph(vec![
            conv("conv1"),
            conv("conv2"),
            LayerConfig::add("sum", &["conv1", "conv2", "conv1"]),
            LayerConfig::activation("act"),
            LayerConfig::linear("fc", 3),
        ]);
        assert_eq!(names(&three, true, true), ["conv1", "conv2", "sum", "act", "fc"]);
    }
}
