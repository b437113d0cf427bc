//! The Spiking Heidelberg Digits (SHD) and the Spiking Speech Commands (SSC): recordings of speech as the spikes of 700
//! channels of an artificial cochlea, many in one HDF5 file.
//!
//! `spikes/times` holds for each recording its times in seconds (16-, 32- or 64-bit floats), `spikes/units` the channels
//! (integers), both of variable length; `labels` the classes, and `extra/keys`, where it exists, their names. The files do
//! not promise that the spikes of a recording are in the order of time, so they are brought into it (spikes of one moment
//! keep their order). Times are rounded to microseconds. Source: Cramer, Stradmann, Schemmel and Zenke 2020, "The
//! Heidelberg spiking data sets for the systematic evaluation of spiking neural networks",
//! <https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/>.

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use hdf5_pure::{Datatype, DatatypeByteOrder, VlenStringReadOptions};

use super::heap::{Heap, Reference};
use super::{Events, Format};
use crate::{Error, Result};

/// Channels of the artificial cochlea of SHD and SSC; a file with a higher one is taken as it is.
pub const CHANNELS: usize = 700;

/// The most recordings in a file (SSC has 75,466).
const MAXIMUM_RECORDINGS: u64 = 1 << 20;
/// The largest chunk of a data set that is decompressed, in bytes.
const MAXIMUM_CHUNK_BYTES: u64 = 64 << 20;
/// Later spikes are refused, so that microseconds stay exact: about 11 days.
const MAXIMUM_SECONDS: f64 = 1e6;

/// An open file. What is held in memory are references; spikes are read one recording at a time.
pub struct Cochlea {
    path: PathBuf,
    heap: Heap,
    times: (Vec<Reference>, Number),
    units: (Vec<Reference>, Number),
    labels: Vec<u32>,
    classes: Vec<String>,
}

/// Opens a file.
///
/// # Errors
/// [`Error::Mismatch`] if it is not an HDF5 file or lacks a data set of the right type and length; [`Error::Io`].
pub fn open(path: &Path) -> Result<Cochlea> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let heap = Heap::new(Box::new(file), path)?;
    let hdf5 = hdf5_pure::File::open(path).map_err(|error| damaged(path, &error))?;
    Cochlea::new(&hdf5, heap, path)
}

/// As [`open`], from the bytes of a file; `path` is for the errors.
///
/// # Errors
/// As for [`open`].
pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Cochlea> {
    let heap = Heap::new(Box::new(Cursor::new(bytes.to_vec())), path)?;
    let hdf5 = hdf5_pure::File::from_bytes(bytes.to_vec()).map_err(|error| damaged(path, &error))?;
    Cochlea::new(&hdf5, heap, path)
}

fn damaged(path: &Path, error: &hdf5_pure::Error) -> Error {
    Error::mismatch(path, format!("a damaged file ({error})"), "an intact HDF5 file")
}

impl Cochlea {
    fn new(hdf5: &hdf5_pure::File, heap: Heap, path: &Path) -> Result<Self> {
        let times = references(hdf5, "spikes/times", path)?;
        let units = references(hdf5, "spikes/units", path)?;
        let labels = labels(hdf5, path)?;
        for (name, length) in [("spikes/units", units.0.len()), ("labels", labels.len())] {
            if length != times.0.len() {
                let expected = format!("{}, as many as spikes/times has", times.0.len());
                return Err(Error::mismatch(path, format!("{length} entries in {name}"), expected));
            }
        }
        for (name, (references, number)) in [("spikes/times", &times), ("spikes/units", &units)] {
            // Each value has its own place in the file, so there cannot be more than the file holds.
            let bytes: u64 =
                references.iter().map(|reference| u64::from(reference.length) * number.bytes as u64).sum();
            if bytes > heap.file_bytes() {
                let expected = format!("at most the file's {}", heap.file_bytes());
                return Err(Error::mismatch(path, format!("{bytes} bytes of values in {name}"), expected));
            }
        }
        let classes = classes(hdf5, &labels, path);
        Ok(Self { path: path.to_owned(), heap, times, units, labels, classes })
    }

