//! Tables as people have them: each input failed once, and beside it is what is right.

use std::fmt::Write;

use gyrus_data::{
    ColumnKind, Dataset, Examples, Features, Preprocessing, Result, SourceRow, Targets, Task, table,
    table_folds, table_with_test,
};

fn write(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn load(text: &str, target: &str) -> Result<Dataset> {
    table(write(text).path(), target)
}

/// 60 rows of two numbers in the given form and a class that follows from their signs.
fn numbers(header: &str, delimiter: char, form: impl Fn(usize, f64, f64) -> (String, String)) -> String {
    let mut text = format!("{header}\n");
    for row in 0..60 {
        let (a, b) = ((row * 37 % 61) as f64 / 20.0 - 1.5, (row * 23 % 59) as f64 / 20.0 - 1.4);
        let class = if a + b > 0.0 { "yes" } else { "no" };
        let (a, b) = form(row, a, b);
        writeln!(text, "{a}{delimiter}{b}{delimiter}{class}").unwrap();
    }
    text
}

fn plain(header: &str, delimiter: char) -> String {
    numbers(header, delimiter, |_, a, b| (format!("{a:.3}"), format!("{b:.3}")))
}

fn columns(dataset: &Dataset) -> Vec<(&str, &ColumnKind)> {
    let Preprocessing::Table { columns, .. } = &dataset.preprocessing else { panic!("a table") };
    columns.iter().map(|column| (column.name.as_str(), &column.kind)).collect()
}

fn are_numbers(dataset: &Dataset) -> bool {
    columns(dataset).len() == 2
        && columns(dataset).iter().all(|(_, kind)| matches!(kind, ColumnKind::Numeric { .. }))
}

fn values(examples: &Examples) -> &[f32] {
    let Features::Table(table) = &examples.features else { panic!("a table") };
    &table.values
}

#[test]
fn each_mark_of_a_missing_value_is_one() {
    for mark in ["N/A", "#N/A", "NULL", "<NA>", "-nan", "n/a", "None", "1.#QNAN", "null", ""] {
        let text = plain("a,b,y", ',').replacen("-0.650", mark, 1);
        let dataset = load(&text, "y").unwrap();
        assert!(are_numbers(&dataset), "{mark}: {:?}", dataset.notes);
        assert_eq!(dataset.notes.len(), 1, "{mark}: {:?}", dataset.notes);
    }
}

#[test]
fn a_single_odd_cell_is_named_and_the_column_kept() {
    let text = plain("a,b,y", ',').replacen("-0.650", "oops", 1);
    let line = 1 + text.lines().position(|line| line.contains("oops")).unwrap();
    let dataset = load(&text, "y").unwrap();
    assert!(are_numbers(&dataset));
    let expected = format!("column 'a' holds what is no number, taken as missing: 'oops' (line {line})");
    assert!(dataset.notes.contains(&expected), "{:?}", dataset.notes);

    let text = plain("a,b,y", ',').replacen("-0.650", "-0\0.65", 1);
    let dataset = load(&text, "y").unwrap();
    assert!(are_numbers(&dataset));
    let expected = format!("a cell holds a NUL byte and is taken as missing: line {line}, column 'a'");
    assert!(dataset.notes.contains(&expected), "{:?}", dataset.notes);
}

#[test]
fn decimal_commas_give_the_numbers_that_points_give() {
    let pointed = load(&plain("a,b,y", ','), "y").unwrap();
    let quoted = numbers("a,b,y", ',', |_, a, b| {
        (format!("\"{a:.3}\"").replace('.', ","), format!("\"{b:.3}\"").replace('.', ","))
    });
    let excel = plain("a;b;y", ';').replace('.', ",");
    for text in [quoted, excel] {
        let dataset = load(&text, "y").unwrap();
        assert!(are_numbers(&dataset));
        assert_eq!(values(&dataset.train), values(&pointed.train));
        assert!(dataset.notes.contains(&"column 'a' has decimal commas".to_owned()), "{:?}", dataset.notes);
        // What is written otherwise later is read as it is written.
        let fresh = write("b;a\n1,5;-0,25\n");
        let other = write("b,a\n1.5,-0.25\n");
        let encoded = [fresh, other].map(|file| dataset.preprocessing.encode_csv(file.path()).unwrap().table);
        assert_eq!(encoded[0], encoded[1]);
    }
    let dollars = numbers("a,b,y", ',', |row, _, b| (format!("\"$1,{:03}\"", row * 7), format!("{b:.3}")));
    let dataset = load(&dollars, "y").unwrap();
    assert!(are_numbers(&dataset));
    assert!(dataset.notes.iter().any(|note| note.starts_with("column 'a' groups digits by commas")));
    let Some((_, ColumnKind::Numeric { mean, .. })) = columns(&dataset).first().copied() else {
        panic!("numbers")
    };
    assert!((1100.0..1300.0).contains(mean), "{mean}");
}

#[test]
fn a_column_that_only_counts_is_left_out_and_said() {
    let cases = [
        (",a,b,y", "the first column, 'column 1', has no name", 1000),
        ("Unnamed: 0,a,b,y", "the first column, 'Unnamed: 0', has no name", 1000),
        ("n,a,b,y", "the first column, 'n', only counts the rows", 1),
        ("ID,a,b,y", "the first column, 'ID', numbers the rows", 500),
    ];
    for (header, expected, start) in cases {
        let text = numbers(header, ',', |row, a, b| {
            let number = if start == 500 { start + row * 7 % 60 } else { start + row };
            (format!("{number},{a:.3}"), format!("{b:.3}"))
        });
        let dataset = load(&text, "y").unwrap();
        assert!(are_numbers(&dataset), "{header}: {:?}", columns(&dataset));
        assert!(dataset.notes.iter().any(|note| note.starts_with(expected)), "{header}: {:?}", dataset.notes);
    }
    // R writes no name at all.
    let text = numbers("a,b,y", ',', |row, a, b| (format!("\"{}\",{a:.3}", row + 1), format!("{b:.3}")));
    assert!(are_numbers(&load(&text, "y").unwrap()));
    // Years count as well, and tell something; time may be all that there is.
    let text = numbers("year,a,b,y", ',', |row, a, b| (format!("{},{a:.3}", 1960 + row), format!("{b:.3}")));
    assert_eq!(columns(&load(&text, "y").unwrap())[0].0, "year");
    let series: String = (0..30).map(|t| format!("{t},{}.5\n", t * t)).collect();
    assert_eq!(columns(&load(&format!("t,y\n{series}"), "y").unwrap())[0].0, "t");
}

#[test]
fn codes_with_leading_zeros_are_categories() {
    let text = numbers("zip,b,y", ',', |row, _, b| {
        (["00123", "01230", "12300"][row % 3].to_owned(), format!("{b:.3}"))
    });
    let dataset = load(&text, "y").unwrap();
    let Some((_, ColumnKind::Categorical { levels, .. })) = columns(&dataset).first().copied() else {
        panic!("codes")
    };
    assert_eq!(levels[..], ["00123", "01230", "12300"]);
    let said = "column 'zip' holds codes such as '00123', which are categories and not numbers";
    assert!(dataset.notes.contains(&said.to_owned()), "{:?}", dataset.notes);
}

#[test]
fn every_usual_delimiter_and_encoding_gives_the_same() {
    let expected = load(&plain("a,b,y", ','), "y").unwrap().fingerprint;
    for delimiter in [';', '\t', '|'] {
        let text = plain(&format!("a{delimiter}b{delimiter}y"), delimiter);
        assert_eq!(load(&text, "y").unwrap().fingerprint, expected, "{delimiter:?}");
    }
    // A comma in the header alone does not separate.
    let text = plain("a;\"b, in m, s, kg\";y", ';');
    assert_eq!(load(&text, "y").unwrap().fingerprint, expected);
    let text = plain("a,b,y", ',');
    let units = |big: bool| {
        text.encode_utf16().flat_map(move |u| if big { u.to_be_bytes() } else { u.to_le_bytes() })
    };
    let forms: [Vec<u8>; 6] = [
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        [0xff, 0xfe].into_iter().chain(units(false)).collect(),
        [0xfe, 0xff].into_iter().chain(units(true)).collect(),
        units(false).collect(),
        text.replace('\n', "\r\n").into_bytes(),
        {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
            packed.finish().unwrap()
        },
    ];
    for (form, bytes) in forms.iter().enumerate() {
        let file = write("");
        std::fs::write(file.path(), bytes).unwrap();
        assert_eq!(table(file.path(), "y").unwrap().fingerprint, expected, "form {form}");
    }
}

#[test]
fn what_a_new_file_has_of_its_own_is_said() {
    let text =
        numbers("a,color,y", ',', |row, a, _| (format!("{a:.3}"), ["red", "blue"][row % 2].to_owned()));
    let dataset = load(&text, "y").unwrap();
    let fresh = write("a,color\n0.5,red\nabc,green\n0.25,blue\n");
    let encoded = dataset.preprocessing.encode_csv(fresh.path()).unwrap();
    assert_eq!(encoded.lines, [2, 3, 4]);
    assert_eq!(
        encoded.notes,
        [
            "column 'a' holds what is no number, taken as missing: 'abc' (line 3)",
            "column 'color' holds what no training row had: 'green' (line 3)",
        ]
    );
    assert_eq!(encoded.table.values[3..6], [0.0; 3], "the mean, and none of the known colors");
}

#[test]
fn a_class_of_one_row_and_odd_targets_are_said() {
    let text = plain("a,b,y", ',') + "0.1,0.1,maybe\n";
    let dataset = load(&text, "y").unwrap();
    let said = "classes with a single row, which can be learned from but not tested: 'maybe'";
    assert!(dataset.notes.contains(&said.to_owned()), "{:?}", dataset.notes);
    let mut text = numbers("y,b,z", ',', |_, a, b| (format!("{a:.3}"), format!("{b:.3}")));
    text += "sold,1.0,no\n";
    let dataset = load(&text, "y").unwrap();
    assert!(matches!(dataset.task, Task::Regression { .. }));
    assert!(
        dataset.notes.contains(&"rows whose 'y' is no number were left out: 'sold' (line 62)".to_owned())
    );
}

#[test]
fn long_tails_are_compressed_and_said() {
    let mut text = String::from("people,y\n");
    for row in 0..300 {
        let people = if [30, 131, 232].contains(&row) { 5_000_000 } else { 100 + row * 7 % 61 };
        writeln!(text, "{people},{}", ["yes", "no"][row % 2]).unwrap();
    }
    let dataset = load(&text, "y").unwrap();
    let said = "column 'people' has a long tail: its values are compressed";
    assert!(dataset.notes.contains(&said.to_owned()), "{:?}", dataset.notes);
    let values = values(&dataset.train);
    let (low, high) = values.iter().fold((0.0_f32, 0.0_f32), |(low, high), v| (low.min(*v), high.max(*v)));
    assert!((8.0..16.0).contains(&high) && low < -1.0, "the others keep their differences: {low} to {high}");
    let far = write("people\n9000000000\n150\n");
    let encoded = dataset.preprocessing.encode_csv(far.path()).unwrap();
    assert!(
        encoded.table.values[0] < high + 1.0,
        "far outside is as far as was seen, and half of it: {encoded:?}"
    );
    let said = "column 'people' is far outside of what training rows had, and is taken as less: '9000000000' (line 2)";
    assert_eq!(encoded.notes, [said]);
    let again = write(&text);
    let encoded = dataset.preprocessing.encode_csv(again.path()).unwrap().table;
    assert!(values.iter().all(|value| encoded.values.contains(value)));
}

#[test]
fn a_test_file_and_folds_use_rows_as_they_should() {
    let train = write(&plain("a,b,y", ','));
    let test = write("y,b,a\nyes,0.5,1.5\nno,-1.0,-1.0\n,1,1\n");
    let dataset = table_with_test(train.path(), "y", test.path()).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len()), (60, 2));
    assert_eq!(dataset.test.targets, Targets::Classes(vec![1, 0]));
    let shown = SourceRow { line: 3, values: "a = -1.0, b = -1.0".into() };
    assert_eq!(dataset.test_rows[1], shown);
    let again = dataset.preprocessing.encode_csv(test.path()).unwrap().table;
    assert_eq!(values(&dataset.test), &again.values[..4]);
    let strange = write("a,b,y\n1,2,perhaps\n");
    let message = table_with_test(train.path(), "y", strange.path()).unwrap_err().to_string();
    assert!(
        message.contains(
            "line 2: got 'perhaps' in the target 'y', expected a class of the training rows: no, yes"
        )
    );

    let folds = table_folds(train.path(), "y", 5).unwrap();
    let mut lines: Vec<u64> =
        folds.iter().flat_map(|fold| fold.test_rows.iter().map(|row| row.line)).collect();
    lines.sort_unstable();
    assert_eq!(lines, (2..62).collect::<Vec<u64>>(), "each row tests once");
    let yes = folds.iter().map(|fold| {
        assert_eq!((fold.train.len(), fold.test.len()), (48, 12));
        let Targets::Classes(classes) = &fold.test.targets else { panic!("classes") };
        classes.iter().filter(|class| **class == 1).count()
    });
    let yes: Vec<usize> = yes.collect();
    assert!(
        yes.iter().max().unwrap() - yes.iter().min().unwrap() <= 1,
        "the classes are shared out: {yes:?}"
    );
    assert!(table_folds(train.path(), "y", 1).is_err());
}
