//! AEDAT 2.0, what jAER records: lines that begin with `#`, then events of 8 bytes, big-endian: address, time in µs.
//!
//! What an address means depends on the chip, which the line `# AEChip: ...` names; without one it is taken for a DVS128,
//! as jAER does.
//!
//! | chip | sensor | column | row | brighter | not an event |
//! |---|---|---|---|---|---|
//! | DVS128 | 128 × 128 | bits 7-1 | bits 14-8 | bit 0 | bit 15 (external) |
//! | DAVIS240 | 240 × 180 | bits 21-12 | bits 30-22 | bit 11 | bit 31 (frame or IMU), bit 10 (external) |
//! | DAVIS346 | 346 × 260 | as DAVIS240 | | | |
//! | DAVIS640 | 640 × 480 | as DAVIS240 | | | |
//!
//! Addresses are kept as they are stored, with (0, 0) in the lower left corner; jAER mirrors the columns for display.
//! Times are signed 32-bit numbers that the format guarantees to be monotonous; when the counter passes 2³¹ it goes on
//! at −2³¹, which is undone here. Source:
//! <https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-2.0.html>. The table follows this
//! page; jAER's own code for the DVS128 reads bit 0 the other way round.

use std::path::Path;

use super::{Events, Format, Recorder, header, records};
use crate::{Error, Result};

const HALF_WRAP: i64 = 1 << 31;

/// Reads a whole file; `path` is for the errors.
///
/// # Errors
/// [`Error::Format`] with the byte for an unknown chip, a last event that is cut off, one outside of the sensor, or time
/// that goes back.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Events> {
    let (start, lines) = header(bytes, b"#", "#End Of ASCII Header");
    let chip = lines.iter().find_map(|line| line.strip_prefix("# AEChip:")).map_or("DVS128", str::trim);
    let davis = |width, height| (Some((width, height)), true);
    let (size, davis) = match chip.to_ascii_uppercase() {
        chip if chip.contains("DAVIS240") => davis(240, 180),
        chip if chip.contains("DAVIS346") => davis(346, 260),
        chip if chip.contains("DAVIS640") => davis(640, 480),
        chip if chip.contains("DVS128") => (Some((128, 128)), false),
        _ => {
            let at = bytes.windows(9).position(|window| window == b"# AEChip:").unwrap_or(0);
            let expected = "DVS128, DAVIS240, DAVIS346 or DAVIS640";
            return Err(Error::format(path, at as u64, format!("the chip {chip:?}"), expected));
        }
    };
    let mut recorder = Recorder::new(path, size);
    let (mut base_us, mut last) = (0_i64, i64::MIN);
    for (offset, record) in records::<8>(bytes, start, path)? {
        let [a0, a1, a2, a3, t0, t1, t2, t3] = *record;
        let address = u32::from_be_bytes([a0, a1, a2, a3]);
        let time = i64::from(i32::from_be_bytes([t0, t1, t2, t3]));
        let bits = |low: u32, count: u32| (address >> low & ((1 << count) - 1)) as u16;
        if last != i64::MIN && time - last < -HALF_WRAP {
            base_us += 2 * HALF_WRAP;
        }
        last = time;
        let time_us = base_us + time;
        if davis {
            if bits(31, 1) == 0 && bits(10, 1) == 0 {
                recorder.push(offset, time_us, bits(12, 10), bits(22, 9), bits(11, 1) == 1)?;
            }
        } else if bits(15, 1) == 0 {
            recorder.push(offset, time_us, bits(1, 7), bits(8, 7), bits(0, 1) == 1)?;
        }
    }
    Ok(recorder.finish(Format::Aedat2))
}
