//! Every example of a verb runs. (`embed` needs a published encoder, so it is only compiled.)

#[path = "../examples/inspect.rs"]
mod inspect;
#[path = "../examples/learn.rs"]
mod learn;
#[path = "../examples/learn_shapes.rs"]
mod learn_shapes;
#[path = "../examples/predict.rs"]
mod predict;
#[path = "../examples/quantize.rs"]
mod quantize;
#[path = "../examples/sculpt.rs"]
mod sculpt;
#[path = "../examples/see.rs"]
mod see;
#[path = "../examples/see_network.rs"]
mod see_network;
#[path = "../examples/simulate.rs"]
mod simulate;
#[path = "../examples/spike.rs"]
mod spike;
#[path = "../examples/tune.rs"]
mod tune;
#[path = "../examples/write.rs"]
mod write;

#[test]
fn examples_of_networks_run() {
    learn::main().unwrap();
    predict::main().unwrap();
    see_network::main().unwrap();
    inspect::main().unwrap();
    spike::main().unwrap();
    simulate::main().unwrap();
    sculpt::main().unwrap();
    learn_shapes::main().unwrap();
}

#[test]
fn examples_of_language_models_run() {
    write::main().unwrap();
    tune::main().unwrap();
    see::main().unwrap();
    quantize::main().unwrap();
}
