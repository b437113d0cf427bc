//! Spikes and traces as tables: CSV, and Parquet for `pandas`, DuckDB and others.
//!
//! Spikes have the columns `time_ms`, `population` and `neuron`; traces `time_ms`, `population`, `neuron` and the variable
//! with its unit; synapses `source`, `target`, the weight and `delay_ms`.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// A column of a table.
pub enum Column<'a> {
    /// Numbers.
    Numbers(&'a str, Vec<f64>),
    /// Whole numbers.
    Wholes(&'a str, Vec<i64>),
    /// Texts: an index into the names for each row.
    Names(&'a str, &'a [String], Vec<u32>),
}

impl Column<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Numbers(name, _) | Self::Wholes(name, _) | Self::Names(name, _, _) => name,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Numbers(_, values) => values.len(),
            Self::Wholes(_, values) => values.len(),
            Self::Names(_, _, values) => values.len(),
        }
    }
}

/// Writes a table as CSV; all columns are equally long.
///
/// # Errors
/// If the writer fails.
pub fn write_csv(columns: &[Column<'_>], mut to: impl Write) -> io::Result<()> {
    let names: Vec<String> = columns.iter().map(|column| quoted(column.name())).collect();
    writeln!(to, "{}", names.join(","))?;
    for row in 0..columns.first().map_or(0, Column::len) {
        for (place, column) in columns.iter().enumerate() {
            if place > 0 {
                to.write_all(b",")?;
            }
            match column {
                // Times are multiples of the step: their rounding errors are not worth 17 digits.
                Column::Numbers(_, values) => write!(to, "{}", (values[row] * 1e9).round() / 1e9)?,
                Column::Wholes(_, values) => write!(to, "{}", values[row])?,
                Column::Names(_, names, values) => write!(to, "{}", quoted(&names[values[row] as usize]))?,
            }
        }
        to.write_all(b"\n")?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Writes a table as Parquet; all columns are equally long.
///
/// # Errors
/// If the writer fails.
pub fn write_parquet(columns: &[Column<'_>], to: impl Write + Send) -> io::Result<()> {
    let failed = |error: ParquetError| io::Error::other(error);
    let mut schema = String::from("message table {");
    for column in columns {
        let kind = match column {
            Column::Numbers(..) => "DOUBLE",
            Column::Wholes(..) => "INT64",
            Column::Names(..) => "BYTE_ARRAY",
        };
        let note = if matches!(column, Column::Names(..)) { " (UTF8)" } else { "" };
        schema += &format!(" REQUIRED {kind} {}{note};", column.name());
    }
    schema.push('}');
    let schema = Arc::new(parse_message_type(&schema).map_err(failed)?);
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut file = SerializedFileWriter::new(to, schema, properties).map_err(failed)?;
    let mut group = file.next_row_group().map_err(failed)?;
    for column in columns {
        let Some(mut writer) = group.next_column().map_err(failed)? else { break };
        match column {
            Column::Numbers(_, values) => writer.typed::<DoubleType>().write_batch(values, None, None),
            Column::Wholes(_, values) => writer.typed::<Int64Type>().write_batch(values, None, None),
            Column::Names(_, names, values) => {
                let names: Vec<ByteArray> = names.iter().map(|name| ByteArray::from(name.as_str())).collect();
                let values: Vec<ByteArray> =
                    values.iter().map(|value| names[*value as usize].clone()).collect();
                writer.typed::<ByteArrayType>().write_batch(&values, None, None)
            }
        }
        .map_err(failed)?;
        writer.close().map_err(failed)?;
    }
    group.close().map_err(failed)?;
    file.close().map_err(failed)?;
    Ok(())
}
