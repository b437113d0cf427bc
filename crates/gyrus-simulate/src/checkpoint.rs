//! The state of a running circuit as bytes: a resumed run goes through the same bits.
//!
//! A checkpoint holds what changes: states of neurons, input to come, plastic weights and what spikes have left behind. Connections
//! are drawn again from the circuit, whose fingerprint is at the beginning; a checksum is at the end. What is recorded is not part of it.

use std::fmt::Write as _;
use std::io::{Read, Write};

use gyrus_kernels::circuit::Real;
use gyrus_kernels::splitmix64;

use crate::circuit::Circuit;
use crate::error::{Error, Result};
use crate::neurons::{Cells, Kind};
use crate::part::{Block, Change, Part};
use crate::plasticity::{Arrival, Resources, Spike, Timed};

const MAGIC: u64 = u64::from_le_bytes(*b"gyrussm2");
/// Bytes written or read at a time.
const CHUNK: usize = 1 << 16;

/// Saving or loading: both pass over the same state in the same order.
pub(crate) struct Pass<'a> {
    stream: Stream<'a>,
    sum: u64,
}

pub(crate) enum Stream<'a> {
    Save(&'a mut dyn Write),
    Load(&'a mut dyn Read),
}

/// A value with a fixed number of bytes.
pub(crate) trait Plain: Copy + Default {
    const BYTES: usize;
    fn put(self, bytes: &mut Vec<u8>);
    fn take(bytes: &[u8]) -> Self;
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Plain for $type {
            const BYTES: usize = size_of::<$type>();

            fn put(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn take(bytes: &[u8]) -> Self {
                bytes.try_into().map(<$type>::from_le_bytes).unwrap_or_default()
            }
        }
    )*};
}

plain!(u32, u64, i64, f64);

impl<const N: usize> Plain for [f64; N]
where
    [f64; N]: Default,
{
    const BYTES: usize = 8 * N;

    fn put(self, bytes: &mut Vec<u8>) {
        self.into_iter().for_each(|value| value.put(bytes));
    }

    fn take(bytes: &[u8]) -> Self {
        core::array::from_fn(|n| f64::take(&bytes[8 * n..8 * n + 8]))
    }
}

impl Plain for Spike {
    const BYTES: usize = 16;

    fn put(self, bytes: &mut Vec<u8>) {
        self.stamp.put(bytes);
        self.slow.put(bytes);
    }

    fn take(bytes: &[u8]) -> Self {
        Self { stamp: i64::take(&bytes[..8]), slow: f64::take(&bytes[8..]) }
    }
}

impl Plain for Arrival {
    const BYTES: usize = 20;

    fn put(self, bytes: &mut Vec<u8>) {
        self.spike.put(bytes);
        self.target.put(bytes);
    }

    fn take(bytes: &[u8]) -> Self {
        Self { spike: Spike::take(&bytes[..16]), target: u32::take(&bytes[16..]) }
    }
}

impl Plain for (i64, u32) {
    const BYTES: usize = 12;

    fn put(self, bytes: &mut Vec<u8>) {
        self.0.put(bytes);
        self.1.put(bytes);
    }

    fn take(bytes: &[u8]) -> Self {
        (i64::take(&bytes[..8]), u32::take(&bytes[8..]))
    }
}

impl Plain for (i64, f64, f64) {
    const BYTES: usize = 24;

    fn put(self, bytes: &mut Vec<u8>) {
        self.0.put(bytes);
        self.1.put(bytes);
        self.2.put(bytes);
    }

    fn take(bytes: &[u8]) -> Self {
        (i64::take(&bytes[..8]), f64::take(&bytes[8..16]), f64::take(&bytes[16..]))
    }
}

fn damaged(what: &str) -> Error {
    Error::Checkpoint(what.to_owned())
}

impl<'a> Pass<'a> {
    pub(crate) fn new(stream: Stream<'a>) -> Self {
        Self { stream, sum: 0 }
    }

