//! PLY, as text and in both byte orders: positions, colors and polygons; other elements and properties are passed over.

use std::path::Path;

use super::MOST;
use super::cursor::{Cursor, words};
use crate::{Error, Mesh, Result};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Text,
    Little,
    Big,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

struct Property {
    name: String,
    kind: Type,
    /// The type of the length of a list.
    list: Option<Type>,
}

struct Element {
    name: String,
    count: usize,
    properties: Vec<Property>,
}

impl Type {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"char" | b"int8" => Self::I8,
            b"uchar" | b"uint8" => Self::U8,
            b"short" | b"int16" => Self::I16,
            b"ushort" | b"uint16" => Self::U16,
            b"int" | b"int32" => Self::I32,
            b"uint" | b"uint32" => Self::U32,
            b"float" | b"float32" => Self::F32,
            b"double" | b"float64" => Self::F64,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// What a full color is in this type.
    fn full(self) -> f64 {
        match self {
            Self::U8 => 255.0,
            Self::U16 => 65_535.0,
            _ => 1.0,
        }
    }
}

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Mesh> {
    let mut cursor = Cursor::new(bytes);
    let (encoding, elements) = header(path, &mut cursor)?;
    let mut mesh = Mesh::default();
    for element in &elements {
        // A row takes a byte at least, so a count that the file cannot hold is known before memory is taken.
        if element.count > cursor.left() && !element.properties.is_empty() || element.count > MOST {
            let found = format!("{} rows of `{}` in {} bytes", element.count, element.name, cursor.left());
            return Err(Error::mesh(path, "header", found, "as many as are there"));
        }
        let mut values = Values { path, cursor: &mut cursor, encoding, words: Vec::new().into_iter() };
        match element.name.as_str() {
            "vertex" => vertices(element, &mut values, &mut mesh)?,
            "face" => faces(element, &mut values, &mut mesh)?,
            _ => {
                for row in 0..element.count {
                    values.begin(element, row)?;
                    for property in &element.properties {
                        values.property(element, row, property, |_| ())?;
                    }
                }
            }
        }
    }
    Ok(mesh)
}

fn header(path: &Path, cursor: &mut Cursor<'_>) -> Result<(Encoding, Vec<Element>)> {
    let (mut encoding, mut elements, mut line) = (None, Vec::<Element>::new(), 0);
    loop {
        line += 1;
        let wrong = |found: &[u8], expected: &str| {
            let found = format!("`{}`", String::from_utf8_lossy(&found[..found.len().min(80)]));
            Err(Error::mesh(path, format_args!("line {line}"), found, expected))
        };
        let Some(row) = cursor.line().filter(|_| line <= 10_000) else {
            return wrong(b"", "`end_header`");
        };
        let parts: Vec<&[u8]> = words(row).collect();
        match parts[..] {
            [b"end_header"] => break,
            [b"format", name, _] => {
                encoding = match name {
                    b"ascii" => Some(Encoding::Text),
                    b"binary_little_endian" => Some(Encoding::Little),
                    b"binary_big_endian" => Some(Encoding::Big),
                    _ => return wrong(row, "ascii, binary_little_endian or binary_big_endian"),
                };
            }
            [b"element", name, count] => {
                let count = std::str::from_utf8(count).ok().and_then(|count| count.parse().ok());
                let Some(count) = count else { return wrong(row, "`element`, a name and a number") };
                let name = String::from_utf8_lossy(name).into_owned();
                elements.push(Element { name, count, properties: Vec::new() });
            }
            [b"property", b"list", length, kind, name] => match (Type::named(length), Type::named(kind)) {
                (Some(length), Some(kind)) => {
                    let name = String::from_utf8_lossy(name).into_owned();
                    let property = Property { name, kind, list: Some(length) };
                    let Some(element) = elements.last_mut() else { return wrong(row, "`element` before it") };
                    element.properties.push(property);
                }
                _ => return wrong(row, "types such as uchar, int and float"),
            },
            [b"property", kind, name] => {
                let name = String::from_utf8_lossy(name).into_owned();
                let Some(kind) = Type::named(kind) else { return wrong(row, "a type such as float") };
                let Some(element) = elements.last_mut() else { return wrong(row, "`element` before it") };
                element.properties.push(Property { name, kind, list: None });
            }
            [] | [b"ply" | b"comment" | b"obj_info", ..] => {}
            _ => return wrong(row, "format, element, property, comment or end_header"),
        }
    }
    match encoding {
        Some(encoding) => Ok((encoding, elements)),
        None => Err(Error::mesh(path, "header", "no `format`", "one")),
    }
}

/// Numbers, one after the other.
struct Values<'a, 'b> {
    path: &'a Path,
    cursor: &'a mut Cursor<'b>,
    encoding: Encoding,
    /// Of the row, in text.
    words: std::vec::IntoIter<&'b [u8]>,
}

