//! GLB: one buffer, one mesh, one root node, y up.

use serde_json::{Value, json};

use super::{Split, linear, png};
use crate::{Error, Mesh, Result};

/// glTF's numbers of types of components, and of what a view is for.
const U16: u32 = 5123;
const U32: u32 = 5125;
const F32: u32 = 5126;
const VERTICES: u32 = 34_962;
const INDICES: u32 = 34_963;

/// The buffer and what lies in it.
#[derive(Default)]
struct Parts {
    buffer: Vec<u8>,
    views: Vec<Value>,
    accessors: Vec<Value>,
}

impl Parts {
    fn view(&mut self, bytes: impl IntoIterator<Item = u8>, target: Option<u32>) -> usize {
        let start = self.buffer.len();
        self.buffer.extend(bytes);
        let mut view = json!({"buffer": 0, "byteOffset": start, "byteLength": self.buffer.len() - start});
        if let Some(target) = target {
            view["target"] = target.into();
        }
        self.buffer.resize(self.buffer.len().next_multiple_of(4), 0);
        self.views.push(view);
        self.views.len() - 1
    }

    fn accessor(&mut self, bytes: impl IntoIterator<Item = u8>, target: u32, rest: Value) -> usize {
        let mut accessor = json!({"bufferView": self.view(bytes, Some(target))});
        if let (Value::Object(accessor), Value::Object(rest)) = (&mut accessor, rest) {
            accessor.extend(rest);
        }
        self.accessors.push(accessor);
        self.accessors.len() - 1
    }
}

pub(super) fn bytes(mesh: &Mesh) -> Result<Vec<u8>> {
    let split = Split::of(mesh);
    let count = split.vertices.len();
    let mut parts = Parts::default();
    let of = |values: &[[f32; 3]]| -> Vec<u8> {
        split.vertices.iter().flat_map(|vertex| values[*vertex as usize]).flat_map(f32::to_le_bytes).collect()
    };
    let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
    for vertex in &split.vertices {
        for axis in 0..3 {
            low[axis] = low[axis].min(mesh.positions[*vertex as usize][axis]);
            high[axis] = high[axis].max(mesh.positions[*vertex as usize][axis]);
        }
    }
    let vector = |kind: &str| json!({"componentType": F32, "count": count, "type": kind});
    let mut position = vector("VEC3");
    (position["min"], position["max"]) = (json!(low), json!(high));
    let mut attributes = json!({"POSITION": parts.accessor(of(&mesh.positions), VERTICES, position)});
    attributes["NORMAL"] = parts.accessor(of(&mesh.normals()), VERTICES, vector("VEC3")).into();
    if !split.uvs.is_empty() {
        let uvs = split.uvs.iter().flatten().flat_map(|value| value.to_le_bytes());
        attributes["TEXCOORD_0"] = parts.accessor(uvs, VERTICES, vector("VEC2")).into();
    }
    if !mesh.colors.is_empty() {
        // glTF multiplies light, so colors are linear there; 16 bits keep the dark ones apart.
        let part = |value: f32| ((linear(value.clamp(0.0, 1.0)) * 65_535.0).round() as u16).to_le_bytes();
        let colors = split.vertices.iter().flat_map(|vertex| {
            let [red, green, blue] = mesh.colors[*vertex as usize].map(part);
            [red, green, blue, [255, 255]]
        });
        let rest = json!({"componentType": U16, "normalized": true, "count": count, "type": "VEC4"});
        attributes["COLOR_0"] = parts.accessor(colors.flatten(), VERTICES, rest).into();
    }
    let indices = split.faces.iter().flatten().flat_map(|index| index.to_le_bytes());
    let rest = json!({"componentType": U32, "count": 3 * split.faces.len(), "type": "SCALAR"});
    let indices = parts.accessor(indices, INDICES, rest);
    let mut look = json!({"metallicFactor": 0.0, "roughnessFactor": 0.9});
    let mut document = json!({
        "asset": {"version": "2.0", "generator": "gyrus sculpt"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "object", "mesh": 0}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}],
    });
    if let Some(texture) = mesh.texture.as_ref().filter(|_| !split.uvs.is_empty()) {
        let view = parts.view(png(texture)?, None);
        document["images"] = json!([{"bufferView": view, "mimeType": "image/png"}]);
        document["samplers"] = json!([{"magFilter": 9729, "minFilter": 9987}]);
        document["textures"] = json!([{"source": 0, "sampler": 0}]);
        look["baseColorTexture"] = json!({"index": 0});
    }
    document["materials"] = json!([{"pbrMetallicRoughness": look}]);
    document["accessors"] = parts.accessors.into();
    document["bufferViews"] = parts.views.into();
    document["buffers"] = json!([{"byteLength": parts.buffer.len()}]);
    let mut text = document.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    let length = 12 + 8 + text.len() + 8 + parts.buffer.len();
    let Ok(length) = u32::try_from(length) else {
        return Err(Error::Request(format!("a GLB file of {length} bytes; its format allows 4 GiB")));
    };
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend(b"glTF");
    bytes.extend(2u32.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    for (chunk, name) in [(&text, b"JSON"), (&parts.buffer, b"BIN\0")] {
        bytes.extend((chunk.len() as u32).to_le_bytes());
        bytes.extend(name);
        bytes.extend(chunk);
    }
    Ok(bytes)
}
