//! What a NIR network can be given besides images: currents and spikes of each step from CSV and `.npy` files, and
//! recordings of event cameras and cochleas.
//!
//! - **CSV**: a line for each step and a column for each element of the input, in the order of NIR (channels first). A first
//!   line of names is skipped, and so is a first column named `step`. One line is a current that is the same at every step.
//!   Two columns named `step` and `neuron` are a list of spikes instead.
//! - **`.npy`**: `[steps, ...]`, the rest being the shape of the Input; `[samples, steps, ...]` for several samples; or the
//!   shape of the Input alone, for a current that is the same at every step.
//! - **Recordings** are counted in frames (see [`gyrus_data::recordings::frames`]): so many milliseconds a step, or so many
//!   frames of equal length.

use std::path::Path;

use gyrus_blueprint::{Image, Shape};
use gyrus_data::is_cochlea_file;
use gyrus_data::recordings::frames::{Grid, Slicing, frames};
use gyrus_data::recordings::{Events, cochlea, is_event_file, read};
use gyrus_files::{from_npy, read_bounded};

use crate::{Error, Result};

/// The largest CSV or `.npy` file.
const MAX_BYTES: u64 = 1 << 30;
/// The most numbers in a sample.
const MAX_NUMBERS: usize = 1 << 28;

/// One sample, channels-last.
#[derive(Debug, PartialEq)]
pub(super) enum Sample {
    /// The same at every step: `[elements]`.
    Constant(Vec<f32>),
    /// `[steps, elements]`
    Frames(Vec<f32>),
}

/// How recordings become frames, and files of steps fewer or more of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Number of steps, if it is asked for.
    pub(super) steps: Option<usize>,
    /// Milliseconds of a recording in a step, if that is asked for.
    pub(super) window_ms: Option<f64>,
    /// Whether events of a pixel in a step are one spike, rather than counted.
    pub(super) binary: bool,
}

/// Milliseconds of a recording in a step, where nothing is asked for.
const WINDOW_MS: f64 = 1.0;

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Image,
    Csv,
    Npy,
    Recording,
}

impl Kind {
    pub(super) fn of(file: &Path) -> Self {
        let extension = file.extension().unwrap_or_default().to_ascii_lowercase();
        match extension.to_str() {
            Some("csv" | "tsv" | "txt") => Self::Csv,
            Some("npy") => Self::Npy,
            _ if is_event_file(file) || is_cochlea_file(file) => Self::Recording,
            _ => Self::Image,
        }
    }
}

/// The samples of a file, for a network with an Input of this shape.
pub(super) fn samples(file: &Path, kind: Kind, shape: &Shape, cut: Cut) -> Result<Vec<Sample>> {
    let samples = match kind {
        Kind::Csv => vec![csv(file, shape)?],
        Kind::Npy => npy(file, shape)?,
        Kind::Recording | Kind::Image => return recordings(file, shape, cut),
    };
    Ok(samples.into_iter().map(|sample| resized(sample, shape, cut.steps)).collect())
}

/// As many steps as asked for: the first ones, or silence after the last.
fn resized(sample: Sample, shape: &Shape, steps: Option<usize>) -> Sample {
    match (sample, steps) {
        (Sample::Frames(mut values), Some(steps)) => {
            values.resize(steps.saturating_mul(shape.iter().product()).min(MAX_NUMBERS), 0.0);
            Sample::Frames(values)
        }
        (sample, _) => sample,
    }
}

fn wrong(file: &Path, got: impl std::fmt::Display, expected: impl std::fmt::Display) -> Error {
    Error::Request(format!("{}: {got}; expected {expected}", file.display()))
}

