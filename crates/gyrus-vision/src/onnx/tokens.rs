//! The operators of transformers, and of layers whose channels are the last axis: products with weights over tokens, normalizations,
//! the class token, positions.
//!
//! Transposing, reshaping and cutting compute nothing here: they change the [`View`] of a signal, until an operator uses it.

use std::rc::Rc;

use gyrus_blueprint::NodeKind;

use super::factors::near;
use super::fold::{axes, between, counted};
use super::graph::{Form, Import, Value};
use super::proto::{self, float, int, ints, text};
use super::tensor::Constant;
use super::view::{Run, View};
use crate::Result;

impl<'a> Import<'a> {
    /// What an operator makes, where it works on views or on what is not yet a signal; `None` where it does not.
    pub(super) fn arranged(&mut self, node: &'a proto::Node) -> Result<Option<Vec<Value>>> {
        let value =
            |index: usize| node.input.get(index).and_then(|name| self.values.get(name.as_str())).cloned();
        let (Some(a), b) = (value(0), value(1)) else { return Ok(None) };
        let made = match (node.op_type.as_str(), a, b) {
            ("Cast", signal @ Value::Signal(..), _) if int(node, "to", 1) == 1 => signal,
            ("MatMul", a, Some(b)) if !matches!(b, Value::Constant(_)) => {
                self.attention_product(node, a, b)?
            }
            ("Softmax" | "Transpose", Value::Scores(scores), _) => self.turned_scores(node, scores)?,
            // No share is without a number, because no mask leaves out everything.
            ("IsNaN", Value::Scores(_), _) => {
                Value::Constant(Rc::new(Constant { shape: Vec::new(), floats: vec![0.0], whole: vec![0] }))
            }
            ("Where", Value::Constant(condition), _)
                if condition.floats == [0.0] && matches!(value(2), Some(Value::Scores(_))) =>
            {
                value(2).unwrap_or(Value::Constant(condition))
            }
            // A mask that leaves out nothing.
            ("Add", scores @ Value::Scores(_), Some(Value::Constant(mask)))
            | ("Add", Value::Constant(mask), Some(scores @ Value::Scores(_)))
                if mask.floats.iter().all(|value| *value == 0.0) =>
            {
                scores
            }
            ("Transpose", Value::Signal(sources, form), _) => {
                let (mut view, order) = (self.view(&sources, &form)?, ints(node, "perm"));
                if form == Form::Features {
                    // Behind a global pool, two axes of length 1.
                    view.axes.resize(order.len().max(view.axes.len()), Vec::new());
                }
                self.settled(node, sources, view.transposed(&order))?
            }
            ("Reshape" | "Flatten", Value::Signal(sources, form), b) => {
                let asked = match (&b, node.op_type.as_str()) {
                    (Some(Value::Constant(shape)), "Reshape") => shape.whole.clone(),
                    (_, "Flatten") if int(node, "axis", 1) == 1 => vec![0, -1],
                    _ => return Ok(None),
                };
                let ends_in_one = form == Form::Features && asked.last() == Some(&1);
                if !matches!(form, Form::View(_)) && asked.len() < 3 || ends_in_one {
                    return Ok(None);
                }
                let view = self.view(&sources, &form)?;
                let view = view.target(&asked).and_then(|extents| view.reshaped(&extents));
                self.settled(node, sources, view)?
            }
            ("Squeeze" | "Unsqueeze", Value::Signal(sources, Form::View(view)), b) => {
                let stored = match &b {
                    Some(Value::Constant(constant)) => Some(constant.as_ref()),
                    _ => None,
                };
                let mut chosen = axes(node, stored).unwrap_or_default();
                let grows = node.op_type == "Unsqueeze";
                let rank = view.axes.len() + if grows { chosen.len() } else { 0 };
                chosen.iter_mut().filter(|axis| **axis < 0).for_each(|axis| *axis += rank as i64);
                chosen.sort_unstable();
                if !grows {
                    chosen.reverse();
                }
                let changed = chosen.into_iter().try_fold(view, |view, axis| {
                    let axis = usize::try_from(axis).ok()?;
                    if grows { view.unsqueezed(axis) } else { view.squeezed(axis) }
                });
                self.settled(node, sources, changed)?
            }
            ("Split", Value::Signal(sources, form @ (Form::View(_) | Form::Image)), b) => {
                return self.split(node, sources, &form, b.as_ref()).map(Some);
            }
            ("Gather", Value::Signal(sources, form), Some(Value::Constant(place))) => {
                let view = self.view(&sources, &form)?;
                let rank = view.axes.len();
                let axis = counted(int(node, "axis", 0), rank).filter(|_| place.whole.len() == 1);
                let Some(axis) = axis else {
                    return Err(self.error("expected one number as the place to read"));
                };
                let place_of = counted(place.whole[0], view.extents()[axis]);
                let Some(start) = place_of else {
                    return Err(self.error("it reads beyond the end of an axis"));
                };
                let (sources, view) = self.cut(node, sources, view, (axis, start, 1))?;
                let view = if place.shape.is_empty() { view.squeezed(axis) } else { Some(view) };
                self.settled(node, sources, view)?
            }
            ("Slice", Value::Signal(sources, form), _) => self.slice(node, sources, &form)?,
            ("Concat", Value::Constant(token), Some(Value::Signal(sources, Form::View(view)))) => {
                let [_, tokens @ 1] = [0, int(node, "axis", 0)] else {
                    return Err(self.error("expected a class token before the tokens"));
                };
                let placed = view.position_of(1) == usize::try_from(tokens).ok() && view.is_channels_last();
                if !placed || node.input.len() != 2 || token.floats.len() != view.source[0] {
                    return Err(self.error("expected a class token before the tokens"));
                }
                self.class_token(node, &sources, &view, token.floats.clone())
            }
            // As Gyrus writes it: a place of zeros, to which the token is added.
            ("Pad", Value::Signal(sources, Form::View(view)), Some(Value::Constant(pads))) => {
                let zeros = matches!(text(node, "mode").as_deref(), None | Some("constant" | ""))
                    && node.input.len() == 2;
                if view != View::of(&view.source)
                    || view.source.len() != 2
                    || pads.whole != [0, 0, 1, 0, 0, 0]
                    || !zeros
                {
                    return Err(self.error("expected one place of zeros before the tokens"));
                }
                Value::Padded(sources, view)
            }
            ("Add", Value::Padded(sources, view), Some(Value::Constant(token))) => {
                let tokens = view.source[1] + 1;
                let alone =
                    token.floats.iter().enumerate().all(|(at, value)| at % tokens == 0 || *value == 0.0);
                if token.floats.len() != view.source[0] * tokens || !alone {
                    return Err(self.error("expected a class token at the first place"));
                }
                let token = token.floats.iter().step_by(tokens).copied().collect();
                self.class_token(node, &sources, &view, token)
            }
            ("Add", Value::Signal(sources, Form::View(view)), Some(Value::Constant(constant))) => {
                self.added(node, (0, &sources), view, &constant)?
            }
            ("Add", Value::Constant(constant), Some(Value::Signal(sources, Form::View(view)))) => {
                self.added(node, (1, &sources), view, &constant)?
            }
            ("Add", Value::Erf(sources, form), Some(Value::Constant(one)))
            | ("Add", Value::Constant(one), Some(Value::Erf(sources, form)))
                if one.floats == [1.0] =>
            {
                Value::Gate { sources, form, factor: 1.0, times_input: false }
            }
            ("Erf", Value::Scaled(sources, form, factor), _)
                if near(factor, std::f32::consts::FRAC_1_SQRT_2) =>
            {
                Value::Erf(sources, form)
            }
            ("Sigmoid", Value::Scaled(sources, form, factor), _) if near(factor, 1.702) => {
                Value::QuickGate(sources, form)
            }
            ("Mul" | "Div", a, Some(b)) => match self.product(node, a, b)? {
                Some(value) => value,
                None => return Ok(None),
            },
            ("MatMul", Value::Signal(sources, Form::View(view)), Some(Value::Constant(weight))) => {
                self.linear_of_view(node, &sources, &view, &weight)?
            }
            ("Conv", Value::Signal(sources, Form::View(view)), Some(Value::Constant(weight))) => {
                self.convolution_of_tokens(node, &sources, &view, &weight)?
            }
            ("LayerNormalization", Value::Signal(sources, Form::View(view)), _) => {
                self.normalized(node, &sources, &view)?
            }
            ("ReduceMean", Value::Signal(sources, Form::View(view)), b) => {
                self.mean_of_tokens(node, &sources, &view, b.as_ref())?
            }
            _ => return Ok(None),
        };
        Ok(Some(vec![made]))
    }

