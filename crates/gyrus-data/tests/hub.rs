//! Data sets from the hub, against a small server on the loopback address.

#[path = "../../gyrus-formats/tests/common/hub_server.rs"]
mod hub_server;

use std::path::Path;
use std::sync::Arc;

use gyrus_data::{Features, Targets, hub};
use gyrus_formats::hub::Hub;
use hub_server::Server;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::writer::SerializedFileWriter;

fn hub_of(server: &Server, cache: &Path) -> Hub {
    Hub::new(&server.address, cache, false).unwrap()
}

/// A Parquet file as the hub's: a group of encoded image and path, and a label.
fn parquet_file(image_column: &str, images: &[Vec<u8>], labels: &[i64]) -> Vec<u8> {
    let schema = format!(
        "message schema {{ optional group {image_column} {{ optional binary bytes; optional binary path (UTF8); }}
         optional int64 label; }}"
    );
    let schema = Arc::new(parquet::schema::parser::parse_message_type(&schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let images: Vec<ByteArray> = images.iter().map(|image| ByteArray::from(image.clone())).collect();
    let present = vec![2; labels.len()];
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&images, Some(&present), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[], Some(&vec![1; labels.len()]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(labels, Some(&vec![1; labels.len()]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn png(side: u32, value: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::GrayImage::from_pixel(side, side, image::Luma([value]));
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn the_three_data_sets_are_decoded() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    for (folder, column, side) in [
        ("ylecun/mnist/mnist", "image", 28),
        ("zalando-datasets/fashion_mnist/fashion_mnist", "image", 28),
        ("uoft-cs/cifar10/plain_text", "img", 32),
    ] {
        let train = parquet_file(column, &[png(side, 5), png(side, 6), png(side, 7)], &[3, 9, 0]);
        server.add(&format!("{folder}/train-00000-of-00001.parquet"), &train);
        server.add(
            &format!("{folder}/test-00000-of-00001.parquet"),
            &parquet_file(column, &[png(side, 8)], &[1]),
        );
    }
    let hub = hub_of(&server, cache.path());
    for (dataset, name, channels) in [
        (hub::mnist(&hub).unwrap(), "mnist", 1),
        (hub::fashion_mnist(&hub).unwrap(), "fashion-mnist", 1),
        (hub::cifar10(&hub).unwrap(), "cifar10", 3),
    ] {
        assert_eq!(dataset.name, name);
        assert_eq!(dataset.train.targets, Targets::Classes(vec![3, 9, 0]));
        let Features::Images(test) = &dataset.test.features else { panic!("images") };
        assert_eq!((test.count, test.channels), (1, channels));
        assert!(test.pixels.iter().all(|pixel| *pixel == 8));
    }
}

#[test]
fn wrong_parquet_files_are_refused_in_one_sentence() {
    let cases = [
        (b"PAR1 nothing of the kind PAR1".to_vec(), "a damaged Parquet file"),
        (
            parquet_file("image", &[png(27, 1)], &[1]),
            "got 27 by 27 pixels in row 0, expected an image of 28 by 28",
        ),
        (parquet_file("image", &[b"no".to_vec()], &[1]), "not an intact image (PNG, JPEG, WebP"),
        (
            parquet_file("image", &[png(28, 1)], &[10]),
            "got row 0 without them, expected 'image' with the bytes",
        ),
        (parquet_file("other", &[png(28, 1)], &[1]), "got row 0 without them"),
    ];
    for (bytes, expected) in cases {
        let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
        server.add("ylecun/mnist/mnist/train-00000-of-00001.parquet", &bytes);
        let message = hub::mnist(&hub_of(&server, cache.path())).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}
