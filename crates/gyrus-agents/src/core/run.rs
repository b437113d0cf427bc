//! A run: an agent under budget, policy and journal.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::budget::{Limit, Limits, Spend};
use super::evidence::{Draft, EvidenceId, EvidenceStore};
use super::journal::{Chain, Journal, Record};
use super::loops::LoopDetector;
use super::policy::Policy;
use crate::model::{ChatReply, ChatRequest, ModelError};

/// Refused effects in a row after which a run ends: an agent that cannot take no for an answer.
const MOST_REFUSALS: u32 = 8;

/// What a tool answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolOutput {
    /// What it found.
    pub evidence: Vec<Draft>,
    /// Addresses that it named, which may be opened.
    pub addresses: Vec<String>,
    /// Anything else.
    pub facts: Value,
}

/// What an agent wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Ask the model. `is_final` for the answer, which may use what the budget keeps back.
    Model {
        /// The request.
        request: ChatRequest,
        /// Whether it is for the answer.
        is_final: bool,
    },
    /// Call a tool.
    Tool {
        /// Its name.
        name: String,
        /// What it is called with.
        argument: String,
    },
    /// The run is over, with this answer.
    Finish(Value),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The run begins.
    Start,
    /// The model answered.
    Reply(ChatReply),
    /// The model did not answer.
    ModelFailed(ModelError),
    /// A tool answered.
    Tool(ToolOutput),
    /// A tool failed.
    ToolFailed(String),
    /// The effect was not done: the policy forbids it, or the run goes in circles.
    Refused(String),
    /// The effect was not done: the budget is spent. What is kept back for the answer is left.
    Spent(Limit),
}

/// What an agent sees of its run.
pub struct Context<'a> {
    /// All evidence so far.
    pub evidence: &'a EvidenceStore,
    /// What the last tool found, by its names, and which of it is new.
    pub found: &'a [(EvidenceId, bool)],
    /// What was spent.
    pub spend: &'a Spend,
    /// Whether the last calls found nothing new.
    pub is_fruitless: bool,
}

/// What decides the next step. The same events must lead to the same effects.
pub trait Agent {
    /// The effect that follows an event.
    fn step(&mut self, event: &Event, context: &Context<'_>) -> Effect;
}

/// What does effects: tools, models and a clock.
pub trait World {
    /// Calls a tool.
    ///
    /// # Errors
    /// A sentence on what failed.
    fn tool(&mut self, name: &str, argument: &str) -> Result<ToolOutput, String>;

    /// Asks the model.
    ///
    /// # Errors
    /// If no answer comes.
    fn model(&mut self, request: &ChatRequest) -> Result<ChatReply, ModelError>;

    /// Milliseconds since this process took up the run.
    fn elapsed_ms(&self) -> u64;

    /// Whether the run should stop here, to go on later.
    fn wants_to_stop(&mut self) -> bool {
        false
    }
}

/// Where the journal goes.
pub trait Log {
    /// Adds a line, so that it survives the machine.
    ///
    /// # Errors
    /// If it cannot be written.
    fn append(&mut self, line: &str) -> io::Result<()>;
}

/// A run of an agent.
pub struct Run<A> {
    agent: A,
    limits: Limits,
    policy: Policy,
    loops: LoopDetector,
    evidence: EvidenceStore,
    spend: Spend,
    chain: Chain,
    /// The next effect, and whether the journal holds it already.
    next: Option<(Effect, bool)>,
    answer: Option<Value>,
    refusals: u32,
    /// Milliseconds of the processes before this one.
    before_ms: u64,
}

impl<A: Agent> Run<A> {
    /// A new run, whose journal begins with `settings`.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn begin(
        agent: A,
        limits: Limits,
        policy: Policy,
        settings: Value,
        log: &mut dyn Log,
    ) -> io::Result<Self> {
        let mut run = Self::new(agent, limits, policy);
        let line = run.chain.line("start", 0, settings);
        log.append(&line)?;
        Ok(run)
    }

    fn new(agent: A, limits: Limits, policy: Policy) -> Self {
        Self {
            agent,
            limits,
            policy,
            loops: LoopDetector::default(),
            evidence: EvidenceStore::default(),
            spend: Spend::default(),
            chain: Chain::default(),
            next: None,
            answer: None,
            refusals: 0,
            before_ms: 0,
        }
    }

    /// The run that a journal holds, as far as it came; `agent`, `limits` and `policy` are made of the settings in its first record.
    ///
    /// # Errors
    /// A sentence, if the agent would not do what the journal says: it belongs to another version.
    pub fn replay(agent: A, limits: Limits, policy: Policy, journal: &Journal) -> Result<Self, String> {
        let mut run = Self::new(agent, limits, policy);
        for record in journal.records.iter().skip(1) {
            run.take_record(record).map_err(|reason| format!("record {}: {reason}", record.seq))?;
        }
        run.chain = journal.chain.clone();
        run.before_ms = run.spend.ms;
        Ok(run)
    }

    fn take_record(&mut self, record: &Record) -> Result<(), String> {
        let unreadable = |error: serde_json::Error| format!("it cannot be read: {error}");
        let another = "the run would go another way today: it belongs to another version or other sources";
        match record.kind.as_str() {
            "effect" => {
                let effect: Effect = serde_json::from_value(record.body.clone()).map_err(unreadable)?;
                let wanted = match self.next.take() {
                    Some((wanted, false)) => wanted,
                    Some(_) => return Err("an effect follows an effect".to_owned()),
                    None => self.take(None, &Event::Start),
                };
                if wanted != effect {
                    return Err(another.to_owned());
                }
                self.next = Some((effect, true));
            }
            "event" => {
                let event: Event = serde_json::from_value(record.body.clone()).map_err(unreadable)?;
                let Some((effect, true)) = self.next.take() else {
                    return Err("an event without its effect".to_owned());
                };
                self.spend.ms = record.ms;
                let next = self.take(Some(&effect), &event);
                self.next = Some((next, false));
            }
            "finish" => match self.next.take() {
                Some((Effect::Finish(answer), _)) if answer == record.body => self.answer = Some(answer),
                _ => return Err(another.to_owned()),
            },
            kind => return Err(format!("there are no records of kind {kind}")),
        }
        Ok(())
    }

