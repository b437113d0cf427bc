//! The operators that become layers with numbers or settings: convolutions, products, pools, sums, normalizations.

use gyrus_blueprint::{Conv2d, NodeKind, Padding, Pool2d};

use super::graph::{Form, Import, Value};
use super::proto::{self, float, int};
use super::tensor::Constant;
use crate::Result;

impl<'a> Import<'a> {
    pub(super) fn convolution(&mut self, node: &proto::Node) -> Result<Value> {
        let (sources, form) = self.signal(node.input.first().map_or("", String::as_str))?;
        let weight = self.constant(node, 1)?.clone();
        let bias = if node.input.len() > 2 { Some(self.constant(node, 2)?.clone()) } else { None };
        let &[outputs, inputs, height, width] = &weight.shape[..] else {
            return Err(
                self.error(format!("a weight of the shape {:?}; expected two axes of space", weight.shape))
            );
        };
        if form == Form::Features {
            // Behind a global pool, a 1x1 convolution is a linear layer.
            if (height, width) != (1, 1) {
                return Err(self.error("a convolution over one pixel; expected a 1x1 kernel"));
            }
            return Ok(self.affine(node, &sources, (outputs, inputs), weight.floats, bias));
        }
        let (stride, dilation) = (self.pair(node, "strides")?, self.pair(node, "dilations")?);
        let kind = Conv2d {
            out_channels: outputs,
            kernel: [height, width],
            stride,
            padding: self.padding(node, stride)?,
            dilation,
            groups: self.whole(node, "group", 1)?,
            bias: bias.is_some(),
        };
        let place = self.place(node, kind.into(), &sources);
        self.parameter(place, "weight", weight.shape, weight.floats);
        if let Some(bias) = bias {
            self.parameter(place, "bias", bias.shape, bias.floats);
        }
        Ok(Value::Signal(vec![place], Form::Image))
    }

    pub(super) fn affine(
        &mut self,
        node: &proto::Node,
        sources: &[usize],
        (outputs, inputs): (usize, usize),
        weight: Vec<f32>,
        bias: Option<Constant>,
    ) -> Value {
        let kind = if bias.is_some() { NodeKind::affine(outputs) } else { NodeKind::linear(outputs) };
        let place = self.place(node, kind, sources);
        self.parameter(place, "weight", vec![outputs, inputs], weight);
        if let Some(bias) = bias {
            self.parameter(place, "bias", vec![bias.floats.len()], bias.floats);
        }
        Value::Signal(vec![place], Form::Features)
    }

    pub(super) fn linear(&mut self, node: &proto::Node) -> Result<Value> {
        let (sources, form) = self.signal(node.input.first().map_or("", String::as_str))?;
        let weight = self.constant(node, 1)?.clone();
        let &[rows, columns] = &weight.shape[..] else {
            return Err(self.error(format!("a weight of the shape {:?}; expected two axes", weight.shape)));
        };
        let is_gemm = node.op_type == "Gemm";
        let one = |name| float(node, name, 1.0) == 1.0;
        if form != Form::Features
            || (is_gemm && !(one("alpha") && one("beta") && int(node, "transA", 0) == 0))
        {
            return Err(self.error("expected y = x w + b on features, with alpha and beta 1 and x as it is"));
        }
        let bias = if is_gemm && node.input.len() > 2 { Some(self.constant(node, 2)?.clone()) } else { None };
        if is_gemm && int(node, "transB", 0) != 0 {
            return Ok(self.affine(node, &sources, (rows, columns), weight.floats, bias));
        }
        let turned =
            (0..weight.floats.len()).map(|at| weight.floats[at % rows * columns + at / rows]).collect();
        Ok(self.affine(node, &sources, (columns, rows), turned, bias))
    }

    /// A product with a constant: one factor for each channel or feature.
    pub(super) fn scale(&mut self, node: &proto::Node) -> Result<Value> {
        let [a, b] = &node.input[..] else { return Err(self.error("expected a product of two")) };
        let pairs = [(a, b), (b, a)].into_iter().find_map(|(signal, constant)| {
            match (self.values.get(signal.as_str()), self.values.get(constant.as_str())) {
                (Some(Value::Signal(..)), Some(Value::Constant(constant))) => {
                    Some((signal, std::rc::Rc::clone(constant)))
                }
                _ => None,
            }
        });
        let Some((name, constant)) = pairs else {
            return Err(self.error("a product of constants; expected a signal"));
        };
        let (sources, form) = self.signal(name)?;
        let axes = if form == Form::Image { 3 } else { 1 };
        // Axes are counted from behind: [channels, 1, 1] beside [batch, channels, height, width].
        let mut shape = vec![1; (axes + 1usize).saturating_sub(constant.shape.len())];
        shape.extend(&constant.shape);
        let per_channel = shape.len() == axes + 1
            && shape.iter().enumerate().all(|(axis, extent)| axis == 1 || *extent == 1)
            && shape[1] == constant.floats.len();
        if !per_channel {
            return Err(self.error(format!(
                "a constant of the shape {:?} is multiplied; expected one factor for each channel",
                constant.shape
            )));
        }
        let place = self.place(node, NodeKind::LayerScale, &sources);
        self.parameter(place, "scale", vec![constant.floats.len()], constant.floats.clone());
        Ok(Value::Signal(vec![place], form))
    }

