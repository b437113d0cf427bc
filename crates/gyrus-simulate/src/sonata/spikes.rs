//! Files of spikes: the times of each node, as input and as result.
//!
//! `spikes/<population>/node_ids` and `timestamps`; older files have `spikes/gids` and `spikes/timestamps` without a
//! population. Times are in milliseconds unless an attribute `units` says seconds.

use std::path::Path;

use hdf5_pure::{AttrValue, FileBuilder};

use super::hdf5::Tree;
use crate::Result;
use crate::error::in_file;

/// Spikes of one population.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpikeTimes {
    /// Their population; empty where the file names none.
    pub population: String,
    /// The node of each spike.
    pub node_ids: Vec<u64>,
    /// Its time.
    pub times_ms: Vec<f64>,
}

/// Reads a file of spikes.
///
/// # Errors
/// If it is not such a file; the error says where.
pub fn read_spikes(path: &Path) -> Result<Vec<SpikeTimes>> {
    let tree = Tree::open(path)?;
    if tree.has("spikes/timestamps") {
        let nodes = if tree.has("spikes/node_ids") { "spikes/node_ids" } else { "spikes/gids" };
        return Ok(vec![one(&tree, String::new(), nodes, "spikes/timestamps")?]);
    }
    let names = tree.groups("spikes")?;
    names
        .into_iter()
        .map(|name| {
            let nodes = format!("spikes/{name}/node_ids");
            let times = format!("spikes/{name}/timestamps");
            one(&tree, name, &nodes, &times)
        })
        .collect()
}

fn one(tree: &Tree, population: String, nodes: &str, times: &str) -> Result<SpikeTimes> {
    let node_ids = tree.wholes(nodes)?;
    let mut times_ms = tree.numbers(times)?;
    if node_ids.len() != times_ms.len() {
        let problem = format!("it holds {} numbers; {nodes} holds {}", times_ms.len(), node_ids.len());
        return Err(tree.wrong(times, problem));
    }
    let unit = tree.text(times, "units").unwrap_or_else(|| "ms".to_owned());
    match unit.as_str() {
        "ms" | "milliseconds" | "millisecond" => {}
        "s" | "seconds" | "second" => times_ms.iter_mut().for_each(|time| *time *= 1e3),
        other => return Err(tree.wrong(times, format!("its units are `{other}`; expected `ms` or `s`"))),
    }
    Ok(SpikeTimes { population, node_ids, times_ms })
}

/// The bytes of a file of spikes, in the order of time.
///
/// # Errors
/// If they are too many for the format.
pub fn write_spikes(path: &Path, all: &[SpikeTimes]) -> Result<Vec<u8>> {
    let mut file = FileBuilder::new();
    marked(&mut file);
    let mut spikes = file.create_group("spikes");
    for SpikeTimes { population, node_ids, times_ms } in all {
        let mut group = spikes.create_group(population);
        group.create_dataset("node_ids").with_u64_data(node_ids);
        let times = group.create_dataset("timestamps").with_f64_data(times_ms);
        times.set_attr("units", AttrValue::VarLenString("ms".to_owned()));
        spikes.add_group(group.finish());
    }
    file.add_group(spikes.finish());
    file.finish().map_err(|error| in_file(path, "", error.to_string()))
}

/// What SONATA writes at the root of its files.
pub(super) fn marked(file: &mut FileBuilder) {
    file.set_attr("magic", AttrValue::U32(0x0A7A));
    file.set_attr("version", AttrValue::U32Array(vec![0, 1]));
}
