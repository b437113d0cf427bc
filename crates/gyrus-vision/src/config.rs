//! What a folder says beside its weights: `config.json` (timm or transformers), `preprocessor_config.json`, and the names of
//! the classes.

use std::collections::BTreeMap;
use std::path::Path;

use gyrus_data::{Filter, Preprocessing, Resize};
use gyrus_files::read_bounded;
use serde_json::Value;

use crate::families::Usual;
use crate::{Error, Result};

/// The longest configuration that is read, in bytes.
const MAXIMUM_BYTES: u64 = 16 << 20;
/// The largest side of an input, in pixels.
const LARGEST_SIDE: usize = 4096;
/// The most classes.
const MOST_CLASSES: usize = 1 << 20;
/// Facts of an ONNX file: the preprocessing and the names of the classes, as JSON.
pub(crate) const PREPROCESSING: &str = "gyrus.preprocessing";
pub(crate) const CLASSES: &str = "gyrus.classes";

/// How a network wants to see a picture, and what its outputs are called; `None` where nothing says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    pub(crate) side: Option<usize>,
    pub(crate) crop_share: Option<f64>,
    /// The shorter side before the cut, in place of the share.
    pub(crate) shorter_side: Option<usize>,
    /// Whether pictures are stretched instead of cut.
    pub(crate) stretched: bool,
    pub(crate) filter: Option<Filter>,
    pub(crate) mean: Option<[f32; 3]>,
    pub(crate) deviation: Option<[f32; 3]>,
    pub(crate) classes: Vec<String>,
    /// Attention heads of a transformer.
    pub(crate) heads: Option<usize>,
    /// All of it, where Gyrus wrote it.
    pub(crate) exact: Option<Preprocessing>,
}

/// A JSON object and where it lies.
struct Object<'a> {
    path: &'a Path,
    value: &'a Value,
    within: &'a str,
}

