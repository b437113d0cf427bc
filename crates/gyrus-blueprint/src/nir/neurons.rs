//! Translates neurons between NIR and Gyrus: names and units of their constants, and Gyrus's `metadata`.

use crate::neuron::{Array, Discretization, Integration, NeuronModel, Parameters, Reset};
use crate::{Node, NodeKind, Result, Shape};

use super::hdf5::{Data, Field, Tree};
use super::source::{Numbers, Source, in_decimal, shifted};

/// One constant of a neuron.
struct Constant {
    /// NIR's name.
    nir: &'static str,
    /// Gyrus's name.
    ours: &'static str,
    /// Default of an optional constant.
    default: Option<f64>,
}

const fn constant(nir: &'static str, ours: &'static str, default: Option<f64>) -> Constant {
    Constant { nir, ours, default }
}

const R: Constant = constant("r", "resistance", Some(1.0));
const TAU: Constant = constant("tau", "tau_membrane_ms", None);
const TAU_MEM: Constant = constant("tau_mem", "tau_membrane_ms", None);
const TAU_SYN: Constant = constant("tau_syn", "tau_synapse_ms", None);
const V_LEAK: Constant = constant("v_leak", "v_leak", Some(0.0));
const V_THRESHOLD: Constant = constant("v_threshold", "v_threshold", None);
const V_RESET: Constant = constant("v_reset", "v_reset", Some(0.0));
const W_IN: Constant = constant("w_in", "w_in", Some(1.0));

/// The constants of a kind that NIR and Gyrus name alike.
fn constants(kind: &str) -> Option<&'static [Constant]> {
    const CUBA_LIF: &[Constant] = &[TAU_SYN, TAU_MEM, R, V_LEAK, W_IN, V_THRESHOLD, V_RESET];
    Some(match kind {
        "I" => &[R],
        "IF" => &[R, V_THRESHOLD, V_RESET],
        "LI" => &[TAU, R, V_LEAK],
        "LIF" => &[TAU, R, V_LEAK, V_THRESHOLD, V_RESET],
        "CubaLI" => &[TAU_SYN, TAU_MEM, R, V_LEAK, W_IN],
        "CubaLIF" => CUBA_LIF,
        _ => return None,
    })
}

/// Whether R is the gain of one step, rather than part of an equation with a time constant.
pub(super) fn adds_up(kind: &str) -> bool {
    matches!(kind, "I" | "IF")
}

/// Neurons read from a file.
pub(super) struct Neurons {
    pub(super) kind: NodeKind,
    pub(super) parameters: Vec<(String, Array)>,
    /// The common shape of its arrays.
    pub(super) shape: Vec<usize>,
    /// Whether its r is the gain of one step, whatever its length.
    pub(super) each_step: bool,
}

/// The time step in the metadata of a node or graph.
pub(super) fn time_of(source: &mut Source<'_>) -> Result<Option<Discretization>> {
    let Some(dt) = source.metadata_numbers("gyrus_dt_ms")? else { return Ok(None) };
    let &[dt_ms] = &dt.values[..] else {
        return Err(source.wrong(
            "metadata/gyrus_dt_ms",
            format!("{} numbers", dt.values.len()),
            "one number",
        ));
    };
    if dt_ms <= 0.0 {
        return Err(source.wrong("metadata/gyrus_dt_ms", dt_ms.to_string(), "a number above 0"));
    }
    let integration = match source.metadata_text("gyrus_integration")?.as_deref() {
        None | Some("exact") => Integration::Exact,
        Some("euler") => Integration::Euler,
        Some(other) => {
            return Err(source.wrong("metadata/gyrus_integration", format!("{other:?}"), "exact or euler"));
        }
    };
    Ok(Some(Discretization { dt_ms, integration }))
}

