//! Folders of images, and single images in every form that the formats allow.

use std::path::Path;

use gyrus_data::{Features, Images, Preprocessing, Targets, Task, folder, image_files};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;

fn plain(width: u32, height: u32, color: [u8; 3]) -> DynamicImage {
    RgbImage::from_pixel(width, height, Rgb(color)).into()
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn save(path: &Path, image: &DynamicImage) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let format = ImageFormat::from_path(path).unwrap();
    std::fs::write(path, encode(image, format)).unwrap();
}

fn images(features: &Features) -> &Images {
    match features {
        Features::Images(images) => images,
        _ => panic!("these are images"),
    }
}

#[test]
fn a_folder_becomes_classes_and_a_broken_image_is_named() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..10 {
        let extension = ["png", "jpg", "webp", "JPEG"][number % 4];
        let name = format!("{number}.{extension}");
        save(&root.path().join("red").join(&name), &plain(20, 13, [200, 0, 0]));
        save(&root.path().join("blue").join(&name), &plain(31, 17, [0, 0, 200]));
    }
    std::fs::write(root.path().join("red/broken.png"), b"\x89PNG\r\n\x1a\nnothing").unwrap();
    std::fs::write(root.path().join("red/notes.txt"), b"not an image").unwrap();
    std::fs::create_dir(root.path().join(".hidden")).unwrap();

    let dataset = folder(root.path(), None).unwrap();
    assert_eq!(dataset.task, Task::Classification { classes: vec!["blue".into(), "red".into()] });
    assert_eq!((dataset.train.len(), dataset.test.len()), (16, 4));
    let train = images(&dataset.train.features);
    assert_eq!((train.height, train.width, train.channels), (24, 24, 3), "the median side 20 becomes 24");
    let Targets::Classes(classes) = &dataset.train.targets else { panic!("classes") };
    for (index, class) in classes.iter().enumerate() {
        let pixel = &train.get(index).unwrap()[300..303];
        let strongest = if *class == 0 { 2 } else { 0 };
        assert!(pixel[strongest] > 180 && pixel[1] < 20, "{pixel:?} of class {class}");
    }
    assert_eq!(dataset.skipped.len(), 1);
    assert!(dataset.skipped[0].path.ends_with("red/broken.png"));
    assert!(
        dataset.skipped[0].reason.contains("not an intact image (PNG, JPEG, WebP, BMP, GIF, TIFF or PNM)")
    );
    assert!(dataset.notes.iter().any(|note| note == "skipped: 1 image that could not be decoded"));
    let said = "left out: 1 file that cannot be read as images: 1 .txt";
    assert!(dataset.notes.iter().any(|note| note == said), "{:?}", dataset.notes);
    assert_eq!(dataset.fingerprint, folder(root.path(), None).unwrap().fingerprint);
    assert_eq!(images(&folder(root.path(), Some(10)).unwrap().train.features).height, 10);
}

#[test]
fn gray_images_stay_gray_and_given_parts_stay_apart() {
    let root = tempfile::tempdir().unwrap();
    for (part, count) in [("train", 3), ("test", 2)] {
        for class in ["a", "b"] {
            for number in 0..count {
                let shade = if class == "a" { 10 } else { 240 };
                let path = root.path().join(part).join(class).join(format!("{number}.png"));
                save(&path, &plain(70, 90, [shade; 3]));
            }
        }
    }
    let dataset = folder(root.path(), None).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len()), (6, 4));
    let test = images(&dataset.test.features);
    assert_eq!((test.height, test.channels), (88, 1));
    assert!(test.get(0).unwrap().iter().all(|value| *value == 10));
    let path = root.path().join("test/b/1.png");
    assert_eq!(dataset.preprocessing.decode_file(&path).unwrap(), test.get(3).unwrap());

    save(&root.path().join("test/c/1.png"), &plain(5, 5, [1; 3]));
    let message = folder(root.path(), None).unwrap_err().to_string();
    assert!(
        message.contains("got a new class, expected only classes that are also in train: a, b"),
        "{message}"
    );
}

#[test]
fn unusable_folders_are_refused_in_one_sentence() {
    let root = tempfile::tempdir().unwrap();
    let message = |side| folder(root.path(), side).unwrap_err().to_string();
    assert!(message(None).contains("got no sub-folders, expected at least two sub-folders of images"));
    save(&root.path().join("cat/1.png"), &plain(9, 9, [1, 2, 3]));
    save(&root.path().join("cat/2.png"), &plain(9, 9, [1, 2, 3]));
    assert!(message(None).contains("got a single class, 'cat'"));
    std::fs::create_dir(root.path().join("dog")).unwrap();
    let text = message(None);
    assert!(text.contains("dog: got 0 usable images, expected at least 2"), "{text}");
    assert!(message(Some(0)).contains("got a side of 0 pixels, expected 1 to 4096"));
    let missing = folder(&root.path().join("nowhere"), None).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read "), "{missing}");
}

