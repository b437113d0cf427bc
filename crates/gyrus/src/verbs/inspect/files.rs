//! What is in blueprints and event recordings.

use std::path::{Path, PathBuf};

use gyrus_blueprint::{Blueprint, Parameters};
use gyrus_data::recordings::{self, EventsSummary, cochlea};
use serde::Serialize;

use super::{InspectedNetwork, network};
use crate::Result;
use crate::verbs::serialized;

/// A blueprint.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedBlueprint {
    /// Its network.
    #[serde(flatten)]
    pub network: InspectedNetwork,
    /// "blueprint".
    pub format: &'static str,
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub path: PathBuf,
}

/// A recording of an event camera.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedRecording {
    /// "recording".
    pub format: &'static str,
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub path: PathBuf,
    /// The format's own name.
    pub encoding: String,
    /// Columns of the sensor.
    pub width: usize,
    /// Rows of the sensor.
    pub height: usize,
    /// Number of events.
    pub events: usize,
    /// Events at which brightness rose.
    pub on: usize,
    /// Events at which brightness fell.
    pub off: usize,
    /// From the first event to the last, in milliseconds.
    pub duration_ms: f64,
    /// Mean events per second.
    pub events_per_second: Option<f64>,
}

/// A file of many recordings of an artificial cochlea.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedCochlea {
    /// "cochlea".
    pub format: &'static str,
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub path: PathBuf,
    /// Number of recordings.
    pub recordings: usize,
    /// The classes, in the order of their numbers.
    pub classes: Vec<String>,
    /// Recordings of each class.
    pub counts: Vec<usize>,
}

pub(super) fn of_blueprint(path: &Path) -> Result<InspectedBlueprint> {
    let blueprint = Blueprint::load(path)?;
    Ok(InspectedBlueprint {
        network: network(blueprint, &Parameters::new())?,
        format: "blueprint",
        path: path.to_owned(),
    })
}

pub(super) fn of_recording(path: &Path) -> Result<InspectedRecording> {
    let summary = recordings::read(path)?.summary();
    let EventsSummary { format, width, height, events, first_us, last_us, on, off } = summary;
    let duration_ms = match (first_us, last_us) {
        (Some(first), Some(last)) => last.saturating_sub(first) as f64 / 1000.0,
        _ => 0.0,
    };
    Ok(InspectedRecording {
        format: "recording",
        path: path.to_owned(),
        encoding: format.to_string(),
        width,
        height,
        events,
        on,
        off,
        duration_ms,
        events_per_second: (duration_ms > 0.0).then(|| events as f64 / duration_ms * 1000.0),
    })
}

pub(super) fn of_cochlea(path: &Path) -> Result<InspectedCochlea> {
    let file = cochlea::open(path)?;
    let mut counts = vec![0; file.classes().len()];
    for &label in file.labels() {
        if let Some(count) = counts.get_mut(label as usize) {
            *count += 1;
        }
    }
    Ok(InspectedCochlea {
        format: "cochlea",
        path: path.to_owned(),
        recordings: file.len(),
        classes: file.classes().to_vec(),
        counts,
    })
}
