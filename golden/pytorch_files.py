"""Writes crates/gyrus-formats/tests/golden/pytorch.bin and others: what torch.save makes now and made
before version 1.6, and a pickle that runs code.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/pytorch_files.py`.
"""

import collections
import pathlib

import torch


class Evil:
    def __reduce__(self):
        return print, ("this was run",)


def main() -> None:
    folder = pathlib.Path(__file__).parents[1] / "crates/gyrus-formats/tests/golden"
    base = torch.arange(24.0) / 8
    state = collections.OrderedDict(
        matrix=base.reshape(4, 6),
        rows=base.reshape(4, 6)[2:],
        half=(base[:6] - 1).half(),
        bfloat=torch.nn.Parameter((base[:6] * 100).bfloat16()),
        scalar=torch.tensor(2.5),
    )
    state._metadata = {"": {"version": 1}}
    torch.save(dict(epoch=300, loss=0.5, name="test", state_dict=state, steps=[1, -2, 1 << 40]), folder / "pytorch.bin")
    torch.save(dict(matrix=base, surprise=Evil()), folder / "evil.bin")
    torch.save(dict(turned=base.reshape(4, 6).T), folder / "turned.bin")
    torch.save(dict(repeated=base[:1].expand(400)), folder / "repeated.bin")
    everything = dict(epoch=300, loss=0.5, name="test", state_dict=state, steps=[1, -2, 1 << 40])
    torch.save(everything, folder / "legacy.th", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
