//! Reports of synthetic runs: everything is there, nothing is taken for markup, nothing is fetched.
//!
//! The tests leave the pages in the `tmp` folder of cargo's target folder, to look at.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use gyrus_blueprint::{Blueprint, NodeKind, preset};
use gyrus_report::{
    Activity, Confusion, ConversionReport, CurvePoint, Energy, ExactReport, Facts, LayerActivity, LayerRate,
    Mistake, NetworkReport, Part, Picture, Quality, Skipped, SpikingReport, StepsRow, Task, duration,
};

const HOSTILE: &str = "</title><script>alert(\"1\")</script>'&\u{202e}\u{0}";
const FINGERPRINT: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

fn provenance() -> Vec<(&'static str, Facts<'static>)> {
    vec![
        (
            "Learning",
            vec![("schedule", "one-cycle".into()), ("augmentation", "shift 1 px, rotate 12°".into())],
        ),
        ("Data", vec![("data fingerprint", FINGERPRINT.into())]),
        ("Machine", vec![("device", "cpu".into()), ("training", duration(14.2))]),
    ]
}

/// A run of 40 epochs that has only begun.
fn begun<'a>(name: &'a str, task: Task<'a>, blueprint: &'a Blueprint) -> NetworkReport<'a> {
    NetworkReport {
        name,
        created: "2026-01-31T12:00:00Z",
        status: "running",
        task,
        blueprint,
        train_examples: 1293,
        train_seconds: 0.0,
        epochs: 40,
        chosen_epoch: None,
        beside: Vec::new(),
        quality: Vec::new(),
        curve: Vec::new(),
        confusion: None,
        mistakes: Vec::new(),
        regression: None,
        conversion: None,
        spiking: None,
        activity: None,
        provenance: provenance(),
        notes: &[],
        skipped: Skipped::default(),
    }
}

/// A finished run, with its quality on the test examples.
fn finished<'a>(name: &'a str, task: Task<'a>, blueprint: &'a Blueprint, test: Quality) -> NetworkReport<'a> {
    NetworkReport {
        status: "finished",
        train_seconds: 14.2,
        chosen_epoch: Some(33),
        beside: Vec::new(),
        quality: vec![
            (Part::Training, Quality { examples: 1293, loss: 0.0041, ..test }),
            (Part::Validation, Quality { examples: 144, loss: 0.0352, ..test }),
            (Part::Test, test),
        ],
        curve: curve(matches!(task, Task::Classification { .. })),
        ..begun(name, task, blueprint)
    }
}

/// Forty epochs that look like a training.
fn curve(is_classification: bool) -> Vec<CurvePoint> {
    (1..=40)
        .map(|epoch| {
            let progress = f64::from(epoch) / 40.0;
            let wobble = (f64::from(epoch) * 2.7).sin() * 0.12;
            let validation_loss = 0.035 + 1.9 * (-9.0 * progress).exp() * (1.0 + wobble) + 0.004 * wobble;
            let share = |loss: f64| is_classification.then_some(1.0 - loss * 0.35);
            let train_loss = 0.004 + 2.2 * (-8.0 * progress).exp();
            CurvePoint {
                at: f64::from(epoch),
                learning_rate: 0.003 * (progress * std::f64::consts::PI).sin(),
                train_loss,
                train_accuracy: share(train_loss),
                validation_loss,
                validation_accuracy: share(validation_loss),
                losses: Vec::new(),
            }
        })
        .collect()
}