impl Config {
    /// Of a folder; empty where it has no configuration.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self> {
        let mut config = Self::default();
        let path = folder.join("config.json");
        if path.is_file() {
            let value = json(&path)?;
            config.take_config(&Object { path: &path, value: &value, within: "" })?;
        }
        let path = folder.join("preprocessor_config.json");
        if path.is_file() {
            let value = json(&path)?;
            config.take_processor(&Object { path: &path, value: &value, within: "" })?;
        }
        for name in ["classes.json", "classes.txt", "labels.txt"] {
            let path = folder.join(name);
            if config.classes.is_empty() && path.is_file() {
                config.classes = class_names(&path)?;
            }
        }
        Ok(config)
    }

    /// Of a `config.json` in memory; `path` is for messages.
    pub(crate) fn of_values(path: &Path, value: &Value) -> Result<Self> {
        let mut config = Self::default();
        config.take_config(&Object { path, value, within: "" })?;
        Ok(config)
    }

    /// What Gyrus keeps beside the graph of an ONNX file; classes that are known already stay.
    pub(crate) fn take_facts(&mut self, facts: &BTreeMap<String, String>) {
        let exact = facts.get(PREPROCESSING).and_then(|text| serde_json::from_str(text).ok());
        self.exact = exact.filter(is_sound).or(self.exact.take());
        if self.classes.is_empty() {
            let names = facts.get(CLASSES).and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
            self.classes = names.filter(|names| names.len() <= MOST_CLASSES).unwrap_or_default();
        }
    }

    fn take_config(&mut self, object: &Object<'_>) -> Result<()> {
        if let Some(names) = object.value.get("id2label").and_then(Value::as_object) {
            let mut numbered: Vec<(usize, String)> = names
                .iter()
                .filter_map(|(id, name)| Some((id.parse().ok()?, name.as_str()?.to_owned())))
                .collect();
            numbered.sort();
            let meaningless = |name: &str| name.starts_with("LABEL_");
            if numbered.iter().enumerate().all(|(place, (id, name))| place == *id && !meaningless(name)) {
                self.classes = numbered.into_iter().map(|(_, name)| name).collect();
            }
        }
        if let Some(names) = object.value.get("label_names").and_then(Value::as_array) {
            self.classes = names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        }
        let own = object.value.get("gyrus").and_then(|own| own.get("preprocessing"));
        self.exact = own.and_then(|own| serde_json::from_value(own.clone()).ok()).filter(is_sound);
        self.side = object.side("image_size")?.or(self.side);
        self.heads = object.whole("num_attention_heads", 1 << 10)?.or(self.heads);
        if let Some(value) = object.value.get("model_args").filter(|value| value.is_object()) {
            let inner = Object { value, within: "model_args.", ..*object };
            self.heads = inner.whole("num_heads", 1 << 10)?.or(self.heads);
        }
        let vision = object.value.get("vision_config");
        if let Some(value) = vision.filter(|value| value.is_object()) {
            let inner = Object { value, within: "vision_config.", ..*object };
            self.side = inner.side("image_size")?.or(self.side);
            self.heads = inner.whole("num_attention_heads", 1 << 10)?.or(self.heads);
        }
        // timm writes how it evaluates under `pretrained_cfg`; older files have the fields themselves.
        let inner = object.value.get("pretrained_cfg").filter(|value| value.is_object());
        let timm = Object {
            value: inner.unwrap_or(object.value),
            within: if inner.is_some() { "pretrained_cfg." } else { "" },
            ..*object
        };
        if let Some(size) = timm.value.get("input_size") {
            let sides: Vec<usize> = size
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|n| usize::try_from(n.as_u64()?).ok())
                .collect();
            match sides[..] {
                [1 | 3, height, width] if height == width && (1..=LARGEST_SIDE).contains(&height) => {
                    self.side = Some(height)
                }
                _ => return Err(timm.wrong("input_size", size, "[3, side, side]")),
            }
        }
        self.crop_share = timm.share("crop_pct")?.or(self.crop_share);
        if let Some(mode) = timm.value.get("crop_mode").and_then(Value::as_str) {
            self.stretched = mode == "squash";
        }
        if let Some(name) = timm.value.get("interpolation") {
            self.filter = Some(match name.as_str() {
                Some("bilinear") => Filter::Bilinear,
                Some("bicubic") => Filter::Bicubic,
                Some("lanczos") => Filter::Lanczos,
                _ => return Err(timm.wrong("interpolation", name, "bilinear, bicubic or lanczos")),
            });
        }
        self.mean = timm.three("mean")?.or(self.mean);
        self.deviation = timm.three("std")?.or(self.deviation);
        Ok(())
    }

    fn take_processor(&mut self, object: &Object<'_>) -> Result<()> {
        self.mean = object.three("image_mean")?.or(self.mean);
        self.deviation = object.three("image_std")?.or(self.deviation);
        if let Some(number) = object.value.get("resample") {
            // The numbers of Pillow's filters.
            self.filter = Some(match number.as_u64() {
                Some(1) => Filter::Lanczos,
                Some(2) => Filter::Bilinear,
                Some(3) => Filter::Bicubic,
                _ => return Err(object.wrong("resample", number, "1, 2 or 3 (Lanczos, bilinear, bicubic)")),
            });
        }
        let sized = |name: &str, key: &str| -> Result<Option<usize>> {
            match object.value.get(name) {
                Some(value) if value.is_object() => Object { value, within: name, ..*object }.side(key),
                _ => Ok(None),
            }
        };
        let plain = object.side("size")?;
        let shortest = sized("size", "shortest_edge")?;
        let fixed = sized("size", "height")?;
        let cut = match sized("crop_size", "height")? {
            Some(side) => Some(side),
            None => object.side("crop_size")?,
        };
        let cuts = object.value.get("do_center_crop").and_then(Value::as_bool);
        let share = object.share("crop_pct")?;
        match (shortest.or(plain), fixed) {
            (_, Some(side)) if cuts != Some(true) => {
                self.stretched = true;
                self.side = Some(side);
            }
            // ConvNeXt's processor: the share of the resized picture that is kept.
            (Some(side), _) if share.is_some() && cut.is_none() => {
                self.side = Some(side);
                self.crop_share = if side < 384 { share } else { Some(1.0) };
                self.stretched = side >= 384;
            }
            (Some(side), _) if cuts == Some(true) && cut.is_some() => {
                self.side = cut;
                self.shorter_side = Some(side);
            }
            // A plain number without a cut means both sides.
            (Some(side), _) if shortest.is_none() => {
                self.stretched = true;
                self.side = Some(side);
            }
            (Some(side), fixed) => {
                self.side = cut.or(fixed).or(Some(side));
                self.shorter_side = Some(side);
            }
            _ => {}
        }
        Ok(())
    }

    /// The preprocessing of a network with an input of `[channels, height, width]`.
    pub(crate) fn preprocessing(
        &self,
        channels: usize,
        height: usize,
        width: usize,
        usual: &Usual,
    ) -> Preprocessing {
        if let Some(exact) = &self.exact
            && exact.shape() == [height, width, channels]
        {
            return exact.clone();
        }
        let side = height.max(width);
        let share = self.crop_share.unwrap_or(usual.crop_share);
        let shorter = self.shorter_side.unwrap_or_else(|| (side as f64 / share).floor() as usize);
        let usual_filter = if usual.bicubic { Filter::Bicubic } else { Filter::Bilinear };
        let resize = Resize {
            filter: self.filter.unwrap_or(usual_filter),
            shorter_side: (!self.stretched).then_some(shorter.max(side)),
        };
        let three = |values: [f32; 3]| match channels {
            3 => values.to_vec(),
            _ => vec![values.iter().sum::<f32>() / 3.0; channels],
        };
        Preprocessing::Image {
            height,
            width,
            channels,
            mean: three(self.mean.unwrap_or(usual.mean)),
            deviation: three(self.deviation.unwrap_or(usual.deviation)),
            ink: None,
            resize: Some(resize),
        }
    }
}

