//! Whether a blueprint fits the data.

use gyrus_blueprint::{Blueprint, NodeKind, Shape};
use gyrus_data::{Preprocessing, Task};
use gyrus_nn::SpikingSettings;

use crate::{Error, Result};

/// The shape of what a network gets of one example, as blueprints write it: `[channels, height, width]` or `[columns]`; in
/// time, of one step of it.
pub(crate) fn input_shape(preprocessing: &Preprocessing, spiking: Option<&SpikingSettings>) -> Result<Shape> {
    let shape = match preprocessing {
        Preprocessing::Image { height, width, channels, .. } => vec![*channels, *height, *width],
        table @ Preprocessing::Table { .. } => table.shape(),
        // Channels of a cochlea are a row of numbers, pixels of a camera a picture.
        Preprocessing::Events { height: 1, width, polarity: false, .. } => vec![*width],
        Preprocessing::Events { height, width, polarity, .. } => {
            vec![1 + usize::from(*polarity), *height, *width]
        }
    };
    let coded = match spiking {
        Some(settings) => settings.encoder.input_shape(&shape),
        None => Some(shape),
    };
    let too_large = || Error::request("an encoded example has more elements than can be counted");
    coded.map(Shape).ok_or_else(too_large)
}

/// Fails unless the blueprint, which lies in `file`, takes such data and gives one output for each class, or one in all.
pub(crate) fn check_fit(
    blueprint: &Blueprint,
    file: &str,
    (preprocessing, spiking): (&Preprocessing, Option<&SpikingSettings>),
    task: &Task,
    data: &str,
) -> Result<()> {
    let shapes = blueprint.shapes()?;
    let find = |wanted: fn(&NodeKind) -> bool| {
        let node = blueprint.nodes().iter().position(|node| wanted(&node.kind));
        node.map_or(Shape(Vec::new()), |node| shapes.output(node).clone())
    };
    let outputs = match task {
        Task::Classification { classes } => classes.len(),
        Task::Regression { .. } => 1,
    };
    let input = find(|kind| matches!(kind, NodeKind::Input { .. }));
    let output = find(|kind| matches!(kind, NodeKind::Output));
    let needed = input_shape(preprocessing, spiking)?;
    for (what, got, needed) in [("takes", input, needed), ("gives", output, Shape(vec![outputs]))] {
        if got != needed {
            return Err(Error::Request(format!(
                "{file}: the blueprint {what} {got}, but {data} needs {needed}"
            )));
        }
    }
    Ok(())
}
