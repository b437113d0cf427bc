//! The measurements as a table for people and as one JSON object for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::statistics::{median, tenth_percentile};
use crate::workloads::Workload;

const MEBIBYTE: f64 = (1 << 20) as f64;

/// Time and memory of one side of a workload.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    median_us: f64,
    tenth_percentile_us: f64,
    times: usize,
    peak_bytes: u64,
    /// The resident size right after Python's imports, before any work.
    #[serde(skip_serializing_if = "Option::is_none")]
    import_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_accuracy: Option<f64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    choice: Option<Choice>,
    /// For a peer, our median and 10th percentile over its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratios: Option<[f64; 2]>,
    /// Our goal for the first of these, where it is not that of the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<f64>,
}

/// The measured variant of a peer, the times of all candidates, and the times of variants that are listed for information
/// only (10th percentiles in microseconds).
#[derive(Debug, Clone, serde::Deserialize, Serialize)]
pub(crate) struct Choice {
    pub(crate) variant: String,
    variants_us: BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    extra_us: BTreeMap<String, f64>,
}

impl Side {
    /// The side `name` from times in microseconds and sizes in bytes.
    pub(crate) fn new(
        name: &str,
        version: String,
        times_us: &[f64],
        peak_bytes: u64,
        import_bytes: Option<u64>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            version,
            median_us: median(times_us),
            tenth_percentile_us: tenth_percentile(times_us),
            times: times_us.len(),
            peak_bytes,
            import_bytes,
            test_accuracy: None,
            choice: None,
            ratios: None,
            goal: None,
        }
    }

    /// Adds a goal of this peer alone.
    pub(crate) fn with_goal(self, goal: Option<f64>) -> Self {
        Self { goal, ..self }
    }

    /// Adds the accuracy (0 to 1) that the program reported.
    pub(crate) fn with_test_accuracy(self, test_accuracy: Option<f64>) -> Self {
        Self { test_accuracy, ..self }
    }

    /// Adds the chosen variant.
    pub(crate) fn with_choice(self, choice: Option<Choice>) -> Self {
        Self { choice, ..self }
    }
}

/// One measured workload.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    work: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ours: Option<Side>,
    peers: Vec<Side>,
    /// Ours / the median of the fastest peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_ratio: Option<f64>,
    /// The same for the 10th percentiles, which other load on the machine disturbs less.
    #[serde(skip_serializing_if = "Option::is_none")]
    quiet_time_ratio: Option<f64>,
    time_ratio_goal: f64,
    /// Ours / the peer with the least memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_ratio: Option<f64>,
    memory_ratio_goal: f64,
}

impl Row {
    /// A row from its sides.
    pub(crate) fn new(work: &Workload, ours: Option<Side>, mut peers: Vec<Side>) -> Self {
        if let Some(ours) = &ours {
            for peer in &mut peers {
                let quiet = ours.tenth_percentile_us / peer.tenth_percentile_us;
                peer.ratios = Some([ours.median_us / peer.median_us, quiet]);
            }
        }
        let least = |size: fn(&Side) -> f64| {
            let ours = size(ours.as_ref()?);
            peers.iter().map(size).min_by(f64::total_cmp).map(|peer| ours / peer)
        };
        Self {
            work: work.name,
            parameters: None,
            time_ratio: least(|side| side.median_us),
            quiet_time_ratio: least(|side| side.tenth_percentile_us),
            time_ratio_goal: work.time_ratio_goal,
            memory_ratio: least(|side| side.peak_bytes as f64),
            memory_ratio_goal: work.memory_ratio_goal,
            ours,
            peers,
        }
    }

    /// Adds the number of trainable parameters.
    pub(crate) fn with_parameters(self, parameters: u64) -> Self {
        Self { parameters: Some(parameters), ..self }
    }
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    processor: String,
    threads: u32,
    rounds: u32,
    works: Vec<Row>,
}

