//! The report from synthetic runs: everything is there, nothing is taken for markup, nothing is fetched.
//!
//! The pages lie in the `tmp` folder of cargo's target folder afterwards, for the eye.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use gyrus_blueprint::{Blueprint, NodeKind, preset};
use gyrus_data::{Dataset, Features, Skipped, Task, digits};
use gyrus_report::{Activity, Confusion, Mistake, Picture, ReportData, render};
use gyrus_train::energy::{Comparison, Energy};
use gyrus_train::{
    AfterSteps, Agreement, Conversion, ExactRecord, LayerActivity, MetricsRow, PartMetrics, Results,
    RunRecord, RunStatus, Settings, Timings,
};

const HOSTILE: &str = "</title><script>alert(\"1\")</script>'&\u{202e}\u{0}";

fn settings() -> Settings {
    Settings {
        seed: 0,
        epochs: 40,
        batch_size: 32,
        learning_rate: 0.003,
        optimizer: "adamw".into(),
        schedule: "one-cycle".into(),
        augment: "digits".parse().unwrap(),
        weight_decay: 0.01,
        label_smoothing: 0.05,
        threads: 2,
        device: "cpu".into(),
        spiking: None,
    }
}

/// A finished run on a data set.
fn finished(dataset: &Dataset, test: PartMetrics) -> RunRecord {
    RunRecord {
        status: RunStatus::Finished,
        results: Some(Results {
            chosen_epoch: 33,
            train: Some(PartMetrics { examples: 1293, loss: 0.0041, ..test.clone() }),
            validation: Some(PartMetrics { examples: 144, loss: 0.0352, ..test.clone() }),
            test: Some(test),
        }),
        timings: Timings { data_seconds: 0.02, train_seconds: 14.2, test_seconds: 0.05, total_seconds: 14.6 },
        ..RunRecord::new(dataset, None, 144, settings())
    }
}

/// Forty epochs that look like learning.
fn metrics(is_classification: bool) -> Vec<MetricsRow> {
    (1..=40)
        .map(|epoch| {
            let progress = f64::from(epoch) / 40.0;
            let wobble = (f64::from(epoch) * 2.7).sin() * 0.12;
            let validation_loss = 0.035 + 1.9 * (-9.0 * progress).exp() * (1.0 + wobble) + 0.004 * wobble;
            let share = |loss: f64| is_classification.then_some(1.0 - loss * 0.35);
            let train_loss = 0.004 + 2.2 * (-8.0 * progress).exp();
            MetricsRow {
                epoch,
                step: u64::from(epoch) * 41,
                learning_rate: 0.003 * (progress * std::f64::consts::PI).sin(),
                train_loss,
                train_accuracy: share(train_loss),
                validation_loss,
                validation_accuracy: share(validation_loss),
                seconds: 0.35,
            }
        })
        .collect()
}

/// Writes the page for the eye, checks what holds for every page, and gives it back.
fn page(name: &str, data: &ReportData<'_>) -> String {
    let html = render(data);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{name}.html"));
    fs::write(&path, &html).unwrap();
    let rest = html.replace("http://www.w3.org/2000/svg", "");
    for fetched in ["http:", "https:", "=\"//", "<script", "<link", "@import", "url(http"] {
        assert!(!rest.contains(fetched), "{fetched:?} in {}", path.display());
    }
    assert!(!html.contains("NaN") && !html.contains("inf\""), "a number that is none in {}", path.display());
    for element in ["section", "table", "svg", "figure", "div", "dl", "p", "text", "tr", "td", "th", "span"] {
        let opened =
            html.matches(&format!("<{element}>")).count() + html.matches(&format!("<{element} ")).count();
        let closed = html.matches(&format!("</{element}>")).count();
        assert_eq!(opened, closed, "<{element}> in {}", path.display());
    }
    html
}

fn assert_holds(html: &str, parts: &[&str]) {
    for part in parts {
        assert!(html.contains(part), "no {part:?}");
    }
}

fn digit_mistakes(dataset: &Dataset) -> Vec<Mistake> {
    let Features::Images(images) = &dataset.test.features else { panic!("digits are pictures") };
    (0..12)
        .map(|index| Mistake {
            label: (index % 10).to_string(),
            predicted: ((index + 5) % 10).to_string(),
            probability: 0.99 - index as f32 * 0.04,
            picture: Some(Picture {
                pixels: images.get(index * 7).unwrap().to_vec(),
                height: images.height,
                width: images.width,
                channels: images.channels,
            }),
            text: None,
        })
        .collect()
}