/// Writes the page to look at, checks what holds for every page, and returns it.
fn page(name: &str, report: &NetworkReport<'_>) -> String {
    let html = report.to_html();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{name}.html"));
    fs::write(&path, &html).unwrap();
    let rest = html.replace("http://www.w3.org/2000/svg", "");
    for fetched in ["http:", "https:", "=\"//", "<script", "<link", "@import", "url(http"] {
        assert!(!rest.contains(fetched), "{fetched:?} in {}", path.display());
    }
    assert!(!html.contains("NaN") && !html.contains("inf\""), "a number is missing in {}", path.display());
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

fn digit_mistakes() -> Vec<Mistake> {
    (0..12)
        .map(|index: usize| Mistake {
            label: (index % 10).to_string(),
            predicted: ((index + 5) % 10).to_string(),
            probability: 0.99 - index as f32 * 0.04,
            picture: Some(Picture {
                pixels: (0..64).map(|pixel| (pixel * (index + 3) % 256) as u8).collect(),
                height: 8,
                width: 8,
                channels: 1,
            }),
            text: None,
        })
        .collect()
}

#[test]
fn a_classification_shows_every_part() {
    let classes = DIGITS.map(str::to_owned);
    let test =
        Quality { examples: 360, loss: 0.0312, accuracy: Some(356.0 / 360.0), mean_absolute_error: None };
    let mut counts = vec![vec![0; 10]; 10];
    (0..10).for_each(|class| counts[class][class] = 36);
    for (truth, predicted) in [(8, 1), (9, 3), (5, 9), (8, 3)] {
        counts[truth][truth] -= 1;
        counts[truth][predicted] += 1;
    }
    let blueprint = preset("digits-cnn", [1, 8, 8], 10).unwrap();
    let html = page(
        "digits",
        &NetworkReport {
            confusion: Some(Confusion { classes: &classes, counts }),
            mistakes: digit_mistakes(),
            notes: &["The split is fixed: 80 % of each class to learn from.".to_owned()],
            skipped: Skipped { count: 1, files: vec![("scans/0017.png", "it ends at byte 3")] },
            ..finished("digits", Task::Classification { classes: 10 }, &blueprint, test)
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
            "8, predicted as 3: 1 of 36",
            "94.4 %",
            "precision",
            "data:image/png;base64,",
            "99 % confident",
            "class=\"gyrus-blueprint\"",
            "output shape",
            "one-cycle",
            "rotate 12°",
            FINGERPRINT,
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
    let classes: Vec<String> = (0..34).map(|class| format!("{HOSTILE}{class}")).collect();
    let test = Quality { examples: 10, loss: f64::NAN, accuracy: Some(0.5), mean_absolute_error: None };
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
    let diverged = CurvePoint { train_loss: f64::NAN, ..curve(true)[3].clone() };
    let mut provenance = provenance();
    provenance.push((HOSTILE, vec![("read from", HOSTILE.into()), (HOSTILE, HOSTILE.into())]));
    let html = page(
        "hostile",
        &NetworkReport {
            created: HOSTILE,
            status: HOSTILE,
            curve: vec![curve(true)[0].clone(), diverged],
            confusion: Some(Confusion { classes: &classes, counts }),
            mistakes: vec![mistake; 3],
            provenance,
            notes: &[HOSTILE.to_owned()],
            skipped: Skipped { count: 1, files: vec![(HOSTILE, HOSTILE)] },
            ..finished(HOSTILE, Task::Classification { classes: 34 }, &named, test)
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
    let test = Quality { examples: 300, loss: 0.12, accuracy: None, mean_absolute_error: Some(8.25) };
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
    let blueprint = preset("table-mlp", [12], 1).unwrap();
    let html = page(
        "houses",
        &NetworkReport {
            mistakes,
            regression: Some(points),
            ..finished("houses.csv", Task::Regression { target: "price <k€>" }, &blueprint, test)
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
            && !html.contains("% confident")
            && !html.contains("test accuracy")
    );
}

#[test]
fn a_run_that_has_only_begun_has_a_page_too() {
    let blueprint = preset("resnet20", [1, 32, 32], 10).unwrap();
    let report = begun("digits", Task::Classification { classes: 10 }, &blueprint);
    let html = page("begun", &report);
    assert_holds(&html, &["not tested yet", "running", "0 of 40 epochs so far"]);
    assert!(!html.contains("id=\"curves\"") && !html.contains("id=\"mistakes\""));
    let one = page("one-epoch", &NetworkReport { curve: curve(true)[..1].to_vec(), ..report.clone() });
    assert_holds(&one, &["aria-label=\"Loss by epoch\"", "1 of 40 epochs so far"]);
    // Inside of the epoch the training loss is a line of its own.
    let losses = (1..=8).map(|piece| (f64::from(piece) / 8.0, 2.0 / f64::from(piece))).collect();
    let first = CurvePoint { losses, ..curve(true)[0].clone() };
    let fine = page("fine-epoch", &NetworkReport { curve: vec![first], ..report });
    let line = fine.split("class=\"line train\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(line.matches(['M', 'L']).count(), 8, "{line}");
    assert_holds(&fine, &["epoch 0.125\ntraining: 2", "epoch 1\ntraining: 0.25\nvalidation: "]);
}

#[test]
fn a_converted_run_shows_its_curves_spikes_and_potentials() {
    let test =
        Quality { examples: 360, loss: 0.0312, accuracy: Some(356.0 / 360.0), mean_absolute_error: None };
    let energy = |operations_pj: f64| Energy { operations_pj, with_memory_pj: 9.0 * operations_pj };
    let after = [1usize, 2, 4, 8].map(|steps| StepsRow {
        steps,
        accuracy: 1.0 - 0.1 / steps as f64,
        spikes_per_neuron: 0.15 * steps as f64,
        accumulates: 30_000.0 * steps as f64,
        multiply_accumulates: 15_500.0,
        spiking: energy(40_000.0 * steps as f64),
        dense: energy(900_000.0),
        quantized: energy(200_000.0),
    });
    let conversion = ConversionReport {
        dense_accuracy: 0.9972,
        quantized_accuracy: 0.9944,
        after: after.to_vec(),
        exact: Some(ExactReport { examples: 360, differing_answers: 0, settled_after: 11, enough_steps: 24 }),
    };
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
    let blueprint = preset("digits-cnn", [1, 8, 8], 10).unwrap();
    let html = page(
        "spiking",
        &NetworkReport {
            conversion: Some(conversion),
            spiking: Some(SpikingReport {
                settings: vec![("time step", "1 ms".into()), ("encoder", HOSTILE.into())],
                examples: 360,
                steps: 8,
                dt_ms: 0.5,
                layers: vec![LayerRate {
                    node: HOSTILE.into(),
                    neuron: "LIF, τ 2 ms".into(),
                    neurons: 2048,
                    spikes_per_neuron: 0.8,
                }],
                accuracy: vec![0.5, 0.75, 1.0],
                accumulates: 30_000.0,
                multiply_accumulates: 15_500.0,
                energy: energy(2_500_000.0),
            }),
            activity: Some(Activity {
                label: HOSTILE,
                picture: Some(Picture { pixels: vec![7; 6], height: 2, width: 3, channels: 1 }),
                layers,
            }),
            ..finished("digits", Task::Classification { classes: 10 }, &blueprint, test)
        },
    );
    assert_holds(
        &html,
        &[
            "aria-label=\"Test accuracy by step\"",
            "aria-label=\"Energy of an answer in nJ, operations only by step\"",
            "aria-label=\"Energy of an answer in µJ, with memory traffic by step\"",
            "aria-label=\"Spikes per neuron by step\"",
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
            "No neuron fired after step 11",
            "Fine-tuning",
            // What the network does, and what it saw.
            "id=\"spikes\"",
            "<dd>2.5 µJ</dd>",
            "<dd>22.5 µJ</dd>",
            "aria-label=\"Test accuracy after each step by step\"",
            "<td class=\"number\">200 Hz</td>",
            "<td class=\"number\">10.0 %</td>",
            "what the network saw",
            ">potential</text>",
        ],
    );
    // The ticks are the numbers of steps themselves.
    for steps in ["1", "2", "4", "8"] {
        assert!(html.contains(&format!("text-anchor=\"middle\">{steps}</text>")));
    }
}
