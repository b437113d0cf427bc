//! The page of what a network's layers have learned: curves over depth, the units of each layer, where decisions came from.
//!
//! Its script lets a person choose a unit and follow it down and up; an address that ends with `#unit=LAYER.NUMBER` opens that
//! unit. Without the script the page shows every unit's picture and all numbers of the layers.

mod attention;
mod data;
mod decisions;
mod depth;
mod pictures;
mod spikes;

pub(crate) use depth::edges;

use std::fmt::Write;

pub use attention::PositionSimilarity;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gyrus_blueprint::escaped;
use sha2::{Digest as _, Sha256};

use crate::Picture;
use crate::inspection::OWN_STYLE as SHARED_STYLE;
use crate::page::{Facts, STYLE, begin_page_with, end_page, facts, provenance, section};

const SCRIPT: &str = include_str!("features.js");
const OWN_STYLE: &str = include_str!("features.css");

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub struct FeaturesReport<'a> {
    /// The name of the data or the run.
    pub name: &'a str,
    /// What kind of network it is.
    pub kind: &'a str,
    /// The result in large letters, and what it is.
    pub headline: (String, &'a str),
    /// Other numbers, with their names first.
    pub facts: Facts<'a>,
    /// Numbers over depth: the input first, then the layers.
    pub depth: Vec<DepthPoint>,
    /// What chance would reach where a probe reads the class, 0 to 1.
    pub chance: Option<f64>,
    /// Similarity of the layers with each other.
    pub similarity: Option<Similarity>,
    /// Similarity of the layers with those of another run, and that run's name.
    pub beside: Option<(String, Similarity)>,
    /// Gabor functions fitted to the first layer.
    pub edges: Option<Edges>,
    /// The layers.
    pub layers: Vec<FeatureLayer>,
    /// Whether units fire, rather than have activations.
    pub is_spiking: bool,
    /// Spikes of one example over time.
    pub spikes: Option<SpikesOverTime>,
    /// Where a transformer looks.
    pub attention: Option<AttentionMaps>,
    /// Answers and where they came from.
    pub decisions: Vec<Decision>,
    /// Settings, in groups with a title.
    pub provenance: Vec<(&'a str, Facts<'a>)>,
    /// What a person should know, one sentence each.
    pub notes: Vec<String>,
}

/// Numbers of a layer, or of the input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DepthPoint {
    /// The layer's name.
    pub name: String,
    /// Accuracy of a linear probe on test examples, 0 to 1.
    pub probe_accuracy: Option<f64>,
    /// Participation ratio.
    pub effective_dimension: Option<f64>,
    /// Mean class selectivity index of its units, 0 to 1.
    pub selectivity: Option<f64>,
    /// Mean sparseness of its units over examples, 0 to 1.
    pub sparseness: Option<f64>,
    /// Mean share of units that are active at a place, 0 to 1.
    pub active: Option<f64>,
    /// Rows and columns of the input that a unit sees.
    pub field: Option<[usize; 2]>,
}

/// A table of similarities, 0 to 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Similarity {
    /// Names of the rows.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// `[rows][columns]`; none where a layer never varies.
    pub values: Vec<Vec<Option<f64>>>,
}

/// Gabor functions fitted to filters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edges {
    /// The layer's name.
    pub layer: String,
    /// Its filters' rows and columns.
    pub extents: [usize; 2],
    /// Unit, orientation in degrees across the stripes, cycles per pixel, quality, and whether it is an edge detector.
    pub units: Vec<(usize, f64, f64, f64, bool)>,
    /// All of the layer's filters.
    pub filters: usize,
    /// The share of edge detectors among filters of noise.
    pub by_chance: f64,
}

/// A layer.
#[derive(Debug, Clone, Default)]
pub struct FeatureLayer {
    /// The name of its node.
    pub name: String,
    /// Its shape and what it sees, in a few words.
    pub detail: String,
    /// The units that are shown.
    pub units: Vec<FeatureUnit>,
    /// How many it has in all.
    pub unit_count: usize,
}

/// A unit.
#[derive(Debug, Clone, Default)]
pub struct FeatureUnit {
    /// Its number in the layer.
    pub number: usize,
    /// A name that it has besides its number, such as a class.
    pub name: Option<String>,
    /// Its filter, where that can be seen.
    pub filter: Option<SignedMap>,
    /// A synthesized picture that excites it.
    pub best: Option<Picture>,
    /// What excites it on average, less what there is on average.
    pub triggered: Option<SignedMap>,
    /// The examples that excite it most, all of one size.
    pub top: Vec<TopExample>,
    /// Numbers with their names first.
    pub facts: Vec<(&'static str, String)>,
    /// What it listens to, the strongest first.
    pub below: Vec<Link>,
    /// Whom it reaches, the strongest first.
    pub above: Vec<Link>,
}

/// The spikes of one example.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpikesOverTime {
    /// The example's name.
    pub title: String,
    /// The layers whose neurons fire.
    pub layers: Vec<LayerSpikes>,
}