/// Reads a neuron; `None` for other types of node.
pub(super) fn read(source: &mut Source<'_>, time: Option<Discretization>) -> Result<Option<Neurons>> {
    let Some(table) = constants(source.kind) else { return Ok(None) };
    let mut found: Vec<(&Constant, Numbers)> = Vec::new();
    for constant in table {
        let numbers = match (source.numbers(constant.nir)?, constant.default) {
            (Some(numbers), _) => numbers,
            (None, Some(value)) => Numbers { shape: Vec::new(), values: vec![value] },
            (None, None) => return Err(source.missing(constant.nir, "one number per neuron")),
        };
        found.push((constant, numbers));
    }
    const V_START: Constant = constant("metadata/gyrus_v_start", "v_start", None);
    if source.kind == "IF"
        && let Some(numbers) = source.metadata_numbers("gyrus_v_start")?
    {
        found.push((&V_START, numbers));
    }
    let shape = common_shape(source, &found)?;
    let mut each_step = false;
    for (constant, numbers) in &mut found {
        if constant.ours.starts_with("tau_") {
            if let Some(at) = numbers.values.iter().position(|&tau| tau <= 0.0) {
                let got = format!("{} s at index {at}", numbers.values[at]);
                return Err(source.wrong(constant.nir, got, "time constants above 0, in seconds"));
            }
            numbers.values.iter_mut().for_each(|tau| *tau = shifted(*tau, 3));
        }
        if constant.ours == "resistance" && adds_up(source.kind) {
            match time {
                Some(Discretization { dt_ms, .. }) => numbers.values.iter_mut().for_each(|r| *r /= dt_ms),
                None if numbers.values.iter().all(|&r| r == 1.0) => each_step = true,
                None => numbers.values.iter_mut().for_each(|r| *r = shifted(*r, -3)),
            }
        }
    }
    check_resets(source, &found)?;
    let names = |list: Option<String>| -> Vec<String> {
        list.iter().flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect()
    };
    let own = names(source.metadata_text("gyrus_per_neuron")?);
    let learned = names(source.metadata_text("gyrus_learned")?);
    let mut fields = toml::Table::new();
    let mut per_neuron = Vec::new();
    let mut parameters = Vec::new();
    for (constant, numbers) in &found {
        let name = constant.ours;
        let first = numbers.values[0];
        let each = own.iter().any(|own| own == name) || numbers.values.iter().any(|&value| value != first);
        fields.insert(name.to_owned(), first.into());
        if each {
            per_neuron.push(name.to_owned());
            let count = shape.iter().product::<usize>();
            let all = if numbers.values.len() == 1 { &vec![first; count] } else { &numbers.values };
            let values = all.iter().map(|&value| value as f32).collect();
            parameters.push((name.to_owned(), Array { shape: shape.clone(), values }));
        } else if learned.iter().any(|learned| learned == name) {
            parameters.push((name.to_owned(), Array { shape: vec![1], values: vec![first as f32] }));
        }
    }
    // In the order of the metadata, if they are listed there.
    let given: Vec<String> = own.iter().filter(|name| per_neuron.contains(name)).cloned().collect();
    per_neuron.retain(|name| !given.contains(name));
    for (key, list) in [("per_neuron", [given, per_neuron].concat()), ("learned", learned)] {
        if !list.is_empty() {
            fields.insert(key.to_owned(), list.into());
        }
    }
    if let Some(reset) = source.metadata_text("gyrus_reset")? {
        if !table.iter().any(|constant| constant.ours == "v_reset") {
            return Err(source.wrong(
                "metadata/gyrus_reset",
                format!("{reset:?}"),
                "none, as it does not fire",
            ));
        }
        if !["hard", "subtract", "none"].contains(&reset.as_str()) {
            return Err(source.wrong("metadata/gyrus_reset", format!("{reset:?}"), "hard, subtract or none"));
        }
        fields.insert("reset".to_owned(), reset.into());
    }
    let tagged = toml::Table::from_iter([(source.kind.to_owned(), toml::Value::Table(fields))]);
    // The names of NIR's kinds, constants and resets are those of `NodeKind`.
    let kind = toml::Value::Table(tagged)
        .try_into()
        .map_err(|error: toml::de::Error| source.wrong("type", source.kind, error.message()))?;
    Ok(Some(Neurons { kind, parameters, shape, each_step }))
}

/// The shape of the constants; a single number applies to all neurons.
fn common_shape(source: &Source<'_>, found: &[(&Constant, Numbers)]) -> Result<Vec<usize>> {
    let of = |numbers: &Numbers| numbers.shape.clone();
    let many = found.iter().find(|(_, numbers)| numbers.values.len() > 1);
    let Some((_, first)) = many.or_else(|| found.iter().max_by_key(|(_, numbers)| numbers.shape.len()))
    else {
        return Ok(Vec::new());
    };
    let shape = of(first);
    match found.iter().find(|(_, numbers)| numbers.values.len() > 1 && numbers.shape != shape) {
        None => Ok(shape),
        Some((constant, other)) => Err(source.wrong(
            constant.nir,
            format!("an array of shape {:?}", other.shape),
            format!("shape {shape:?}, as the node's other constants have"),
        )),
    }
}

