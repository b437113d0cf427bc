//! The geometry of a node: where the elements of an image lie, and which of them a convolution or a pool reads.
//!
//! Blueprints speak of shapes as PyTorch does, channels first (`[channels, height, width]`); bodies keep activations channels
//! last (`[height, width, channels]`). This module translates between the two, once for all bodies, as plain data:
//! `[channels, length]` is an image of height 1, and `[features]` are one pixel. The difference shows at a Flatten: it turns an
//! image into features in the blueprint's order, so channels-last elements have to move.
//!
//! All functions expect shapes inferred, and so checked, by [`Blueprint::shapes`](crate::Blueprint::shapes).

use crate::{Conv1d, Conv2d, NodeKind, Padding, Pool2d, Shape};

/// The extents of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Number of rows; 1 for `[channels, length]` and `[features]`.
    pub height: usize,
    /// Number of columns; 1 for `[features]`.
    pub width: usize,
    /// Number of channels, or of features.
    pub channels: usize,
}

impl Image {
    /// The image of a blueprint's shape. Shapes of other ranks than 1 to 3 count as features.
    #[must_use]
    pub fn of(shape: &Shape) -> Self {
        let [height, width, channels] = match shape[..] {
            [channels, height, width] => [height, width, channels],
            [channels, length] => [1, length, channels],
            _ => [1, 1, shape.iter().product()],
        };
        Self { height, width, channels }
    }

    /// Height times width.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// The channels-first place of the element that lies at `place` channels-last.
    #[must_use]
    pub fn channels_first_place(&self, place: usize) -> usize {
        place % self.channels * self.pixels() + place / self.channels
    }

    /// A channels-first row, channels-last. A row of another length, such as a single value for all, stays as it is.
    #[must_use]
    pub fn channels_last(&self, channels_first: &[f32]) -> Vec<f32> {
        if channels_first.len() != self.pixels() * self.channels {
            return channels_first.to_vec();
        }
        (0..channels_first.len()).map(|place| channels_first[self.channels_first_place(place)]).collect()
    }

    /// A channels-last row, channels-first: the inverse of [`Image::channels_last`].
    #[must_use]
    pub fn channels_first(&self, channels_last: &[f32]) -> Vec<f32> {
        let pixels = self.pixels();
        if channels_last.len() != pixels * self.channels {
            return channels_last.to_vec();
        }
        let place = |first: usize| first % pixels * self.channels + first / pixels;
        (0..channels_last.len()).map(|first| channels_last[place(first)]).collect()
    }
}

/// A convolution over an image. Pairs are `[height, width]`; a [`Conv1d`] has a height of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionGeometry {
    /// The image that it reads.
    pub input: Image,
    /// Number of filters.
    pub outputs: usize,
    /// Filter extents.
    pub kernel: [usize; 2],
    /// Step between outputs.
    pub stride: [usize; 2],
    /// Zeros around the image: above, below, left, right.
    pub padding: [usize; 4],
    /// Step between the filter's taps.
    pub dilation: [usize; 2],
    /// Independent groups of channels.
    pub groups: usize,
}

impl Conv1d {
    /// Its geometry over `[channels, length]`.
    #[must_use]
    pub fn geometry(&self, input: &Shape) -> ConvolutionGeometry {
        let [(left, right)] = sides(&self.padding, [self.kernel], [self.dilation]);
        ConvolutionGeometry {
            input: Image::of(input),
            outputs: self.out_channels,
            kernel: [1, self.kernel],
            stride: [1, self.stride],
            padding: [0, 0, left, right],
            dilation: [1, self.dilation],
            groups: self.groups,
        }
    }
}

impl Conv2d {
    /// Its geometry over `[channels, height, width]`.
    #[must_use]
    pub fn geometry(&self, input: &Shape) -> ConvolutionGeometry {
        let [(above, below), (left, right)] = sides(&self.padding, self.kernel, self.dilation);
        ConvolutionGeometry {
            input: Image::of(input),
            outputs: self.out_channels,
            kernel: self.kernel,
            stride: self.stride,
            padding: [above, below, left, right],
            dilation: self.dilation,
            groups: self.groups,
        }
    }
}

/// Padding of each axis; inference has checked that it does not overflow.
fn sides<const AXES: usize>(
    padding: &Padding<AXES>,
    kernel: [usize; AXES],
    dilation: [usize; AXES],
) -> [(usize, usize); AXES] {
    padding.before_and_behind(kernel, dilation).unwrap_or([(0, 0); AXES])
}

/// The windows of a pool over an image. Pairs are `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolGeometry {
    /// The image that it reads.
    pub input: Image,
    /// Window extents.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Padding around the image: above, below, left, right.
    pub padding: [usize; 4],
}

impl PoolGeometry {
    /// One window over all of an image: [`NodeKind::GlobalAvgPool`].
    #[must_use]
    pub fn whole(input: &Shape) -> Self {
        let input = Image::of(input);
        Self { input, kernel: [input.height, input.width], stride: [1; 2], padding: [0; 4] }
    }

    /// Turns the sum over a window into its mean; padding counts as elements.
    #[must_use]
    pub fn mean_factor(&self) -> f32 {
        1.0 / (self.kernel[0] * self.kernel[1]) as f32
    }
}

impl Pool2d {
    /// Its geometry over `[channels, height, width]`.
    #[must_use]
    pub fn geometry(&self, input: &Shape) -> PoolGeometry {
        let [rows, columns] = self.padding;
        PoolGeometry {
            input: Image::of(input),
            kernel: self.kernel,
            stride: self.stride,
            padding: [rows, rows, columns, columns],
        }
    }
}

