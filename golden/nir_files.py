"""Writes crates/gyrus-blueprint/tests/golden/nir/*.nir with the Python package nir, or checks files that Gyrus wrote.

Run anywhere with `pip install -r golden/requirements.txt`, then

    python golden/nir_files.py
    GYRUS_NIR_OUT=FOLDER cargo test -p gyrus-blueprint --test all -- nir_written::
    python golden/nir_files.py --check FOLDER

The second and third let Gyrus write a file for each kind of node beside a JSON of what should be in it, and read every
one with `nir.read`, types inferred (unless the JSON says that nir infers them wrongly). Numbers must be equal to the bit.

    python golden/nir_files.py --braille .../data/nir/braille_noDelay_bias_zero.nir

lets Norse run the recurrent network of the NIR paper on made-up spikes and writes what it answers to
crates/gyrus-nn/tests/golden/nir_braille.json. (The spikes that the paper ran it on are not among its files.)

Weights are a pattern that the Rust tests compute as well: element i is ((7 i) mod 11 - 5) / 8.
"""

import argparse
import json
from pathlib import Path

import h5py
import nir
import numpy as np
from nir.serialization import read_version

GOLDEN = Path(__file__).parents[1] / "crates/gyrus-blueprint/tests/golden/nir"


def pattern(*shape: int) -> np.ndarray:
    elements = np.arange(np.prod(shape))
    return (((7 * elements) % 11 - 5) / 8).astype(np.float32).reshape(shape)


def same(shape: tuple, value: float) -> np.ndarray:
    return np.full(shape, value)


def varied(shape: tuple, start: float, step: float) -> np.ndarray:
    """start, start + step, ... in single precision, four different numbers."""
    elements = np.arange(np.prod(shape)) % 4
    return (start + step * elements).astype(np.float32).reshape(shape)


def pictures() -> nir.NIRGraph:
    """Everything on [channels, height, width]."""
    first, second, last = (4, 8, 6), (2, 4, 2), (3,)
    return nir.NIRGraph(
        nodes={
            "input": nir.Input(np.array([2, 8, 6])),
            "conv": nir.Conv2d((8, 6), pattern(4, 2, 3, 3), 1, "same", 1, 1, pattern(4)),
            "if": nir.IF(same(first, 1.0), varied(first, 1.0, 0.25), same(first, 0.0)),
            "sum": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
            "conv2": nir.Conv2d((4, 3), pattern(2, 4, 3, 3), (1, 2), (1, 1), (1, 1), 1, pattern(2)),
            "lif": nir.LIF(
                same(second, 0.02), same(second, 1.5), same(second, 0.1), same(second, 1.0), same(second, -0.2)
            ),
            "avg": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
            "flat": nir.Flatten({"input": np.array([2, 2, 1])}, 0, -1),
            "fc": nir.Affine(pattern(3, 4), pattern(3)),
            "cuba": nir.CubaLIF(
                varied(last, 0.005, 0.001), same(last, 0.01), same(last, 2.0), same(last, 0.0), same(last, 1.25)
            ),
            "output": nir.Output(np.array([3])),
        },
        edges=[
            ("input", "conv"),
            ("conv", "if"),
            ("if", "sum"),
            ("sum", "conv2"),
            ("conv2", "lif"),
            ("lif", "avg"),
            ("avg", "flat"),
            ("flat", "fc"),
            ("fc", "cuba"),
            ("cuba", "output"),
        ],
    )


def signals() -> nir.NIRGraph:
    """Everything on [channels, length], and branches that add up."""
    shape, out = (4, 6), (5,)
    return nir.NIRGraph(
        nodes={
            "input": nir.Input(np.array([2, 12])),
            "conv": nir.Conv1d(12, pattern(4, 2, 3), 2, 1, 1, 1, pattern(4)),
            "scale": nir.Scale(pattern(*shape)),
            "threshold": nir.Threshold(same(shape, 0.25)),
            "delay": nir.Delay(same(shape, 0.003)),
            "flat": nir.Flatten({"input": np.array(shape)}, 0, 1),
            "fc": nir.Linear(pattern(5, 24)),
            "i": nir.I(same(out, 1.0)),
            "li": nir.LI(same(out, 0.01), same(out, 1.0), same(out, 0.0)),
            "cubali": nir.CubaLI(same(out, 0.002), same(out, 0.01), same(out, 1.0), same(out, 0.0), 0.5),
            "output": nir.Output(np.array([5])),
        },
        edges=[
            ("input", "conv"),
            ("conv", "scale"),
            ("scale", "threshold"),
            ("threshold", "delay"),
            ("delay", "flat"),
            ("flat", "fc"),
            ("fc", "i"),
            ("fc", "li"),
            ("fc", "cubali"),
            ("i", "output"),
            ("li", "output"),
            ("cubali", "output"),
        ],
    )


