//! The shape of a convolution, and the places that the elements of its kernel read.

/// The shape of a convolution. All sizes in pixels or channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Images.
    pub batch: usize,
    /// Height of the input.
    pub height: usize,
    /// Width of the input.
    pub width: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Steps down and across.
    pub stride: [usize; 2],
    /// Zeros added at the top, bottom, left and right.
    pub padding: [usize; 4],
    /// Distance between kernel elements, down and across; 1 is a dense kernel.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other; as many as `channels` make a depthwise convolution.
    pub groups: usize,
}

impl Convolution {
    /// Height and width of the output.
    ///
    /// # Panics
    /// If the kernel does not fit into the padded input, or the groups do not divide the channels.
    pub fn output_size(&self) -> [usize; 2] {
        let span = self.span();
        let padded =
            [self.height + self.padding[0] + self.padding[1], self.width + self.padding[2] + self.padding[3]];
        assert!(span[0] <= padded[0] && span[1] <= padded[1], "the kernel is larger than the padded input");
        assert!(
            self.channels.is_multiple_of(self.groups) && self.outputs.is_multiple_of(self.groups),
            "groups divide the input and output channels"
        );
        [(padded[0] - span[0]) / self.stride[0] + 1, (padded[1] - span[1]) / self.stride[1] + 1]
    }

    /// Floats in the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.height * self.width * self.channels
    }

    /// Floats in the output.
    pub fn output_len(&self) -> usize {
        let [height, width] = self.output_size();
        self.batch * height * width * self.outputs
    }

    /// Floats in the weight.
    pub fn weight_len(&self) -> usize {
        self.outputs * self.group_channels() * self.taps()
    }

    /// Input pixels spanned by the dilated kernel.
    fn span(&self) -> [usize; 2] {
        core::array::from_fn(|axis| (self.kernel[axis] - 1) * self.dilation[axis] + 1)
    }

    pub(crate) fn group_channels(&self) -> usize {
        self.channels / self.groups
    }

    pub(crate) fn group_outputs(&self) -> usize {
        self.outputs / self.groups
    }

    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    pub(crate) fn padded_width(&self) -> usize {
        self.width + self.padding[2] + self.padding[3]
    }

    /// Depthwise with one output per channel: too narrow for the register tile, so it has its own loops.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups == self.channels && self.outputs == self.channels && self.channels > 1
    }

    /// One product for each pixel: a matrix product whose rows are pixels.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0; 4] && self.groups == 1
    }

    /// Rows of the padded input under output rows `first .. first + count`.
    pub(crate) fn rows_under(&self, first: usize, count: usize) -> core::ops::Range<usize> {
        let top = first * self.stride[0];
        top..top + (count - 1) * self.stride[0] + self.span()[0]
    }

    /// Kernel elements in memory order, each with its offset in the padded image and its index in the kernel.
    pub(crate) fn forward_taps(&self) -> Vec<Tap> {
        let mut taps = Vec::with_capacity(self.taps());
        for u in 0..self.kernel[0] {
            for v in 0..self.kernel[1] {
                let pixel = u * self.dilation[0] * self.padded_width() + v * self.dilation[1];
                taps.push(Tap { offset: pixel * self.channels, kernel: u * self.kernel[1] + v });
            }
        }
        taps
    }

    pub(crate) fn check(&self, x: &[f32], weight: &[f32], y: &[f32]) {
        assert_eq!(x.len(), self.input_len(), "x is [batch, height, width, channels]");
        assert_eq!(weight.len(), self.weight_len(), "weight is [outputs, channels / groups, kernel, kernel]");
        assert_eq!(y.len(), self.output_len(), "y is [batch, out_height, out_width, outputs]");
    }
}

/// One kernel element: its offset in floats from the pixel's pointer, and its index in the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Tap {
    pub(crate) offset: usize,
    pub(crate) kernel: usize,
}

/// Joins taps whose channels are contiguous in memory into longer runs; all runs are equally long.
pub(crate) fn join_runs(taps: &[Tap], channels: usize, group_channels: usize) -> (Vec<usize>, usize) {
    let single = || (taps.iter().map(|tap| tap.offset).collect(), group_channels);
    if group_channels != channels || taps.is_empty() {
        return single();
    }
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for tap in taps {
        match joined.last_mut() {
            Some((offset, length)) if *offset + *length == tap.offset => *length += channels,
            _ => joined.push((tap.offset, channels)),
        }
    }
    if joined.iter().all(|run| run.1 == joined[0].1) {
        let length = joined[0].1;
        (joined.into_iter().map(|run| run.0).collect(), length)
    } else {
        single()
    }
}
