//! From a TOML text to a [`CircuitFile`].

use std::collections::BTreeMap;
use std::path::Path;

use super::fields::{Fields, ValueOrTable, at};
use super::neurons::{model, weight_unit};
use super::{CircuitFile, Lines, Recorder, Scaling, changes, plasticity};
use crate::{
    Bounds, Circuit, Distribution, Input, InputKind, Link, Model, Outside, Population, Precision, Projection,
    Quantity, Result, Rule, RuleKind,
};

/// Duration where a file has none.
const DURATION_MS: f64 = 1000.0;
/// Delay of NEST's devices.
const DEVICE_DELAY_MS: f64 = 1.0;

type Templates<'a> = BTreeMap<String, Fields<'a>>;

pub(super) fn read(text: &str, folder: &Path) -> Result<CircuitFile> {
    let mut fields = Fields::document(text)?;
    let name = fields.text("name")?.unwrap_or_else(|| "circuit".to_owned());
    let description = fields.text("description")?.unwrap_or_default();
    let dt_ms = fields.number("resolution_ms")?.unwrap_or(0.1);
    if !(dt_ms.is_finite() && dt_ms > 0.0) {
        return Err(at(1, format!("`resolution_ms` is {dt_ms}; expected a number above 0")));
    }
    let duration_ms = fields.number("duration_ms")?.unwrap_or(DURATION_MS);
    let discard_ms = fields.number("discard_ms")?.unwrap_or(0.0);
    let precision = one_of(&mut fields, "precision", &["single", "double"])?;
    let scaling = one_of(&mut fields, "scaling", &["keep_weights", "keep_statistics"])?;
    let neurons: Templates<'_> = fields.named_tables("neuron")?.into_iter().collect();
    let synapses: Templates<'_> = fields.named_tables("synapse")?.into_iter().collect();
    let (populations, inputs, projections, recorders, rewards, scalings) = (
        fields.tables("population")?,
        fields.tables("input")?,
        fields.tables("projection")?,
        fields.tables("recorder")?,
        fields.tables("reward")?,
        fields.tables("homeostasis")?,
    );
    fields.finish()?;

    let circuit = Circuit {
        dt_ms,
        precision: if precision == Some(1) { Precision::Double } else { Precision::Single },
        ..Circuit::default()
    };
    let mut file = CircuitFile {
        name,
        description,
        circuit,
        duration_ms,
        discard_ms,
        recorders: Vec::new(),
        changes: Vec::new(),
        recorded: None,
        scaling: if scaling == Some(1) { Scaling::Statistics } else { Scaling::Weights },
        mean_rates_hz: Vec::new(),
        lines: Lines::default(),
        path: None,
    };
    if populations.is_empty() {
        return Err(at(1, "no [[population]]: a circuit needs at least one"));
    }
    for own in populations {
        population(&mut file, own, &neurons)?;
    }
    for own in inputs {
        input(&mut file, own)?;
    }
    for own in projections {
        projection(&mut file, own, &synapses, folder)?;
    }
    for own in recorders {
        recorder(&mut file, own)?;
    }
    rewards.into_iter().try_for_each(|own| changes::reward(&mut file, own))?;
    scalings.into_iter().try_for_each(|own| changes::homeostasis(&mut file, own))?;
    Ok(file)
}

/// The place among `names` of the text at a key.
fn one_of(fields: &mut Fields<'_>, key: &str, names: &[&str]) -> Result<Option<usize>> {
    let line = fields.line_of(key);
    let Some(given) = fields.text(key)? else { return Ok(None) };
    match names.iter().position(|name| *name == given) {
        Some(place) => Ok(Some(place)),
        None => {
            let problem =
                format!("{}: `{key}` is `{given}`; expected one of {}", fields.place, names.join(", "));
            Err(at(line, problem))
        }
    }
}

fn population<'a>(file: &mut CircuitFile, mut own: Fields<'a>, templates: &Templates<'a>) -> Result<()> {
    let line = own.line;
    let name = own.text("name")?.ok_or_else(|| own.missing("name"))?;
    own.place = format!("population `{name}`");
    if file.circuit.populations.iter().any(|other| other.name == name) {
        return Err(at(line, format!("a second population is called `{name}`")));
    }
    let model_line = own.line_of("model");
    let mut kind = own.text("model")?.ok_or_else(|| own.missing("model"))?;
    if let Some(template) = templates.get(&kind) {
        own.fill_from(template);
        let given = own.line_of("model");
        kind = own.text("model")?.ok_or_else(|| at(given, format!("[neuron.{kind}]: `model` is missing")))?;
    }
    let neurons = own.whole("neurons")?.ok_or_else(|| own.missing("neurons"))?;
    let model = model(&kind, model_line, &mut own)?;
    let mut built = Population::new(name, neurons as usize, model);
    built.v_start_mv = quantity(&mut own, "V_start_mV")?;
    file.mean_rates_hz.push(own.number("mean_rate_hz")?);
    file.lines.populations.push(line);
    file.circuit.populations.push(built);
    own.finish()
}

