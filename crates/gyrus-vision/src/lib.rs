//! Vision: what the layers of a network have learned ([`see`]).

mod error;
pub mod see;

pub use error::{Error, Result};