#[test]
fn every_form_of_pixel_becomes_eight_bits() {
    let gray16 = DynamicImage::from(image::ImageBuffer::from_pixel(3, 2, image::Luma([0x80ff_u16])));
    assert_eq!(image_files::decode(&encode(&gray16, ImageFormat::Png), 2, 3, 1).unwrap(), [0x80; 6]);
    let transparent = DynamicImage::from(image::RgbaImage::from_pixel(1, 1, image::Rgba([0, 100, 200, 51])));
    let png = encode(&transparent, ImageFormat::Png);
    assert_eq!(
        image_files::decode(&png, 1, 1, 3).unwrap(),
        [204, 224, 244],
        "one fifth of ink on white paper"
    );
    // Rec. 709: green weighs most.
    let green = encode(&plain(2, 2, [0, 255, 0]), ImageFormat::Png);
    assert_eq!(image_files::decode(&green, 2, 2, 1).unwrap(), [182; 4]);
}

#[test]
fn shrinking_averages_and_the_same_size_is_exact() {
    let board = RgbImage::from_fn(32, 32, |x, y| Rgb([if (x + y) % 2 == 0 { 255 } else { 0 }; 3]));
    let png = encode(&board.clone().into(), ImageFormat::Png);
    let small = image_files::decode(&png, 8, 8, 1).unwrap();
    assert!(small.iter().all(|value| (120..=135).contains(value)), "{small:?}");
    assert_eq!(image_files::decode(&png, 32, 32, 3).unwrap(), board.into_raw());

    // Far too large in one direction, to be enlarged in the other: a ramp stays one.
    let ramp = RgbImage::from_fn(1000, 3, |x, _| Rgb([(x / 4) as u8; 3]));
    let small = image_files::decode(&encode(&ramp.into(), ImageFormat::Png), 6, 10, 1).unwrap();
    for row in small.chunks(10) {
        for (column, value) in row.iter().enumerate() {
            let expected = 12.5 + 25.0 * column as f64;
            assert!((f64::from(*value) - expected).abs() < 4.0, "{value} in column {column}");
        }
    }
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_allocated() {
    let mut png = encode(&plain(1, 1, [0; 3]), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    // The checksum of the header chunk covers the size.
    let mut checksum = flate2::Crc::new();
    checksum.update(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
    let message = image_files::decode(&png, 8, 8, 3).unwrap_err().to_string();
    assert_eq!(message, "got an image of 65536 by 65536 pixels, expected 1 to 100000000 pixels in all");
    let png = encode(&plain(1, 1, [0; 3]), ImageFormat::Png);
    assert!(image_files::decode(&png, 8, 0, 3).is_err());
    assert!(image_files::decode(&png, 8, 8, 4).is_err());
}

/// The left half red, the right half blue.
fn halves(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| if x < width / 2 { Rgb([220, 0, 0]) } else { Rgb([0, 0, 220]) })
}

/// A JPEG file whose EXIF data say that it must be turned in this way.
fn jpeg_turned(image: &RgbImage, orientation: u8) -> Vec<u8> {
    let plain = encode(&image.clone().into(), ImageFormat::Jpeg);
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() + 2) as u16;
    [&plain[..2], &[0xff, 0xe1], &length.to_be_bytes(), &exif, &plain[2..]].concat()
}

#[test]
fn images_stand_upright_as_their_metadata_say() {
    let upright = halves(32, 32);
    let rotated = image::imageops::rotate270(&upright);
    let expected = image_files::decode(&jpeg_turned(&upright, 1), 8, 8, 3).unwrap();
    let turned = image_files::decode(&jpeg_turned(&rotated, 6), 8, 8, 3).unwrap();
    for (a, b) in expected.iter().zip(&turned) {
        assert!(a.abs_diff(*b) < 12, "{expected:?} {turned:?}");
    }
    assert!(turned[0] > 180 && turned[21] < 40, "red on the left: {turned:?}");

    // Whole folders are read in the same way.
    let root = tempfile::tempdir().unwrap();
    for (class, image) in [("a", &upright), ("b", &image::imageops::flip_horizontal(&upright))] {
        std::fs::create_dir(root.path().join(class)).unwrap();
        for number in 0..4 {
            let bytes = jpeg_turned(&image::imageops::rotate270(image), 6);
            std::fs::write(root.path().join(class).join(format!("{number}.jpg")), bytes).unwrap();
        }
    }
    let dataset = folder(root.path(), Some(8)).unwrap();
    let Targets::Classes(classes) = &dataset.train.targets else { panic!("classes") };
    for (index, class) in classes.iter().enumerate() {
        let red_on_the_left = images(&dataset.train.features).get(index).unwrap()[0] > 128;
        assert_eq!(red_on_the_left, *class == 0);
    }
}

#[test]
fn files_that_were_cut_off_are_refused_in_every_format() {
    let board = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 3) as u8, (y * 3) as u8, (x * y) as u8]));
    for format in [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Bmp,
        ImageFormat::Gif,
        ImageFormat::Tiff,
        ImageFormat::Pnm,
    ] {
        let bytes = encode(&board.clone().into(), format);
        assert!(image_files::decode(&bytes, 8, 8, 3).is_ok(), "{format:?}");
        assert!(image_files::decode(&bytes[..bytes.len() / 2], 8, 8, 3).is_err(), "{format:?}");
    }
    let bytes = encode(&board.into(), ImageFormat::Jpeg);
    let message = image_files::decode(&bytes[..bytes.len() / 2], 8, 8, 3).unwrap_err().to_string();
    assert_eq!(message, "the file ends before its image does: it was cut off");
}