#[test]
fn a_classification_shows_every_part() {
    let mut dataset = digits();
    dataset.skipped = vec![Skipped { path: "scans/0017.png".into(), reason: "it ends at byte 3".into() }];
    dataset.notes = vec!["The split is fixed: 80 % of each class to learn from.".into()];
    let Task::Classification { classes } = dataset.task.clone() else { panic!("digits are classes") };
    let test =
        PartMetrics { examples: 360, loss: 0.0312, accuracy: Some(356.0 / 360.0), mean_absolute_error: None };
    let record = finished(&dataset, test);
    let mut counts = vec![vec![0; 10]; 10];
    (0..10).for_each(|class| counts[class][class] = 36);
    for (truth, predicted) in [(8, 1), (9, 3), (5, 9), (8, 3)] {
        counts[truth][truth] -= 1;
        counts[truth][predicted] += 1;
    }
    let html = page(
        "digits",
        &ReportData {
            record: &record,
            blueprint: &preset("digits-cnn", [1, 8, 8], 10).unwrap(),
            metrics: &metrics(true),
            confusion: Some(Confusion { classes: &classes, counts }),
            mistakes: digit_mistakes(&dataset),
            activity: None,
            regression: None,
        },
    );
    assert_holds(
        &html,
        &[
            "<h1>digits</h1>",
            "98.89 %",
            "test accuracy",
            "95 % interval 97.2 % to 99.6 %",
            "n = 360",
            "aria-label=\"Loss by epoch\"",
            "aria-label=\"Accuracy by epoch\"",
            "aria-label=\"Learning rate by epoch\"",
            "chosen: epoch 33",
            "8, taken for 3: 1 of 36",
            "94.4 %",
            "precision",
            "data:image/png;base64,",
            "99 % sure",
            "class=\"gyrus-blueprint\"",
            "output shape",
            "one-cycle",
            "rotate 12°",
            &record.data.fingerprint,
            "scans/0017.png",
            "it ends at byte 3",
            "The split is fixed",
            "14.2 s",
        ],
    );
    assert_eq!(html.matches("<img ").count(), 12);
    assert!(!html.contains("id=\"scatter\""));
}

#[test]
fn names_and_files_are_text_whatever_they_say() {
    let mut dataset = digits();
    dataset.name = HOSTILE.into();
    dataset.notes = vec![HOSTILE.into()];
    dataset.skipped = vec![Skipped { path: HOSTILE.into(), reason: HOSTILE.into() }];
    let classes: Vec<String> = (0..34).map(|class| format!("{HOSTILE}{class}")).collect();
    dataset.task = Task::Classification { classes: classes.clone() };
    let test = PartMetrics { examples: 10, loss: f64::NAN, accuracy: Some(0.5), mean_absolute_error: None };
    let mut record = finished(&dataset, test);
    record.data.path = Some(HOSTILE.into());
    record.settings.device = HOSTILE.into();
    let named = Blueprint::builder("</svg><script>alert(\"1\")</script>")
        .input([4])
        .node("<b>\"'&", NodeKind::affine(34))
        .build()
        .unwrap();
    let counts = (0..34).map(|truth| (0..34).map(|predicted| (truth * predicted) % 7).collect()).collect();
    let mistake = Mistake {
        label: HOSTILE.into(),
        predicted: HOSTILE.into(),
        probability: 0.5,
        picture: None,
        text: Some(HOSTILE.into()),
    };
    let diverged = MetricsRow { train_loss: f64::NAN, ..metrics(true)[3].clone() };
    let html = page(
        "hostile",
        &ReportData {
            record: &record,
            blueprint: &named,
            metrics: &[metrics(true)[0].clone(), diverged],
            confusion: Some(Confusion { classes: &classes, counts }),
            mistakes: vec![mistake; 3],
            activity: None,
            regression: None,
        },
    );
    assert!(html.contains("&lt;script&gt;alert(&quot;1&quot;)"));
    assert_holds(&html, &["30 of 34 classes", "others"]);
    for raw in ["<b>\"", "\u{202e}", "\u{0}", "alert(\"1\")"] {
        assert!(!html.contains(raw), "{raw:?}");
    }
}

#[test]
fn a_regression_shows_its_scatter() {
    let mut dataset = digits();
    dataset.name = "houses.csv".into();
    dataset.task = Task::Regression { target: "price <k€>".into(), mean: 200.0, deviation: 50.0 };
    let test = PartMetrics { examples: 300, loss: 0.12, accuracy: None, mean_absolute_error: Some(8.25) };
    let points: Vec<(f32, f32)> = (0..300)
        .map(|index| {
            let truth = 80.0 + (index * 37 % 300) as f32;
            (truth, truth * 0.95 + 9.0 + (index as f32 * 1.7).sin() * 14.0)
        })
        .collect();
    let mistakes = (0..6)
        .map(|index| Mistake {
            label: format!("{}", 200 + index * 10),
            predicted: format!("{}", 310 - index * 7),
            probability: 0.0,
            picture: None,
            text: Some(format!(
                "rooms {}, area {} m², year 19{}7, garden yes",
                index + 2,
                50 + index * 9,
                index
            )),
        })
        .collect();
    let html = page(
        "houses",
        &ReportData {
            record: &finished(&dataset, test),
            blueprint: &preset("table-mlp", [12], 1).unwrap(),
            metrics: &metrics(false),
            confusion: None,
            mistakes,
            activity: None,
            regression: Some(points),
        },
    );
    assert_holds(
        &html,
        &[
            "mean absolute test error",
            ">8.25<",
            "R²",
            "root mean square error",
            "true price &lt;k€&gt;",
            "year 1907",
        ],
    );
    assert_eq!(html.matches("class=\"dot\"").count(), 300);
    assert!(
        !html.contains("aria-label=\"Accuracy")
            && !html.contains("% sure")
            && !html.contains("test accuracy")
    );
}

