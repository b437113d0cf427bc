//! SONATA: networks, spikes and traces as the Allen Institute and the Blue Brain Project exchange them (Dai et al. 2020, PLOS
//! Computational Biology 16:e1007696).
//!
//! [`Sonata::open`] reads a configuration with its nodes, edges and given spikes; [`Sonata::circuit`] makes a circuit of it
//! for NEST's models, and [`run_intfire`] runs NEURON's IntFire1 event by event. [`read_spikes`], [`write_spikes`] and
//! [`write_traces`] are the files of results.

mod circuit;
mod config;
mod edges;
mod hdf5;
mod intfire;
mod nodes;
mod report;
mod spikes;
mod types;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use circuit::Origin;
pub use config::is_config;
pub use edges::{DEFAULT_DELAY_MS, Edges};
pub use intfire::{EventSpike, is_intfire, run_intfire};
pub use nodes::{NodeType, Nodes};
pub use report::{Traces, write_traces};
pub use spikes::{SpikeTimes, read_spikes, write_spikes};

use crate::error::in_file;
use crate::{Link, Result};
use config::Config;
use nodes::Places;

/// A network with what is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Sonata {
    /// Populations of nodes.
    pub nodes: Vec<Nodes>,
    /// Edges between them.
    pub edges: Vec<Edges>,
    /// Simulated time; none where no simulation is configured.
    pub duration_ms: Option<f64>,
    /// Length of a step; none where no simulation is configured.
    pub dt_ms: Option<f64>,
    /// Nodes whose potential is recorded: population and node.
    pub recorded: Vec<(usize, u32)>,
    /// Given spikes: population, node, time in milliseconds.
    given: Vec<(usize, u32, f64)>,
}

impl Sonata {
    /// Opens a configuration, or the folder in which it lies.
    ///
    /// # Errors
    /// If a file is missing or damaged, or asks for what is not supported; the error names the file and the place in it.
    pub fn open(path: &Path) -> Result<Self> {
        let config = Config::read(path)?;
        let folder = |name: &str| -> Option<PathBuf> {
            let text = config.get("components")?.get(name)?.as_str()?;
            Some(config.path("components", text))
        };
        let file = config.file("networks");
        let networks =
            config.get("networks").ok_or_else(|| in_file(path, "", "no `networks`: no nodes to simulate"))?;
        let listed = |key: &str| networks.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let named = |entry: &Value, key: &str| -> Result<PathBuf> {
            let text = entry.get(key).and_then(Value::as_str);
            let text = text.ok_or_else(|| in_file(&file, "networks", format!("an entry has no `{key}`")))?;
            Ok(config.path("networks", text))
        };
        let models = folder("point_neuron_models_dir");
        let mut all = Vec::new();
        for entry in listed("nodes") {
            let (nodes_file, types) = (named(&entry, "nodes_file")?, named(&entry, "node_types_file")?);
            for own in nodes::read(&nodes_file, &types, models.as_deref())? {
                if all.iter().any(|other: &Nodes| other.name == own.name) {
                    return Err(in_file(
                        &nodes_file,
                        "nodes",
                        format!("a second population is called `{}`", own.name),
                    ));
                }
                all.push(own);
            }
        }
        if all.is_empty() {
            return Err(in_file(&file, "networks", "no nodes"));
        }
        let synapses = folder("synaptic_models_dir");
        let mut edges = Vec::new();
        for entry in listed("edges") {
            if entry.get("enabled").and_then(Value::as_bool) == Some(false) {
                continue;
            }
            let (edges_file, types) = (named(&entry, "edges_file")?, named(&entry, "edge_types_file")?);
            edges.extend(edges::read(&edges_file, &types, synapses.as_deref(), &all)?);
        }
        let run = |key: &str| config.get("run").and_then(|run| run.get(key)).and_then(Value::as_f64);
        let mut sonata = Self {
            nodes: all,
            edges,
            duration_ms: run("tstop").or(run("duration")),
            dt_ms: run("dt"),
            recorded: Vec::new(),
            given: Vec::new(),
        };
        let sets = match config.get("node_sets_file").and_then(Value::as_str) {
            Some(name) => sets(&config.path("node_sets_file", name))?,
            None => BTreeMap::new(),
        };
        sonata.read_inputs(&config, &sets)?;
        sonata.read_reports(&config, &sets)?;
        Ok(sonata)
    }