    /// How a signal lies, in the axes of ONNX.
    pub(super) fn view(&self, sources: &[usize], form: &Form) -> Result<View> {
        match form {
            Form::View(view) => Ok(view.clone()),
            Form::Image | Form::Features => {
                let shape = sources.first().and_then(|&source| self.shapes[source].as_deref());
                shape.map(View::of).ok_or_else(|| self.error("the shape of what it reads is not known"))
            }
        }
    }

    /// A view of a signal as a value; height and width that became one axis are joined by a node.
    fn settled(&mut self, node: &proto::Node, mut sources: Vec<usize>, view: Option<View>) -> Result<Value> {
        let Some(mut view) = view else {
            return Err(self.error(format!("{} with axes that a blueprint cannot keep apart", node.op_type)));
        };
        if let [channels, height, width] = view.source[..] {
            let run = |axis, extent| Run { axis, stride: 1, extent };
            let both = [run(1, height), run(2, width)];
            if let Some(place) = view.axes.iter().position(|axis| *axis == both) {
                let kind = NodeKind::Flatten { start_axis: 1, end_axis: None };
                sources = vec![self.place(node, kind, &sources)];
                view.source = vec![channels, height * width];
                view.axes[place] = vec![run(1, height * width)];
            }
        }
        let form = match view.source.len() {
            3 if view == View::of(&view.source) => Form::Image,
            1 if view.is_whole() && view.position_of(0) == Some(1) => Form::Features,
            _ => Form::View(view),
        };
        Ok(Value::Signal(sources, form))
    }