    fn bytes(&mut self, bytes: &mut [u8]) -> Result<()> {
        match &mut self.stream {
            Stream::Save(stream) => stream.write_all(bytes)?,
            Stream::Load(stream) => stream.read_exact(bytes)?,
        }
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.sum = splitmix64(self.sum ^ u64::from_le_bytes(*word));
        }
        for &byte in rest {
            self.sum = splitmix64(self.sum ^ u64::from(byte));
        }
        Ok(())
    }

    /// Values of `width` bytes each, a chunk at a time.
    fn values<V>(
        &mut self,
        values: &mut [V],
        width: usize,
        put: impl Fn(&V, &mut Vec<u8>),
        take: impl Fn(&[u8]) -> V,
    ) -> Result<()> {
        let loads = matches!(self.stream, Stream::Load(_));
        let mut bytes = Vec::with_capacity(CHUNK);
        for values in values.chunks_mut(CHUNK / width) {
            bytes.clear();
            if loads {
                bytes.resize(values.len() * width, 0);
            } else {
                values.iter().for_each(|value| put(value, &mut bytes));
            }
            self.bytes(&mut bytes)?;
            if loads {
                for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(width)) {
                    *value = take(bytes);
                }
            }
        }
        Ok(())
    }

    fn reals<T: Real>(&mut self, values: &mut [T]) -> Result<()> {
        self.values(
            values,
            T::BYTES,
            |value, bytes| value.write(bytes),
            |bytes| T::read(bytes).unwrap_or_default(),
        )
    }

    pub(crate) fn fixed<V: Plain>(&mut self, values: &mut [V]) -> Result<()> {
        self.values(values, V::BYTES, |value, bytes| value.put(bytes), V::take)
    }

    pub(crate) fn one<V: Plain>(&mut self, value: &mut V) -> Result<()> {
        self.fixed(std::slice::from_mut(value))
    }

    /// A list of at most `most` values.
    fn list<V: Plain>(&mut self, values: &mut Vec<V>, most: usize) -> Result<()> {
        let mut length = values.len() as u64;
        self.one(&mut length)?;
        if length > most as u64 {
            return Err(damaged("a list is longer than possible"));
        }
        // Grows with what is really there.
        if matches!(self.stream, Stream::Load(_)) {
            values.clear();
            let mut left = length as usize;
            while left > 0 {
                let taken = left.min(CHUNK);
                let first = values.len();
                values.resize(first + taken, V::default());
                self.fixed(&mut values[first..])?;
                left -= taken;
            }
            return Ok(());
        }
        self.fixed(values)
    }

    /// A value that must be the same when loading.
    fn expect(&mut self, value: u64, what: &str) -> Result<()> {
        let mut found = value;
        self.one(&mut found)?;
        if found == value { Ok(()) } else { Err(damaged(what)) }
    }

    pub(crate) fn head(&mut self, circuit: u64) -> Result<()> {
        self.expect(MAGIC, "not a checkpoint of a simulation")?;
        self.expect(circuit, "it belongs to another circuit")
    }

    pub(crate) fn end(&mut self) -> Result<()> {
        self.expect(self.sum, "it is damaged: the checksum is another one")
    }
}

/// A number that changes with anything in a circuit.
pub(crate) fn fingerprint(circuit: &Circuit) -> u64 {
    struct Hash(u64);
    impl std::fmt::Write for Hash {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for chunk in text.as_bytes().chunks(8) {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                self.0 = splitmix64(self.0 ^ u64::from_le_bytes(word));
            }
            Ok(())
        }
    }
    let mut hash = Hash(0);
    // Writing to a number does not fail.
    let _ = write!(hash, "{circuit:?}");
    hash.0
}

/// Spikes that a target may have before all synapses have seen them; more is damage.
const MOST_SPIKES: usize = 1 << 24;

impl<T: Real> Part<T> {
    pub(crate) fn pass(&mut self, now: u64, pass: &mut Pass<'_>) -> Result<()> {
        self.cells.pass(now, pass)?;
        pass.reals(&mut self.ring)?;
        let targets = self.cells.count;
        for block in &mut self.blocks {
            block.pass(targets, pass)?;
        }
        Ok(())
    }
}