/// The populations that a key names.
pub(super) fn populations(file: &CircuitFile, own: &mut Fields<'_>, key: &str) -> Result<Vec<usize>> {
    let (names, line) = own.texts(key)?.ok_or_else(|| own.missing(key))?;
    let all = &file.circuit.populations;
    let find = |name: &String| {
        all.iter().position(|population| population.name == *name).ok_or_else(|| {
            let similarity = |other: &str| strsim::jaro_winkler(other, name);
            let names = || all.iter().map(|population| population.name.as_str());
            let near = names().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
            let hint = match near.filter(|near| similarity(near) > 0.8) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
            };
            at(line, format!("{}: no population `{name}`; {hint}", own.place))
        })
    };
    names.iter().map(find).collect()
}

fn input(file: &mut CircuitFile, mut own: Fields<'_>) -> Result<()> {
    let line = own.line;
    let targets = populations(file, &mut own, "target")?;
    let devices = ["poisson_generator", "dc_generator", "noise_generator"];
    let device = one_of(&mut own, "device", &devices)?.ok_or_else(|| own.missing("device"))?;
    let neurons = own.range("neurons")?;
    let start_ms = own.number("start_ms")?.unwrap_or(0.0);
    let stop_ms = own.number("stop_ms")?.unwrap_or(f64::INFINITY);
    let delay_ms = own.number("delay_ms")?;
    let kind = match device {
        0 => {
            let rate_hz = own.number("rate_hz")?.ok_or_else(|| own.missing("rate_hz"))?;
            let (key, _) = weight_key(file, &targets, line)?;
            let weight = own.number(key)?.ok_or_else(|| own.missing(key))?;
            InputKind::Poisson { rate_hz, weight }
        }
        1 => {
            let amplitude_pa = own.number("amplitude_pA")?.ok_or_else(|| own.missing("amplitude_pA"))?;
            InputKind::Current { amplitude_pa, delay_ms: delay_ms.unwrap_or(DEVICE_DELAY_MS) }
        }
        _ => {
            let mean_pa = own.number("mean_pA")?.unwrap_or(0.0);
            let std_pa = own.number("std_pA")?.ok_or_else(|| own.missing("std_pA"))?;
            InputKind::NoiseCurrent { mean_pa, std_pa, delay_ms: delay_ms.unwrap_or(DEVICE_DELAY_MS) }
        }
    };
    // Poisson spikes are independent in time: a delay would change nothing but the beginning.
    if device == 0 && delay_ms.is_some() {
        return Err(at(
            line,
            format!("{}: a poisson_generator has no `delay_ms` here; move start_ms", own.place),
        ));
    }
    own.finish()?;
    for target in targets {
        let built = Input { neurons: neurons.clone(), start_ms, stop_ms, kind };
        file.circuit.populations[target].inputs.push(built);
    }
    Ok(())
}

/// The key of weights onto these populations, and its unit.
fn weight_key(file: &CircuitFile, targets: &[usize], line: usize) -> Result<(&'static str, &'static str)> {
    let mut found = None;
    for target in targets {
        let population = &file.circuit.populations[*target];
        let Some(unit) = weight_unit(&population.model) else {
            return Err(at(
                line,
                format!("population `{}` only sends spikes: nothing can arrive", population.name),
            ));
        };
        if found.is_some_and(|other| other != unit) {
            return Err(at(line, "its targets have weights in different units; write one table for each"));
        }
        found = Some(unit);
    }
    match found {
        Some("mV") => Ok(("weight_mV", "mV")),
        Some("nS") => Ok(("weight_nS", "nS")),
        Some(_) => Ok(("weight_pA", "pA")),
        None => Err(at(line, "it names no population")),
    }
}

