//! Flattens a NIR graph, which may contain graphs, into one list of nodes and edges.
//!
//! A nested graph's name becomes a prefix of its nodes' names, joined by `.`. Its Input and Output are wires: an edge into
//! one continues to the nodes that it feeds. A graph without an Input is entered at its only node without sources, and left
//! at its only node without targets; the outermost graph then gets a new Input and Output, as in the Python package.

use std::collections::{BTreeMap, BTreeSet};

use crate::blueprint::check_counts;
use crate::neuron::Discretization;
use crate::{Conv1d, Conv2d, Error, NodeKind, Result, Shape};

use super::hdf5::{Data, Field, Tree};
use super::neurons::time_of;
use super::nodes::{self, Leaf, Read};
use super::source::Source;

/// Everything collected while flattening.
#[derive(Debug, Default)]
pub(super) struct Flat {
    pub(super) leaves: Vec<Leaf>,
    pub(super) edges: Vec<(String, String)>,
    /// Inputs and Outputs of nested graphs.
    wires: Vec<String>,
    /// The time step in the metadata, which must be the same in the whole file.
    pub(super) time: Option<Discretization>,
    pub(super) name: Option<String>,
}

/// Entries and exits of a graph, or of a node that became several: full names.
struct Ends {
    entries: Vec<String>,
    exits: Vec<String>,
    /// Whether edges lead to all entries and from all exits; otherwise there must be one of each.
    all: bool,
}

/// Reads the outermost graph.
pub(super) fn flatten(tree: Tree) -> Result<Flat> {
    let mut flat = Flat::default();
    let ends = flat.graph(tree, "", None)?;
    flat.cut_wires()?;
    flat.add_ends(ends)?;
    Ok(flat)
}

impl Flat {
    /// Reads the graph of this full name; the outermost graph has none.
    fn graph(&mut self, mut tree: Tree, graph: &str, outer: Option<Discretization>) -> Result<Ends> {
        let shown = if graph.is_empty() { "node" } else { graph };
        let nodes = tree.groups.remove("nodes");
        let edges = tree.fields.remove("edges");
        let mut source = Source { node: shown, kind: "NIRGraph", tree };
        let time = self.agree(&mut source, outer)?;
        if graph.is_empty() {
            self.name = source.metadata_text("gyrus_name")?;
        }
        let nodes = nodes.ok_or_else(|| source.missing("nodes", "a group of nodes"))?;
        let edges = edges.ok_or_else(|| source.missing("edges", "pairs of node names"))?;
        let edges = pairs(&source, edges)?;
        let full = |name: &str| if graph.is_empty() { name.to_owned() } else { format!("{graph}.{name}") };
        if let Some(name) = nodes.fields.keys().next() {
            return Err(source.wrong(&format!("nodes/{name}"), "an array", "a group that describes a node"));
        }
        let names: BTreeSet<String> = nodes.groups.keys().cloned().collect();
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        let mut nested = BTreeMap::new();
        for (name, mut tree) in nodes.groups {
            let node = full(&name);
            check_counts(self.leaves.len() + 1, self.edges.len())?;
            let kind = type_of(&mut tree, &node)?;
            if kind == "NIRGraph" {
                let ends = self.graph(tree, &node, time)?;
                nested.insert(name, ends);
                continue;
            }
            let mut source = Source { node: &node, kind: &kind, tree };
            let time = self.agree(&mut source, time)?;
            let leaf = match nodes::read(source, time)? {
                Read::One(leaf) => *leaf,
                Read::Parts(parts) => {
                    let mut ends = Ends { entries: Vec::new(), exits: Vec::new(), all: true };
                    for [first, second] in parts {
                        self.edges.push((first.name.clone(), second.name.clone()));
                        ends.entries.push(first.name.clone());
                        ends.exits.push(second.name.clone());
                        self.leaves.extend([first, second]);
                    }
                    nested.insert(name, ends);
                    continue;
                }
            };
            match leaf.kind {
                NodeKind::Input { .. } => inputs.push(name),
                NodeKind::Output => outputs.push(name),
                _ => {}
            }
            if !graph.is_empty() && matches!(leaf.kind, NodeKind::Input { .. } | NodeKind::Output) {
                self.wires.push(node);
            }
            self.leaves.push(leaf);
        }
        for (from, to) in &edges {
            if let Some(missing) = [from, to].into_iter().find(|name| !names.contains(*name)) {
                let (from, to, missing) = (full(from), full(to), full(missing));
                return Err(Error::UnknownEdgeEnd { from, to, missing });
            }
        }
        let ends = |name: &str| nested.get(name);
        for (from, to) in &edges {
            let exits = match ends(from) {
                Some(ends) if ends.all => ends.exits.clone(),
                Some(ends) => vec![only(&full(from), &ends.exits, "Outputs", "an edge cannot leave it")?],
                None => vec![full(from)],
            };
            let entries = match ends(to) {
                Some(ends) if ends.all => ends.entries.clone(),
                Some(ends) => vec![only(&full(to), &ends.entries, "Inputs", "an edge cannot enter it")?],
                None => vec![full(to)],
            };
            check_counts(self.leaves.len(), self.edges.len() + exits.len() * entries.len())?;
            for exit in &exits {
                self.edges.extend(entries.iter().map(|entry| (exit.clone(), entry.clone())));
            }
        }
        // Without an Input, a graph is entered at nodes without sources; without an Output, left at nodes without targets.
        let fed: BTreeSet<&String> = edges.iter().map(|(_, to)| to).collect();
        let feeding: BTreeSet<&String> = edges.iter().map(|(from, _)| from).collect();
        let open = |connected: &BTreeSet<&String>, given: Vec<String>, entries: bool| -> Vec<String> {
            if !given.is_empty() {
                return given.iter().map(|name| full(name)).collect();
            }
            let loose = names.iter().filter(|name| !connected.contains(name));
            let through = |name: &String| match ends(name) {
                Some(ends) if entries => ends.entries.clone(),
                Some(ends) => ends.exits.clone(),
                None => vec![full(name)],
            };
            loose.flat_map(through).collect()
        };
        Ok(Ends { entries: open(&fed, inputs, true), exits: open(&feeding, outputs, false), all: false })
    }

