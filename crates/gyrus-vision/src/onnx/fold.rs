//! Operators on constants, computed while a file is read: exporters write shapes as small programs.

use std::rc::Rc;

use super::graph::{Import, Value};
use super::proto::{self, int, ints};
use super::tensor::Constant;
use super::view::asked_extents;
use crate::Result;

/// The most numbers that are computed for one file.
const MOST: usize = 1 << 24;

/// Kinds of numbers, as `onnx.proto` counts them.
const FLOAT: i64 = 1;
const BOOL: i64 = 9;

impl<'a> Import<'a> {
    /// The constant that an operator makes of constants, or the shape of a signal; `None` where it is another operator.
    pub(super) fn fold(&mut self, node: &'a proto::Node) -> Result<Option<Rc<Constant>>> {
        if node.op_type == "Shape" {
            let name = node.input.first().map_or("", String::as_str);
            if let Some(Value::Signal(sources, form)) = self.values.get(name) {
                let mut extents = self.view(sources, form)?.extents();
                // Nothing is left where even the batch was squeezed away.
                if let Some(batch) = extents.first_mut() {
                    *batch = self.batch;
                }
                let (start, end) = (int(node, "start", 0), int(node, "end", i64::MAX));
                let (start, end) = between(start, end, extents.len());
                let whole = extents[start..end].iter().map(|&extent| extent as i64).collect();
                return Ok(Some(Rc::new(of_whole(vec![end - start], whole))));
            }
        }
        let constant = |name: &String| match self.values.get(name.as_str()) {
            Some(Value::Constant(constant)) => Some(Rc::clone(constant)),
            _ => None,
        };
        let given = node.input.iter().filter(|name| !name.is_empty()).map(constant);
        let Some(given) = given.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let Some(x) = given.first() else { return Ok(None) };
        let operand = |index: usize| given.get(index).map(Rc::as_ref);
        let (a, b) = (x.as_ref(), operand(1));
        let result = match node.op_type.as_str() {
            "Identity" => return Ok(Some(Rc::clone(x))),
            "Shape" => {
                let extents = a.shape.iter().map(|&extent| extent as i64).collect();
                Some(of_whole(vec![a.shape.len()], extents))
            }
            "Cast" => cast(a, int(node, "to", FLOAT)),
            "Sqrt" => Some(of_floats(a.shape.clone(), a.floats.iter().map(|x| x.sqrt()).collect())),
            "Neg" => elementwise(a, &number(-1.0), |a, b| a * b),
            "Add" => b.and_then(|b| elementwise(a, b, |a, b| a + b)),
            "Sub" => b.and_then(|b| elementwise(a, b, |a, b| a - b)),
            "Mul" => b.and_then(|b| elementwise(a, b, |a, b| a * b)),
            "Div" => b.and_then(|b| elementwise(a, b, |a, b| a / b)),
            "Equal" => b.and_then(|b| elementwise(a, b, |a, b| f64::from(u8::from(a == b)))).map(into_whole),
            "Where" => b.zip(operand(2)).and_then(|(b, c)| {
                // What the condition leaves out is not a number until the other fills it.
                let condition = of_floats(a.shape.clone(), a.floats.clone());
                let chosen = elementwise(&condition, b, |a, b| if a == 0.0 { f64::NAN } else { b })?;
                let filled = elementwise(&chosen, c, |a, c| if a.is_nan() { c } else { a })?;
                Some(if is_whole(b) && is_whole(c) { into_whole(filled) } else { filled })
            }),
            "ConstantOfShape" => filled(node, self, &a.whole),
            "Expand" => b.and_then(|b| {
                let shape: Option<Vec<usize>> = b.whole.iter().map(|&n| usize::try_from(n).ok()).collect();
                let ones = of_shape(shape?, 1.0)?;
                elementwise(a, &if is_whole(a) { into_whole(ones) } else { ones }, |a, _| a)
            }),
            "Reshape" => b.and_then(|b| reshaped(a, &b.whole)),
            "Flatten" => None,
            "Unsqueeze" => axes(node, b).and_then(|axes| {
                let mut shape = a.shape.clone();
                let rank = shape.len() + axes.len();
                let mut axes: Vec<usize> = axes.iter().filter_map(|&axis| counted(axis, rank)).collect();
                axes.sort_unstable();
                axes.iter().try_for_each(|&at| (at <= shape.len()).then(|| shape.insert(at, 1)))?;
                Some(Constant { shape, ..a.clone() })
            }),
            "Squeeze" => {
                let chosen = axes(node, b);
                let at = |axis: i64| counted(axis, a.shape.len());
                let chosen: Option<Vec<usize>> = chosen.map(|axes| axes.into_iter().filter_map(at).collect());
                let leaves =
                    |axis: usize| a.shape[axis] == 1 && chosen.as_ref().is_none_or(|all| all.contains(&axis));
                let kept = (0..a.shape.len()).filter(|&axis| !leaves(axis)).map(|axis| a.shape[axis]);
                Some(Constant { shape: kept.collect(), ..a.clone() })
            }
            "Concat" if int(node, "axis", 0) == 0 => joined(&given),
            "Gather" if int(node, "axis", 0) == 0 => b.and_then(|b| gathered(a, b)),
            "Slice" => cut(node, a, &given),
            "Transpose" => transposed(a, &ints(node, "perm")),
            _ => return Ok(None),
        };
        let result = result.ok_or_else(|| {
            self.error(format!(
                "{} of constants of the shapes {:?} is not computed",
                node.op_type,
                given.iter().map(|each| &each.shape).collect::<Vec<_>>()
            ))
        })?;
        self.folded += result.floats.len();
        if self.folded > MOST {
            return Err(self.error(format!("more than {MOST} numbers would be computed while reading")));
        }
        Ok(Some(Rc::new(result)))
    }
}