    fn split(
        &mut self,
        node: &proto::Node,
        sources: Vec<usize>,
        form: &Form,
        sizes: Option<&Value>,
    ) -> Result<Vec<Value>> {
        let view = self.view(&sources, form)?;
        let axis = counted(int(node, "axis", 0), view.axes.len());
        let Some(axis) = axis else { return Err(self.error("it splits an axis that is not there")) };
        let parts = node.output.len().max(1);
        let extent = view.extents()[axis];
        let sizes: Vec<usize> = match sizes {
            Some(Value::Constant(sizes)) => {
                sizes.whole.iter().filter_map(|&n| usize::try_from(n).ok()).collect()
            }
            _ => match ints(node, "split")[..] {
                [] => vec![extent / parts; parts],
                ref sizes => sizes.iter().filter_map(|&n| usize::try_from(n).ok()).collect(),
            },
        };
        let sum = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
        if sizes.len() != parts || sum != Some(extent) {
            return Err(self.error(format!("it splits {extent} into {sizes:?}")));
        }
        let (mut start, mut made) = (0, Vec::new());
        for size in sizes {
            let (sources, part) = self.cut(node, sources.clone(), view.clone(), (axis, start, size))?;
            made.push(self.settled(node, sources, Some(part))?);
            start += size;
        }
        Ok(made)
    }

    fn slice(&mut self, node: &proto::Node, mut sources: Vec<usize>, form: &Form) -> Result<Value> {
        let mut view = self.view(&sources, form)?;
        let numbers = |index: usize, name: &str| match node.input.get(index).filter(|name| !name.is_empty()) {
            Some(_) => self.constant(node, index).map(|constant| constant.whole.clone()),
            None => Ok(ints(node, name)),
        };
        let (starts, ends) = (numbers(1, "starts")?, numbers(2, "ends")?);
        let (mut chosen, steps) = (numbers(3, "axes")?, numbers(4, "steps")?);
        if chosen.is_empty() {
            chosen = (0..starts.len() as i64).collect();
        }
        if starts.len() != ends.len() || starts.len() != chosen.len() || steps.iter().any(|step| *step != 1) {
            return Err(self.error("expected ranges with the step 1"));
        }
        for ((start, end), axis) in starts.into_iter().zip(ends).zip(chosen) {
            let Some(axis) = counted(axis, view.axes.len()) else {
                return Err(self.error("it cuts an axis that is not there"));
            };
            let (start, end) = between(start, end, view.extents()[axis]);
            (sources, view) = self.cut(node, sources, view, (axis, start, end - start))?;
        }
        self.settled(node, sources, Some(view))
    }

