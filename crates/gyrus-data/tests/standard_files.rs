//! MNIST's and CIFAR's files: read as they are, and refused with the right sentence when they are not.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use gyrus_data::{Features, Images, Targets, cifar, cifar10, fashion_mnist, idx, mnist};
use proptest::prelude::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx_file(shape: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

/// A small MNIST: 12 training and 3 test images, image `n` filled with `n`, of class `n % 10`.
fn small_mnist(folder: &Path) {
    for (prefix, count) in [("train", 12_u8), ("t10k", 3)] {
        let pixels: Vec<u8> = (0..count).flat_map(|image| [image; 784]).collect();
        let labels: Vec<u8> = (0..count).map(|image| image % 10).collect();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
        // Both spellings, gzipped and not.
        write(
            &format!("{prefix}-images-idx3-ubyte.gz"),
            &gzip(&idx_file(&[u32::from(count), 28, 28], &pixels)),
        );
        write(&format!("{prefix}-labels.idx1-ubyte"), &idx_file(&[u32::from(count)], &labels));
    }
}

fn images(features: &Features) -> &Images {
    match features {
        Features::Images(images) => images,
        _ => panic!("these are images"),
    }
}

#[test]
fn mnist_is_read_from_either_spelling() {
    let folder = tempfile::tempdir().unwrap();
    small_mnist(folder.path());
    let dataset = mnist(folder.path()).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len()), (12, 3));
    assert_eq!(images(&dataset.train.features).get(11).unwrap(), [11; 784]);
    assert_eq!(dataset.train.targets, Targets::Classes(vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]));
    assert_eq!(fashion_mnist(folder.path()).unwrap().name, "fashion-mnist");
}

#[test]
fn a_wrong_mnist_is_named_with_file_and_byte() {
    let labels = "train-labels.idx1-ubyte";
    let images = "train-images-idx3-ubyte.gz";
    let whole = idx_file(&[12, 28, 28], &[7; 12 * 784]);
    let mut damaged = gzip(&whole);
    let checksum = damaged.len() - 5;
    damaged[checksum] ^= 1;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (labels, vec![], "byte 0: got the end of the file after 0 of 4 bytes"),
        (
            labels,
            idx_file(&[12, 1], &[0; 12]),
            "byte 3: got the magic number [00, 00, 08, 02], expected [00, 00, 08, 01]",
        ),
        (labels, idx_file(&[12], &[0; 11]), "byte 19: got the end of the file after 11 of 12 bytes"),
        (labels, idx_file(&[12], &[0; 13]), "byte 20: got more bytes"),
        (labels, idx_file(&[11], &[0; 11]), "byte 4: got 11 labels, expected 12"),
        (labels, idx_file(&[12], &[0, 1, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0]), "byte 11: got the label 10"),
        (labels, idx_file(&[0], &[]), "byte 4: got 0 as the size of dimension 1"),
        (images, idx_file(&[u32::MAX, u32::MAX, u32::MAX], &[]), "byte 4: got 4294967295"),
        (images, idx_file(&[12, 14, 56], &[7; 12 * 784]), "byte 8: got images of 14 by 56 pixels"),
        (images, gzip(&whole)[..40].to_vec(), "damaged or truncated gzip data"),
        (images, damaged, "damaged or truncated gzip data"),
    ];
    for (name, bytes, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        small_mnist(folder.path());
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let message = mnist(folder.path()).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(expected), "{message:?} lacks {expected:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let message = mnist(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("no training images in") && message.contains("train-images-idx3-ubyte[.gz] or"),
        "{message}"
    );
}

#[test]
fn a_gzip_bomb_is_refused_after_what_the_header_promises() {
    let folder = tempfile::tempdir().unwrap();
    small_mnist(folder.path());
    let mut bomb = idx_file(&[12, 28, 28], &[]);
    bomb.resize(200 << 20, 0);
    std::fs::write(folder.path().join("train-images-idx3-ubyte.gz"), gzip(&bomb)).unwrap();
    let message = mnist(folder.path()).unwrap_err().to_string();
    assert!(message.contains("byte 9424: got more bytes"), "{message}");
}

fn record(label: u8, [red, green, blue]: [u8; 3]) -> Vec<u8> {
    let mut record = vec![label];
    [red, green, blue].iter().for_each(|value| record.extend([*value; 1024]));
    record
}

