//! The workloads, under the names that all workers know.

/// How a workload is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two workers alternate; the median step time counts.
    Steps,
    /// The same with one worker per library of spiking networks.
    Spiking,
    /// One image at a time through a trained and converted network: our event-driven body and SpikingJelly, or our
    /// clocked body.
    Events,
    /// Sentence embedding: our encoder, sentence-transformers and onnxruntime.
    Embed,
    /// Workers with a language model, ours and one per library.
    Language,
    /// The same with the memory reader as the only peer.
    Memory,
    /// Networks on pictures, a folder of them, attribution: PyTorch and what builds on it, and for inference the runtimes of ONNX.
    Vision,
    /// Two programs run from start to finish; the median wall time counts.
    Whole,
}

/// One workload.
#[derive(Debug)]
pub(crate) struct Workload {
    /// Its name, the same on the Python side.
    pub(crate) name: &'static str,
    /// How it is measured.
    pub(crate) kind: Kind,
    /// Our goal for the ratio of our time to that of the fastest peer, at most.
    pub(crate) time_ratio_goal: f64,
    /// Our goal for the ratio of our peak memory to that of the leanest peer, at most.
    pub(crate) memory_ratio_goal: f64,
}

/// Every workload, in the order in which it is measured.
pub(crate) const WORKLOADS: &[Workload] = &[
    steps("mlp-train", 0.9),
    steps("cnn-train", 0.5),
    steps("resnet20-train", 0.8),
    steps("mlp-infer-64", 0.7),
    steps("mlp-infer-1", 0.5),
    steps("cnn-infer-64", 0.7),
    steps("cnn-infer-1", 0.5),
    steps("resnet20-infer-64", 0.7),
    steps("resnet20-infer-1", 0.5),
    Workload { name: "learn-mnist", kind: Kind::Whole, time_ratio_goal: 0.5, memory_ratio_goal: 1.0 },
    spiking("spiking-layer-dense", 0.4),
    spiking("spiking-layer-sparse", 0.15),
    spiking("spiking-layer-wide", 0.3),
    spiking("spiking-mnist-train", 0.3),
    spiking("spiking-cnn-train", 0.4),
    Workload { kind: Kind::Events, ..spiking(EVENTS_BESIDE_SPIKINGJELLY, 0.1) },
    Workload { kind: Kind::Events, ..spiking(EVENTS_BESIDE_CLOCKED, 0.5) },
    Workload { kind: Kind::Embed, ..steps("embed-minilm-1000", 0.7) },
    language("decode-q8_0", 1.0),
    language("decode-q4_0", 1.0),
    language("prefill-q8_0", 1.0),
    language("prefill-q4_0", 1.0),
    language("start-q4_0", 1.5),
    language("start-q4_0-cold", 1.5),
    // 0.8 of the read bandwidth.
    Workload { kind: Kind::Memory, ..steps("decode-q8_0-memory", 1.25) },
    Workload { kind: Kind::Memory, ..steps("decode-q4_0-memory", 1.25) },
    Workload { memory_ratio_goal: 0.7, ..steps("decoder-256-train", 0.7) },
    Workload { memory_ratio_goal: 0.7, ..steps("decoder-512-train", 0.8) },
    Workload { memory_ratio_goal: 0.7, ..steps("lora-135m-train", 0.8) },
    vision("resnet50-infer-1", 0.9),
    vision("resnet50-infer-32", 0.9),
    vision("mobilenetv2-infer-1", 0.9),
    vision("mobilenetv2-infer-32", 0.9),
    vision("efficientnet-lite0-infer-1", 0.9),
    vision("efficientnet-lite0-infer-32", 0.9),
    vision("vit-s16-infer-8", 0.8),
    vision("resnet18-tune-16", 0.7),
    vision("efficientnet-lite0-tune-16", 0.7),
    vision(JPEG_FOLDER, 0.6),
    vision(ATTRIBUTION, 0.6),
];

/// The two workloads of pictures that are not a network's step.
pub(crate) const JPEG_FOLDER: &str = "jpeg-folder";
pub(crate) const ATTRIBUTION: &str = "attribution-64";

/// The two workloads of the event-driven body.
pub(crate) const EVENTS_BESIDE_SPIKINGJELLY: &str = "events-mnist-infer-1";
pub(crate) const EVENTS_BESIDE_CLOCKED: &str = "events-beside-clocked";

const fn steps(name: &'static str, time_ratio_goal: f64) -> Workload {
    Workload { name, kind: Kind::Steps, time_ratio_goal, memory_ratio_goal: 1.0 }
}

const fn spiking(name: &'static str, time_ratio_goal: f64) -> Workload {
    Workload { name, kind: Kind::Spiking, time_ratio_goal, memory_ratio_goal: 0.5 }
}

const fn language(name: &'static str, time_ratio_goal: f64) -> Workload {
    Workload { kind: Kind::Language, ..steps(name, time_ratio_goal) }
}

const fn vision(name: &'static str, time_ratio_goal: f64) -> Workload {
    Workload { kind: Kind::Vision, ..steps(name, time_ratio_goal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_python_side_knows_every_workload_of_steps() {
        let torch = include_str!("../peers/torch_works.py");
        let spiking = include_str!("../peers/snn_works.py");
        let events = include_str!("../peers/event_works.py");
        assert!(events.contains(&format!("WORKS = [\"{EVENTS_BESIDE_SPIKINGJELLY}\"]")));
        let embed = include_str!("../peers/embed_worker.py");
        assert!(embed.contains("WORKS = [\"embed-minilm-1000\"]"));
        let vision = include_str!("../peers/vision_worker.py");
        for work in WORKLOADS.iter().filter(|work| work.kind == Kind::Vision) {
            assert!(vision.contains(&format!("\"{}\"", work.name)), "the Python side lacks {}", work.name);
        }
        for work in WORKLOADS.iter().filter(|work| matches!(work.kind, Kind::Steps | Kind::Spiking)) {
            let python = if work.kind == Kind::Spiking { spiking } else { torch };
            let entry = format!("\"{}\": (", work.name);
            assert!(python.contains(&entry), "the Python side lacks {}", work.name);
        }
    }
}
