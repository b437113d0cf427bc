//! How the axes of a value in an ONNX graph lie in the signal of a blueprint: in another order, joined, split into heads, cut into
//! parts. Nothing is computed for any of these; an operator that needs them in the order of a blueprint asks for it.

use std::collections::VecDeque;

/// Elements of one axis of a signal, a stride apart. Runs of one element are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) axis: usize,
    pub(super) stride: usize,
    pub(super) extent: usize,
}

/// A value that consists of elements of a signal. Its first axis is the batch, of which one sample is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The shape of the signal.
    pub(super) source: Vec<usize>,
    /// For each axis of the value, the runs whose product it is, the slowest first.
    pub(super) axes: Vec<Vec<Run>>,
    /// Where on the signal's first axis the part begins.
    pub(super) offset: usize,
}

/// What an axis is in attention over tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An axis of length 1.
    One,
    Head,
    /// The channels of one head.
    Width,
    Token,
}

impl View {
    /// A signal as it is, behind the batch.
    pub(super) fn of(source: &[usize]) -> Self {
        let mut axes = vec![Vec::new()];
        axes.extend(source.iter().enumerate().map(|(axis, &extent)| match extent {
            1 => Vec::new(),
            _ => vec![Run { axis, stride: 1, extent }],
        }));
        Self { source: source.to_vec(), axes, offset: 0 }
    }

    pub(super) fn extents(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.iter().map(|run| run.extent).product()).collect()
    }

    /// Whether it holds every element of its signal.
    pub(super) fn is_whole(&self) -> bool {
        self.offset == 0 && self.extents().iter().product::<usize>() == self.source.iter().product::<usize>()
    }

    /// The axis that is one whole axis of the signal.
    pub(super) fn position_of(&self, axis: usize) -> Option<usize> {
        let extent = *self.source.get(axis)?;
        self.axes.iter().position(|runs| *runs == [Run { axis, stride: 1, extent }])
    }

    /// Whether the last axis is the channels.
    pub(super) fn is_channels_last(&self) -> bool {
        self.position_of(0).is_some_and(|at| at + 1 == self.axes.len()) && self.is_whole()
    }

    /// The same axes over a signal whose channels are others.
    pub(super) fn with_channels(&self, channels: usize) -> Self {
        let mut view = self.clone();
        view.source[0] = channels;
        for run in view.axes.iter_mut().flatten().filter(|run| run.axis == 0) {
            run.extent = channels;
        }
        view
    }

    /// `order[new] = old`, of all axes once.
    pub(super) fn transposed(&self, order: &[i64]) -> Option<Self> {
        let mut left: Vec<Option<&Vec<Run>>> = self.axes.iter().map(Some).collect();
        let axes: Option<Vec<_>> =
            order.iter().map(|&old| left.get_mut(usize::try_from(old).ok()?)?.take().cloned()).collect();
        let axes = axes.filter(|axes| axes.len() == self.axes.len())?;
        Some(Self { axes, ..self.clone() })
    }

    /// The extents that a `Reshape` asks for.
    pub(super) fn target(&self, asked: &[i64]) -> Option<Vec<usize>> {
        asked_extents(&self.extents(), asked)
    }

    /// Axes of these extents over the same elements in the same order.
    pub(super) fn reshaped(&self, extents: &[usize]) -> Option<Self> {
        let mut runs: VecDeque<Run> = self.axes.iter().flatten().copied().collect();
        let mut axes = Vec::new();
        for &extent in extents {
            let (mut axis, mut left) = (Vec::new(), extent);
            while left > 1 {
                let run = runs.pop_front()?;
                if left.is_multiple_of(run.extent) {
                    left /= run.extent;
                    append(&mut axis, run);
                } else if run.extent.is_multiple_of(left) {
                    let inner = run.extent / left;
                    append(&mut axis, Run { stride: run.stride * inner, extent: left, ..run });
                    runs.push_front(Run { extent: inner, ..run });
                    left = 1;
                } else {
                    return None;
                }
            }
            axes.push(axis);
        }
        runs.is_empty().then(|| Self { axes, ..self.clone() })
    }

    /// Without an axis of length 1, or with one more.
    pub(super) fn squeezed(&self, axis: usize) -> Option<Self> {
        let mut view = self.clone();
        view.axes.get(axis)?.is_empty().then(|| view.axes.remove(axis))?;
        Some(view)
    }

    /// With an axis of length 1 at a place.
    pub(super) fn unsqueezed(&self, axis: usize) -> Option<Self> {
        let mut view = self.clone();
        (axis <= view.axes.len()).then(|| view.axes.insert(axis, Vec::new()))?;
        Some(view)
    }

    /// Some of the channels.
    pub(super) fn part(&self, axis: usize, start: usize, length: usize) -> Option<Self> {
        let [run @ Run { axis: 0, .. }] = self.axes.get(axis)?[..] else { return None };
        if length == 0 || start.checked_add(length)? > run.extent {
            return None;
        }
        let mut view = self.clone();
        view.offset += start * run.stride;
        view.axes[axis] = if length == 1 { Vec::new() } else { vec![Run { extent: length, ..run }] };
        Some(view)
    }

    /// What the axes are in attention, the channels of the part and those of a head.
    pub(super) fn roles(&self) -> Option<(Vec<Role>, usize, usize)> {
        let [_, tokens] = self.source[..] else { return None };
        let (mut width, mut heads, mut apart) = (1, 1, None);
        let mut roles = Vec::new();
        for axis in &self.axes {
            roles.push(match axis[..] {
                [] => Role::One,
                [Run { axis: 1, stride: 1, extent }] if extent == tokens => Role::Token,
                [Run { axis: 0, stride: 1, extent }] => {
                    width = extent;
                    Role::Width
                }
                [Run { axis: 0, stride, extent }] => {
                    (heads, apart) = (extent, Some(stride));
                    Role::Head
                }
                _ => return None,
            });
        }
        let once = |wanted: Role| roles.iter().filter(|role| **role == wanted).count() == 1;
        let fits = once(Role::Token) && once(Role::Width) && apart.is_none_or(|stride| stride == width);
        fits.then_some((roles, width * heads, width))
    }
}

