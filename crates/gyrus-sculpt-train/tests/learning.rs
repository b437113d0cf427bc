//! The network learns, from the same gradients as finite differences, the same for any number of threads, and what it writes
//! is what inference opens.

use gyrus_files::State;
use gyrus_sculpt::captions;
use gyrus_sculpt::triposr::{TripoSr, TripoSrConfig};
use gyrus_sculpt_train::*;
use gyrus_tensor::{cpu, with_threads};
use gyrus_train::{Begin, Existing, MetricsRow, Observer, Outcome, Progress, RunFolder, Trainable};

fn tiny() -> Shape {
    let small = Shape::small();
    let config = TripoSrConfig {
        image_side: 32,
        plane_side: 4,
        channels: 32,
        layers: 2,
        heads: 2,
        head_width: 16,
        image_width: 64,
        plane_channels: 8,
        neurons: 16,
        hidden_layers: 2,
        ..small.config
    };
    Shape { config, vision_layers: 1, text_layers: 1 }
}

fn examples(count: u64, side: usize) -> Vec<Example> {
    (0..count).map(|index| Part::Training.example(1, index, side).unwrap()).collect()
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let mut model = ShapesModel::new(tiny(), 3, &cpu());
    let examples = examples(3, 32);
    for batch in [Batch::Pictures(&examples), Batch::Captions(&examples)] {
        let (_, slopes) = loss_and_gradients(&model, &batch);
        let infos = model.parameters();
        let state = model.state();
        let mut seen = 0;
        for (info, slope) in infos.iter().zip(&slopes) {
            let Some(slope) = slope else { continue };
            // Along the gradient itself, where rounding matters least.
            let size = slope.iter().map(|own| own * own).sum::<f32>().sqrt();
            if size < 1e-5 {
                continue;
            }
            let mut moved = |step: f32| {
                let mut changed = state.clone();
                let values = &mut changed.get_mut(&info.name).unwrap().values;
                values.iter_mut().zip(slope).for_each(|(value, own)| *value += step * own / size);
                model.load_state(&changed).unwrap();
                loss_and_gradients(&model, &batch).0
            };
            let step = 4e-3;
            let found = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            let off = (found - f64::from(size)).abs() / f64::from(size);
            assert!(
                off < 0.05 || (found - f64::from(size)).abs() < 2e-4,
                "{}: {size} against {found}",
                info.name
            );
            seen += 1;
        }
        assert!(seen > 40, "{seen}");
        model.load_state(&state).unwrap();
    }
}

#[test]
fn the_loss_of_a_batch_falls_and_any_number_of_threads_gives_the_same_bits() {
    let run = |threads| {
        with_threads(threads, || {
            let mut model = ShapesModel::new(tiny(), 0, &cpu());
            let examples = examples(4, 32);
            let mut optimizer = gyrus_train::Optimizer::new("adamw", 0.0, &model).unwrap();
            let mut losses = Vec::new();
            for _ in 0..60 {
                let (loss, slopes) = loss_and_gradients(&model, &Batch::Pictures(&examples));
                losses.push(loss);
                let slopes = slopes.into_iter().map(|own| own.map(|own| gyrus_tensor::vector(own, &cpu())));
                optimizer.step(&mut model, slopes.collect(), 3e-3);
            }
            (losses, model.state())
        })
        .unwrap()
    };
    let (losses, state) = run(1);
    assert!(losses[59] < 0.5 * losses[0], "{losses:?}");
    assert!(run(2) == (losses, state));
}

struct Quiet(u64);

impl Observer for Quiet {
    fn step(&mut self, progress: &Progress) {
        self.0 = self.0.saturating_sub(u64::from(progress.step > 0));
    }
    fn evaluated(&mut self, _: &MetricsRow, _: &str) {}
    fn wants_to_stop(&mut self) -> bool {
        self.0 == 0
    }
}

fn record(steps: u64) -> ShapesRecord {
    let settings = ShapesSettings {
        seed: 2,
        steps,
        batch_size: 3,
        captions_every: 3,
        evaluate_every: 4,
        learning_rate: 2e-3,
        schedule: "cosine".to_owned(),
        weight_decay: 0.01,
        judged_objects: 0,
        threads: 0,
    };
    ShapesRecord::new(ShapesData::procedural(), settings)
}

