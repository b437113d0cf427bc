//! `gyrus devices`: what can compute on this machine, each proven.

use std::process::Command;

use clap::Args;
use gyrus::{Devices, DevicesReport, ListedDevice};

use super::help::JSON;
use crate::exit::Failure;
use crate::output::{say, say_json};

/// List the devices of this build and prove that each computes what the CPU computes
#[derive(Args)]
pub(crate) struct Arguments {
    /// Devices to prove [default: all]
    #[arg(value_name = "DEVICE")]
    names: Vec<String>,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let report = if arguments.names.is_empty() {
        // A driver that crashes takes its process with it, so that each has one of its own.
        let names = Devices::default().names;
        DevicesReport { devices: names.iter().map(|name| apart(name)).collect() }
    } else {
        Devices { names: arguments.names.clone() }.run()?
    };
    if arguments.json {
        return say_json(&report);
    }
    for device in &report.devices {
        let driver = device.driver.as_deref().unwrap_or("-");
        match &device.problem {
            None => say(format_args!("{:<8} ready     {driver}", device.name))?,
            Some(problem) if device.is_built => say(format_args!("{:<8} not used  {problem}", device.name))?,
            Some(problem) => say(format_args!("{:<8} -         {problem}", device.name))?,
        }
        if let Some(bytes) = device.largest_buffer {
            let mut words = vec![format!("buffers of up to {} MiB", bytes >> 20)];
            words.extend(device.features.iter().cloned());
            say(format_args!("{:<18} {}", "", words.join(", ")))?;
        }
    }
    Ok(())
}

/// A device, as a process of its own sees it.
fn apart(name: &str) -> ListedDevice {
    let asked = std::env::current_exe()
        .and_then(|program| Command::new(program).args(["devices", name, "--json"]).output());
    let failed = |problem: String| ListedDevice::unasked(name, Some(problem));
    match asked {
        Err(error) => failed(error.to_string()),
        Ok(output) => match serde_json::from_slice::<DevicesReport>(&output.stdout) {
            Ok(DevicesReport { mut devices }) if devices.len() == 1 => devices.remove(0),
            _ => failed(format!("its driver ended the program: {}", output.status)),
        },
    }
}
