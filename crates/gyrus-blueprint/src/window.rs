//! Convolutions and pools as a blueprint describes them: extents, padding, and their form in TOML (one number if all axes
//! agree, otherwise one number per axis).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::NodeKind;

/// Zero padding of a convolution's input; in TOML `"valid"`, `"same"`, a number, a number per axis, or two numbers per axis,
/// before and behind: `[[0, 1], [0, 1]]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding<const AXES: usize = 2> {
    /// No padding.
    #[default]
    Valid,
    /// Keeps the extents; needs stride 1. If the total is odd, the larger half goes behind the input, as in PyTorch.
    Same,
    /// This many zeros on each of the two sides of an axis.
    Explicit([usize; AXES]),
    /// This many zeros before and behind the input on each axis.
    Sides([[usize; 2]; AXES]),
}

impl<const AXES: usize> Padding<AXES> {
    /// Zeros before and behind the input on each axis, or `None` on overflow.
    pub fn before_and_behind(
        &self,
        kernel: [usize; AXES],
        dilation: [usize; AXES],
    ) -> Option<[(usize, usize); AXES]> {
        let mut sides = [(0, 0); AXES];
        for axis in 0..AXES {
            sides[axis] = match self {
                Self::Valid => (0, 0),
                Self::Explicit(each) => (each[axis], each[axis]),
                Self::Sides(sides) => (sides[axis][0], sides[axis][1]),
                Self::Same => {
                    let total = kernel[axis].saturating_sub(1).checked_mul(dilation[axis])?;
                    (total / 2, total - total / 2)
                }
            };
        }
        Some(sides)
    }
}

impl Padding {
    /// As TensorFlow and ONNX (`SAME_UPPER`) pad an image of these extents so that a stride divides them, rounded up: what an
    /// odd number of zeros leaves over goes behind.
    pub fn same_upper(
        extents: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
    ) -> Self {
        let sides: [[usize; 2]; 2] = std::array::from_fn(|axis| {
            let steps = extents[axis].div_ceil(stride[axis].max(1)).saturating_sub(1);
            let span = kernel[axis].saturating_sub(1).saturating_mul(dilation[axis]).saturating_add(1);
            let total = steps.saturating_mul(stride[axis]).saturating_add(span).saturating_sub(extents[axis]);
            [total / 2, total - total / 2]
        });
        match sides {
            [[above, below], [left, right]] if above == below && left == right => {
                Self::Explicit([above, left])
            }
            _ => Self::Sides(sides),
        }
    }
}

impl<const AXES: usize> From<usize> for Padding<AXES> {
    fn from(each: usize) -> Self {
        Self::Explicit([each; AXES])
    }
}

impl<const AXES: usize> Serialize for Padding<AXES> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Valid => serializer.serialize_str("valid"),
            Self::Same => serializer.serialize_str("same"),
            Self::Explicit(each) => extents::serialize(each, serializer),
            Self::Sides(sides) => sides.as_slice().serialize(serializer),
        }
    }
}

impl<'de, const AXES: usize> Deserialize<'de> for Padding<AXES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const AXES: usize>;
        impl<'de, const AXES: usize> de::Visitor<'de> for Visitor<AXES> {
            type Value = Padding<AXES>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let sides = "an entry may be [before, behind]";
                write!(f, "\"same\", \"valid\" or {}; {sides}", extents::describe(AXES))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "valid" => Ok(Padding::Valid),
                    "same" => Ok(Padding::Same),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, each: i64) -> Result<Self::Value, E> {
                extents::Visitor::<AXES>.visit_i64(each).map(Padding::Explicit)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let mut both = [[0; 2]; AXES];
                let mut pairs = 0;
                for (axis, both) in both.iter_mut().enumerate() {
                    let side: Side =
                        sequence.next_element()?.ok_or_else(|| de::Error::invalid_length(axis, &self))?;
                    (*both, pairs) = match side {
                        Side::Each(each) => ([each; 2], pairs),
                        Side::Two(two) => (two, pairs + 1),
                    };
                }
                if sequence.next_element::<de::IgnoredAny>()?.is_some() {
                    return Err(de::Error::invalid_length(AXES + 1, &self));
                }
                Ok(match pairs {
                    0 => Padding::Explicit(both.map(|[each, _]| each)),
                    _ => Padding::Sides(both),
                })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The padding of one axis.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a whole number, at least 0, or two, before and behind")]
enum Side {
    Each(usize),
    Two([usize; 2]),
}

/// A cross-correlation over `[channels, length]`; converts into [`NodeKind::Conv1d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv1d {
    /// Number of filters.
    pub out_channels: usize,
    /// Filter length.
    pub kernel: usize,
    /// Step between outputs; 1 by default.
    #[serde(default = "one")]
    pub stride: usize,
    /// Zeros around the input; valid (none) by default.
    #[serde(default)]
    pub padding: Padding<1>,
    /// Step between the filter's taps; 1 by default.
    #[serde(default = "one")]
    pub dilation: usize,
    /// Input and output channels are split into this many independent groups; 1 by default.
    #[serde(default = "one")]
    pub groups: usize,
    /// Whether a bias is added to each output channel; true by default.
    #[serde(default = "yes")]
    pub bias: bool,
}

