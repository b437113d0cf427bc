//! Surrogate gradients by name.

use gyrus_tensor::Surrogate;

/// The names of all surrogates.
pub const SURROGATE_NAMES: [&str; 6] =
    ["atan", "fast-sigmoid", "triangular", "gaussian", "multi-gaussian", "boxcar"];

/// The surrogate of this name with the parameters of its paper, or with another width: `NAME:NUMBER`.
#[must_use]
pub fn surrogate(name: &str) -> Option<Surrogate> {
    let (name, number) = match name.split_once(':') {
        Some((name, number)) => {
            (name, Some(number.parse::<f32>().ok().filter(|n| n.is_finite() && *n > 0.0)?))
        }
        None => (name, None),
    };
    let or = |default: f32| number.unwrap_or(default);
    Some(match name {
        "atan" => Surrogate::Atan { alpha: or(2.0) },
        "fast-sigmoid" => Surrogate::FastSigmoid { slope: or(10.0) },
        "triangular" => Surrogate::Triangular { width: or(1.0) },
        "gaussian" => Surrogate::Gaussian { sigma: or(0.5) },
        "multi-gaussian" => Surrogate::MultiGaussian { h: 0.15, s: 6.0, sigma: or(0.5) },
        "boxcar" => Surrogate::Boxcar { width: or(0.5) },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrogates_by_name() {
        assert!(SURROGATE_NAMES.iter().all(|name| surrogate(name).is_some()));
        assert!(matches!(surrogate("atan:3"), Some(Surrogate::Atan { alpha: 3.0 })));
        assert!(surrogate("atan:-3").is_none() && surrogate("step").is_none());
    }
}