fn npy(file: &Path, shape: &Shape) -> Result<Vec<Sample>> {
    let array = from_npy(&read_bounded(file, MAX_BYTES)?, file)?;
    let elements: usize = shape.iter().product();
    let image = Image::of(shape);
    if let Some(at) = array.values.iter().position(|value| !value.is_finite()) {
        return Err(wrong(file, format!("{} at place {at}", array.values[at]), "finite numbers"));
    }
    // An Input of several axes may be given flat.
    let ends = [&shape[..], &[elements]];
    let lead = ends.into_iter().find_map(|end| before(&array.shape, end));
    let rows = || array.values.chunks_exact(elements.max(1)).flat_map(|row| image.channels_last(row));
    match lead {
        Some([]) => Ok(vec![Sample::Constant(rows().collect())]),
        Some([steps]) if *steps > 0 => Ok(vec![Sample::Frames(rows().collect())]),
        Some([samples, steps]) if samples * steps > 0 => {
            let all: Vec<f32> = rows().collect();
            Ok(all.chunks_exact(steps * elements).map(|sample| Sample::Frames(sample.to_vec())).collect())
        }
        _ => Err(wrong(
            file,
            format!("an array of shape {:?}", array.shape),
            format!(
                "{shape} for a current that is the same at every step, or with [steps] or [samples, steps] in front of it"
            ),
        )),
    }
}

/// The axes of a shape before an ending.
fn before<'a>(shape: &'a [usize], end: &[usize]) -> Option<&'a [usize]> {
    let lead = shape.len().checked_sub(end.len())?;
    (shape[lead..] == *end).then(|| &shape[..lead])
}

