//! Linear layers: a table in which the weights of each input are contiguous.

use pulp::{Arch, Simd, WithSimd};

use super::rows::{LANE, Lane, Rows, add_rows};

/// Rows of [`LANE`] floats that are summed in registers.
const PANEL: usize = 8;

/// The sums of one panel of a [`LinearTable`].
struct Panel<'a> {
    sums: &'a mut [Lane],
    table: &'a [Lane],
    events: &'a [u32],
    values: Option<&'a [f32]>,
}

impl WithSimd for Panel<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.sums.len() * LANE;
        let rows = self.table.len() * LANE / width;
        assert!(self.events.iter().all(|&event| (event as usize) < rows), "events are inputs");
        let sums = self.sums.as_mut_ptr().cast();
        let table = Rows { first: 0, width, from: self.table.as_ptr().cast() };
        // SAFETY: every event's row was checked to lie in the table.
        unsafe {
            add_rows(simd, width / S::F32_LANES, sums, table, self.events, self.values);
        }
    }
}

/// The weights of a linear layer laid out for sparse spikes: for each panel of outputs, a row for each input.
#[derive(Clone, Debug)]
pub struct LinearTable {
    inputs: usize,
    outputs: usize,
    lanes: Vec<Lane>,
}

impl LinearTable {
    /// From a weight `[outputs, inputs]`.
    ///
    /// # Panics
    /// If the weight does not have that size.
    #[must_use]
    pub fn new(weight: &[f32], (inputs, outputs): (usize, usize)) -> LinearTable {
        assert_eq!(weight.len(), inputs * outputs, "weight is [outputs, inputs]");
        let all = outputs.div_ceil(LANE);
        let mut lanes = vec![[0.0; LANE]; all * inputs];
        for (output, weight) in weight.chunks_exact(inputs.max(1)).enumerate() {
            let lane = output / LANE;
            let first = lane / PANEL * PANEL;
            let panel = PANEL.min(all - first);
            for (input, &weight) in weight.iter().enumerate() {
                lanes[first * inputs + input * panel + lane - first][output % LANE] = weight;
            }
        }
        LinearTable { inputs, outputs, lanes }
    }

    /// Floats of a row of sums.
    #[must_use]
    pub fn sums_len(&self) -> usize {
        self.outputs.next_multiple_of(LANE)
    }

    /// Adds the effect of the events to `sums`, and returns the number of additions.
    ///
    /// # Panics
    /// If `sums` is not as long as [`Self::sums_len`] says, or an event is not an input.
    pub fn add(&self, events: &[u32], values: Option<&[f32]>, sums: &mut [f32]) -> u64 {
        assert_eq!(sums.len(), self.sums_len(), "sums are outputs, padded");
        assert!(values.is_none_or(|values| values.len() == events.len()), "a number for each event");
        let (sums, _) = sums.as_chunks_mut::<LANE>();
        for (index, sums) in sums.chunks_mut(PANEL).enumerate() {
            let table = &self.lanes[index * PANEL * self.inputs..][..sums.len() * self.inputs];
            Arch::new().dispatch(Panel { sums, table, events, values });
        }
        events.len() as u64 * self.outputs as u64
    }
}
