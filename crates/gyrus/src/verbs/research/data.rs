//! The databases of a research: a file, a server, or what a folder of documents holds.

use std::path::Path;

use gyrus_agents::Privacy;
use gyrus_agents::research::{DataSource, databases_in};
use gyrus_files::counted;

use crate::observer::{Note, Observer};
use crate::verbs::ask::{Ask, has_semantic_file};
use crate::{Error, Result};

/// Where sources are tables of the folder itself.
pub(super) const FOLDER: &str = ".";

/// Opens a database as the only source.
pub(super) fn opened(address: &Path, shows_model: bool) -> Result<(String, DataSource)> {
    source(address, None, shows_model, true)
}

/// Opens what a folder holds: files of SQLite, and its tables as one database. What cannot be opened is said and left out.
pub(super) fn found(
    folder: &Path,
    shows_model: bool,
    observer: &mut dyn Observer,
) -> Vec<(String, DataSource)> {
    let (mut names, more) = databases_in(folder);
    let says = |observer: &mut dyn Observer, text: String| observer.note(&Note::Text(&text));
    if more > 0 {
        says(
            observer,
            format!("{} more in {} are left out", counted(more as u64, "database"), folder.display()),
        );
    }
    if gyrus_agents::database::has_tables(folder) {
        names.push(FOLDER.to_owned());
    }
    let mut opened = Vec::new();
    for name in names {
        // The rows of tables in files stand in the index of documents.
        let finds_rows = name != FOLDER;
        match source(&folder.join(&name), Some(name.clone()), shows_model, finds_rows) {
            Ok(source) => opened.push(source),
            Err(error) => {
                let what = if finds_rows { "the database" } else { "the tables of the folder" };
                says(observer, format!("{what} cannot be asked: {error}"));
            }
        }
    }
    opened
}

/// Opens the databases of a run again.
pub(super) fn again(
    names: &[String],
    folder: Option<&Path>,
    given: Option<&Path>,
    shows_model: bool,
) -> Result<Vec<DataSource>> {
    let open = |name: &String| {
        let opened = match folder {
            Some(folder) => source(&folder.join(name), Some(name.clone()), shows_model, name != FOLDER)?,
            // An address may hold a password, which the journal does not.
            None => match given.filter(|_| names.len() == 1) {
                Some(given) => opened(given, shows_model)?,
                None => opened(Path::new(name), shows_model)?,
            },
        };
        if opened.0 != *name {
            return Err(Error::Request(format!("the run asked {name}, not {}", opened.0)));
        }
        Ok(opened.1)
    };
    names.iter().map(open).collect()
}

fn source(
    address: &Path,
    name: Option<String>,
    shows_model: bool,
    finds_rows: bool,
) -> Result<(String, DataSource)> {
    let session = Ask::new(address).open()?;
    let (shown, database, semantics) = session.into_parts();
    let name = name.unwrap_or(shown);
    // Without a file the person gave this database to be read, as the documents are.
    if shows_model && has_semantic_file(address) && semantics.privacy != Privacy::Full {
        return Err(Error::Request(format!(
            "{name}: its semantic.toml keeps values from models, and research shows rows to the model; set privacy = \"full\" in it, or \
             leave the model out"
        )));
    }
    let source = DataSource::new(&name, database, &semantics, finds_rows).map_err(Error::Request)?;
    Ok((name, source))
}