/// A number or a distribution.
fn quantity(own: &mut Fields<'_>, key: &str) -> Result<Option<Quantity>> {
    let Some((value, _)) = own.value_or_table(key)? else { return Ok(None) };
    let mut table = match value {
        ValueOrTable::Number(number) => return Ok(Some(number.into())),
        ValueOrTable::Table(table) => table,
    };
    let kinds = ["normal", "uniform", "lognormal"];
    let kind = one_of(&mut table, "distribution", &kinds)?.ok_or_else(|| table.missing("distribution"))?;
    let mut needed = |key: &str| table.number(key)?.ok_or_else(|| table.missing(key));
    let distribution = match kind {
        0 => Distribution::Normal { mean: needed("mean")?, std: needed("std")? },
        1 => Distribution::Uniform { low: needed("min")?, high: needed("max")? },
        _ => Distribution::LogNormal { mu: needed("mu")?, sigma: needed("sigma")? },
    };
    let mut bounds = None;
    if kind != 1 {
        let (low, high) = (table.number("min")?, table.number("max")?);
        let outside = one_of(&mut table, "outside", &["redraw", "clip"])?;
        if low.is_some() || high.is_some() {
            bounds = Some(Bounds {
                low: low.unwrap_or(f64::NEG_INFINITY),
                high: high.unwrap_or(f64::INFINITY),
                outside: if outside == Some(1) { Outside::Clip } else { Outside::Redraw },
            });
        }
    }
    table.finish()?;
    Ok(Some(Quantity { distribution, bounds }))
}

/// The synapse model of a projection, after what a template holds has been taken over.
fn synapse_model<'a>(own: &mut Fields<'a>, templates: &Templates<'a>) -> Result<Option<String>> {
    let line = own.line_of("synapse");
    let Some(name) = own.text("synapse")? else { return Ok(None) };
    if let Some(template) = templates.get(&name) {
        own.fill_from(template);
        return own.text("model");
    }
    if plasticity::NAMES.contains(&name.as_str()) {
        return Ok(Some(name));
    }
    let mut known: Vec<&str> = templates.keys().map(String::as_str).collect();
    known.extend(plasticity::NAMES);
    let near =
        known.iter().max_by(|a, b| strsim::jaro_winkler(a, &name).total_cmp(&strsim::jaro_winkler(b, &name)));
    let hint = match near.filter(|near| strsim::jaro_winkler(near, &name) > 0.85) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", known.join(", ")),
    };
    Err(at(line, format!("{}: no synapse `{name}`; {hint}", own.place)))
}

fn projection<'a>(
    file: &mut CircuitFile,
    mut own: Fields<'a>,
    templates: &Templates<'a>,
    folder: &Path,
) -> Result<()> {
    let line = own.line;
    let synapse = synapse_model(&mut own, templates)?;
    let sources = populations(file, &mut own, "source")?;
    let targets = populations(file, &mut own, "target")?;
    let (key, unit) = weight_key(file, &targets, line)?;
    let rules = [
        "all_to_all",
        "one_to_one",
        "fixed_indegree",
        "fixed_outdegree",
        "fixed_total_number",
        "pairwise_bernoulli",
        "list",
        "sonata",
    ];
    let rule = one_of(&mut own, "rule", &rules)?.ok_or_else(|| own.missing("rule"))?;
    let kind = match rule {
        0 => RuleKind::AllToAll,
        1 => RuleKind::OneToOne,
        2 => RuleKind::FixedInDegree(own.whole("indegree")?.ok_or_else(|| own.missing("indegree"))? as usize),
        3 => {
            RuleKind::FixedOutDegree(own.whole("outdegree")?.ok_or_else(|| own.missing("outdegree"))? as usize)
        }
        4 => RuleKind::FixedTotal(own.whole("synapses")?.ok_or_else(|| own.missing("synapses"))?),
        5 => RuleKind::Bernoulli(own.number("probability")?.ok_or_else(|| own.missing("probability"))?),
        6 => RuleKind::Listed(links(&mut own, key, folder)?),
        _ => RuleKind::Listed(from_sonata(file, &mut own, (&sources, &targets), folder)?),
    };
    let is_listed = matches!(kind, RuleKind::Listed(_));
    let plasticity = plasticity::read(synapse.as_deref(), line, unit, &mut own)?;
    let autapses = own.boolean("autapses")?.unwrap_or(true);
    let multapses = own.boolean("multapses")?.unwrap_or(true);
    let (weight, delay_ms) = match is_listed {
        true => (0.0.into(), 1.0.into()),
        false => (
            quantity(&mut own, key)?.ok_or_else(|| own.missing(key))?,
            quantity(&mut own, "delay_ms")?.ok_or_else(|| own.missing("delay_ms"))?,
        ),
    };
    own.finish()?;
    for source in &sources {
        for target in &targets {
            let rule = Rule { kind: kind.clone(), autapses, multapses };
            let built = Projection::new(*source, *target, rule, weight, delay_ms);
            file.circuit.projections.push(Projection { plasticity, ..built });
            file.lines.projections.push(line);
        }
    }
    Ok(())
}