impl Report {
    /// A report on this machine.
    pub(crate) fn new(threads: u32, rounds: u32, works: Vec<Row>) -> Self {
        let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = information
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown processor", |(_, name)| name.trim());
        Self { processor: processor.to_owned(), threads, rounds, works }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, {} threads each, {} rounds. Time: median (10th percentile) in ms. Memory: peak in MiB\n\
             (peers: without what the imports alone take). Ratios are ours / the fastest and ours / the leanest peer;\n\
             \"at most\" is the goal.\n",
            self.processor, self.threads, self.rounds
        )?;
        writeln!(
            f,
            "{:<27} {:<18} {:>20} {:>14} {:>7}  {:>14} {:>6} {:>7}  variant",
            "work", "side", "time", "ratio", "at most", "memory", "ratio", "at most"
        )?;
        for row in &self.works {
            for (index, side) in row.ours.iter().chain(&row.peers).enumerate() {
                let version = format!("{} {}", side.name, side.version);
                let time = format!("{:.3} ({:.3})", side.median_us / 1e3, side.tenth_percentile_us / 1e3);
                let quiet = row.quiet_time_ratio.map(|quiet| format!(" ({quiet:.2})")).unwrap_or_default();
                // Columns about the workload appear in its first line only, ratios to each peer where there are several.
                let once = |text: String| if index == 0 { text } else { String::new() };
                let several = index > 0 && row.peers.len() > 1;
                let own =
                    side.ratios.filter(|_| several).map(|[own, quiet]| format!("{own:.2} ({quiet:.2})"));
                let own_goal = side.goal.filter(|_| several).map(|goal| goal.to_string());
                writeln!(
                    f,
                    "{:<27} {:<18} {time:>20} {:>14} {:>7}  {:>14} {:>6} {:>7}  {}",
                    once(row.work.to_owned()),
                    version.trim(),
                    own.unwrap_or_else(|| once(ratio(row.time_ratio) + &quiet)),
                    own_goal.unwrap_or_else(|| once(row.time_ratio_goal.to_string())),
                    memory(side),
                    once(ratio(row.memory_ratio)),
                    once(row.memory_ratio_goal.to_string()),
                    side.choice.as_ref().map_or("-", |choice| &choice.variant),
                )?;
            }
        }
        for row in &self.works {
            for side in row.ours.iter().chain(&row.peers) {
                if let Some(Choice { extra_us, .. }) = &side.choice
                    && !extra_us.is_empty()
                {
                    let extra: Vec<_> =
                        extra_us.iter().map(|(name, us)| format!("{name} {:.3} ms", us / 1e3)).collect();
                    writeln!(f, "For information, {}: {}", row.work, extra.join(", "))?;
                }
                if let Some(accuracy) = side.test_accuracy {
                    writeln!(f, "{}, {}: test accuracy {:.2} %", row.work, side.name, accuracy * 100.0)?;
                }
            }
        }
        Ok(())
    }
}

fn memory(side: &Side) -> String {
    let peak = side.peak_bytes as f64 / MEBIBYTE;
    match side.import_bytes {
        Some(import) => format!("{peak:.0} ({:.0})", peak - import as f64 / MEBIBYTE),
        None => format!("{peak:.0}"),
    }
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::WORKLOADS;

    fn side(name: &str, median_us: f64, peak_bytes: u64) -> Side {
        Side::new(name, "1.0".to_owned(), &[median_us], peak_bytes, None)
    }

    #[test]
    fn ratios_are_ours_over_the_fastest_and_the_leanest() {
        let peers = vec![side("A", 4000.0, 400 << 20), side("B", 5000.0, 200 << 20)];
        let row = Row::new(&WORKLOADS[0], Some(side("Gyrus", 1000.0, 100 << 20)), peers);
        assert_eq!((row.time_ratio, row.memory_ratio), (Some(0.25), Some(0.5)));
        let text = Report::new(2, 7, vec![row]).to_string();
        assert!(text.contains("1.000 (1.000)") && text.contains("  0.25 (0.25) "), "{text}");
        assert!(text.contains("B 1.0"), "{text}");
    }

    #[test]
    fn peers_alone_have_no_ratio() {
        let row = Row::new(&WORKLOADS[0], None, vec![side("A", 4000.0, 200 << 20)]);
        assert_eq!((row.time_ratio, row.memory_ratio), (None, None));
        let json = serde_json::to_value(Report::new(2, 7, vec![row])).unwrap();
        assert!(json["works"][0].get("time_ratio").is_none());
        assert_eq!(json["works"][0]["peers"][0]["median_us"], 4000.0);
    }
}