fn is_whole(constant: &Constant) -> bool {
    !constant.whole.is_empty()
}

fn of_whole(shape: Vec<usize>, whole: Vec<i64>) -> Constant {
    Constant { shape, floats: whole.iter().map(|&number| number as f32).collect(), whole }
}

fn of_floats(shape: Vec<usize>, floats: Vec<f32>) -> Constant {
    Constant { shape, floats, whole: Vec::new() }
}

fn into_whole(constant: Constant) -> Constant {
    of_whole(constant.shape, constant.floats.iter().map(|&number| number as i64).collect())
}

fn number(value: f32) -> Constant {
    of_floats(Vec::new(), vec![value])
}

fn of_shape(shape: Vec<usize>, value: f32) -> Option<Constant> {
    let count = shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent));
    let count = count.filter(|count| *count <= MOST)?;
    Some(of_floats(shape, vec![value; count]))
}

/// The axis from 0 on that a number, perhaps counted from behind, means.
pub(super) fn counted(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|axis| *axis < rank)
}

/// A range of an axis, whose ends may be counted from behind or lie beyond it.
pub(super) fn between(start: i64, end: i64, extent: usize) -> (usize, usize) {
    let length = extent as i64;
    let place = |at: i64| (if at < 0 { at.saturating_add(length) } else { at }).clamp(0, length) as usize;
    let (start, end) = (place(start), place(end));
    (start, end.max(start))
}

/// The axes of a setting, or of a second input in later versions.
pub(super) fn axes(node: &proto::Node, input: Option<&Constant>) -> Option<Vec<i64>> {
    match input {
        Some(constant) => Some(constant.whole.clone()),
        None => Some(ints(node, "axes")).filter(|axes| !axes.is_empty()),
    }
}

fn cast(a: &Constant, to: i64) -> Option<Constant> {
    match to {
        FLOAT | 10 | 11 | 16 => Some(of_floats(a.shape.clone(), a.floats.clone())),
        BOOL => Some(of_whole(a.shape.clone(), a.floats.iter().map(|x| i64::from(*x != 0.0)).collect())),
        2..=7 | 12 | 13 if is_whole(a) => Some(a.clone()),
        2..=7 | 12 | 13 => Some(of_whole(a.shape.clone(), a.floats.iter().map(|x| *x as i64).collect())),
        _ => None,
    }
}

