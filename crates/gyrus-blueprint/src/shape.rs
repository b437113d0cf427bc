//! The extents of an activation or a parameter, in NIR and PyTorch order and without the batch axis:
//! `[features]`, `[channels, length]`, `[channels, height, width]`; and the result of shape inference.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// Extents of one sample's activation, or of one parameter. Dereferences to a slice of `usize`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(pub Vec<usize>);

impl Shape {
    /// The number of elements, or `None` if it does not fit into a `usize`.
    pub fn elements(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent))
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<const RANK: usize> From<[usize; RANK]> for Shape {
    fn from(extents: [usize; RANK]) -> Self {
        Self(extents.to_vec())
    }
}

impl From<&[usize]> for Shape {
    fn from(extents: &[usize]) -> Self {
        Self(extents.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(extents: Vec<usize>) -> Self {
        Self(extents)
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

/// A parameter that a body must hold for a node, in PyTorch's layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// `weight`, `bias`, `scale`, `running_mean` or `running_var`; stored as `<node>.<name>`.
    pub name: &'static str,
    /// For example `[out, in]` or `[out, in / groups, height, width]`.
    pub shape: Shape,
    /// Whether gradients change it; running statistics are not trainable.
    pub trainable: bool,
}

impl ParameterSpec {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&extent| extent as u64).product()
    }
}

/// Shapes, parameters and work of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeShapes {
    /// Shape of the input: the sum over its incoming edges (the product, for a Multiply), or the sample itself for the Input.
    pub input: Shape,
    /// Shape of the output.
    pub output: Shape,
    /// Its parameters, in a fixed order.
    pub parameters: Vec<ParameterSpec>,
    /// Multiply-accumulates with weights for one sample (padded zeros counted): affine maps, convolutions and scales.
    /// Normalization, pooling and activations count as 0, as is usual.
    pub multiply_accumulates: u64,
}

/// The result of [`Blueprint::shapes`](crate::Blueprint::shapes). Methods that take a `node` expect its index in that blueprint, and panic on
/// an index out of range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shapes {
    pub(crate) nodes: Vec<NodeShapes>,
    pub(crate) order: Vec<usize>,
}

impl Shapes {
    /// Everything about one node.
    pub fn node(&self, node: usize) -> &NodeShapes {
        &self.nodes[node]
    }

    /// Input shape of a node.
    pub fn input(&self, node: usize) -> &Shape {
        &self.nodes[node].input
    }

    /// Output shape of a node.
    pub fn output(&self, node: usize) -> &Shape {
        &self.nodes[node].output
    }

    /// The parameters of a node.
    pub fn parameters(&self, node: usize) -> &[ParameterSpec] {
        &self.nodes[node].parameters
    }

    /// The node indices in topological order, as [`Blueprint::topological_order`](crate::Blueprint::topological_order) gives them.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Number of trainable elements of the whole network.
    pub fn trainable_parameters(&self) -> u64 {
        self.count(true)
    }

    /// Number of elements that are stored but not trained: running statistics.
    pub fn stored_statistics(&self) -> u64 {
        self.count(false)
    }

    /// Multiply-accumulates of the whole network for one sample.
    pub fn multiply_accumulates(&self) -> u128 {
        self.nodes.iter().map(|node| u128::from(node.multiply_accumulates)).sum()
    }

    fn count(&self, trainable: bool) -> u64 {
        let all = self.nodes.iter().flat_map(|node| &node.parameters);
        all.filter(|parameter| parameter.trainable == trainable).map(ParameterSpec::elements).sum()
    }
}
