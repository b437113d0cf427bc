//! Devices by name, each proven before it is used.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use burn_dispatch::{DispatchDevice, GradientCheckpointingStrategy};
use burn_tensor::{DType, Device, Tensor};

use crate::probe::{self, Difference};

/// The names that [`device`] accepts, whether or not this build has the device.
pub const DEVICE_NAMES: [&str; 5] = ["cpu", "cuda", "wgpu", "vulkan", "metal"];

/// What stands behind the name of a device whose driver computes on the CPU, as in `wgpu:software`.
pub const SOFTWARE: &str = ":software";

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a device is not available.
#[derive(Clone, Debug, thiserror::Error)]
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
    /// There is no driver, or it fails.
    #[error("the device `{name}` cannot be used: {reason}")]
    Unavailable {
        /// The name given.
        name: String,
        /// What the driver says.
        reason: String,
    },
    /// The only driver computes on the CPU, and was not asked for.
    #[error(
        "the only driver of the device `{name}` computes on the CPU ({driver}), far slower than `--device cpu`; \
         `--device {name}{SOFTWARE}` uses it"
    )]
    Software {
        /// The name given.
        name: String,
        /// Its driver.
        driver: String,
    },
    /// The device computes other numbers than the CPU.
    #[error(
        "the device `{name}` computes wrong numbers and is not used: {} is {} where the CPU has {} ({driver})",
        difference.operation, difference.got, difference.expected
    )]
    Wrong {
        /// The name given.
        name: String,
        /// Its driver.
        driver: String,
        /// Where it differs.
        difference: Difference,
    },
}

/// The CPU device, on which Gyrus's kernels run.
pub fn cpu() -> Device {
    Device::flex()
}

/// What computes on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// Device, driver, its version, and the graphics interface.
    pub name: String,
    /// Whether it computes on the CPU.
    pub is_software: bool,
    /// Bytes of the largest buffer; unknown for CUDA.
    pub largest_buffer: Option<u64>,
    /// Number types beside 32 bits and other optional abilities that kernels use where they are there.
    pub features: Vec<String>,
}

/// A device that has been asked for.
#[derive(Clone, Debug)]
pub struct Examined {
    /// What computes; `None` where there is nothing.
    pub driver: Option<Driver>,
    /// The device, if it is proven, or why it is not used.
    pub device: Result<Device>,
}

/// The device of this name: `cpu`, or one that a cargo feature enables. With [`SOFTWARE`] behind the name of `wgpu` or
/// `vulkan` it is a driver that computes on the CPU, for tests.
///
/// Other devices than the CPU are proven on first use: operations with their gradients and steps of the optimizers are
/// compared with the CPU, within 1e-4 relative to their largest number (4e-3 for `cuda`, whose tensor cores round factors to
/// 10 bits).
///
/// # Errors
/// If the name is unknown, the device is not part of this build, there is no driver, or it computes other numbers.
pub fn device(name: &str) -> Result<Device> {
    if name == "cpu" { Ok(cpu()) } else { examine(name).device }
}

/// [`device`], with what is known of its driver.
pub fn examine(name: &str) -> Examined {
    /// What has been opened, since a device can be set up once in a process.
    static OPENED: Mutex<BTreeMap<String, Examined>> = Mutex::new(BTreeMap::new());
    if name == "cpu" {
        let driver = Driver { name: "kernels of Gyrus".to_owned(), is_software: true, ..Driver::default() };
        return Examined { driver: Some(driver), device: Ok(cpu()) };
    }
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let examined = || match open(name) {
        Err(error) => Examined { driver: None, device: Err(error) },
        Ok((device, driver)) => {
            let device = proven(name, device, &driver);
            Examined { driver: Some(driver), device }
        }
    };
    opened.entry(name.to_owned()).or_insert_with(examined).clone()
}

