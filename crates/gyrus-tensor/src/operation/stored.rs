//! Frozen weights: they keep their stored format, perhaps in a mapped file, and operations read them there.

use std::fmt;
use std::sync::Arc;

use burn_flex::FlexTensor;
use gyrus_kernels::Error;
use gyrus_kernels::dense::elementwise::dropout_mask;
use gyrus_kernels::stored::low_rank::{
    LowRank, LowRankGradients, LowRankPart, low_rank, low_rank_backward, low_rank_input_gradient,
};
use gyrus_kernels::stored::{Format, Matrix, dequantize};

use super::keep::Floats;
use crate::pool::filled;

/// A matrix `[rows, columns]` in shared memory, in one of ggml's formats.
#[derive(Clone)]
pub struct StoredMatrix {
    format: Format,
    rows: usize,
    columns: usize,
    bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
}

impl StoredMatrix {
    /// The matrix stored in `bytes`.
    ///
    /// # Errors
    /// As [`Matrix::new`].
    pub fn new(
        format: Format,
        rows: usize,
        columns: usize,
        bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
    ) -> Result<Self, Error> {
        Matrix::new(format, rows, columns, (*bytes).as_ref())?;
        Ok(Self { format, rows, columns, bytes })
    }

    /// Rows: outputs of a linear layer.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: inputs of a linear layer.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All its numbers as floats.
    #[must_use]
    pub fn floats(&self) -> Vec<f32> {
        let mut floats = vec![0.0; self.rows * self.columns];
        dequantize(&self.lent(), &mut floats);
        floats
    }

    pub(crate) fn lent(&self) -> Matrix<'_> {
        Matrix::new(self.format, self.rows, self.columns, (*self.bytes).as_ref())
            .expect("the shape was checked when this was made, and the bytes do not change")
    }
}

impl fmt::Debug for StoredMatrix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{}, {}] in {}", self.rows, self.columns, self.format.name())
    }
}

/// One of the linear layers that share an input.
#[derive(Clone, Debug)]
pub struct StoredLinear {
    /// The frozen weight, `[outputs, inputs]`.
    pub weight: StoredMatrix,
    /// Frozen bias, `[outputs]`.
    pub bias: Option<Arc<[f32]>>,
    /// Rank of the adapter (columns of its `B`); 0 if there is none.
    pub rank: usize,
    /// Factor of the adapter's result.
    pub scale: f32,
}

/// Frozen linear layers with one input and low-rank adapters; see [`gyrus_kernels::stored::low_rank::low_rank`] for the
/// equation and the adapter's layout.
#[derive(Clone, Debug)]
pub struct LowRankLinear {
    /// The layers; their results lie beside each other in a row.
    pub parts: Arc<[StoredLinear]>,
    /// Dropout of the adapter's input: the probability, and the stream of random numbers. Equal streams give equal masks.
    pub dropout: Option<(f32, u64)>,
}

impl LowRankLinear {
    /// Sum of the ranks of all parts.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.parts.iter().map(|part| part.rank).sum()
    }

    /// Columns of the input.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.parts.first().map_or(0, |part| part.weight.columns())
    }

    fn lent<R>(&self, work: impl FnOnce(&LowRank<'_>) -> R) -> R {
        let parts: Vec<LowRankPart<'_>> = self
            .parts
            .iter()
            .map(|stored| LowRankPart {
                weight: stored.weight.lent(),
                bias: stored.bias.as_deref(),
                rank: stored.rank,
                scale: stored.scale,
            })
            .collect();
        work(&LowRank { inputs: self.inputs(), parts: &parts })
    }

    /// The mask of the adapter's input, `[rows, inputs]`.
    fn mask(&self, elements: usize) -> Option<FlexTensor> {
        let (probability, stream) = self.dropout?;
        Some(filled([elements], |mask| dropout_mask(probability, stream, mask)))
    }

    pub(crate) fn forward(
        &self,
        rows: usize,
        x: &[f32],
        adapter: &[f32],
        residual: Option<&[f32]>,
    ) -> (FlexTensor, Vec<FlexTensor>) {
        self.lent(|shape| {
            let rank = shape.rank();
            let mask = self.mask(x.len()).as_ref().map(Floats::new);
            let mask = mask.as_ref().map(Floats::get);
            if rank == 0 {
                let y = filled([rows, shape.outputs()], |y| {
                    low_rank(shape, x, adapter, None, residual, y, &mut []);
                });
                return (y, Vec::new());
            }
            let mut inner = filled([rows, rank], |_| {});
            let y = filled([rows, shape.outputs()], |y| {
                low_rank(shape, x, adapter, mask, residual, y, inner.storage_mut());
            });
            (y, vec![inner])
        })
    }

    /// Gradients of x, of the adapter and of the residual, if they exist.
    pub(crate) fn backward(
        &self,
        rows: usize,
        kept: &[FlexTensor],
        dy: &FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let floats: Vec<Floats> = kept.iter().map(Floats::new).collect();
        let floats_of_dy = Floats::new(dy);
        self.lent(|shape| {
            let adapted = shape.rank() > 0;
            let inputs = shape.inputs;
            let mut dx = wanted[0].then(|| filled([rows, inputs], |_| {}));
            let mut dadapter = (adapted && wanted[1]).then(|| filled([shape.adapter_len()], |_| {}));
            let gradients = LowRankGradients {
                input: dx.as_mut().map(FlexTensor::storage_mut),
                adapter: dadapter.as_mut().map(FlexTensor::storage_mut),
            };
            if adapted {
                let mask = self.mask(rows * inputs).as_ref().map(Floats::new);
                let inner = (floats[0].get(), floats[1].get(), floats[2].get());
                let mask = mask.as_ref().map(Floats::get);
                low_rank_backward(shape, inner, mask, floats_of_dy.get(), gradients);
            } else if let Some(dx) = gradients.input {
                // Without an adapter, x itself is not needed.
                low_rank_input_gradient(shape, floats_of_dy.get(), dx);
            }
            let mut all = vec![dx];
            if adapted {
                all.push(dadapter);
            }
            if let Some(residual) = wanted.get(1 + usize::from(adapted)) {
                all.push(residual.then(|| dy.clone()));
            }
            all
        })
    }
}
