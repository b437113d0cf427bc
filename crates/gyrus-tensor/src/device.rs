//! Devices by name.

use burn_dispatch::{DispatchDevice, GradientCheckpointingStrategy};
use burn_tensor::{DType, Device, Tensor};

/// The names that [`device`] accepts, whether or not this build has the device.
pub const DEVICE_NAMES: [&str; 5] = ["cpu", "cuda", "wgpu", "vulkan", "metal"];

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a device is not available.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No device has this name.
    #[error("there is no device `{name}`; the devices are {}", DEVICE_NAMES.join(", "))]
    Unknown {
        /// The name given.
        name: String,
    },
    /// The device exists, but this program was built without it.
    #[error("this build has no device `{name}`; build with `--features {name}` to add it")]
    NotBuilt {
        /// The name given.
        name: String,
    },
}

/// The CPU device, on which Gyrus's kernels run.
pub fn cpu() -> Device {
    Device::flex()
}

/// The device of this name: `cpu`, or one that a cargo feature enables.
///
/// # Errors
/// If the name is unknown, or the device is not part of this build.
pub fn device(name: &str) -> Result<Device> {
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
        name if DEVICE_NAMES.contains(&name) => Err(Error::NotBuilt { name: name.into() }),
        name => Err(Error::Unknown { name: name.into() }),
    }
}

/// Whether operations on this tensor run Gyrus's kernels, rather than compositions of Burn's operations.
///
/// True for `f32` on the CPU, unless autodiff recomputes activations.
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
