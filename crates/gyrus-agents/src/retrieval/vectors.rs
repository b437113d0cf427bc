//! The vectors of passages, and which are closest to another.

use std::collections::HashSet;
use std::path::Path;
use std::thread;

use gyrus_files::{read_bounded, write_atomically};

use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"GYRUSVE1";
/// The most bytes of all vectors.
const MOST_BYTES: u64 = 64 << 30;
/// Vectors from which on several threads are worth it.
const MANY: usize = 8192;

/// Keys of passages and their vectors.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Vectors {
    pub(super) width: usize,
    /// Ascending.
    pub(super) keys: Vec<u64>,
    /// `[keys, width]`
    pub(super) values: Vec<f32>,
}

impl Vectors {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let wrong = |reason: &str| Error::Index {
            path: path.to_owned(),
            reason: format!("{reason}; index the folder again with --rebuild"),
        };
        let bytes = read_bounded(path, MOST_BYTES).map_err(|error| wrong(&error.to_string()))?;
        let number =
            |at: usize| -> Option<u64> { Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?)) };
        let header = (bytes.get(..8) == Some(MAGIC)).then(|| Some((number(8)?, number(16)?))).flatten();
        let (width, count) = header.ok_or_else(|| wrong("no file of vectors"))?;
        let expected = u128::from(count) * (8 + 4 * u128::from(width)) + 24;
        if width == 0 || expected != bytes.len() as u128 {
            return Err(wrong("the file of vectors is damaged"));
        }
        let (width, count) = (width as usize, count as usize);
        let (keys, values) = bytes[24..].split_at(8 * count);
        let keys = keys.as_chunks::<8>().0.iter().map(|part| u64::from_le_bytes(*part)).collect();
        let values = values.as_chunks::<4>().0.iter().map(|part| f32::from_le_bytes(*part)).collect();
        Ok(Self { width, keys, values })
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let mut bytes = Vec::with_capacity(24 + 8 * self.keys.len() + 4 * self.values.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(self.width as u64).to_le_bytes());
        bytes.extend_from_slice(&(self.keys.len() as u64).to_le_bytes());
        self.keys.iter().for_each(|key| bytes.extend_from_slice(&key.to_le_bytes()));
        self.values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        write_atomically(path, &bytes).map_err(Error::io("write", path))
    }

    /// Removes the vectors of these sources and adds others, in the order of their keys.
    pub(super) fn updated(
        &self,
        removed: &HashSet<u64>,
        mut added: Vec<(u64, Vec<f32>)>,
        width: usize,
    ) -> Self {
        let rows = self.keys.iter().zip(self.values.chunks_exact(self.width.max(1)));
        let kept = rows.filter(|(key, _)| !removed.contains(&super::index::source_of(**key)));
        added.extend(kept.map(|(key, row)| (*key, row.to_vec())));
        added.sort_by_key(|row| row.0);
        let keys = added.iter().map(|row| row.0).collect();
        Self { width, keys, values: added.into_iter().flat_map(|row| row.1).collect() }
    }

    /// The keys with the largest product with `query`, and these.
    pub(super) fn closest(&self, query: &[f32], top: usize) -> Vec<(u64, f32)> {
        let scored = |keys: &[u64], values: &[f32]| {
            let rows = values.chunks_exact(self.width);
            let mut all: Vec<(u64, f32)> =
                keys.iter().copied().zip(rows.map(|row| product(query, row))).collect();
            best(&mut all, top);
            all
        };
        let threads =
            if self.keys.len() < MANY { 1 } else { thread::available_parallelism().map_or(1, usize::from) };
        let part = self.keys.len().div_ceil(threads).max(1);
        let mut all: Vec<(u64, f32)> = thread::scope(|scope| {
            let parts = self.keys.chunks(part).zip(self.values.chunks(part * self.width));
            let running: Vec<_> =
                parts.map(|(keys, values)| scope.spawn(move || scored(keys, values))).collect();
            running.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
        });
        best(&mut all, top);
        all
    }
}

/// Keeps the best, sorted.
pub(super) fn best(all: &mut Vec<(u64, f32)>, top: usize) {
    let order = |a: &(u64, f32), b: &(u64, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if all.len() > top && top > 0 {
        all.select_nth_unstable_by(top - 1, order);
    }
    all.truncate(top);
    all.sort_by(order);
}

/// A product in eight sums, which the compiler makes vector instructions of.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    for (a, b) in a8.iter().zip(b8) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_survive_their_file_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.bin");
        let vectors =
            Vectors::default().updated(&HashSet::new(), vec![(5, vec![0.0, 1.0]), (3, vec![1.0, 0.0])], 2);
        vectors.write(&path).unwrap();
        assert_eq!(Vectors::read(&path).unwrap(), vectors);
        assert_eq!(vectors.closest(&[0.6, 0.8], 1), [(5, 0.8)]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[16] = 255;
        std::fs::write(&path, &bytes).unwrap();
        assert!(Vectors::read(&path).is_err());
        bytes[8] = 0;
        std::fs::write(&path, &bytes).unwrap();
        assert!(Vectors::read(&path).is_err());
    }
}
