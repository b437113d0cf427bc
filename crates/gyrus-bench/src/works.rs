//! The works that are measured, under the names that both workers know.

/// How a work is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two workers take turns at steps; the median step time counts.
    Steps,
    /// Two programs run from start to finish; the median wall time counts.
    Whole,
}

/// One work.
#[derive(Debug)]
pub(crate) struct Work {
    /// Its name, the same in `bench/torch_works.py`.
    pub(crate) name: &'static str,
    /// How it is measured.
    pub(crate) kind: Kind,
    /// The ratio ours / PyTorch of times that we want to reach at most.
    pub(crate) time_ratio_goal: f64,
}

/// The ratio ours / PyTorch of peak memory that we want to reach at most, in every work.
pub(crate) const MEMORY_RATIO_GOAL: f64 = 1.0;

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
    Work { name: "learn-mnist", kind: Kind::Whole, time_ratio_goal: 0.5 },
];

const fn steps(name: &'static str, time_ratio_goal: f64) -> Work {
    Work { name, kind: Kind::Steps, time_ratio_goal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_python_side_knows_every_work_made_of_steps() {
        let python = include_str!("../../../bench/torch_works.py");
        for work in WORKS.iter().filter(|work| work.kind == Kind::Steps) {
            let entry = format!("\"{}\": (", work.name);
            assert!(python.contains(&entry), "torch_works.py lacks {}", work.name);
        }
    }
}