impl Object<'_> {
    fn wrong(&self, field: &str, got: &Value, expected: &str) -> Error {
        let mut got = got.to_string();
        if got.len() > 80 {
            got = format!("{}...", got.chars().take(80).collect::<String>());
        }
        Error::Field {
            path: self.path.to_owned(),
            field: format!("{}{field}", self.within),
            got,
            expected: expected.to_owned(),
        }
    }

    /// A whole number from 1 to `most`; `None` where the field is absent or something else than a number.
    fn whole(&self, field: &str, most: usize) -> Result<Option<usize>> {
        let Some(value) = self.value.get(field).filter(|value| value.is_number()) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        match number.filter(|number| (1..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(field, value, &format!("a whole number from 1 to {most}"))),
        }
    }

    fn side(&self, field: &str) -> Result<Option<usize>> {
        self.whole(field, LARGEST_SIDE)
    }

    fn share(&self, field: &str) -> Result<Option<f64>> {
        let Some(value) = self.value.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
        match value.as_f64().filter(|share| (0.1..=1.0).contains(share)) {
            Some(share) => Ok(Some(share)),
            None => Err(self.wrong(field, value, "a number from 0.1 to 1")),
        }
    }

    /// Three numbers.
    fn three(&self, field: &str) -> Result<Option<[f32; 3]>> {
        let Some(value) = self.value.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
        let numbers: Vec<f32> = value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|number| Some(number.as_f64()? as f32))
            .collect();
        match numbers[..] {
            [r, g, b] if numbers.iter().all(|number| number.is_finite() && *number >= 0.0) => {
                Ok(Some([r, g, b]))
            }
            _ => Err(self.wrong(field, value, "three numbers, one per channel")),
        }
    }
}

/// Whether a preprocessing can be used as it is.
pub(crate) fn is_sound(preprocessing: &Preprocessing) -> bool {
    let Preprocessing::Image { channels, mean, deviation, .. } = preprocessing else { return false };
    let numbers = |values: &[f32]| values.len() == *channels && values.iter().all(|value| value.is_finite());
    numbers(mean) && numbers(deviation) && deviation.iter().all(|value| *value > 0.0)
}

pub(crate) fn json(path: &Path) -> Result<Value> {
    serde_json::from_slice(&read_bounded(path, MAXIMUM_BYTES)?).map_err(|error| Error::Field {
        path: path.to_owned(),
        field: String::new(),
        got: error.to_string(),
        expected: "JSON".to_owned(),
    })
}

/// Names of classes: a JSON array of strings, or a text file with one name a line.
///
/// # Errors
/// [`Error::Field`] for another form, and what reading the file says.
pub(crate) fn class_names(path: &Path) -> Result<Vec<String>> {
    let wrong = |got: String| Error::Field {
        path: path.to_owned(),
        field: "classes".to_owned(),
        got,
        expected: "a JSON array of names, or one name a line".to_owned(),
    };
    let names: Vec<String> = if path.extension().is_some_and(|ending| ending == "json") {
        let value = json(path)?;
        let names = value.as_array().ok_or_else(|| wrong("something else".to_owned()))?;
        let name = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(value.to_string()));
        names.iter().map(name).collect::<Result<_>>()?
    } else {
        let text = String::from_utf8(read_bounded(path, MAXIMUM_BYTES)?)
            .map_err(|_| wrong("bytes that are no text".to_owned()))?;
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    if names.is_empty() || names.len() > MOST_CLASSES {
        return Err(wrong(format!("{} names", names.len())));
    }
    Ok(names)
}