/// The synapses of a SONATA file of edges, whose populations have the names of those of the circuit.
fn from_sonata(
    file: &CircuitFile,
    own: &mut Fields<'_>,
    ends: (&[usize], &[usize]),
    folder: &Path,
) -> Result<Vec<Link>> {
    let edges = own.text("edges_file")?.ok_or_else(|| own.missing("edges_file"))?;
    let types = own.text("edge_types_file")?.ok_or_else(|| own.missing("edge_types_file"))?;
    let ([source], [target]) = ends else {
        let problem = format!("{}: SONATA edges go from one population to one other", own.place);
        return Err(at(own.line, problem));
    };
    let all = &file.circuit.populations;
    let all: Vec<(&str, usize)> = all.iter().map(|own| (own.name.as_str(), own.neurons)).collect();
    crate::sonata::links(&folder.join(edges), &folder.join(types), &all, (*source, *target))
}

/// The synapses of a list: `edges` in the file, or the rows of a table beside it.
fn links(own: &mut Fields<'_>, weight: &str, folder: &Path) -> Result<Vec<Link>> {
    let line = own.line_of("edges");
    let rows = match (own.rows("edges")?, own.text("edges_file")?) {
        (Some(rows), None) => rows,
        (None, Some(name)) => super::edges_csv::read(&folder.join(name), weight)?,
        _ => {
            let problem = format!("{}: a list needs either `edges` or `edges_file`", own.place);
            return Err(at(own.line, problem));
        }
    };
    let link = |row: &Vec<f64>| {
        let neuron =
            |value: f64| (value >= 0.0 && value.fract() == 0.0 && value < 4e9).then_some(value as u32);
        match row[..] {
            [source, target, weight, delay_ms] => {
                Some(Link { source: neuron(source)?, target: neuron(target)?, weight, delay_ms })
            }
            _ => None,
        }
    };
    rows.iter()
        .enumerate()
        .map(|(index, row)| {
            link(row).ok_or_else(|| {
                let problem = format!(
                    "{}: edge {} is {row:?}; expected [source, target, weight, delay in ms], neurons from 0",
                    own.place,
                    index + 1
                );
                at(line, problem)
            })
        })
        .collect()
}

fn recorder(file: &mut CircuitFile, mut own: Fields<'_>) -> Result<()> {
    let line = own.line;
    let devices = ["spike_recorder", "voltmeter", "weight_recorder"];
    let device = one_of(&mut own, "device", &devices)?.ok_or_else(|| own.missing("device"))?;
    match device {
        0 => {
            let found = populations(file, &mut own, "population")?;
            file.recorded.get_or_insert_default().extend(found);
        }
        1 => {
            let neurons = own.range("neurons")?;
            let interval_ms = own.number("interval_ms")?.unwrap_or(1.0);
            if !(interval_ms >= file.circuit.dt_ms && interval_ms.is_finite()) {
                let problem =
                    format!("{}: `interval_ms` is {interval_ms}; expected at least resolution_ms", own.place);
                return Err(at(line, problem));
            }
            for population in populations(file, &mut own, "population")? {
                let Population { neurons: all, name, model, .. } = &file.circuit.populations[population];
                if matches!(model, Model::SpikeSource { .. } | Model::PoissonSource { .. }) {
                    return Err(at(
                        line,
                        format!("population `{name}` only sends spikes: it has no potential"),
                    ));
                }
                let neurons = neurons.clone().unwrap_or(0..*all);
                if neurons.end > *all {
                    let problem = format!("{}: population `{name}` has {all} neurons", own.place);
                    return Err(at(line, problem));
                }
                file.recorders.push(Recorder::Potential { population, neurons, interval_ms });
            }
        }
        _ => {
            let found = changes::projections(file, &mut own)?;
            file.recorders.extend(found.into_iter().map(|projection| Recorder::Weights { projection }));
        }
    }
    own.finish()
}
