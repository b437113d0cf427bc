//! Data sets from the hub: pictures with labels in Parquet files.

use super::Hub;
use crate::parquet_images::read_parquet;
use crate::{Dataset, Result, cifar, mnist};

/// Where a data set lies on the hub.
struct Source {
    name: &'static str,
    owner: &'static str,
    repository: &'static str,
    folder: &'static str,
    image_column: &'static str,
    classes: &'static [&'static str; 10],
    /// Side and channels of each picture.
    shape: (usize, usize),
}

impl Hub {
    /// MNIST, from `ylecun/mnist`.
    ///
    /// # Errors
    /// [`Error::Hub`](crate::Error::Hub) and [`Error::Checksum`](crate::Error::Checksum) for a download that fails;
    /// damaged files as for local ones.
    pub fn mnist(&self) -> Result<Dataset> {
        self.load(&Source {
            name: "mnist",
            owner: "ylecun",
            repository: "mnist",
            folder: "mnist",
            image_column: "image",
            classes: &mnist::DIGIT_CLASSES,
            shape: (28, 1),
        })
    }

    /// Fashion-MNIST, from `zalando-datasets/fashion_mnist`.
    ///
    /// # Errors
    /// As for [`Self::mnist`].
    pub fn fashion_mnist(&self) -> Result<Dataset> {
        self.load(&Source {
            name: "fashion-mnist",
            owner: "zalando-datasets",
            repository: "fashion_mnist",
            folder: "fashion_mnist",
            image_column: "image",
            classes: &mnist::FASHION_CLASSES,
            shape: (28, 1),
        })
    }

    /// CIFAR-10, from `uoft-cs/cifar10`.
    ///
    /// # Errors
    /// As for [`Self::mnist`].
    pub fn cifar10(&self) -> Result<Dataset> {
        self.load(&Source {
            name: "cifar10",
            owner: "uoft-cs",
            repository: "cifar10",
            folder: "plain_text",
            image_column: "img",
            classes: &cifar::CLASSES,
            shape: (cifar::SIDE, 3),
        })
    }

    fn load(&self, source: &Source) -> Result<Dataset> {
        let part = |part: &str| {
            let file = format!("{}/{part}-00000-of-00001.parquet", source.folder);
            let path = self.fetch(source.owner, source.repository, &file)?;
            read_parquet(&path, source.image_column, source.shape)
        };
        let (train, test) = (part("train")?, part("test")?);
        let classes = source.classes.map(str::to_owned).to_vec();
        Ok(Dataset::of_images(source.name, classes, train, test))
    }
}
