//! Builds a blueprint node by node: each new node is fed by the one before it, unless another source is named.

use std::collections::HashMap;

use crate::{Blueprint, Error, Node, NodeKind, Result, Shape};

/// Returned by [`Blueprint::builder`]. [`build`](Self::build) reports all mistakes.
///
/// A residual block, with the skip connection as a second edge into the node that adds:
///
/// ```
/// use gyrus_blueprint::{Blueprint, NodeKind, Padding};
///
/// let blueprint = Blueprint::builder("residual")
///     .input([16, 8, 8])
///     .node("conv", NodeKind::conv2d(16, 3).padding(Padding::Same))
///     .node("relu", NodeKind::ReLU)
///     .edge("input", "relu")
///     .build()?;
/// assert_eq!(blueprint.sources()[blueprint.index_of("relu").unwrap()].len(), 2);
/// # Ok::<(), gyrus_blueprint::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct BlueprintBuilder {
    name: String,
    nodes: Vec<Node>,
    edges: Vec<(String, String)>,
    /// The node that feeds the next one.
    current: Option<String>,
}

impl BlueprintBuilder {
    pub(crate) fn new(name: String) -> Self {
        Self { name, nodes: Vec::new(), edges: Vec::new(), current: None }
    }

    /// Adds the Input, named `input`; `shape` is that of one sample.
    pub fn input(self, shape: impl Into<Shape>) -> Self {
        self.node("input", NodeKind::Input { shape: shape.into() })
    }

    /// Adds a node, fed by the node before it (or by the one named in [`from`](Self::from)).
    pub fn node(mut self, name: impl Into<String>, kind: impl Into<NodeKind>) -> Self {
        let name = name.into();
        if let Some(current) = self.current.replace(name.clone()) {
            self.edges.push((current, name.clone()));
        }
        self.nodes.push(Node { name, kind: kind.into() });
        self
    }

    /// Feeds the next node from this one instead of the node before it.
    pub fn from(mut self, name: impl Into<String>) -> Self {
        self.current = Some(name.into());
        self
    }

    /// Adds an edge between two nodes; either may be added later.
    pub fn edge(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.edges.push((from.into(), to.into()));
        self
    }

    /// Adds several edges.
    pub fn add_edges<From, To>(mut self, edges: impl IntoIterator<Item = (From, To)>) -> Self
    where
        From: Into<String>,
        To: Into<String>,
    {
        self.edges.extend(edges.into_iter().map(|(from, to)| (from.into(), to.into())));
        self
    }

    /// Adds the Output, named `output` and fed by the current node, unless there is one already; then checks the blueprint.
    pub fn build(self) -> Result<Blueprint> {
        let has_output = self.nodes.iter().any(|node| node.kind == NodeKind::Output);
        let complete = if has_output { self } else { self.node("output", NodeKind::Output) };
        let edges = resolve(&complete.nodes, &complete.edges)?;
        Blueprint::new(complete.name, complete.nodes, edges)
    }
}

/// Turns the names of edges into indices.
pub(crate) fn resolve(nodes: &[Node], edges: &[(String, String)]) -> Result<Vec<(usize, usize)>> {
    crate::blueprint::check_counts(nodes.len(), edges.len())?;
    let places: HashMap<&str, usize> =
        nodes.iter().enumerate().map(|(index, node)| (node.name.as_str(), index)).collect();
    let place = |name: &String, (from, to): &(String, String)| {
        places.get(name.as_str()).copied().ok_or_else(|| Error::UnknownEdgeEnd {
            from: from.clone(),
            to: to.clone(),
            missing: name.clone(),
        })
    };
    edges.iter().map(|edge| Ok((place(&edge.0, edge)?, place(&edge.1, edge)?))).collect()
}
