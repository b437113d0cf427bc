//! Transfer: a network that was trained on one task goes on to another.
//!
//! The last layer, which answers for the old classes, is replaced ([`with_outputs`]). Then all layers learn (fine-tuning), or the
//! network is [`cut`] behind a node: what lies before the cut stays as it is and sees each picture once ([`features`]), and only
//! what lies behind learns, from those answers. A cut right before the last layer is a linear probe.

use std::collections::BTreeMap;

use gyrus_blueprint::{Blueprint, Node, NodeKind};
use gyrus_data::{Dataset, Examples, Features, Preprocessing, Table, Targets, fill_batch};
use gyrus_files::State;
use gyrus_kernels::dense::linear::linear;
use gyrus_nn::{Network, floats};
use gyrus_tensor::{Device, filled_tensor};

use crate::{Error, Result};

/// Pictures per pass.
const TOGETHER: usize = 64;
/// The most numbers that a frozen part may answer for all pictures together: 8 GiB.
const MOST_NUMBERS: usize = 2 << 30;

/// The node whose outputs are the network's scores: the last layer.
///
/// # Errors
/// [`Error::Cut`] if the output is that of several nodes.
pub(crate) fn last_node(blueprint: &Blueprint) -> Result<usize> {
    let sources = blueprint.sources();
    let output = blueprint.nodes().iter().position(|node| node.kind == NodeKind::Output);
    match output.map(|output| &sources[output][..]) {
        Some(&[last]) => Ok(last),
        _ => Err(Error::Cut {
            node: "output".to_owned(),
            reason: "its output is the sum of several nodes; expected one last layer".to_owned(),
        }),
    }
}

/// The network with a last layer of so many outputs: in place of the last Affine or Linear node, or behind a network that ends
/// without one. The parameters of that layer are fresh, the others as they were.
///
/// # Errors
/// [`Error::Cut`] if the network has no single last layer, and what the blueprint is refused for.
pub fn with_outputs(
    blueprint: &Blueprint,
    parameters: &State,
    outputs: usize,
    seed: u64,
    device: &Device,
) -> Result<(Blueprint, State)> {
    let last = last_node(blueprint)?;
    let mut nodes = blueprint.nodes().to_vec();
    let mut edges = blueprint.edges().to_vec();
    let kind = match nodes[last].kind {
        NodeKind::Linear { .. } => NodeKind::linear(outputs),
        _ => NodeKind::affine(outputs),
    };
    let name = match nodes[last].kind {
        NodeKind::Affine { .. } | NodeKind::Linear { .. } => {
            nodes[last].kind = kind;
            nodes[last].name.clone()
        }
        _ => {
            let name = (0..)
                .map(
                    |number| {
                        if number == 0 { "classifier".to_owned() } else { format!("classifier{number}") }
                    },
                )
                .find(|name| blueprint.index_of(name).is_none())
                .unwrap_or_default();
            nodes.push(Node { name: name.clone(), kind });
            let added = nodes.len() - 1;
            for edge in &mut edges {
                if nodes[edge.1].kind == NodeKind::Output {
                    edge.0 = added;
                }
            }
            edges.push((last, added));
            name
        }
    };
    let blueprint = Blueprint::new(blueprint.name.clone(), nodes, edges)?;
    let prefix = format!("{name}.");
    let mut state = Network::new(&blueprint, seed, device)?.state();
    for (name, tensor) in parameters.iter().filter(|(name, _)| !name.starts_with(&prefix)) {
        state.insert(name.clone(), tensor.clone());
    }
    Ok((blueprint, state))
}

/// A network in two parts.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The last node of the first part.
    pub node: String,
    /// From the picture to that node's output.
    pub body: Blueprint,
    /// From there to the scores.
    pub tail: Blueprint,
}

impl Cut {
    /// The parameters of one part, out of those of the whole network.
    #[must_use]
    pub fn parameters(part: &Blueprint, all: &State) -> State {
        let of_part =
            |name: &str| name.rsplit_once('.').is_some_and(|(node, _)| part.index_of(node).is_some());
        all.iter()
            .filter(|(name, _)| of_part(name))
            .map(|(name, tensor)| (name.clone(), tensor.clone()))
            .collect()
    }
}

