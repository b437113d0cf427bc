//! Questions answered from documents, with each claim bound to its quote.
//!
//! Two agents share everything but their head. [`Quotes`] needs no model: it searches with the words of the question, then with those
//! that no quote covers, and answers with quotes alone. [`Study`] has a model that plans, reads and writes; it names evidence by ids,
//! and what it claims is checked against the evidence before anybody sees it.

mod answer;
mod data;
mod driver;
mod forms;
mod markdown;
mod quotes;
mod select;
mod study;

pub use answer::{Answer, AnsweredClaim, Dropped, Effort, Quote};
pub use data::{DataSource, ask_data, databases_in};
pub use driver::{Folder, JOURNAL, Outcome, Reach, Settings, Tools, replay};
pub use markdown::markdown;
pub use quotes::Quotes;
pub use select::select_quotes;
pub use study::Study;
