//! Files of traces: potentials of some nodes over time, `report/<population>/data` with one row for each moment.

use std::path::Path;

use hdf5_pure::{AttrValue, FileBuilder};

use super::spikes::marked;
use crate::Result;
use crate::error::in_file;

/// A variable of some nodes of a population at regular moments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traces {
    /// The population.
    pub population: String,
    /// What was recorded, such as `V_m`, and its unit.
    pub variable: String,
    /// See `variable`.
    pub unit: String,
    /// The recorded nodes.
    pub node_ids: Vec<u64>,
    /// The first moment.
    pub start_ms: f64,
    /// From one moment to the next.
    pub interval_ms: f64,
    /// `[moments, nodes]`
    pub values: Vec<f32>,
}

impl Traces {
    /// Number of moments.
    #[must_use]
    pub fn moments(&self) -> usize {
        self.values.len() / self.node_ids.len().max(1)
    }
}

/// The bytes of a file of traces.
///
/// # Errors
/// If they are too many for the format.
pub fn write_traces(path: &Path, all: &[Traces]) -> Result<Vec<u8>> {
    let mut file = FileBuilder::new();
    marked(&mut file);
    let mut report = file.create_group("report");
    for traces in all {
        let (moments, nodes) = (traces.moments(), traces.node_ids.len());
        let mut group = report.create_group(&traces.population);
        let data = group.create_dataset("data").with_f32_data(&traces.values);
        data.with_shape(&[moments as u64, nodes as u64]);
        data.set_attr("units", AttrValue::VarLenString(traces.unit.clone()));
        data.set_attr("variable", AttrValue::VarLenString(traces.variable.clone()));
        let mut mapping = group.create_group("mapping");
        mapping.create_dataset("node_ids").with_u64_data(&traces.node_ids);
        mapping.create_dataset("index_pointers").with_u64_data(&(0..=nodes as u64).collect::<Vec<_>>());
        mapping.create_dataset("element_ids").with_u32_data(&vec![0; nodes]);
        let end = traces.start_ms + moments as f64 * traces.interval_ms;
        let time = mapping.create_dataset("time").with_f64_data(&[traces.start_ms, end, traces.interval_ms]);
        time.set_attr("units", AttrValue::VarLenString("ms".to_owned()));
        group.add_group(mapping.finish());
        report.add_group(group.finish());
    }
    file.add_group(report.finish());
    file.finish().map_err(|error| in_file(path, "", error.to_string()))
}
