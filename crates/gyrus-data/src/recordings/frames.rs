//! From events to frames: how often each pixel reported in each slice of time.
//!
//! Frame k counts the events with time in its slice, `n[k, row, column, polarity]`, darker before brighter; a count stops
//! at 255. Where the sensor is larger than the frame, column x becomes ⌊x · width / sensor width⌋, and rows likewise, so
//! that the events of neighbors add up. Cost: one pass over the events.

use std::path::Path;

use super::Events;
use crate::{Error, Result};

/// The most numbers in the frames of one recording.
const MAXIMUM_ELEMENTS: usize = 1 << 28;

/// How time is cut into slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slicing {
    /// So many slices of equal length, from the first to the last event of the recording.
    Frames(usize),
    /// Slices of this many microseconds from the first event on; the last may be shorter.
    Window {
        /// Length of a slice.
        window_us: u64,
    },
    /// Slices of so many microseconds from time 0 of the recording's clock; events outside of them are left out.
    Clock {
        /// Length of a slice.
        window_us: u64,
        /// Number of slices.
        frames: usize,
    },
    /// Slices of so many events each; the last may have fewer.
    EventCount(usize),
}

/// Sensor and frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Columns of the sensor (or channels of a cochlea); events beyond are refused.
    pub sensor_width: usize,
    /// Rows of the sensor (1 for a cochlea); events beyond are refused.
    pub sensor_height: usize,
    /// Columns of a frame.
    pub width: usize,
    /// Rows of a frame.
    pub height: usize,
    /// Whether darker and brighter are counted apart.
    pub polarity: bool,
}

impl Grid {
    /// A frame as large as the sensor.
    #[must_use]
    pub fn of(events: &Events) -> Self {
        let (width, height) = (events.width, events.height);
        Self { sensor_width: width, sensor_height: height, width, height, polarity: events.polarity }
    }

    /// 2 where darker and brighter are counted apart, else 1.
    #[must_use]
    pub fn channels(&self) -> usize {
        1 + usize::from(self.polarity)
    }
}

/// Recordings as counts of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frames {
    /// `[count, steps, height, width, channels]`: what a network reads, one row of numbers for each step, channels last.
    pub counts: Vec<u8>,
    /// Number of recordings.
    pub count: usize,
    /// Frames of a recording.
    pub steps: usize,
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
    /// 2 (darker, brighter) or 1.
    pub channels: usize,
}

impl Frames {
    /// Numbers of one recording: `steps * height * width * channels`.
    #[must_use]
    pub fn example_length(&self) -> usize {
        self.steps * self.height * self.width * self.channels
    }

    /// Every count above 0 becomes 1: a spike or none.
    pub fn make_binary(&mut self) {
        self.counts.iter_mut().for_each(|count| *count = (*count).min(1));
    }

    /// The same counts as most libraries order them: `[count, steps, channels, height, width]`.
    #[must_use]
    pub fn channels_first(&self) -> Vec<u8> {
        let (area, channels) = (self.height * self.width, self.channels);
        let mut counts = Vec::with_capacity(self.counts.len());
        for frame in self.counts.chunks_exact((area * channels).max(1)) {
            counts.extend((0..channels).flat_map(|channel| frame[channel..].iter().step_by(channels)));
        }
        counts
    }
}