/// A device of this build and its driver, unproven.
#[cfg(feature = "wgpu")]
fn open(name: &str) -> Result<(Device, Driver)> {
    use burn_tensor::DeviceKind;
    use burn_tensor::wgpu::{WgpuBackend, WgpuInitError, wgpu};

    let (short, is_asked) = name.strip_suffix(SOFTWARE).map_or((name, false), |short| (short, true));
    let interface = match short {
        "wgpu" => WgpuBackend::Auto,
        #[cfg(feature = "vulkan")]
        "vulkan" => WgpuBackend::Vulkan,
        #[cfg(feature = "metal")]
        "metal" => WgpuBackend::Metal,
        _ => return open_other(name),
    };
    let kind = if is_asked { DeviceKind::Cpu } else { DeviceKind::DefaultDevice };
    let begun = || Device::wgpu_options().device_kind(kind).graphics_api(interface).init_with_setup();
    let unavailable = |reason: String| Error::Unavailable { name: name.to_owned(), reason };
    let (device, setup) = guarded(begun).map_err(unavailable)?.map_err(|error| match error {
        WgpuInitError::AdapterUnavailable { .. } => unavailable("there is no driver for it".to_owned()),
        error => unavailable(error.to_string()),
    })?;
    let adapter = setup.adapter.get_info();
    let words = [&adapter.name, &adapter.driver, &adapter.driver_info].map(|word| word.trim());
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let has = setup.device.features();
    let features = [
        (wgpu::Features::SHADER_F16, "16-bit floats"),
        (wgpu::Features::SHADER_F64, "64-bit floats"),
        (wgpu::Features::SHADER_INT64, "64-bit integers"),
        (wgpu::Features::SUBGROUP, "subgroups"),
        (wgpu::Features::SHADER_FLOAT32_ATOMIC, "atomic sums of floats"),
        (wgpu::Features::PASSTHROUGH_SHADERS, "SPIR-V"),
    ];
    let driver = Driver {
        name: format!("{}, {}", words.join(", "), setup.backend),
        is_software: adapter.device_type == wgpu::DeviceType::Cpu,
        largest_buffer: Some(setup.device.limits().max_storage_buffer_binding_size.into()),
        features: features
            .iter()
            .filter(|(one, _)| has.contains(*one))
            .map(|(_, word)| (*word).to_owned())
            .collect(),
    };
    if driver.is_software && !is_asked {
        return Err(Error::Software { name: name.to_owned(), driver: driver.name });
    }
    Ok((device, driver))
}

#[cfg(not(feature = "wgpu"))]
fn open(name: &str) -> Result<(Device, Driver)> {
    open_other(name)
}

/// Devices that are not reached through wgpu.
fn open_other(name: &str) -> Result<(Device, Driver)> {
    let short = name.strip_suffix(SOFTWARE).unwrap_or(name);
    match name {
        #[cfg(feature = "cuda")]
        "cuda" => Ok((Device::cuda(0), Driver { name: "CUDA, device 0".to_owned(), ..Driver::default() })),
        _ if ["wgpu", "vulkan"].contains(&short) || DEVICE_NAMES.contains(&name) => {
            Err(Error::NotBuilt { name: short.to_owned() })
        }
        _ => Err(Error::Unknown { name: name.to_owned() }),
    }
}

/// The device, if it computes what the CPU computes.
fn proven(name: &str, device: Device, driver: &Driver) -> Result<Device> {
    let driver = driver.name.clone();
    let tolerance = if name.starts_with("cuda") { 4e-3 } else { 1e-4 };
    match guarded(|| probe::difference(&device, tolerance)) {
        Ok(None) => Ok(device),
        Ok(Some(difference)) => Err(Error::Wrong { name: name.to_owned(), driver, difference }),
        Err(reason) => {
            Err(Error::Unavailable { name: name.to_owned(), reason: format!("{reason} ({driver})") })
        }
    }
}

/// What `work` returns, or the first line of what it panics with: drivers and the layers above them panic where they fail.
fn guarded<T>(work: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it failed");
        text.lines().next().unwrap_or_default().to_owned()
    })
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
