//! One node of a NIR file as a [`NodeKind`] with its parameters.

use crate::neuron::{Array, Discretization};
use crate::{Conv1d, Conv2d, Error, NodeKind, Pool2d, Result, Shape};

use super::neurons;
use super::source::{Source, shifted};

/// All types of node, including nested graphs.
pub(super) const TYPES: &[&str] = &[
    "Input",
    "Output",
    "Affine",
    "Linear",
    "Scale",
    "Conv1d",
    "Conv2d",
    "SumPool2d",
    "AvgPool2d",
    "Flatten",
    "Delay",
    "Threshold",
    "I",
    "IF",
    "LI",
    "LIF",
    "CubaLI",
    "CubaLIF",
    "NIRGraph",
];

/// One node read from a file.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Its full name in the flattened graph.
    pub(super) name: String,
    pub(super) kind: NodeKind,
    /// By parameter name, without the node's name.
    pub(super) parameters: Vec<(String, Array)>,
    /// Input shape in the file, to be compared with the inferred one.
    pub(super) given: Option<GivenShape>,
    /// Whether it is an I or IF whose r is the gain of one step, whatever its length.
    pub(super) each_step: bool,
    /// Whether the file states where a spike resets the membrane to.
    pub(super) v_reset: bool,
    /// Fields that no version of NIR has for this type.
    pub(super) unknown: Vec<String>,
}

impl Leaf {
    /// A node without parameters.
    pub(super) fn of(name: String, kind: NodeKind) -> Self {
        Self {
            name,
            kind,
            parameters: Vec::new(),
            given: None,
            each_step: false,
            v_reset: false,
            unknown: Vec::new(),
        }
    }
}

/// A shape given by a field.
#[derive(Debug)]
pub(super) struct GivenShape {
    pub(super) field: &'static str,
    pub(super) shape: Vec<usize>,
    /// Number of leading axes of the input that the field leaves out.
    pub(super) skip: usize,
    /// Whether a single number fits any shape.
    pub(super) broadcasts: bool,
}

/// The nodes that one node of a file becomes.
pub(super) enum Read {
    One(Box<Leaf>),
    /// Parallel pairs of nodes: each first node receives the input and feeds its second node; the second nodes add up.
    Parts(Vec<[Leaf; 2]>),
}

/// Most nodes for a delay or threshold that differs between elements.
const MAX_PARTS: usize = 64;

/// Reads a Delay or a Threshold. Gyrus has one number for all elements. A file with several numbers gives one node per
/// number, with a Scale of ones and zeros behind it (before it, for a Delay) that selects its elements.
fn elementwise(source: &mut Source<'_>, field: &'static str, kind: impl Fn(f64) -> NodeKind) -> Result<Read> {
    let Some(numbers) = source.numbers(field)? else { return Err(source.missing(field, "numbers")) };
    if let Some(value) = numbers.values.iter().find(|&&value| field == "delay" && value < 0.0) {
        return Err(source.wrong(field, format!("{value} s"), "at least 0 s"));
    }
    let mut distinct: Vec<f64> = Vec::new();
    for &value in &numbers.values {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
        if distinct.len() > MAX_PARTS {
            let got = format!("more than {MAX_PARTS} different numbers");
            return Err(source.wrong(
                field,
                got,
                format!("at most {MAX_PARTS}, each of which becomes a node"),
            ));
        }
    }
    if let [value] = distinct[..] {
        let given = Some(GivenShape { field, shape: numbers.shape, skip: 0, broadcasts: true });
        return Ok(Read::One(Box::new(Leaf { given, ..Leaf::of(source.node.to_owned(), kind(value)) })));
    }
    let parts = distinct.iter().enumerate().map(|(part, &value)| {
        let values = numbers.values.iter().map(|&other| f32::from(other == value)).collect();
        let mut mask = Leaf::of(format!("{}.{part}.mask", source.node), NodeKind::Scale);
        mask.parameters.push(("scale".to_owned(), Array { shape: numbers.shape.clone(), values }));
        let node = Leaf::of(format!("{}.{part}", source.node), kind(value));
        if field == "delay" { [mask, node] } else { [node, mask] }
    });
    Ok(Read::Parts(parts.collect()))
}

