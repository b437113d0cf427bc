//! From a decoded file to network input; saved in `run.json`, so that `predict` does what `learn` did.

use serde::{Deserialize, Serialize};

use crate::table::Decimal;
use crate::{Images, Ink, Resize};

/// Everything that is needed to turn a file into network input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Preprocessing {
    /// Resize to `height` by `width`, convert to `channels`, then `(pixel / 255 - mean) / deviation` per channel.
    Image {
        /// Rows in pixels.
        height: usize,
        /// Columns in pixels.
        width: usize,
        /// 1 (gray) or 3 (red, green, blue).
        channels: usize,
        /// Mean of the training pixels per channel, on the scale 0 to 1.
        mean: Vec<f32>,
        /// Standard deviation of the training pixels per channel, on the scale 0 to 1; never 0.
        deviation: Vec<f32>,
        /// How the training images show ink on paper, or light on black, where all of them do alike.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ink: Option<Ink>,
        /// How pictures of other sizes are resized, where the network was trained elsewhere and says so; without it they are
        /// stretched as [`crate::image_files`] says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resize: Option<Resize>,
    },
    /// Encode each column, in this order, side by side.
    Table {
        /// The columns that are read, by name; others are ignored.
        columns: Vec<ColumnEncoding>,
        /// The name of the column to predict.
        target: String,
    },
    /// Count events in frames: see [`crate::recordings::frames`].
    Events {
        /// Frames of a recording.
        steps: usize,
        /// Rows of a frame.
        height: usize,
        /// Columns of a frame.
        width: usize,
        /// Rows of the sensor; 1 for a cochlea.
        sensor_height: usize,
        /// Columns of the sensor, or channels of a cochlea.
        sensor_width: usize,
        /// Whether darker and brighter are two channels.
        polarity: bool,
        /// Whether events of one pixel within a frame are one spike.
        binary: bool,
        /// Length of a frame in microseconds, the first from time 0 on; without it each recording is cut into equal
        /// parts from its first to its last event.
        window_us: Option<u64>,
    },
}

/// How one column of a file becomes numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnEncoding {
    /// The name in the header.
    pub name: String,
    /// Numeric or categorical.
    #[serde(flatten)]
    pub kind: ColumnKind,
}

/// The two kinds of column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ColumnKind {
    /// One number, `(value - mean) / deviation`, a missing one taken as the mean.
    Numeric {
        /// Mean of the training rows, in the unit of the column.
        mean: f64,
        /// Standard deviation of the training rows, in the unit of the column; never 0.
        deviation: f64,
        /// Whether a second number follows: 1 where the value is missing, else 0.
        missing_indicator: bool,
        /// How its numbers are written, unless a file shows otherwise.
        #[serde(default, skip_serializing_if = "is_usual")]
        decimal: Decimal,
        /// Whether the column has a long tail: `mean` is the median then, `deviation` that of a normal distribution with
        /// the same quartiles, and the number is the inverse hyperbolic sine of the quotient.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        long_tail: bool,
        /// Values beyond these are taken as these: the range of the training rows, and half of it more on each side. A
        /// network would answer anything far outside of what it has seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limits: Option<[f64; 2]>,
    },
    /// One number per level: 1 for the level of the row, else 0.
    Categorical {
        /// The known levels, sorted.
        levels: Vec<String>,
        /// Whether one more number follows, 1 for every level that is rare, missing or unknown. Without it
        /// (nothing of the kind in the training rows, so nothing could be learned for it) these are all zeros.
        other: bool,
    },
}

fn is_usual(decimal: &Decimal) -> bool {
    *decimal == Decimal::default()
}

impl ColumnKind {
    /// How many numbers the column becomes.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Numeric { missing_indicator, .. } => 1 + usize::from(*missing_indicator),
            Self::Categorical { levels, other } => levels.len() + usize::from(*other),
        }
    }
}

