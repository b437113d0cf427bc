//! The page of a simulation: what was measured, as plain data for its rendering.

use gyrus_report::{
    SimulatedPopulation, SimulatedProjection, SimulationReport, compact, duration, grouped, number,
};
use gyrus_simulate::spectrum::Spectrum;
use gyrus_simulate::statistics::{Histogram, binned};
use gyrus_simulate::{Recording, Window};

use super::energy::{GENN_MICROJOULES, NEST_MICROJOULES};
use super::{Cells, SimulateReport};

/// Rows of the raster for all populations together, and spikes in it.
const ROWS: usize = 160;
const LEAST_ROWS: usize = 8;
const SPIKES: usize = 14_000;
/// Bins of the rate over time, at most.
const BINS: f64 = 400.0;
/// Bins of a distribution of rates, at most.
const RATES: usize = 40;

/// A projection as the page shows it.
pub(super) struct Projected {
    pub(super) source: usize,
    pub(super) target: usize,
    pub(super) synapses: u64,
    pub(super) is_inhibitory: bool,
    pub(super) rule: String,
    pub(super) weight: String,
    pub(super) delay: String,
}

/// The page.
pub(super) fn page(
    report: &SimulateReport,
    description: &str,
    cells: &[Cells],
    projections: &[Projected],
    recording: &Recording,
    window: Window,
) -> String {
    let headline = match report.real_time_factor {
        factor if factor > 0.0 && factor < 1.0 => {
            (format!("{}×", number(1.0 / factor)), "faster than real time")
        }
        factor => (format!("{}×", number(factor)), "the simulated time"),
    };
    let mut facts = vec![
        ("neurons", grouped(report.neurons as u128)),
        ("synapses", grouped(report.synapses.into())),
        ("spikes", grouped(report.spikes.into())),
        ("synaptic events", compact(report.synaptic_events.into())),
        ("events per second", format!("{:.1} M", report.synaptic_events_per_second / 1e6)),
    ];
    if let Some(bytes) = report.bytes_per_synapse {
        facts.push(("bytes per synapse", number(bytes)));
    }
    facts.push(("building took", duration(report.build_seconds)));
    facts.push(("simulating took", duration(report.run_seconds)));
    if report.synaptic_events > 0 {
        let each = |count: u64| number(count as f64 / report.synaptic_events as f64);
        facts.push(match report.energy_joules {
            Some(joules) => {
                ("energy per event", format!("{} µJ", number(joules * 1e6 / report.synaptic_events as f64)))
            }
            None => ("neuron steps per event", each(report.neuron_updates)),
        });
    }
    let mut notes = report.notes.clone();
    notes.push(energy_note(report));
    notes.extend(report.stopped.clone());
    let settings = vec![
        ("simulated time", format!("{} ms", number(report.duration_ms))),
        ("left out at the beginning", format!("{} ms", number(report.discard_ms))),
        ("time step", format!("{} ms", number(report.resolution_ms))),
        ("scale", number(report.scale)),
        ("seed", report.seed.to_string()),
        ("Gyrus", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let bin_ms = bin(report.duration_ms, report.resolution_ms);
    let raster = Raster::new(cells, recording);
    let shown = cells
        .iter()
        .enumerate()
        .map(|(index, own)| population(own, index, &raster, recording, window, bin_ms));
    let shown: Vec<SimulatedPopulation<'_>> = shown
        .enumerate()
        .map(|(index, shown)| {
            let signs: Vec<bool> =
                projections.iter().filter(|own| own.source == index).map(|own| own.is_inhibitory).collect();
            let same = signs.first().filter(|first| signs.iter().all(|sign| sign == *first)).copied();
            SimulatedPopulation { is_inhibitory: same, ..shown }
        })
        .collect();
    SimulationReport {
        name: &report.circuit,
        description,
        status: report.status,
        headline,
        facts,
        populations: shown,
        projections: projections.iter().map(projection).collect(),
        duration_ms: report.duration_ms,
        discard_ms: report.discard_ms,
        bin_ms,
        notes: &notes,
        provenance: vec![("", settings)],
    }
    .to_html()
}

/// What an event cost, beside what is published.
fn energy_note(report: &SimulateReport) -> String {
    let events = report.synaptic_events.max(1) as f64;
    let own = match report.energy_joules {
        Some(joules) => format!(
            "The processors took {} J while simulating, {} µJ for each synaptic event, whatever else they did",
            number(joules),
            number(joules * 1e6 / events),
        ),
        None => format!(
            "This machine does not show its energy. A synaptic event is one addition to a sum; for each there were {} steps of neurons and {} \
             draws of Poisson input",
            number(report.neuron_updates as f64 / events),
            number(report.poisson_draws as f64 / events),
        ),
    };
    format!(
        "{own}. Published for the microcircuit: {NEST_MICROJOULES} µJ (NEST, 128 cores), {GENN_MICROJOULES} µJ (GeNN, RTX 4090)."
    )
}

/// A width of bins that is 1, 2 or 5 times a power of ten, and a multiple of the step.
fn bin(duration_ms: f64, dt_ms: f64) -> f64 {
    let rough = (duration_ms / BINS).max(1.0).max(dt_ms);
    let power = 10f64.powf(rough.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let width = round.into_iter().find(|width| *width >= rough * (1.0 - 1e-9)).unwrap_or(rough);
    (width / dt_ms).round() * dt_ms
}

fn projection(own: &Projected) -> SimulatedProjection {
    SimulatedProjection {
        source: own.source,
        target: own.target,
        synapses: own.synapses,
        is_inhibitory: own.is_inhibitory,
        rule: own.rule.clone(),
        weight: own.weight.clone(),
        delay: own.delay.clone(),
    }
}

/// Which neurons have a row of the raster.
struct Raster {
    /// Rows of each population, and how many neurons lie between two.
    rows: Vec<(usize, u32)>,
    /// Every so many spikes of them are drawn.
    stride: usize,
}

impl Raster {
    fn new(cells: &[Cells], recording: &Recording) -> Self {
        let all: usize =
            cells.iter().filter(|own| own.statistics.is_some()).map(|own| own.neurons.len()).sum();
        let rows = cells.iter().map(|own| {
            let neurons = own.neurons.len();
            let share = (ROWS * neurons / all.max(1)).max(LEAST_ROWS).min(neurons);
            let shown = if own.statistics.is_some() { share } else { 0 };
            (shown, (neurons / shown.max(1)).max(1) as u32)
        });
        let mut raster = Self { rows: rows.collect(), stride: 1 };
        let count: usize =
            (0..cells.len()).map(|index| raster.of(&cells[index], index, recording).count()).sum();
        raster.stride = count.div_ceil(SPIKES).max(1);
        raster
    }

    /// Step and row of each spike of a population's shown neurons.
    fn of<'a>(
        &'a self,
        own: &'a Cells,
        index: usize,
        recording: &'a Recording,
    ) -> impl Iterator<Item = (u32, u16)> + 'a {
        let (rows, between) = self.rows[index];
        recording.spikes.iter().filter_map(move |(step, neuron)| {
            let within = neuron.checked_sub(own.neurons.start).filter(|_| neuron < own.neurons.end)?;
            let row = within / between;
            (within % between == 0 && (row as usize) < rows).then_some((step, row as u16))
        })
    }
}

fn population<'a>(
    own: &'a Cells,
    index: usize,
    raster: &Raster,
    recording: &Recording,
    window: Window,
    bin_ms: f64,
) -> SimulatedPopulation<'a> {
    let mut shown = SimulatedPopulation {
        name: &own.name,
        neurons: own.neurons.len(),
        model: &own.model,
        input: own.input.clone(),
        ..SimulatedPopulation::default()
    };
    let Some(seen) = &own.statistics else { return shown };
    let spikes = recording.spikes.within(0..u32::MAX, own.neurons.clone());
    let spectrum = Spectrum::new(&binned(&spikes, window, 1.0), 1.0);
    let histogram = Histogram::new(&seen.rates_hz, RATES, 1.0 / window.seconds().max(1e-9));
    let whole = Window { first: 0, ..window };
    let per_bin = 1e3 / bin_ms / own.neurons.len().max(1) as f64;
    shown.rate_hz = Some(seen.rate_hz);
    shown.cv = seen.cv;
    shown.synchrony = seen.synchrony;
    shown.correlation = seen.correlation;
    shown.rates = (histogram.width, histogram.counts);
    shown.spectrum = (spectrum.step_hz, spectrum.power);
    shown.activity_hz =
        binned(&spikes, whole, bin_ms).into_iter().map(|count| f64::from(count) * per_bin).collect();
    shown.rows = raster.rows[index].0;
    let at = |(step, row): (u32, u16)| ((f64::from(step + 1) * window.resolution_ms) as f32, row);
    shown.raster = raster.of(own, index, recording).step_by(raster.stride).map(at).collect();
    shown
}
