//! Data sets from the Hugging Face hub: images with labels in Parquet files.

use gyrus_formats::hub::Hub;

use crate::parquet_images::read_parquet;
use crate::{Dataset, Result};

/// Where a data set is on the hub.
struct Source {
    name: &'static str,
    owner: &'static str,
    repository: &'static str,
    folder: &'static str,
    image_column: &'static str,
    classes: &'static [&'static str; 10],
    /// Side and channels of each image.
    shape: (usize, usize),
}

/// MNIST, from `ylecun/mnist`.
///
/// # Errors
/// [`Error::Hub`](crate::Error::Hub) for a download that fails; damaged files as for local ones.
pub fn mnist(hub: &Hub) -> Result<Dataset> {
    let source = Source {
        name: "mnist",
        owner: "ylecun",
        repository: "mnist",
        folder: "mnist",
        image_column: "image",
        classes: &crate::mnist::DIGIT_CLASSES,
        shape: (28, 1),
    };
    source.load(hub)
}

/// Fashion-MNIST, from `zalando-datasets/fashion_mnist`.
///
/// # Errors
/// As for [`mnist`].
pub fn fashion_mnist(hub: &Hub) -> Result<Dataset> {
    let source = Source {
        name: "fashion-mnist",
        owner: "zalando-datasets",
        repository: "fashion_mnist",
        folder: "fashion_mnist",
        image_column: "image",
        classes: &crate::mnist::FASHION_CLASSES,
        shape: (28, 1),
    };
    source.load(hub)
}

/// CIFAR-10, from `uoft-cs/cifar10`.
///
/// # Errors
/// As for [`mnist`].
pub fn cifar10(hub: &Hub) -> Result<Dataset> {
    let source = Source {
        name: "cifar10",
        owner: "uoft-cs",
        repository: "cifar10",
        folder: "plain_text",
        image_column: "img",
        classes: &crate::cifar::CLASSES,
        shape: (crate::cifar::SIDE, 3),
    };
    source.load(hub)
}

impl Source {
    fn load(&self, hub: &Hub) -> Result<Dataset> {
        let part = |part: &str| {
            let file = format!("{}/{part}-00000-of-00001.parquet", self.folder);
            let path = hub.fetch(self.owner, self.repository, &file)?;
            read_parquet(&path, self.image_column, self.shape)
        };
        let (train, test) = (part("train")?, part("test")?);
        let classes = self.classes.map(str::to_owned).to_vec();
        Ok(Dataset::of_images(self.name, classes, train, test))
    }
}
