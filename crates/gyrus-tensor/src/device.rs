//! Devices by name, and the threads that the CPU device runs on.

use burn_dispatch::{DispatchDevice, GradientCheckpointingStrategy};
use burn_tensor::{DType, Device, Tensor};

/// The devices that [`device`] knows, whether or not this build has them.
pub const DEVICE_NAMES: [&str; 5] = ["cpu", "cuda", "wgpu", "vulkan", "metal"];

/// Why there is no such device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No device has this name.
    #[error("there is no device `{name}`; the devices are {}", DEVICE_NAMES.join(", "))]
    Unknown {
        /// The name given.
        name: String,
    },
    /// The device exists, but this program was built without it.
    #[error("this build has no device `{name}`: build with `--features {name}` to have it")]
    NotBuilt {
        /// The name given.
        name: String,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },
}

/// The CPU device, on which Gyrus's kernels run.
pub fn cpu() -> Device {
    Device::flex()
}

/// The device of this name: `cpu`, or one that the build enables as a cargo feature.
///
/// # Errors
/// If the name is unknown, or the device not part of this build.
pub fn device(name: &str) -> Result<Device, DeviceError> {
    match name {
        "cpu" => Ok(cpu()),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0)),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(burn_tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "vulkan")]
        "vulkan" => Ok(Device::vulkan(burn_tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "metal")]
        "metal" => Ok(Device::metal(burn_tensor::DeviceKind::DefaultDevice)),
        name if DEVICE_NAMES.contains(&name) => Err(DeviceError::NotBuilt { name: name.into() }),
        name => Err(DeviceError::Unknown { name: name.into() }),
    }
}

/// Whether operations on this tensor run Gyrus's kernels, rather than Burn's operations composed.
///
/// So it is for `f32` on the CPU, unless autodiff is told to recompute activations.
pub fn kernels_run_on<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device();
    let (device, plain) = match device.as_dispatch() {
        DispatchDevice::Autodiff(autodiff) => {
            let strategy = autodiff.gradient_checkpointing_strategy();
            (&**autodiff, strategy == GradientCheckpointingStrategy::Disabled)
        }
        device => (device, true),
    };
    plain && tensor.dtype() == DType::F32 && matches!(device, DispatchDevice::Flex(_))
}

/// Runs `work` on a pool of `threads` threads (0: one a core) that flush denormals; everything inside uses that pool.
///
/// # Errors
/// If the threads cannot be started.
pub fn with_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> Result<R, DeviceError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("gyrus-{index}"))
        .start_handler(|_| gyrus_kernels::flush_denormals())
        .build()
        .map_err(|error| DeviceError::Threads { threads, reason: error.to_string() })?;
    Ok(pool.install(work))
}
