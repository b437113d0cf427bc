//! Lowering of nodes in time: neurons, delays, feedback, and the readout.

use gyrus_blueprint::{Image, NodeKind};
use gyrus_tensor::{Operation, Spiking};

use super::lower::Lowering;
use super::{Form, NeuronPlan, ParameterPlan, Source, Start, Step, Work};
use crate::spiking::{Encoder, Readout, SpikingSettings};
use crate::{Error, Result};

impl Lowering<'_> {
    pub(crate) fn form(&self, source: Source) -> Form {
        match (source, self.purpose.spiking) {
            (Source::Step(step), _) => self.forms[step],
            (Source::Input, Some(SpikingSettings { encoder, .. })) => {
                Form { timed: !encoder.gives_one_row(), spikes: encoder.spikes() }
            }
            (Source::Input, None) => Form::default(),
        }
    }

    fn refuse<T>(&self, node: usize, reason: &'static str) -> Result<T> {
        let node = &self.blueprint.nodes()[node];
        Err(Error::NoSpikingBody { node: node.name.clone(), kind: node.kind.name(), reason })
    }

    /// Finds the nodes that feed a neuron's spikes back to it. Training supports no other cycles.
    pub(crate) fn find_feedback(&mut self) -> Result<()> {
        for (from, to) in self.blueprint.back_edges() {
            let nodes = self.blueprint.nodes();
            let fires = nodes[to].kind.neuron().is_some_and(|neuron| neuron.reset.is_some());
            let weights = matches!(nodes[from].kind, NodeKind::Linear { .. } | NodeKind::Affine { .. });
            let alone = self.sources[from] == [to] && self.blueprint.targets()[from] == [to];
            if !(fires && weights && alone && self.feedback[to].is_none()) {
                return self.refuse(
                    from,
                    "training supports one kind of cycle: a Linear or Affine node that feeds the spikes of one node of neurons \
                     back to it; others run event by event",
                );
            }
            self.feedback[to] = Some(from);
        }
        Ok(())
    }

    pub(crate) fn as_floats(&mut self, source: Source, node: usize) -> Source {
        if !self.form(source).spikes {
            return source;
        }
        let elements = self.shapes.input(node).iter().product();
        self.run(Operation::Spiking(Spiking::Unpack { elements }), Vec::new(), source)
    }

    fn over_time(&mut self, source: Source) -> Source {
        if self.form(source).timed {
            return source;
        }
        let repeated = self.push(Work::Repeat, source, None);
        self.mark(Form { timed: true, spikes: false });
        repeated
    }

    /// Sets the form of the last step's result.
    fn mark(&mut self, form: Form) {
        if let Some(last) = self.forms.last_mut() {
            *last = form;
        }
    }

    /// The terms of a sum as floats, all over time if one of them is.
    pub(crate) fn alike(&mut self, node: usize, sources: &[Source]) -> Vec<Source> {
        let timed = sources.iter().any(|&source| self.form(source).timed);
        let floats: Vec<Source> = sources.iter().map(|&source| self.as_floats(source, node)).collect();
        floats.into_iter().map(|source| if timed { self.over_time(source) } else { source }).collect()
    }

    /// Runs an operation from packed spikes to packed spikes.
    pub(crate) fn run_on_spikes(&mut self, operation: Operation, source: Source) -> Source {
        let result = self.run(operation, Vec::new(), source);
        let form = self.form(source);
        self.mark(form);
        result
    }

    /// Runs an operation on spikes that needs floats, and packs the result again.
    pub(crate) fn on_spikes(&mut self, node: usize, operation: Operation) -> Source {
        let source = self.incoming_or_spikes(node);
        let spikes = self.form(source).spikes;
        let floats = self.as_floats(source, node);
        let floats = match operation {
            Operation::Spiking(_) => self.over_time(floats),
            _ => floats,
        };
        let result = self.run(operation, Vec::new(), floats);
        if !spikes {
            return result;
        }
        let elements = self.shapes.output(node).iter().product();
        let packed = self.run(Operation::Spiking(Spiking::Pack { elements }), Vec::new(), result);
        self.mark(Form { timed: true, spikes: true });
        packed
    }

    /// Neurons, thresholds and delays.
    pub(crate) fn in_time(&mut self, node: usize) -> Result<Source> {
        let blueprint = self.blueprint;
        let Some(settings) = self.purpose.spiking else {
            return self.refuse(node, "it needs a spiking network");
        };
        let (name, kind) = (&blueprint.nodes()[node].name, &blueprint.nodes()[node].kind);
        if let NodeKind::Delay { delay_ms } = kind {
            let Some(by) = settings.time.delay_steps(*delay_ms) else {
                return self.refuse(node, "its delay is not a whole number of steps");
            };
            let source = self.incoming_or_spikes(node);
            let form = self.form(source);
            let source = self.over_time(source);
            let shift = Operation::Spiking(Spiking::Delay { steps: settings.steps, by });
            let delayed = self.run(shift, Vec::new(), source);
            self.mark(Form { timed: true, ..form });
            return Ok(delayed);
        }
        let signed = matches!(kind, NodeKind::SignedIF { .. });
        let mut source = self.incoming(node);
        if matches!(settings.encoder, Encoder::Once { .. }) != signed {
            // To most neurons, one row means the same input at every step; to those with signed spikes, input at the first step.
            source = self.over_time(source);
        }
        let neurons: usize = self.shapes.input(node).iter().product();
        let mut learned = Vec::new();
        if signed {
            for spec in self.shapes.parameters(node) {
                self.plan.constants.push((format!("{name}.{}", spec.name), spec.shape.to_vec(), 0.0));
            }
        }
        if let Some(neuron) = kind.neuron() {
            for spec in self.shapes.parameters(node) {
                let value = neuron.constants.iter().find(|constant| constant.0 == spec.name);
                let value = value.map_or(0.0, |constant| constant.1 as f32);
                let full = format!("{name}.{}", spec.name);
                if spec.trainable {
                    learned.push((spec.name, self.plan.parameters.len()));
                    let start = Start::Constant(value);
                    self.plan.parameters.push(ParameterPlan {
                        name: full,
                        shape: spec.shape.to_vec(),
                        start,
                    });
                } else {
                    self.plan.constants.push((full, spec.shape.to_vec(), value));
                }
            }
        }
        let feedback = match self.feedback[node] {
            Some(weights) => self.parameters(weights, neurons, false),
            None => Vec::new(),
        };
        let constant_input = !self.form(source).timed;
        self.plan.neurons.push(NeuronPlan {
            node,
            neurons,
            image: Image::of(self.shapes.input(node)),
            constant_input,
            counted: false,
            learned,
            feedback_node: self.feedback[node],
            feedback,
        });
        let result = self.push(Work::Neurons(self.plan.neurons.len() - 1), source, None);
        let fires = kind.neuron().is_none_or(|neuron| neuron.reset.is_some());
        self.mark(Form { timed: true, spikes: fires && !signed });
        if let Some(weights) = self.feedback[node] {
            self.results[weights] = None;
        }
        Ok(result)
    }

    /// Makes the last neurons count their spikes in training, if nothing else needs the spikes: neither spikes nor their
    /// gradients are then stored for every step.
    fn counted(&mut self, source: Source) -> Option<Source> {
        let counts = self.purpose.spiking.is_some_and(|settings| settings.readout == Readout::Counts);
        let Source::Step(step) = source else { return None };
        let Step { node, work: Work::Neurons(index), .. } = self.plan.steps[step] else { return None };
        let alone = self.feedback[node].is_none() && self.blueprint.targets()[node].len() == 1;
        if !(counts && alone && self.purpose.training && step + 1 == self.plan.steps.len()) {
            return None;
        }
        self.plan.neurons[index].counted = true;
        self.mark(Form { timed: false, spikes: false });
        Some(source)
    }

    /// The readout: the network's answer.
    pub(crate) fn readout(&mut self, node: usize) -> Result<Source> {
        let source = self.incoming_or_spikes(node);
        let form = self.form(source);
        let counts = self
            .purpose
            .spiking
            .is_some_and(|settings| matches!(settings.readout, Readout::Counts | Readout::FirstSpike));
        if counts && !form.spikes {
            return self.refuse(node, "a readout of spikes needs firing neurons right before the Output");
        }
        if let Some(counts) = self.counted(source) {
            return Ok(counts);
        }
        let source = self.as_floats(source, node);
        let source = self.over_time(source);
        Ok(self.push(Work::Readout, source, None))
    }
}
