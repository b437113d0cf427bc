//! Our side of the works: the networks of `bench/torch_works.py`, built with Gyrus.

use anyhow::{Result, bail};

/// One work, set up on fixed random data.
pub(crate) trait Work {
    /// Does the work once: a whole training step (forward, backward, optimizer), or one inference.
    ///
    /// The result must be complete when this returns, and may not be optimised away.
    fn step(&mut self) -> Result<()>;

    /// How many trainable numbers the network has; the runner compares it with PyTorch's count.
    fn parameters(&self) -> usize;
}

/// Sets up the work `name` for `threads` threads.
///
/// # Errors
/// When there is no such work on our side.
pub(crate) fn create(name: &str, threads: usize) -> Result<Box<dyn Work>> {
    bail!(
        "'{name}' on {threads} threads has no implementation on our side; --torch-only measures PyTorch alone"
    )
}