/// Reads a node of any type but NIRGraph.
pub(super) fn read(mut source: Source<'_>, time: Option<Discretization>) -> Result<Read> {
    let s = &mut source;
    let mut parameters = Vec::new();
    let mut given = None;
    let mut each_step = false;
    let v_reset = s.tree.fields.contains_key("v_reset");
    let mut keep_shape =
        |field, shape, skip, broadcasts| given = Some(GivenShape { field, shape, skip, broadcasts });
    let mut keep = |name: &str, array: Array| parameters.push((name.to_owned(), array));
    let kind = match s.kind {
        "Input" => {
            let shape = s.shape("shape")?.ok_or_else(|| s.missing("shape", "the shape of one sample"))?;
            NodeKind::Input { shape: Shape(shape) }
        }
        "Output" => {
            if let Some(shape) = s.shape("shape")? {
                keep_shape("shape", shape, 0, false);
            }
            NodeKind::Output
        }
        "Affine" | "Linear" => {
            let weight = s.weights("weight", Some(2), "numbers of shape [outputs, inputs]")?;
            let out_features = weight.shape[0];
            keep("weight", weight);
            if s.kind == "Affine" {
                keep("bias", s.weights("bias", Some(1), "numbers of shape [outputs]")?);
                NodeKind::Affine { out_features }
            } else {
                NodeKind::Linear { out_features }
            }
        }
        "Scale" => {
            keep("scale", s.weights("scale", None, "one number per element")?);
            NodeKind::Scale
        }
        "Conv1d" => {
            let weight =
                s.weights("weight", Some(3), "numbers of shape [outputs, inputs / groups, length]")?;
            let (out_channels, kernel) = (weight.shape[0], weight.shape[2]);
            let ([stride], padding, [dilation]) =
                (s.extents("stride")?, s.padding()?, s.extents("dilation")?);
            let groups = groups(s)?;
            keep("weight", weight);
            let bias = bias(s)?.map(|bias| keep("bias", bias)).is_some();
            if let Some(length) = s.shape("input_shape")? {
                keep_shape("input_shape", length, 1, false);
            }
            Conv1d { out_channels, kernel, stride, padding, dilation, groups, bias }.into()
        }
        "Conv2d" => {
            let expected = "numbers of shape [outputs, inputs / groups, height, width]";
            let weight = s.weights("weight", Some(4), expected)?;
            let (out_channels, kernel) = (weight.shape[0], [weight.shape[2], weight.shape[3]]);
            let (stride, padding, dilation) = (s.extents("stride")?, s.padding()?, s.extents("dilation")?);
            let groups = groups(s)?;
            keep("weight", weight);
            let bias = bias(s)?.map(|bias| keep("bias", bias)).is_some();
            if let Some(extents) = s.shape("input_shape")? {
                keep_shape("input_shape", extents, 1, false);
            }
            Conv2d { out_channels, kernel, stride, padding, dilation, groups, bias }.into()
        }
        "SumPool2d" | "AvgPool2d" => {
            let (kernel, stride) = (s.extents("kernel_size")?, s.extents("stride")?);
            let pool = Pool2d { kernel, stride, padding: s.extents("padding")? };
            match s.kind {
                "SumPool2d" => NodeKind::SumPool2d(pool),
                _ => NodeKind::AvgPool2d(pool),
            }
        }
        "Flatten" => {
            let shape = s.shape("input_type")?;
            let rank = shape.as_ref().map(Vec::len);
            // The defaults are those of the Python package.
            let (start, end) = (s.whole("start_dim")?.unwrap_or(1), s.whole("end_dim")?.unwrap_or(-1));
            let kind = NodeKind::Flatten {
                start_axis: axis(s, "start_dim", start, rank)?,
                end_axis: (end != -1).then(|| axis(s, "end_dim", end, rank)).transpose()?,
            };
            if let Some(shape) = shape {
                keep_shape("input_type", shape, 0, false);
            }
            kind
        }
        "Delay" => {
            return elementwise(s, "delay", |delay| NodeKind::Delay { delay_ms: shifted(delay, 3) });
        }
        "Threshold" => return elementwise(s, "threshold", |threshold| NodeKind::Threshold { threshold }),
        _ => match neurons::read(s, time)? {
            Some(read) => {
                parameters = read.parameters;
                each_step = read.each_step;
                given = Some(GivenShape { field: "r", shape: read.shape, skip: 0, broadcasts: true });
                read.kind
            }
            None => {
                let (node, found) = (s.node.to_owned(), s.kind.to_owned());
                return Err(Error::UnknownNirType { node, found, known: TYPES });
            }
        },
    };
    let unknown = source.tree.fields.into_keys().collect();
    Ok(Read::One(Box::new(Leaf {
        name: source.node.to_owned(),
        kind,
        parameters,
        given,
        each_step,
        v_reset,
        unknown,
    })))
}

fn groups(source: &mut Source<'_>) -> Result<usize> {
    let [groups] = source.extents("groups")?;
    Ok(groups)
}

/// The bias of a convolution, unless the metadata say that there is none.
fn bias(source: &mut Source<'_>) -> Result<Option<Array>> {
    let bias = source.weights("bias", Some(1), "numbers of shape [outputs]")?;
    let none = source.metadata_text("gyrus_bias")?;
    match none.as_deref() {
        None => Ok(Some(bias)),
        Some("none") if bias.values.iter().all(|&value| value == 0.0) => Ok(None),
        Some(other) => {
            Err(source.wrong("metadata/gyrus_bias", format!("{other:?}"), "none, beside a bias of zeros"))
        }
    }
}

/// An axis that may be counted from the end, where the rank is known.
fn axis(source: &Source<'_>, field: &str, value: i64, rank: Option<usize>) -> Result<usize> {
    let counted = match (value, rank) {
        (0.., _) => Some(value),
        (_, Some(rank)) => i64::try_from(rank).ok().and_then(|rank| rank.checked_add(value)),
        (_, None) => None,
    };
    counted.and_then(|axis| usize::try_from(axis).ok()).ok_or_else(|| {
        source.wrong(field, value.to_string(), "an axis from 0, or from the end of a known input_type")
    })
}
