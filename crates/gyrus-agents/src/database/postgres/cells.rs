//! Values in PostgreSQL's binary format.

use std::error::Error;

use postgres::types::{FromSql, Kind, Type};

use super::super::{Cell, calendar};

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
const EPOCH_DAYS: i64 = 10_957;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// A value of any type; of types that are not known here, only the number of bytes.
pub(super) struct Any(pub(super) Cell);

impl<'a> FromSql<'a> for Any {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(cell(kind, raw)?))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Cell::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn cell(kind: &Type, raw: &[u8]) -> Result<Cell, Box<dyn Error + Sync + Send>> {
    let text = |raw: &[u8]| Cell::Text(String::from_utf8_lossy(raw).into_owned());
    let moment = |micros: i64| match micros {
        i64::MAX => Cell::Text("infinity".to_owned()),
        i64::MIN => Cell::Text("-infinity".to_owned()),
        micros => Cell::Text(calendar::moment(micros.saturating_add(EPOCH_DAYS * DAY))),
    };
    Ok(match *kind {
        Type::BOOL => Cell::Text(if bool::from_sql(kind, raw)? { "true" } else { "false" }.to_owned()),
        Type::INT2 => Cell::Integer(i16::from_sql(kind, raw)?.into()),
        Type::INT4 => Cell::Integer(i32::from_sql(kind, raw)?.into()),
        Type::INT8 => Cell::Integer(i64::from_sql(kind, raw)?),
        Type::OID => Cell::Integer(u32::from_sql(kind, raw)?.into()),
        Type::FLOAT4 => Cell::Real(f32::from_sql(kind, raw)?.into()),
        Type::FLOAT8 => Cell::Real(f64::from_sql(kind, raw)?),
        Type::NUMERIC => numeric(raw)?,
        Type::DATE => match i32::from_be_bytes(raw.try_into()?) {
            i32::MAX => Cell::Text("infinity".to_owned()),
            i32::MIN => Cell::Text("-infinity".to_owned()),
            days => Cell::Text(calendar::date(i64::from(days) + EPOCH_DAYS)),
        },
        Type::TIME => Cell::Text(calendar::time(i64::from_be_bytes(raw.try_into()?))),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => moment(i64::from_be_bytes(raw.try_into()?)),
        Type::INTERVAL => interval(raw)?,
        Type::UUID => {
            let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default());
            Cell::Text(parts.join("-"))
        }
        // A version byte, and the text.
        Type::JSONB => text(raw.get(1..).unwrap_or_default()),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON | Type::XML | Type::UNKNOWN => {
            text(raw)
        }
        _ => match kind.kind() {
            Kind::Enum(_) => text(raw),
            Kind::Domain(inner) => cell(inner, raw)?,
            _ if kind.name() == "citext" => text(raw),
            _ => Cell::Bytes { bytes: raw.len() },
        },
    })
}

/// A decimal number: digits in groups of four (`numeric_send` of PostgreSQL).
fn numeric(raw: &[u8]) -> Result<Cell, Box<dyn Error + Sync + Send>> {
    let word = |at: usize| raw.get(at * 2..at * 2 + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (Some(groups), Some(weight), Some(sign), Some(_)) = (word(0), word(1), word(2), word(3)) else {
        return Err("a numeric value ends early".into());
    };
    let weight = i32::from(weight as i16);
    match sign {
        0xC000 => return Ok(Cell::Text("NaN".to_owned())),
        0xD000 => return Ok(Cell::Text("infinity".to_owned())),
        0xF000 => return Ok(Cell::Text("-infinity".to_owned())),
        _ => {}
    }
    let mut text = String::new();
    for group in 0..groups {
        let digits = word(4 + usize::from(group)).ok_or("a numeric value ends early")?;
        text += &format!("{digits:04}");
    }
    // The first group counts 10000^weight.
    let exponent = 4 * (weight + 1) - 4 * i32::from(groups);
    let minus = if sign == 0x4000 { "-" } else { "" };
    if exponent >= 0
        && exponent < 20
        && let Ok(whole) = format!("{minus}0{text}{}", "0".repeat(exponent as usize)).parse()
    {
        return Ok(Cell::Integer(whole));
    }
    Ok(Cell::Real(format!("{minus}0{text}e{exponent}").parse()?))
}

fn interval(raw: &[u8]) -> Result<Cell, Box<dyn Error + Sync + Send>> {
    let raw: [u8; 16] = raw.try_into()?;
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = raw;
    let micros = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let (days, months) = (i32::from_be_bytes([i, j, k, l]), i32::from_be_bytes([m, n, o, p]));
    let mut parts = Vec::new();
    for (count, word) in [(months / 12, "year"), (months % 12, "month"), (days, "day")] {
        if count != 0 {
            parts.push(format!("{count} {word}{}", if count.abs() == 1 { "" } else { "s" }));
        }
    }
    if micros != 0 || parts.is_empty() {
        let sign = if micros < 0 { "-" } else { "" };
        parts.push(format!("{sign}{}", calendar::time(micros.saturating_abs())));
    }
    Ok(Cell::Text(parts.join(" ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of(groups: &[u16], weight: i16, sign: u16) -> Cell {
        let mut raw = Vec::new();
        for word in [groups.len() as u16, weight as u16, sign, 2].iter().chain(groups) {
            raw.extend(word.to_be_bytes());
        }
        numeric(&raw).unwrap()
    }

    #[test]
    fn decimals_are_numbers() {
        assert_eq!(of(&[1, 2345], 1, 0), Cell::Integer(12_345));
        assert_eq!(of(&[], 0, 0), Cell::Integer(0));
        assert_eq!(of(&[12, 5000], 0, 0x4000), Cell::Real(-12.5));
        assert_eq!(of(&[5], -2, 0), Cell::Real(5e-8));
        assert_eq!(of(&[3], 2, 0), Cell::Integer(300_000_000));
        assert_eq!(of(&[1], 5, 0), Cell::Real(1e20));
        assert!(numeric(&[0, 3, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
