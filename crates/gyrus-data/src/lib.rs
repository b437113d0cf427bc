//! Data sets for Gyrus: finding, decoding, batching and augmenting examples, without tensors.
//!
//! A [`Dataset`] holds its training and test [`Examples`] in memory, images as bytes. [`epoch_order`] returns the
//! order of an epoch, and [`fill_batch`] writes normalized (and augmented) `f32` into the caller's buffer. Both are
//! pure functions of seed, epoch and index: the result is the same for any number of threads.
//!
//! ```
//! use gyrus_data::{digits, epoch_order, fill_batch};
//!
//! let data = digits();
//! let order = epoch_order(data.train.len(), 0, 0);
//! let mut batch = Vec::new();
//! fill_batch(&data.train, &data.preprocessing, &order[..32], None, &mut batch);
//! assert_eq!(batch.len(), 32 * 8 * 8);
//! ```

mod augment;
mod batch;
pub mod cifar;
mod dataset;
mod digits;
mod error;
mod examples;
mod folder;
#[cfg(feature = "hub")]
pub mod hub;
pub mod idx;
pub mod image_files;
mod ink;
mod mnist;
#[cfg(feature = "hub")]
mod parquet_images;
mod preprocessing;
mod random;
mod read;
pub mod recordings;
mod resize;
pub mod sheet;
mod table;

pub use augment::{Augment, Outside, ParseAugmentError};
pub use batch::{epoch_order, fill_batch};
pub use cifar::cifar10;
pub use dataset::{Dataset, Skipped, Task};
pub use digits::digits;
pub use error::{Error, Result};
pub use examples::{Examples, Features, Images, Table, Targets, split_indices};
pub use folder::{folder, folder_for, images_within};
pub use ink::{Ink, Seen};
pub use mnist::{fashion_mnist, mnist};
pub use preprocessing::{ColumnEncoding, ColumnKind, Preprocessing};
pub use recordings::frames::Frames;
pub use recordings::{
    EventOptions, event_folder, event_recordings, is_cochlea_file, is_event_file, is_event_folder,
};
pub use resize::{Filter, Resize};
pub use table::{Decimal, EncodedRows, SourceRow, columns, table, table_folds, table_with_test};