fn csv(file: &Path, shape: &Shape) -> Result<Sample> {
    let bytes = read_bounded(file, MAX_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let elements: usize = shape.iter().product();
    let image = Image::of(shape);
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    let names: Vec<String> = match lines.peek() {
        Some((_, first)) if cells(first).any(|cell| cell.parse::<f32>().is_err()) => {
            let names = cells(first).map(|name| name.to_lowercase()).collect();
            lines.next();
            names
        }
        _ => Vec::new(),
    };
    let is = |at: usize, known: &[&str]| names.get(at).is_some_and(|name| known.contains(&name.as_str()));
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for (at, line) in lines {
        rows.clear();
        for (column, cell) in cells(line).enumerate() {
            let number = cell.parse::<f32>().ok().filter(|number| number.is_finite()).ok_or_else(|| {
                let got = format!("{cell:?} in line {}, column {}", at + 1, column + 1);
                wrong(file, got, "a finite number")
            })?;
            rows.push(number);
        }
        if names.len() == 2 && is(0, &["step"]) && is(1, &["neuron", "index", "element", "channel"]) {
            let place = |number: f32, below: usize, what: &str| {
                let whole = number >= 0.0 && number.fract() == 0.0 && (number as usize) < below;
                let got = || format!("the {what} {number} in line {}", at + 1);
                whole.then_some(number as usize).ok_or_else(|| {
                    wrong(file, got(), format!("whole numbers from 0 to {}", below.saturating_sub(1)))
                })
            };
            let &[step, neuron] = &rows[..] else {
                return Err(wrong(file, format!("{} columns in line {}", rows.len(), at + 1), "two"));
            };
            let (step, neuron) =
                (place(step, MAX_NUMBERS / elements.max(1), "step")?, place(neuron, elements, "neuron")?);
            if values.len() < (step + 1) * elements {
                values.resize((step + 1) * elements, 0.0);
            }
            values[step * elements + neuron] = 1.0;
            continue;
        }
        let numbers = if is(0, &["step"]) && rows.len() == elements + 1 { &rows[1..] } else { &rows[..] };
        if numbers.len() != elements {
            let got = format!("{} columns in line {}", numbers.len(), at + 1);
            return Err(wrong(file, got, format!("{elements}, one for each element of the Input {shape}")));
        }
        if values.len() + elements > MAX_NUMBERS {
            return Err(wrong(file, "more numbers", format!("at most {MAX_NUMBERS}")));
        }
        values.extend_from_slice(numbers);
    }
    if values.is_empty() {
        return Err(wrong(file, "no numbers", format!("a line of {elements} numbers for each step")));
    }
    let last: Vec<f32> =
        values.chunks_exact(elements.max(1)).flat_map(|row| image.channels_last(row)).collect();
    let constant = last.len() == elements && names.len() != 2;
    Ok(if constant { Sample::Constant(last) } else { Sample::Frames(last) })
}

/// Cells separated by commas, semicolons, tabs or blanks.
fn cells(line: &str) -> impl Iterator<Item = &str> {
    let separator = [',', ';', '\t'].into_iter().find(|separator| line.contains(*separator));
    let blanks = separator.is_none();
    let line = line.trim();
    line.split(move |letter: char| separator.map_or(letter.is_whitespace(), |separator| letter == separator))
        .map(str::trim)
        .filter(move |cell| !(blanks && cell.is_empty()))
}

fn recordings(file: &Path, shape: &Shape, cut: Cut) -> Result<Vec<Sample>> {
    if is_cochlea_file(file) {
        let mut all = cochlea::open(file)?;
        return (0..all.len()).map(|index| framed(&all.recording(index)?, file, shape, cut)).collect();
    }
    Ok(vec![framed(&read(file)?, file, shape, cut)?])
}

/// One recording, counted in frames.
fn framed(events: &Events, file: &Path, shape: &Shape, cut: Cut) -> Result<Sample> {
    let (channels, height, width) = match shape[..] {
        [channels @ (1 | 2), height, width] => (channels, height, width),
        [elements] if events.height == 1 => (1, 1, elements),
        _ => {
            let got = format!("a recording of {} by {} pixels", events.width, events.height);
            let expected = format!(
                "what the network takes, {shape}; recordings need [2, height, width] (darker, brighter), [1, height, width] or, \
                 from a cochlea, [channels]"
            );
            return Err(wrong(file, got, expected));
        }
    };
    // A sensor that fits is not scaled: files without a header show its busy part only.
    let fits = events.width <= width && events.height <= height;
    let (sensor_width, sensor_height) = if fits { (width, height) } else { (events.width, events.height) };
    let grid = Grid { sensor_width, sensor_height, width, height, polarity: channels == 2 };
    let window_us = |window_ms: f64| (window_ms * 1000.0).round().max(1.0) as u64;
    let slicing = match (cut.window_ms, cut.steps) {
        (None, Some(steps)) => Slicing::Frames(steps),
        (window_ms, _) => Slicing::Window { window_us: window_us(window_ms.unwrap_or(WINDOW_MS)) },
    };
    let mut counted = frames(events, slicing, grid, file)?;
    if cut.binary {
        counted.make_binary();
    }
    let values = counted.counts.into_iter().map(f32::from).collect();
    let steps = cut.window_ms.and(cut.steps);
    Ok(resized(Sample::Frames(values), shape, steps))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gyrus_files::{StateTensor, to_npy};

    use super::*;

    const ANY: Cut = Cut { steps: None, window_ms: None, binary: false };

    fn read_as(name: &str, bytes: &[u8], shape: &[usize], cut: Cut) -> Result<Vec<Sample>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        samples(&file, Kind::of(&file), &Shape(shape.to_vec()), cut)
    }

    #[test]
    fn csv_files_are_steps_constants_or_lists_of_spikes() {
        let of = |text: &str, shape: &[usize]| read_as("x.csv", text.as_bytes(), shape, ANY).unwrap();
        assert_eq!(of("1,2\n3,4.5\n", &[2]), [Sample::Frames(vec![1.0, 2.0, 3.0, 4.5])]);
        assert_eq!(
            of("\u{feff}step;a;b\r\n0;1;2\r\n1;3;4\r\n", &[2]),
            [Sample::Frames(vec![1.0, 2.0, 3.0, 4.0])]
        );
        assert_eq!(of("0.5 1e-1\n", &[2]), [Sample::Constant(vec![0.5, 0.1])]);
        assert_eq!(of("step,neuron\n2,1\n0,0\n", &[2]), [Sample::Frames(vec![1.0, 0.0, 0.0, 0.0, 0.0, 1.0])]);
        // [channels 2, height 1, width 2] becomes channels-last.
        assert_eq!(of("1,2,3,4", &[2, 1, 2]), [Sample::Constant(vec![1.0, 3.0, 2.0, 4.0])]);
        let more = Cut { steps: Some(3), ..ANY };
        let padded = read_as("x.csv", b"1\n2\n", &[1], more).unwrap();
        assert_eq!(padded, [Sample::Frames(vec![1.0, 2.0, 0.0])]);
        for (text, reason) in [
            ("1,2,3", "3 columns in line 1; expected 2"),
            ("a,b\n1,x", "\"x\" in line 2, column 2"),
            ("a,b\n", "no numbers"),
            ("1,2\n1,inf", "\"inf\" in line 2, column 2"),
            ("step,neuron\n0,2\n", "neuron 2 in line 2; expected whole numbers from 0 to 1"),
        ] {
            let error = read_as("x.csv", text.as_bytes(), &[2], ANY).unwrap_err().to_string();
            assert!(error.contains(reason), "{error} lacks {reason}");
        }
    }

    #[test]
    fn npy_files_are_constants_steps_or_samples() {
        let of = |axes: &[usize], shape: &[usize]| {
            let count: usize = axes.iter().product();
            let array = StateTensor { shape: axes.to_vec(), values: (0..count).map(|i| i as f32).collect() };
            read_as("x.npy", &to_npy(&array), shape, ANY)
        };
        assert_eq!(of(&[2], &[2]).unwrap(), [Sample::Constant(vec![0.0, 1.0])]);
        assert_eq!(of(&[2, 2], &[2]).unwrap(), [Sample::Frames(vec![0.0, 1.0, 2.0, 3.0])]);
        assert_eq!(of(&[3, 2, 2], &[2]).unwrap().len(), 3);
        assert_eq!(of(&[1, 2, 1, 2], &[2, 1, 2]).unwrap(), [Sample::Frames(vec![0.0, 2.0, 1.0, 3.0])]);
        assert_eq!(of(&[1, 4], &[2, 1, 2]).unwrap(), [Sample::Frames(vec![0.0, 2.0, 1.0, 3.0])]);
        let error = of(&[2, 3], &[2]).unwrap_err().to_string();
        assert!(error.contains("shape [2, 3]") && error.contains("[samples, steps]"), "{error}");
    }

    #[test]
    fn recordings_are_cut_by_time_or_into_parts() {
        // Two N-MNIST events of 5 bytes: x, y, polarity and time; at 0 µs and at 2500 µs.
        let bytes = [1, 0, 0x80, 0, 0, 0, 1, 0x00, 0x09, 0xc4];
        let of = |cut| match &read_as("x.bin", &bytes, &[2, 2, 2], cut).unwrap()[..] {
            [Sample::Frames(values)] => values.clone(),
            other => panic!("{other:?}"),
        };
        let windows = of(ANY);
        assert_eq!(windows.len(), 3 * 8, "three steps of 1 ms");
        // Channels-last: row 0, column 1, brighter; then row 1, column 0, darker.
        assert_eq!((windows[3], windows[2 * 8 + 4], windows.iter().sum::<f32>()), (1.0, 1.0, 2.0));
        assert_eq!(of(Cut { window_ms: Some(5.0), ..ANY }).len(), 8);
        assert_eq!(of(Cut { steps: Some(10), ..ANY }).len(), 80);
        assert_eq!(of(Cut { steps: Some(2), window_ms: Some(1.0), ..ANY }).iter().sum::<f32>(), 1.0);
        let error = read_as("x.bin", &bytes, &[7], ANY).unwrap_err().to_string();
        assert!(error.contains("2 by 2 pixels") && error.contains("[7]"), "{error}");
    }
}
