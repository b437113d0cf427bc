//! What each kind of node is in ONNX's operators.

use gyrus_blueprint::{ConvolutionGeometry, Node, NodeKind};

use super::proto::Attribute;
use super::write::{Export, FLOAT, list, number, text, whole, windows};
use crate::Result;

/// Appends the operators of a node. `names` are the values that lead into it, `x` their sum where it needs that.
pub(super) fn emit(export: &mut Export<'_>, node: &Node, names: &[String], x: String) -> Result<()> {
    let x = x.as_str();
    match &node.kind {
        NodeKind::Input { .. } => {}
        NodeKind::Output | NodeKind::Dropout { .. } => export.last("Identity", &[x], Vec::new()),
        NodeKind::Add => match names {
            [a, b] => export.last("Add", &[a, b], Vec::new()),
            _ => export.last("Identity", &[x], Vec::new()),
        },
        NodeKind::Affine { .. } | NodeKind::Linear { .. } => {
            let weight = export.parameter("weight")?;
            let mut inputs = vec![x.to_owned(), weight];
            if matches!(node.kind, NodeKind::Affine { .. }) {
                inputs.push(export.parameter("bias")?);
            }
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            export.last("Gemm", &inputs, vec![whole("transB", 1)]);
        }
        NodeKind::Conv1d(conv) => {
            let geometry = conv.geometry(export.shapes.input(export.current));
            convolution(export, x, &geometry, 1, conv.bias)?;
        }
        NodeKind::Conv2d(conv) => {
            let geometry = conv.geometry(export.shapes.input(export.current));
            convolution(export, x, &geometry, 2, conv.bias)?;
        }
        NodeKind::MaxPool2d(pool) => export.last("MaxPool", &[x], windows(pool)),
        NodeKind::AvgPool2d(pool) | NodeKind::SumPool2d(pool) => {
            let mut settings = windows(pool);
            settings.push(whole("count_include_pad", 1));
            if matches!(node.kind, NodeKind::AvgPool2d(_)) {
                export.last("AveragePool", &[x], settings);
            } else {
                let mean = export.part("AveragePool", &[x], settings);
                let count = export.float((pool.kernel[0] * pool.kernel[1]) as f32)?;
                export.last("Mul", &[&mean, &count], Vec::new());
            }
        }
        NodeKind::GlobalAvgPool => {
            let mean = export.part("GlobalAveragePool", &[x], Vec::new());
            export.last("Flatten", &[&mean], vec![whole("axis", 1)]);
        }
        NodeKind::Flatten { .. } => {
            let output = export.shapes.output(export.current).to_vec();
            if output.len() == 1 {
                export.last("Flatten", &[x], vec![whole("axis", 1)]);
            } else {
                reshape(export, x, &output);
            }
        }
        NodeKind::Softmax { axis } => export.last("Softmax", &[x], vec![whole("axis", *axis as i64 + 1)]),
        NodeKind::BatchNorm { epsilon, .. } => {
            let stored = ["weight", "bias", "running_mean", "running_var"];
            let stored = stored.map(|name| export.parameter(name));
            let [weight, bias, mean, variance] = stored;
            let inputs = [x, &weight?, &bias?, &mean?, &variance?];
            export.last("BatchNormalization", &inputs, vec![number("epsilon", *epsilon)]);
        }
        NodeKind::LayerNorm { epsilon } => {
            let (weight, bias) = (export.parameter("weight")?, export.parameter("bias")?);
            export.last("LayerNormalization", &[x, &weight, &bias], normalization(*epsilon));
        }
        NodeKind::ChannelLayerNorm { epsilon } => {
            let (weight, bias) = (export.parameter("weight")?, export.parameter("bias")?);
            match export.shapes.input(export.current).len() {
                1 => export.last("LayerNormalization", &[x, &weight, &bias], normalization(*epsilon)),
                axes => {
                    let to_last = (0..=axes).filter(|axis| *axis != 1).chain([1]);
                    let turned = export.part("Transpose", &[x], vec![list("perm", to_last)]);
                    let normal = export.part(
                        "LayerNormalization",
                        &[&turned, &weight, &bias],
                        normalization(*epsilon),
                    );
                    let back = [0, axes].into_iter().chain(1..axes);
                    export.last("Transpose", &[&normal], vec![list("perm", back)]);
                }
            }
        }
        NodeKind::Scale => {
            let scale = export.parameter("scale")?;
            export.last("Mul", &[x, &scale], Vec::new());
        }
        NodeKind::LayerScale => {
            let (name, values) = export.values("scale")?;
            let mut shape = vec![1; export.shapes.input(export.current).len()];
            shape[0] = values.len();
            let scale = export.floats(name, &shape, &values)?;
            export.last("Mul", &[x, &scale], Vec::new());
        }
        NodeKind::Multiply => multiply(export, names)?,
        NodeKind::ReLU => export.last("Relu", &[x], Vec::new()),
        NodeKind::ReLU6 => {
            let bounds = [export.float(0.0)?, export.float(6.0)?];
            export.last("Clip", &[x, &bounds[0], &bounds[1]], Vec::new());
        }
        NodeKind::GELU => export.last("Gelu", &[x], Vec::new()),
        NodeKind::TanhGELU => export.last("Gelu", &[x], vec![text("approximate", "tanh")]),
        NodeKind::Hardswish => export.last("HardSwish", &[x], Vec::new()),
        NodeKind::Sigmoid => export.last("Sigmoid", &[x], Vec::new()),
        NodeKind::Tanh => export.last("Tanh", &[x], Vec::new()),
        NodeKind::SiLU => {
            let gate = export.part("Sigmoid", &[x], Vec::new());
            export.last("Mul", &[x, &gate], Vec::new());
        }
        NodeKind::QuickGELU => {
            let factor = export.float(1.702)?;
            let scaled = export.part("Mul", &[x, &factor], Vec::new());
            let gate = export.part("Sigmoid", &[&scaled], Vec::new());
            export.last("Mul", &[x, &gate], Vec::new());
        }
        NodeKind::QuantizedReLU { levels } => {
            let threshold = export.values("threshold")?.1.first().copied().unwrap_or(1.0);
            let levels = *levels as f32;
            let into = export.float(levels / threshold)?;
            let half = export.float(0.5)?;
            let bounds = [export.float(0.0)?, export.float(levels)?];
            let step = export.float(threshold / levels)?;
            let scaled = export.part("Mul", &[x, &into], Vec::new());
            let lower = export.part("Sub", &[&scaled, &half], Vec::new());
            let above = export.part("Ceil", &[&lower], Vec::new());
            let level = export.part("Clip", &[&above, &bounds[0], &bounds[1]], Vec::new());
            export.last("Mul", &[&level, &step], Vec::new());
        }
        NodeKind::Threshold { threshold } => {
            let threshold = export.float(*threshold as f32)?;
            let above = export.part("Greater", &[x, &threshold], Vec::new());
            export.last("Cast", &[&above], vec![whole("to", FLOAT.into())]);
        }
        NodeKind::ClassToken => class_token(export, x)?,
        NodeKind::PositionEmbedding => {
            let (name, values) = export.values("positions")?;
            let shape = export.shapes.input(export.current).to_vec();
            let [width, tokens] = shape[..] else { return Err(export.error("its input has no tokens")) };
            let turned: Vec<f32> =
                (0..width * tokens).map(|place| values[place % tokens * width + place / tokens]).collect();
            let positions = export.floats(name, &[width, tokens], &turned)?;
            export.last("Add", &[x, &positions], Vec::new());
        }
        NodeKind::SelectToken { index } => {
            let index = export.whole(&[], &[*index as i64]);
            export.last("Gather", &[x, &index], vec![whole("axis", 2)]);
        }
        NodeKind::SelfAttention { heads } => attention(export, x, *heads)?,
        NodeKind::Delay { .. }
        | NodeKind::I { .. }
        | NodeKind::IF { .. }
        | NodeKind::LI { .. }
        | NodeKind::LIF { .. }
        | NodeKind::CubaLI { .. }
        | NodeKind::CubaLIF { .. }
        | NodeKind::AdaptiveLIF { .. }
        | NodeKind::SignedIF { .. }
        | NodeKind::CountMaxPool2d(_) => {
            let kind = node.kind.name();
            return Err(export.error(format!(
                "{kind} keeps a state over time and has no operator in ONNX; a NIR file can hold it"
            )));
        }
    }
    Ok(())
}