/// Cuts a network behind a node; without a name, before its last layer and the dropouts before that. A name that several nodes
/// begin with, such as `layer3`, is that of the last of these.
///
/// # Errors
/// [`Error::Cut`] for an unknown node, or one beside which other paths lead to the output.
pub fn cut(blueprint: &Blueprint, node: Option<&str>) -> Result<Cut> {
    let at = match node {
        Some(name) => named(blueprint, name)?,
        None => before_last(blueprint)?,
    };
    let name = blueprint.nodes()[at].name.clone();
    let refuse = |reason: String| Err(Error::Cut { node: name.clone(), reason });
    let targets = blueprint.targets();
    let mut behind = vec![false; blueprint.nodes().len()];
    let mut open = targets[at].clone();
    while let Some(next) = open.pop() {
        if !std::mem::replace(&mut behind[next], true) {
            open.extend(&targets[next]);
        }
    }
    if blueprint
        .nodes()
        .iter()
        .zip(&behind)
        .filter(|(_, behind)| **behind)
        .all(|(node, _)| node.kind == NodeKind::Output)
    {
        return refuse("nothing would be left to learn".to_owned());
    }
    for &(from, to) in blueprint.edges() {
        if behind[to] && !behind[from] && from != at {
            let nodes = blueprint.nodes();
            return refuse(format!("`{}` leads past it into `{}`", nodes[from].name, nodes[to].name));
        }
    }
    let shape = blueprint.shapes()?.output(at).clone();
    let body = part(
        blueprint,
        |index| !behind[index],
        (at, Node { name: "output".to_owned(), kind: NodeKind::Output }),
        false,
    )?;
    let input = Node { name: "input".to_owned(), kind: NodeKind::Input { shape } };
    let tail = part(blueprint, |index| behind[index], (at, input), true)?;
    Ok(Cut { node: name, body, tail })
}

/// The nodes that `kept` marks, with an end in place of what is behind (or before) node `at`.
fn part(
    blueprint: &Blueprint,
    kept: impl Fn(usize) -> bool,
    (at, end): (usize, Node),
    end_first: bool,
) -> Result<Blueprint> {
    let mut nodes = Vec::new();
    let mut places = BTreeMap::new();
    if end_first {
        places.insert(at, 0);
        nodes.push(end.clone());
    }
    for (index, node) in blueprint.nodes().iter().enumerate().filter(|(index, _)| kept(*index)) {
        places.insert(index, nodes.len());
        nodes.push(node.clone());
    }
    let within = blueprint.edges().iter().filter(|(_, to)| kept(*to));
    let mut edges: Vec<(usize, usize)> =
        within.filter_map(|(from, to)| Some((*places.get(from)?, *places.get(to)?))).collect();
    if !end_first {
        edges.push((places[&at], nodes.len()));
        nodes.push(end);
    }
    Ok(Blueprint::new(blueprint.name.clone(), nodes, edges)?)
}

/// The node of this name, or the last in the order of work of those whose names begin with it and a dot.
fn named(blueprint: &Blueprint, name: &str) -> Result<usize> {
    if let Some(node) = blueprint.index_of(name) {
        return Ok(node);
    }
    let prefix = format!("{name}.");
    let order = blueprint.topological_order()?;
    let within = order.into_iter().rfind(|&node| blueprint.nodes()[node].name.starts_with(&prefix));
    within.ok_or_else(|| {
        let names: Vec<&str> = blueprint.nodes().iter().map(|node| node.name.as_str()).collect();
        let shown = names.iter().take(6).copied().collect::<Vec<_>>().join(", ");
        Error::Cut { node: name.to_owned(), reason: format!("there is no such node; it has {shown}, ...") }
    })
}

/// The node whose output the last layer, or the dropouts before it, read.
fn before_last(blueprint: &Blueprint) -> Result<usize> {
    let sources = blueprint.sources();
    let mut node = last_node(blueprint)?;
    loop {
        let &[source] = &sources[node][..] else {
            return Err(Error::Cut {
                node: blueprint.nodes()[node].name.clone(),
                reason: "it reads the sum of several nodes; name the node to cut behind".to_owned(),
            });
        };
        node = source;
        if !matches!(blueprint.nodes()[node].kind, NodeKind::Dropout { .. }) {
            return Ok(node);
        }
    }
}

