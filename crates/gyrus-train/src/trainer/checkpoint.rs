//! `checkpoint.safetensors`: everything to resume a training from, as one file.
//!
//! The tensors of three parts, `model/`, `optimizer/` and `best/`, and the loop's own state as JSON under `loop` in the
//! metadata. Earlier versions called the first part `network/` and some fields of the state by other names; both are read.

use std::collections::BTreeMap;

use gyrus_nn::{State, from_safetensors, to_safetensors};
use serde::{Deserialize, Serialize};

use super::{Plan, Score};
use crate::{Error, Result, RunFolder};

/// Everything about the loop that is not a tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LoopState {
    /// SHA-256 of the data.
    pub(super) fingerprint: String,
    /// Steps done.
    pub(super) step: u64,
    /// Evaluations done.
    #[serde(alias = "judgements", alias = "epoch")]
    pub(super) evaluations: u32,
    /// Steps since the last evaluation, the sum of their losses, and how long they took.
    #[serde(alias = "epoch_step")]
    pub(super) steps_since: u64,
    pub(super) loss_sum: f64,
    /// Pieces of the steps since then, and the sum and number of steps of the piece that has not ended.
    #[serde(default)]
    pub(super) pieces: Vec<(u64, f64)>,
    #[serde(default)]
    pub(super) piece_sum: f64,
    #[serde(default)]
    pub(super) piece_steps: u64,
    #[serde(alias = "epoch_seconds")]
    pub(super) seconds_since: f64,
    /// Of the whole training.
    pub(super) train_seconds: f64,
    /// The step after which the model was best.
    #[serde(default)]
    pub(super) best_step: u64,
    /// The loss then; none before the first evaluation or where it was not a number.
    pub(super) best_loss: Option<f64>,
    /// The accuracy then, where there is one.
    #[serde(default)]
    pub(super) best_accuracy: Option<f64>,
    /// What earlier versions wrote in place of `best_step`.
    #[serde(default, skip_serializing)]
    pub(super) best_epoch: Option<u64>,
}

impl LoopState {
    /// Counts an evaluation, and says whether the model is the best so far.
    pub(super) fn count_evaluation(&mut self, score: Option<Score>) -> bool {
        self.evaluations += 1;
        // JSON has no infinity.
        let loss = |loss: Option<f64>| loss.filter(|loss| !loss.is_nan()).unwrap_or(f64::INFINITY);
        let is_best = match score {
            // Where nothing tells good from bad, the last weights are kept.
            None => true,
            Some(_) if self.evaluations == 1 => true,
            Some(score) => {
                let (accuracy, best) = (score.accuracy.unwrap_or(0.0), self.best_accuracy.unwrap_or(0.0));
                let lower = loss(Some(score.loss)) <= loss(self.best_loss);
                if score.by_loss { lower } else { accuracy > best || accuracy == best && lower }
            }
        };
        if is_best {
            self.best_step = self.step;
            self.best_loss = score.map(|score| score.loss).filter(|loss| loss.is_finite());
            self.best_accuracy = score.and_then(|score| score.accuracy);
        }
        is_best
    }

    /// Whether the counters agree with each other and with the plan.
    fn fits(&self, plan: &Plan) -> bool {
        let evaluated = self.step.checked_sub(self.steps_since);
        let is_whole = evaluated == u64::from(self.evaluations).checked_mul(plan.evaluate_every);
        let is_done = self.step == plan.steps
            && self.steps_since == 0
            && u64::from(self.evaluations) == plan.steps.div_ceil(plan.evaluate_every);
        self.step <= plan.steps && (is_done || is_whole && self.steps_since <= plan.evaluate_every)
    }
}

/// The tensors of a checkpoint.
pub(super) struct Parts {
    /// The parameters now.
    pub(super) model: State,
    /// The optimizer's moments.
    pub(super) optimizer: State,
    /// The best parameters so far; empty before the first evaluation.
    pub(super) best: State,
}

/// The file's bytes.
pub(super) fn bytes(state: &LoopState, parts: Parts) -> Result<Vec<u8>> {
    let mut all = State::new();
    for (part, tensors) in [("model", parts.model), ("optimizer", parts.optimizer), ("best", parts.best)] {
        all.extend(tensors.into_iter().map(|(name, tensor)| (format!("{part}/{name}"), tensor)));
    }
    let text = serde_json::to_string(state).map_err(|error| broken(error.to_string()))?;
    Ok(to_safetensors(&all, &BTreeMap::from([("loop".to_owned(), text)]))?)
}