#[test]
fn a_resumed_run_equals_one_without_a_stop_and_inference_computes_what_training_did() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, stop: u64| {
        let path = folder.path().join(name);
        let run = RunFolder::create(&path, Existing::Refuse).unwrap();
        let record = record(9);
        run.write_record(&record).unwrap();
        let outcome = learn_shapes(tiny(), record, &run, &cpu(), Begin::Fresh, &mut Quiet(stop)).unwrap();
        let record = match outcome {
            Outcome::Finished(record) => record,
            Outcome::Interrupted { .. } => {
                let (run, record) = RunFolder::resume::<ShapesRecord>(&path).unwrap();
                let outcome =
                    learn_shapes(tiny(), record, &run, &cpu(), Begin::Checkpoint, &mut Quiet(u64::MAX))
                        .unwrap();
                let Outcome::Finished(record) = outcome else { panic!("nothing stops it") };
                record
            }
        };
        (std::fs::read(path.join("model.safetensors")).unwrap(), record.results.unwrap())
    };
    let whole = run("whole", u64::MAX);
    assert!(whole == run("stopped", 5));

    // The same weights in both.
    let opened = TripoSr::open(&folder.path().join("whole")).unwrap();
    let state: State = ShapesModel::new(tiny(), 7, &cpu()).state();
    let mut model = ShapesModel::new(tiny(), 0, &cpu());
    model.load_state(&state).unwrap();
    let bytes =
        gyrus_files::to_safetensors(&model.exported(&state), &std::collections::BTreeMap::new()).unwrap();
    let path = folder.path().join("whole/model.safetensors");
    std::fs::write(&path, bytes).unwrap();
    drop(opened);
    let opened = TripoSr::open(&folder.path().join("whole")).unwrap();
    let quiet = &mut |_: &str, _: u64, _: u64| ();
    for (index, example) in examples(2, 32).into_iter().enumerate() {
        let seen = opened.image_tokens(&example.pixels, quiet);
        let read = opened.caption_tokens(&example.caption).unwrap();
        for (tokens, batch) in [
            (seen, Batch::Pictures(std::slice::from_ref(&example))),
            (read, Batch::Captions(std::slice::from_ref(&example))),
        ] {
            let made = opened.sculpture(&opened.plane_tokens(&tokens, quiet));
            let field = made.field(&example.points);
            let bias = f64::from(opened.config().density_bias);
            let (occupied, painted) = field.split_at(example.inside.len());
            let mut sum = 0.0;
            for ((density, _), inside) in occupied.iter().zip(&example.inside) {
                let logit = f64::from(*density).ln() - bias;
                sum += if *inside { (-logit).exp().ln_1p() } else { logit.exp().ln_1p() };
            }
            let mut colors = 0.0;
            for ((_, found), color) in painted.iter().zip(&example.colors) {
                colors += (0..3).map(|part| f64::from((found[part] - color[part]).abs())).sum::<f64>();
            }
            let loss = sum / occupied.len() as f64 + 0.5 * colors / (3 * painted.len()) as f64;
            let (expected, _) = loss_and_gradients(&model, &batch);
            assert!((loss - expected).abs() < 1e-4, "{index}: {loss} against {expected}");
        }
    }
    let said = opened.caption_tokens("a red spaceship").unwrap_err().to_string();
    assert!(said.contains("does not know the word `spaceship`; it knows a, an, on"), "{said}");
    let said = opened.caption_tokens(&"a ".repeat(captions::LENGTH + 1)).unwrap_err().to_string();
    assert!(said.contains("a sentence of 9 words"), "{said}");
}

#[test]
fn a_picture_by_rays_is_that_of_the_mesh_and_points_are_where_they_should() {
    for index in 0..6 {
        let posed = Part::Training.object(4, index);
        let picture = posed.picture();
        let drawn = gyrus_sculpt::render(&posed.object.solid.mesh(96), &posed.view(), picture.width());
        let (mut both, mut any) = (0, 0);
        for (a, b) in picture.pixels().zip(drawn.pixels()) {
            let (a, b) = (a.0[3] > 127, b.0[3] > 127);
            (both, any) = (both + u32::from(a && b), any + u32::from(a || b));
        }
        assert!(f64::from(both) > 0.9 * f64::from(any), "{}: {both} of {any}", posed.object.caption);
        let example = Part::Training.example(4, index, 32).unwrap();
        let inside = example.inside.iter().filter(|inside| **inside).count();
        assert!((example.inside.len() / 20..example.inside.len() * 6 / 10).contains(&inside), "{inside}");
        assert!(example.points.iter().flatten().all(|part| part.abs() < 1.3));
    }
}
