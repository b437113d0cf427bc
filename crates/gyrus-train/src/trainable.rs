//! What the optimizer and the training loop see of a model: its parameters.

use gyrus_nn::{Network, State};
use gyrus_tensor::{Device, Tensor};

/// A model that can be trained: parameters that can be listed, changed, saved and loaded.
pub trait Trainable {
    /// Why weights are refused.
    type Error;

    /// All trainable parameters, in a fixed order.
    fn parameters(&self) -> Vec<ParameterInfo>;

    /// Replaces each parameter, `[elements]`, by what `change` makes of it, given its place in [`Self::parameters`].
    fn update(&mut self, change: impl FnMut(usize, Tensor<1>) -> Tensor<1>);

    /// All weights by name, running statistics included.
    fn state(&self) -> State;

    /// Takes weights that [`Self::state`] gave.
    ///
    /// # Errors
    /// If one is missing or has another shape.
    fn load_state(&mut self, state: &State) -> Result<(), Self::Error>;

    /// Where the parameters are.
    fn device(&self) -> &Device;
}

/// One trainable parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterInfo {
    /// Its name, unique within the model.
    pub name: String,
    /// Its shape, under which its moments are saved.
    pub shape: Vec<usize>,
    /// Whether weight decay applies.
    pub decays: bool,
}

impl ParameterInfo {
    /// Its number of elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Trainable for Network {
    type Error = gyrus_nn::Error;

    fn parameters(&self) -> Vec<ParameterInfo> {
        let info = |parameter: &gyrus_nn::Parameter| ParameterInfo {
            name: parameter.name.clone(),
            shape: parameter.shape.clone(),
            decays: parameter.decays(),
        };
        Network::parameters(self).iter().map(info).collect()
    }

    fn update(&mut self, mut change: impl FnMut(usize, Tensor<1>) -> Tensor<1>) {
        Network::update(self, |index, _, value| change(index, value));
    }

    fn state(&self) -> State {
        Network::state(self)
    }

    fn load_state(&mut self, state: &State) -> gyrus_nn::Result<()> {
        Network::load_state(self, state)
    }

    fn device(&self) -> &Device {
        Network::device(self)
    }
}
