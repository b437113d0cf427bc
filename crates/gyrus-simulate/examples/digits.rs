//! Digits learned without labels: spike-timing dependent plasticity with competition on MNIST.
//!
//! ```text
//! cargo run --release -p gyrus-simulate --example digits -- FOLDER [PRESENTATIONS [NEURONS [SEED [THREADS]]]]
//! ```
//!
//! FOLDER holds the four standard files, gzipped. Classes are given to neurons by their answers to the last 10,000 training images.

use std::error::Error;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use gyrus_simulate::competition::{Assignment, Competition, CompetitionSettings};

fn read(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path)?).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// 784 bytes an image, and its digit.
fn part(folder: &Path, name: &str) -> Result<(Vec<u8>, Vec<u32>), Box<dyn Error>> {
    let images = read(&folder.join(format!("{name}-images-idx3-ubyte.gz")))?;
    let labels = read(&folder.join(format!("{name}-labels-idx1-ubyte.gz")))?;
    Ok((images[16..].to_vec(), labels[8..].iter().map(|&label| u32::from(label)).collect()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = arguments.iter().filter(|word| !word.contains('=')).collect();
    let folder = Path::new(words.first().ok_or("expected the folder of MNIST")?);
    let number = |place: usize, default: usize| words.get(place).map_or(Ok(default), |text| text.parse());
    let (presentations, neurons) = (number(1, 60_000)?, number(2, 400)?);
    let (seed, threads) = (number(3, 0)? as u64, number(4, 0)?);
    let mut settings = CompetitionSettings { seed, ..CompetitionSettings::new(784, neurons) };
    let mut most_hz = 63.75f32;
    let mut tests = 10_000;
    for (key, value) in arguments.iter().filter_map(|word| word.split_once('=')) {
        let value: f64 = value.parse()?;
        match key {
            "dt" => settings.dt_ms = value,
            "present" => settings.present_ms = value,
            "quiet" => settings.quiet_ms = value,
            "total" => settings.total_weight = value,
            "inhibition" => settings.inhibition = value,
            "start" => settings.theta_start_mv = value,
            "theta" => settings.theta_plus_mv = value,
            "tau" => settings.tau_theta_ms = value,
            "up" => settings.rate_up = value,
            "down" => settings.rate_down = value,
            "least" => settings.least_spikes = value as u32,
            "hz" => most_hz = value as f32,
            "tests" => tests = value as usize,
            _ => return Err(format!("unknown setting {key}").into()),
        }
    }
    let (images, labels) = part(folder, "train")?;
    let (test_images, test_labels) = part(folder, "t10k")?;
    let rates = |images: &[u8], index: usize| -> Vec<f32> {
        images[index * 784..][..784].iter().map(|&pixel| f32::from(pixel) / 255.0 * most_hz).collect()
    };
    let start = Instant::now();
    let mut competition = Competition::new(settings)?;
    let (mut input_spikes, mut spikes, mut attempts) = (0, 0, 0);
    for index in 0..presentations {
        let response = competition.present(&rates(&images, index % 60_000))?;
        input_spikes += response.input_spikes;
        attempts += response.attempts;
        spikes += response.spikes.iter().map(|&own| u64::from(own)).sum::<u64>();
        if (index + 1) % 5000 == 0 {
            println!(
                "{} shown in {:.1} s: {:.0} input spikes, {:.2} attempts, {:.1} spikes each",
                index + 1,
                start.elapsed().as_secs_f64(),
                input_spikes as f64 / 5000.0,
                f64::from(attempts) / 5000.0,
                spikes as f64 / 5000.0
            );
            (input_spikes, spikes, attempts) = (0, 0, 0);
        }
    }
    let learned = competition.learned()?;
    let trained = start.elapsed().as_secs_f64();
    let goes_on = |_| ControlFlow::Continue(());
    let answers = gyrus_kernels::with_threads(threads, || {
        let known = learned.responses(tests, |index| rates(&images, 60_000 - tests + index), goes_on)?;
        let unknown = learned.responses(tests, |index| rates(&test_images, index), goes_on)?;
        Ok::<_, gyrus_simulate::Error>((known.unwrap_or_default(), unknown.unwrap_or_default()))
    })??;
    let assignment = Assignment::new(&answers.0, &labels[60_000 - tests..], 10);
    let right =
        answers.1.iter().zip(&test_labels).filter(|(own, label)| assignment.classify(own) == Some(**label));
    let theta = learned.theta_mv.iter().sum::<f64>() / neurons as f64;
    println!(
        "{:.2} % of {tests} test images; learned in {trained:.1} s, all in {:.1} s; mean threshold {theta:.2} mV, {} neurons without a class",
        right.count() as f64 / tests as f64 * 100.0,
        start.elapsed().as_secs_f64(),
        assignment.classes.iter().filter(|class| class.is_none()).count(),
    );
    Ok(())
}
