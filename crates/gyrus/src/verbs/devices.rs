//! What can compute on this machine.

use gyrus_tensor::{DEVICE_NAMES, Driver, Error, examine};
use serde::{Deserialize, Serialize};

use crate::Result;

/// Lists devices, and proves each that this build has: operations with their gradients and steps of the optimizers are
/// compared with the CPU.
///
/// A driver that crashes takes the process with it; the program asks each in a process of its own.
#[derive(Clone, Debug)]
pub struct Devices {
    /// The devices, by name.
    pub names: Vec<String>,
}

/// What there is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DevicesReport {
    /// In the order asked for.
    pub devices: Vec<ListedDevice>,
}

/// A device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedDevice {
    /// As `--device` takes it.
    pub name: String,
    /// Whether this build has it.
    pub is_built: bool,
    /// Device, driver, its version, and the graphics interface, where there is one.
    pub driver: Option<String>,
    /// Whether it computes on the CPU.
    pub is_software: bool,
    /// Bytes of the largest buffer, where it is known.
    pub largest_buffer: Option<u64>,
    /// Optional abilities that kernels use where they are there.
    pub features: Vec<String>,
    /// Why it is not used; `None` if it is proven.
    pub problem: Option<String>,
}

impl Default for Devices {
    fn default() -> Self {
        Self { names: DEVICE_NAMES.map(str::to_owned).to_vec() }
    }
}

impl Devices {
    /// Lists and proves.
    ///
    /// # Errors
    /// If a name is none of a device.
    pub fn run(&self) -> Result<DevicesReport> {
        let devices = self.names.iter().map(|name| listed(name)).collect::<Result<_>>()?;
        Ok(DevicesReport { devices })
    }
}

impl ListedDevice {
    /// A device that has not been asked.
    pub fn unasked(name: &str, problem: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            is_built: true,
            driver: None,
            is_software: false,
            largest_buffer: None,
            features: Vec::new(),
            problem,
        }
    }
}

fn listed(name: &str) -> Result<ListedDevice> {
    let examined = examine(name);
    let (is_built, problem) = match examined.device {
        Ok(_) => (true, None),
        Err(error @ Error::Unknown { .. }) => return Err(error.into()),
        Err(error) => (!matches!(error, Error::NotBuilt { .. }), Some(error.to_string())),
    };
    let Driver { name: driver, is_software, largest_buffer, features } = examined.driver.unwrap_or_default();
    let driver = Some(driver).filter(|driver| !driver.is_empty());
    let unasked = ListedDevice::unasked(name, problem);
    Ok(ListedDevice { is_built, driver, is_software, largest_buffer, features, ..unasked })
}
