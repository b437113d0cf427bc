"""The worker of one library of spiking networks: `snn_worker.py snntorch`, `spikingjelly` or `norse`.

See worker.py for requests and replies; "choose" and "setup" name the file of pictures as "file";
for the event-driven works that is the folder with the trained network and the pictures.
"import_bytes" is the resident size right after the library, and with it PyTorch, was imported.
"""

import importlib
import importlib.metadata
import sys
import warnings

with warnings.catch_warnings():
    # torch.jit.script, which two of the libraries use, announces its deprecation.
    warnings.simplefilter("ignore")
    PEER = sys.argv[1]
    importlib.import_module({"spikingjelly": "spikingjelly.activation_based.neuron"}.get(PEER, PEER))

from torch_worker import configure, quiet_times
from worker import Worker


class Spiking(Worker):
    version = importlib.metadata.version(PEER)

    def __init__(self):
        super().__init__()
        import snn_works

        self.snn_works = snn_works
        self.works = [*snn_works.WORKS, "events-mnist-infer-1"]

    def variants(self, name):
        return ["multi-step"] if name.startswith("events-") else self.snn_works.variants(name)

    def choose(self, request):
        configure(request["threads"])
        variants = self.variants(request["work"])
        if len(variants) == 1:
            return {"variant": variants[0], "variants_us": {}}
        quiet = quiet_times({variant: self.create({**request, "variant": variant}) for variant in variants})
        return {"variant": min(quiet, key=quiet.get), "variants_us": quiet}

    def create(self, request):
        configure(request["threads"])
        if request["work"].startswith("events-"):
            import event_works

            return event_works.Work(request["file"])
        return self.snn_works.Work(request["work"], PEER, request["variant"], request["file"])


if __name__ == "__main__":
    Spiking().serve()
