//! The inputs that failed once, where they are: in the folder `GYRUS_FAILING`, or beside the checkout. What is right for
//! each kind is tested without them in `tables.rs`, `image_files.rs` and `ink.rs`.

use std::path::{Path, PathBuf};

use gyrus_data::{ColumnKind, Dataset, Images, Preprocessing, image_files, table};

fn failing(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("GYRUS_FAILING")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/failing"), PathBuf::from);
    let path = root.join(part);
    if !path.is_dir() {
        println!("skipped: no {} (set GYRUS_FAILING to the folder with the inputs)", path.display());
        return None;
    }
    Some(path)
}

fn kinds(dataset: &Dataset) -> Vec<(String, &'static str)> {
    let Preprocessing::Table { columns, .. } = &dataset.preprocessing else { panic!("a table") };
    let kind = |kind: &ColumnKind| match kind {
        ColumnKind::Numeric { .. } => "number",
        ColumnKind::Categorical { .. } => "category",
    };
    columns.iter().map(|column| (column.name.clone(), kind(&column.kind))).collect()
}

#[test]
fn tables() {
    let Some(folder) = failing("tables") else { return };
    let load = |name: &str| table(&folder.join(name).with_extension("csv"), "y").unwrap();
    let numbers = [("a".to_owned(), "number"), ("b".to_owned(), "number")];
    let base = load("base");
    assert_eq!(kinds(&base), numbers);

    assert_eq!(kinds(&load("full_na_slash")), numbers);
    let commas = load("commadec_quoted");
    assert_eq!((kinds(&commas), &commas.fingerprint), (numbers.to_vec(), &base.fingerprint));
    let nul = load("nul");
    assert_eq!(kinds(&nul), numbers);
    assert!(
        nul.notes.iter().any(|note| note.contains("NUL byte") && note.contains("line ")),
        "{:?}",
        nul.notes
    );
    let index = load("leakindex");
    assert_eq!(kinds(&index), numbers);
    assert!(index.notes.iter().any(|note| note.starts_with("the first column")), "{:?}", index.notes);
    let codes = load("leadzero");
    assert_eq!(kinds(&codes)[0], ("zip".to_owned(), "category"));
    assert!(codes.notes.iter().any(|note| note.contains("codes such as '00123'")), "{:?}", codes.notes);
}

#[test]
fn images() {
    let Some(folder) = failing("pictures") else { return };
    let decode = |name: &str| image_files::decode(&std::fs::read(folder.join(name)).unwrap(), 40, 40, 3);
    // The same pixels but for noise; the second file says that they must be turned by a quarter, clockwise.
    let (upright, turned) = (decode("exif_o1.jpg").unwrap(), decode("exif_o6.jpg").unwrap());
    let at =
        |pixels: &[u8], x: usize, y: usize, channel: usize| f64::from(pixels[(y * 40 + x) * 3 + channel]);
    let difference = |from: &dyn Fn(usize, usize) -> (usize, usize)| {
        let places = (0..40).flat_map(|y| (0..40).flat_map(move |x| (0..3).map(move |c| (x, y, c))));
        let differences = places.map(|(x, y, c)| {
            let (from_x, from_y) = from(x, y);
            (at(&turned, x, y, c) - at(&upright, from_x, from_y, c)).abs()
        });
        differences.sum::<f64>() / 4800.0
    };
    assert!(difference(&|x, y| (y, 39 - x)) < 12.0 && difference(&|x, y| (x, y)) > 50.0);
    let said = decode("trunc50_red.jpg").unwrap_err().to_string();
    assert_eq!(said, "the file ends before its image does: it was cut off");
}

#[test]
fn handwriting() {
    let Some(folder) = failing("handwriting") else { return };
    // Strokes as MNIST has them: light on black, 20 of 28 pixels, centered.
    let pixels = (0..40 * 784).map(|at| {
        let (x, y, image) = (at % 28, at / 28 % 28, at / 784);
        let stroke = (4..24).contains(&y) && (12 - image % 3..15 + image % 2).contains(&x);
        if stroke { 250 } else { 0 }
    });
    let images = Images { pixels: pixels.collect(), count: 40, height: 28, width: 28, channels: 1 };
    let preprocessing = Preprocessing::for_images(&images);
    for name in ["paper3.png", "paper7.png", "inv0_is0.png"] {
        let seen = preprocessing.see_file(&folder.join(name)).unwrap();
        assert!(seen.notes[0].starts_with("this is ink on paper"), "{name}: {:?}", seen.notes);
        let row = |y: usize| seen.pixels[y * 28..][..28].iter().map(|pixel| u32::from(*pixel)).sum::<u32>();
        assert_eq!([0, 27].map(row), [0; 2], "{name}: the ground is black");
        let rows = (0..28).filter(|y| row(*y) > 100).count();
        assert!(
            (19..=21).contains(&rows),
            "{name}: the ink fills {rows} rows, and those of the strokes fill 20"
        );
    }
}
