//! Nodes without weights and neurons: pools, delays, scales, and reordering.

use std::collections::VecDeque;

use gyrus_kernels::convolution::pooling::{Pooling, max_pool, sum_pool};
use gyrus_kernels::events::{count_max_packed, counts_packed, list_spikes};

use crate::signal::{Form, Signal};

/// Windows over the elements of an image: for each input pixel, the output pixels whose windows contain it.
pub(crate) struct Windows {
    shape: Pooling,
    out_width: usize,
    outputs: usize,
    /// For each input element, its only window ([`NOWHERE`] if none), if windows do not overlap.
    only: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

impl Windows {
    fn new(shape: Pooling) -> Self {
        let [_, out_width] = shape.output_size();
        let mut windows = Self { out_width, outputs: shape.output_len(), shape, only: Vec::new() };
        if shape.kernel[0] <= shape.stride[0] && shape.kernel[1] <= shape.stride[1] {
            let mut only = vec![NOWHERE; shape.input_len()];
            for (element, only) in only.iter_mut().enumerate() {
                windows.over(element, |output| *only = output as u32);
            }
            windows.only = only;
        }
        windows
    }

    /// Calls `visit(output element)` for every window that contains an input element.
    fn over(&self, element: usize, mut visit: impl FnMut(usize)) {
        let Pooling { width, channels, kernel, stride, padding, .. } = self.shape;
        let (pixel, channel) = (element / channels, element % channels);
        let out_height = self.outputs / channels / self.out_width.max(1);
        let along = |at: usize, axis: usize, outputs: usize| {
            let at = at + padding[2 * axis];
            let first = (at + 1).saturating_sub(kernel[axis]).div_ceil(stride[axis]);
            first..outputs.min(at / stride[axis] + 1)
        };
        for row in along(pixel / width, 0, out_height) {
            for column in along(pixel % width, 1, self.out_width) {
                visit((row * self.out_width + column) * channels + channel);
            }
        }
    }
}

/// Work of a layer.
pub(crate) enum Layer {
    Pass,
    ChannelsFirst {
        pixels: usize,
        channels: usize,
    },
    /// Factors, channels-last.
    Scale(Vec<f32>),
    SumPool {
        windows: Windows,
        scale: f32,
    },
    MaxPool {
        windows: Windows,
    },
    CountMaxPool {
        windows: Windows,
    },
    Delay {
        steps: usize,
    },
}

/// State of a layer between steps.
#[derive(Default)]
pub(crate) struct Memory {
    /// Events by element, before they are listed in order.
    words: Vec<u32>,
    numbers: Vec<f32>,
    /// For a spiking maximum: the sum of each input, and the largest sum of each window.
    counts: Vec<f32>,
    largest: Vec<f32>,
    past: VecDeque<Signal>,
    spare: Vec<Signal>,
}

fn zeros(row: &mut Vec<f32>, len: usize) {
    row.clear();
    row.resize(len, 0.0);
}

impl Layer {
    pub(crate) fn sum_pool(shape: Pooling, scale: f32) -> Self {
        Self::SumPool { windows: Windows::new(shape), scale }
    }

    pub(crate) fn max_pool(shape: Pooling) -> Self {
        Self::MaxPool { windows: Windows::new(shape) }
    }

    pub(crate) fn count_max_pool(shape: Pooling) -> Self {
        Self::CountMaxPool { windows: Windows::new(shape) }
    }

    /// Whether it accepts packed spikes of neurons.
    pub(crate) fn takes_packed(&self) -> bool {
        matches!(self, Self::CountMaxPool { windows } if counts_packed(&windows.shape))
    }

    /// Resets the memory to the state before the first step.
    pub(crate) fn begin(&self, memory: &mut Memory, (inputs, outputs): (usize, usize)) {
        memory.words.clear();
        memory.words.resize(outputs.div_ceil(32), 0);
        zeros(&mut memory.numbers, inputs.max(outputs));
        while let Some(signal) = memory.past.pop_front() {
            memory.spare.push(signal);
        }
        if let Self::CountMaxPool { .. } = self {
            zeros(&mut memory.counts, inputs);
            zeros(&mut memory.largest, outputs);
        }
    }

