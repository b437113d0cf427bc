//! The verbs: what a person wants done, as library calls.
//!
//! Each is a plain struct whose fields are the request, with the same defaults as the program's; `run` does the work and
//! returns a report, a plain struct as well (those with a `--json` form serialize to it). What takes long reports to an
//! [`Observer`](crate::Observer), which may also stop it. Nothing here parses arguments, prints, or ends the program.

mod ask;
mod chat;
mod convert;
mod devices;
mod embed;
mod export_nir;
mod hub_name;
mod inspect;
mod label;
mod learn;
mod learn_language;
mod learn_shapes;
mod list;
#[cfg(feature = "documents")]
mod local_model;
mod mcp;
mod model;
mod names;
mod page_data;
mod predict;
mod pretrained;
mod publish;
mod pull;
mod quantize;
mod quoted;
#[cfg(feature = "documents")]
mod research;
mod resume;
mod sculpt;
mod see;
mod serialized;
mod serve;
mod shapes_match;
mod similar;
mod simulate;
#[cfg(feature = "documents")]
mod sources;
mod spike;
mod tokenize;
mod tune;
mod watch;
mod write;

pub use ask::{Ask, AskEvaluation, AskGain, AskReport, Session as AskSession};
pub use chat::{Chat, Conversation};
pub use convert::{Convert, ConvertReport};
pub use devices::{Devices, DevicesReport, ListedDevice};
pub use embed::{Closest, Embed, EmbedReport, Embedded, Line};
pub use export_nir::{ExportNir, ExportNirReport};
pub use gyrus_files::counted;
pub use hub_name::{HubName, HubPart};
pub use inspect::{
    Inspect, InspectReport, InspectedAdapter, InspectedBlueprint, InspectedCochlea, InspectedModel,
    InspectedNetwork, InspectedNir, InspectedNode, InspectedParameter, InspectedRecording, InspectedRun,
    InspectedSafetensors, InspectedShape, InspectedTensor, InspectedTokenizer, InspectedTraining,
    InspectedType,
};
pub use label::{Label, LabelReport, LabeledImage};
pub use learn::{
    Architecture, BaselineReport, FoldsReport, Freeze, Learn, LearnReport, PartReport, SpikingOptions,
};
pub use learn_language::{LearnLanguage, LearnLanguageReport};
pub use learn_shapes::{LearnShapes, LearnShapesReport};
pub use list::{List, ListReport, ListedModel, ListedRun};
pub use mcp::Mcp;
pub use model::{open_model, resolve_model};
pub use predict::{
    Answer, Body, EventWork, FailedFile, NirOptions, Predict, PredictReport, PredictingNetwork, Prediction,
    Predictor, Recorded, RecordedSignal, ranking,
};
pub use publish::{Publish, PublishReport};
pub use pull::{Pull, PullReport};
pub use quantize::{Quantize, QuantizeReport};
pub use quoted::quoted;
#[cfg(feature = "documents")]
pub use research::{Research, ResearchReport};
pub use resume::{Resume, ResumeReport, RunKind};
pub use sculpt::{CompareMeshes, CompareMeshesReport, InspectMesh, InspectMeshReport, Sculpt, SculptReport};
pub use see::{
    Expectation, ExpectedToken, Habit, LensLayer, See, SeeNetwork, SeeNetworkReport, SeeReport,
    SeenAttention, SeenBeside, SeenDecision, SeenEdges, SeenLayer, SeenToken,
};
pub use serve::{Serve, Serving, ServingMemory};
pub use similar::{DuplicateGroup, NearestImages, Neighbor, Outlier, Similar, SimilarReport};
pub use simulate::{
    EstimateCircuit, EstimateReport, EstimatedSize, LearningReport, LearningRequest, LearningTask,
    PopulationReport, RecordFormat, Simulate, SimulateLearning, SimulateReport, SimulateRequest,
};
#[cfg(feature = "documents")]
pub use sources::{IndexFolder, IndexFolderReport, Search, SearchReport, SearchSession};
pub use spike::{Spike, SpikeAccount, SpikeAgreement, SpikeReport};
pub use tokenize::{Tokenize, TokenizeReport, TokenizedText};
pub use tune::{LowRank, Merge, MergeReport, Tune, TuneReport};
pub use write::{Generation, Write, WriteReport};
