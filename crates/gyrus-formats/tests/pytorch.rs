//! PyTorch's files, made by `golden/pytorch_files.py`.

#[path = "common/random.rs"]
mod random;

use std::path::{Path, PathBuf};

use gyrus_formats::pytorch::{parse, read};
use random::Random;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn tensors_are_read_without_running_anything() {
    let checkpoint = read(&golden("pytorch.bin")).unwrap();
    let tensor = |name: &str| {
        let tensor = &checkpoint.tensors()[name];
        (tensor.shape().to_vec(), tensor.floats())
    };
    let base: Vec<f32> = (0..24).map(|i| i as f32 / 8.0).collect();
    assert_eq!(checkpoint.tensors().len(), 5);
    assert_eq!(tensor("matrix"), (vec![4, 6], base.clone()));
    assert_eq!(tensor("rows"), (vec![2, 6], base[12..].to_vec()));
    assert_eq!(tensor("half"), (vec![6], base[..6].iter().map(|x| x - 1.0).collect()));
    assert_eq!(tensor("bfloat"), (vec![6], base[..6].iter().map(|x| x * 100.0).collect()));
    assert_eq!(tensor("scalar"), (vec![], vec![2.5]));
}

#[test]
fn programs_are_refused() {
    let said = read(&golden("evil.bin")).unwrap_err().to_string();
    assert!(said.contains("evil.bin") && said.contains("print") && said.contains("never run"), "{said}");
}

#[test]
fn axes_in_another_order_are_put_in_order_and_repeated_numbers_refused() {
    let turned = &read(&golden("turned.bin")).unwrap().tensors()["turned"].clone();
    assert_eq!(turned.shape(), [6, 4]);
    let expected: Vec<f32> = (0..24).map(|i| (i % 4 * 6 + i / 4) as f32 / 8.0).collect();
    assert_eq!(turned.floats(), expected);
    let said = read(&golden("repeated.bin")).unwrap_err().to_string();
    assert!(said.contains("'repeated'") && said.contains("each number once"), "{said}");
}

#[test]
fn files_of_before_version_1_6_hold_the_same() {
    let new = read(&golden("pytorch.bin")).unwrap();
    let old = read(&golden("legacy.th")).unwrap();
    assert_eq!(old.tensors().len(), 5);
    for (name, tensor) in new.tensors() {
        assert_eq!(
            (tensor.shape(), tensor.floats()),
            (old.tensors()[name].shape(), old.tensors()[name].floats())
        );
    }
}

#[test]
fn damaged_files_end_in_an_error() {
    damage(&std::fs::read(golden("pytorch.bin")).unwrap());
    damage(&std::fs::read(golden("legacy.th")).unwrap());
}

fn damage(whole: &[u8]) {
    let path = Path::new("x.bin");
    for cut in (0..whole.len()).step_by(7) {
        parse(path, &whole[..cut].to_vec().into()).unwrap_err();
    }
    let mut random = Random(5);
    for _ in 0..5000 {
        let mut bytes = whole.to_vec();
        for _ in 0..1 + random.next() % 3 {
            let place = (random.next() % bytes.len() as u64) as usize;
            bytes[place] = [0, 0xFF, random.next() as u8][(random.next() % 3) as usize];
        }
        if let Ok(checkpoint) = parse(path, &bytes.into()) {
            checkpoint.tensors().values().for_each(|tensor| drop(tensor.floats()));
        }
    }
}
