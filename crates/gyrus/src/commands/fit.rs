//! Whether a blueprint belongs to data.

use gyrus_blueprint::{Blueprint, NodeKind, Shape};
use gyrus_data::{Preprocessing, Task};

use crate::failure::Failure;

/// The shape of one example as blueprints write it: `[channels, height, width]` or `[columns]`; for
/// events that of one frame.
pub(crate) fn input_shape(preprocessing: &Preprocessing) -> Shape {
    match preprocessing {
        Preprocessing::Image { height, width, channels, .. } => Shape(vec![*channels, *height, *width]),
        table @ Preprocessing::Table { .. } => Shape(table.shape()),
        // Of each step: channels of a cochlea are a row of numbers, pixels of a camera a picture.
        Preprocessing::Events { height: 1, width, polarity: false, .. } => Shape(vec![*width]),
        Preprocessing::Events { height, width, polarity, .. } => {
            Shape(vec![1 + usize::from(*polarity), *height, *width])
        }
    }
}

/// Fails unless the blueprint, which lies in `file`, takes such data and gives one output for each class, or one in all.
pub(crate) fn check_fit(
    blueprint: &Blueprint,
    file: &str,
    preprocessing: &Preprocessing,
    task: &Task,
    data: &str,
) -> Result<(), Failure> {
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
    for (what, got, needed) in
        [("takes", input, input_shape(preprocessing)), ("gives", output, Shape(vec![outputs]))]
    {
        if got != needed {
            return Err(Failure::Caller(format!(
                "{file}: the blueprint {what} {got}, but {data} needs {needed}"
            )));
        }
    }
    Ok(())
}
