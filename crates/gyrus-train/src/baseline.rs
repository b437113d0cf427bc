//! What simple rules reach on the test examples: the most frequent class, the mean, a linear model of a table's columns.
//!
//! The linear model is ridge regression, by the normal equations, or logistic regression with scikit-learn's default
//! strength (`C = 1`), by Nesterov's method on the whole training part. Both are fixed computations in `f64`.

use gyrus_data::{Dataset, Features, Table, Targets, Task};

use crate::Baseline;

/// Multiplications of a pass over the data: rows beyond that are left out of the logistic regression.
const MOST_PRODUCTS: usize = 20_000_000;

/// Columns of a linear model, at most: its work grows with their square.
const MOST_COLUMNS: usize = 600;

/// Passes of the logistic regression.
const PASSES: usize = 300;

/// What simple rules reach on a data set's test examples; nothing without such examples.
#[must_use]
pub fn baselines(dataset: &Dataset) -> Vec<Baseline> {
    if dataset.test.is_empty() || dataset.train.is_empty() {
        return Vec::new();
    }
    match (&dataset.train.targets, &dataset.test.targets, &dataset.task) {
        (Targets::Classes(train), Targets::Classes(test), Task::Classification { classes }) => {
            classifying(dataset, train, test, classes)
        }
        (Targets::Values(train), Targets::Values(test), Task::Regression { deviation, .. }) => {
            let score = |name: &str, answers: &[f64]| {
                let errors = || answers.iter().zip(test).map(|(answer, value)| answer - f64::from(*value));
                let mean = |sum: f64| sum / test.len() as f64;
                Baseline {
                    name: name.to_owned(),
                    accuracy: None,
                    mean_absolute_error: Some(mean(errors().map(f64::abs).sum()) * f64::from(*deviation)),
                    root_mean_squared_error: Some(
                        mean(errors().map(|error| error * error).sum()).sqrt() * f64::from(*deviation),
                    ),
                }
            };
            // Targets are standardized by the training part: its mean is 0.
            let mut all = vec![score("the mean of the training examples", &vec![0.0; test.len()])];
            if let Some((x, fresh)) = tables(dataset)
                && let Some(weights) = ridge(x, train)
            {
                all.push(score("a linear model", &products(fresh, &weights, 1)));
            }
            all
        }
        _ => Vec::new(),
    }
}

fn classifying(dataset: &Dataset, train: &[u32], test: &[u32], classes: &[String]) -> Vec<Baseline> {
    let right = |answer: &dyn Fn(usize) -> u32| {
        let right = test.iter().enumerate().filter(|(row, class)| answer(*row) == **class).count();
        right as f64 / test.len() as f64
    };
    let baseline = |name: String, accuracy: f64| Baseline {
        name,
        accuracy: Some(accuracy),
        mean_absolute_error: None,
        root_mean_squared_error: None,
    };
    let mut counts = vec![0_usize; classes.len()];
    train.iter().for_each(|class| counts[*class as usize] += 1);
    // The first of equals.
    let most = (0..counts.len()).rev().max_by_key(|class| counts[*class]).unwrap_or(0);
    let mut all = vec![baseline(format!("always '{}'", classes[most]), right(&|_| most as u32))];
    if let Some((x, fresh)) = tables(dataset)
        && let Some(weights) = logistic(x, train, classes.len())
    {
        let scores = products(fresh, &weights, classes.len());
        let best = |row: usize| {
            let row = &scores[row * classes.len()..][..classes.len()];
            (0..row.len()).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0) as u32
        };
        all.push(baseline("a linear model".to_owned(), right(&best)));
    }
    all
}

/// The training and the test rows, if these are rows of a table of moderate width.
fn tables(dataset: &Dataset) -> Option<(&Table, &Table)> {
    match (&dataset.train.features, &dataset.test.features) {
        (Features::Table(train), Features::Table(test)) if (1..=MOST_COLUMNS).contains(&train.columns) => {
            Some((train, test))
        }
        _ => None,
    }
}