    /// What was spent.
    #[must_use]
    pub fn spend(&self) -> &Spend {
        &self.spend
    }

    /// The evidence.
    #[must_use]
    pub fn evidence(&self) -> &EvidenceStore {
        &self.evidence
    }

    /// The answer, once the run is over.
    #[must_use]
    pub fn answer(&self) -> Option<&Value> {
        self.answer.as_ref()
    }

    /// The hash of the journal so far.
    #[must_use]
    pub fn journal_hash(&self) -> &str {
        self.chain.hash()
    }

    /// Goes on until the agent finishes; none if `world` wants to stop before.
    ///
    /// # Errors
    /// If the journal cannot be written. Nothing was done then that it does not say.
    pub fn go_on(&mut self, world: &mut dyn World, log: &mut dyn Log) -> io::Result<Option<Value>> {
        if let Some(answer) = &self.answer {
            return Ok(Some(answer.clone()));
        }
        // An effect without its event: what it would have done is only read, so it is done again.
        let (mut effect, mut is_written) = match self.next.take() {
            Some(next) => next,
            None => (self.take(None, &Event::Start), false),
        };
        loop {
            if let Effect::Finish(answer) = effect {
                let line = self.chain.line("finish", self.spend.ms, answer.clone());
                log.append(&line)?;
                self.answer = Some(answer.clone());
                return Ok(Some(answer));
            }
            if world.wants_to_stop() {
                self.next = Some((effect, is_written));
                return Ok(None);
            }
            if !is_written {
                let line = self.chain.line("effect", self.spend.ms, json!(effect));
                log.append(&line)?;
            }
            let event = self.done(&effect, world);
            self.spend.ms = self.before_ms.saturating_add(world.elapsed_ms());
            let line = self.chain.line("event", self.spend.ms, json!(event));
            log.append(&line)?;
            effect = self.take(Some(&effect), &event);
            is_written = false;
        }
    }

    /// Does an effect, unless something forbids it.
    fn done(&mut self, effect: &Effect, world: &mut dyn World) -> Event {
        let now = Spend { ms: self.before_ms.saturating_add(world.elapsed_ms()), ..self.spend };
        match effect {
            Effect::Finish(_) => Event::Refused("the run is over".to_owned()),
            Effect::Model { request, is_final } => {
                let tokens = request.estimated_tokens().saturating_add(request.most_tokens);
                match self.limits.allow(&now, tokens, *is_final) {
                    Err(limit) => Event::Spent(limit),
                    Ok(()) => match world.model(request) {
                        Ok(reply) => Event::Reply(reply),
                        Err(error) => Event::ModelFailed(error),
                    },
                }
            }
            Effect::Tool { name, argument } => {
                if let Err(limit) = self.limits.allow(&now, 0, false) {
                    return Event::Spent(limit);
                }
                let granted = self.policy.check(name, argument);
                if let Err(reason) = granted.and_then(|()| self.loops.clone().call(name, argument)) {
                    return Event::Refused(reason);
                }
                match world.tool(name, argument) {
                    Ok(output) => Event::Tool(output),
                    Err(error) => Event::ToolFailed(error),
                }
            }
        }
    }

    /// Takes an event into account and asks the agent for the next effect.
    fn take(&mut self, effect: Option<&Effect>, event: &Event) -> Effect {
        let mut found = Vec::new();
        match (effect, event) {
            (Some(Effect::Model { request, .. }), Event::Reply(reply)) => {
                let estimated = reply.text.len().div_ceil(3) as u64;
                self.spend.model_calls += 1;
                self.spend.tokens_in += reply.tokens_in.unwrap_or_else(|| request.estimated_tokens());
                self.spend.tokens_out += reply.tokens_out.unwrap_or(estimated);
                self.spend.is_estimated |= reply.tokens_in.is_none() || reply.tokens_out.is_none();
            }
            (Some(Effect::Model { .. }), Event::ModelFailed(_)) => self.spend.model_calls += 1,
            (Some(Effect::Tool { name, argument }), Event::Tool(output)) => {
                self.spend.tool_calls += 1;
                let _ = self.loops.call(name, argument);
                self.policy.has_read(name, &output.addresses);
                found = output.evidence.iter().map(|draft| self.evidence.add(draft.clone())).collect();
                self.loops.found(found.iter().filter(|found| found.1).count());
            }
            (Some(Effect::Tool { name, argument }), Event::ToolFailed(_)) => {
                self.spend.tool_calls += 1;
                let _ = self.loops.call(name, argument);
                self.loops.found(0);
            }
            _ => {}
        }
        let is_refused = matches!(event, Event::Refused(_) | Event::Spent(_));
        self.refusals = if is_refused { self.refusals + 1 } else { 0 };
        let context = Context {
            evidence: &self.evidence,
            found: &found,
            spend: &self.spend,
            is_fruitless: self.loops.is_fruitless(),
        };
        let next = self.agent.step(event, &context);
        if self.refusals >= MOST_REFUSALS && !matches!(next, Effect::Finish(_)) {
            return Effect::Finish(
                json!({"stopped": "the agent asked again and again for what it may not do"}),
            );
        }
        next
    }
}
