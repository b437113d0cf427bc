//! The graph itself, and the checks that make a [`Blueprint`] valid from the moment it exists.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::{BlueprintBuilder, Error, Node, NodeKind, Result, Shapes, inference};

/// The most nodes that a blueprint may have.
pub const MAX_NODES: usize = 10_000;
/// The most edges that a blueprint may have.
pub const MAX_EDGES: usize = 100_000;
/// The longest node name, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// A network: nodes, and edges that lead from one node's output into another node's input. Several edges into
/// one node add up.
///
/// Every value of this type has passed all checks: one Input and one Output, every node between the two, every cycle
/// through a node that keeps state over time, and shapes that fit together.
#[derive(Clone, Debug, PartialEq)]
pub struct Blueprint {
    /// Name of the network; any string.
    pub name: String,
    nodes: Vec<Node>,
    edges: Vec<(usize, usize)>,
}

impl Blueprint {
    /// Builds a blueprint after checking the graph and its shapes. Edges are `(from, to)`, indices into `nodes`.
    pub fn new(name: impl Into<String>, nodes: Vec<Node>, edges: Vec<(usize, usize)>) -> Result<Self> {
        check_counts(nodes.len(), edges.len())?;
        check_names(&nodes)?;
        let blueprint = Self { name: name.into(), nodes, edges };
        blueprint.check_edges()?;
        let input = blueprint.only(|kind| matches!(kind, NodeKind::Input { .. }), "Input")?;
        let output = blueprint.only(|kind| matches!(kind, NodeKind::Output), "Output")?;
        blueprint.check_ends(input, output)?;
        blueprint.check_cycles()?;
        let sources = blueprint.sources();
        let targets = blueprint.targets();
        if let Some(node) = first_unreached(&targets, input) {
            return Err(Error::Unreachable { node: blueprint.nodes[node].name.clone() });
        }
        if let Some(node) = first_unreached(&sources, output) {
            return Err(Error::DeadEnd { node: blueprint.nodes[node].name.clone() });
        }
        blueprint.shapes()?;
        Ok(blueprint)
    }

    /// Starts a builder that adds one node after another.
    pub fn builder(name: impl Into<String>) -> BlueprintBuilder {
        BlueprintBuilder::new(name.into())
    }

    /// The nodes, in the order in which they were given.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The edges `(from, to)` as indices into [`nodes`](Self::nodes), in the order in which they were given.
    pub fn edges(&self) -> &[(usize, usize)] {
        &self.edges
    }

    /// The index of the node of this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// For each node, the nodes whose outputs add up to its input.
    pub fn sources(&self) -> Vec<Vec<usize>> {
        let mut sources = vec![Vec::new(); self.nodes.len()];
        for &(from, to) in &self.edges {
            sources[to].push(from);
        }
        sources
    }

    /// For each node, the nodes that its output leads into.
    pub fn targets(&self) -> Vec<Vec<usize>> {
        let mut targets = vec![Vec::new(); self.nodes.len()];
        for &(from, to) in &self.edges {
            targets[from].push(to);
        }
        targets
    }

