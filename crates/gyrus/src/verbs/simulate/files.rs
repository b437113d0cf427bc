//! The folder that a simulation leaves.

use std::fs;
use std::io;
use std::path::Path;

use gyrus_files::{fill_atomically, write_atomically};
use gyrus_simulate::Recording;
use gyrus_simulate::sonata::{Origin, SpikeTimes, Traces, write_spikes, write_traces};
use gyrus_simulate::table::{Column, write_csv, write_parquet};

use super::page::Projected;
use super::{Cells, RecordFormat, SimulateReport};
use crate::{Error, Result};

/// The record of a simulation, by which its folder is known.
pub(super) const RECORD: &str = "simulation.json";

/// What is written besides the page.
pub(super) struct Records<'a> {
    pub(super) cells: &'a [Cells],
    pub(super) recording: &'a Recording,
    pub(super) origins: Option<&'a [Origin]>,
    /// The time of each spike, where it is not that of its step.
    pub(super) exact: Option<&'a [f64]>,
    pub(super) dt_ms: f64,
    pub(super) projections: &'a [Projected],
}

/// A name as the name of a folder.
pub(super) fn safe(name: &str) -> String {
    let letter = |letter: char| if letter.is_alphanumeric() || "-_.".contains(letter) { letter } else { '-' };
    let safe: String = name.chars().take(80).map(letter).collect();
    let safe = safe.trim_matches(['.', '-']);
    if safe.is_empty() { "circuit".to_owned() } else { safe.to_owned() }
}

/// A simulation that is there is not replaced by accident, and nothing else ever is.
pub(super) fn refuse_existing(out: &Path, overwrite: bool) -> Result<()> {
    if out.join(RECORD).is_file() {
        if overwrite {
            return Ok(());
        }
        return Err(Error::request(format!(
            "{} holds a simulation; choose another folder, or pass `--overwrite` to replace it",
            out.display()
        )));
    }
    if out.is_file() {
        return Err(Error::request(format!("{} is a file; expected a folder to write", out.display())));
    }
    let is_empty = fs::read_dir(out).map_or(true, |mut entries| entries.next().is_none());
    if is_empty {
        return Ok(());
    }
    Err(Error::request(format!("{} holds other files; choose another folder", out.display())))
}

/// Writes everything; the record comes last.
pub(super) fn write(
    mut report: SimulateReport,
    page: &str,
    records: &Records<'_>,
    format: RecordFormat,
) -> Result<SimulateReport> {
    let out = report.out.clone();
    fs::create_dir_all(&out).map_err(Error::io("create", &out))?;
    clear(&out);
    let end = match format {
        RecordFormat::Sonata => "h5",
        RecordFormat::Csv => "csv",
        RecordFormat::Parquet => "parquet",
    };
    let spikes = out.join(format!("spikes.{end}"));
    records.spikes(&spikes, format)?;
    report.files.push(spikes);
    if !records.recording.traces.is_empty() {
        let traces = out.join(format!("traces.{end}"));
        records.traces(&traces, format)?;
        report.files.push(traces);
    }
    for (projection, links) in &records.recording.weights {
        let path = out.join(format!("weights-{}.csv", projection + 1));
        let whole = |value: fn(&gyrus_simulate::Link) -> u32| {
            links.iter().map(|link| i64::from(value(link))).collect()
        };
        let own = records.projections.get(*projection);
        let unit = own.and_then(|own| own.weight.rsplit_once(' ')).map_or("", |(_, unit)| unit);
        let weight = format!("weight_{unit}");
        let columns = [
            Column::Wholes("source", whole(|link| link.source)),
            Column::Wholes("target", whole(|link| link.target)),
            Column::Numbers(&weight, links.iter().map(|link| link.weight).collect()),
            Column::Numbers("delay_ms", links.iter().map(|link| link.delay_ms).collect()),
        ];
        table(&path, &columns, RecordFormat::Csv)?;
        report.files.push(path);
    }
    write_atomically(&report.page, page.as_bytes()).map_err(Error::io("write", &report.page))?;
    let record = out.join(RECORD);
    let text = serde_json::to_string_pretty(&report).map_err(Error::failed)?;
    write_atomically(&record, text.as_bytes()).map_err(Error::io("write", &record))?;
    report.files.push(record);
    if report.status != "interrupted" {
        super::saved::remove(&out);
    }
    Ok(report)
}

