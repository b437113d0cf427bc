//! Blueprints in TOML: what is read must be written as something that reads the same.
#![no_main]

use gyrus_blueprint::Blueprint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(blueprint) = Blueprint::from_toml(text) {
        let written = blueprint.to_toml().expect("what was read can be written");
        let again = Blueprint::from_toml(&written).expect("what was written can be read");
        // As text, because a NaN does not equal itself.
        assert_eq!(written, again.to_toml().expect("and written again"));
    }
});
