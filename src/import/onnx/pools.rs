//! Maxima and means over windows and planes.

use super::{
    Fallible,
    layers::window_means,
    lowering::{Lowering, layer_name},
    node::Node,
    value::Live,
    window::Window,
};
use crate::config::{LayerKind, MaxPool, Shape};

/// The kernel that a pool must name.
fn kernel(node: Node<'_>) -> Fallible<[u32; 2]> {
    match node.sizes("kernel_shape", 1, 0)? {
        [0, 0] => Err("it has no kernel_shape".into()),
        kernel => Ok(kernel),
    }
}

pub(super) fn max_pool<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let own = on.live(node, 0)?.in_order()?;
    max_pool_of(on, node, own)
}

/// The maxima of the windows of `node` over `own`.
pub(super) fn max_pool_of<'a>(on: &mut Lowering<'a>, node: Node<'a>, own: Live) -> Fallible<Live> {
    if own.pads != [0; 4] && !own.source.is_some_and(|own| on.layers[own].is_positive()) {
        return Err("a Pad with 0 in front of it is supported behind Relu only".into());
    }
    let window = Window::new(node, kernel(node)?, own.shape, own.pads)?;
    max_pools(on, layer_name(node, None), window.max_pools(own.shape)?, own)
}

fn max_pools(
    on: &mut Lowering<'_>,
    name: String,
    pools: Vec<MaxPool>,
    own: Live,
) -> Fallible<Live> {
    let mut own = own;
    for pool in pools {
        let (source, shape) = on.plain(name.clone(), LayerKind::MaxPool(pool), &[&own])?;
        own = Live::images(Some(source), shape);
    }
    Ok(own)
}

pub(super) fn average_pool<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let own = on.live(node, 0)?.in_order()?;
    average_pool_of(on, node, own)
}

/// The means of the windows of `node` over `own`.
pub(super) fn average_pool_of<'a>(
    on: &mut Lowering<'a>,
    node: Node<'a>,
    own: Live,
) -> Fallible<Live> {
    let name = layer_name(node, None);
    let mut counts_padding = node.integer("count_include_pad", 0)? != 0;
    let kernel = kernel(node)?;
    let window = Window::new(node, kernel, own.shape, own.pads)?;
    if own.pads != [0; 4] {
        if !counts_padding && Window::new(node, kernel, own.shape, [0; 4])?.sides != [0; 4] {
            return Err("a Pad in front of a pool with other padding is not supported".into());
        }
        counts_padding = true;
    }
    let (source, shape) = if window.is_whole(own.shape) {
        on.plain(name, LayerKind::GlobalAveragePool {}, &[&own])?
    } else if let Some(pool) = window.average_pool(own.shape, counts_padding) {
        on.plain(name, LayerKind::AveragePool(pool), &[&own])?
    } else if window.is_uniform(own.shape, counts_padding) {
        let sizes = [window.kernel, window.stride, window.dilation];
        let (kind, shape, weight) = window_means(own.shape.channels, sizes, window.sides);
        on.weighted(name, kind, (shape, weight), (None, None), &own)?
    } else {
        return Err(
            "means over these windows are not supported; those with dilations of 1 and pads of \
             at most a window on both sides together are, and others of which every pixel counts"
                .into(),
        );
    };
    Ok(Live::images(Some(source), shape))
}

/// The mean or maximum of every channel.
pub(super) fn pool_plane<'a>(
    on: &mut Lowering<'a>,
    node: Node<'a>,
    own: &Live,
    is_max: bool,
) -> Fallible<Live> {
    let name = layer_name(node, None);
    let Shape { height, width, .. } = own.shape;
    if own.shape.pixels() == 1 {
        return Ok(own.clone());
    }
    if !is_max {
        let (source, shape) = on.plain(name, LayerKind::GlobalAveragePool {}, &[own])?;
        return Ok(Live::images(Some(source), shape));
    }
    let window = Window::whole(height.max(width));
    max_pools(on, name, window.max_pools(own.shape)?, own.clone())
}

pub(super) fn reduce<'a>(on: &mut Lowering<'a>, node: Node<'a>, is_max: bool) -> Fallible<Live> {
    let own = on.live(node, 0)?.unpadded()?;
    let axes = match (node.integers("axes"), on.optional(node, 1)?) {
        (Some(axes), _) => axes.to_vec(),
        (None, Some(axes)) => axes.integers()?.to_vec(),
        (None, None) => Vec::new(),
    };
    let keeps = node.integer("keepdims", 1)? != 0;
    let mut places = Vec::new();
    for &axis in &axes {
        places.push(own.layout.place(axis)?);
    }
    let Some(layout) = own.layout.without_plane(&places, keeps, own.shape) else {
        return Err(format!("axes {axes:?} are not rows and columns, all of them"));
    };
    let pooled = pool_plane(on, node, &own, is_max)?;
    Ok(Live { layout, ..pooled })
}