    /// Number of recordings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no recordings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The class of each recording, an index into [`Self::classes`].
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The names of the classes; their numbers, where the file has no names.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// One recording: `x` is the channel, `y` is 0, every event is ON.
    ///
    /// # Errors
    /// [`Error::Format`] with the byte for a damaged heap; [`Error::Mismatch`] for an index that does not exist, as many
    /// times as channels that are not, or a spike at an impossible time or channel.
    pub fn recording(&mut self, index: usize) -> Result<Events> {
        let (Some(&times), Some(&units)) = (self.times.0.get(index), self.units.0.get(index)) else {
            let expected = format!("one of {}", self.len());
            return Err(Error::mismatch(&self.path, format!("the recording {index}"), expected));
        };
        let error = |path: &Path, got: String, expected: &str| {
            Err(Error::mismatch(path, format!("{got} in recording {index}"), expected))
        };
        if times.length != units.length {
            let got = format!("{} times and {} units", times.length, units.length);
            return error(&self.path, got, "one unit for each time");
        }
        let number = self.times.1;
        let seconds: Vec<f64> = self
            .heap
            .get(times, number.bytes)?
            .chunks_exact(number.bytes)
            .map(|b| number.decode(b))
            .collect();
        let number = self.units.1;
        let channels: Vec<f64> = self
            .heap
            .get(units, number.bytes)?
            .chunks_exact(number.bytes)
            .map(|b| number.decode(b))
            .collect();
        let mut spikes = Vec::with_capacity(seconds.len());
        for (spike, (&seconds, &channel)) in seconds.iter().zip(&channels).enumerate() {
            if !(0.0..=MAXIMUM_SECONDS).contains(&seconds) {
                let got = format!("spike {spike} at {seconds} s");
                return error(&self.path, got, "times from 0 to a million seconds");
            }
            if !(0.0..=f64::from(u16::MAX)).contains(&channel) || channel.fract() != 0.0 {
                let got = format!("spike {spike} of unit {channel}");
                return error(&self.path, got, "units from 0 to 65535");
            }
            spikes.push(((seconds * 1e6).round() as i64, channel as u16));
        }
        spikes.sort_by_key(|(time_us, _)| *time_us);
        let (time_us, x): (Vec<i64>, Vec<u16>) = spikes.into_iter().unzip();
        let width = x.iter().max().map_or(0, |most| usize::from(*most) + 1).max(CHANNELS);
        let (y, on) = (vec![0; x.len()], vec![true; x.len()]);
        Ok(Events { format: Format::Cochlea, width, height: 1, polarity: false, time_us, x, y, on })
    }
}

/// How a number is stored.
#[derive(Clone, Copy)]
struct Number {
    bytes: usize,
    kind: Kind,
    big_endian: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Float,
    Signed,
    Unsigned,
}

impl Number {
    /// `None` if it is not a number, or has a size that no spike has.
    fn of(datatype: &Datatype) -> Option<Self> {
        let (size, order, kind) = match datatype {
            Datatype::FloatingPoint { size: size @ (2 | 4 | 8), byte_order, .. } => {
                (*size, *byte_order, Kind::Float)
            }
            Datatype::FixedPoint { size: size @ (1 | 2 | 4 | 8), byte_order, layout } => {
                (*size, *byte_order, if layout.signed { Kind::Signed } else { Kind::Unsigned })
            }
            _ => return None,
        };
        let big_endian = match order {
            DatatypeByteOrder::LittleEndian => false,
            DatatypeByteOrder::BigEndian => true,
            DatatypeByteOrder::Vax => return None,
        };
        Some(Self { bytes: size as usize, kind, big_endian })
    }

    /// The number in as many bytes as it has. Integers beyond 2⁵³ are rounded: no label or channel is.
    fn decode(self, bytes: &[u8]) -> f64 {
        let add = |bits: u64, byte: &u8| bits << 8 | u64::from(*byte);
        let bits = if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) };
        match (self.kind, self.bytes) {
            (Kind::Float, 2) => half(bits as u16),
            (Kind::Float, 4) => f32::from_bits(bits as u32).into(),
            (Kind::Float, _) => f64::from_bits(bits),
            (Kind::Unsigned, _) => bits as f64,
            (Kind::Signed, bytes) => {
                let unused = 64 - 8 * bytes as u32;
                ((bits << unused) as i64 >> unused) as f64
            }
        }
    }
}

/// A 16-bit float of IEEE 754: 1 bit of sign, 5 of exponent, 10 of fraction.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    }
}