impl<T: Real> Cells<T> {
    fn pass(&mut self, now: u64, pass: &mut Pass<'_>) -> Result<()> {
        let mut rows = |rows: &mut [&mut Vec<T>]| rows.iter_mut().try_for_each(|row| pass.reals(row));
        match &mut self.kind {
            Kind::Delta { v, left, .. } => rows(&mut [v, left]),
            Kind::Exponential { v, left, i: [a, b], .. } => rows(&mut [v, left, a, b]),
            Kind::Alpha { v, left, slope: [a, b], i: [c, d], .. } => rows(&mut [v, left, a, b, c, d]),
            Kind::Conductance { v, left, slope: [a, b], g: [c, d], moving, .. } => {
                rows(&mut [v, left, a, b, c, d])?;
                moving.as_mut().map_or(Ok(()), |moving| pass.fixed(&mut moving.theta))
            }
            Kind::Izhikevich { v, u, .. } => rows(&mut [v, u]),
            Kind::Steep(steep) => {
                pass.fixed(&mut steep.y)?;
                pass.fixed(&mut steep.h)?;
                pass.fixed(&mut steep.left)
            }
            Kind::Spikes { events, next } => {
                // What was given later than the circuit is not part of the state: it is given again.
                *next = events.partition_point(|(step, _)| *step < now);
                Ok(())
            }
            Kind::Poisson(trains) => {
                let mut rates = trains.rates().to_vec();
                pass.list(&mut rates, self.count.max(1))?;
                let sound = rates.len() == 1 || rates.len() == self.count;
                if !sound || !trains.restore(rates) {
                    return Err(damaged("rates of Poisson sources are out of range"));
                }
                Ok(())
            }
        }
    }
}

impl<T: Real> Block<T> {
    fn pass(&mut self, targets: usize, pass: &mut Pass<'_>) -> Result<()> {
        let mut scaled = u32::from(self.scaled);
        pass.one(&mut scaled)?;
        self.scaled = scaled != 0;
        if self.scaled || matches!(self.change, Change::Timed(_)) {
            pass.reals(&mut self.weights)?;
        }
        match &mut self.change {
            Change::Never => Ok(()),
            Change::Timed(timed) => timed.pass(targets, pass),
            Change::Resources(Resources { state, .. }) => pass.fixed(state),
        }
    }
}

impl<T: Real> Timed<T> {
    fn pass(&mut self, targets: usize, pass: &mut Pass<'_>) -> Result<()> {
        pass.fixed(&mut self.last)?;
        pass.fixed(&mut self.seen)?;
        pass.fixed(&mut self.traces)?;
        pass.fixed(&mut self.marks)?;
        pass.fixed(&mut self.recent)?;
        for spikes in &mut self.spikes {
            pass.list(spikes, MOST_SPIKES)?;
        }
        let mut coming: Vec<(i64, u32)> = self.coming.iter().copied().collect();
        pass.list(&mut coming, MOST_SPIKES)?;
        pass.list(&mut self.arrived, MOST_SPIKES)?;
        let mut targets_of: Vec<u32> = coming.iter().map(|(_, target)| *target).collect();
        targets_of.extend(&self.arrived);
        if let Some(full) = &mut self.full {
            pass.list(&mut full.log, MOST_SPIKES)?;
            pass.list(&mut full.active, targets)?;
            pass.list(&mut full.touched, MOST_SPIKES)?;
            pass.one(&mut full.total)?;
            targets_of.extend(full.log.iter().map(|arrival| arrival.target));
            targets_of.extend(full.active.iter().chain(&full.touched));
        }
        if targets_of.into_iter().any(|target| target as usize >= targets) {
            return Err(damaged("a spike of a neuron that does not exist"));
        }
        self.coming = coming.into();
        pass.reals(&mut self.eligibility)
    }
}