def nested() -> nir.NIRGraph:
    """A recurrent graph within a graph."""
    shape = (4,)
    inner = nir.NIRGraph(
        nodes={
            "input": nir.Input(np.array([3])),
            "fc": nir.Affine(pattern(4, 3), pattern(4)),
            "lif": nir.CubaLIF(
                same(shape, 0.005), same(shape, 0.01), same(shape, 1.0), same(shape, 0.0), same(shape, 1.0)
            ),
            "w_rec": nir.Linear(pattern(4, 4)),
            "output": nir.Output(np.array([4])),
        },
        edges=[("input", "fc"), ("fc", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )
    return nir.NIRGraph(
        nodes={
            "input": nir.Input(np.array([3])),
            "hidden": inner,
            "fc": nir.Linear(pattern(2, 4)),
            "output": nir.Output(np.array([2])),
        },
        edges=[("input", "hidden"), ("hidden", "fc"), ("fc", "output")],
    )


def differing() -> nir.NIRGraph:
    """A delay and a threshold that differ between elements."""
    return nir.NIRGraph(
        nodes={
            "input": nir.Input(np.array([4])),
            "delay": nir.Delay(np.array([0.001, 0.002, 0.001, 0.003])),
            "threshold": nir.Threshold(np.array([-0.5, 0.5, 0.5, 2.0])),
            "output": nir.Output(np.array([4])),
        },
        edges=[("input", "delay"), ("delay", "threshold"), ("threshold", "output")],
    )


def bare() -> nir.NIRGraph:
    """Neither Input nor Output."""
    shape = (2,)
    return nir.NIRGraph(
        nodes={
            "fc": nir.Linear(pattern(2, 3)),
            "lif": nir.LIF(same(shape, 0.02), same(shape, 1.0), same(shape, 0.0), same(shape, 1.0)),
        },
        edges=[("fc", "lif")],
        type_check=False,
    )


def hostile() -> None:
    """Files that no library writes by itself: a group within itself, and weights that are only announced."""
    with h5py.File(GOLDEN / "bare.nir") as good:
        for name in ["loop", "huge"]:
            with h5py.File(GOLDEN / f"{name}.nir", "w") as bad:
                for item in good:
                    good.copy(item, bad)
                if name == "loop":
                    bad["node/nodes/again"] = bad["node"]
                else:
                    del bad["node/nodes/fc/weight"]
                    fc = bad["node/nodes/fc"]
                    fc.create_dataset("weight", (1 << 24, 1 << 24), "f4", chunks=(64, 64), compression="gzip")


def write() -> None:
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for graph in [pictures, signals, nested, differing]:
        nir.write(GOLDEN / f"{graph.__name__}.nir", graph())
    nir.write(GOLDEN / "bare.nir", bare(), compression=None)
    hostile()


def equal(got, expected: dict) -> bool:
    """One field, whose JSON holds its shape and its numbers or text."""
    if "text" in expected:
        return got == expected["text"]
    got = np.asarray(got)
    return list(got.shape) == expected["shape"] and got.flatten().tolist() == expected["values"]


def check(folder: Path) -> None:
    files = sorted(folder.glob("*.nir"))
    assert files, f"{folder} has no .nir file"
    for file in files:
        expected = json.loads(file.with_suffix(".json").read_text())
        graph = nir.read(file, type_check=expected["type_check"])
        if not expected["type_check"]:
            try:
                nir.read(file)
                raise AssertionError(f"{file}: nir infers its shapes by now; the warning in write.rs can go")
            except ValueError:
                pass
        assert read_version(file) == "1.0.8", file
        assert set(graph.nodes) == set(expected["nodes"]), (file, set(graph.nodes))
        edges = [list(edge) for edge in graph.edges]
        assert sorted(edges) == sorted(expected["edges"]), (file, edges)
        for name, wanted in expected["nodes"].items():
            node = graph.nodes[name]
            assert type(node).__name__ == wanted["type"], (file, name, type(node))
            fields = node.to_dict()
            for field, value in wanted["fields"].items():
                assert equal(fields[field], value), (file, name, field, fields[field], value)
            assert set(node.metadata) == set(wanted["metadata"]), (file, name, node.metadata)
            for field, value in wanted["metadata"].items():
                assert equal(node.metadata[field], value), (file, name, field, node.metadata[field])
        print(f"{file.name}: {len(graph.nodes)} nodes as they should be")


def braille(file: Path) -> None:
    """Steps of 0.1 ms; the spikes are pairs (step, channel) of 256 steps of the 12 inputs and of the 7 outputs."""
    import norse.torch
    import torch

    graph = nir.read(file)
    # Norse does not run what closes a cycle at the first step, not even its bias, which Gyrus adds from the first step
    # on. Moved to the node before, the bias is there at every step in both.
    graph.nodes["fc1"].bias = graph.nodes["fc1"].bias + graph.nodes["lif1.w_rec"].bias
    graph.nodes["lif1.w_rec"].bias = np.zeros(38, np.float32)
    network = norse.torch.from_nir(graph, dt=1e-4)
    spikes = np.random.default_rng(0).random((256, 12)) < 0.15
    state, answer = None, []
    with torch.no_grad():
        for step in torch.from_numpy(spikes).float():
            out, state = network(step[None], state)
            answer.append(out[0].numpy())
    pairs = {"input": np.argwhere(spikes).tolist(), "output": np.argwhere(np.array(answer)).tolist()}
    golden = Path(__file__).parents[1] / "crates/gyrus-nn/tests/golden/nir_braille.json"
    golden.write_text(json.dumps(pairs) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--braille", type=Path, metavar="FILE")
    parser.add_argument("--check", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.check is not None:
        check(arguments.check)
    elif arguments.braille is not None:
        braille(arguments.braille)
    else:
        write()


if __name__ == "__main__":
    main()