/// Rows times weights, `[rows, outputs]`; the weights are `[columns + 1, outputs]`, the constants last.
fn products(x: &Table, weights: &[f64], outputs: usize) -> Vec<f64> {
    let constants = &weights[x.columns * outputs..];
    let row = |row: &[f32]| {
        let mut sums = constants.to_vec();
        for (value, weights) in row.iter().zip(weights.chunks_exact(outputs)) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += f64::from(*value) * weight);
        }
        sums
    };
    x.values.chunks_exact(x.columns).flat_map(row).collect()
}

/// The weights of a ridge regression, `[columns + 1]`, the constant last.
fn ridge(x: &Table, targets: &[f32]) -> Option<Vec<f64>> {
    let size = x.columns + 1;
    let mut normal = vec![0.0_f64; size * size];
    let mut right = vec![0.0_f64; size];
    let mut extended = vec![1.0_f64; size];
    for (row, target) in x.values.chunks_exact(x.columns).zip(targets) {
        extended.iter_mut().zip(row).for_each(|(to, from)| *to = f64::from(*from));
        for (i, a) in extended.iter().enumerate().filter(|(_, a)| **a != 0.0) {
            let sums = &mut normal[i * size..][..=i];
            sums.iter_mut().zip(&extended).for_each(|(sum, b)| *sum += a * b);
            right[i] += a * f64::from(*target);
        }
    }
    // Indicators of all levels of a category add up to the constant: a little of the identity decides among equals.
    (0..size).for_each(|i| normal[i * size + i] += if i + 1 < size { 1e-3 } else { 1e-9 } * x.rows as f64);
    solve(&mut normal, right, size)
}

/// Solves a positive definite system by Cholesky's method; the lower triangle is given, and overwritten.
fn solve(matrix: &mut [f64], mut right: Vec<f64>, size: usize) -> Option<Vec<f64>> {
    for i in 0..size {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| matrix[i * size + k] * matrix[j * size + k]).sum();
            let value = matrix[i * size + j] - dot;
            if i == j {
                if !(value > 0.0 && value.is_finite()) {
                    return None;
                }
                matrix[i * size + i] = value.sqrt();
            } else {
                matrix[i * size + j] = value / matrix[j * size + j];
            }
        }
    }
    for i in 0..size {
        let dot: f64 = (0..i).map(|k| matrix[i * size + k] * right[k]).sum();
        right[i] = (right[i] - dot) / matrix[i * size + i];
    }
    for i in (0..size).rev() {
        let dot: f64 = (i + 1..size).map(|k| matrix[k * size + i] * right[k]).sum();
        right[i] = (right[i] - dot) / matrix[i * size + i];
    }
    Some(right)
}

