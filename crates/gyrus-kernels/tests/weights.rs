//! Weights in ggml's formats, against their descriptions and against what ggml and its Python package make of them.

use gyrus_kernels::Error;
use gyrus_kernels::oracle::{self, values};
use gyrus_kernels::stored::{
    Format, Matrix, dequantize, dequantize_row, matmul, matmul_few, matmul_many, quantize,
};
use proptest::prelude::*;

/// Values with outliers, as weights have them.
fn weights(count: usize, seed: u64) -> Vec<f32> {
    values(count, seed).iter().map(|v| 0.05 * v + 0.4 * v * v * v * v * v).collect()
}

/// Weights in a format: quantized where that is possible, otherwise any.
fn store(format: Format, rows: usize, columns: usize, seed: u64) -> Vec<u8> {
    if format.is_written() {
        quantize(format, &weights(rows * columns, seed), columns).unwrap()
    } else {
        oracle::stored::blocks(format, rows, columns, seed)
    }
}

/// Fails unless the product is the oracle's, up to what summing in 32 bits costs.
fn assert_matmul(format: Format, (batch, rows, columns): (usize, usize, usize), seed: u64) {
    let bytes = store(format, rows, columns, seed);
    let matrix = Matrix::new(format, rows, columns, &bytes).unwrap();
    let x = values(batch * columns, seed + 1);
    let mut y = vec![f32::NAN; batch * rows];
    matmul(&matrix, &x, &mut y);
    let expected = oracle::stored::matmul(format, &bytes, columns, &x);
    for (i, (&y, (sum, size))) in y.iter().zip(expected).enumerate() {
        let error = (f64::from(y) - sum).abs();
        assert!(
            error <= 2e-6 * size,
            "{format:?} {batch} x {rows} x {columns}, output {i}: {y} is not {sum}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products_match_the_oracle(batch in 1usize..20, rows in 1usize..70, blocks in 1usize..4, seed in 0u64..99) {
        for format in Format::ALL {
            let columns = match format.block_weights() {
                1 => 7 * blocks,
                // Rows of few and of many blocks.
                32 => 32 * (blocks * blocks * blocks),
                weights => weights * blocks,
            };
            assert_matmul(format, (batch, rows, columns), seed);
        }
    }

    #[test]
    fn any_bytes_are_the_weights_described(seed in 0u64..1000) {
        for format in Format::ALL {
            let (rows, columns) = (3, 512);
            let bytes = oracle::stored::blocks(format, rows, columns, seed);
            let matrix = Matrix::new(format, rows, columns, &bytes).unwrap();
            let mut all = vec![f32::NAN; rows * columns];
            dequantize(&matrix, &mut all);
            for (i, &value) in all.iter().enumerate() {
                let expected = oracle::stored::weight(format, &bytes, i);
                assert!((f64::from(value) - expected).abs() <= 1e-6 * (1.0 + expected.abs()), "{format:?} {i}");
            }
            let mut row = vec![f32::NAN; columns];
            dequantize_row(&matrix, 1, &mut row);
            assert_eq!(row, all[columns..2 * columns]);
        }
    }
}

#[test]
fn products_do_not_depend_on_the_address() {
    let (rows, columns) = (6, 256);
    for format in Format::ALL {
        let bytes = store(format, rows, columns, 1);
        let mut shifted = vec![0u8; bytes.len() + 1];
        shifted[1..].copy_from_slice(&bytes);
        for batch in [1, 9] {
            let x = values(batch * columns, 2);
            let run = |bytes: &[u8]| {
                let mut y = vec![f32::NAN; batch * rows];
                matmul(&Matrix::new(format, rows, columns, bytes).unwrap(), &x, &mut y);
                y
            };
            for (a, b) in run(&bytes).iter().zip(run(&shifted[1..])) {
                assert!((a - b).abs() <= 1e-5, "{format:?}");
            }
        }
    }
}

#[test]
fn large_products_match_the_oracle() {
    for format in Format::ALL {
        for batch in [1, 3, 37] {
            assert_matmul(format, (batch, 129, 1024), 5);
        }
    }
}

#[test]
fn products_are_the_same_bits_for_any_number_of_threads() {
    let (batch, rows, columns) = (33, 301, 768);
    let x = values(batch * columns, 3);
    for format in Format::ALL {
        let bytes = store(format, rows, columns, 2);
        let matrix = Matrix::new(format, rows, columns, &bytes).unwrap();
        for batch in [1, batch] {
            let run = |threads: usize| {
                let mut y = vec![f32::NAN; batch * rows];
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| matmul(&matrix, &x[..batch * columns], &mut y));
                y.iter().map(|y| y.to_bits()).collect::<Vec<_>>()
            };
            let one = run(1);
            assert_eq!(one, run(2));
            assert_eq!(one, run(5));
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_as_among_others() {
    let rows = 131;
    for format in Format::ALL {
        for columns in [256, 768] {
            let x = values(150 * columns, 3);
            let bytes = store(format, rows, columns, 2);
            let matrix = Matrix::new(format, rows, columns, &bytes).unwrap();
            for way in [matmul_few, matmul_many] {
                let run = |x: &[f32]| {
                    let mut y = vec![f32::NAN; x.len() / columns * rows];
                    way(&matrix, x, &mut y);
                    y.iter().map(|y| y.to_bits()).collect::<Vec<_>>()
                };
                let alone: Vec<u32> = x.chunks_exact(columns).flat_map(run).collect();
                for batch in [2, 3, 4, 5, 7, 8, 9, 13, 49, 150] {
                    assert_eq!(run(&x[..batch * columns]), alone[..batch * rows], "{format:?}, {batch}");
                }
            }
        }
    }
}

#[test]
fn rounding_costs_what_the_format_is_known_for() {
    // Normal values, whose root mean square is 1.
    let uniform: Vec<Vec<f32>> = (0..12).map(|seed| values(1 << 14, 100 + seed)).collect();
    let normal: Vec<f32> = (0..1 << 14).map(|i| uniform.iter().map(|u| u[i]).sum::<f32>() / 2.0).collect();
    // Root mean square errors in percent, of which those of llama.cpp on normal weights are about 0.54, 8.3, 6.9, 1.7.
    let expected = [
        (Format::Q8_0, 0.7),
        (Format::Q4_0, 9.0),
        (Format::Q4_1, 8.5),
        (Format::Q5_0, 5.0),
        (Format::Q5_1, 4.5),
        (Format::Q4_K, 7.5),
        (Format::Q6_K, 2.0),
    ];
    for (format, most) in expected {
        let bytes = quantize(format, &normal, 1024).unwrap();
        let mut back = vec![0.0; normal.len()];
        dequantize(&Matrix::new(format, normal.len() / 1024, 1024, &bytes).unwrap(), &mut back);
        let squares = back.iter().zip(&normal).map(|(b, x)| f64::from(b - x).powi(2)).sum::<f64>();
        let error = 100.0 * (squares / normal.len() as f64).sqrt();
        assert!(error < most && error > most / 2.0, "{format:?}: {error} %");
    }
}

#[test]
fn zeros_stay_zeros() {
    for format in Format::ALL.into_iter().filter(|format| format.is_written()) {
        let bytes = quantize(format, &[0.0; 512], 256).unwrap();
        let mut back = [f32::NAN; 512];
        dequantize(&Matrix::new(format, 2, 256, &bytes).unwrap(), &mut back);
        assert_eq!(back, [0.0; 512], "{format:?}");
    }
}

#[test]
fn wrong_shapes_are_errors() {
    let bytes = [0u8; 34 * 4];
    assert!(Matrix::new(Format::Q8_0, 4, 32, &bytes).is_ok());
    assert_eq!(
        Matrix::new(Format::Q8_0, 4, 33, &bytes).unwrap_err().to_string(),
        "a row of 33 weights is not a whole number of Q8_0 blocks, which hold 32 weights each"
    );
    assert_eq!(
        Matrix::new(Format::Q8_0, 3, 32, &bytes).unwrap_err().to_string(),
        "a Q8_0 matrix of 3 rows and 32 columns does not have 136 bytes"
    );
    assert!(matches!(Matrix::new(Format::F32, usize::MAX, 256, &bytes), Err(Error::Bytes { .. })));
    assert!(matches!(Matrix::new(Format::F32, 4, usize::MAX, &bytes), Err(Error::Columns { .. })));
    assert!(matches!(quantize(Format::Q4_0, &[0.0; 65], 32), Err(Error::Values { .. })));
    assert!(matches!(quantize(Format::Q4_K, &[0.0; 64], 32), Err(Error::Columns { .. })));
    assert!(matches!(quantize(Format::IQ2_S, &[0.0; 256], 256), Err(Error::ReadOnly { .. })));
}

#[test]
fn nothing_times_nothing() {
    let empty = Matrix::new(Format::Q4_0, 0, 64, &[]).unwrap();
    matmul(&empty, &values(64, 1), &mut []);
    let bytes = quantize(Format::Q4_0, &values(64, 1), 64).unwrap();
    matmul(&Matrix::new(Format::Q4_0, 1, 64, &bytes).unwrap(), &[], &mut []);
}

/// The bytes under a name of the golden file.
fn golden(name: &str) -> Vec<u8> {
    let text = include_str!("golden/weights.txt");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect(name);
    (0..line.len() / 2).map(|i| u8::from_str_radix(&line[2 * i..][..2], 16).unwrap()).collect()
}

/// The floats under a name of the golden file.
fn golden_floats(name: &str) -> Vec<f32> {
    golden(name).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[test]
fn blocks_are_those_of_ggml() {
    let (rows, columns) = (2, 512);
    let values = golden_floats("values");
    for format in Format::ALL {
        if format == Format::F32 {
            continue;
        }
        let theirs = golden(format.name());
        let expected = golden_floats(&format!("{}_floats", format.name()));
        let mut floats = vec![f32::NAN; expected.len()];
        dequantize(&Matrix::new(format, 1, expected.len(), &theirs).unwrap(), &mut floats);
        assert_eq!(floats, expected, "{format:?}");
        if !format.is_written() {
            continue;
        }
        let ours = quantize(format, &values[..expected.len()], expected.len().min(columns)).unwrap();
        let mut ours_as_floats = vec![f32::NAN; expected.len()];
        dequantize(&Matrix::new(format, 1, expected.len(), &ours).unwrap(), &mut ours_as_floats);
        let differing = floats.iter().zip(&ours_as_floats).filter(|(a, b)| a != b).count();
        println!("{format:?}: {differing} weights differ");
        assert_eq!(differing, 0, "{format:?}");
        assert!(expected.len() <= rows * columns);
    }
}
