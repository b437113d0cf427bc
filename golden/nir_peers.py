"""Runs NIR files that Gyrus wrote in snnTorch, Norse and sinabs, and counts how many answers are those of Gyrus.

    python golden/nir_peers.py inputs STEPS inputs.npy
    gyrus predict NET.nir inputs.npy --out ours.npy
    python golden/nir_peers.py snntorch|norse|sinabs|sinabs-single NET.nir inputs.npy ours.npy

The first writes the last 360 of the built-in digits, `[360, steps, 1, 8, 8]` with brightness from 0 to 1; the last imports the
file with the program's own importer, shows it every digit, one step after the other, and prints how many of the classes
(largest sum over the steps) and how many of the spikes or outputs agree. Files for a program are written with
`gyrus spike RUN --nir NET.nir --nir-for PROGRAM`.

sinabs' importer makes neurons that fire several times in a step; `sinabs-single` sets them to one spike after importing.

The programs do not live in one environment: sinabs 3.1 pins nir 1.0.4.
    pip install snntorch==1.0.* norse==1.1.* nir==1.0.8 nirtorch
    pip install sinabs==3.1.*
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import torch

DIGITS = Path(__file__).parents[1] / "crates/gyrus-data/data/optdigits.csv.gz"


def inputs(steps: int, file: str) -> None:
    rows = np.loadtxt(gzip.open(DIGITS, "rt"), delimiter=",")[-360:, :64]
    pixels = (np.round(rows * 255 / 16) / 255).astype(np.float32).reshape(-1, 1, 1, 8, 8)
    np.save(file, np.repeat(pixels, steps, axis=1))


def snntorch(file: str):
    import nir
    from snntorch import utils
    from snntorch.import_nir import import_from_nir

    net = import_from_nir(nir.read(file))

    def run(sample):
        # What it remembers between calls must be forgotten; nothing but neurons has a state.
        utils.reset(net)
        outputs = []
        state = None
        for x in sample:
            y = net(x, state)
            y, state = y if isinstance(y, tuple) else (y, None)
            outputs.append(y)
        return torch.stack(outputs)

    return run


def norse(file: str):
    import logging

    import nir
    import norse.torch

    logging.disable(logging.WARNING)
    net = norse.torch.from_nir(nir.read(file))

    def run(sample):
        state, outputs = None, []
        for x in sample:
            y, state = net(x, state)
            outputs.append(y)
        return torch.stack(outputs)

    return run


def sinabs(file: str, single: bool = False):
    import nir
    import sinabs.layers as sl
    from sinabs import reset_states
    from sinabs.activation import SingleSpike
    from sinabs.nir import from_nir

    net = from_nir(nir.read(file), batch_size=1)
    for layer in net.modules():
        if single and isinstance(layer, sl.LIF):
            layer.spike_fn = SingleSpike

    def run(sample):
        reset_states(net)
        output = net(sample)
        return output[0] if isinstance(output, tuple) else output

    return run


def check(program: str, file: str, given: str, ours: str) -> None:
    single = lambda file: sinabs(file, single=True)  # noqa: E731
    importers = {"snntorch": snntorch, "norse": norse, "sinabs": sinabs, "sinabs-single": single}
    run = importers[program](file)
    samples, expected = np.load(given), np.load(ours)
    classes = same = total = 0
    worst = 0.0
    with torch.no_grad():
        for sample, answer in zip(samples, expected, strict=True):
            got = run(torch.from_numpy(sample)).reshape(answer.shape).numpy()
            classes += int(got.sum(0).argmax() == answer.sum(0).argmax())
            close = np.isclose(got, answer, rtol=1e-4, atol=1e-4)
            same += int(close.sum())
            total += close.size
            worst = max(worst, float(np.abs(got - answer).max()))
    print(
        f"{program}: {classes} of {len(samples)} classes equal; {same} of {total} outputs equal to 1e-4, "
        f"largest difference {worst:.3g}"
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["inputs", steps, file]:
            inputs(int(steps), file)
        case [("snntorch" | "norse" | "sinabs" | "sinabs-single") as program, file, given, ours]:
            check(program, file, given, ours)
        case _:
            sys.exit(__doc__)