/// Removes the tables of a simulation that is replaced, whatever their format.
fn clear(out: &Path) {
    for entry in fs::read_dir(out).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_table = [".h5", ".csv", ".parquet"].iter().any(|end| name.ends_with(end));
        if is_table && ["spikes.", "traces.", "weights-"].iter().any(|start| name.starts_with(start)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn table(path: &Path, columns: &[Column<'_>], format: RecordFormat) -> Result<()> {
    let fill = |file: &mut fs::File| -> io::Result<()> {
        let mut buffered = io::BufWriter::new(file);
        match format {
            RecordFormat::Parquet => write_parquet(columns, &mut buffered)?,
            _ => write_csv(columns, &mut buffered)?,
        }
        io::Write::flush(&mut buffered)
    };
    fill_atomically(path, fill).map_err(Error::io("write", path))
}

impl Records<'_> {
    /// Population and number of a neuron, as the files name them.
    fn named(&self, index: usize, within: u32) -> (&str, u64) {
        match self.origins.and_then(|origins| origins.get(index)) {
            Some(origin) => (&origin.population, origin.node_ids[within as usize]),
            None => (&self.cells[index].name, u64::from(within)),
        }
    }

    fn population_of(&self, neuron: u32) -> usize {
        self.cells.partition_point(|own| own.neurons.start <= neuron).saturating_sub(1)
    }

    fn spikes(&self, path: &Path, format: RecordFormat) -> Result<()> {
        let spikes = &self.recording.spikes;
        let time = |place: usize| match self.exact {
            Some(exact) => exact[place],
            // A spike of a step happens at its end. Multiples of the step, without the errors of their product.
            None => ((f64::from(spikes.steps[place]) + 1.0) * self.dt_ms * 1e9).round() / 1e9,
        };
        let names: Vec<String> = self.names();
        let mut of: Vec<u32> = Vec::with_capacity(spikes.len());
        let mut ids = Vec::with_capacity(spikes.len());
        for neuron in &spikes.neurons {
            let index = self.population_of(*neuron);
            let (name, id) = self.named(index, neuron - self.cells[index].neurons.start);
            of.push(names.iter().position(|other| other == name).unwrap_or_default() as u32);
            ids.push(id);
        }
        if format != RecordFormat::Sonata {
            let columns = [
                Column::Numbers("time_ms", (0..spikes.len()).map(time).collect()),
                Column::Names("population", &names, of),
                Column::Wholes("neuron", ids.into_iter().map(|id| id as i64).collect()),
            ];
            return table(path, &columns, format);
        }
        let mut all: Vec<SpikeTimes> =
            names.into_iter().map(|population| SpikeTimes { population, ..SpikeTimes::default() }).collect();
        for (place, (index, id)) in of.into_iter().zip(ids).enumerate() {
            let own = &mut all[index as usize];
            own.node_ids.push(id);
            own.times_ms.push(time(place));
        }
        let bytes = write_spikes(path, &all)?;
        write_atomically(path, &bytes).map_err(Error::io("write", path))
    }

    /// The populations as the files name them.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for index in (0..self.cells.len()).filter(|index| !self.cells[*index].neurons.is_empty()) {
            let name = self.named(index, 0).0;
            if !names.iter().any(|other| other == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    fn traces(&self, path: &Path, format: RecordFormat) -> Result<()> {
        // Under the names that the files have.
        let mut all: Vec<Traces> = Vec::new();
        for own in &self.recording.traces {
            let index = self.cells.iter().position(|cells| cells.name == own.population).unwrap_or_default();
            let named: Vec<(&str, u64)> =
                own.node_ids.iter().map(|node| self.named(index, *node as u32)).collect();
            let population = named.first().map_or("", |named| named.0).to_owned();
            let node_ids: Vec<u64> = named.iter().map(|named| named.1).collect();
            let same = |other: &&mut Traces| {
                other.population == population
                    && other.interval_ms == own.interval_ms
                    && other.moments() == own.moments()
            };
            match all.iter_mut().find(same) {
                Some(other) => joined(other, &node_ids, &own.values),
                None => all.push(Traces { population, node_ids, ..own.clone() }),
            }
        }
        if format != RecordFormat::Sonata {
            return self.trace_table(path, &all, format);
        }
        let mut names: Vec<&str> = all.iter().map(|own| own.population.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::request(format!(
                "population `{}` is recorded at two intervals, which a SONATA report cannot hold; write CSV or Parquet",
                twice[0]
            )));
        }
        let bytes = write_traces(path, &all)?;
        write_atomically(path, &bytes).map_err(Error::io("write", path))
    }

    fn trace_table(&self, path: &Path, all: &[Traces], format: RecordFormat) -> Result<()> {
        let names: Vec<String> = all.iter().map(|own| own.population.clone()).collect();
        let (mut times, mut of, mut neurons, mut values) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (index, own) in all.iter().enumerate() {
            for (moment, row) in own.values.chunks(own.node_ids.len().max(1)).enumerate() {
                let time = own.start_ms + moment as f64 * own.interval_ms;
                for (node, value) in own.node_ids.iter().zip(row) {
                    times.push((time * 1e9).round() / 1e9);
                    of.push(index as u32);
                    neurons.push(*node as i64);
                    values.push(f64::from(*value));
                }
            }
        }
        let columns = [
            Column::Numbers("time_ms", times),
            Column::Names("population", &names, of),
            Column::Wholes("neuron", neurons),
            Column::Numbers("V_m_mV", values),
        ];
        table(path, &columns, format)
    }
}

/// Adds the columns of other nodes to traces of as many moments.
fn joined(own: &mut Traces, node_ids: &[u64], values: &[f32]) {
    let (before, more) = (own.node_ids.len(), node_ids.len());
    let mut all = Vec::with_capacity(own.values.len() + values.len());
    for (row, other) in own.values.chunks(before.max(1)).zip(values.chunks(more.max(1))) {
        all.extend_from_slice(row);
        all.extend_from_slice(other);
    }
    own.values = all;
    own.node_ids.extend_from_slice(node_ids);
}
