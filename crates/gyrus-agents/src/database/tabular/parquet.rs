//! Tables in Parquet files, read row by row.

use std::fs::File;
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::super::calendar;
use super::{Loading, distinct};

/// Reads a file whose columns are numbers, texts, dates or times; what is nested becomes text.
pub(super) fn load(path: &Path, loading: &mut Loading<'_>) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let on_disk = file.metadata().map_err(|error| error.to_string())?.len();
    let reader = SerializedFileReader::new(file).map_err(|error| error.to_string())?;
    let groups = reader.metadata().row_groups();
    let unpacked: u64 = groups
        .iter()
        .map(|group| u64::try_from(group.total_byte_size()).unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add);
    loading.take(unpacked.max(on_disk))?;
    let fields = reader.metadata().file_metadata().schema().get_fields();
    let (names, notes) = distinct(fields.iter().map(|field| field.name().to_owned()).collect());
    notes.iter().for_each(|note| loading.note(note));
    let columns: Vec<_> = names.into_iter().zip(fields.iter().map(|field| declared(field))).collect();
    let insert = loading.create(&columns)?;
    {
        let mut statement = loading.connection.prepare(&insert).map_err(|error| error.to_string())?;
        for row in reader.get_row_iter(None).map_err(|error| error.to_string())? {
            let row = row.map_err(|error| error.to_string())?;
            let cells = row.get_column_iter().map(|(_, field)| value(field));
            statement.execute(params_from_iter(cells)).map_err(|error| error.to_string())?;
        }
    }
    loading.finish()
}

/// The type of a column as SQLite is told it.
fn declared(field: &Type) -> &'static str {
    if !field.is_primitive() {
        return "TEXT";
    }
    let info = field.get_basic_info();
    match (info.logical_type_ref(), info.converted_type(), field.get_physical_type()) {
        (Some(LogicalType::Date), ..) | (_, ConvertedType::DATE, _) => "DATE",
        (Some(LogicalType::Timestamp { .. }), ..)
        | (_, ConvertedType::TIMESTAMP_MILLIS | ConvertedType::TIMESTAMP_MICROS, _)
        | (_, _, Physical::INT96) => "DATETIME",
        (Some(LogicalType::Decimal { .. }), ..) | (_, ConvertedType::DECIMAL, _) => "REAL",
        (Some(LogicalType::Time { .. }), ..) => "TEXT",
        (_, _, Physical::BOOLEAN) => "BOOLEAN",
        (_, _, Physical::INT32 | Physical::INT64) => "INTEGER",
        (_, _, Physical::FLOAT | Physical::DOUBLE) => "REAL",
        (_, ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON, _) => "TEXT",
        (Some(LogicalType::String | LogicalType::Enum | LogicalType::Json), ..) => "TEXT",
        _ => "BLOB",
    }
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(yes) => Value::Integer(i64::from(*yes)),
        Field::Byte(number) => Value::Integer(i64::from(*number)),
        Field::Short(number) => Value::Integer(i64::from(*number)),
        Field::Int(number) => Value::Integer(i64::from(*number)),
        Field::Long(number) => Value::Integer(*number),
        Field::UByte(number) => Value::Integer(i64::from(*number)),
        Field::UShort(number) => Value::Integer(i64::from(*number)),
        Field::UInt(number) => Value::Integer(i64::from(*number)),
        Field::ULong(number) => i64::try_from(*number).map_or(Value::Real(*number as f64), Value::Integer),
        Field::Float16(number) => real(f64::from(*number)),
        Field::Float(number) => real(f64::from(*number)),
        Field::Double(number) => real(*number),
        // As it is printed, which is exact.
        Field::Decimal(_) => field.to_string().parse().map_or(Value::Null, Value::Real),
        Field::Str(text) => Value::Text(text.clone()),
        Field::Bytes(bytes) => Value::Blob(bytes.data().to_vec()),
        Field::Date(days) => Value::Text(calendar::date(i64::from(*days))),
        Field::TimeMillis(millis) => Value::Text(calendar::time(i64::from(*millis) * 1000)),
        Field::TimeMicros(micros) => Value::Text(calendar::time(*micros)),
        Field::TimestampMillis(millis) => Value::Text(calendar::moment(millis.saturating_mul(1000))),
        Field::TimestampMicros(micros) => Value::Text(calendar::moment(*micros)),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => Value::Text(field.to_string()),
    }
}

/// A number; what is none has no value.
fn real(number: f64) -> Value {
    if number.is_nan() { Value::Null } else { Value::Real(number) }
}