#[test]
fn a_run_that_has_only_begun_has_a_page_too() {
    let record = RunRecord::new(&digits(), None, 144, settings());
    let blueprint = preset("resnet20", [1, 32, 32], 10).unwrap();
    let data = ReportData {
        record: &record,
        blueprint: &blueprint,
        metrics: &[],
        confusion: None,
        mistakes: vec![],
        activity: None,
        regression: None,
    };
    let html = page("begun", &data);
    assert_holds(&html, &["not tested yet", "running", "0 of 40 epochs so far"]);
    assert!(!html.contains("id=\"curves\"") && !html.contains("id=\"mistakes\""));
    let one = page("one-epoch", &ReportData { metrics: &metrics(true)[..1], ..data });
    assert_holds(&one, &["aria-label=\"Loss by epoch\"", "1 of 40 epochs so far"]);
}

#[test]
fn a_converted_run_shows_its_curves_spikes_and_potentials() {
    let dataset = digits();
    let test =
        PartMetrics { examples: 360, loss: 0.0312, accuracy: Some(356.0 / 360.0), mean_absolute_error: None };
    let mut record = finished(&dataset, test);
    let energy = |operations_pj: f64| Energy { operations_pj, with_memory_pj: 9.0 * operations_pj };
    let after = [1usize, 2, 4, 8].map(|steps| AfterSteps {
        steps,
        accuracy: 1.0 - 0.1 / steps as f64,
        spikes_per_neuron: 0.15 * steps as f64,
        accumulates: 30_000.0 * steps as f64,
        multiply_accumulates: 15_500.0,
        energy: Comparison {
            spiking: energy(40_000.0 * steps as f64),
            dense: energy(900_000.0),
            quantized: energy(200_000.0),
        },
    });
    let agreement = Agreement { examples: 360, differing_answers: 0, differing_classes: 0 };
    record.conversion = Some(Conversion {
        from: HOSTILE.into(),
        levels: 8,
        fine_tuning_epochs: 20,
        fine_tuning_seconds: 7.0,
        through_time_epochs: 6,
        through_time_seconds: 9.0,
        dense_accuracy: 0.9972,
        quantized_accuracy: 0.9944,
        after: after.to_vec(),
        exact: Some(ExactRecord { agreement, settled_after: 11, enough_steps: 24 }),
    });
    let layer = |node: &str, neurons: usize| LayerActivity {
        node: node.into(),
        neurons,
        active: neurons / 2,
        spikes: (0..24)
            .map(|neuron: i32| (0..8).map(|step| ((neuron + step) % 5 - 3).signum().max(-1) as i8).collect())
            .collect(),
        potentials: (0..3)
            .map(|neuron| (0..8).map(|step| ((step + neuron) as f32).sin() * 1.4).collect())
            .collect(),
    };
    let layers = vec![layer("relu1", 2048), layer(HOSTILE, 4096), layer("relu3", 1024)];
    let html = page(
        "spiking",
        &ReportData {
            record: &record,
            blueprint: &preset("digits-cnn", [1, 8, 8], 10).unwrap(),
            metrics: &metrics(true),
            confusion: None,
            mistakes: vec![],
            activity: Some(Activity { label: HOSTILE, layers }),
            regression: None,
        },
    );
    assert_holds(
        &html,
        &[
            "aria-label=\"Test accuracy by step\"",
            "aria-label=\"Energy in nJ, operations only by step\"",
            "aria-label=\"Energy in nJ, with memory traffic by step\"",
            "aria-label=\"Spikes of a neuron by step\"",
            "class=\"line quantized\"",
            "class=\"line dense\"",
            "class=\"spike\"",
            "class=\"spike negative\"",
            "class=\"line trace trace2\"",
            "1,024 of 2,048 neurons fire",
            // 90 % after the first step, and 320 nJ beside 200 after the last.
            "−9.72",
            "160 %",
            "of 360 answers, 0 differ",
            "Nothing fired after step 11",
            "Fine-tuning",
        ],
    );
    // The ticks are the numbers of steps themselves.
    for steps in ["1", "2", "4", "8"] {
        assert!(html.contains(&format!("text-anchor=\"middle\">{steps}</text>")));
    }
}