#[test]
fn every_layout_of_parts_and_folders_within_classes_is_read() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("unpacked");
    for (part, count) in [("train", 6), ("valid", 2), ("Test", 3)] {
        for (class, shade) in [("a", 10), ("b", 240)] {
            for number in 0..count {
                let extension = ["png", "bmp", "gif", "tiff", "jpg", "ppm"][number];
                let path = data.join(part).join(class).join(format!("day {number}/{number}.{extension}"));
                save(&path, &plain(16, 16, [shade; 3]));
            }
        }
    }
    std::fs::write(data.join("train/a/phone.heic"), b"?").unwrap();
    std::fs::create_dir_all(root.path().join("__MACOSX")).unwrap();
    let dataset = folder(root.path(), None).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len()), (16, 6));
    assert_eq!(dataset.validation, [12, 13, 14, 15], "the part to choose the epoch by");
    assert!(
        dataset.notes.iter().any(|note| note.contains("1 file that cannot be read as images: 1 .heic")),
        "{:?}",
        dataset.notes
    );

    std::fs::remove_dir_all(data.join("Test")).unwrap();
    let dataset = folder(root.path(), None).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len(), dataset.validation.len()), (12, 4, 0));
    assert!(dataset.notes.contains(&"there is no test part: 'valid' is used as test".to_owned()));
}

/// Real photographs, where they are: `GYRUS_DATA`, or beside the checkout.
#[test]
fn odd_photographs_are_read_or_refused() {
    let data = std::env::var_os("GYRUS_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        std::path::PathBuf::from,
    );
    let odd = data.join("vision/odd");
    if !odd.is_dir() {
        eprintln!("skipped: no {}", odd.display());
        return;
    }
    let decode = |name: &str| {
        let bytes = std::fs::read(odd.join(name)).unwrap();
        image_files::decode(&bytes, 32, 32, 3)
    };
    let upright = decode("african_elephants_with_exif_orientation.jpg").unwrap();
    let cmyk = decode("african_elephants_cmyk.jpg").unwrap();
    let mean =
        |pixels: &[u8]| pixels.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / pixels.len() as f64;
    let difference = upright.iter().zip(&cmyk).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / 3072.0;
    assert!(difference < 25.0, "{difference}, means {} and {}", mean(&upright), mean(&cmyk));
    assert!(decode("african_elephants_truncated_file.jpg").is_err());
}

#[test]
fn a_table_network_refuses_images() {
    let preprocessing = Preprocessing::Table { columns: Vec::new(), target: "y".into() };
    let message = preprocessing.decode_file(Path::new("cat.png")).unwrap_err().to_string();
    assert_eq!(message, "cat.png: got an image, expected a CSV file, which this network learned from");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn damaged_images_never_panic(
        format in 0_usize..7, flips in prop::collection::vec((0_usize..2000, 0_u8..=255), 1..6), cut in 0_usize..2000,
    ) {
        let format = [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::WebP,
            ImageFormat::Bmp,
            ImageFormat::Gif,
            ImageFormat::Tiff,
            ImageFormat::Pnm,
        ][format];
        let board = RgbImage::from_fn(23, 17, |x, y| Rgb([(x * 11) as u8, (y * 13) as u8, (x * y) as u8]));
        let mut bytes = encode(&board.into(), format);
        for (position, value) in flips {
            let position = position % bytes.len();
            bytes[position] = value;
        }
        bytes.truncate(cut.max(1));
        if let Ok(pixels) = image_files::decode(&bytes, 8, 8, 3) {
            prop_assert_eq!(pixels.len(), 192);
        }
    }
}
