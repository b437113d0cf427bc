//! Tables from text to numbers, and the sentences for those that cannot be used.

use std::fmt::Write;
use std::path::Path;

use gyrus_data::{ColumnKind, Dataset, Features, Preprocessing, Result, Targets, Task, sheet, table};
use proptest::prelude::*;

fn write(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn load(text: &str, target: &str) -> Result<Dataset> {
    table(write(text).path(), target)
}

fn error(text: &str, target: &str) -> String {
    load(text, target).unwrap_err().to_string()
}

/// 40 rows: a number, a number with gaps, a color, an identifier, a constant and two possible targets.
fn flowers() -> String {
    let mut text = String::from("size;weight;color;id;planet;kind;price\n");
    for row in 0..40 {
        let weight = if row % 8 == 0 { "NA".to_owned() } else { format!("{}", row * 2) };
        let color = ["red", "green", "blue"][row % 3];
        let kind = if row % 2 == 0 { "rose" } else { "lily" };
        writeln!(text, "{}.25;{weight};{color};\"no. {row}\";earth;{kind};{}.5", row, row * row).unwrap();
    }
    text
}

#[test]
fn text_targets_are_classified_and_columns_encoded() {
    let dataset = load(&flowers(), "kind").unwrap();
    assert_eq!(dataset.task, Task::Classification { classes: vec!["lily".into(), "rose".into()] });
    assert_eq!((dataset.train.len(), dataset.test.len()), (32, 8));
    let Preprocessing::Table { columns, target } = &dataset.preprocessing else { panic!("a table") };
    assert_eq!(target, "kind");
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["size", "weight", "color", "price"]);
    assert!(matches!(columns[1].kind, ColumnKind::Numeric { missing_indicator: true, .. }));
    let levels = vec!["blue".to_owned(), "green".to_owned(), "red".to_owned()];
    assert_eq!(columns[2].kind, ColumnKind::Categorical { levels, other: false });
    assert_eq!(dataset.preprocessing.shape(), [1 + 2 + 3 + 1]);
    assert_eq!(
        dataset.notes,
        [
            "target 'kind' is text with 2 distinct values: classification",
            "column 'id' has a different text in each row and was left out",
            "column 'planet' is always 'earth' and was left out",
        ]
    );
    let Features::Table(train) = &dataset.train.features else { panic!("a table") };
    for column in [0, 1, 6] {
        let values: Vec<f32> = train.values.chunks(7).map(|row| row[column]).collect();
        let mean = values.iter().sum::<f32>() / 32.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 32.0;
        assert!(mean.abs() < 1e-5, "column {column} has the mean {mean}");
        assert!(column == 1 || (variance - 1.0).abs() < 1e-4, "column {column} has the variance {variance}");
    }
    for row in train.values.chunks(7) {
        assert!(row[2] == 0.0 || (row[2], row[1]) == (1.0, 0.0), "a missing weight is the mean: {row:?}");
        assert_eq!(row[3..6].iter().sum::<f32>(), 1.0, "one color in {row:?}");
    }
}

#[test]
fn numeric_targets_are_regressed_and_can_be_restored() {
    let dataset = load(&flowers(), "price").unwrap();
    let Task::Regression { target, mean, deviation } = &dataset.task else { panic!("a regression") };
    assert_eq!(target, "price");
    assert_eq!(dataset.notes[0], "target 'price' is numeric with 40 distinct values: regression");
    let Targets::Values(values) = &dataset.train.targets else { panic!("values") };
    let restored: Vec<f32> = values.iter().map(|value| value * deviation + mean).collect();
    let prices: Vec<f32> = (0..40).map(|row| (row * row) as f32 + 0.5).collect();
    assert!(
        restored.iter().all(|value| prices.iter().any(|price| (price - value).abs() < 0.01)),
        "{restored:?}"
    );
}

#[test]
fn few_integers_are_classes_in_numeric_order() {
    let mut text = String::from("x,y\n");
    (0..60).for_each(|row| writeln!(text, "{row},{}", [10, 9, -1][row % 3]).unwrap());
    let dataset = load(&text, "y").unwrap();
    assert_eq!(dataset.task, Task::Classification { classes: vec!["-1".into(), "9".into(), "10".into()] });
    let distinct = "x,y\n1,1\n2,2\n3,3\n4,4\n";
    assert!(matches!(load(distinct, "y").unwrap().task, Task::Regression { .. }), "no value repeats");
}