/// A data set of one dimension that is not too large.
fn data_set(hdf5: &hdf5_pure::File, name: &str, path: &Path) -> Result<(hdf5_pure::Dataset, Datatype)> {
    let unreadable = |error: hdf5_pure::Error| {
        Error::mismatch(
            path,
            format!("{name}: {error}"),
            "the data sets spikes/times, spikes/units and labels",
        )
    };
    let data_set = hdf5.dataset(name).map_err(unreadable)?;
    let shape = data_set.shape().map_err(unreadable)?;
    if shape.len() != 1 || shape[0] > MAXIMUM_RECORDINGS {
        let expected = format!("one dimension of at most {MAXIMUM_RECORDINGS}");
        return Err(Error::mismatch(path, format!("{name} of shape {shape:?}"), expected));
    }
    if let Some(chunk) = data_set.chunk_shape().map_err(unreadable)? {
        let elements = chunk.iter().fold(1_u64, |product, size| product.saturating_mul(*size));
        if elements.saturating_mul(Reference::BYTES as u64) > MAXIMUM_CHUNK_BYTES {
            let expected = format!("chunks of at most {MAXIMUM_CHUNK_BYTES} bytes");
            return Err(Error::mismatch(path, format!("chunks of shape {chunk:?} in {name}"), expected));
        }
    }
    let datatype = data_set.datatype().map_err(unreadable)?;
    Ok((data_set, datatype))
}

fn raw(data_set: &hdf5_pure::Dataset, name: &str, path: &Path) -> Result<Vec<u8>> {
    data_set
        .read_raw()
        .map_err(|error| Error::mismatch(path, format!("{name}: {error}"), "an intact data set"))
}

/// The references of a data set of values of variable length, and what these consist of.
fn references(hdf5: &hdf5_pure::File, name: &str, path: &Path) -> Result<(Vec<Reference>, Number)> {
    let (data_set, datatype) = data_set(hdf5, name, path)?;
    let number = match &datatype {
        Datatype::VariableLength { is_string: false, base_type, .. } => Number::of(base_type),
        _ => None,
    };
    let Some(number) = number else {
        let got = format!("{name} of another type");
        return Err(Error::mismatch(path, got, "numbers of variable length"));
    };
    let raw = raw(&data_set, name, path)?;
    let (references, rest) = raw.as_chunks::<{ Reference::BYTES }>();
    if !rest.is_empty() || Some(references.len() as u64) != data_set.shape().ok().map(|shape| shape[0]) {
        let got = format!("{} bytes of references in {name}", raw.len());
        return Err(Error::mismatch(path, got, "16 bytes a recording (addresses of 8 bytes)"));
    }
    Ok((references.iter().map(Reference::parse).collect(), number))
}

fn labels(hdf5: &hdf5_pure::File, path: &Path) -> Result<Vec<u32>> {
    let (data_set, datatype) = data_set(hdf5, "labels", path)?;
    let Some(number) = Number::of(&datatype) else {
        return Err(Error::mismatch(path, "labels that are no numbers", "a whole number for each recording"));
    };
    let raw = raw(&data_set, "labels", path)?;
    let labels = raw.chunks_exact(number.bytes).enumerate().map(|(index, bytes)| {
        let label = number.decode(bytes);
        if !(0.0..65_536.0).contains(&label) || label.fract() != 0.0 {
            let got = format!("the label {label} of recording {index}");
            return Err(Error::mismatch(path, got, "a whole number from 0 to 65535"));
        }
        Ok(label as u32)
    });
    labels.collect()
}

/// The names in `extra/keys`, or else numbers.
fn classes(hdf5: &hdf5_pure::File, labels: &[u32], path: &Path) -> Vec<String> {
    let needed = labels.iter().max().map_or(0, |most| *most as usize + 1);
    let options = VlenStringReadOptions::new().with_max_elements(1 << 16).with_max_payload_bytes(1 << 20);
    let names = match data_set(hdf5, "extra/keys", path) {
        // Names of a fixed length are as good; of the lengths that they may have, the data set's check above knows.
        Ok((keys, Datatype::String { size: ..=256, .. })) => keys.read_string().ok(),
        Ok((keys, _)) => keys.read_vlen_strings(options).ok(),
        Err(_) => None,
    };
    match names {
        Some(names) if names.len() >= needed => names,
        _ => (0..needed).map(|class| class.to_string()).collect(),
    }
}
