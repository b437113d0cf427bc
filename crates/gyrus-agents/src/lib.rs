//! Questions to databases, whose answers can be traced and whose databases cannot be written to.
//!
//! A query passes two guards that do not know each other. [`guard::check`] parses it, accepts one `SELECT` made of known
//! tables, functions and clauses, and prints it from the checked tree: what was checked is what runs. [`Sqlite`] then runs it
//! on a read-only connection with an authorizer, limits and a deadline. Neither trusts the other, because parsers and
//! engines never agree in everything.
//!
//! ```
//! use gyrus_agents::{Database, Rules, Sqlite};
//!
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("shop.sqlite");
//! # rusqlite::Connection::open(&file)?.execute_batch("CREATE TABLE sale (country TEXT, total REAL);
//! #     INSERT INTO sale VALUES ('Norway', 3.5), ('Chile', 2), ('Norway', 1)")?;
//! let database = Sqlite::open(&file, Rules::default())?;
//! let rows = database.query("select country, sum(total) as sold from sale group by country order by sold desc")?;
//! assert_eq!(rows.columns, ["country", "sold"]);
//! assert_eq!(rows.rows[0][0].to_string(), "Norway");
//! assert!(database.query("delete from sale").is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod ask;
#[cfg(feature = "documents")]
pub mod claims;
pub mod core;
pub mod database;
mod error;
pub mod evaluate;
pub mod guard;
pub mod mcp;
pub mod model;
#[cfg(feature = "documents")]
pub mod research;
#[cfg(feature = "documents")]
pub mod retrieval;
#[cfg(all(feature = "documents", feature = "network"))]
pub mod web;

pub use ask::{
    Answer, Grammar, Privacy, Question, Semantics, Strategy, Translation, Translator, Turn, answer,
    answer_with,
};
pub use database::{
    Cell, Column, Database, Holds, MySql, Postgres, Rows, Rules, Schema, Sqlite, Table, open, shown_address,
};
pub use error::{Error, Refusal, Result};
