//! Processes that simulate a circuit together: each builds and updates some of its parts, and all learn of all spikes.
//!
//! Parts are divided by what they cost, the same way in every process. After each pass, which lasts as long as the shortest delay,
//! every process sends the spikes of its parts to all others. What a part computes depends on the circuit and on the spikes alone, so
//! they are the same for any number of processes. Memory for neurons and synapses is divided; rows of synapses begin for every source
//! in each part, as with one process.

use crate::error::Result;

/// A process and its partners. Every call must be made by all of them, in the same order.
pub trait Processes: Send + Sync + std::fmt::Debug {
    /// Number of processes.
    fn count(&self) -> usize;

    /// Which one this is.
    fn rank(&self) -> usize;

    /// Sends numbers to all; `received` becomes what each sent, in the order of the ranks.
    ///
    /// # Errors
    /// If a partner cannot be reached.
    fn exchange(&self, own: &[u32], received: &mut Vec<Vec<u32>>) -> Result<()>;
}

/// The sum over all processes, and whether any says yes.
pub(crate) fn agree<const N: usize>(
    processes: &dyn Processes,
    own: [u64; N],
    says: bool,
) -> Result<([u64; N], bool)> {
    let mut words = vec![u32::from(says)];
    words.extend(own.iter().flat_map(|number| [*number as u32, (number >> 32) as u32]));
    let mut received = Vec::new();
    processes.exchange(&words, &mut received)?;
    let (mut sums, mut any) = ([0u64; N], false);
    for words in received.iter().filter(|words| words.len() == 1 + 2 * N) {
        any |= words[0] != 0;
        for (sum, pair) in sums.iter_mut().zip(words[1..].chunks_exact(2)) {
            *sum = sum.wrapping_add(u64::from(pair[0]) | u64::from(pair[1]) << 32);
        }
    }
    Ok((sums, any))
}

/// Those of MPI.
#[cfg(feature = "mpi")]
pub mod mpi {
    use mpi::Count;
    use mpi::datatype::PartitionMut;
    use mpi::environment::Universe;
    use mpi::topology::SimpleCommunicator;
    use mpi::traits::{Communicator as _, CommunicatorCollectives as _};

    use super::Processes;
    use crate::error::{Error, Result};

    /// All processes that `mpirun` started.
    pub struct World {
        world: SimpleCommunicator,
        /// Ends MPI when it is dropped.
        _universe: Universe,
    }

    impl std::fmt::Debug for World {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("World").field("rank", &self.world.rank()).finish_non_exhaustive()
        }
    }

    impl World {
        /// Joins the other processes; once in a program. Without `mpirun` there is one.
        ///
        /// # Errors
        /// If MPI does not start, or lets only one thread speak.
        pub fn join() -> Result<Self> {
            let wanted = mpi::Threading::Serialized;
            let failed = |problem: &str| Error::Processes(problem.to_owned());
            let (universe, given) = mpi::initialize_with_threading(wanted)
                .ok_or_else(|| failed("MPI has been started before"))?;
            if given < wanted {
                return Err(failed("this MPI lets only one thread speak"));
            }
            Ok(Self { world: universe.world(), _universe: universe })
        }
    }

    impl Processes for World {
        fn count(&self) -> usize {
            self.world.size() as usize
        }

        fn rank(&self) -> usize {
            self.world.rank() as usize
        }

        fn exchange(&self, own: &[u32], received: &mut Vec<Vec<u32>>) -> Result<()> {
            let too_long = |_| Error::Processes("more spikes in a pass than a message holds".to_owned());
            let length = Count::try_from(own.len()).map_err(too_long)?;
            let mut counts = vec![0 as Count; self.count()];
            self.world.all_gather_into(&length, &mut counts[..]);
            let mut starts = Vec::with_capacity(counts.len());
            let mut total: Count = 0;
            for count in &counts {
                starts.push(total);
                total = total
                    .checked_add(*count)
                    .ok_or_else(|| Error::Processes("too many spikes".to_owned()))?;
            }
            let mut all = vec![0u32; total as usize];
            let mut partition = PartitionMut::new(&mut all[..], counts.clone(), &starts[..]);
            self.world.all_gather_varcount_into(own, &mut partition);
            received.clear();
            received.extend(
                starts
                    .iter()
                    .zip(&counts)
                    .map(|(start, count)| all[*start as usize..][..*count as usize].to_vec()),
            );
            Ok(())
        }
    }
}