impl Preprocessing {
    /// The preprocessing for images like these: their size, and mean and deviation of each channel.
    #[must_use]
    pub fn for_images(images: &Images) -> Self {
        let mut histogram = vec![[0_u64; 256]; images.channels];
        for pixel in images.pixels.chunks_exact(images.channels.max(1)) {
            for (channel, value) in histogram.iter_mut().zip(pixel) {
                channel[usize::from(*value)] += 1;
            }
        }
        let (mean, deviation) = histogram.iter().map(moments).unzip();
        let Images { height, width, channels, .. } = *images;
        Self::Image { height, width, channels, mean, deviation, ink: Ink::of(images), resize: None }
    }

    /// The shape of one example as the network receives it: `[height, width, channels]` `[columns]`, or for
    /// events `[steps, height, width, channels]`.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Image { height, width, channels, .. } => vec![*height, *width, *channels],
            Self::Table { columns, .. } => vec![columns.iter().map(|column| column.kind.width()).sum()],
            Self::Events { steps, height, width, polarity, .. } => {
                vec![*steps, *height, *width, 1 + usize::from(*polarity)]
            }
        }
    }

    /// For each channel the normalized value of each of the 256 brightnesses; empty if this is not for images.
    pub(crate) fn brightness_tables(&self) -> Vec<[f32; 256]> {
        let Self::Image { channels, mean, deviation, .. } = self else { return Vec::new() };
        (0..*channels)
            .map(|channel| {
                // A run file edited by hand may lack an entry: such a channel is scaled to 0..1 only.
                let mean = mean.get(channel).copied().unwrap_or(0.0);
                let deviation = deviation.get(channel).copied().unwrap_or(1.0);
                std::array::from_fn(|value| (value as f32 / 255.0 - mean) / deviation)
            })
            .collect()
    }
}

/// Mean and deviation on the scale 0 to 1; a constant channel has deviation 1.
fn moments(histogram: &[u64; 256]) -> (f32, f32) {
    let total = histogram.iter().sum::<u64>().max(1) as f64;
    let scaled = || histogram.iter().enumerate().map(|(value, count)| (value as f64 / 255.0, *count as f64));
    let mean = scaled().map(|(value, count)| value * count).sum::<f64>() / total;
    let variance = scaled().map(|(value, count)| (value - mean).powi(2) * count).sum::<f64>() / total;
    let deviation = variance.sqrt();
    (mean as f32, if deviation > 1e-6 { deviation as f32 } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_images_are_per_channel() {
        let images = Images {
            pixels: vec![0, 51, 255, 51, 0, 51, 255, 51],
            count: 1,
            height: 2,
            width: 2,
            channels: 2,
        };
        let Preprocessing::Image { mean, deviation, .. } = Preprocessing::for_images(&images) else {
            panic!("images give an image preprocessing")
        };
        assert_eq!(mean, [0.5, 0.2]);
        assert_eq!(deviation, [0.5, 1.0]);
    }

    #[test]
    fn it_survives_json() {
        let table = Preprocessing::Table {
            columns: vec![
                ColumnEncoding {
                    name: "age".into(),
                    kind: ColumnKind::Numeric {
                        mean: 40.5,
                        deviation: 3.25,
                        missing_indicator: true,
                        decimal: Decimal::Comma,
                        long_tail: true,
                        limits: Some([-1.5, 99.5]),
                    },
                },
                ColumnEncoding {
                    name: "color".into(),
                    kind: ColumnKind::Categorical { levels: vec!["blue".into(), "red".into()], other: true },
                },
            ],
            target: "price".into(),
        };
        assert_eq!(table.shape(), [5]);
        let image = Preprocessing::Image {
            height: 8,
            width: 9,
            channels: 1,
            mean: vec![0.1],
            deviation: vec![0.3],
            ink: None,
            resize: None,
        };
        assert_eq!(image.shape(), [8, 9, 1]);
        let events = Preprocessing::Events {
            steps: 10,
            height: 17,
            width: 20,
            sensor_height: 34,
            sensor_width: 40,
            polarity: true,
            binary: true,
            window_us: None,
        };
        assert_eq!(events.shape(), [10, 17, 20, 2]);
        for preprocessing in [table, image, events] {
            let text = serde_json::to_string(&preprocessing).unwrap();
            assert_eq!(serde_json::from_str::<Preprocessing>(&text).unwrap(), preprocessing);
        }
    }
}
