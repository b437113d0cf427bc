//! The formats of weights.

/// How the weights of a matrix are stored; the names are ggml's.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// The upper half of 32-bit floats.
    BF16,
    /// Blocks of 32 weights: a 16-bit scale, 8 bits per weight.
    Q8_0,
    /// Blocks of 32 weights: a 16-bit scale, 4 bits per weight.
    Q4_0,
    /// Blocks of 256 weights: scales and minima of 6 bits for each 32, 4 bits per weight.
    Q4_K,
    /// Blocks of 256 weights: scales of 8 bits for each 16, 6 bits per weight.
    Q6_K,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 7] =
        [Format::F32, Format::F16, Format::BF16, Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::Q6_K];

    /// Weights per block; a row is a whole number of blocks.
    #[must_use]
    pub fn block_weights(self) -> usize {
        match self {
            Format::F32 | Format::F16 | Format::BF16 => 1,
            Format::Q8_0 | Format::Q4_0 => 32,
            Format::Q4_K | Format::Q6_K => 256,
        }
    }

    /// Bytes per block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        match self {
            Format::F32 => 4,
            Format::F16 | Format::BF16 => 2,
            Format::Q8_0 => 2 + 32,
            Format::Q4_0 => 2 + 16,
            Format::Q4_K => 2 + 2 + 12 + 128,
            Format::Q6_K => 128 + 64 + 16 + 2,
        }
    }

    /// Bytes of a row of `columns` weights; `None` if that is not a whole number of blocks, or too many.
    #[must_use]
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        let blocks =
            columns.is_multiple_of(self.block_weights()).then_some(columns / self.block_weights())?;
        blocks.checked_mul(self.block_bytes())
    }

    /// The name in ggml, in capitals.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::F32 => "F32",
            Format::F16 => "F16",
            Format::BF16 => "BF16",
            Format::Q8_0 => "Q8_0",
            Format::Q4_0 => "Q4_0",
            Format::Q4_K => "Q4_K",
            Format::Q6_K => "Q6_K",
        }
    }
}
