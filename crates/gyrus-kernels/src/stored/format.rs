//! The formats of weights.

/// How the weights of a matrix are stored; the names are ggml's.
///
/// Those of blocks of 32 weights have 16-bit scales; those of 256 weights (`_K`, `_XS`, ...) have smaller scales within
/// the block, which multiply one 16-bit scale of the block.
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
    /// Blocks of 32 weights: a scale and a minimum, 4 bits per weight.
    Q4_1,
    /// Blocks of 32 weights: a scale, 5 bits per weight.
    Q5_0,
    /// Blocks of 32 weights: a scale and a minimum, 5 bits per weight.
    Q5_1,
    /// Blocks of 256 weights: scales and minima of 4 bits for each 16, 2 bits per weight.
    Q2_K,
    /// Blocks of 256 weights: scales of 6 bits for each 16, 3 bits per weight.
    Q3_K,
    /// Blocks of 256 weights: scales and minima of 6 bits for each 32, 5 bits per weight.
    Q5_K,
    /// Blocks of 32 weights: a scale, 4 bits per weight that choose one of 16 uneven steps.
    IQ4_NL,
    /// Blocks of 256 weights: scales of 6 bits for each 32, the steps of [`Self::IQ4_NL`].
    IQ4_XS,
    /// Blocks of 256 weights: scales of 3 bits for each 32, 11 bits for each 8 weights from a table.
    IQ1_S,
    /// Blocks of 256 weights: scales of 3 bits for each 16, 11 bits for each 8 weights from a table.
    IQ1_M,
    /// Blocks of 256 weights: scales of 4 bits for each 32, 8 bits and signs for each 8 weights from a table.
    IQ2_XXS,
    /// Blocks of 256 weights: scales of 4 bits for each 16, 9 bits and signs for each 8 weights from a table.
    IQ2_XS,
    /// Blocks of 256 weights: scales of 4 bits for each 16, 10 bits and signs for each 8 weights from a table.
    IQ2_S,
    /// Blocks of 256 weights: scales of 4 bits for each 32, 8 bits and signs for each 4 weights from a table.
    IQ3_XXS,
    /// Blocks of 256 weights: scales of 4 bits for each 32, 9 bits and signs for each 4 weights from a table.
    IQ3_S,
    /// Blocks of 256 weights: a scale, and -1, 0 or 1 for each weight, five in a byte.
    TQ1_0,
    /// Blocks of 256 weights: a scale, and -1, 0 or 1 for each weight, four in a byte.
    TQ2_0,
    /// Blocks of 32 weights: an 8-bit power of two, 4 bits per weight as a tiny float (OCP Microscaling).
    MXFP4,
}

use Format::{
    BF16, F16, F32, IQ1_M, IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS, IQ4_NL, IQ4_XS, MXFP4, Q2_K, Q3_K,
    Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0, TQ1_0, TQ2_0,
};

impl Format {
    /// All formats.
    pub const ALL: [Format; 25] = [
        F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q5_K, IQ4_NL, IQ4_XS, IQ1_S,
        IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, TQ1_0, TQ2_0, MXFP4,
    ];

    /// Weights per block; a row is a whole number of blocks.
    #[must_use]
    pub fn block_weights(self) -> usize {
        match self {
            F32 | F16 | BF16 => 1,
            Q8_0 | Q4_0 | Q4_1 | Q5_0 | Q5_1 | IQ4_NL | MXFP4 => 32,
            _ => 256,
        }
    }

    /// Bytes per block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        match self {
            F32 => 4,
            F16 | BF16 => 2,
            Q8_0 => 2 + 32,
            Q4_0 | IQ4_NL => 2 + 16,
            Q4_1 => 4 + 16,
            Q5_0 => 2 + 4 + 16,
            Q5_1 => 4 + 4 + 16,
            MXFP4 => 1 + 16,
            Q2_K => 16 + 64 + 4,
            Q3_K => 32 + 64 + 12 + 2,
            Q4_K => 4 + 12 + 128,
            Q5_K => 4 + 12 + 32 + 128,
            Q6_K => 128 + 64 + 16 + 2,
            IQ4_XS => 2 + 2 + 4 + 128,
            IQ1_S => 2 + 32 + 16,
            IQ1_M => 32 + 16 + 8,
            IQ2_XXS => 2 + 64,
            IQ2_XS => 2 + 64 + 8,
            IQ2_S => 2 + 32 + 32 + 8 + 8,
            IQ3_XXS => 2 + 64 + 32,
            IQ3_S => 2 + 64 + 8 + 32 + 4,
            TQ1_0 => 48 + 4 + 2,
            TQ2_0 => 64 + 2,
        }
    }

    /// Whether the weights are floats rather than blocks of small integers.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, F32 | F16 | BF16)
    }

    /// Whether [`quantize`](super::quantize) writes this format; all are read.
    #[must_use]
    pub fn is_written(self) -> bool {
        self.is_float() || matches!(self, Q8_0 | Q4_0 | Q4_K | Q6_K | Q4_1 | Q5_0 | Q5_1)
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
            F32 => "F32",
            F16 => "F16",
            BF16 => "BF16",
            Q8_0 => "Q8_0",
            Q4_0 => "Q4_0",
            Q4_K => "Q4_K",
            Q6_K => "Q6_K",
            Q4_1 => "Q4_1",
            Q5_0 => "Q5_0",
            Q5_1 => "Q5_1",
            Q2_K => "Q2_K",
            Q3_K => "Q3_K",
            Q5_K => "Q5_K",
            IQ4_NL => "IQ4_NL",
            IQ4_XS => "IQ4_XS",
            IQ1_S => "IQ1_S",
            IQ1_M => "IQ1_M",
            IQ2_XXS => "IQ2_XXS",
            IQ2_XS => "IQ2_XS",
            IQ2_S => "IQ2_S",
            IQ3_XXS => "IQ3_XXS",
            IQ3_S => "IQ3_S",
            TQ1_0 => "TQ1_0",
            TQ2_0 => "TQ2_0",
            MXFP4 => "MXFP4",
        }
    }
}