/// The extents that a `Reshape` of `own` asks for; 0 keeps one and -1 stands for the rest.
pub(super) fn asked_extents(own: &[usize], asked: &[i64]) -> Option<Vec<usize>> {
    let count: usize = own.iter().product();
    let mut rest = None;
    let mut extents = Vec::new();
    for (place, &extent) in asked.iter().enumerate() {
        extents.push(match extent {
            0 => *own.get(place)?,
            -1 if rest.is_none() => {
                rest = Some(place);
                1
            }
            _ => usize::try_from(extent).ok()?,
        });
    }
    let product = extents.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent))?;
    if let Some(place) = rest {
        extents[place] = count.checked_div(product)?;
    }
    let product = extents.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent))?;
    (product == count).then_some(extents)
}

/// Adds a run to an axis, joined with the one before it where the two are one.
fn append(axis: &mut Vec<Run>, run: Run) {
    match axis.last_mut() {
        Some(last) if last.axis == run.axis && last.stride == run.stride * run.extent => {
            last.stride = run.stride;
            last.extent *= run.extent;
        }
        _ => axis.push(run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_split_cut_and_joined_again() {
        // 17 tokens of 3 x 2 heads x 32 channels, as timm reshapes them.
        let tokens = View::of(&[192, 17]).transposed(&[0, 2, 1]).unwrap();
        assert!(tokens.is_channels_last());
        let split = tokens.reshaped(&tokens.target(&[1, 17, 3, 2, -1]).unwrap()).unwrap();
        let turned = split.transposed(&[2, 0, 3, 1, 4]).unwrap();
        assert_eq!(turned.extents(), [3, 1, 2, 17, 32]);
        let keys = turned.part(0, 1, 1).unwrap().squeezed(0).unwrap();
        assert_eq!((keys.offset, keys.extents()), (64, vec![1, 2, 17, 32]));
        let expected = vec![Role::One, Role::Head, Role::Token, Role::Width];
        assert_eq!(keys.roles(), Some((expected, 64, 32)));
        assert!(!keys.is_whole());
        let back = split.reshaped(&[1, 17, 192]).unwrap();
        assert_eq!(back, tokens);
    }

    #[test]
    fn what_does_not_fit_is_none() {
        let view = View::of(&[6, 4]);
        assert_eq!(view.target(&[1, 5, -1]), None);
        assert_eq!(view.target(&[-1, -1]), None);
        assert_eq!(view.target(&[0, 0, 0, 0]), None);
        assert_eq!(view.reshaped(&[4, 6]), None, "the second axis would cross the first");
        assert_eq!(view.transposed(&[0, 1, 1]), None);
        assert_eq!(view.transposed(&[0, 1]), None);
        assert_eq!(view.part(1, 5, 2), None);
        assert_eq!(view.part(2, 0, 1), None, "tokens are selected by a node");
        assert_eq!(view.squeezed(1), None);
        let nothing = View::of(&[]).squeezed(0).unwrap();
        assert!(!nothing.is_channels_last(), "even the batch is squeezed away");
    }
}
