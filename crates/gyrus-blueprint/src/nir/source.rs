//! Access to the fields of one node of a file, by name; every error names the node and the field.

use crate::neuron::Array;
use crate::{Error, Padding, Result};

use super::hdf5::{Data, Field, Tree};

/// A node being read. Arrays are moved out of it, not copied.
pub(super) struct Source<'a> {
    pub(super) node: &'a str,
    pub(super) kind: &'a str,
    pub(super) tree: Tree,
}

/// Numbers of a field in double precision.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f64>,
}

impl Source<'_> {
    pub(super) fn wrong(&self, field: &str, got: impl Into<String>, expected: impl Into<String>) -> Error {
        Error::NirField {
            node: self.node.to_owned(),
            kind: self.kind.into(),
            field: field.into(),
            got: got.into(),
            expected: expected.into(),
        }
    }

    pub(super) fn missing(&self, field: &str, expected: &'static str) -> Error {
        Error::NirFieldMissing {
            node: self.node.to_owned(),
            kind: self.kind.to_owned(),
            field: field.to_owned(),
            expected,
        }
    }

    /// Finite numbers, if the field exists. A single-precision number becomes the double with the same decimal form: 0.1,
    /// not 0.10000000149.
    pub(super) fn numbers(&mut self, field: &str) -> Result<Option<Numbers>> {
        let Some(Field { shape, data }) = self.tree.fields.remove(field) else { return Ok(None) };
        self.finite(field, shape, data).map(Some)
    }

    /// Finite numbers of the node's metadata.
    pub(super) fn metadata_numbers(&mut self, name: &str) -> Result<Option<Numbers>> {
        let found = self.tree.groups.get_mut("metadata").and_then(|metadata| metadata.fields.remove(name));
        let Some(Field { shape, data }) = found else { return Ok(None) };
        self.finite(&format!("metadata/{name}"), shape, data).map(Some)
    }

    fn finite(&self, field: &str, shape: Vec<usize>, data: Data) -> Result<Numbers> {
        let values: Vec<f64> = match data {
            Data::Single(values) => values.into_iter().map(in_decimal).collect(),
            Data::Double(values) => values,
            Data::Whole(values) => values.into_iter().map(|value| value as f64).collect(),
            Data::Text(_) => return Err(self.wrong(field, "text", "numbers")),
        };
        if values.is_empty() {
            return Err(self.wrong(field, "an empty array", "numbers"));
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(Numbers { shape, values }),
            Some(at) => Err(self.wrong(field, at_text(values[at], at), "finite numbers")),
        }
    }

    /// An array of single-precision weights, perhaps of a given rank.
    pub(super) fn weights(
        &mut self,
        field: &str,
        rank: Option<usize>,
        expected: &'static str,
    ) -> Result<Array> {
        let Some(Field { shape, data }) = self.tree.fields.remove(field) else {
            return Err(self.missing(field, expected));
        };
        let values: Vec<f32> = match data {
            Data::Single(values) => values,
            Data::Double(values) => values.into_iter().map(|value| value as f32).collect(),
            Data::Whole(values) => values.into_iter().map(|value| value as f32).collect(),
            Data::Text(_) => return Err(self.wrong(field, "text", expected)),
        };
        if rank.is_some_and(|rank| rank != shape.len()) || values.is_empty() {
            return Err(self.wrong(field, format!("an array of shape {shape:?}"), expected));
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(Array { shape, values }),
            Some(at) => {
                Err(self.wrong(field, at_text(f64::from(values[at]), at), "finite single-precision numbers"))
            }
        }
    }

    /// Whole numbers, if the field exists.
    pub(super) fn wholes(&mut self, field: &str) -> Result<Option<Vec<i64>>> {
        match self.tree.fields.remove(field) {
            None => Ok(None),
            Some(Field { data: Data::Whole(values), .. }) => Ok(Some(values)),
            Some(_) => Err(self.wrong(field, "not a whole number", "whole numbers")),
        }
    }

    /// One whole number.
    pub(super) fn whole(&mut self, field: &str) -> Result<Option<i64>> {
        match self.wholes(field)?.as_deref() {
            None => Ok(None),
            Some(&[value]) => Ok(Some(value)),
            Some(more) => Err(self.wrong(field, format!("{} numbers", more.len()), "one whole number")),
        }
    }

    /// A shape, if the field exists.
    pub(super) fn shape(&mut self, field: &str) -> Result<Option<Vec<usize>>> {
        let Some(values) = self.wholes(field)? else { return Ok(None) };
        let shape: Option<Vec<usize>> = values.iter().map(|&value| usize::try_from(value).ok()).collect();
        let shape =
            shape.ok_or_else(|| self.wrong(field, format!("{values:?}"), "a shape without negatives"))?;
        Ok(Some(shape))
    }

    /// A number per axis; a single number applies to all.
    pub(super) fn extents<const AXES: usize>(&mut self, field: &str) -> Result<[usize; AXES]> {
        let values = self.shape(field)?.ok_or_else(|| self.missing(field, "a whole number per axis"))?;
        self.each_axis(field, &values)
    }

    fn each_axis<const AXES: usize>(&self, field: &str, values: &[usize]) -> Result<[usize; AXES]> {
        match *values {
            [all] => Ok([all; AXES]),
            _ => values.try_into().map_err(|_| {
                self.wrong(field, format!("{} numbers", values.len()), format!("1 or {AXES} whole numbers"))
            }),
        }
    }

    /// The padding of a convolution.
    pub(super) fn padding<const AXES: usize>(&mut self) -> Result<Padding<AXES>> {
        let field = "padding";
        if matches!(self.tree.fields.get(field), Some(Field { data: Data::Text(_), .. }))
            && let Some(Field { data: Data::Text(texts), .. }) = self.tree.fields.remove(field)
        {
            return match texts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["same"] => Ok(Padding::Same),
                ["valid"] => Ok(Padding::Valid),
                _ => Err(self.wrong(field, format!("{texts:?}"), "\"same\", \"valid\" or whole numbers")),
            };
        }
        self.extents(field).map(Padding::Explicit)
    }

    /// A string of the node's metadata.
    pub(super) fn metadata_text(&self, name: &str) -> Result<Option<String>> {
        let found = self.tree.groups.get("metadata").and_then(|metadata| metadata.fields.get(name));
        match found.map(|field| &field.data) {
            None => Ok(None),
            Some(Data::Text(texts)) if texts.len() == 1 => Ok(Some(texts[0].clone())),
            Some(_) => Err(self.wrong(&format!("metadata/{name}"), "not a string", "one string")),
        }
    }
}

fn at_text(value: f64, at: usize) -> String {
    format!("{value} at index {at}")
}

/// The double with the same decimal form as this single.
pub(super) fn in_decimal(value: f32) -> f64 {
    // The `Display` form of a float always parses.
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

/// The number times 10^`powers`, computed by moving its decimal point: 2.5 ms become 0.0025 s, and back, without rounding.
pub(super) fn shifted(value: f64, powers: i32) -> f64 {
    let text = format!("{value:e}");
    let moved = text.split_once('e').and_then(|(digits, exponent)| {
        let exponent: i32 = exponent.parse().ok()?;
        format!("{digits}e{}", exponent + powers).parse().ok()
    });
    moved.unwrap_or_else(|| value * 10f64.powi(powers))
}