fn normalization(epsilon: f64) -> Vec<Attribute> {
    vec![whole("axis", -1), number("epsilon", epsilon)]
}

fn reshape(export: &mut Export<'_>, x: &str, shape: &[usize]) {
    let numbers: Vec<i64> = [0].into_iter().chain(shape.iter().map(|&extent| extent as i64)).collect();
    let shape = export.whole(&[numbers.len()], &numbers);
    export.last("Reshape", &[x, &shape], Vec::new());
}

/// A convolution over so many axes.
fn convolution(
    export: &mut Export<'_>,
    x: &str,
    of: &ConvolutionGeometry,
    axes: usize,
    bias: bool,
) -> Result<()> {
    let weight = export.parameter("weight")?;
    let bias = if bias { Some(export.parameter("bias")?) } else { None };
    let [above, below, left, right] = of.padding;
    let pads = match axes {
        1 => vec![left, right],
        _ => vec![above, left, below, right],
    };
    let of_axes = |pair: [usize; 2]| pair.into_iter().skip(2 - axes);
    let settings = vec![
        list("kernel_shape", of_axes(of.kernel)),
        list("strides", of_axes(of.stride)),
        list("pads", pads),
        list("dilations", of_axes(of.dilation)),
        whole("group", of.groups as i64),
    ];
    let inputs: Vec<&str> = [x, &weight].into_iter().chain(bias.as_deref()).collect();
    export.last("Conv", &inputs, settings);
    Ok(())
}

