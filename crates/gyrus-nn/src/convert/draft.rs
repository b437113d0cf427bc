//! Drafts: blueprints open to changes.

use std::collections::BTreeMap;

use gyrus_blueprint::{Blueprint, Node, NodeKind};

use crate::{Error, Result};

/// The parts of a blueprint, which can be changed and assembled again.
pub(super) struct Draft {
    name: String,
    pub(super) nodes: BTreeMap<usize, Node>,
    edges: Vec<(usize, usize)>,
    next: usize,
}

impl Draft {
    pub(super) fn new(blueprint: &Blueprint) -> Self {
        Self {
            name: blueprint.name.clone(),
            nodes: blueprint.nodes().iter().cloned().enumerate().collect(),
            edges: blueprint.edges().to_vec(),
            next: blueprint.nodes().len(),
        }
    }

    pub(super) fn sources(&self, node: usize) -> Vec<usize> {
        self.edges.iter().filter(|edge| edge.1 == node).map(|edge| edge.0).collect()
    }

    pub(super) fn targets(&self, node: usize) -> Vec<usize> {
        self.edges.iter().filter(|edge| edge.0 == node).map(|edge| edge.1).collect()
    }

    /// Removes a node with one source; that source then feeds its targets.
    pub(super) fn remove(&mut self, node: usize, source: usize) {
        self.edges.retain(|edge| edge.1 != node);
        self.edges.iter_mut().filter(|edge| edge.0 == node).for_each(|edge| edge.0 = source);
        self.nodes.remove(&node);
    }

    /// Inserts a node on an edge.
    pub(super) fn insert(&mut self, (from, to): (usize, usize), name: String, kind: NodeKind) {
        let new = self.next;
        self.next += 1;
        self.nodes.insert(new, Node { name, kind });
        self.edges.iter_mut().filter(|edge| **edge == (from, to)).for_each(|edge| edge.0 = new);
        self.edges.push((from, new));
    }

    /// An unused name for a node between two others.
    pub(super) fn between(&self, from: usize, to: usize) -> String {
        let name_of = |node: usize| self.nodes.get(&node).map_or("", |node| node.name.as_str());
        let mut name = format!("{}.to.{}", name_of(from), name_of(to));
        while self.nodes.values().any(|node| node.name == name) {
            name.push('_');
        }
        name
    }

    pub(super) fn finish(self) -> Result<Blueprint> {
        let places: BTreeMap<usize, usize> =
            self.nodes.keys().enumerate().map(|(place, &key)| (key, place)).collect();
        let edges = self.edges.iter().map(|(from, to)| (places[from], places[to])).collect();
        Ok(Blueprint::new(self.name, self.nodes.into_values().collect(), edges)?)
    }
}

pub(super) fn refuse<T>(node: &Node, reason: &'static str) -> Result<T> {
    Err(Error::NotConvertible { node: node.name.clone(), kind: node.kind.name(), reason })
}