/// What a Flatten does to elements that lie channels-last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flattening {
    /// Nothing: both orders are the same, or channels stay an axis of their own.
    None,
    /// Brings them into the blueprint's order, channels-first.
    ChannelsFirst,
}

impl Flattening {
    /// Why a body refuses a Flatten for which [`Flattening::of`] returns `None`.
    pub const REFUSAL: &'static str = "flatten all axes, or only those behind the channels";

    /// What joining `start_axis..=end_axis` (by default up to the last) does to an image. `None` if it joins channels with
    /// only some of the other axes: the result has no channels-last form.
    #[must_use]
    pub fn of(start_axis: usize, end_axis: Option<usize>, input: &Shape) -> Option<Self> {
        let last = input.len() - 1;
        let end = end_axis.unwrap_or(last);
        let image = Image::of(input);
        let same_order = start_axis == end || image.pixels() == 1 || image.channels == 1 || input.len() == 1;
        if same_order || start_axis > 0 {
            Some(Self::None)
        } else {
            (end == last).then_some(Self::ChannelsFirst)
        }
    }
}

/// Multiplication of a node's input with a `weight`, one row per output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// Connects every input with every output.
    Linear {
        /// Input features.
        inputs: usize,
        /// Output features.
        outputs: usize,
    },
    /// Applies the same filters at every position.
    Convolution(ConvolutionGeometry),
}

impl Weights {
    /// Rows of the weight: output features or channels.
    #[must_use]
    pub fn outputs(&self) -> usize {
        match self {
            Self::Linear { outputs, .. } => *outputs,
            Self::Convolution(geometry) => geometry.outputs,
        }
    }
}

impl NodeKind {
    /// How a node of this kind multiplies its input; `None` for kinds without a weight matrix.
    #[must_use]
    pub fn weights(&self, input: &Shape) -> Option<Weights> {
        match self {
            Self::Affine { out_features } | Self::Linear { out_features } => {
                Some(Weights::Linear { inputs: input.iter().product(), outputs: *out_features })
            }
            Self::Conv1d(convolution) => Some(Weights::Convolution(convolution.geometry(input))),
            Self::Conv2d(convolution) => Some(Weights::Convolution(convolution.geometry(input))),
            Self::Input { .. }
            | Self::Output
            | Self::Scale
            | Self::SumPool2d(_)
            | Self::AvgPool2d(_)
            | Self::MaxPool2d(_)
            | Self::CountMaxPool2d(_)
            | Self::GlobalAvgPool
            | Self::Flatten { .. }
            | Self::Delay { .. }
            | Self::Threshold { .. }
            | Self::I { .. }
            | Self::IF { .. }
            | Self::LI { .. }
            | Self::LIF { .. }
            | Self::CubaLI { .. }
            | Self::CubaLIF { .. }
            | Self::AdaptiveLIF { .. }
            | Self::SignedIF { .. }
            | Self::ReLU
            | Self::QuantizedReLU { .. }
            | Self::GELU
            | Self::SiLU
            | Self::ReLU6
            | Self::Hardswish
            | Self::QuickGELU
            | Self::TanhGELU
            | Self::Add
            | Self::Multiply
            | Self::LayerScale
            | Self::ChannelLayerNorm { .. }
            | Self::ClassToken
            | Self::PositionEmbedding
            | Self::SelectToken { .. }
            | Self::SelfAttention { .. }
            | Self::Sigmoid
            | Self::Tanh
            | Self::Softmax { .. }
            | Self::BatchNorm { .. }
            | Self::LayerNorm { .. }
            | Self::Dropout { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_move_and_come_back() {
        let image = Image::of(&Shape::from([2, 1, 3]));
        assert_eq!(image, Image { height: 1, width: 3, channels: 2 });
        let first = [0.0, 1.0, 2.0, 10.0, 11.0, 12.0];
        let last = image.channels_last(&first);
        assert_eq!(last, [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]);
        assert_eq!(image.channels_first(&last), first);
        assert_eq!(image.channels_last(&[7.0]), [7.0]);
    }

    #[test]
    fn a_length_is_an_image_of_height_one() {
        let geometry =
            NodeKind::conv1d(4, 3).padding(Padding::Same).dilation(2).geometry(&Shape::from([2, 9]));
        assert_eq!(geometry.input, Image { height: 1, width: 9, channels: 2 });
        assert_eq!((geometry.kernel, geometry.dilation), ([1, 3], [1, 2]));
        assert_eq!(geometry.padding, [0, 0, 2, 2]);
    }

    #[test]
    fn a_flatten_moves_elements_only_where_the_orders_differ() {
        let flatten = |start, end, shape: &[usize]| Flattening::of(start, end, &Shape::from(shape.to_vec()));
        assert_eq!(flatten(0, None, &[3, 4, 5]), Some(Flattening::ChannelsFirst));
        assert_eq!(flatten(0, None, &[3, 4]), Some(Flattening::ChannelsFirst));
        assert_eq!(flatten(0, None, &[3, 1, 1]), Some(Flattening::None));
        assert_eq!(flatten(0, None, &[1, 4, 5]), Some(Flattening::None));
        assert_eq!(flatten(1, None, &[3, 4, 5]), Some(Flattening::None));
        assert_eq!(flatten(0, Some(1), &[3, 4, 5]), None);
    }
}
