//! Collapses keep what they promise.

use super::*;
use crate::mesh::tests::cube;
use crate::{Field, compare, surface};

fn meshed(side: usize, of: impl Fn([f32; 3]) -> f32) -> Mesh {
    let at = |index: usize| 2.0 * index as f32 / (side - 1) as f32 - 1.0;
    let values: Vec<f32> = (0..side * side * side)
        .map(|i| of([at(i % side), at(i / side % side), at(i / side / side)]))
        .collect();
    let step = 2.0 / (side - 1) as f32;
    surface(&Field { values: &values, size: [side; 3], origin: [-1.0; 3], step: [step; 3] }, 0.0)
}

#[test]
fn a_tenth_of_the_faces_is_the_same_solid() {
    let torus = |[x, y, z]: [f32; 3]| 0.25 - ((x.hypot(y) - 0.6).powi(2) + z * z).sqrt();
    let mut mesh = meshed(40, torus);
    mesh.colors = mesh.positions.iter().map(|p| p.map(|value| 0.5 + 0.5 * value)).collect();
    let less = simplify(&mesh, mesh.faces.len() / 10);
    assert!(less.faces.len() <= mesh.faces.len() / 10);
    let topology = Topology::of(&less);
    assert!(topology.is_watertight() && topology.is_manifold() && topology.is_oriented());
    assert_eq!(topology.euler_characteristic(), 0);
    assert!((less.volume() / mesh.volume() - 1.0).abs() < 0.03, "{} {}", less.volume(), mesh.volume());
    assert!(compare(&less, &mesh, 20_000, 0).unwrap().iou.unwrap() > 0.94);
    for (color, position) in less.colors.iter().zip(&less.positions) {
        assert!((0..3).all(|i| (color[i] - 0.5 - 0.5 * position[i]).abs() < 0.1));
    }
    assert_eq!(less, simplify(&mesh, mesh.faces.len() / 10));
}

#[test]
fn rough_surfaces_stay_manifold_however_few_faces_are_asked_for() {
    let rough =
        |[x, y, z]: [f32; 3]| (9.0 * x).sin() * (11.0 * y).cos() + (8.0 * z).sin() * (7.0 * x).cos() - 0.3;
    let mesh = meshed(24, rough);
    let before = Topology::of(&mesh);
    for faces in [mesh.faces.len() / 2, mesh.faces.len() / 20, 0] {
        let after = Topology::of(&simplify(&mesh, faces));
        assert!(after.is_watertight() && after.is_manifold() && after.is_oriented(), "{faces}: {after:?}");
        assert_eq!(after.euler_characteristic(), before.euler_characteristic());
        assert_eq!(after.components, before.components);
    }
}

#[test]
fn an_open_border_and_a_flat_square_keep_their_outline() {
    let side = 10usize;
    let positions = (0..side * side).map(|i| [(i % side) as f32, (i / side) as f32, 0.0]).collect();
    let quads = (0..side - 1).flat_map(|y| (0..side - 1).map(move |x| (y * side + x) as u32));
    let wide = side as u32;
    let faces = quads.flat_map(|a| [[a, a + 1, a + wide + 1], [a, a + wide + 1, a + wide]]).collect();
    let mesh = Mesh { positions, faces, ..Mesh::default() };
    let less = simplify(&mesh, 10);
    assert!(
        less.faces.len() <= 10 && (less.area() - 81.0).abs() < 1e-6,
        "{} {}",
        less.faces.len(),
        less.area()
    );
    let mut corner = cube();
    corner.faces.truncate(10);
    assert_eq!(Topology::of(&simplify(&corner, 6)).components, 1);
}

#[test]
fn small_components_are_removed() {
    let mut mesh = cube();
    let first = mesh.positions.len() as u32;
    mesh.positions.extend([[5.0, 0.0, 0.0], [6.0, 0.0, 0.0], [5.0, 1.0, 0.0]]);
    mesh.faces.push([first, first + 1, first + 2]);
    let kept = largest_components(&mesh, 0.5);
    assert_eq!((kept.faces.len(), kept.positions.len()), (12, 8));
    assert_eq!(largest_components(&mesh, 0.01).faces.len(), 13);
}
