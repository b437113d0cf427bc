//! What `--version` says: the version; in its long form also the commit, the features and the devices of this build.

/// Cargo features of this build.
const FEATURES: [(&str, bool); 2] = [("hub", cfg!(feature = "hub")), ("program", true)];

/// Devices, and whether this build has them.
const DEVICES: [(&str, bool); 5] = [
    ("cpu", true),
    ("cuda", cfg!(feature = "cuda")),
    ("wgpu", cfg!(feature = "wgpu")),
    ("vulkan", cfg!(feature = "vulkan")),
    ("metal", cfg!(feature = "metal")),
];

/// `-V`.
pub(crate) fn short() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// `--version`. Built once for each process.
pub(super) fn long() -> &'static str {
    let built = |all: &[(&str, bool)]| -> String {
        let built: Vec<&str> = all.iter().filter(|one| one.1).map(|one| one.0).collect();
        built.join(", ")
    };
    let commit =
        option_env!("GYRUS_BUILT_FROM").map_or(String::new(), |commit| format!("\ncommit    {commit}"));
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let text = format!(
        "{}{commit}\nfeatures  {}\ndevices   {}\nsystem    {system}",
        short(),
        built(&FEATURES),
        built(&DEVICES)
    );
    text.leak()
}
