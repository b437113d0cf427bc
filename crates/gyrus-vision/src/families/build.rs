//! What builders of families share: blocks in the field's usual order, with names as the checkpoints have them.

use std::collections::BTreeMap;

use gyrus_blueprint::{Blueprint, BlueprintBuilder, Conv2d, NodeKind, Shape};

use super::Origin;
use crate::Result;

/// A blueprint under construction that remembers the node which was added last.
pub(super) struct Builder {
    builder: BlueprintBuilder,
    last: String,
    pub(super) origins: BTreeMap<String, Origin>,
}

impl Builder {
    /// With an Input of this shape.
    pub(super) fn new(name: &str, input: impl Into<Shape>) -> Self {
        Self {
            builder: Blueprint::builder(name).input(input),
            last: "input".to_owned(),
            origins: BTreeMap::new(),
        }
    }

    /// The node that feeds the next one.
    pub(super) fn last(&self) -> String {
        self.last.clone()
    }

    /// Feeds the next node from this one.
    pub(super) fn from(mut self, name: &str) -> Self {
        self.builder = self.builder.from(name);
        self.last = name.to_owned();
        self
    }

    /// A node behind the last one.
    pub(super) fn node(mut self, name: impl Into<String>, kind: impl Into<NodeKind>) -> Self {
        self.last = name.into();
        self.builder = self.builder.node(self.last.clone(), kind);
        self
    }

    /// One more edge into the last node.
    pub(super) fn also(mut self, from: &str) -> Self {
        self.builder = self.builder.edge(from, self.last.clone());
        self
    }

    /// A convolution without bias and the normalization of its channels.
    pub(super) fn conv_norm(self, conv: &str, kind: Conv2d, norm: &str) -> Self {
        self.node(conv, kind.bias(false)).node(norm, NodeKind::batch_norm())
    }

    /// Where a parameter of the last node comes from.
    pub(super) fn origin(mut self, parameter: &str, origin: Origin) -> Self {
        self.origins.insert(format!("{}.{parameter}", self.last), origin);
        self
    }

    pub(super) fn build(self) -> Result<(Blueprint, BTreeMap<String, Origin>)> {
        Ok((self.builder.build()?, self.origins))
    }
}
