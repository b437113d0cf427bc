//! `gyrus learn shapes --procedural`: what is printed of a network that learned shapes.

use gyrus::verbs::quoted;
use gyrus::{LearnShapes, LearnShapesReport};

use crate::exit::Failure;
use crate::output::{next, page, say, say_json};

pub(super) fn conclude(report: &LearnShapesReport, json: bool) -> Result<(), Failure> {
    if json {
        return say_json(report);
    }
    if let Some(verdict) = &report.verdict {
        say(verdict)?;
    }
    say(format_args!(
        "validation loss {:.4} after {} steps, in {:.0} s",
        report.validation_loss, report.steps, report.total_seconds
    ))?;
    for (name, numbers) in report.rows() {
        say(format_args!("\n{name}"))?;
        for (column, number) in LearnShapesReport::COLUMNS.iter().zip(&numbers) {
            say(format_args!("  {column:<14}{number}"))?;
        }
    }
    if !report.judged.is_empty() {
        let (least, lead) = LearnShapes::ASKED;
        say(format_args!(
            "\nIoU is that of the network; beside it what recognition alone gives: the training object with the nearest picture \
             (also in parentheses), the mean of the family, all that the silhouette allows, and the training object nearest to \
             the truth. Asked for: {least:.2} on new parameters, {lead:.2} above retrieval on unseen combinations."
        ))?;
    }
    let run = quoted(&report.run);
    next(format_args!(
        "\nNext:\n  gyrus sculpt PICTURE.png --model {run}      makes a solid of a picture\n  \
         gyrus sculpt \"a red torus on a blue box\" --model {run}      makes one of a sentence\n  open {}      curves and \
         settings",
        page(&report.page)
    ))
}