    pub(super) fn layer_norm(&mut self, node: &proto::Node) -> Result<Value> {
        let (sources, form) = self.signal(node.input.first().map_or("", String::as_str))?;
        if form != Form::Features || !matches!(int(node, "axis", -1), -1 | 1) {
            return Err(self.error("a LayerNormalization over an image; expected one over features"));
        }
        let weight = self.constant(node, 1)?.clone();
        let bias = match node.input.get(2) {
            Some(_) => self.constant(node, 2)?.clone(),
            None => Constant { floats: vec![0.0; weight.floats.len()], ..weight.clone() },
        };
        let epsilon = f64::from(float(node, "epsilon", 1e-5));
        let place = self.place(node, NodeKind::LayerNorm { epsilon }, &sources);
        self.parameter(place, "weight", weight.shape, weight.floats);
        self.parameter(place, "bias", bias.shape, bias.floats);
        Ok(Value::Signal(vec![place], form))
    }

    pub(super) fn clip(&mut self, node: &proto::Node) -> Result<Value> {
        let bound = |import: &Self, input: usize, name: &str, usual: f32| -> Result<f32> {
            match node.input.get(input).filter(|name| !name.is_empty()) {
                Some(_) => Ok(import.constant(node, input)?.floats.first().copied().unwrap_or(usual)),
                None => Ok(float(node, name, usual)),
            }
        };
        let bounds = (bound(self, 1, "min", f32::MIN)?, bound(self, 2, "max", f32::MAX)?);
        match bounds {
            (0.0, 6.0) => self.simple(node, NodeKind::ReLU6),
            (0.0, f32::MAX) => self.simple(node, NodeKind::ReLU),
            (least, most) => Err(self.error(format!("a clip to {least} .. {most}; expected 0 .. 6"))),
        }
    }

    pub(super) fn flatten(&mut self, node: &proto::Node) -> Result<Value> {
        let (sources, form) = self.signal(node.input.first().map_or("", String::as_str))?;
        let fits = match node.op_type.as_str() {
            "Flatten" => int(node, "axis", 1) == 1,
            // [batch, features], one of the two perhaps as -1, the batch perhaps as 0; features perhaps with axes of 1 behind.
            "Reshape" => match self.constant(node, 1)?.whole[..] {
                [_, _] => true,
                [_, _, ref ones @ ..] => form == Form::Features && ones.iter().all(|extent| *extent == 1),
                _ => false,
            },
            _ => form == Form::Features,
        };
        match (fits, &form) {
            (false, _) => Err(self.error("expected [batch, features] as the result")),
            (true, Form::View(_)) => Err(self.error("expected features or an image")),
            (true, Form::Features) => Ok(Value::Signal(sources, form)),
            (true, Form::Image) => {
                Ok(Value::Signal(vec![self.place(node, NodeKind::flatten(), &sources)], Form::Features))
            }
        }
    }

    pub(super) fn pool(&mut self, node: &proto::Node) -> Result<Value> {
        let (sources, form) = self.signal(node.input.first().map_or("", String::as_str))?;
        let (kernel, stride) = (self.pair(node, "kernel_shape")?, self.pair(node, "strides")?);
        let padding = match self.padding(node, stride)? {
            Padding::Valid => [0; 2],
            Padding::Explicit(each) => each,
            Padding::Same if kernel.iter().all(|extent| extent % 2 == 1) => kernel.map(|extent| extent / 2),
            _ => return Err(self.error("a pool pads both sides of an axis alike in a blueprint")),
        };
        let average = node.op_type == "AveragePool";
        let counted = padding == [0; 2] || int(node, "count_include_pad", 0) != 0;
        if form != Form::Image || int(node, "ceil_mode", 0) != 0 || self.pair(node, "dilations")? != [1; 2] {
            return Err(self.error("expected a pool over an image, without dilation, rounded down"));
        }
        if average && !counted {
            return Err(self.error("an average that leaves out its padding; expected count_include_pad = 1"));
        }
        let pool = Pool2d { kernel, stride, padding };
        let kind = if average { NodeKind::AvgPool2d(pool) } else { NodeKind::MaxPool2d(pool) };
        Ok(Value::Signal(vec![self.place(node, kind, &sources)], Form::Image))
    }

    pub(super) fn sum(&mut self, node: &proto::Node) -> Result<Value> {
        let [a, b] = &node.input[..] else { return Err(self.error("expected a sum of two")) };
        let constant = [(a, b), (b, a)].into_iter().find_map(|(signal, constant)| {
            match self.values.get(constant.as_str()) {
                Some(Value::Constant(constant)) => Some((signal, std::rc::Rc::clone(constant))),
                _ => None,
            }
        });
        if let Some((name, constant)) = constant {
            // A bias behind a product.
            let (sources, form) = self.signal(name)?;
            let alone = self.uses.get(name.as_str()) == Some(&1);
            if let ([place], true) = (&sources[..], alone)
                && let NodeKind::Linear { out_features } = self.nodes[*place].kind
                && constant.floats.len() == out_features
            {
                self.nodes[*place].kind = NodeKind::affine(out_features);
                self.parameter(*place, "bias", vec![out_features], constant.floats.clone());
                return Ok(Value::Signal(sources, form));
            }
            return Err(self.error("a constant is added; expected a bias behind a product with weights"));
        }
        let ((mut sources, form), (more, other)) = (self.signal(a)?, self.signal(b)?);
        if form != other && (matches!(form, Form::View(_)) || matches!(other, Form::View(_))) {
            return Err(self.error("a sum of signals whose axes lie differently"));
        }
        sources.extend(more);
        // A sum that one node reads is made of the edges into that node.
        match self.uses.get(node.output.first().map_or("", String::as_str)) {
            Some(1) => Ok(Value::Signal(sources, form)),
            _ => Ok(Value::Signal(vec![self.place(node, NodeKind::Add, &sources)], form)),
        }
    }
}