    /// Records the time step of a node, which must agree with that of other nodes.
    fn agree(
        &mut self,
        source: &mut Source<'_>,
        outer: Option<Discretization>,
    ) -> Result<Option<Discretization>> {
        let Some(given) = time_of(source)? else { return Ok(outer) };
        match self.time {
            Some(before) if before != given => Err(source.wrong(
                "metadata/gyrus_dt_ms",
                format!("{} ms ({:?})", given.dt_ms, given.integration),
                format!("{} ms ({:?}), as elsewhere in the file", before.dt_ms, before.integration),
            )),
            _ => {
                self.time = Some(given);
                Ok(Some(given))
            }
        }
    }

    /// Connects edges across the Inputs and Outputs of nested graphs.
    fn cut_wires(&mut self) -> Result<()> {
        for wire in std::mem::take(&mut self.wires) {
            self.leaves.retain(|leaf| leaf.name != wire);
            bypass(&wire, &mut self.edges)?;
        }
        Ok(())
    }

    /// Adds the Input and Output that the outermost graph lacks.
    fn add_ends(&mut self, ends: Ends) -> Result<()> {
        let has =
            |flat: &Self, wanted: fn(&NodeKind) -> bool| flat.leaves.iter().any(|leaf| wanted(&leaf.kind));
        if !has(self, |kind| matches!(kind, NodeKind::Input { .. })) {
            let entry = only("node", &ends.entries, "nodes that nothing feeds", "its Input is not known")?;
            let shape = self.leaves.iter().find(|leaf| leaf.name == entry).and_then(entering);
            let shape = shape.ok_or_else(|| Error::NirFieldMissing {
                node: entry.clone(),
                kind: "first node".to_owned(),
                field: "input shape".to_owned(),
                expected: "an Input node before it with the shape of a sample",
            })?;
            let name = self.unused(format!("input_{entry}"));
            self.edges.push((name.clone(), entry));
            let kind = NodeKind::Input { shape };
            self.leaves.push(Leaf::of(name, kind));
        }
        if !has(self, |kind| matches!(kind, NodeKind::Output)) {
            let exit = only("node", &ends.exits, "nodes that feed nothing", "its Output is not known")?;
            let name = self.unused(format!("output_{exit}"));
            self.edges.push((exit, name.clone()));
            self.leaves.push(Leaf::of(name, NodeKind::Output));
        }
        Ok(())
    }