impl Conv1d {
    /// Step between outputs.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Zeros around the input: a number per side, or a [`Padding`].
    pub fn padding(self, padding: impl Into<Padding<1>>) -> Self {
        Self { padding: padding.into(), ..self }
    }

    /// Step between the filter's taps.
    pub fn dilation(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }

    /// Number of groups of channels.
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Whether a bias is added.
    pub fn bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }
}

impl From<Conv1d> for NodeKind {
    fn from(convolution: Conv1d) -> Self {
        Self::Conv1d(convolution)
    }
}

/// A cross-correlation over `[channels, height, width]`; converts into [`NodeKind::Conv2d`]. Pairs are `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Number of filters.
    pub out_channels: usize,
    /// Filter extents.
    #[serde(with = "pair")]
    pub kernel: [usize; 2],
    /// Step between outputs; 1 by default.
    #[serde(with = "pair", default = "ones")]
    pub stride: [usize; 2],
    /// Zeros around the input; valid (none) by default.
    #[serde(default)]
    pub padding: Padding,
    /// Step between the filter's taps; 1 by default.
    #[serde(with = "pair", default = "ones")]
    pub dilation: [usize; 2],
    /// Input and output channels are split into this many independent groups; 1 by default.
    #[serde(default = "one")]
    pub groups: usize,
    /// Whether a bias is added to each output channel; true by default.
    #[serde(default = "yes")]
    pub bias: bool,
}

impl Conv2d {
    /// Step between outputs, the same on both axes.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride: [stride; 2], ..self }
    }

    /// Zeros around the input: a number per side, or a [`Padding`].
    pub fn padding(self, padding: impl Into<Padding>) -> Self {
        Self { padding: padding.into(), ..self }
    }

    /// Step between the filter's taps, the same on both axes.
    pub fn dilation(self, dilation: usize) -> Self {
        Self { dilation: [dilation; 2], ..self }
    }

    /// Number of groups of channels.
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Whether a bias is added.
    pub fn bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }
}

impl From<Conv2d> for NodeKind {
    fn from(convolution: Conv2d) -> Self {
        Self::Conv2d(convolution)
    }
}

/// The windows of a pool over `[channels, height, width]`. Pairs are `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool2d {
    /// Window extents.
    #[serde(with = "pair")]
    pub kernel: [usize; 2],
    /// Step between windows; in TOML the kernel by default.
    #[serde(with = "pair")]
    pub stride: [usize; 2],
    /// Padding on each side, at most half the kernel; 0 by default.
    #[serde(with = "pair", default)]
    pub padding: [usize; 2],
}

impl Pool2d {
    /// Square windows side by side, without overlap or padding.
    pub fn square(kernel: usize) -> Self {
        Self { kernel: [kernel; 2], stride: [kernel; 2], padding: [0; 2] }
    }
}

fn one() -> usize {
    1
}

fn ones() -> [usize; 2] {
    [1; 2]
}

fn yes() -> bool {
    true
}

/// A number per axis; a single number stands for all.
mod extents {
    use serde::{Serialize, Serializer, de};

    pub(super) fn describe(axes: usize) -> String {
        match axes {
            1 => "a whole number, at least 0".to_owned(),
            _ => format!("a whole number, at least 0, or an array of {axes}"),
        }
    }

    pub(super) fn serialize<const AXES: usize, S: Serializer>(
        each: &[usize; AXES],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match each.first() {
            Some(first) if each.iter().all(|extent| extent == first) => first.serialize(serializer),
            _ => each.as_slice().serialize(serializer),
        }
    }

    pub(super) struct Visitor<const AXES: usize>;

    impl<'de, const AXES: usize> de::Visitor<'de> for Visitor<AXES> {
        type Value = [usize; AXES];

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&describe(AXES))
        }

        fn visit_i64<E: de::Error>(self, each: i64) -> Result<Self::Value, E> {
            match usize::try_from(each) {
                Ok(each) => Ok([each; AXES]),
                Err(_) => Err(E::invalid_value(de::Unexpected::Signed(each), &self)),
            }
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            let mut each = [0; AXES];
            for (axis, extent) in each.iter_mut().enumerate() {
                *extent = sequence.next_element()?.ok_or_else(|| de::Error::invalid_length(axis, &self))?;
            }
            match sequence.next_element::<de::IgnoredAny>()? {
                None => Ok(each),
                Some(_) => Err(de::Error::invalid_length(AXES + 1, &self)),
            }
        }
    }
}

/// `[height, width]`, for `#[serde(with = "pair")]`.
pub(crate) mod pair {
    use serde::{Deserializer, Serializer};

    use super::extents;

    pub(crate) fn serialize<S: Serializer>(each: &[usize; 2], serializer: S) -> Result<S::Ok, S::Error> {
        extents::serialize(each, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[usize; 2], D::Error> {
        deserializer.deserialize_any(extents::Visitor)
    }
}