    /// A range of an axis: some channels, or one token.
    fn cut(
        &mut self,
        node: &proto::Node,
        sources: Vec<usize>,
        view: View,
        (axis, start, length): (usize, usize, usize),
    ) -> Result<(Vec<usize>, View)> {
        if view.extents()[axis] == length {
            return Ok((sources, view));
        }
        if let Some(part) = view.part(axis, start, length) {
            return Ok((sources, part));
        }
        let others = |at: usize| at == axis || view.axes[at].is_empty() || view.position_of(0) == Some(at);
        let alone = (0..view.axes.len()).all(others) && view.is_whole();
        if length == 1 && view.source.len() == 2 && view.position_of(1) == Some(axis) && alone {
            let selected = self.place(node, NodeKind::SelectToken { index: start }, &sources);
            let mut of_token = View { source: vec![view.source[0]], ..view };
            of_token.axes[axis].clear();
            return Ok((vec![selected], of_token));
        }
        Err(self.error(
            "it reads a part that a blueprint does not name; expected one token, or queries, keys and values",
        ))
    }

    fn class_token(&mut self, node: &proto::Node, sources: &[usize], view: &View, token: Vec<f32>) -> Value {
        let place = self.place(node, NodeKind::ClassToken, sources);
        self.parameter(place, "token", vec![token.len()], token);
        let mut longer = view.clone();
        longer.source[1] += 1;
        longer.axes.iter_mut().flatten().filter(|run| run.axis == 1).for_each(|run| run.extent += 1);
        Value::Signal(vec![place], Form::View(longer))
    }

    /// A bias behind a product, or positions.
    fn added(
        &mut self,
        node: &proto::Node,
        (input, sources): (usize, &[usize]),
        view: View,
        constant: &Constant,
    ) -> Result<Value> {
        let shape: Vec<usize> = constant.shape.iter().copied().skip_while(|extent| *extent == 1).collect();
        let alone = self.uses.get(node.input[input].as_str()) == Some(&1);
        if let ([place], true, true) = (sources, alone, view.is_channels_last())
            && shape == [view.source[0]]
        {
            let kind = match &self.nodes[*place].kind {
                NodeKind::Conv1d(conv) if !conv.bias => Some(conv.bias(true).into()),
                NodeKind::Conv2d(conv) if !conv.bias => Some(conv.bias(true).into()),
                NodeKind::Linear { out_features } => Some(NodeKind::affine(*out_features)),
                _ => None,
            };
            if let Some(kind) = kind {
                self.nodes[*place].kind = kind;
                let bias = node.input[1 - input].strip_suffix(".bias");
                self.rename(*place, bias);
                self.parameter(*place, "bias", shape, constant.floats.clone());
                return Ok(Value::Signal(sources.to_vec(), Form::View(view)));
            }
        }
        let (extents, turned) = (view.extents(), view == View::of(&view.source));
        if let ([width, tokens], true) = (&view.source[..], extents[1..] == shape[..] && view.is_whole())
            && (turned || view.is_channels_last())
        {
            let floats = &constant.floats;
            let positions = match turned {
                true => (0..floats.len()).map(|at| floats[at % width * tokens + at / width]).collect(),
                false => floats.clone(),
            };
            let place = self.place(node, NodeKind::PositionEmbedding, sources);
            self.parameter(place, "positions", vec![*tokens, *width], positions);
            return Ok(Value::Signal(vec![place], Form::View(view)));
        }
        Err(self.error("a constant is added; expected a bias behind a product with weights, or positions"))
    }

    /// A product of the last axis with weights: a convolution of one tap, or a linear layer where there is one token.
    fn linear_of_view(
        &mut self,
        node: &proto::Node,
        sources: &[usize],
        view: &View,
        weight: &Rc<Constant>,
    ) -> Result<Value> {
        let &[inputs, outputs] = &weight.shape[..] else {
            return Err(self.error(format!("a weight of the shape {:?}; expected two axes", weight.shape)));
        };
        if !view.is_channels_last() || view.source[0] != inputs {
            return Err(self.error(format!(
                "a product with weights over {:?}; expected the channels as the last axis",
                view.extents()
            )));
        }
        let turned =
            (0..inputs * outputs).map(|at| weight.floats[at % inputs * outputs + at / inputs]).collect();
        let mut shape = vec![outputs, inputs];
        shape.resize(1 + view.source.len(), 1);
        let kind = match view.source.len() {
            1 => NodeKind::linear(outputs),
            2 => NodeKind::conv1d(outputs, 1).bias(false).into(),
            _ => NodeKind::conv2d(outputs, 1).bias(false).into(),
        };
        let place = self.place(node, kind, sources);
        self.parameter(place, "weight", shape, turned);
        Ok(Value::Signal(vec![place], Form::View(view.with_channels(outputs))))
    }