/// The product of some values; one with a number for each channel is brought into the shape of the others.
fn multiply(export: &mut Export<'_>, names: &[String]) -> Result<()> {
    let output = export.shapes.output(export.current).to_vec();
    let mut product: Option<String> = None;
    for (place, name) in names.iter().enumerate() {
        let is_vector = export.vector(name);
        let factor = match output.len() {
            axes @ 2.. if is_vector => {
                let mut shape = vec![1; axes];
                shape[0] = output[0];
                export.reshaped(name, &shape)
            }
            _ => name.clone(),
        };
        product = Some(match product {
            None => factor,
            Some(before) if place + 1 == names.len() => {
                export.last("Mul", &[&before, &factor], Vec::new());
                return Ok(());
            }
            Some(before) => export.part("Mul", &[&before, &factor], Vec::new()),
        });
    }
    let product = product.ok_or_else(|| export.error("nothing leads into it"))?;
    export.last("Identity", &[&product], Vec::new());
    Ok(())
}

/// A place of zeros before the tokens, to which the learned token is added.
fn class_token(export: &mut Export<'_>, x: &str) -> Result<()> {
    let (name, values) = export.values("token")?;
    let output = export.shapes.output(export.current).to_vec();
    let [width, tokens] = output[..] else { return Err(export.error("its input has no tokens")) };
    let pads = export.whole(&[6], &[0, 0, 1, 0, 0, 0]);
    let padded = export.part("Pad", &[x, &pads], Vec::new());
    let mut token = vec![0.0; width * tokens];
    token.chunks_exact_mut(tokens.max(1)).zip(values).for_each(|(row, value)| row[0] = value);
    let token = export.floats(name, &[width, tokens], &token)?;
    export.last("Add", &[&padded, &token], Vec::new());
    Ok(())
}

/// `[3 width, tokens]` to `[width, tokens]`: values times the softmax of keys and queries, head by head.
fn attention(export: &mut Export<'_>, x: &str, heads: usize) -> Result<()> {
    let output = export.shapes.output(export.current).to_vec();
    let [width, tokens] = output[..] else { return Err(export.error("its input has no tokens")) };
    let head_width = width / heads.max(1);
    let parts = export.reshaped(x, &[3, heads, head_width, tokens]);
    let part = |export: &mut Export<'_>, index: i64| {
        let index = export.whole(&[], &[index]);
        export.part("Gather", &[&parts, &index], vec![whole("axis", 1)])
    };
    let (queries, keys, values) = (part(export, 0), part(export, 1), part(export, 2));
    let turned = || vec![list("perm", [0, 1, 3, 2])];
    let queries = export.part("Transpose", &[&queries], turned());
    let products = export.part("MatMul", &[&queries, &keys], Vec::new());
    let scale = export.float((head_width as f32).sqrt().recip())?;
    let scores = export.part("Mul", &[&products, &scale], Vec::new());
    let shares = export.part("Softmax", &[&scores], vec![whole("axis", -1)]);
    let shares = export.part("Transpose", &[&shares], turned());
    let sums = export.part("MatMul", &[&values, &shares], Vec::new());
    reshape(export, &sums, &output);
    Ok(())
}
