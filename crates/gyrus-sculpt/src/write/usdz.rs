//! USDZ: a text of USD and its texture, stored in a zip archive without compression, each at a multiple of 64 bytes.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{linear, png};
use crate::{Error, Mesh, Result};

/// Where the contents of a file begin.
const ALIGNMENT: u16 = 64;

pub(super) fn bytes(mesh: &Mesh) -> Result<Vec<u8>> {
    let texture = mesh.texture.as_ref().filter(|_| !mesh.uvs.is_empty());
    let mut files = vec![("object.usda", text(mesh, texture.is_some()).into_bytes())];
    if let Some(texture) = texture {
        files.push(("texture.png", png(texture)?));
    }
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored).with_alignment(ALIGNMENT);
    let failed = |error: String| Error::Request(format!("the USDZ file cannot be made: {error}"));
    for (name, content) in files {
        archive.start_file(name, options).map_err(|error| failed(error.to_string()))?;
        archive.write_all(&content).map_err(|error| failed(error.to_string()))?;
    }
    Ok(archive.finish().map_err(|error| failed(error.to_string()))?.into_inner())
}

fn tuples<const N: usize>(values: impl Iterator<Item = [f32; N]>) -> String {
    let mut text = String::from("[");
    for (index, value) in values.enumerate() {
        let parts: Vec<String> = value.iter().map(f32::to_string).collect();
        let _ = write!(text, "{}({})", if index > 0 { ", " } else { "" }, parts.join(", "));
    }
    text + "]"
}

fn text(mesh: &Mesh, is_textured: bool) -> String {
    let (low, high) = mesh.bounds();
    let indices: Vec<String> = mesh.faces.iter().flatten().map(u32::to_string).collect();
    let mut own = format!(
        "        float3[] extent = {}\n        int[] faceVertexCounts = [{}]\n        int[] faceVertexIndices = [{}]\n        \
         point3f[] points = {}\n        normal3f[] normals = {} (\n            interpolation = \"vertex\"\n        )\n        \
         uniform token subdivisionScheme = \"none\"\n",
        tuples([low, high].into_iter()),
        vec!["3"; mesh.faces.len()].join(", "),
        indices.join(", "),
        tuples(mesh.positions.iter().copied()),
        tuples(mesh.normals().into_iter()),
    );
    if !mesh.colors.is_empty() {
        let colors = tuples(mesh.colors.iter().map(|color| color.map(linear)));
        own += &format!(
            "        color3f[] primvars:displayColor = {colors} (\n            interpolation = \"vertex\"\n        )\n"
        );
    }
    if is_textured {
        // USD counts from the bottom.
        let uvs = tuples(mesh.uvs.iter().flatten().map(|[u, v]| [*u, 1.0 - v]));
        own += &format!(
            "        texCoord2f[] primvars:st = {uvs} (\n            interpolation = \"faceVarying\"\n        )\n"
        );
    }
    let (kind, variable, source) = if is_textured {
        ("float2", "st", "</Root/Look/Texture.outputs:rgb>")
    } else {
        ("float3", "displayColor", "</Root/Look/Reader.outputs:result>")
    };
    let color = if is_textured || !mesh.colors.is_empty() {
        format!("color3f inputs:diffuseColor.connect = {source}")
    } else {
        "color3f inputs:diffuseColor = (0.7, 0.7, 0.7)".to_owned()
    };
    let mut look = format!(
        "    def Material \"Look\"\n    {{\n        token outputs:surface.connect = </Root/Look/Surface.outputs:surface>\n        \
         def Shader \"Surface\"\n        {{\n            uniform token info:id = \"UsdPreviewSurface\"\n            {color}\n            \
         float inputs:roughness = 0.9\n            token outputs:surface\n        }}\n        def Shader \"Reader\"\n        {{\n            \
         uniform token info:id = \"UsdPrimvarReader_{kind}\"\n            string inputs:varname = \"{variable}\"\n            \
         {kind} outputs:result\n        }}\n"
    );
    if is_textured {
        look += "        def Shader \"Texture\"\n        {\n            uniform token info:id = \"UsdUVTexture\"\n            \
                 asset inputs:file = @texture.png@\n            float2 inputs:st.connect = </Root/Look/Reader.outputs:result>\n            \
                 token inputs:sourceColorSpace = \"sRGB\"\n            float3 outputs:rgb\n        }\n";
    }
    format!(
        "#usda 1.0\n(\n    defaultPrim = \"Root\"\n    metersPerUnit = 1\n    upAxis = \"Y\"\n)\n\ndef Xform \"Root\"\n{{\n    \
         def Mesh \"Object\" (\n        prepend apiSchemas = [\"MaterialBindingAPI\"]\n    )\n    {{\n{own}        \
         rel material:binding = </Root/Look>\n    }}\n{look}    }}\n}}\n"
    )
}