    /// Given spikes: population, node, time in milliseconds.
    pub(crate) fn given_spikes(&self) -> impl Iterator<Item = (usize, u32, f64)> + '_ {
        self.given.iter().copied()
    }

    /// Number of spikes that are given to virtual nodes.
    #[must_use]
    pub fn given(&self) -> usize {
        self.given.len()
    }

    /// Number of edges.
    #[must_use]
    pub fn synapses(&self) -> usize {
        self.edges.iter().map(|own| own.sources.len()).sum()
    }

    fn read_inputs(&mut self, config: &Config, sets: &BTreeMap<String, Value>) -> Result<()> {
        let file = config.file("inputs");
        let Some(Value::Object(inputs)) = config.get("inputs") else { return Ok(()) };
        for (name, input) in inputs {
            let text = |key: &str| input.get(key).and_then(Value::as_str);
            let place = format!("inputs/{name}");
            let (kind, module) = (text("input_type").unwrap_or_default(), text("module").unwrap_or_default());
            if kind != "spikes" || !matches!(module, "h5" | "sonata") {
                let problem = format!(
                    "input_type `{kind}` with module `{module}` is not supported; expected `spikes` with `h5` or `sonata`"
                );
                return Err(in_file(&file, place, problem));
            }
            let path = text("input_file").ok_or_else(|| in_file(&file, &place, "no `input_file`"))?;
            let path = config.path("inputs", path);
            let set = input.get("node_set").ok_or_else(|| in_file(&file, &place, "no `node_set`"))?;
            let wanted = self.chosen(set, sets, &file, &place)?;
            for times in read_spikes(&path)? {
                for (index, members) in &wanted {
                    let own = &self.nodes[*index];
                    if !times.population.is_empty() && times.population != own.name {
                        continue;
                    }
                    let places = Places::new(own);
                    for (id, time_ms) in times.node_ids.iter().zip(&times.times_ms) {
                        let node = places.of(*id).ok_or_else(|| {
                            in_file(&path, "spikes", format!("population `{}` has no node {id}", own.name))
                        })?;
                        if members.as_ref().is_none_or(|members| members.contains(&node)) {
                            self.given.push((*index, node, *time_ms));
                        }
                    }
                }
            }
        }
        self.given.sort_by(|a, b| a.2.total_cmp(&b.2).then((a.0, a.1).cmp(&(b.0, b.1))));
        Ok(())
    }

    fn read_reports(&mut self, config: &Config, sets: &BTreeMap<String, Value>) -> Result<()> {
        let file = config.file("reports");
        let Some(Value::Object(reports)) = config.get("reports") else { return Ok(()) };
        for (name, report) in reports {
            let place = format!("reports/{name}");
            if report.get("enabled").and_then(Value::as_bool) == Some(false) {
                continue;
            }
            let variable = report.get("variable_name").and_then(Value::as_str).unwrap_or_default();
            if !matches!(variable, "V_m" | "v") {
                let problem = format!("variable `{variable}` is not supported; expected `V_m`");
                return Err(in_file(&file, place, problem));
            }
            let set = report.get("cells").unwrap_or(&Value::Null);
            for (population, members) in self.chosen(set, sets, &file, &place)? {
                let all = 0..self.nodes[population].ids.len() as u32;
                let kept = all.filter(|node| members.as_ref().is_none_or(|members| members.contains(node)));
                self.recorded.extend(kept.map(|node| (population, node)));
            }
        }
        self.recorded.sort_unstable();
        self.recorded.dedup();
        Ok(())
    }

    /// The nodes of a set, by population; `None` for all of one.
    fn chosen(
        &self,
        set: &Value,
        sets: &BTreeMap<String, Value>,
        file: &Path,
        place: &str,
    ) -> Result<Vec<(usize, Option<Vec<u32>>)>> {
        let rule = match set {
            Value::String(name) => {
                match (sets.get(name), self.nodes.iter().position(|own| own.name == *name)) {
                    (Some(rule), _) => rule.clone(),
                    (None, Some(index)) => return Ok(vec![(index, None)]),
                    (None, None) => {
                        let known: Vec<&str> = sets.keys().map(String::as_str).collect();
                        let problem =
                            format!("no node set or population `{name}`; sets: {}", known.join(", "));
                        return Err(in_file(file, place, problem));
                    }
                }
            }
            rule => rule.clone(),
        };
        let Value::Object(rule) = rule else {
            return Err(in_file(file, place, "a node set must be a name or an object of properties"));
        };
        let mut found = Vec::new();
        for (index, nodes) in self.nodes.iter().enumerate() {
            let fits = |key: &str, value: &str| match rule.get(key) {
                Some(Value::String(wanted)) => wanted == value,
                Some(Value::Array(wanted)) => wanted.iter().any(|wanted| wanted.as_str() == Some(value)),
                _ => true,
            };
            if !fits("population", &nodes.name) {
                continue;
            }
            let ids: Option<Vec<u64>> = match rule.get("node_id") {
                Some(Value::Array(ids)) => Some(ids.iter().filter_map(Value::as_u64).collect()),
                Some(id) => Some(id.as_u64().into_iter().collect()),
                None => None,
            };
            let of_kind: Vec<bool> = (nodes.types.iter())
                .map(|kind| {
                    let others = rule.keys().filter(|key| !matches!(key.as_str(), "population" | "node_id"));
                    let mut properties =
                        others.map(|key| fits(key, kind.properties.get(key).map_or("", String::as_str)));
                    properties.all(|fits| fits)
                })
                .collect();
            if ids.is_none() && of_kind.iter().all(|fits| *fits) {
                found.push((index, None));
                continue;
            }
            let rows = nodes.ids.iter().zip(&nodes.kinds).zip(0u32..);
            let kept = rows.filter(|((id, kind), _)| {
                of_kind[**kind as usize] && ids.as_ref().is_none_or(|ids| ids.contains(id))
            });
            let kept: Vec<u32> = kept.map(|(_, row)| row).collect();
            if !kept.is_empty() {
                found.push((index, Some(kept)));
            }
        }
        Ok(found)
    }
}