/// A membrane that is reset to its threshold or above would never stop firing.
fn check_resets(source: &Source<'_>, found: &[(&Constant, Numbers)]) -> Result<()> {
    let get = |name: &str| found.iter().find(|(constant, _)| constant.ours == name).map(|(_, n)| &n.values);
    let (Some(threshold), Some(reset)) = (get("v_threshold"), get("v_reset")) else { return Ok(()) };
    for at in 0..threshold.len().max(reset.len()) {
        let one = |values: &[f64]| values[if values.len() == 1 { 0 } else { at }];
        if one(reset) >= one(threshold) {
            let got = format!("{} at index {at}", one(reset));
            return Err(source.wrong(
                "v_reset",
                got,
                format!("a number below v_threshold = {}", one(threshold)),
            ));
        }
    }
    Ok(())
}

/// The fields of a neuron to write, and the model of its step; `None` for other kinds.
pub(super) fn write(
    node: &Node,
    shape: &Shape,
    parameters: &Parameters,
    time: Discretization,
) -> Result<Option<(Tree, NeuronModel)>> {
    let kind = node.kind.name();
    let (Some(neuron), Some(table)) = (node.kind.neuron(), constants(kind)) else { return Ok(None) };
    let count = shape.iter().product::<usize>();
    let Some(model) = NeuronModel::new(node, count, parameters, time)? else { return Ok(None) };
    // Checked above: stored constants exist, one for all or one per neuron.
    let values = |name: &str| -> Vec<f64> {
        match parameters.get(&format!("{}.{name}", node.name)).filter(|_| neuron.is_stored(name)) {
            Some(array) => array.values.iter().map(|&value| in_decimal(value)).collect(),
            None => neuron.constants.iter().filter(|constant| constant.0 == name).map(|c| c.1).collect(),
        }
    };
    let mut tree = Tree::default();
    for constant in table {
        let mut values = values(constant.ours);
        if constant.ours.starts_with("tau_") {
            values.iter_mut().for_each(|tau| *tau = shifted(*tau, -3));
        }
        if constant.ours == "resistance" && adds_up(kind) {
            values.iter_mut().for_each(|r| *r *= time.dt_ms);
        }
        // It is 0 without the field, which sinabs' version of the package does not know.
        if constant.nir == "v_reset" && values.iter().all(|&value| value == 0.0) {
            continue;
        }
        if values.len() == 1 {
            values = vec![values[0]; count];
        }
        let field = Field { shape: shape.to_vec(), data: Data::Double(values) };
        tree.fields.insert(constant.nir.to_owned(), field);
    }
    let mut metadata = time_metadata(time);
    let mut say = |name: &str, field: Field| metadata.fields.insert(name.to_owned(), field);
    match neuron.reset {
        Some(Reset::Subtract) => drop(say("gyrus_reset", Field::text("subtract"))),
        Some(Reset::None) => drop(say("gyrus_reset", Field::text("none"))),
        Some(Reset::Hard) | None => {}
    }
    let start = values("v_start");
    if start.len() > 1 {
        say("gyrus_v_start", Field { shape: shape.to_vec(), data: Data::Double(start) });
    } else if let Some(&start) = start.first().filter(|&&start| start != 0.0 || neuron.is_stored("v_start")) {
        say("gyrus_v_start", Field::double(start));
    }
    for (name, list) in [("gyrus_per_neuron", neuron.per_neuron), ("gyrus_learned", neuron.learned)] {
        if !list.is_empty() {
            say(name, Field::text(&list.join(",")));
        }
    }
    tree.groups.insert("metadata".to_owned(), metadata);
    Ok(Some((tree, model)))
}

/// The time step as metadata.
pub(super) fn time_metadata(time: Discretization) -> Tree {
    let integration = match time.integration {
        Integration::Exact => "exact",
        Integration::Euler => "euler",
    };
    let mut metadata = Tree::default();
    metadata.fields.insert("gyrus_dt_ms".to_owned(), Field::double(time.dt_ms));
    metadata.fields.insert("gyrus_integration".to_owned(), Field::text(integration));
    metadata
}
