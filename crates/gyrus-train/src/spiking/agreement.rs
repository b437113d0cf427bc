//! How often a spiking network and the quantized network it was converted from disagree.

use gyrus_data::{Examples, Preprocessing, fill_batch};
use gyrus_nn::{Encoder, Network, floats, rounded};
use gyrus_tensor::filled_tensor;
use serde::{Deserialize, Serialize};

use crate::evaluate::best;
use crate::{Error, Result, Tick};

/// About how many rows one pass has: steps times examples.
const ROWS: usize = 4096;

/// Answers of two networks to the same examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Number of examples.
    pub examples: u64,
    /// Examples for which some number of the answer differs in any bit.
    pub differing_answers: u64,
    /// Examples for which the predicted class differs.
    pub differing_classes: u64,
}

/// Rounds inputs as this encoder does.
pub(crate) fn round_as(encoder: Option<&Encoder>, input: &mut [f32]) {
    if let Some(Encoder::Once { fraction_bits, limit }) = encoder {
        input.iter_mut().for_each(|x| *x = rounded(*x, *fraction_bits, *limit));
    }
}

/// Runs all examples through both networks. If the encoder of the spiking network rounds inputs, the other network gets the
/// rounded inputs as well.
///
/// # Errors
/// [`Error::Stopped`] if the tick after each batch says so.
pub fn agreement(
    quantized: &Network,
    spiking: &Network,
    examples: &Examples,
    preprocessing: &Preprocessing,
    tick: &mut Tick<'_>,
) -> Result<Agreement> {
    let mut agreement = Agreement { examples: examples.len() as u64, ..Agreement::default() };
    let steps = spiking.spiking().map_or(1, |settings| settings.steps);
    let indices: Vec<u32> = (0..examples.len() as u32).collect();
    let mut buffer = Vec::new();
    let mut done = 0;
    for batch in indices.chunks((ROWS / steps).max(1)) {
        fill_batch(examples, preprocessing, batch, None, &mut buffer);
        round_as(spiking.spiking().map(|settings| &settings.encoder), &mut buffer);
        let [dense, in_time] = [quantized, spiking].map(|network| {
            let columns = buffer.len() / batch.len();
            let x = filled_tensor(batch.len(), columns, |x| x.copy_from_slice(&buffer));
            floats(network.infer(x.to_device(network.device())))
        });
        let outputs = dense.len() / batch.len();
        for (dense, in_time) in dense.chunks_exact(outputs).zip(in_time.chunks_exact(outputs)) {
            agreement.differing_answers += u64::from(dense != in_time);
            agreement.differing_classes += u64::from(best(dense) != best(in_time));
        }
        done += batch.len() as u64;
        if !tick(done, examples.len() as u64) {
            return Err(Error::Stopped);
        }
    }
    Ok(agreement)
}
