//! A run as a folder for the Hugging Face hub, with a model card that says what it is and what it is not.

mod card;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gyrus_files::{to_safetensors, write_atomically};
use gyrus_train::{RunFolder, RunRecord};
use gyrus_vision::publish::{Library, layout};
use serde::Serialize;

use super::{HubName, pretrained, serialized};
use crate::observer::Observer;
#[cfg(feature = "hub")]
use crate::observer::Stage;
use crate::{Error, Result};

/// Writes a run as a folder for the Hugging Face hub.
#[derive(Clone, Debug)]
pub struct Publish {
    /// A run folder of `learn` whose network classifies images.
    pub run: PathBuf,
    /// The folder to write.
    pub folder: PathBuf,
    /// What the model is called in its card; by default the name of the folder.
    pub name: Option<String>,
    /// The license, as the hub writes it, such as `mit`; without one the card says `unknown`.
    pub license: Option<String>,
    /// Replace the files of an earlier publication.
    pub overwrite: bool,
    /// A repository of the hub, `OWNER/NAME`, to which the folder goes as well, with the token in `HF_TOKEN`.
    pub push: Option<String>,
    /// Whether a repository that is made for it can be seen by its owner alone.
    pub private: bool,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct PublishReport {
    /// The run.
    #[serde(serialize_with = "serialized::path")]
    pub run: PathBuf,
    /// The folder.
    #[serde(serialize_with = "serialized::path")]
    pub folder: PathBuf,
    /// Which program can open it besides Gyrus: `timm`, `transformers`, or `gyrus` alone.
    pub library: &'static str,
    /// What the network is called there.
    pub architecture: String,
    /// Share of the test images that it classifies correctly, as the card says.
    pub test_accuracy: Option<f64>,
    /// The files and their sizes in bytes.
    #[serde(serialize_with = "serialized::map")]
    pub files: Vec<(String, u64)>,
    /// The address of the commit on the hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed: Option<String>,
}

impl Publish {
    /// This run into this folder; an existing publication is not replaced.
    pub fn new(run: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        Self {
            run: run.into(),
            folder: folder.into(),
            name: None,
            license: None,
            overwrite: false,
            push: None,
            private: false,
        }
    }

    /// Writes the folder, and sends it to the hub where that is asked for.
    ///
    /// # Errors
    /// If there is no such run, it is not finished, its network does not classify images, the folder holds files already, or a
    /// file cannot be written; if the hub refuses it.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<PublishReport> {
        let repository = self.push.as_deref().map(repository).transpose()?;
        if !self.run.join("run.json").exists() {
            return Err(Error::Request(format!("{} is no run folder of gyrus learn", self.run.display())));
        }
        let run = RunFolder::open(&self.run)?;
        let record: RunRecord = run.read_record()?;
        if record.results.is_none() {
            return Err(Error::Request(format!(
                "the run in {} is not finished, so that nothing can be said about it; continue it with: gyrus learn --resume {0}",
                super::quoted(&self.run)
            )));
        }
        let model = pretrained::of_run(&run, &record)?;
        self.check_folder()?;
        let layout = layout(&model)?;
        let name = self.name.clone().unwrap_or_else(|| own_name(&self.folder));
        let license = self.license.as_deref().unwrap_or("unknown");
        let card = card::card(&card::About {
            name: &name,
            license,
            record: &record,
            layout: &layout,
            model: &model,
        })?;
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let mut files: Vec<(&str, Vec<u8>)> = vec![
            ("README.md", card.into_bytes()),
            ("config.json", json(&layout.config)),
            ("preprocessor_config.json", json(&layout.processor)),
            ("model.safetensors", to_safetensors(&layout.tensors, &metadata)?),
        ];
        if let Some(blueprint) = &layout.blueprint {
            files.push(("blueprint.toml", blueprint.clone().into_bytes()));
        }
        std::fs::create_dir_all(&self.folder).map_err(Error::io("create", &self.folder))?;
        if layout.library != Library::Gyrus {
            // Of an earlier publication in our own layout, it would be read first.
            drop(std::fs::remove_file(self.folder.join("blueprint.toml")));
        }
        for (name, bytes) in &files {
            let path = self.folder.join(name);
            write_atomically(&path, bytes).map_err(Error::io("write", &path))?;
        }
        let pushed = match &repository {
            Some((owner, name)) => Some(self.send((owner, name), &files, observer)?),
            None => None,
        };
        let test = record.results.as_ref().and_then(|results| results.test.as_ref());
        Ok(PublishReport {
            run: self.run.clone(),
            folder: self.folder.clone(),
            library: layout.library.name(),
            architecture: layout.architecture,
            test_accuracy: test.and_then(|test| test.accuracy),
            files: files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.len() as u64)).collect(),
            pushed,
        })
    }

    #[cfg(feature = "hub")]
    fn send(
        &self,
        repository: (&str, &str),
        files: &[(&str, Vec<u8>)],
        observer: &mut dyn Observer,
    ) -> Result<String> {
        let hub = gyrus_formats::hub::Hub::from_environment()?;
        let files: Vec<(String, Vec<u8>)> =
            files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        let pushed = hub.push_model(
            repository,
            self.private,
            &files,
            "Publish with Gyrus",
            &mut |name, done, total| {
                observer.stage(&Stage { name, done, total });
            },
        )?;
        Ok(pushed.address)
    }

    #[cfg(not(feature = "hub"))]
    fn send(&self, _: (&str, &str), _: &[(&str, Vec<u8>)], _: &mut dyn Observer) -> Result<String> {
        Err(Error::request("this build reaches no hub; build with `--features hub` to add it"))
    }

    /// Refuses a folder that holds something else than an earlier publication, or such a one.
    fn check_folder(&self) -> Result<()> {
        let folder = self.folder.display();
        if self.folder.join("run.json").exists() {
            return Err(Error::Request(format!(
                "{folder} is a run folder; expected another one to publish into"
            )));
        }
        let holds = std::fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_some());
        if holds && !self.overwrite {
            return Err(Error::Request(format!("{folder} is not empty; --overwrite replaces its files")));
        }
        Ok(())
    }
}

/// Owner and name of a repository.
fn repository(text: &str) -> Result<(String, String)> {
    match HubName::read(Path::new(text))? {
        Some(HubName { owner, name, part: None }) => Ok((owner, name)),
        _ => Err(Error::Request(format!("--push {text}: expected a repository of the hub, as OWNER/NAME"))),
    }
}

fn own_name(folder: &Path) -> String {
    let name = std::path::absolute(folder)
        .ok()
        .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    name.unwrap_or_else(|| "model".to_owned())
}

fn json(value: &serde_json::Value) -> Vec<u8> {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text.into_bytes()
}