    /// One step, from a signal of `form` to one of `to_form`.
    pub(crate) fn step(
        &self,
        from: &Signal,
        (form, to_form): (Form, Form),
        memory: &mut Memory,
        to: &mut Signal,
    ) {
        match self {
            Self::Pass => to.copy_from(from),
            Self::ChannelsFirst { pixels, channels } => {
                let place = |at: usize| at % channels * pixels + at / channels;
                if form.events() {
                    for (at, &event) in from.events.iter().enumerate() {
                        let place = place(event as usize);
                        memory.set(place);
                        if let Some(&value) = from.values.get(at) {
                            memory.numbers[place] = value;
                        }
                    }
                    memory.emit(form, to);
                } else {
                    for (at, &x) in from.row.iter().enumerate() {
                        to.row[place(at)] = x;
                    }
                }
            }
            Self::Scale(factors) => {
                if form.events() {
                    to.events.clone_from(&from.events);
                    to.values.clear();
                    to.values.extend(from.events.iter().enumerate().map(|(at, &event)| {
                        from.values.get(at).copied().unwrap_or(1.0) * factors[event as usize]
                    }));
                } else {
                    for ((to, x), factor) in to.row.iter_mut().zip(&from.row).zip(factors) {
                        *to = x * factor;
                    }
                }
            }
            Self::SumPool { windows, scale } => {
                if !form.events() {
                    sum_pool(&windows.shape, *scale, &from.row, &mut to.row);
                    return;
                }
                for (at, &event) in from.events.iter().enumerate() {
                    let value = from.values.get(at).copied().unwrap_or(1.0);
                    windows.over(event as usize, |output| {
                        memory.set(output);
                        memory.numbers[output] += value;
                    });
                }
                memory.emit(to_form, to);
                to.values.iter_mut().for_each(|value| *value *= scale);
            }
            Self::MaxPool { windows } => {
                if form == Form::Binary {
                    for &event in &from.events {
                        windows.over(event as usize, |output| memory.set(output));
                    }
                    memory.emit(to_form, to);
                    return;
                }
                let numbers = &mut memory.numbers[..windows.shape.input_len()];
                from.write(form, numbers);
                max_pool(&windows.shape, numbers, &mut to.row);
            }
            Self::CountMaxPool { windows } => {
                if !from.words.is_empty() {
                    let state = [&mut memory.counts[..], &mut memory.largest[..]];
                    count_max_packed(&windows.shape, &from.words, state, &mut memory.words);
                    memory.emit(to_form, to);
                    return;
                }
                if form == Form::Binary && !windows.only.is_empty() {
                    memory.count_single(windows, &from.events);
                    memory.emit(to_form, to);
                    return;
                }
                if form == Form::Binary {
                    for &event in &from.events {
                        let count = &mut memory.counts[event as usize];
                        *count += 1.0;
                        let count = *count;
                        windows.over(event as usize, |output| {
                            if count > memory.largest[output] {
                                memory.largest[output] = count;
                                memory.words[output / 32] |= 1 << (output % 32);
                            }
                        });
                    }
                    memory.emit(to_form, to);
                    return;
                }
                memory.count_max(windows, from, form);
                if to_form.events() {
                    to.events.clear();
                    to.values.clear();
                    for (at, &value) in memory.numbers[..windows.outputs].iter().enumerate() {
                        if value != 0.0 {
                            to.events.push(at as u32);
                            to.values.push(value);
                        }
                    }
                    memory.numbers.fill(0.0);
                } else {
                    to.row.copy_from_slice(&memory.numbers[..windows.outputs]);
                }
            }
            Self::Delay { steps } => {
                let mut now = memory.spare.pop().unwrap_or_default();
                now.copy_from(from);
                memory.past.push_back(now);
                if memory.past.len() > *steps
                    && let Some(then) = memory.past.pop_front()
                {
                    memory.spare.push(std::mem::replace(to, then));
                }
            }
        }
    }
}

impl Memory {
    fn set(&mut self, element: usize) {
        self.words[element / 32] |= 1 << (element % 32);
    }

    /// Lists the events that were set, with their numbers if graded, and clears them.
    fn emit(&mut self, form: Form, to: &mut Signal) {
        to.events.clear();
        to.values.clear();
        list_spikes(&self.words, &mut to.events);
        self.words.fill(0);
        if form == Form::Graded {
            for &event in &to.events {
                to.values.push(std::mem::take(&mut self.numbers[event as usize]));
            }
        }
    }

    /// Counts spikes that lie in a single window each, and sets the windows whose largest count grew.
    fn count_single(&mut self, windows: &Windows, events: &[u32]) {
        for &event in events {
            let output = windows.only[event as usize];
            if output == NOWHERE {
                continue;
            }
            let output = output as usize;
            let count = self.counts[event as usize] + 1.0;
            self.counts[event as usize] = count;
            let largest = self.largest[output];
            // No branch: half of the spikes raise a largest count, unpredictably.
            self.largest[output] = largest.max(count);
            self.words[output / 32] |= u32::from(count > largest) << (output % 32);
        }
    }

    /// Writes the growth of each window's largest sum to `numbers`.
    fn count_max(&mut self, windows: &Windows, from: &Signal, form: Form) {
        let numbers = &mut self.numbers[..windows.shape.input_len()];
        from.write(form, numbers);
        self.counts.iter_mut().zip(&*numbers).for_each(|(count, x)| *count += x);
        let numbers = &mut self.numbers[..windows.outputs];
        max_pool(&windows.shape, &self.counts, numbers);
        for (now, largest) in numbers.iter_mut().zip(&mut self.largest) {
            let grown = *now - *largest;
            *largest = *now;
            *now = grown;
        }
    }
}
