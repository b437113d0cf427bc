//! Operations of vision networks.

use gyrus_tensor::{EncoderAttention, Operation, Vision};

use super::case::{Case, quarters};

#[test]
fn vision() {
    let case = |name: &str, operation, rows, x| Case::new(name, Operation::Vision(operation), rows, x);
    for (rows, pixels, channels) in [(1, 1, 1), (3, 7, 5), (2, 900, 20)] {
        let size = format!("{rows}x{pixels}x{channels}");
        let x = quarters(rows * pixels * channels, 1);
        let whole = quarters(x.len(), 2);
        case(&format!("product of {size}"), Vision::Product, rows, x.clone()).second(whole).check();
        let factors = quarters(rows * channels, 3);
        case(&format!("product by channel of {size}"), Vision::Product, rows, x.clone())
            .second(factors)
            .check();
        let scale = [quarters(channels, 4)];
        case(&format!("layer scale of {size}"), Vision::LayerScale, rows, x.clone())
            .parameters(scale)
            .check();
        let positions = [quarters(pixels * channels, 5)];
        case(&format!("positions of {size}"), Vision::PositionEmbedding, rows, x.clone())
            .parameters(positions)
            .check();
        let token = [quarters(channels, 6)];
        case(&format!("class token of {size}"), Vision::ClassToken, rows, x.clone())
            .parameters(token)
            .check();
        let index = pixels / 2;
        case(&format!("token {index} of {size}"), Vision::TakeToken { width: channels, index }, rows, x)
            .check();
    }
    for (heads, head_width, tokens) in [(1, 3, 1), (2, 6, 5), (3, 8, 17)] {
        let shape = EncoderAttention { heads, head_width, scale: 0.4 };
        let x = quarters(2 * tokens * 3 * heads * head_width, 1);
        case(&format!("{heads} heads over {tokens} tokens"), Vision::SelfAttention(shape), 2, x).check();
    }
}