/// The frames of one recording; `path` is for the errors. Without events there is one empty frame, or the requested number.
///
/// # Errors
/// [`Error::Mismatch`] for a slicing or grid of nothing, one with more than 2²⁸ numbers, or an event outside of the sensor.
pub fn frames(events: &Events, slicing: Slicing, grid: Grid, path: &Path) -> Result<Frames> {
    let error = |got: String, expected: String| Err(Error::mismatch(path, got, expected));
    let first = events.time_us.first().copied().unwrap_or(0);
    let last = events.time_us.last().copied().unwrap_or(0);
    // Wider than the numbers in the file, so that no difference overflows.
    let span = i128::from(last) - i128::from(first) + 1;
    let (steps, numerator, denominator, start) = match slicing {
        Slicing::Frames(frames) => (frames as u128, frames as i128, span, first),
        Slicing::Window { window_us } => {
            let window = i128::from(window_us.max(1));
            ((span as u128).div_ceil(window as u128), 1, window, first)
        }
        Slicing::Clock { window_us, frames } => (frames as u128, 1, i128::from(window_us.max(1)), 0),
        Slicing::EventCount(count) => (events.len().div_ceil(count.max(1)).max(1) as u128, 1, 1, first),
    };
    let nothing = matches!(slicing, Slicing::Window { window_us: 0 } | Slicing::Clock { window_us: 0, .. })
        || slicing == Slicing::EventCount(0);
    let frame = grid.height.checked_mul(grid.width).and_then(|area| area.checked_mul(grid.channels()));
    let steps = usize::try_from(steps).unwrap_or(usize::MAX);
    let elements = frame.and_then(|frame| frame.checked_mul(steps)).unwrap_or(usize::MAX);
    if nothing || !(1..=MAXIMUM_ELEMENTS).contains(&elements) {
        let got = format!("{steps} frames of {} by {} pixels by {slicing:?}", grid.width, grid.height);
        return error(got, format!("1 to {MAXIMUM_ELEMENTS} numbers in all"));
    }
    let mut counts = vec![0_u8; elements];
    let channels = grid.channels();
    for (number, &time_us) in events.time_us.iter().enumerate() {
        let (x, y) = (usize::from(events.x[number]), usize::from(events.y[number]));
        if x >= grid.sensor_width || y >= grid.sensor_height {
            let got = format!("event {number} at column {x}, row {y}");
            return error(got, format!("a sensor of {} by {} pixels", grid.sensor_width, grid.sensor_height));
        }
        let step = match slicing {
            Slicing::EventCount(count) => (number / count) as i128,
            _ => ((i128::from(time_us) - i128::from(start)) * numerator).div_euclid(denominator),
        };
        let Some(step) = usize::try_from(step).ok().filter(|step| *step < steps) else { continue };
        let (x, y) = (x * grid.width / grid.sensor_width, y * grid.height / grid.sensor_height);
        let channel = usize::from(grid.polarity && events.on[number]);
        let count = &mut counts[((step * grid.height + y) * grid.width + x) * channels + channel];
        *count = count.saturating_add(1);
    }
    let Grid { height, width, .. } = grid;
    Ok(Frames { counts, count: 1, steps, height, width, channels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recordings::Format;

    fn events() -> Events {
        Events {
            format: Format::Atis,
            width: 3,
            height: 2,
            polarity: true,
            time_us: vec![100, 110, 120, 120, 199],
            x: vec![0, 1, 2, 2, 0],
            y: vec![0, 0, 1, 1, 1],
            on: vec![true, false, true, true, false],
        }
    }

    fn cut(slicing: Slicing) -> (usize, Vec<Vec<usize>>) {
        let frames = frames(&events(), slicing, Grid::of(&events()), Path::new("x")).unwrap();
        let places = |frame: &[u8]| {
            frame.iter().enumerate().flat_map(|(at, n)| std::iter::repeat_n(at, (*n).into())).collect()
        };
        (frames.steps, frames.counts.chunks(12).map(places).collect())
    }

    #[test]
    fn time_is_cut_in_four_ways() {
        // Places are ((row * 3) + column) * 2 + polarity.
        assert_eq!(cut(Slicing::Frames(2)), (2, vec![vec![1, 2, 11, 11], vec![6]]));
        assert_eq!(cut(Slicing::Frames(10)).1[1..3], [vec![2], vec![11, 11]]);
        let window = cut(Slicing::Window { window_us: 20 });
        assert_eq!(window, (5, vec![vec![1, 2], vec![11, 11], vec![], vec![], vec![6]]));
        let clock = cut(Slicing::Clock { window_us: 60, frames: 3 });
        assert_eq!(clock, (3, vec![vec![], vec![1, 2], vec![11, 11]]), "the last event is too late");
        assert_eq!(cut(Slicing::EventCount(2)), (3, vec![vec![1, 2], vec![11, 11], vec![6]]));
    }

    #[test]
    fn frames_shrink_and_polarities_merge() {
        let grid = Grid { width: 1, height: 1, polarity: false, ..Grid::of(&events()) };
        let mut small = frames(&events(), Slicing::Frames(2), grid, Path::new("x")).unwrap();
        assert_eq!(small.counts, [4, 1]);
        small.make_binary();
        assert_eq!(small.counts, [1, 1]);
        let whole = frames(&events(), Slicing::Frames(1), Grid::of(&events()), Path::new("x")).unwrap();
        assert_eq!(whole.counts, [0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 2]);
        assert_eq!(whole.channels_first(), [0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn counts_stop_at_255_and_nothing_is_one_empty_frame() {
        let many = Events {
            time_us: vec![0; 300],
            x: vec![0; 300],
            y: vec![0; 300],
            on: vec![true; 300],
            ..events()
        };
        let full = frames(&many, Slicing::Frames(1), Grid::of(&many), Path::new("x")).unwrap();
        assert_eq!(full.counts[1], 255);
        let none = Events { time_us: vec![], x: vec![], y: vec![], on: vec![], ..events() };
        for slicing in [Slicing::Frames(1), Slicing::Window { window_us: 5 }, Slicing::EventCount(5)] {
            assert_eq!(frames(&none, slicing, Grid::of(&none), Path::new("x")).unwrap().counts, [0; 12]);
        }
    }

    #[test]
    fn impossible_frames_are_refused() {
        let grid = Grid::of(&events());
        let far = Events { time_us: vec![i64::MIN, 0, 0, 0, i64::MAX], ..events() };
        for (events, slicing, grid, expected) in [
            (&events(), Slicing::Frames(0), grid, "0 frames"),
            (&events(), Slicing::Frames(usize::MAX), grid, "numbers in all"),
            (&events(), Slicing::EventCount(0), grid, "EventCount(0)"),
            (&events(), Slicing::Window { window_us: 0 }, grid, "window_us: 0"),
            (&far, Slicing::Window { window_us: 1 }, grid, "numbers in all"),
            (&events(), Slicing::Frames(1), Grid { width: usize::MAX, ..grid }, "numbers in all"),
            (&events(), Slicing::Frames(1), Grid { sensor_width: 2, ..grid }, "event 2 at column 2, row 1"),
        ] {
            let message = frames(events, slicing, grid, Path::new("x")).unwrap_err().to_string();
            assert!(message.contains(expected), "{message:?} lacks {expected:?}");
        }
        assert_eq!(frames(&far, Slicing::Frames(2), grid, Path::new("x")).unwrap().steps, 2);
    }
}
