//! Nodes of SONATA: neurons of a population, and virtual ones that only send given spikes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gyrus_files::read_text;
use serde_json::Value;

use super::hdf5::Tree;
use super::types::{self, Properties};
use crate::Result;
use crate::error::in_file;

/// The largest file of parameters.
const LIMIT: u64 = 1 << 20;

/// A population.
#[derive(Clone, Debug, PartialEq)]
pub struct Nodes {
    /// Its name.
    pub name: String,
    /// The number of each node in its files. Elsewhere here nodes are counted from 0.
    pub ids: Vec<u64>,
    /// The types of its nodes.
    pub types: Vec<NodeType>,
    /// The type of each node, an index into `types`.
    pub kinds: Vec<u32>,
}

/// A type of nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeType {
    /// Its number in the table of types.
    pub id: u64,
    /// Its properties by name, such as `model_type` and `model_template`.
    pub properties: BTreeMap<String, String>,
    /// The parameters of its neurons by name.
    pub parameters: BTreeMap<String, f64>,
}

impl NodeType {
    /// Whether its nodes compute nothing and send given spikes.
    #[must_use]
    pub fn is_virtual(&self) -> bool {
        self.properties.get("model_type").is_some_and(|kind| kind == "virtual")
    }

    /// Its model, such as `nest:iaf_psc_alpha`.
    #[must_use]
    pub fn template(&self) -> &str {
        self.properties.get("model_template").map_or("", String::as_str)
    }
}

/// Reads the populations of a file; `parameters` is the folder of the files that its types name.
pub(super) fn read(file: &Path, table: &Path, parameters: Option<&Path>) -> Result<Vec<Nodes>> {
    let tree = Tree::open(file)?;
    let table_types = types::read(table, "node_type_id")?;
    let mut all = Vec::new();
    for name in tree.groups("nodes")? {
        let place = format!("nodes/{name}");
        let type_ids = tree.wholes(&format!("{place}/node_type_id"))?;
        let id_place = format!("{place}/node_id");
        let ids = match tree.has(&id_place) {
            true => tree.wholes(&id_place)?,
            false => (0..type_ids.len() as u64).collect(),
        };
        if ids.len() != type_ids.len() {
            let problem = format!("it holds {} numbers; node_type_id holds {}", ids.len(), type_ids.len());
            return Err(tree.wrong(&id_place, problem));
        }
        if ids.len() > u32::MAX as usize {
            return Err(tree.wrong(&place, "it holds more than 2^32 nodes"));
        }
        let (mut types, mut kinds, mut known) = (Vec::new(), Vec::with_capacity(ids.len()), BTreeMap::new());
        for id in type_ids {
            let kind = match known.get(&id) {
                Some(kind) => *kind,
                None => {
                    let properties = table_types.get(&id).ok_or_else(|| {
                        in_file(
                            table,
                            "",
                            format!("it has no node_type_id {id}, which {} names", file.display()),
                        )
                    })?;
                    let kind = types.len() as u32;
                    types.push(node_type(id, properties.clone(), table, parameters)?);
                    known.insert(id, kind);
                    kind
                }
            };
            kinds.push(kind);
        }
        all.push(Nodes { name, ids, types, kinds });
    }
    Ok(all)
}

fn node_type(id: u64, properties: Properties, table: &Path, folder: Option<&Path>) -> Result<NodeType> {
    let parameters = match properties.get("dynamics_params") {
        Some(name) => numbers(&parameter_file(name, table, folder))?,
        None => BTreeMap::new(),
    };
    Ok(NodeType { id, properties, parameters })
}

/// The file of parameters that a table names.
pub(super) fn parameter_file(name: &str, table: &Path, folder: Option<&Path>) -> PathBuf {
    match folder {
        Some(folder) => folder.join(name),
        None => super::config::beside(table, name),
    }
}

/// The numbers of a JSON object; texts are left out.
pub(super) fn numbers(path: &Path) -> Result<BTreeMap<String, f64>> {
    let text = read_text(path, LIMIT)?;
    let read: Value = serde_json::from_str(&text)
        .map_err(|error| in_file(path, format!("line {}", error.line()), format!("not JSON: {error}")))?;
    let Value::Object(object) = read else { return Err(in_file(path, "", "expected a JSON object")) };
    Ok(object.into_iter().filter_map(|(key, value)| Some((key, value.as_f64()?))).collect())
}

/// Where each node stands, by its number in the files.
pub(super) struct Places<'a> {
    nodes: &'a Nodes,
    /// Only where the numbers are not 0, 1, 2, ...
    by_id: Option<BTreeMap<u64, u32>>,
}

impl<'a> Places<'a> {
    pub(super) fn new(nodes: &'a Nodes) -> Self {
        let is_plain = nodes.ids.iter().enumerate().all(|(place, id)| place as u64 == *id);
        let by_id = (!is_plain).then(|| nodes.ids.iter().copied().zip(0..).collect());
        Self { nodes, by_id }
    }

    pub(super) fn of(&self, id: u64) -> Option<u32> {
        match &self.by_id {
            Some(by_id) => by_id.get(&id).copied(),
            None => u32::try_from(id).ok().filter(|place| (*place as usize) < self.nodes.ids.len()),
        }
    }
}