    /// The edges that close a cycle, found by a depth-first walk from the Input that follows edges in their order. A signal
    /// on such an edge arrives one step later.
    pub fn back_edges(&self) -> Vec<(usize, usize)> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Not,
            Open,
            Done,
        }
        let targets = self.targets();
        let mut seen = vec![Seen::Not; self.nodes.len()];
        let mut back = Vec::new();
        let inputs =
            (0..self.nodes.len()).filter(|&node| matches!(self.nodes[node].kind, NodeKind::Input { .. }));
        let mut path: Vec<(usize, usize)> = inputs.map(|node| (node, 0)).collect();
        path.truncate(1);
        if let Some(&(start, _)) = path.first() {
            seen[start] = Seen::Open;
        }
        while let Some((node, next)) = path.last_mut() {
            let from = *node;
            let Some(&to) = targets[from].get(*next) else {
                seen[from] = Seen::Done;
                path.pop();
                continue;
            };
            *next += 1;
            match seen[to] {
                Seen::Not => {
                    seen[to] = Seen::Open;
                    path.push((to, 0));
                }
                Seen::Open => back.push((from, to)),
                Seen::Done => {}
            }
        }
        back
    }

    /// Node indices ordered so that every edge except the [`back_edges`](Self::back_edges) leads from an earlier to a later
    /// node. Of all such orders it is the one closest to [`nodes`](Self::nodes).
    pub fn topological_order(&self) -> Result<Vec<usize>> {
        self.order_without(&self.back_edges().into_iter().collect())
    }

    /// Refuses cycles without a node that keeps state over time: an output there would depend on itself.
    fn check_cycles(&self) -> Result<()> {
        let stateful = |&&(from, _): &&(usize, usize)| self.nodes[from].kind.has_state();
        self.order_without(&self.edges.iter().filter(stateful).copied().collect()).map(drop)
    }

    /// A topological order that ignores some edges.
    fn order_without(&self, left_out: &HashSet<(usize, usize)>) -> Result<Vec<usize>> {
        let mut targets = vec![Vec::new(); self.nodes.len()];
        let mut waiting_for = vec![0usize; self.nodes.len()];
        for edge @ &(from, to) in &self.edges {
            if !left_out.contains(edge) {
                targets[from].push(to);
                waiting_for[to] += 1;
            }
        }
        let mut ready: BinaryHeap<Reverse<usize>> =
            (0..self.nodes.len()).filter(|&node| waiting_for[node] == 0).map(Reverse).collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(Reverse(node)) = ready.pop() {
            order.push(node);
            for &target in &targets[node] {
                waiting_for[target] -= 1;
                if waiting_for[target] == 0 {
                    ready.push(Reverse(target));
                }
            }
        }
        match waiting_for.iter().position(|&count| count > 0) {
            None => Ok(order),
            Some(stuck) => Err(self.cycle(stuck, &waiting_for, left_out)),
        }
    }

    /// Infers the input and output shape, the parameters and the work of every node from the Input's shape.
    pub fn shapes(&self) -> Result<Shapes> {
        inference::infer(self)
    }

    /// Names a cycle. Every waiting node has a waiting source, so walking back over waiting sources must return to some
    /// node.
    fn cycle(&self, stuck: usize, waiting_for: &[usize], left_out: &HashSet<(usize, usize)>) -> Error {
        let mut sources = self.sources();
        for (to, sources) in sources.iter_mut().enumerate() {
            sources.retain(|&from| !left_out.contains(&(from, to)));
        }
        let mut position = HashMap::new();
        let mut path = Vec::new();
        let mut next = Some(stuck);
        while let Some(node) = next {
            if let Some(&start) = position.get(&node) {
                path.drain(..start);
                break;
            }
            position.insert(node, path.len());
            path.push(node);
            next = sources[node].iter().copied().find(|&source| waiting_for[source] > 0);
        }
        // The walk went against the edges; report the cycle along them, from the node that comes first in the blueprint.
        path.reverse();
        if let Some(first) = (0..path.len()).min_by_key(|&place| path[place]) {
            path.rotate_left(first);
        }
        Error::Cycle { nodes: path.iter().map(|&node| self.nodes[node].name.clone()).collect() }
    }

    fn check_edges(&self) -> Result<()> {
        let mut seen = HashSet::new();
        for &(from, to) in &self.edges {
            let (Some(source), Some(target)) = (self.nodes.get(from), self.nodes.get(to)) else {
                return Err(Error::EdgeOutOfRange { from, to, nodes: self.nodes.len() });
            };
            if !seen.insert((from, to)) {
                return Err(Error::DuplicateEdge { from: source.name.clone(), to: target.name.clone() });
            }
        }
        Ok(())
    }

    fn check_ends(&self, input: usize, output: usize) -> Result<()> {
        for &(from, to) in &self.edges {
            let (source, target) = (&self.nodes[from], &self.nodes[to]);
            if to == input {
                return Err(Error::EdgeIntoInput { node: target.name.clone(), from: source.name.clone() });
            }
            if from == output {
                return Err(Error::EdgeFromOutput { node: source.name.clone(), to: target.name.clone() });
            }
        }
        Ok(())
    }

    /// The index of the only node of a kind.
    fn only(&self, is_it: impl Fn(&NodeKind) -> bool, kind: &'static str) -> Result<usize> {
        let mut found =
            self.nodes.iter().enumerate().filter(|(_, node)| is_it(&node.kind)).map(|(index, _)| index);
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (Some(first), Some(second)) => Err(Error::Several {
                kind,
                first: self.nodes[first].name.clone(),
                second: self.nodes[second].name.clone(),
            }),
            (None, _) => Err(Error::Missing { kind }),
        }
    }
}

/// Refuses graphs beyond [`MAX_NODES`] and [`MAX_EDGES`], before doing any work on them.
pub(crate) fn check_counts(nodes: usize, edges: usize) -> Result<()> {
    if nodes > MAX_NODES {
        return Err(Error::TooManyNodes { count: nodes, limit: MAX_NODES });
    }
    if edges > MAX_EDGES {
        return Err(Error::TooManyEdges { count: edges, limit: MAX_EDGES });
    }
    Ok(())
}

/// Names become parts of file entries (`<node>.weight`) and paths in `.nir`, where `/` separates.
fn check_names(nodes: &[Node]) -> Result<()> {
    let mut places = HashMap::new();
    for (index, Node { name, .. }) in nodes.iter().enumerate() {
        let problem = if name.is_empty() {
            Some("is empty")
        } else if name.len() > MAX_NAME_BYTES {
            Some("is too long")
        } else if name.contains(|letter: char| letter.is_control()) {
            Some("contains a control character")
        } else if name.contains('/') {
            Some("contains `/`")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(Error::InvalidName { name: name.clone(), problem, limit: MAX_NAME_BYTES });
        }
        if let Some(first) = places.insert(name.as_str(), index) {
            return Err(Error::DuplicateName { node: name.clone(), first, second: index });
        }
    }
    Ok(())
}

/// The first node that cannot be reached from `start` along `neighbors`.
fn first_unreached(neighbors: &[Vec<usize>], start: usize) -> Option<usize> {
    let mut reached = vec![false; neighbors.len()];
    reached[start] = true;
    let mut open = vec![start];
    while let Some(node) = open.pop() {
        for &next in &neighbors[node] {
            if !std::mem::replace(&mut reached[next], true) {
                open.push(next);
            }
        }
    }
    reached.iter().position(|&seen| !seen)
}