/// The spikes of a layer over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerSpikes {
    /// The layer's name.
    pub name: String,
    /// Rows of its map, or of a picture of its neurons.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Steps of time.
    pub steps: usize,
    /// `[steps, height, width]`: how many neurons fire there.
    pub counts: Vec<u32>,
    /// How many neurons there are at a place.
    pub most: u32,
    /// Neurons that fire at some step.
    pub active: usize,
    /// All of its neurons.
    pub neurons: usize,
}

/// Where a transformer looks in one picture.
#[derive(Debug, Clone)]
pub struct AttentionMaps {
    /// The picture's name.
    pub title: String,
    /// What the network saw.
    pub picture: Picture,
    /// The blocks by name, with their heads.
    pub layers: Vec<(String, Vec<HeadMap>)>,
    /// How alike the learned positions are; none for a network without.
    pub positions: Option<PositionSimilarity>,
}

/// What a head gives to each patch.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadMap {
    /// Shares, one for each patch.
    pub map: SignedMap,
    /// How far a token looks on average, in patches.
    pub distance: f64,
}

/// An example that excites a unit.
#[derive(Debug, Clone)]
pub struct TopExample {
    /// The example, or the part around the patch.
    pub picture: Picture,
    /// The patch that the unit sees in it: top, left, height, width as shares of the picture; none if all of it.
    pub patch: Option<[f64; 4]>,
    /// The unit's activation.
    pub value: f64,
    /// The example's class.
    pub label: String,
}

/// Numbers of both signs as a small image.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SignedMap {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1, or 3 that are shown as one color image.
    pub channels: usize,
    /// `[height, width, channels]`
    pub values: Vec<f32>,
}

/// A connection to a unit of another layer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Link {
    /// The other layer, as an index into the page's layers.
    pub layer: usize,
    /// The other unit's number.
    pub unit: usize,
    /// The sum of the weights: above 0 excites.
    pub sum: f32,
    /// The root of the sum of their squares.
    pub norm: f32,
    /// The weights, place by place.
    pub weights: SignedMap,
}

/// An answer and where it came from.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The example's name.
    pub title: String,
    /// What would have been right, if that is known.
    pub truth: Option<String>,
    /// The most probable classes.
    pub answers: Vec<(String, f64)>,
    /// What the network saw.
    pub picture: Picture,
    /// Maps by method; a map may be smaller than the picture.
    pub maps: Vec<(&'static str, SignedMap)>,
    /// How far the integrated gradients' sum is from the difference that they explain, as a share.
    pub completeness_error: Option<f64>,
    /// For each layer, as an index, the units that the example excites most, relative to their largest activation: unit, activation.
    pub excited: Vec<(usize, Vec<(usize, f64)>)>,
}

impl FeaturesReport<'_> {
    /// The whole page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let hash = STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
        let title = format!("{} · gyrus see", self.name);
        let policy = format!("; script-src 'sha256-{hash}'");
        let mut page = begin_page_with(&title, &policy, &[STYLE, SHARED_STYLE, OWN_STYLE]);
        let _ = write!(
            page,
            "<header><p class=\"overline\">Gyrus see</p>\n<h1>{}</h1>\n<p class=\"lead\">{}</p></header>\n\
             <section class=\"headline\"><div class=\"hero\"><p class=\"value\">{}</p><p class=\"label\">{}</p></div>\n\
             {}</section>\n",
            escaped(self.name),
            escaped(self.kind),
            escaped(&self.headline.0),
            escaped(self.headline.1),
            facts(&self.facts),
        );
        section(&mut page, "depth", "From layer to layer", &depth::depth(self));
        section(&mut page, "similarity", "Which layers are alike", &depth::similarity(self));
        section(
            &mut page,
            "edges",
            "Edge detectors",
            &self.edges.as_ref().map(depth::edges).unwrap_or_default(),
        );
        section(&mut page, "units", "What each unit responds to", &pictures::units(self));
        section(&mut page, "spikes", "Spikes over time", &spikes::spikes(self));
        section(&mut page, "attention", "Where it looks", &attention::attention(self));
        section(&mut page, "decisions", "Where decisions came from", &decisions::decisions(self));
        let notes: String =
            self.notes.iter().map(|note| format!("<p class=\"note\">{}</p>", escaped(note))).collect();
        section(&mut page, "provenance", "Provenance", &(provenance(&self.provenance) + &notes));
        // In JSON, only strings contain this character, which could end the element.
        let data = data::data(self).to_string().replace('<', "\\u003c");
        let _ = write!(
            page,
            "<script type=\"application/json\" id=\"data\">{data}</script>\n<script>{SCRIPT}</script>\n"
        );
        end_page(page)
    }
}
