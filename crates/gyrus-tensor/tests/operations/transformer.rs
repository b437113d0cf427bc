//! Operations of a transformer.

use std::sync::Arc;

use gyrus_kernels::stored::Format;
use gyrus_tensor::{
    CausalAttention, FeedForwardActivation, IGNORED, LowRankLinear, Operation, RotationTable, StoredLinear,
    StoredMatrix, Transformer,
};

use super::case::{Case, quarters};

/// Angles of two pairs for each of 40 positions.
fn rotation() -> RotationTable {
    RotationTable::new(&[1.0, 0.1], 40)
}

#[test]
fn transformer() {
    let case = |name: &str, operation, rows, x| Case::new(name, Operation::Transformer(operation), rows, x);
    let tokens = [3, 0, 3, 4, 1, 3, 3].into();
    case("embedding", Transformer::Embedding { tokens }, 5, quarters(5 * 6, 1)).check();
    for plus_one in [false, true] {
        let name = format!("root mean square, plus one {plus_one}");
        case(&name, Transformer::RmsNorm { epsilon: 1e-3, plus_one }, 7, quarters(7 * 19, 1))
            .parameters([quarters(19, 2)])
            .check();
    }
    for (heads, key_value_heads, ends, rotation, window) in [
        (1, 1, vec![1], None, None),
        (2, 2, vec![3, 3, 9], None, None),
        (4, 2, vec![11, 31], Some(rotation()), None),
        (3, 1, vec![23], Some(rotation()), None),
        (2, 1, vec![23, 31], Some(rotation().scaled(1.3, true)), Some(5)),
    ] {
        let softcap = window.map(|_| 0.8);
        let shape = CausalAttention { heads, key_value_heads, head_width: 6, scale: 0.4, softcap, window };
        let rows = ends[ends.len() - 1];
        let name = format!("attention of {heads} to {key_value_heads} heads over {ends:?}");
        let operation = Transformer::Attention { shape, ends: ends.into(), rotation };
        case(&name, operation, rows, quarters(rows * shape.columns(), 1)).check();
    }
    for f in [FeedForwardActivation::Silu, FeedForwardActivation::Gelu, FeedForwardActivation::GeluTanh] {
        case(&format!("gated {f:?}"), Transformer::Gated(f), 5, quarters(5 * 14, 1)).check();
    }
    for f in [FeedForwardActivation::Silu, FeedForwardActivation::Gelu, FeedForwardActivation::GeluTanh] {
        case(&format!("activated {f:?}"), Transformer::Activated(f), 5, quarters(5 * 14, 1)).check();
    }
    let shape = CausalAttention {
        heads: 3,
        key_value_heads: 1,
        head_width: 6,
        scale: 0.4,
        softcap: None,
        window: None,
    };
    for (queries, keys) in [(6, 6), (18, 6)] {
        let operation = Transformer::HeadNorm { shape, epsilon: 1e-3, plus_one: queries == 6 };
        case(&format!("normalized heads of {queries}"), operation, 9, quarters(9 * shape.columns(), 1))
            .parameters([quarters(queries, 2), quarters(keys, 3)])
            .check();
    }
    let rotate = Transformer::Rotate { shape, ends: vec![4, 9].into(), rotation: rotation() };
    case("rotated heads", rotate, 9, quarters(9 * shape.columns(), 1)).check();
    for (name, ranks, dropout) in [
        ("frozen", [0, 0], None),
        ("adapted", [2, 3], None),
        ("adapted with dropout", [0, 3], Some((0.4, 7))),
    ] {
        let stored = |outputs: usize, rank: usize, seed| {
            let bytes = quarters(outputs * 9, seed).iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
            StoredLinear {
                weight: StoredMatrix::new(Format::F32, outputs, 9, Arc::new(bytes)).unwrap(),
                bias: (rank < 3).then(|| quarters(outputs, 5).into()),
                rank,
                scale: 0.5,
            }
        };
        let parts = Arc::new([stored(12, ranks[0], 6), stored(5, ranks[1], 7)]);
        let linear = LowRankLinear { parts, dropout };
        let adapter = 9 * linear.rank() + 12 * ranks[0] + 5 * ranks[1];
        let plain = case(name, Transformer::LowRank(linear), 13, quarters(13 * 9, 1));
        let plain = if adapter > 0 { plain.parameters([quarters(adapter, 2)]) } else { plain };
        plain.second(quarters(13 * 17, 3)).check();
    }
    let operation = Transformer::LinearResidual { inputs: 9, outputs: 21 };
    case("linear with a residual", operation, 13, quarters(13 * 9, 1))
        .parameters([quarters(9 * 21, 2)])
        .second(quarters(13 * 21, 3))
        .check();
    let targets = [4, IGNORED, 0, 16, 4].into();
    let operation = Transformer::VocabularyLoss {
        targets,
        vocabulary: 17,
        softcap: Some(2.0),
        frozen: None,
        gradients: true,
    };
    case("loss over a vocabulary", operation, 5, quarters(5 * 8, 1))
        .parameters([quarters(17 * 8, 2)])
        .check();
}
