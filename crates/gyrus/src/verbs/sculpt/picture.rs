//! From a picture to a solid.

use std::path::{Path, PathBuf};

use gyrus_sculpt::triposr::TripoSr;
use gyrus_sculpt::{Background, Mesh, View, centered, object, read_picture, render};
use gyrus_tensor::with_threads;
use image::{Rgb, RgbImage, Rgba, RgbaImage};

use super::Sculpt;
use crate::{Error, Note, Observer, Result, Stage};

/// Ends of the names of pictures.
const PICTURES: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];
/// Where the model supposes the camera: distance and vertical angle of view.
const CAMERA: (f64, f64) = (1.9, 40.0);
/// Pixels of a silhouette's side.
const SIDE: u32 = 256;

/// What was seen on the way from a picture to a solid.
pub(super) struct Seen {
    pub(super) background: &'static str,
    pub(super) silhouette_iou: f64,
    /// Samples of the field that were computed.
    pub(super) computed: usize,
    /// For the page.
    pub(super) pictures: Vec<(&'static str, RgbImage)>,
}

/// Whether a file is a picture, by its name.
pub(super) fn is_picture(path: &Path) -> bool {
    let end = path.extension().map(|end| end.to_string_lossy().to_lowercase());
    end.is_some_and(|end| PICTURES.contains(&end.as_str()))
}

/// Whether an input is a sentence: several words, and no file.
pub(super) fn is_sentence(input: &Path) -> bool {
    !input.exists() && !is_picture(input) && input.to_string_lossy().contains(' ')
}

/// The solid that a model makes of a sentence, and how many samples of the field were computed.
pub(super) fn described(sculpt: &Sculpt, model: &Path, observer: &mut dyn Observer) -> Result<(Mesh, usize)> {
    let model = TripoSr::open(&place(model)?)?;
    let caption = sculpt.input.to_string_lossy();
    with_threads(sculpt.threads, || -> gyrus_sculpt::Result<_> {
        let progress = &mut |name: &str, done: u64, total: u64| observer.stage(&Stage { name, done, total });
        let tokens = model.caption_tokens(&caption)?;
        let sculpture = model.sculpture(&model.plane_tokens(&tokens, progress));
        sculpture.mesh(sculpt.resolution, sculpt.level, progress)
    })?
    .map_err(Error::from)
}

/// The solid that a model sees in a picture.
pub(super) fn made(sculpt: &Sculpt, model: &Path, observer: &mut dyn Observer) -> Result<(Mesh, Seen)> {
    let picture = read_picture(&sculpt.input)?;
    let model = TripoSr::open(&place(model)?)?;
    let (own, background) = object(&picture)?;
    let background = match background {
        Background::Alpha => "alpha",
        Background::Cut => {
            let text =
                "the background was cut by its colors; a picture with a transparent background is better";
            observer.note(&Note::Text(text));
            "cut"
        }
    };
    let side = model.config().image_side;
    let pixels = centered(&own, side)?;
    let (mesh, computed) = with_threads(sculpt.threads, || {
        let progress = &mut |name: &str, done: u64, total: u64| observer.stage(&Stage { name, done, total });
        let sculpture = model.look(&pixels, progress);
        sculpture.mesh(sculpt.resolution, sculpt.level, progress)
    })??;
    let byte = |value: f32| (value * 255.0).round() as u8;
    let seen = RgbImage::from_fn(side as u32, side as u32, |x, y| {
        let at = (y as usize * side + x as usize) * 3;
        Rgb([byte(pixels[at]), byte(pixels[at + 1]), byte(pixels[at + 2])])
    });
    // White on the gray that surrounds it.
    let white =
        RgbaImage::from_fn(own.width(), own.height(), |x, y| Rgba([255, 255, 255, own.get_pixel(x, y).0[3]]));
    let given = centered(&white, SIDE as usize)?;
    let given: Vec<bool> = given.chunks_exact(3).map(|pixel| pixel[0] > 0.75).collect();
    let view = View { center: [0.0; 3], distance: CAMERA.0, azimuth: 0.0, elevation: 0.0, angle: CAMERA.1 };
    let drawn = with_threads(sculpt.threads, || render(&mesh, &view, SIDE))?;
    let found: Vec<bool> = drawn.pixels().map(|pixel| pixel.0[3] > 127).collect();
    let count = |of: fn(bool, bool) -> bool| given.iter().zip(&found).filter(|(a, b)| of(**a, **b)).count();
    let (both, any) = (count(|a, b| a && b), count(|a, b| a || b));
    let silhouette = |mask: &[bool]| {
        RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([if mask[(y * SIDE + x) as usize] { 235 } else { 38 }; 3]))
    };
    let pictures = vec![
        ("the picture, as the model sees it", seen),
        ("its silhouette", silhouette(&given)),
        ("the solid's silhouette", silhouette(&found)),
    ];
    let silhouette_iou = both as f64 / any.max(1) as f64;
    Ok((mesh, Seen { background, silhouette_iou, computed, pictures }))
}

/// Where a model lies; one of the hub is downloaded where it is not there yet.
fn place(model: &Path) -> Result<PathBuf> {
    #[cfg(feature = "hub")]
    if !model.exists()
        && let Some(name) = super::super::HubName::read(model)?
    {
        let hub = gyrus_formats::hub::Hub::from_environment()?;
        hub.model_file(&name.owner, &name.name, "config.yaml")?;
        return Ok(hub.model_file(&name.owner, &name.name, "model.ckpt")?);
    }
    if !model.exists() {
        return Err(Error::request(format!(
            "{} does not exist; expected a folder with config.yaml and model.ckpt or model.safetensors, one such file, or \
             OWNER/NAME of the Hugging Face hub",
            model.display()
        )));
    }
    Ok(model.to_owned())
}