    fn unused(&self, mut name: String) -> String {
        while self.leaves.iter().any(|leaf| leaf.name == name) {
            name.push('_');
        }
        name
    }
}

/// Removes a node that passes its input on: its sources then feed its targets.
pub(super) fn bypass(wire: &str, edges: &mut Vec<(String, String)>) -> Result<()> {
    let sources: Vec<String> =
        edges.iter().filter(|edge| edge.1 == wire).map(|edge| edge.0.clone()).collect();
    let targets: Vec<String> =
        edges.iter().filter(|edge| edge.0 == wire).map(|edge| edge.1.clone()).collect();
    check_counts(0, edges.len().saturating_add(sources.len().saturating_mul(targets.len())))?;
    // Insert at the first removed edge: the order of edges decides which of them close a cycle, so it must not change.
    let place = edges.iter().position(|edge| edge.0 == wire || edge.1 == wire).unwrap_or(edges.len());
    let joined: Vec<(String, String)> = sources
        .iter()
        .flat_map(|source| targets.iter().map(move |target| (source.clone(), target.clone())))
        .collect();
    let after = edges.split_off(place);
    edges.extend(joined);
    edges.extend(after.into_iter().filter(|edge| edge.0 != wire && edge.1 != wire));
    Ok(())
}

/// The input shape of a node according to its own arrays.
fn entering(leaf: &Leaf) -> Option<Shape> {
    let parameter =
        |name: &str| leaf.parameters.iter().find(|(n, _)| n == name).map(|(_, array)| &array.shape);
    match &leaf.kind {
        NodeKind::Affine { .. } | NodeKind::Linear { .. } => {
            Some(Shape::from([*parameter("weight")?.get(1)?]))
        }
        NodeKind::Scale => parameter("scale").cloned().map(Shape),
        NodeKind::Conv1d(Conv1d { groups, .. }) | NodeKind::Conv2d(Conv2d { groups, .. }) => {
            let mut shape = vec![parameter("weight")?.get(1)?.checked_mul(*groups)?];
            shape.extend(&leaf.given.as_ref()?.shape);
            Some(Shape(shape))
        }
        _ => leaf.given.as_ref().map(|given| Shape(given.shape.clone())).filter(|shape| !shape.is_empty()),
    }
}

/// The single entry or exit of a graph.
fn only(graph: &str, ends: &[String], kind: &'static str, what: &str) -> Result<String> {
    match ends {
        [end] => Ok(end.clone()),
        _ => Err(Error::NirEnds {
            graph: graph.to_owned(),
            count: ends.len(),
            ends: kind,
            what: what.to_owned(),
        }),
    }
}

/// The string `type` of a node.
fn type_of(tree: &mut Tree, node: &str) -> Result<String> {
    let source = Source { node, kind: "node", tree: Tree::default() };
    match tree.fields.remove("type").map(|field| field.data) {
        Some(Data::Text(texts)) if texts.len() == 1 => Ok(texts.concat()),
        Some(_) => Err(source.wrong("type", "not a string", "the name of a type")),
        None => Err(source.missing("type", "the name of a type")),
    }
}

/// Checks that the outermost group is a graph.
pub(super) fn check_graph(tree: &mut Tree) -> Result<()> {
    match type_of(tree, "node")? {
        graph if graph == "NIRGraph" => Ok(()),
        found => Err(Error::NotNir { reason: format!("its `node` is of type {found:?}") }),
    }
}

/// The edges of a graph.
fn pairs(source: &Source<'_>, field: Field) -> Result<Vec<(String, String)>> {
    let expected = "an array of shape [edges, 2] with node names";
    match field {
        // Python writes this for an empty list.
        Field { data, .. } if data.len() == 0 => Ok(Vec::new()),
        Field { shape, data: Data::Text(names) } if shape.len() == 2 && shape[1] == 2 => {
            Ok(names.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
        }
        Field { data: Data::Text(_), shape } => {
            Err(source.wrong("edges", format!("of shape {shape:?}"), expected))
        }
        _ => Err(source.wrong("edges", "numbers", expected)),
    }
}
