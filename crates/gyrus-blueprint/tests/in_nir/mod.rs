//! Expected contents of a NIR file written by Gyrus, for tests.

use gyrus_blueprint::{
    Blueprint, Conv1d, Conv2d, Discretization, Integration, NodeKind, Padding, Parameters, Pool2d, Reset,
};
use serde_json::{Map, Value, json};

/// The expected contents of a file in NIR's terms, independent of the writer.
pub(crate) fn in_nir(
    blueprint: &Blueprint,
    parameters: &Parameters,
    time: Discretization,
) -> Map<String, Value> {
    let shapes = blueprint.shapes().unwrap();
    let mut nodes = Map::new();
    for (index, node) in blueprint.nodes().iter().enumerate() {
        let (input, output) = (shapes.input(index), shapes.output(index));
        let stored = |name: &str| {
            let array = &parameters[&format!("{}.{name}", node.name)];
            let values: Vec<f64> = array.values.iter().map(|&value| f64::from(value)).collect();
            json!({"shape": array.shape, "values": values})
        };
        let list = |values: &[usize]| json!({"shape": [values.len()], "values": values});
        let scalar = |value: &dyn Fn() -> Value| json!({"shape": [], "values": [value()]});
        let whole = |value: usize| scalar(&|| json!(value));
        let text = |value: &str| json!({"text": value});
        let full = |values: Vec<f64>| {
            let elements: usize = input.iter().product();
            let values = if values.len() == 1 { vec![values[0]; elements] } else { values };
            json!({"shape": input.to_vec(), "values": values})
        };
        let zeros = |count: usize| json!({"shape": [count], "values": vec![0.0; count]});
        let mut fields = Map::new();
        let mut metadata = Map::new();
        match &node.kind {
            NodeKind::Input { shape } => drop(fields.insert("shape".into(), list(shape))),
            NodeKind::Output => drop(fields.insert("shape".into(), list(output))),
            NodeKind::Affine { .. } | NodeKind::Linear { .. } | NodeKind::Scale => {
                for spec in shapes.parameters(index) {
                    fields.insert(spec.name.into(), stored(spec.name));
                }
            }
            NodeKind::Conv1d(Conv1d { out_channels, stride, padding, dilation, groups, bias, .. }) => {
                fields.insert("weight".into(), stored("weight"));
                fields.insert("bias".into(), if *bias { stored("bias") } else { zeros(*out_channels) });
                for (name, value) in [
                    ("stride", *stride),
                    ("dilation", *dilation),
                    ("groups", *groups),
                    ("input_shape", input[1]),
                ] {
                    fields.insert(name.into(), whole(value));
                }
                let padding = match padding {
                    Padding::Same => text("same"),
                    Padding::Valid => text("valid"),
                    Padding::Explicit([each]) => whole(*each),
                    Padding::Sides(_) => panic!("NIR pads both sides alike"),
                };
                fields.insert("padding".into(), padding);
                if !bias {
                    metadata.insert("gyrus_bias".into(), text("none"));
                }
            }
            NodeKind::Conv2d(Conv2d { out_channels, stride, padding, dilation, groups, bias, .. }) => {
                fields.insert("weight".into(), stored("weight"));
                fields.insert("bias".into(), if *bias { stored("bias") } else { zeros(*out_channels) });
                fields.insert("groups".into(), whole(*groups));
                for (name, values) in
                    [("stride", &stride[..]), ("dilation", dilation), ("input_shape", &input[1..])]
                {
                    fields.insert(name.into(), list(values));
                }
                let padding = match padding {
                    Padding::Same => text("same"),
                    Padding::Valid => text("valid"),
                    Padding::Explicit(each) => list(each),
                    Padding::Sides(_) => panic!("NIR pads both sides alike"),
                };
                fields.insert("padding".into(), padding);
                if !bias {
                    metadata.insert("gyrus_bias".into(), text("none"));
                }
            }
            NodeKind::SumPool2d(Pool2d { kernel, stride, padding })
            | NodeKind::AvgPool2d(Pool2d { kernel, stride, padding }) => {
                for (name, values) in [("kernel_size", kernel), ("stride", stride), ("padding", padding)] {
                    fields.insert(name.into(), list(values));
                }
            }
            NodeKind::Flatten { start_axis, end_axis } => {
                let end = end_axis.map_or(json!(-1), |end| json!(end));
                fields.insert("start_dim".into(), whole(*start_axis));
                fields.insert("end_dim".into(), scalar(&|| end.clone()));
                fields.insert("input_type".into(), list(input));
            }
            NodeKind::Delay { delay_ms } => {
                drop(fields.insert("delay".into(), full(vec![delay_ms / 1000.0])))
            }
            NodeKind::Threshold { threshold } => {
                fields.insert("threshold".into(), full(vec![*threshold]));
            }
            kind => {
                let neuron = kind.neuron().unwrap();
                let number = |value: f64| scalar(&|| json!(value));
                let cuba = neuron.has("tau_synapse_ms");
                for &(name, written) in &neuron.constants {
                    let values: Vec<f64> = match parameters.get(&format!("{}.{name}", node.name)) {
                        Some(array) => array.values.iter().map(|&value| f64::from(value)).collect(),
                        None => vec![written],
                    };
                    if name == "v_start" {
                        match values[..] {
                            [0.0] => {}
                            [one] => drop(metadata.insert("gyrus_v_start".into(), number(one))),
                            _ => drop(metadata.insert("gyrus_v_start".into(), full(values))),
                        }
                        continue;
                    }
                    let (nir, factor) = match name {
                        "tau_membrane_ms" if cuba => ("tau_mem", 1000.0),
                        "tau_membrane_ms" => ("tau", 1000.0),
                        "tau_synapse_ms" => ("tau_syn", 1000.0),
                        "resistance" if matches!(kind.name(), "I" | "IF") => ("r", 1.0 / time.dt_ms),
                        "resistance" => ("r", 1.0),
                        other => (other, 1.0),
                    };
                    fields.insert(nir.into(), full(values.iter().map(|value| value / factor).collect()));
                }
                metadata.insert("gyrus_dt_ms".into(), number(time.dt_ms));
                let integration = if time.integration == Integration::Euler { "euler" } else { "exact" };
                metadata.insert("gyrus_integration".into(), text(integration));
                match neuron.reset {
                    Some(Reset::Subtract) => drop(metadata.insert("gyrus_reset".into(), text("subtract"))),
                    Some(Reset::None) => drop(metadata.insert("gyrus_reset".into(), text("none"))),
                    _ => {}
                }
                for (name, names) in
                    [("gyrus_per_neuron", neuron.per_neuron), ("gyrus_learned", neuron.learned)]
                {
                    if !names.is_empty() {
                        metadata.insert(name.into(), text(&names.join(",")));
                    }
                }
            }
        }
        let node_json = json!({"type": node.kind.name(), "fields": fields, "metadata": metadata});
        nodes.insert(node.name.clone(), node_json);
    }
    nodes
}
