//! The input shape of a node: what its edges add up to, or multiply to.

use crate::{Blueprint, Error, Node, NodeKind, NodeShapes, Result, Shape};

/// The common output shape of the nodes that feed `node`; where they multiply, that of the largest.
pub(super) fn sum_of_sources(
    blueprint: &Blueprint,
    node: &Node,
    sources: &[usize],
    inferred: &[Option<NodeShapes>],
) -> Result<Shape> {
    let name = |source: usize| blueprint.nodes()[source].name.clone();
    let mut shapes =
        sources.iter().filter_map(|&source| inferred[source].as_ref().map(|shapes| (source, &shapes.output)));
    let Some((first, first_shape)) = shapes.next() else {
        return Err(Error::Unreachable { node: node.name.clone() });
    };
    if node.kind == NodeKind::Multiply {
        return largest_factor(node, &name, (first, first_shape), shapes);
    }
    match shapes.find(|(_, shape)| *shape != first_shape) {
        None => Ok(first_shape.clone()),
        Some((second, second_shape)) => Err(Error::SumMismatch {
            node: node.name.clone(),
            first: name(first),
            first_shape: first_shape.clone(),
            second: name(second),
            second_shape: second_shape.clone(),
        }),
    }
}

/// The shape of a product: that of its largest factor. The others are alike, or have one number per channel.
fn largest_factor<'a>(
    node: &Node,
    name: &dyn Fn(usize) -> String,
    first: (usize, &'a Shape),
    others: impl Iterator<Item = (usize, &'a Shape)>,
) -> Result<Shape> {
    let mut largest = first;
    for (source, shape) in others {
        let per_channel = |shape: &Shape, of: &Shape| shape.len() == 1 && shape[0] == of[0];
        if shape == largest.1 || per_channel(shape, largest.1) {
            continue;
        }
        if !per_channel(largest.1, shape) {
            return Err(Error::SumMismatch {
                node: node.name.clone(),
                first: name(largest.0),
                first_shape: largest.1.clone(),
                second: name(source),
                second_shape: shape.clone(),
            });
        }
        largest = (source, shape);
    }
    Ok(largest.1.clone())
}
