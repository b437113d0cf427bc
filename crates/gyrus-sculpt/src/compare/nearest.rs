//! The nearest of many points: a k-d tree (Bentley 1975) in the order of its points.

/// Points of a leaf.
const LEAF: usize = 12;

/// Points, sorted so that each half of a range lies on one side of its middle.
pub(super) struct Tree {
    points: Vec<[f32; 3]>,
    /// The index of each point before sorting.
    indices: Vec<u32>,
    /// The axis along which each range is cut, by the index of its middle.
    axes: Vec<u8>,
}

impl Tree {
    pub(super) fn new(points: &[[f32; 3]]) -> Self {
        let mut items: Vec<([f32; 3], u32)> = points.iter().copied().zip(0..).collect();
        let mut axes = vec![0; points.len()];
        split(&mut items, &mut axes);
        Self {
            points: items.iter().map(|item| item.0).collect(),
            indices: items.iter().map(|item| item.1).collect(),
            axes,
        }
    }

    /// The index of the nearest point and the square of its distance; of two that are equally near, either.
    ///
    /// # Panics
    /// If there are no points.
    pub(super) fn nearest(&self, to: [f32; 3]) -> (usize, f32) {
        let mut best = (0, f32::INFINITY);
        self.search(0, self.points.len(), to, &mut best);
        (self.indices[best.0] as usize, best.1)
    }

    fn search(&self, start: usize, end: usize, to: [f32; 3], best: &mut (usize, f32)) {
        if end - start <= LEAF {
            (start..end).for_each(|index| self.try_point(index, to, best));
            return;
        }
        let middle = usize::midpoint(start, end);
        let axis = usize::from(self.axes[middle]);
        let apart = to[axis] - self.points[middle][axis];
        let halves = [(start, middle), (middle + 1, end)];
        let near = usize::from(apart > 0.0);
        self.search(halves[near].0, halves[near].1, to, best);
        self.try_point(middle, to, best);
        if apart * apart < best.1 {
            self.search(halves[1 - near].0, halves[1 - near].1, to, best);
        }
    }

    fn try_point(&self, index: usize, to: [f32; 3], best: &mut (usize, f32)) {
        let point = self.points[index];
        let square: f32 = (0..3).map(|axis| (point[axis] - to[axis]) * (point[axis] - to[axis])).sum();
        if square < best.1 {
            *best = (index, square);
        }
    }
}

fn split(items: &mut [([f32; 3], u32)], axes: &mut [u8]) {
    if items.len() <= LEAF {
        return;
    }
    let extent = |axis: usize| {
        let values = items.iter().map(|item| item.0[axis]);
        let (low, high) =
            values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        high - low
    };
    let extents = [extent(0), extent(1), extent(2)];
    let axis = (0..3).fold(0, |best, axis| if extents[axis] > extents[best] { axis } else { best });
    let middle = items.len() / 2;
    items.select_nth_unstable_by(middle, |a, b| a.0[axis].total_cmp(&b.0[axis]).then(a.1.cmp(&b.1)));
    axes[middle] = axis as u8;
    let (before, behind) = items.split_at_mut(middle);
    let (axes_before, axes_behind) = axes.split_at_mut(middle);
    rayon::join(|| split(before, axes_before), || split(&mut behind[1..], &mut axes_behind[1..]));
}

#[cfg(test)]
mod tests {
    use super::super::uniform;
    use super::*;

    #[test]
    fn it_finds_what_a_search_of_all_points_finds() {
        let point = |seed: u64, i: u64| [0, 1, 2].map(|axis| uniform(seed, 3 * i + axis) as f32);
        let points: Vec<_> = (0..1000).map(|i| point(1, i)).collect();
        let tree = Tree::new(&points);
        for i in 0..300 {
            let to = point(2, i);
            let square = |p: &[f32; 3]| (0..3).map(|a| (p[a] - to[a]) * (p[a] - to[a])).sum::<f32>();
            let least = points.iter().map(square).fold(f32::INFINITY, f32::min);
            let (index, found) = tree.nearest(to);
            assert!(found == least && square(&points[index]) == least);
        }
    }
}
