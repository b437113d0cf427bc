//! Attention over tokens, put together again from its products: softmax(Q Kᵀ / √d) V for all heads at once.

use gyrus_blueprint::NodeKind;

use super::graph::{Form, Import, Value};
use super::proto::{self, int, ints};
use super::view::{Role, Run, View};
use crate::Result;

/// Queries, keys or values: some channels of a signal over tokens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    sources: Vec<usize>,
    source: Vec<usize>,
    offset: usize,
    /// Channels of all heads, and of one.
    width: usize,
    head_width: usize,
}

/// An axis of the products of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Axis {
    One,
    Head,
    Query,
    Key,
}

/// Products of queries and keys; behind the softmax, the shares in which values are summed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scores {
    query: Part,
    key: Part,
    axes: Vec<Axis>,
    scale: f32,
    shares: bool,
}

impl Scores {
    pub(super) fn scaled(mut self, factor: f32) -> Self {
        // Behind the softmax, a factor is part of no attention that is known; the check of the scale finds it.
        self.scale *= if self.shares { f32::NAN } else { factor };
        self
    }
}

impl<'a> Import<'a> {
    /// A product of two signals: queries with keys, or shares with values.
    pub(super) fn attention_product(&mut self, node: &proto::Node, a: Value, b: Value) -> Result<Value> {
        let plain = |value: Value| match value {
            Value::Signal(sources, Form::View(view)) => Some((sources, view, 1.0)),
            Value::Scaled(sources, Form::View(view), factor) => Some((sources, view, factor)),
            _ => None,
        };
        match (a, b) {
            (Value::Scores(shares), b) => {
                let (values, [.., Axis::Query, Axis::Key], true) =
                    (plain(b), &shares.axes[..], shares.shares)
                else {
                    return Err(self.no_attention());
                };
                self.attended(node, &shares, values, false)
            }
            (a, Value::Scores(shares)) => {
                let (values, [.., Axis::Key, Axis::Query], true) =
                    (plain(a), &shares.axes[..], shares.shares)
                else {
                    return Err(self.no_attention());
                };
                self.attended(node, &shares, values, true)
            }
            (a, b) => {
                let (Some((rows, first, one)), Some((columns, second, other))) = (plain(a), plain(b)) else {
                    return Err(self
                        .error("a product of two signals outside of attention has no form in a blueprint"));
                };
                let (Some(query), Some(key)) = (part(rows, &first), part(columns, &second)) else {
                    return Err(self.no_attention());
                };
                let (own, others) = (first.roles(), second.roles());
                let lead =
                    match (own.as_ref().map(|own| &own.0[..]), others.as_ref().map(|other| &other.0[..])) {
                        (
                            Some([lead @ .., Role::Token, Role::Width]),
                            Some([same @ .., Role::Width, Role::Token]),
                        ) if lead == same
                            && (query.width, query.head_width) == (key.width, key.head_width) =>
                        {
                            lead
                        }
                        _ => return Err(self.no_attention()),
                    };
                let mut axes: Vec<Axis> = lead
                    .iter()
                    .map(|role| if *role == Role::Head { Axis::Head } else { Axis::One })
                    .collect();
                axes.extend([Axis::Query, Axis::Key]);
                Ok(Value::Scores(Scores { query, key, axes, scale: one * other, shares: false }))
            }
        }
    }

    /// A softmax or a transposition of the products.
    pub(super) fn turned_scores(&mut self, node: &proto::Node, mut scores: Scores) -> Result<Value> {
        let rank = scores.axes.len();
        if node.op_type == "Transpose" {
            let order: Option<Vec<Axis>> = ints(node, "perm")
                .into_iter()
                .map(|old| scores.axes.get(usize::try_from(old).ok()?).copied())
                .collect();
            let kinds = |axes: &[Axis]| {
                [Axis::Query, Axis::Key, Axis::Head]
                    .map(|kind| axes.iter().filter(|axis| **axis == kind).count())
            };
            let order = order.filter(|order| order.len() == rank && kinds(order) == kinds(&scores.axes));
            scores.axes = order.ok_or_else(|| self.no_attention())?;
            return Ok(Value::Scores(scores));
        }
        let axis = int(node, "axis", -1);
        let last = axis == -1 || usize::try_from(axis).is_ok_and(|axis| axis + 1 == rank);
        match scores.axes.last() {
            Some(Axis::Key) if last && !scores.shares => {}
            Some(Axis::Query) if last && !scores.shares => {
                // Keys stood first in the product.
                std::mem::swap(&mut scores.query, &mut scores.key);
                for axis in &mut scores.axes {
                    *axis = match *axis {
                        Axis::Query => Axis::Key,
                        Axis::Key => Axis::Query,
                        other => other,
                    };
                }
            }
            _ => return Err(self.no_attention()),
        }
        scores.shares = true;
        Ok(Value::Scores(scores))
    }

