//! Operations of vision networks, composed of Burn's operations.

use burn_tensor::Tensor;
use burn_tensor::activation as act;
use gyrus_kernels::attention::encoder::EncoderAttention;

use crate::operation::Vision;

pub(super) fn apply(
    operation: &Vision,
    x: Tensor<2>,
    mut parameter: impl FnMut() -> Tensor<1>,
    second: Option<Tensor<2>>,
) -> Tensor<2> {
    let [rows, elements] = x.dims();
    let by_channel = |x: Tensor<2>, channels: usize| x.reshape([rows, elements / channels, channels]);
    match *operation {
        Vision::Product => {
            let factor = second.expect("a product has a second tensor");
            let channels = factor.dims()[1];
            let product = by_channel(x, channels) * factor.reshape([rows, 1, channels]);
            product.reshape([rows, elements])
        }
        Vision::LayerScale => {
            let scale = parameter();
            let channels = scale.dims()[0];
            (by_channel(x, channels) * scale.reshape([1, 1, channels])).reshape([rows, elements])
        }
        Vision::PositionEmbedding => x + parameter().reshape([1, elements]),
        Vision::ClassToken => {
            let token = parameter();
            let width = token.dims()[0];
            Tensor::cat(vec![token.reshape([1, width]).repeat_dim(0, rows), x], 1)
        }
        Vision::TakeToken { width, index } => x.narrow(1, index * width, width),
        Vision::SelfAttention(EncoderAttention { heads, head_width, scale }) => {
            let tokens = elements / (3 * heads * head_width);
            let parts = x.reshape([rows, tokens, 3, heads, head_width]).permute([2, 0, 3, 1, 4]);
            let part =
                |index: usize| parts.clone().narrow(0, index, 1).reshape([rows, heads, tokens, head_width]);
            let scores = part(0).matmul(part(1).swap_dims(2, 3)) * scale;
            let blended = act::softmax(scores, 3).matmul(part(2));
            blended.swap_dims(1, 2).reshape([rows, tokens * heads * head_width])
        }
    }
}
