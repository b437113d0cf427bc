//! `gyrus similar`: pictures that are alike, duplicates and outliers of a folder.

use std::path::PathBuf;

use clap::Args;
use gyrus::Similar;
use gyrus::verbs::{SimilarReport, counted};

use super::help::{JSON, THREADS};
use super::values::threads;
use crate::exit::Failure;
use crate::output::{note, say, say_json};
use crate::progress::Watcher;

/// Find the images of a folder that are most like others, its duplicates and its outliers
///
/// Without --model, images are compared by thumbnails of 32 x 32 pixels: that finds copies, but not what an image shows. With a
/// network, they are compared by what it answers before its last layer. Every image is compared with every other, exactly.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder of images; its sub-folders count
    folder: PathBuf,
    /// Images whose nearest are listed; without any, duplicates and outliers are
    images: Vec<PathBuf>,
    /// Network by whose eyes images are compared: run folder, model file or folder of another program, or a name on the hub
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// How many of the nearest images, or of the outliers, are listed
    #[arg(long, default_value_t = Similar::TOP)]
    top: usize,
    /// List images that are in the folder several times
    #[arg(long)]
    duplicates: bool,
    /// List the images that are least like their nearest
    #[arg(long)]
    outliers: bool,
    /// Correlation of thumbnails from which on two images count as the same
    #[arg(long, default_value_t = Similar::ALIKE, value_parser = share)]
    alike: f64,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.5..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0.5 to 1".into()),
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { folder, images, model, top, alike, threads, .. } = arguments;
    // What is asked for, or an overview.
    let all = images.is_empty() && !arguments.duplicates && !arguments.outliers;
    let report = Similar {
        images: images.clone(),
        model: model.clone(),
        top: *top,
        duplicates: arguments.duplicates || all,
        outliers: arguments.outliers || all,
        alike: *alike,
        threads: *threads,
        ..Similar::new(folder)
    }
    .run(&mut Watcher::without_stop())?;
    if arguments.json {
        return say_json(&report);
    }
    for file in &report.failed {
        note(format_args!("skipped {}: {}", file.file.display(), file.reason));
    }
    show(&report)?;
    note(format_args!(
        "{} compared by {}, {} numbers each, {:.2} s",
        counted(report.images as u64, "image"),
        report.compared_by,
        report.width,
        report.seconds
    ));
    Ok(())
}

fn show(report: &SimilarReport) -> Result<(), Failure> {
    for image in &report.nearest {
        say(format_args!("nearest to {}", image.image.display()))?;
        for neighbor in &image.nearest {
            say(format_args!("  {:.3}  {}", neighbor.similarity, neighbor.file.display()))?;
        }
    }
    if let Some(groups) = &report.duplicates {
        let copies: usize = groups.iter().map(|group| group.files.len() - 1).sum();
        match groups.len() {
            0 => say("no duplicates")?,
            _ => say(format_args!("duplicates: {}", counted(copies as u64, "image")))?,
        }
        for group in groups {
            let same = if group.same_bytes {
                "the same bytes".to_owned()
            } else {
                format!("alike by {:.4}", group.similarity)
            };
            let parts = if group.across_parts { ", across training and test" } else { "" };
            let classes = if group.across_classes { ", in different classes" } else { "" };
            say(format_args!("  {same}{parts}{classes}"))?;
            group.files.iter().try_for_each(|file| say(format_args!("    {}", file.display())))?;
        }
    }
    if let Some(outliers) = &report.outliers {
        match outliers.len() {
            0 => say("no outliers")?,
            _ => say("outliers, by similarity to the five nearest")?,
        }
        for outlier in outliers {
            say(format_args!("  {:.3}  {}", outlier.similarity, outlier.file.display()))?;
        }
    }
    Ok(())
}