    fn no_attention(&self) -> crate::Error {
        self.error("its products are not put together as attention over tokens, softmax(Q K / sqrt(width of a head)) V")
    }

    /// The values of each token, summed in the shares; `turned` where tokens are the last axis.
    fn attended(
        &mut self,
        node: &proto::Node,
        shares: &Scores,
        values: Option<(Vec<usize>, View, f32)>,
        turned: bool,
    ) -> Result<Value> {
        let Some((sources, view, 1.0)) = values else { return Err(self.no_attention()) };
        let (Some(value), Some((roles, ..))) = (part(sources, &view), view.roles()) else {
            return Err(self.no_attention());
        };
        let ends = match turned {
            true => [Role::Width, Role::Token],
            false => [Role::Token, Role::Width],
        };
        let of = |axis: &Axis| if *axis == Axis::Head { Role::Head } else { Role::One };
        let lead = shares.axes[..shares.axes.len() - 2].iter().map(of);
        let (width, head_width) = (value.width, value.head_width);
        let parts = [&shares.query, &shares.key, &value];
        let alike = parts.iter().all(|part| {
            (part.width, part.head_width, part.source[1]) == (width, head_width, value.source[1])
        });
        let scale = shares.scale * (head_width as f32).sqrt();
        if !alike
            || !lead.chain(ends).eq(roles.iter().copied())
            || scale.is_nan()
            || (scale - 1.0).abs() >= 1e-3
        {
            return Err(self.no_attention());
        }
        let heads = width / head_width;
        let joined = self.joined(node, parts)?;
        let place = self.place(node, NodeKind::SelfAttention { heads }, &joined);
        let tokens = value.source[1];
        let axes = roles.iter().map(|role| match role {
            Role::One => Vec::new(),
            Role::Head => vec![Run { axis: 0, stride: head_width, extent: heads }],
            Role::Width => vec![Run { axis: 0, stride: 1, extent: head_width }],
            Role::Token => vec![Run { axis: 1, stride: 1, extent: tokens }],
        });
        let view = View { source: vec![width, tokens], axes: axes.collect(), offset: 0 };
        Ok(Value::Signal(vec![place], Form::View(view)))
    }

    /// The node that gives queries, keys and values below each other: the one that they are cut from, or one made of three.
    fn joined(&mut self, node: &proto::Node, parts: [&Part; 3]) -> Result<Vec<usize>> {
        let width = parts[0].width;
        let same = parts.iter().all(|part| part.sources == parts[0].sources && part.source[0] == 3 * width);
        if same && parts.map(|part| part.offset) == [0, width, 2 * width] {
            return Ok(parts[0].sources.clone());
        }
        let mut from: Vec<Vec<usize>> = Vec::new();
        let (mut weights, mut biases, mut inputs) = (Vec::new(), Vec::new(), 0);
        for part in parts {
            let ([place], NodeKind::Conv1d(conv)) = (&part.sources[..], &self.nodes[part.sources[0]].kind)
            else {
                return Err(self.no_attention());
            };
            let parameter = |name: &str| self.parameters.get(&format!("{}.{name}", self.nodes[*place].name));
            let plain = *conv == NodeKind::conv1d(width, 1).bias(conv.bias);
            let Some(weight) =
                parameter("weight").filter(|_| plain && part.offset == 0 && part.source[0] == width)
            else {
                return Err(self.no_attention());
            };
            inputs = weight.values.len() / width;
            weights.extend_from_slice(&weight.values);
            match parameter("bias") {
                Some(bias) if conv.bias => biases.extend_from_slice(&bias.values),
                // Some have a bias for queries and values alone.
                _ => biases.resize(biases.len() + width, 0.0),
            }
            from.push(self.sources_of(*place));
        }
        if from.iter().any(|sources| *sources != from[0])
            || weights.len() != 3 * width * inputs
            || biases.len() != 3 * width
        {
            return Err(self.no_attention());
        }
        let place = self.place(node, NodeKind::conv1d(3 * width, 1).into(), &from[0]);
        let (name, query) = ("qkv", self.nodes[parts[0].sources[0]].name.clone());
        let beside = query.rsplit_once('.').map(|(before, _)| format!("{before}.{name}"));
        self.rename(place, beside.as_deref());
        self.parameter(place, "weight", vec![3 * width, inputs, 1], weights);
        self.parameter(place, "bias", vec![3 * width], biases);
        Ok(vec![place])
    }
}

fn part(sources: Vec<usize>, view: &View) -> Option<Part> {
    let (_, width, head_width) = view.roles()?;
    let source = view.source.clone();
    (!sources.is_empty()).then_some(Part { sources, source, offset: view.offset, width, head_width })
}
