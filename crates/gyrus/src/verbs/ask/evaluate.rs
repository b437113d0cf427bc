//! How many questions of a set are answered as its gold queries answer them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gyrus_agents::Strategy;
use gyrus_agents::evaluate::{Asked, Graded, Scores, grade, read_questions, scores};
use serde::Serialize;

use super::{Ask, Asker, Session};
use crate::{Error, Result};

/// The scores of a set of questions.
#[derive(Clone, Debug, Serialize)]
pub struct AskEvaluation {
    /// The set.
    pub questions: String,
    /// Who wrote the queries.
    pub translator: String,
    /// The scores of the first proposals, without repair, vote or second look.
    pub zero_shot: Scores,
    /// What each switch adds, one after the other.
    pub gains: Vec<AskGain>,
    /// Every question of the last pass, with its verdict.
    pub graded: Vec<Graded>,
}

/// What a switch adds to the zero-shot score.
#[derive(Clone, Debug, Serialize)]
pub struct AskGain {
    /// The switch, such as "2 repairs".
    pub switch: String,
    /// The scores with it.
    pub scores: Scores,
    /// Percent points of right answers more than without, or fewer.
    pub gain_points: f64,
}

impl Ask {
    /// Asks every question of a file, and grades the answers by the rows of its gold queries. `database` is the one that all are
    /// about, or the folder of those that the questions name.
    ///
    /// # Errors
    /// If the set or a database cannot be read.
    pub fn evaluate(
        &self,
        questions: &Path,
        mut seen: impl FnMut(usize, usize, &Graded),
    ) -> Result<AskEvaluation> {
        let all = read_questions(questions)?;
        let mut passes = vec![(
            "zero-shot".to_owned(),
            Strategy { repairs: 0, votes: 1, reflects: false, ..self.strategy },
        )];
        if self.model.is_some() {
            let own = self.strategy;
            if own.repairs > 0 {
                let name = format!("{} {}", own.repairs, if own.repairs == 1 { "repair" } else { "repairs" });
                passes.push((name, Strategy { votes: 1, reflects: false, ..own }));
            }
            if own.votes > 1 {
                passes.push((
                    format!("a vote of {}", own.votes),
                    Strategy { repairs: 0, reflects: false, ..own },
                ));
            }
            if own.reflects {
                passes.push(("a second look".to_owned(), Strategy { repairs: 0, votes: 1, ..own }));
            }
        }
        let mut sessions = self.sessions(&all)?;
        let total = all.len() * passes.len();
        let (mut done, mut results, mut last) = (0, Vec::new(), Vec::new());
        for (name, strategy) in &passes {
            let (mut graded, mut gold_fails) = (Vec::new(), 0);
            for asked in &all {
                let Some(session) = sessions.get_mut(&asked.database) else {
                    return Err(Error::Failed("a database is not open".to_owned()));
                };
                done += 1;
                match session.grade(asked, *strategy)? {
                    Some(one) => {
                        seen(done, total, &one);
                        graded.push(one);
                    }
                    None => gold_fails += 1,
                }
            }
            results.push((name.clone(), scores(&graded, gold_fails)));
            last = graded;
        }
        let mut results = results.into_iter();
        let (_, zero_shot) = results.next().unwrap_or_default();
        let gains = results.map(|(switch, scores)| AskGain {
            switch,
            gain_points: scores.right.percent() - zero_shot.right.percent(),
            scores,
        });
        let translator = self.model.as_ref().map_or("grammar".to_owned(), |path| path.display().to_string());
        let questions = questions.display().to_string();
        Ok(AskEvaluation { questions, translator, gains: gains.collect(), zero_shot, graded: last })
    }

    /// The databases that the questions name, or the one that is given.
    fn sessions(&self, all: &[Asked]) -> Result<BTreeMap<Option<String>, Session>> {
        let mut sessions = BTreeMap::new();
        for asked in all {
            if sessions.contains_key(&asked.database) {
                continue;
            }
            let database = match &asked.database {
                Some(name) if self.database.is_dir() => named(&self.database, name)?,
                _ => self.database.clone(),
            };
            sessions.insert(asked.database.clone(), Self { database, ..self.clone() }.open()?);
        }
        Ok(sessions)
    }
}

/// The database of this name in a folder.
fn named(folder: &Path, name: &str) -> Result<PathBuf> {
    let is_plain =
        !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || "-_ ".contains(letter));
    if !is_plain {
        return Err(Error::request(format!(
            "the questions name the database `{name}`, which is not a name of a file"
        )));
    }
    let places = [
        folder.join(format!("{name}.sqlite")),
        folder.join(name).join(format!("{name}.sqlite")),
        folder.join(format!("{name}.db")),
    ];
    match places.into_iter().find(|place| place.is_file()) {
        Some(place) => Ok(place),
        // A folder of tables is one database, whatever the questions call it.
        None if gyrus_agents::open(folder, gyrus_agents::Rules::default()).is_ok() => Ok(folder.to_owned()),
        None => Err(Error::request(format!("{} has no {name}.sqlite", folder.display()))),
    }
}

impl Session {
    fn grade(&mut self, asked: &Asked, strategy: Strategy) -> Result<Option<Graded>> {
        self.prepare(&asked.question)?;
        let strategy = Strategy { sees_values: self.strategy.sees_values, ..strategy };
        Ok(match &mut self.asker {
            Some(Asker::Grammar(grammar)) => grade(self.database.as_ref(), grammar, asked, strategy),
            Some(Asker::Writer(writer)) => grade(self.database.as_ref(), writer.as_mut(), asked, strategy),
            #[cfg(feature = "hub")]
            Some(Asker::Endpoint(written, _)) => {
                grade(self.database.as_ref(), written.as_mut(), asked, strategy)
            }
            None => None,
        })
    }
}