/// A function of each pair, where axes of length 1 are repeated; whole numbers stay whole, rounded towards 0.
fn elementwise(a: &Constant, b: &Constant, function: impl Fn(f64, f64) -> f64) -> Option<Constant> {
    let rank = a.shape.len().max(b.shape.len());
    let extent =
        |of: &Constant, axis: usize| (axis + of.shape.len()).checked_sub(rank).map_or(1, |at| of.shape[at]);
    let mut shape = Vec::new();
    for axis in 0..rank {
        shape.push(match (extent(a, axis), extent(b, axis)) {
            (own, other) if own == other => own,
            (1, other) => other,
            (own, 1) => own,
            _ => return None,
        });
    }
    let count = shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent))?;
    if count > MOST {
        return None;
    }
    let number = |of: &Constant, place: usize| {
        let (mut left, mut at, mut step) = (place, 0, 1);
        for axis in (0..rank).rev() {
            let own = extent(of, axis);
            at += if own == 1 { 0 } else { left % shape[axis] * step };
            step *= own;
            left /= shape[axis];
        }
        match of.whole.get(at) {
            Some(&whole) => whole as f64,
            None => f64::from(of.floats[at]),
        }
    };
    let values = (0..count).map(|place| function(number(a, place), number(b, place)));
    let whole =
        is_whole(a) && (is_whole(b) || b.shape.is_empty() && b.floats.iter().all(|x| x.fract() == 0.0));
    Some(match whole {
        true => of_whole(shape.clone(), values.map(|value| value as i64).collect()),
        false => of_floats(shape.clone(), values.map(|value| value as f32).collect()),
    })
}

fn filled(node: &proto::Node, import: &Import<'_>, extents: &[i64]) -> Option<Constant> {
    let shape: Option<Vec<usize>> = extents.iter().map(|&extent| usize::try_from(extent).ok()).collect();
    let value = proto::attribute(node, "value").and_then(|attribute| attribute.t.as_ref());
    let value = value.map(|tensor| Constant::of(import.path, tensor)).transpose().ok()?;
    let filled = of_shape(shape?, value.as_ref().map_or(Some(0.0), |value| value.floats.first().copied())?)?;
    Some(if value.as_ref().is_some_and(is_whole) { into_whole(filled) } else { filled })
}

fn reshaped(a: &Constant, asked: &[i64]) -> Option<Constant> {
    Some(Constant { shape: asked_extents(&a.shape, asked)?, ..a.clone() })
}

fn joined(given: &[Rc<Constant>]) -> Option<Constant> {
    let first = given.first()?;
    let (rest, whole) = (first.shape.get(1..)?, is_whole(first));
    let mut all = Constant { shape: first.shape.clone(), ..Constant::default() };
    all.shape[0] = 0;
    for each in given {
        if each.shape.get(1..)? != rest || is_whole(each) != whole && !each.floats.is_empty() {
            return None;
        }
        all.shape[0] += each.shape[0];
        all.floats.extend(&each.floats);
        all.whole.extend(&each.whole);
    }
    Some(all)
}

fn gathered(a: &Constant, places: &Constant) -> Option<Constant> {
    let (&rows, rest) = a.shape.split_first()?;
    let each: usize = rest.iter().product();
    let mut shape = places.shape.clone();
    shape.extend(rest);
    let places: Option<Vec<usize>> = places.whole.iter().map(|&place| counted(place, rows)).collect();
    let places = places?;
    if places.len().checked_mul(each)? > MOST {
        return None;
    }
    let pick = |all: usize| {
        places.iter().flat_map(move |&row| row * each..(row + 1) * each).filter(move |at| *at < all)
    };
    let floats = pick(a.floats.len()).map(|at| a.floats[at]).collect();
    Some(Constant { shape, floats, whole: pick(a.whole.len()).map(|at| a.whole[at]).collect() })
}

/// Along the only axis.
fn cut(node: &proto::Node, a: &Constant, given: &[Rc<Constant>]) -> Option<Constant> {
    let [extent] = a.shape[..] else { return None };
    let first = |index: usize, name: &str| match given.get(index) {
        Some(constant) => constant.whole.first().copied(),
        None => ints(node, name).first().copied(),
    };
    let step = given.get(4).map_or(Some(1), |steps| steps.whole.first().copied());
    if step? != 1 {
        return None;
    }
    let (start, end) = between(first(1, "starts")?, first(2, "ends")?, extent);
    let whole = a.whole.get(start..end).unwrap_or_default().to_vec();
    Some(Constant { shape: vec![end - start], floats: a.floats[start..end].to_vec(), whole })
}

/// Of a matrix.
fn transposed(a: &Constant, order: &[i64]) -> Option<Constant> {
    let [rows, columns] = a.shape[..] else { return None };
    if !matches!(order, [] | [1, 0]) {
        return None;
    }
    let floats = (0..rows * columns).map(|at| a.floats[at % rows * columns + at / rows]).collect();
    Some(of_floats(vec![columns, rows], floats))
}