/// What a frozen part answers for each picture of a data set: the data set that the rest learns from. `watch` receives how many
/// pictures are done, and of how many, and says whether to go on.
///
/// # Errors
/// [`Error::Cut`] if the answers do not fit into memory or the watcher stops.
pub fn features(
    body: &Network,
    node: &str,
    dataset: &Dataset,
    watch: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Dataset> {
    let shapes = body.blueprint().shapes()?;
    let columns = body.blueprint().index_of(node).map_or(0, |node| shapes.output(node).iter().product());
    let all = dataset.train.len() + dataset.test.len();
    if columns == 0 || all.saturating_mul(columns) > MOST_NUMBERS {
        let reason = format!(
            "its {columns} numbers for each of {all} pictures do not fit into memory; cut behind a later, smaller node"
        );
        return Err(Error::Cut { node: node.to_owned(), reason });
    }
    let mut done = 0;
    let mut of_part = |examples: &Examples| -> Result<Examples> {
        let mut values = Vec::with_capacity(examples.len() * columns);
        let mut buffer = Vec::new();
        let indices: Vec<u32> = (0..examples.len() as u32).collect();
        for batch in indices.chunks(TOGETHER) {
            fill_batch(examples, &dataset.preprocessing, batch, None, &mut buffer);
            let x = filled_tensor(batch.len(), buffer.len() / batch.len(), |x| x.copy_from_slice(&buffer));
            values.extend(floats(body.infer(x.to_device(body.device()))));
            done += batch.len();
            if !watch(done, all) {
                return Err(Error::Stopped);
            }
        }
        let table = Table { values, rows: examples.len(), columns };
        Ok(Examples { features: Features::Table(table), targets: examples.targets.clone() })
    };
    let (train, test) = (of_part(&dataset.train)?, of_part(&dataset.test)?);
    Ok(Dataset {
        name: dataset.name.clone(),
        task: dataset.task.clone(),
        train,
        test,
        preprocessing: Preprocessing::Table { columns: Vec::new(), target: String::new() },
        fingerprint: dataset.fingerprint.clone(),
        skipped: dataset.skipped.clone(),
        notes: dataset.notes.clone(),
        test_rows: Vec::new(),
        validation: dataset.validation.clone(),
    })
}

/// Neighbors that vote.
const NEIGHBORS: usize = 5;
/// The most multiplications that the comparison of all pictures may take.
const MOST_PRODUCTS: usize = 2_000_000_000_000;

/// The share of the test pictures that the five nearest training pictures, by the distance between raw pixels, classify
/// correctly: what can be known without having learned anything. Of classes with as many votes, the one with the nearest
/// picture wins. `None` for other data, and where comparing all pictures would take too long.
#[must_use]
pub fn nearest_neighbors(dataset: &Dataset) -> Option<f64> {
    let (Features::Images(train), Features::Images(test)) = (&dataset.train.features, &dataset.test.features)
    else {
        return None;
    };
    let (Targets::Classes(known), Targets::Classes(asked)) = (&dataset.train.targets, &dataset.test.targets)
    else {
        return None;
    };
    let length = train.example_length();
    let products = train.count.saturating_mul(test.count).saturating_mul(length);
    if train.count == 0 || test.count == 0 || test.example_length() != length || products > MOST_PRODUCTS {
        return None;
    }
    let centered =
        |pixels: &[u8]| pixels.iter().map(|&pixel| f32::from(pixel) / 127.5 - 1.0).collect::<Vec<f32>>();
    let references = centered(&train.pixels);
    let squares: Vec<f32> =
        references.chunks_exact(length).map(|row| row.iter().map(|x| x * x).sum()).collect();
    let mut right = 0;
    for (pixels, classes) in test.pixels.chunks(TOGETHER * length).zip(asked.chunks(TOGETHER)) {
        let rows = classes.len();
        let mut products = vec![0.0; rows * train.count];
        linear(&centered(pixels), &references, None, false, (rows, length, train.count), &mut products);
        for (products, class) in products.chunks_exact(train.count).zip(classes) {
            // The square of the asked picture is the same for all.
            let mut distances: Vec<(f32, usize)> = products
                .iter()
                .zip(&squares)
                .map(|(product, square)| square - 2.0 * product)
                .zip(0..)
                .collect();
            let nearest = NEIGHBORS.min(distances.len());
            distances.select_nth_unstable_by(nearest - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            distances.truncate(nearest);
            distances.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let voted: Vec<u32> = distances.iter().map(|(_, index)| known[*index]).collect();
            let votes = |class: u32| voted.iter().filter(|own| **own == class).count();
            // The first of equals is the nearest.
            let winner = voted.iter().rev().max_by_key(|class| votes(**class));
            right += usize::from(winner == Some(class));
        }
    }
    Some(right as f64 / test.count as f64)
}
