//! Surfaces of random and of known fields.

use gyrus_kernels::splitmix64;
use proptest::prelude::*;

use super::*;
use crate::Topology;

fn sampled(side: usize, of: impl Fn([f32; 3]) -> f32) -> Vec<f32> {
    let at = |index: usize| 2.0 * index as f32 / (side - 1) as f32 - 1.0;
    (0..side * side * side).map(|i| of([at(i % side), at(i / side % side), at(i / side / side)])).collect()
}

fn meshed(side: usize, values: &[f32]) -> Mesh {
    let step = 2.0 / (side - 1) as f32;
    surface(&Field { values, size: [side; 3], origin: [-1.0; 3], step: [step; 3] }, 0.0)
}

fn ball(center: [f32; 3], radius: f32, at: [f32; 3]) -> f32 {
    radius - (0..3).map(|axis| (at[axis] - center[axis]).powi(2)).sum::<f32>().sqrt()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn surfaces_of_noise_are_closed_manifold_and_oriented(
        size in prop::array::uniform3(1usize..12), seed: u64, rarity in 1u64..6, wide in any::<bool>(),
    ) {
        // Some rows are longer than a word.
        let size = if wide { [size[0] + 60, size[1], size[2]] } else { size };
        let count = size.iter().product::<usize>() as u64;
        let values: Vec<f32> = (0..count).map(|i| {
            let random = splitmix64(seed ^ splitmix64(i));
            match random % 31 {
                0 => f32::NAN,
                1 => 0.0,
                2 => f32::INFINITY,
                rest if rest % rarity == 0 => (random >> 40) as f32 / 1e7,
                _ => -((random >> 40) as f32) / 1e7,
            }
        }).collect();
        let mesh = surface(&Field { values: &values, size, origin: [0.0; 3], step: [1.0; 3] }, 0.0);
        let topology = Topology::of(&mesh);
        prop_assert!(mesh.faces.is_empty() || topology.is_watertight());
        prop_assert!(topology.is_manifold() && topology.is_oriented(), "{topology:?}");
        prop_assert_eq!((topology.vertices, topology.collapsed_faces), (mesh.positions.len(), 0));
        prop_assert!(mesh.faces.is_empty() == !values.iter().any(|value| *value > 0.0));
        prop_assert!(mesh.volume() >= 0.0);
    }
}

#[test]
fn known_solids_have_their_euler_characteristic_and_volume() {
    for side in [17, 40, 70] {
        let sphere = meshed(side, &sampled(side, |at| ball([0.1, 0.0, -0.1], 0.7, at)));
        let topology = Topology::of(&sphere);
        assert_eq!((topology.euler_characteristic(), topology.components), (2, 1));
        let volume = 4.0 / 3.0 * std::f64::consts::PI * 0.7f64.powi(3);
        assert!((sphere.volume() / volume - 1.0).abs() < 8.0 / (side * side) as f64, "{}", sphere.volume());
        let torus = |[x, y, z]: [f32; 3]| 0.2 - ((x.hypot(y) - 0.6).powi(2) + z * z).sqrt();
        assert_eq!(Topology::of(&meshed(side, &sampled(side, torus))).euler_characteristic(), 0);
        let two = |at| ball([0.5; 3], 0.3, at).max(ball([-0.5; 3], 0.3, at));
        let topology = Topology::of(&meshed(side, &sampled(side, two)));
        assert_eq!((topology.euler_characteristic(), topology.components), (4, 2));
        let hollow = |at| ball([0.0; 3], 0.8, at).min(-ball([0.0; 3], 0.4, at));
        assert_eq!(Topology::of(&meshed(side, &sampled(side, hollow))).euler_characteristic(), 4);
    }
    let all = meshed(5, &[1.0; 125]);
    assert!(Topology::of(&all).is_watertight() && all.volume() > 8.0);
}

#[test]
fn any_number_of_threads_gives_the_same_mesh() {
    let values = sampled(30, |[x, y, z]| (5.0 * x).sin() * (7.0 * y).cos() + (6.0 * z).sin());
    let run = |threads| gyrus_kernels::with_threads(threads, || meshed(30, &values)).unwrap();
    assert!(run(1) == run(3));
}