/// The weights of a logistic regression, `[columns + 1, classes]`, the constants last.
fn logistic(x: &Table, labels: &[u32], classes: usize) -> Option<Vec<f64>> {
    let size = (x.columns + 1) * classes;
    let rows = (MOST_PRODUCTS / size).min(x.rows);
    if rows < x.rows.min(1000) {
        return None;
    }
    // Evenly spread, where not all are taken.
    let taken: Vec<usize> = (0..rows).map(|row| row * x.rows / rows).collect();
    let row = |row: usize| &x.values[row * x.columns..][..x.columns];
    let count = rows as f64;
    // The largest curvature is at most half of the mean squared length of a row.
    let lengths = taken.iter().map(|at| 1.0 + row(*at).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>());
    let rate = 1.0 / (0.5 * lengths.sum::<f64>() / count + 1.0 / count);
    let (mut weights, mut ahead, mut momentum) = (vec![0.0; size], vec![0.0; size], 1.0_f64);
    let mut scores = vec![0.0_f64; classes];
    for _ in 0..PASSES {
        let mut gradient: Vec<f64> = ahead.iter().map(|weight| weight / count).collect();
        gradient[size - classes..].fill(0.0);
        for at in &taken {
            scores.copy_from_slice(&ahead[size - classes..]);
            for (value, weights) in
                row(*at).iter().zip(ahead.chunks_exact(classes)).filter(|(v, _)| **v != 0.0)
            {
                scores
                    .iter_mut()
                    .zip(weights)
                    .for_each(|(score, weight)| *score += f64::from(*value) * weight);
            }
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
            let sum: f64 = scores.iter().sum();
            scores.iter_mut().for_each(|score| *score /= sum * count);
            scores[labels[*at] as usize] -= 1.0 / count;
            let ones = [1.0_f32];
            for (value, sums) in row(*at).iter().chain(&ones).zip(gradient.chunks_exact_mut(classes)) {
                if *value != 0.0 {
                    sums.iter_mut().zip(&scores).for_each(|(sum, score)| *sum += f64::from(*value) * score);
                }
            }
        }
        let next: Vec<f64> =
            ahead.iter().zip(&gradient).map(|(weight, slope)| weight - rate * slope).collect();
        let faster = (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) / 2.0;
        let push = (momentum - 1.0) / faster;
        ahead = next.iter().zip(&weights).map(|(new, old)| new + push * (new - old)).collect();
        (weights, momentum) = (next, faster);
    }
    weights.iter().all(|weight| weight.is_finite()).then_some(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyrus_data::{Examples, Preprocessing};

    fn dataset(task: Task, part: impl Fn(usize) -> (Vec<f32>, f32)) -> Dataset {
        let classes = matches!(task, Task::Classification { .. });
        let examples = |from: usize, count: usize| {
            let rows: Vec<(Vec<f32>, f32)> = (from..from + count).map(&part).collect();
            let values = rows.iter().flat_map(|(row, _)| row.clone()).collect();
            let targets = match classes {
                true => Targets::Classes(rows.iter().map(|(_, target)| *target as u32).collect()),
                false => Targets::Values(rows.iter().map(|(_, target)| *target).collect()),
            };
            Examples { features: Features::Table(Table { values, rows: count, columns: 2 }), targets }
        };
        let mut dataset = gyrus_data::digits();
        (dataset.train, dataset.test, dataset.task) = (examples(0, 200), examples(200, 50), task);
        dataset.preprocessing = Preprocessing::Table { columns: Vec::new(), target: "y".into() };
        dataset
    }

    fn row(at: usize) -> Vec<f32> {
        vec![(at * 37 % 101) as f32 / 30.0 - 1.67, (at * 53 % 97) as f32 / 28.0 - 1.71]
    }

    #[test]
    fn a_linear_model_finds_lines_and_beats_the_mean() {
        let task = Task::Regression { target: "y".into(), mean: 0.0, deviation: 10.0 };
        let found = baselines(&dataset(task, |at| {
            let x = row(at);
            let target = 0.5 * x[0] - 0.25 * x[1] + 0.125;
            (x, target)
        }));
        assert_eq!(found.len(), 2);
        let error = |at: usize| found[at].root_mean_squared_error.unwrap();
        assert!(error(0) > 3.0 && error(1) < 0.1, "{found:?}");
    }

    #[test]
    fn a_linear_model_separates_classes_and_the_majority_is_counted() {
        let task = Task::Classification { classes: vec!["a".into(), "b".into(), "c".into()] };
        let found = baselines(&dataset(task, |at| {
            let x = row(at);
            let class = if x[0] + x[1] > 0.5 {
                2.0
            } else if x[0] > x[1] {
                1.0
            } else {
                0.0
            };
            (x, class)
        }));
        let accuracy = |at: usize| found[at].accuracy.unwrap();
        assert_eq!(found[0].name, "always 'c'");
        assert!((0.2..0.6).contains(&accuracy(0)) && accuracy(1) > 0.9, "{found:?}");
    }
}
