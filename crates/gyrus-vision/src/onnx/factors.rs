//! Products with numbers: scales of attention, factors by channel, and GELU written out with the error function.

use gyrus_blueprint::NodeKind;

use super::graph::{Form, Import, Value};
use super::proto;
use crate::Result;

/// How far a stored factor may be from the number that it stands for, as a share.
const NEAR: f32 = 1e-3;

pub(super) fn near(value: f32, expected: f32) -> bool {
    (value / expected - 1.0).abs() < NEAR
}

impl Import<'_> {
    /// Products with numbers, and the steps of GELU; `None` for what another rule reads.
    pub(super) fn product(&mut self, node: &proto::Node, a: Value, b: Value) -> Result<Option<Value>> {
        let divides = node.op_type == "Div";
        let (value, other) = match (a, b) {
            (constant @ Value::Constant(_), value) if !divides => (value, constant),
            (value, other) => (value, other),
        };
        let single = match &other {
            Value::Constant(constant)
                if constant.floats.len() == 1 && constant.shape.iter().all(|n| *n == 1) =>
            {
                Some(if divides { constant.floats[0].recip() } else { constant.floats[0] })
            }
            _ => None,
        };
        Ok(Some(match (value, other, single) {
            (Value::Scores(scores), _, Some(factor)) => Value::Scores(scores.scaled(factor)),
            (Value::Scaled(sources, form, before), _, Some(factor)) => {
                Value::Scaled(sources, form, before * factor)
            }
            (Value::Gate { sources, form, factor, times_input }, _, Some(more)) => {
                self.gelu(node, sources, form, (factor * more, times_input))
            }
            (Value::Signal(sources, form), Value::Constant(constant), Some(factor)) => {
                // One channel has one factor of its own.
                match constant.shape.is_empty() || matches!(form, Form::View(_)) {
                    true => Value::Scaled(sources, form, factor),
                    false => return Ok(None),
                }
            }
            (Value::Signal(sources, Form::View(view)), Value::Constant(scale), _) if !divides => {
                let shape: Vec<usize> =
                    scale.shape.iter().copied().skip_while(|extent| *extent == 1).collect();
                let behind = view.axes.len().checked_sub(shape.len());
                let aligned = shape.first() == view.source.first()
                    && shape.iter().skip(1).all(|extent| *extent == 1)
                    && view.position_of(0).is_some()
                    && view.position_of(0) == behind;
                if !aligned || !view.is_whole() {
                    return Err(self.error(format!(
                        "a constant of the shape {:?} is multiplied; expected one factor for each channel",
                        scale.shape
                    )));
                }
                let place = self.place(node, NodeKind::LayerScale, &sources);
                self.parameter(place, "scale", vec![scale.floats.len()], scale.floats.clone());
                Value::Signal(vec![place], Form::View(view))
            }
            (Value::Signal(x, of), Value::Gate { sources, form, factor, times_input: false }, _)
            | (Value::Gate { sources, form, factor, times_input: false }, Value::Signal(x, of), _)
                if !divides && x == sources && of == form =>
            {
                self.gelu(node, sources, form, (factor, true))
            }
            (Value::Scaled(x, of, half), Value::Gate { sources, form, factor, times_input: false }, _)
            | (Value::Gate { sources, form, factor, times_input: false }, Value::Scaled(x, of, half), _)
                if !divides && x == sources && of == form =>
            {
                self.gelu(node, sources, form, (factor * half, true))
            }
            (Value::Signal(x, of), Value::QuickGate(sources, form), _)
            | (Value::QuickGate(sources, form), Value::Signal(x, of), _)
                if !divides && x == sources && of == form =>
            {
                Value::Signal(vec![self.place(node, NodeKind::QuickGELU, &sources)], form)
            }
            _ => return Ok(None),
        }))
    }

    /// `factor` (1 + erf(x / √2)), times x or not yet: GELU, once it is whole.
    fn gelu(
        &mut self,
        node: &proto::Node,
        sources: Vec<usize>,
        form: Form,
        (factor, times_input): (f32, bool),
    ) -> Value {
        if times_input && near(factor, 0.5) {
            return Value::Signal(vec![self.place(node, NodeKind::GELU, &sources)], form);
        }
        Value::Gate { sources, form, factor, times_input }
    }
}