/// The synapses of a file of edges from one population to another; populations are given with their numbers of nodes, which are
/// counted from 0.
///
/// # Errors
/// If a file is damaged, or has no such edges.
pub(crate) fn links(
    file: &Path,
    table: &Path,
    populations: &[(&str, usize)],
    (source, target): (usize, usize),
) -> Result<Vec<Link>> {
    let nodes = populations.iter().map(|(name, count)| Nodes {
        name: (*name).to_owned(),
        ids: (0..*count as u64).collect(),
        types: Vec::new(),
        kinds: Vec::new(),
    });
    let nodes: Vec<Nodes> = nodes.collect();
    let all = edges::read(file, table, None, &nodes)?;
    let mut found = all.iter().filter(|own| (own.source, own.target) == (source, target)).peekable();
    if found.peek().is_none() {
        let problem = format!("no edges from `{}` to `{}`", nodes[source].name, nodes[target].name);
        return Err(in_file(file, "edges", problem));
    }
    let links = found.flat_map(|own| {
        (0..own.sources.len()).map(|edge| Link {
            source: own.sources[edge],
            target: own.targets[edge],
            weight: own.weights[edge],
            delay_ms: own.delays_ms[edge],
        })
    });
    Ok(links.collect())
}

/// The sets of a file by name.
fn sets(path: &Path) -> Result<BTreeMap<String, Value>> {
    const LIMIT: u64 = 64 << 20;
    let text = gyrus_files::read_text(path, LIMIT)?;
    serde_json::from_str(&text)
        .map_err(|error| in_file(path, format!("line {}", error.line()), format!("not JSON: {error}")))
}
