"""Opens what `gyrus simulate` writes in the programs that neuroscience reads it with.

    gyrus simulate cuba --scale 0.5 --out /tmp/sonata
    gyrus simulate cuba --scale 0.5 --out /tmp/parquet --format parquet
    gyrus simulate cuba --scale 0.5 --out /tmp/csv --format csv
    python golden/simulation_files.py /tmp/sonata /tmp/parquet /tmp/csv

Needs h5py, pandas, pyarrow and libsonata. The three runs hold the same spikes; each program must see the same.
"""

import sys

import h5py
import libsonata
import pandas as pd

sonata, parquet, csv = sys.argv[1:4]
seen = {}
with h5py.File(f"{sonata}/spikes.h5") as file:
    for name, group in file["spikes"].items():
        assert group["timestamps"].attrs["units"] == "ms", name
        seen[name] = sorted(zip(group["node_ids"][:].tolist(), group["timestamps"][:].tolist()))
reader = libsonata.SpikeReader(f"{sonata}/spikes.h5")
for name in reader.get_population_names():
    assert sorted(reader[name].get()) == seen[name], f"libsonata, {name}"
for table in (pd.read_parquet(f"{parquet}/spikes.parquet"), pd.read_csv(f"{csv}/spikes.csv")):
    for name, rows in table.groupby("population"):
        assert sorted(zip(rows["neuron"], rows["time_ms"])) == seen[name], f"pandas, {name}"
print({name: len(spikes) for name, spikes in seen.items()})