#[test]
fn many_levels_keep_the_most_frequent_and_share_the_rest() {
    let mut text = String::from("word,number,y\n");
    for row in 0..400 {
        let word = if row % 2 == 0 { row % 20 } else { row };
        writeln!(text, "w{word},{row},{}", row % 2).unwrap();
    }
    let file = write(&text);
    let dataset = table(file.path(), "y").unwrap();
    let Preprocessing::Table { columns, .. } = &dataset.preprocessing else { panic!("a table") };
    let ColumnKind::Categorical { levels, other: true } = &columns[0].kind else { panic!("{columns:?}") };
    assert_eq!(levels.len(), 63);
    assert!((0..10).all(|word| levels.contains(&format!("w{}", word * 2))));
    assert!(dataset.notes[1].contains("the 63 most frequent are kept"), "{:?}", dataset.notes);

    let fresh = write("number,word\n7,never seen\n7,w0\n");
    let encoded = dataset.preprocessing.encode_csv(fresh.path()).unwrap();
    assert_eq!((encoded.table.rows, encoded.table.columns), (2, 65));
    assert_eq!(encoded.table.values[63], 1.0, "an unknown level falls to the shared one");
    assert_eq!(encoded.table.values[65], 1.0, "w0 is the first level");
    assert_eq!(encoded.table.values[64], encoded.table.values[129]);
}

#[test]
fn new_rows_are_encoded_as_the_training_rows_were() {
    let text = flowers();
    let file = write(&text);
    let dataset = table(file.path(), "kind").unwrap();
    let again = dataset.preprocessing.encode_csv(file.path()).unwrap();
    let Features::Table(test) = &dataset.test.features else { panic!("a table") };
    for row in test.values.chunks(7) {
        assert!(again.table.values.chunks(7).any(|other| other == row));
    }
    let unknown = write("size,weight,color,price\n1,?,violet,2e40\n1,?,violet,?\n");
    let message = dataset.preprocessing.encode_csv(unknown.path()).unwrap_err().to_string();
    assert!(message.ends_with("line 2: got '2e40' in column 'price', expected a number"), "{message}");
    let lacking = write("size,weight,Color\n1,2,red\n");
    let message = dataset.preprocessing.encode_csv(lacking.path()).unwrap_err().to_string();
    assert!(
        message.contains("got no column 'color'") && message.contains("did you mean 'Color'?"),
        "{message}"
    );
}

#[test]
fn what_cannot_be_used_is_said_in_one_sentence() {
    let cases = [
        ("a,b\n1,2\n3\n", "b", "line 3: got 1 field, expected 2 as in the header"),
        ("a,b,a\n1,2,3\n", "b", "line 1: got the name 'a' for the columns 1 and 3"),
        ("sepal,petal\n1,2\n1,3\n", "pteal", "did you mean 'petal'?"),
        ("", "b", "line 1: got an empty file"),
        ("a,b\n", "b", "line 2: got the end of the file, expected rows below the header"),
        ("a,b\n1,x\n2,x\n", "b", "got 1 distinct values in the target 'b', expected a target that varies"),
        ("a,b\n1,x\n2,y\n", "b", "got 2 different texts in 2 rows"),
        ("a,b\n1,x\n1,y\n1,x\n1,y\n", "b", "got no column to learn from"),
        ("a,b\n1,?\n2,NA\n", "b", "got 0 distinct values"),
    ];
    for (text, target, expected) in cases {
        let message = error(text, target);
        assert!(message.contains(expected), "{message:?} should contain {expected:?}");
    }
    let file = write("");
    std::fs::write(file.path(), b"a,b\n1,2\n\xff,3\n").unwrap();
    let message = table(file.path(), "b").unwrap_err().to_string();
    assert!(message.contains("line 3: got the byte 0xff, expected UTF-8 text"), "{message}");
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_table_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = sheet::parse(&bytes, Path::new("any.csv"));
    }

    #[test]
    fn any_text_of_cells_gives_finite_values_or_an_error(
        cells in prop::collection::vec(
            prop_oneof![
                Just("NA"), Just("1"), Just("-3.5"), Just("1e30"), Just("9e307"), Just("inf"), Just("red"), Just(""),
                Just("2"), Just("\"a,b\""),
            ],
            3..90,
        ),
    ) {
        let mut text = String::from("x,y,z\n");
        for row in cells.chunks_exact(3) {
            writeln!(text, "{}", row.join(",")).unwrap();
        }
        if let Ok(dataset) = load(&text, "z") {
            for part in [&dataset.train, &dataset.test] {
                let Features::Table(table) = &part.features else { panic!("a table") };
                prop_assert!(table.values.iter().all(|value| value.is_finite()));
                prop_assert_eq!(table.values.len(), part.targets.len() * dataset.preprocessing.shape()[0]);
            }
        }
    }
}
