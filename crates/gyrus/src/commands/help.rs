//! Help texts of options that several commands have.

pub(crate) const ACCUMULATE: &str = "Gradients averaged for one step";
pub(crate) const ADAPTER: &str =
    "Folder with a low-rank adapter (LoRA) of the model, as PEFT and `gyrus tune` write it";
pub(crate) const CHAT_TEMPLATE: &str = "File with a chat template (Jinja), instead of the model's own";
pub(crate) const CHAT_TEMPLATE_KWARGS: &str =
    "Variables of the chat template as JSON, such as '{\"enable_thinking\": false}'";
pub(crate) const DEVICE: &str =
    "cpu, or a device that this program was built with: cuda | wgpu | vulkan | metal; see gyrus devices";
pub(crate) const JSON: &str = "Print one JSON object on standard output, and nothing else there";
pub(crate) const MODEL: &str =
    "Hugging Face folder or model id, .gguf file, or llama2.c file (.bin) with tokenizer.bin beside it";
pub(crate) const RESUME: &str = "Continue an unfinished run";
pub(crate) const SCHEDULE: &str = "Learning rate over the steps: one-cycle | cosine | wsd | constant";
pub(crate) const SEED: &str = "Random seed";
pub(crate) const THREADS: &str = "Worker threads; 0 = one per core. Results do not depend on it";
pub(crate) const WEIGHT_DECAY: &str = "Decoupled weight decay";
