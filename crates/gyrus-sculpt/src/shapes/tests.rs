//! Objects of every family: closed surfaces at several resolutions, exact occupancy, captions.

use super::*;
use crate::compare::{Inside, uniform};
use crate::{Quality, simplify};

fn all() -> impl Iterator<Item = Family> {
    Family::TRAINING.into_iter().chain([Family::HELD_OUT, Family::Stack])
}

#[test]
fn every_family_has_closed_surfaces_at_every_resolution_and_after_simplification() {
    for family in all() {
        for (seed, side) in [(0, 20), (1, 33), (2, 48)] {
            let mesh = family.object(seed).solid.mesh(side);
            for mesh in [simplify(&mesh, mesh.faces.len() / 4), mesh] {
                let quality = Quality::of(&mesh);
                let holds = quality.watertight && quality.manifold && quality.oriented;
                assert!(holds && quality.degenerate_faces == 0, "{family:?} {seed} at {side}: {quality:?}");
                let inside = mesh.positions.iter().flatten().all(|value| value.abs() < 0.99);
                assert!(inside, "{family:?} {seed} leaves its box");
            }
        }
    }
}

#[test]
fn the_genus_of_an_object_is_that_of_its_family() {
    for seed in 0..4 {
        for (family, euler) in
            [(Family::Dumbbell, 2), (Family::Snowman, 2), (Family::Lamp, 2), (Family::Arch, 2)]
        {
            let found = Quality::of(&family.object(seed).solid.mesh(64));
            assert_eq!((found.euler_characteristic, found.components), (euler, 1), "{family:?} {seed}");
        }
        // The handle of a mug is a way around.
        assert_eq!(
            Quality::of(&Family::Mug.object(seed).solid.mesh(96)).euler_characteristic,
            0,
            "mug {seed}"
        );
    }
}

#[test]
fn occupancy_agrees_with_the_surface_and_normals_with_the_distance() {
    for family in all() {
        let object = family.object(5);
        assert!(object == family.object(5) && object != family.object(6) && object.caption.starts_with('a'));
        let mesh = object.solid.mesh(64);
        let inside = Inside::new(&mesh);
        let (mut wrong, mut seen) = (0, 0);
        for index in 0..2000 {
            let at = [0, 1, 2].map(|axis| 1.8 * uniform(9, 3 * index + axis) - 0.9);
            let (distance, _) = object.solid.distance(at);
            // Within a cell of the surface the mesh is rounder.
            if distance.abs() > 2.0 / 63.0 {
                seen += 1;
                wrong += u32::from(inside.contains(at) != object.solid.contains(at));
            }
            // Half the distance towards the surface never crosses it, as distances are never too large.
            let normal = object.solid.normal(at);
            let moved = [0, 1, 2].map(|axis| at[axis] - 0.5 * distance * normal[axis]);
            assert!(object.solid.contains(moved) == object.solid.contains(at), "{family:?} at {at:?}");
        }
        assert!(wrong == 0 && seen > 1000, "{family:?}: {wrong} of {seen}");
    }
}

#[test]
fn bounds_hold_every_object_and_hardly_more() {
    let pairs = Stack::SEEN.into_iter().chain(Stack::UNSEEN).map(|stack| stack.object(1));
    for object in all().map(|family| family.object(7)).chain(pairs) {
        let (low, high) = object.solid.bounds();
        let (inner, outer) = object.solid.mesh(64).bounds();
        for axis in 0..3 {
            let over = [f64::from(inner[axis]) - low[axis], high[axis] - f64::from(outer[axis])];
            assert!(over.iter().all(|over| (-1e-6..0.09).contains(over)), "{}: {over:?}", object.caption);
        }
    }
}

#[test]
fn no_pair_is_both_seen_and_unseen_and_each_kind_is_seen_in_both_places() {
    assert!(Stack::UNSEEN.iter().all(|stack| !Stack::SEEN.contains(stack)));
    for stack in Stack::UNSEEN {
        let (top, bottom) = (|own: &&Stack| own.top == stack.top, |own: &&Stack| own.bottom == stack.bottom);
        assert_eq!(
            (Stack::SEEN.iter().filter(top).count(), Stack::SEEN.iter().filter(bottom).count()),
            (4, 4)
        );
    }
}
