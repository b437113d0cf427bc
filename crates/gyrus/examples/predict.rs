//! A trained network reads an image file: `cargo run --release --example predict`.

use gyrus::data::{Features, digits};
use gyrus::verbs::Answer;
use gyrus::{Learn, Predict, Quiet};

pub(crate) fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = Learn::new("digits").epochs(5).out(folder.path().join("run")).run(&mut Quiet)?;

    // An image of a digit that the network has not seen.
    let image = folder.path().join("digit.png");
    if let Features::Images(images) = digits().test.features {
        let pixels = images.get(0).unwrap_or_default().to_vec();
        image::GrayImage::from_raw(8, 8, pixels).unwrap_or_default().save(&image)?;
    }

    let answers = Predict::new(&run.run).input(&image).run()?;
    if let Answer::Class { class, probability, .. } = &answers.predictions[0].answer {
        println!("it is a {class}, with a probability of {:.1} %", 100.0 * probability);
    }
    Ok(())
}
