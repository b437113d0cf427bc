//! Edges of SONATA: synapses, each with its two nodes, its weight and its delay.
//!
//! The lists of edges are read as they are; the indices beside them, which older files spell `indicies`, are not needed.

use std::collections::BTreeMap;
use std::path::Path;

use super::hdf5::Tree;
use super::nodes::{self, Nodes, Places};
use super::types::{self, Properties};
use crate::Result;
use crate::error::in_file;

/// The delay of edges for which no file names one, as in NEST.
pub const DEFAULT_DELAY_MS: f64 = 1.0;

/// The edges from one population to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Edges {
    /// Their name.
    pub name: String,
    /// Population of the sources and of the targets, as indices.
    pub source: usize,
    /// See `source`.
    pub target: usize,
    /// The source of each edge, counted from 0 within its population.
    pub sources: Vec<u32>,
    /// The target of each edge.
    pub targets: Vec<u32>,
    /// The weight of each edge: `syn_weight` times `nsyns` times the sign of its synapse model, in the unit of the model.
    pub weights: Vec<f64>,
    /// The delay of each edge.
    pub delays_ms: Vec<f64>,
}

/// Reads the edges of a file between these populations; `parameters` is the folder of synapse models.
pub(super) fn read(
    file: &Path,
    table: &Path,
    parameters: Option<&Path>,
    all: &[Nodes],
) -> Result<Vec<Edges>> {
    let tree = Tree::open(file)?;
    let table_types = types::read(table, "edge_type_id")?;
    let signs = signs(&table_types, table, parameters)?;
    let mut found = Vec::new();
    for name in tree.groups("edges")? {
        let place = format!("edges/{name}");
        let mut ends = Vec::new();
        for (end, of_name) in [("source", 0), ("target", 1)] {
            let array = format!("{place}/{end}_node_id");
            let population = ["node_population", "network"]
                .iter()
                .find_map(|attribute| tree.text(&array, attribute))
                .or_else(|| {
                    let (source, target) = name.split_once("_to_")?;
                    Some([source, target][of_name].to_owned())
                })
                .ok_or_else(|| tree.wrong(&array, "no attribute `node_population` names its population"))?;
            let population = population.trim_start_matches("/nodes/").to_owned();
            let Some(index) = all.iter().position(|nodes| nodes.name == population) else {
                let known: Vec<&str> = all.iter().map(|nodes| nodes.name.as_str()).collect();
                let problem =
                    format!("no file has its population `{population}`; there are: {}", known.join(", "));
                return Err(tree.wrong(&array, problem));
            };
            let places = Places::new(&all[index]);
            let mut rows = Vec::new();
            for id in tree.wholes(&array)? {
                rows.push(places.of(id).ok_or_else(|| {
                    tree.wrong(&array, format!("population `{population}` has no node {id}"))
                })?);
            }
            ends.push((index, rows));
        }
        let ((target, targets), (source, sources)) = (ends.remove(1), ends.remove(0));
        let edge_types = tree.wholes(&format!("{place}/edge_type_id"))?;
        for (what, count) in [("target_node_id", targets.len()), ("edge_type_id", edge_types.len())] {
            if count != sources.len() {
                let problem = format!("it holds {count} numbers; source_node_id holds {}", sources.len());
                return Err(tree.wrong(&format!("{place}/{what}"), problem));
            }
        }
        let own = Own {
            tree: &tree,
            place: &place,
            edge_types: &edge_types,
            table: &table_types,
            table_path: table,
        };
        let mut weights = own.values("syn_weight")?.ok_or_else(|| {
            tree.wrong(&place, format!("neither it nor {} has `syn_weight`", table.display()))
        })?;
        if let Some(counts) = own.values("nsyns")? {
            weights.iter_mut().zip(counts).for_each(|(weight, count)| *weight *= count);
        }
        weights.iter_mut().zip(&edge_types).for_each(|(weight, kind)| {
            *weight *= signs.get(kind).copied().unwrap_or(1.0);
        });
        let delays_ms = own.values("delay")?.unwrap_or_else(|| vec![DEFAULT_DELAY_MS; sources.len()]);
        if let Some(delay) = delays_ms.iter().find(|delay| **delay < 0.0) {
            return Err(tree.wrong(&place, format!("a delay is {delay} ms; expected none below 0")));
        }
        found.push(Edges { name, source, target, sources, targets, weights, delays_ms });
    }
    Ok(found)
}

/// `sign` in the synapse model of each type that has one.
fn signs(
    table: &BTreeMap<u64, Properties>,
    path: &Path,
    folder: Option<&Path>,
) -> Result<BTreeMap<u64, f64>> {
    let mut signs = BTreeMap::new();
    for (id, properties) in table {
        let Some(name) = properties.get("dynamics_params") else { continue };
        let file = nodes::parameter_file(name, path, folder);
        // Circuits without files of synapse models carry everything in their edges.
        if file.is_file()
            && let Some(sign) = nodes::numbers(&file)?.get("sign")
        {
            signs.insert(*id, *sign);
        }
    }
    Ok(signs)
}

/// The properties of the edges of one population: in groups of the file, otherwise in the table of types.
struct Own<'a> {
    tree: &'a Tree,
    place: &'a str,
    edge_types: &'a [u64],
    table: &'a BTreeMap<u64, Properties>,
    table_path: &'a Path,
}

impl Own<'_> {
    /// One value for each edge; none if no group and no type has this property.
    fn values(&self, name: &str) -> Result<Option<Vec<f64>>> {
        let mut by_type = BTreeMap::new();
        for (id, properties) in self.table {
            if let Some(value) = types::number(properties, name, self.table_path)? {
                by_type.insert(*id, value);
            }
        }
        let Self { tree, place, edge_types, .. } = *self;
        let group_names = tree.groups(place)?;
        let numbered = group_names.iter().filter_map(|group| Some((group.parse::<u64>().ok()?, group)));
        let mut groups = BTreeMap::new();
        for (number, group) in numbered {
            let array = format!("{place}/{group}/{name}");
            if tree.has(&array) && tree.is_numeric(&array) {
                groups.insert(number, tree.numbers(&array)?);
            }
        }
        if groups.is_empty() && by_type.is_empty() {
            return Ok(None);
        }
        let (mut group_ids, mut group_places) = (Vec::new(), Vec::new());
        if !groups.is_empty() {
            group_ids = tree.wholes(&format!("{place}/edge_group_id"))?;
            group_places = tree.wholes(&format!("{place}/edge_group_index"))?;
            if group_ids.len() != edge_types.len() || group_places.len() != edge_types.len() {
                let problem =
                    format!("edge_group_id and edge_group_index must hold {} numbers", edge_types.len());
                return Err(tree.wrong(place, problem));
            }
        }
        let mut values = Vec::with_capacity(edge_types.len());
        for (edge, kind) in edge_types.iter().enumerate() {
            let in_group = group_ids.get(edge).and_then(|group| groups.get(group)).map(|group| {
                let at = usize::try_from(group_places[edge]).unwrap_or(usize::MAX);
                group.get(at).copied().ok_or_else(|| {
                    tree.wrong(place, format!("`{name}` of edge {edge} lies beyond the end of its group"))
                })
            });
            let value = match in_group {
                Some(value) => value?,
                None => *by_type.get(kind).ok_or_else(|| {
                    in_file(self.table_path, "", format!("edge_type_id {kind} has no `{name}`"))
                })?,
            };
            values.push(value);
        }
        Ok(Some(values))
    }
}
