//! Answers as a CSV table, which spreadsheets and pandas open.

use super::{Answer, PredictReport, Prediction};

impl PredictReport {
    /// One line for each answer below a header: the file, the line in it for rows of a table (or the number of the
    /// recording), the prediction, and for classes the probability of each.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut text = String::new();
        for (index, prediction) in self.predictions.iter().enumerate() {
            if index == 0 {
                line(&mut text, header(prediction));
            }
            line(&mut text, cells(prediction));
        }
        text
    }
}

fn header(prediction: &Prediction) -> Vec<String> {
    let mut cells = vec!["file".to_owned()];
    cells.extend(place(prediction).map(|(name, _)| name.to_owned()));
    match &prediction.answer {
        Answer::Class { probabilities, .. } => {
            cells.push("prediction".to_owned());
            cells.extend(probabilities.iter().map(|(class, _)| format!("p({class})")));
        }
        Answer::Value { target, .. } => cells.push(target.clone()),
        Answer::Outputs { outputs, .. } => {
            cells.push("prediction".to_owned());
            cells.extend((0..outputs.len()).map(|output| format!("output {output}")));
        }
    }
    cells
}

fn cells(prediction: &Prediction) -> Vec<String> {
    let mut cells = vec![prediction.file.display().to_string()];
    cells.extend(place(prediction).map(|(_, place)| place.to_string()));
    match &prediction.answer {
        Answer::Class { class, probabilities, .. } => {
            cells.push(class.clone());
            cells.extend(probabilities.iter().map(|(_, probability)| probability.to_string()));
        }
        Answer::Value { value, .. } => cells.push(value.to_string()),
        Answer::Outputs { class, outputs } => {
            cells.push(class.map_or(String::new(), |class| class.to_string()));
            cells.extend(outputs.iter().map(f32::to_string));
        }
    }
    cells
}

/// Where in its file an answer belongs.
fn place(prediction: &Prediction) -> Option<(&'static str, u64)> {
    let line = prediction.line.map(|line| ("line", line));
    line.or(prediction.row.map(|row| ("row", row as u64)))
}

fn line(text: &mut String, cells: Vec<String>) {
    let quoted = |cell: String| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    };
    text.push_str(&cells.into_iter().map(quoted).collect::<Vec<_>>().join(","));
    text.push('\n');
}