    /// A convolution along tokens, as Gyrus writes linear layers over them.
    fn convolution_of_tokens(
        &mut self,
        node: &proto::Node,
        sources: &[usize],
        view: &View,
        weight: &Rc<Constant>,
    ) -> Result<Value> {
        if *view != View::of(&view.source) || view.source.len() != 2 {
            return Err(self.error(format!(
                "a convolution over the axes {:?}, of which the second is not the channels of an image or of tokens",
                view.extents()
            )));
        }
        let plain = ["pads", "strides", "dilations"].into_iter().flat_map(|name| ints(node, name));
        let plain =
            plain.zip([0, 0, 1, 1]).all(|(given, usual)| given == usual) && int(node, "group", 1) == 1;
        let (&[outputs, _, 1], true) = (&weight.shape[..], plain) else {
            return Err(self.error("expected a convolution of one tap over tokens"));
        };
        let bias = if node.input.len() > 2 { Some(self.constant(node, 2)?.clone()) } else { None };
        let place = self.place(node, NodeKind::conv1d(outputs, 1).bias(bias.is_some()).into(), sources);
        self.parameter(place, "weight", weight.shape.clone(), weight.floats.clone());
        if let Some(bias) = bias {
            self.parameter(place, "bias", bias.shape, bias.floats);
        }
        Ok(Value::Signal(vec![place], Form::View(view.with_channels(outputs))))
    }

    fn normalized(&mut self, node: &proto::Node, sources: &[usize], view: &View) -> Result<Value> {
        let axis = int(node, "axis", -1);
        let last = axis == -1 || usize::try_from(axis).is_ok_and(|axis| axis + 1 == view.axes.len());
        if !last || !view.is_channels_last() {
            return Err(self.error("a LayerNormalization over several axes; expected one over the channels"));
        }
        let weight = self.constant(node, 1)?.clone();
        let bias = match node.input.get(2) {
            Some(_) => self.constant(node, 2)?.clone(),
            None => Constant { floats: vec![0.0; weight.floats.len()], ..weight.clone() },
        };
        let epsilon = f64::from(float(node, "epsilon", 1e-5));
        let kind = match view.source.len() {
            1 => NodeKind::LayerNorm { epsilon },
            _ => NodeKind::ChannelLayerNorm { epsilon },
        };
        let place = self.place(node, kind, sources);
        self.parameter(place, "weight", weight.shape, weight.floats);
        self.parameter(place, "bias", bias.shape, bias.floats);
        Ok(Value::Signal(vec![place], Form::View(view.clone())))
    }

    fn mean_of_tokens(
        &mut self,
        node: &proto::Node,
        sources: &[usize],
        view: &View,
        stored: Option<&Value>,
    ) -> Result<Value> {
        let stored = match stored {
            Some(Value::Constant(constant)) => Some(constant.as_ref()),
            _ => None,
        };
        let chosen = axes(node, stored).unwrap_or_default();
        let chosen: Vec<usize> =
            chosen.into_iter().filter_map(|axis| counted(axis, view.axes.len())).collect();
        let channels = view.position_of(0);
        let all = (1..view.axes.len()).all(|axis| (Some(axis) == channels) != chosen.contains(&axis));
        if !all || chosen.contains(&0) || view.source.len() < 2 || !view.is_whole() {
            return Err(self.error(format!("a mean over the axes {chosen:?}; expected all but the channels")));
        }
        let place = self.place(node, NodeKind::GlobalAvgPool, sources);
        let kept = int(node, "keepdims", 1) != 0;
        let axes = view.axes.iter().enumerate().filter(|(axis, _)| kept || !chosen.contains(axis));
        let axes = axes.map(|(axis, runs)| if chosen.contains(&axis) { Vec::new() } else { runs.clone() });
        let mean = View { source: vec![view.source[0]], axes: axes.collect(), offset: 0 };
        self.settled(node, vec![place], Some(mean))
    }
}
