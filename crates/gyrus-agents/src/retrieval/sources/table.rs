//! Tables: the text stays as it is, and is cut between rows.

use csv::{ByteRecord, ReaderBuilder};

use super::SourceText;

/// A table, whose columns' names belong to each passage.
pub(super) fn read(text: String) -> SourceText {
    let head = text.lines().next().unwrap_or_default();
    let separator = [b',', b';', b'\t']
        .into_iter()
        .max_by_key(|&byte| (head.bytes().filter(|other| *other == byte).count(), byte == b','));
    let mut reader = ReaderBuilder::new()
        .delimiter(separator.unwrap_or(b','))
        .flexible(true)
        .has_headers(false)
        .from_reader(text.as_bytes());
    let mut cuts = Vec::new();
    let mut record = ByteRecord::new();
    let mut context = String::new();
    // What is no table any more is one long row.
    while let Ok(true) = reader.read_byte_record(&mut record) {
        if cuts.is_empty() {
            let names: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
            context = names.join(" ");
        }
        cuts.push(usize::try_from(reader.position().byte()).unwrap_or(usize::MAX));
    }
    cuts.retain(|cut| *cut <= text.len());
    SourceText { title: None, text, cuts, context }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_whole() {
        let source = read("name;note\na;\"two\nlines\"\nb;\"c\"\n".to_owned());
        assert_eq!(source.context, "name note");
        let rows: Vec<&str> = source.cuts.windows(2).map(|pair| &source.text[pair[0]..pair[1]]).collect();
        assert_eq!(rows, ["a;\"two\nlines\"\n", "b;\"c\"\n"]);
    }
}
