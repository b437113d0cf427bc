"""Small files of events in formats of which no recording is at hand, and what is in them.

Written from the formats' specifications (AEDAT 2.0 and 3.1), by h5py (SHD, with the structure of the published files) and
by iniVation's dv-processing (AEDAT 4.0), for `crates/gyrus-data/tests/recordings.rs`.
"""

import json
import math
import struct
from pathlib import Path

import dv_processing
import h5py
import numpy

OUT = Path(__file__).resolve().parents[1] / "crates" / "gyrus-data" / "tests" / "golden"
random = numpy.random.default_rng(20260)


def draw(count, width, height, first_us, last_us):
    """Events in the order of time: [time in µs, column, row, brighter]."""
    times = numpy.sort(random.integers(first_us, last_us, count))
    columns, rows = random.integers(0, width, count), random.integers(0, height, count)
    # The corners are where a mask or a shift that is off by one shows.
    columns[:4], rows[:4] = (0, width - 1, 0, width - 1), (0, 0, height - 1, height - 1)
    on = random.integers(0, 2, count)
    return [[int(value) for value in event] for event in zip(times, columns, rows, on)]


def aedat2(name, chip, encode, events, others):
    text = "#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# AEChip: " + chip + "\r\n"
    body = b""
    for index, (time, x, y, on) in enumerate(events):
        if index in others:
            body += struct.pack(">II", others[index], time % 2**32)
        body += struct.pack(">II", encode(x, y, on), time % 2**32)
    (OUT / name).write_bytes(text.encode() + body)


def aedat3(name, events):
    """Packets of polarity events with one invalid event each, and a packet of special events between them."""
    text = "#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DAVIS240C\r\n#Start-Time: 2020-01-01 00:00:00 (TZ+0000)\r\n"
    body = text.encode() + b"#!END-HEADER\r\n"
    for overflow in (0, 1):
        part = [event for event in events if event[0] >> 31 == overflow]
        data = struct.pack("<II", 0, part[0][0] % 2**31)
        for time, x, y, on in part:
            data += struct.pack("<II", x << 17 | y << 2 | on << 1 | 1, time % 2**31)
        count = len(part) + 1
        body += struct.pack("<HHIIIIII", 1, 1, 8, 4, overflow, count, count, count - 1) + data
        body += struct.pack("<HHIIIIII", 0, 1, 8, 4, overflow, 1, 1, 1) + struct.pack("<II", 3, 5)
    (OUT / name).write_bytes(body)


def aedat4(name, compression, events):
    camera = dv_processing.io.MonoCameraWriter.EventOnlyConfig("golden", (346, 260), compression)
    writer = dv_processing.io.MonoCameraWriter(str(OUT / name), camera)
    store = dv_processing.EventStore()
    for time, x, y, on in events:
        store.push_back(time, x, y, bool(on))
    writer.writeEvents(store)


def shd(name, time_type, unit_type, keys, labels):
    recordings = []
    with h5py.File(OUT / name, "w") as file:
        spikes = file.create_group("spikes")
        times = spikes.create_dataset("times", (len(labels),), h5py.vlen_dtype(time_type))
        units = spikes.create_dataset("units", (len(labels),), h5py.vlen_dtype(unit_type))
        for index in range(len(labels)):
            count = 40 if index else 0
            seconds = random.uniform(0, 1.2, count).astype(time_type)
            channels = random.integers(0, 700, count).astype(unit_type)
            times[index], units[index] = seconds, channels
            # Half a microsecond is rounded up, where Python's round would take the even one.
            events = [[math.floor(float(t) * 1e6 + 0.5), int(c)] for t, c in zip(seconds, channels)]
            recordings.append(sorted(events, key=lambda event: event[0]))
        file.create_dataset("labels", data=numpy.array(labels, numpy.uint16))
        extra = file.create_group("extra")
        extra.create_dataset("speaker", data=numpy.zeros(len(labels), numpy.uint16))
        if keys:
            extra.create_dataset("keys", data=keys, dtype=h5py.string_dtype())
    return {"labels": labels, "classes": keys, "recordings": recordings}


def main():
    OUT.mkdir(exist_ok=True)
    expected = {}
    # Bit 15 marks an external event.
    events = expected["dvs128.aedat"] = draw(60, 128, 128, 1000, 90_000)
    aedat2("dvs128.aedat", "ch.unizh.ini.jaer.chip.retina.DVS128",
           lambda x, y, on: y << 8 | x << 1 | on, events, {5: 1 << 15})
    # The 32-bit clock passes its end; bit 31 marks a sample of a frame, bit 10 an external event.
    events = expected["davis240.aedat"] = draw(60, 240, 180, 2**31 - 5000, 2**31 + 5000)
    aedat2("davis240.aedat", "eu.seebetter.ini.chips.davis.DAVIS240C",
           lambda x, y, on: y << 22 | x << 12 | on << 11, events, {7: 1 << 31 | 77, 9: 1 << 10})
    events = expected["davis240.aedat3"] = draw(60, 240, 180, 2**31 - 4000, 2**31 + 4000)
    aedat3("davis240.aedat3", events)
    for name, compression in [
        ("plain.aedat4", dv_processing.CompressionType.NONE),
        ("lz4.aedat4", dv_processing.CompressionType.LZ4),
        ("zstandard.aedat4", dv_processing.CompressionType.ZSTD),
    ]:
        expected[name] = draw(60, 346, 260, 1_600_000_000_000_000, 1_600_000_000_090_000)
        aedat4(name, compression, expected[name])
    files = {
        "shd_train.h5": shd("shd_train.h5", numpy.float16, numpy.uint16, ["zero", "one", "null"], [2, 0, 1, 0, 2, 1]),
        "shd_test.h5": shd("shd_test.h5", numpy.float16, numpy.uint16, ["zero", "one", "null"], [1, 2, 0]),
        "ssc_valid.h5": shd("ssc_valid.h5", numpy.float32, numpy.int64, None, [0, 1, 1]),
    }
    (OUT / "events.json").write_text(json.dumps({"events": expected, "cochlea": files}) + "\n")


if __name__ == "__main__":
    main()