/// Reads and checks a checkpoint of a run in `folder` that goes as `plan` says.
pub(super) fn read(bytes: &[u8], plan: &Plan, folder: &RunFolder) -> Result<(LoopState, Parts)> {
    let (all, metadata) = from_safetensors(bytes)?;
    let text = metadata.get("loop").ok_or_else(|| broken("it has no state of the loop".into()))?;
    let mut state: LoopState = serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
    if state.fingerprint != plan.fingerprint {
        return Err(Error::OtherData { run: folder.path().to_owned() });
    }
    if !state.fits(plan) {
        return Err(broken("its counters contradict each other or the settings in run.json".into()));
    }
    if let Some(epoch) = state.best_epoch.take() {
        state.best_step = epoch.saturating_mul(plan.evaluate_every).min(plan.steps);
    }
    let mut parts = Parts { model: State::new(), optimizer: State::new(), best: State::new() };
    for (name, tensor) in all {
        let Some((part, own)) = name.split_once('/') else { continue };
        let part = match part {
            "model" | "network" => &mut parts.model,
            "optimizer" => &mut parts.optimizer,
            "best" => &mut parts.best,
            _ => continue,
        };
        part.insert(own.to_owned(), tensor);
    }
    Ok((state, parts))
}

fn broken(problem: String) -> Error {
    Error::Checkpoint { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(steps: u64, evaluate_every: u64) -> Plan {
        let schedule = crate::Schedule::Constant;
        Plan { fingerprint: "data".into(), steps, evaluate_every, learning_rate: 0.1, schedule }
    }

    #[test]
    fn accuracy_decides_before_the_loss_and_a_later_equal_is_kept() {
        let mut state = LoopState::default();
        let mut is_best = |loss: f64, accuracy: Option<f64>| {
            state.step += 1;
            state.count_evaluation(Some(Score { loss, accuracy, by_loss: false }))
        };
        let accuracies = [(2.0, 0.5), (1.0, 0.4), (3.0, 0.6), (3.0, 0.6), (f64::NAN, 0.6), (f64::NAN, 0.7)];
        assert_eq!(
            accuracies.map(|(loss, accuracy)| is_best(loss, Some(accuracy))),
            [true, false, true, true, false, true]
        );
        assert_eq!((state.best_step, state.evaluations, state.best_loss), (6, 6, None));
        let mut losses = LoopState::default();
        let seen = [2.0, f64::NAN, 1.0, 1.5]
            .map(|loss| losses.count_evaluation(Some(Score { loss, accuracy: None, by_loss: false })));
        assert_eq!(seen, [true, false, true, false]);
        let mut coarse = LoopState::default();
        let seen = [(2.0, 0.5), (1.0, 0.4), (1.5, 0.9)].map(|(loss, accuracy)| {
            coarse.count_evaluation(Some(Score { loss, accuracy: Some(accuracy), by_loss: true }))
        });
        assert_eq!(seen, [true, true, false], "few examples are told apart by the loss");
        let mut last = LoopState::default();
        assert_eq!([None, None].map(|score| last.count_evaluation(score)), [true, true]);
    }

    #[test]
    fn states_of_earlier_versions_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(folder.path().join("run"), crate::Existing::Refuse).unwrap();
        let tensor = gyrus_nn::StateTensor { shape: vec![1], values: vec![1.5] };
        let read = |part: &str, text: &str, plan: &Plan| {
            let all = State::from([(format!("{part}/w"), tensor.clone())]);
            let metadata = BTreeMap::from([("loop".to_owned(), text.to_owned())]);
            read(&to_safetensors(&all, &metadata).unwrap(), plan, &folder)
        };
        let network = r#"{"fingerprint":"data","epoch":2,"step":23,"epoch_step":3,"loss_sum":1.5,"epoch_seconds":0.5,
            "train_seconds":2.5,"best_epoch":1,"best_loss":null,"best_accuracy":0.75}"#;
        let (state, parts) = read("network", network, &plan(40, 10)).unwrap();
        assert_eq!((state.step, state.evaluations, state.steps_since, state.best_step), (23, 2, 3, 10));
        assert_eq!((state.best_accuracy, state.best_loss), (Some(0.75), None));
        assert_eq!(parts.model["w"], tensor);
        let language = r#"{"fingerprint":"data","step":40,"judgements":4,"loss_sum":0.0,"steps_since":0,
            "seconds_since":0.0,"train_seconds":2.5,"best_step":30,"best_loss":1.25}"#;
        let (state, parts) = read("model", language, &plan(45, 10)).unwrap();
        assert_eq!((state.step, state.evaluations, state.best_step), (40, 4, 30));
        assert_eq!((state.best_accuracy, state.best_loss), (None, Some(1.25)));
        assert_eq!(parts.model["w"], tensor);
        for (text, plan) in [(network, plan(20, 10)), (network, plan(40, 9)), (language, plan(45, 11))] {
            assert!(matches!(read("model", text, &plan), Err(Error::Checkpoint { .. })));
        }
    }
}