impl Values<'_, '_> {
    fn begin(&mut self, element: &Element, row: usize) -> Result<()> {
        if self.encoding != Encoding::Text {
            return Ok(());
        }
        let Some(line) = self.cursor.line() else { return Err(self.ends(element, row)) };
        self.words = words(line).collect::<Vec<_>>().into_iter();
        Ok(())
    }

    fn ends(&self, element: &Element, row: usize) -> Error {
        let place = format!("byte {}", self.cursor.at());
        let found = format!("the end within row {row} of `{}`", element.name);
        Error::mesh(self.path, place, found, format_args!("{} rows", element.count))
    }

    fn next(&mut self, kind: Type) -> Option<f64> {
        fn ordered<const N: usize>(mut bytes: [u8; N], is_big: bool) -> [u8; N] {
            if is_big {
                bytes.reverse();
            }
            bytes
        }
        if self.encoding == Encoding::Text {
            return std::str::from_utf8(self.words.next()?).ok()?.parse().ok();
        }
        let is_big = self.encoding == Encoding::Big;
        let cursor = &mut *self.cursor;
        Some(match kind {
            Type::I8 => i8::from_le_bytes(cursor.array()?).into(),
            Type::U8 => u8::from_le_bytes(cursor.array()?).into(),
            Type::I16 => i16::from_le_bytes(ordered(cursor.array()?, is_big)).into(),
            Type::U16 => u16::from_le_bytes(ordered(cursor.array()?, is_big)).into(),
            Type::I32 => i32::from_le_bytes(ordered(cursor.array()?, is_big)).into(),
            Type::U32 => u32::from_le_bytes(ordered(cursor.array()?, is_big)).into(),
            Type::F32 => f32::from_le_bytes(ordered(cursor.array()?, is_big)).into(),
            Type::F64 => f64::from_le_bytes(ordered(cursor.array()?, is_big)),
        })
    }

    /// Reads a property and hands each of its numbers to `take`.
    fn property(
        &mut self,
        element: &Element,
        row: usize,
        property: &Property,
        mut take: impl FnMut(f64),
    ) -> Result<()> {
        let count = match property.list {
            None => 1.0,
            Some(kind) => self.next(kind).ok_or_else(|| self.ends(element, row))?,
        };
        let longest = match self.encoding {
            Encoding::Text => self.words.len() as f64,
            _ => (self.cursor.left() / property.kind.bytes()) as f64,
        };
        if !(0.0..=longest).contains(&count) {
            return Err(self.ends(element, row));
        }
        for _ in 0..count as usize {
            take(self.next(property.kind).ok_or_else(|| self.ends(element, row))?);
        }
        Ok(())
    }
}

fn vertices(element: &Element, values: &mut Values<'_, '_>, mesh: &mut Mesh) -> Result<()> {
    let slot = |property: &Property| match property.name.as_str() {
        "x" => Some(0),
        "y" => Some(1),
        "z" => Some(2),
        "red" | "r" | "diffuse_red" => Some(3),
        "green" | "g" | "diffuse_green" => Some(4),
        "blue" | "b" | "diffuse_blue" => Some(5),
        _ => None,
    };
    let slots: Vec<Option<usize>> = element.properties.iter().map(slot).collect();
    if (0..3).any(|axis| !slots.contains(&Some(axis))) {
        return Err(Error::mesh(values.path, "header", "vertices without x, y and z", "all three"));
    }
    let has_color = (3..6).all(|channel| slots.contains(&Some(channel)));
    for row in 0..element.count {
        values.begin(element, row)?;
        let mut vertex = [0.0f32; 6];
        for (property, slot) in element.properties.iter().zip(&slots) {
            values.property(element, row, property, |value| match slot {
                Some(slot @ 0..3) => vertex[*slot] = value as f32,
                Some(slot) => vertex[*slot] = (value / property.kind.full()) as f32,
                None => {}
            })?;
        }
        let [x, y, z, red, green, blue] = vertex;
        mesh.positions.push([x, y, z]);
        if has_color {
            mesh.colors.push([red, green, blue]);
        }
    }
    Ok(())
}

fn faces(element: &Element, values: &mut Values<'_, '_>, mesh: &mut Mesh) -> Result<()> {
    let mut polygon: Vec<u32> = Vec::new();
    for row in 0..element.count {
        values.begin(element, row)?;
        polygon.clear();
        let mut is_whole = true;
        for property in &element.properties {
            let is_polygon = matches!(property.name.as_str(), "vertex_indices" | "vertex_index");
            values.property(element, row, property, |value| {
                if is_polygon {
                    is_whole &= value >= 0.0 && value < f64::from(u32::MAX);
                    polygon.push(value as u32);
                }
            })?;
        }
        if polygon.len() < 3 || !is_whole {
            let found = format!("the vertices {:?}", &polygon[..polygon.len().min(8)]);
            return Err(Error::mesh(
                values.path,
                format_args!("face {row}"),
                found,
                "at least 3 whole numbers",
            ));
        }
        mesh.faces.extend(polygon[1..].windows(2).map(|pair| [polygon[0], pair[0], pair[1]]));
    }
    Ok(())
}
