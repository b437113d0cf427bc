//! The works that are measured, under the names that both workers know.

/// How a work is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two workers take turns at steps; the median step time counts.
    Steps,
    /// The same with a worker for each library of spiking networks.
    Spiking,
    /// Two programs run from start to finish; the median wall time counts.
    Whole,
}

/// One work.
#[derive(Debug)]
pub(crate) struct Work {
    /// Its name, the same in `bench/torch_works.py` or `bench/snn_works.py`.
    pub(crate) name: &'static str,
    /// How it is measured.
    pub(crate) kind: Kind,
    /// The ratio of our time to that of the fastest peer that we want to reach at most.
    pub(crate) time_ratio_goal: f64,
    /// The ratio of our peak memory to that of the leanest peer that we want to reach at most.
    pub(crate) memory_ratio_goal: f64,
}

/// Every work, in the order in which it is measured.
pub(crate) const WORKS: &[Work] = &[
    steps("mlp-train", 0.9),
    steps("cnn-train", 0.5),
    steps("resnet20-train", 0.8),
    steps("mlp-infer-64", 0.7),
    steps("mlp-infer-1", 0.5),
    steps("cnn-infer-64", 0.7),
    steps("cnn-infer-1", 0.5),
    steps("resnet20-infer-64", 0.7),
    steps("resnet20-infer-1", 0.5),
    Work { name: "learn-mnist", kind: Kind::Whole, time_ratio_goal: 0.5, memory_ratio_goal: 1.0 },
    spiking("spiking-layer-dense", 0.4),
    spiking("spiking-layer-sparse", 0.15),
    spiking("spiking-layer-wide", 0.3),
    spiking("spiking-mnist-train", 0.3),
    spiking("spiking-cnn-train", 0.4),
    Work { memory_ratio_goal: 0.7, ..steps("decoder-256-train", 0.7) },
    Work { memory_ratio_goal: 0.7, ..steps("decoder-512-train", 0.8) },
];

const fn steps(name: &'static str, time_ratio_goal: f64) -> Work {
    Work { name, kind: Kind::Steps, time_ratio_goal, memory_ratio_goal: 1.0 }
}

const fn spiking(name: &'static str, time_ratio_goal: f64) -> Work {
    Work { name, kind: Kind::Spiking, time_ratio_goal, memory_ratio_goal: 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_python_side_knows_every_work_made_of_steps() {
        let torch = include_str!("../../../bench/torch_works.py");
        let spiking = include_str!("../../../bench/snn_works.py");
        for work in WORKS.iter().filter(|work| work.kind != Kind::Whole) {
            let python = if work.kind == Kind::Spiking { spiking } else { torch };
            let entry = format!("\"{}\": (", work.name);
            assert!(python.contains(&entry), "the Python side lacks {}", work.name);
        }
    }
}
