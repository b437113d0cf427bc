//! A recording as bytes, for a run that shall go on later: numbers in little-endian order, each list after its length.

use std::io::{Read, Write};

use super::{MOST_SPIKES, MOST_VALUES, Recording};
use crate::sonata::Traces;
use crate::{Activity, Error, Result, Spikes};

const MAGIC: [u8; 8] = *b"GYRUSREC";
/// Names, and traces of a recording.
const MOST: u64 = 1 << 20;

impl Recording {
    /// Writes what was recorded, without weights.
    ///
    /// # Errors
    /// If writing fails.
    pub fn save(&self, to: &mut impl Write) -> Result<()> {
        to.write_all(&MAGIC)?;
        let Activity { steps, spikes, synaptic_events, neuron_updates, poisson_draws } = self.activity;
        for number in [self.steps, steps, spikes, synaptic_events, neuron_updates, poisson_draws] {
            to.write_all(&number.to_le_bytes())?;
        }
        to.write_all(&self.seconds.to_le_bytes())?;
        length(to, self.spikes.len())?;
        for list in [&self.spikes.steps, &self.spikes.neurons] {
            list.iter().try_for_each(|number| to.write_all(&number.to_le_bytes()))?;
        }
        length(to, self.traces.len())?;
        for own in &self.traces {
            for text in [&own.population, &own.variable, &own.unit] {
                length(to, text.len())?;
                to.write_all(text.as_bytes())?;
            }
            to.write_all(&own.start_ms.to_le_bytes())?;
            to.write_all(&own.interval_ms.to_le_bytes())?;
            length(to, own.node_ids.len())?;
            own.node_ids.iter().try_for_each(|number| to.write_all(&number.to_le_bytes()))?;
            length(to, own.values.len())?;
            own.values.iter().try_for_each(|number| to.write_all(&number.to_le_bytes()))?;
        }
        Ok(())
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// If reading fails, or these are other bytes.
    pub fn load(from: &mut impl Read) -> Result<Self> {
        if array::<8>(from)? != MAGIC {
            return Err(damaged("it does not begin as one"));
        }
        let mut recording = Self { steps: whole(from)?, ..Self::default() };
        recording.activity = Activity {
            steps: whole(from)?,
            spikes: whole(from)?,
            synaptic_events: whole(from)?,
            neuron_updates: whole(from)?,
            poisson_draws: whole(from)?,
        };
        recording.seconds = f64::from_le_bytes(array(from)?);
        if !(recording.seconds.is_finite() && (0.0..1e12).contains(&recording.seconds)) {
            return Err(damaged("its time is none"));
        }
        let spikes = counted(from, MOST_SPIKES as u64 + (1 << 24))?;
        let number = |bytes: [u8; 4]| u32::from_le_bytes(bytes);
        recording.spikes =
            Spikes { steps: list(from, spikes, number)?, neurons: list(from, spikes, number)? };
        if !recording.spikes.steps.is_sorted() {
            return Err(damaged("its spikes are not in the order of time"));
        }
        for _ in 0..counted(from, MOST)? {
            let (population, variable, unit) = (text(from)?, text(from)?, text(from)?);
            let (start_ms, interval_ms) =
                (f64::from_le_bytes(array(from)?), f64::from_le_bytes(array(from)?));
            let nodes = counted(from, u32::MAX.into())?;
            let node_ids = list(from, nodes, u64::from_le_bytes)?;
            let values = counted(from, MOST_VALUES as u64 + (1 << 24))?;
            let values = list(from, values, f32::from_le_bytes)?;
            recording.traces.push(Traces {
                population,
                variable,
                unit,
                node_ids,
                start_ms,
                interval_ms,
                values,
            });
        }
        Ok(recording)
    }
}

fn damaged(why: &str) -> Error {
    Error::Checkpoint(format!("not a recording of Gyrus: {why}"))
}

fn length(to: &mut impl Write, count: usize) -> Result<()> {
    Ok(to.write_all(&(count as u64).to_le_bytes())?)
}

fn array<const N: usize>(from: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn whole(from: &mut impl Read) -> Result<u64> {
    Ok(u64::from_le_bytes(array(from)?))
}

fn counted(from: &mut impl Read, most: u64) -> Result<usize> {
    match whole(from)? {
        count if count <= most => Ok(count as usize),
        count => Err(damaged(&format!("it announces {count} numbers, more than it can hold"))),
    }
}

/// So many numbers; memory grows with what is really there.
fn list<const N: usize, T>(
    from: &mut impl Read,
    count: usize,
    number: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>> {
    let mut bytes = Vec::new();
    from.take((count * N) as u64).read_to_end(&mut bytes)?;
    let (whole, _) = bytes.as_chunks::<N>();
    if whole.len() != count {
        return Err(damaged("it ends too early"));
    }
    Ok(whole.iter().map(|bytes| number(*bytes)).collect())
}

fn text(from: &mut impl Read) -> Result<String> {
    let count = counted(from, MOST)?;
    String::from_utf8(list(from, count, |[byte]: [u8; 1]| byte)?).map_err(|_| damaged("a name is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_read_as_it_was_written_and_damage_is_an_error() {
        let mut spikes = Spikes::default();
        spikes.extend(3, &[1, 5]);
        spikes.extend(7, &[0]);
        let traces = Traces {
            population: "E".to_owned(),
            variable: "V_m".to_owned(),
            unit: "mV".to_owned(),
            node_ids: vec![1, 2],
            start_ms: 0.5,
            interval_ms: 0.5,
            values: vec![-65.0, -64.5, -63.0, -62.5],
        };
        let activity =
            Activity { steps: 9, spikes: 3, synaptic_events: 12, neuron_updates: 90, poisson_draws: 4 };
        let recording = Recording {
            spikes,
            traces: vec![traces],
            steps: 9,
            activity,
            seconds: 1.5,
            ..Recording::default()
        };
        let mut bytes = Vec::new();
        recording.save(&mut bytes).unwrap();
        assert_eq!(Recording::load(&mut &bytes[..]).unwrap(), recording);
        for end in 0..bytes.len() {
            assert!(Recording::load(&mut &bytes[..end]).is_err(), "{end}");
        }
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x80;
            let _ = Recording::load(&mut &damaged[..]);
        }
    }
}
