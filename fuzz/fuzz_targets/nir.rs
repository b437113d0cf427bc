//! No bytes make the NIR reader panic, run away or take memory beyond its limits; what it reads, the writer writes.

#![no_main]

use gyrus_blueprint::{Error, read_nir, write_nir};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(network) = read_nir(bytes.to_vec()) else { return };
    match write_nir(&network.blueprint, &network.parameters, network.time.unwrap_or_default()) {
        Ok((written, _)) => {
            let again = read_nir(written).expect("what was written is read");
            assert_eq!(again.blueprint.nodes().len(), network.blueprint.nodes().len());
            assert_eq!(again.parameters, network.parameters);
        }
        // A node may be called `.`, and a step may lie outside of what neurons can take.
        Err(Error::NoNirForm { .. } | Error::NumberOutOfRange { .. }) => {}
        Err(error) => panic!("{error}"),
    }
});