#[test]
fn cifar_is_read_with_the_batches_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("cifar-10-batches-bin");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("data_batch_2.bin"), [record(3, [1, 2, 3]), record(9, [4, 5, 6])].concat())
        .unwrap();
    let message = cifar10(folder.path()).unwrap_err().to_string();
    assert!(message.contains("no test batch in") && message.contains("test_batch.bin"), "{message}");
    std::fs::write(inner.join("test_batch.bin.gz"), gzip(&record(0, [7, 8, 9]))).unwrap();
    let dataset = cifar10(folder.path()).unwrap();
    assert_eq!(images(&dataset.train.features).get(1).unwrap()[..6], [4, 5, 6, 4, 5, 6]);
    assert_eq!(dataset.train.targets, Targets::Classes(vec![3, 9]));
    assert_eq!(dataset.notes[0], "1 of 5 training batches found: 2 images");
    assert_eq!(dataset.notes[1], "test_batch.bin.gz holds 1 of the 10000 test images");
}

#[test]
fn a_wrong_cifar_is_named_with_file_and_byte() {
    let path = PathBuf::from("data_batch_1.bin");
    let message = |bytes: &[u8]| cifar::read_batch(bytes, &path).unwrap_err().to_string();
    assert!(message(&[]).contains("data_batch_1.bin, byte 0: got the end of the file after 0 bytes"));
    let mut broken = record(1, [0; 3]);
    broken.extend([5; 10]);
    assert!(message(&broken).contains("byte 3083: got the end of the file after 10 bytes of a record"));
    let wrong = [record(1, [0; 3]), record(12, [0; 3])].concat();
    assert!(message(&wrong).contains("byte 3073: got the label 12, expected a label from 0 to 9"));
    assert!(message(&vec![0; 10_001 * 3073]).contains("byte 30730000: got more bytes"));
    let folder = tempfile::tempdir().unwrap();
    let message = cifar10(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("no training batch in") && message.contains("data_batch_5.bin[.gz]"),
        "{message}"
    );
}

/// The folder with the real data, or a word that these tests are skipped.
fn real_data(part: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = std::env::var_os("GYRUS_DATA").map_or(default, PathBuf::from).join(part);
    if !path.is_dir() {
        eprintln!("skipped: {} does not exist (set GYRUS_DATA)", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn the_real_mnist_is_whole() {
    let Some(path) = real_data("mnist") else { return };
    let dataset = mnist(&path).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len()), (60_000, 10_000));
    let gyrus_data::Preprocessing::Image { mean, deviation, .. } = &dataset.preprocessing else {
        panic!("images")
    };
    // The values that everybody uses.
    assert!(
        (mean[0] - 0.1307).abs() < 1e-4 && (deviation[0] - 0.3081).abs() < 1e-4,
        "{mean:?} {deviation:?}"
    );
    assert!(dataset.notes.is_empty());
}

#[test]
fn the_real_cifar_is_readable() {
    let Some(path) = real_data("cifar10") else { return };
    let dataset = cifar10(&path).unwrap();
    assert!(dataset.train.len() >= 10_000 && dataset.train.len().is_multiple_of(10_000));
    assert!(dataset.test.len() >= 1000);
    let gyrus_data::Preprocessing::Image { mean, .. } = &dataset.preprocessing else { panic!("images") };
    for (ours, known) in mean.iter().zip([0.491, 0.482, 0.447]) {
        assert!((ours - known).abs() < 0.01, "{mean:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_idx_file_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), dimensions in 0_u8..5) {
        let _ = idx::read(&bytes[..], Path::new("any"), dimensions, 1 << 20);
    }

    #[test]
    fn a_flipped_or_cut_idx_file_never_panics_and_keeps_its_shape(
        position in 0_usize..16, bit in 0_u32..8, length in 0_usize..40,
    ) {
        let whole = idx_file(&[2, 3, 4], &[9; 24]);
        let mut flipped = whole.clone();
        flipped[position] ^= 1 << bit;
        prop_assert!(idx::read(&flipped[..], Path::new("any"), 3, 1 << 20).is_err());
        prop_assert!(idx::read(&whole[..length], Path::new("any"), 3, 1 << 20).is_err());
        let read = idx::read(&whole[..], Path::new("any"), 3, 1 << 20).unwrap();
        prop_assert_eq!(read.shape, vec![2, 3, 4]);
    }

    #[test]
    fn damaged_gzip_never_panics(position in 0_usize..30, bit in 0_u32..8) {
        let folder = tempfile::tempdir().unwrap();
        small_mnist(folder.path());
        let path = folder.path().join("t10k-images-idx3-ubyte.gz");
        let mut bytes = std::fs::read(&path).unwrap();
        let position = position % bytes.len();
        bytes[position] ^= 1 << bit;
        std::fs::write(&path, bytes).unwrap();
        // The time stamp and the name of the system in a gzip header mean nothing, so that some flips are harmless.
        if let Ok(dataset) = mnist(folder.path()) {
            prop_assert_eq!(images(&dataset.test.features).get(2).unwrap(), [2; 784]);
        }
    }

    #[test]
    fn any_bytes_are_a_cifar_batch_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(cifar::read_batch(&bytes[..], Path::new("any")).is_err());
    }
}
