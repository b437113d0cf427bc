"""The worker for works on pictures; see worker.py for requests and replies.

    python vision_worker.py pytorch|onnxruntime|dataloader|captum

Variants of PyTorch are "contiguous" and "channels_last", with "+fused" or "+foreach" for the optimizer; of the loader
"pillow" and "torchvision" (its own decoder and resizing of bytes).
"""

import sys
from pathlib import Path

from worker import Worker

# Work -> (network, purpose, batch size).
NETWORKS = {
    "resnet50-infer-1": ("resnet50", "infer", 1),
    "resnet50-infer-32": ("resnet50", "infer", 32),
    "mobilenetv2-infer-1": ("mobilenetv2", "infer", 1),
    "mobilenetv2-infer-32": ("mobilenetv2", "infer", 32),
    "efficientnet-lite0-infer-1": ("efficientnet-lite0", "infer", 1),
    "efficientnet-lite0-infer-32": ("efficientnet-lite0", "infer", 32),
    "vit-s16-infer-8": ("vit-s16", "infer", 8),
    "resnet18-tune-16": ("resnet18", "tune", 16),
    "efficientnet-lite0-tune-16": ("efficientnet-lite0", "tune", 16),
}
WORKS = {
    "pytorch": list(NETWORKS),
    "onnxruntime": [name for name, (_, purpose, _) in NETWORKS.items() if purpose == "infer"],
    "dataloader": ["jpeg-folder"],
    "captum": ["attribution-64"],
}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Trained:
    """A network of torchvision or timm: an inference, or a step of full fine-tuning."""

    def __init__(self, work, variant):
        import torch
        from vision_models import network

        name, purpose, batch = NETWORKS[work]
        layout, _, update = variant.partition("+")
        memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        self.model = network(name).to(memory_format=memory_format)
        self.input = torch.randn(batch, 3, 224, 224).contiguous(memory_format=memory_format)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        if purpose == "tune":
            self.model.train()
            self.target = torch.arange(batch) % 10
            self.optimizer = torch.optim.SGD(
                self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, **{update: True}
            )
            self.step = self._tune
        else:
            self.model.eval()
            self.step = self._infer

    def _infer(self):
        import torch

        with torch.inference_mode():
            self.model(self.input)

    def _tune(self):
        from torch.nn import functional

        self.optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(self.model(self.input), self.target).backward()
        self.optimizer.step()


class Session:
    """The exported network in onnxruntime."""

    def __init__(self, work, folder, threads):
        import numpy
        import onnxruntime

        name, _, batch = NETWORKS[work]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        path = str(Path(folder) / f"{name}.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = numpy.random.default_rng(0).standard_normal((batch, 3, 224, 224), dtype=numpy.float32)
        self.parameters = int((Path(folder) / f"{name}.parameters").read_text())

    def step(self):
        self.session.run(None, {"x": self.input})


class Folder:
    """A folder of JPEG files through DataLoader, once from the first batch to the last."""

    def __init__(self, folder, variant, threads):
        from torch.utils.data import DataLoader

        files = sorted((Path(folder) / "jpeg").iterdir())
        self.parameters = len(files)
        self.loader = DataLoader(
            Files(files, variant), batch_size=32, num_workers=threads, persistent_workers=True, prefetch_factor=2
        )

    def step(self):
        for _ in self.loader:
            pass


class Files:
    def __init__(self, files, variant):
        self.files, self.variant, self.transform = files, variant, None

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        import torch
        from torchvision import io, transforms
        from torchvision.transforms import v2

        if self.transform is None:
            torch.set_num_threads(1)
            if self.variant == "pillow":
                steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
                self.transform = transforms.Compose([*steps, transforms.Normalize(MEAN, DEVIATION)])
            else:
                steps = [v2.Resize(256, antialias=True), v2.CenterCrop(224), v2.ToDtype(torch.float32, scale=True)]
                self.transform = v2.Compose([*steps, v2.Normalize(MEAN, DEVIATION)])
        path = str(self.files[index])
        if self.variant == "pillow":
            from PIL import Image

            with Image.open(path) as picture:
                return self.transform(picture.convert("RGB"))
        return self.transform(io.decode_jpeg(io.read_file(path), mode=io.ImageReadMode.RGB))


class Explained:
    """Captum's integrated gradients, 50 steps, and Grad-CAM at the last block, of ResNet-20 on 64 pictures of 32 x 32."""

    def __init__(self, variant):
        import torch
        from captum.attr import IntegratedGradients, LayerGradCam
        from torch_works import resnet20

        layout, _, rows = variant.partition("+")
        memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        self.rows = int(rows)
        torch.manual_seed(0)
        self.model = resnet20().eval().to(memory_format=memory_format)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        self.input = torch.randn(64, 3, 32, 32).contiguous(memory_format=memory_format)
        self.target = torch.arange(64) % 10
        self.integrated = IntegratedGradients(self.model)
        self.grad_cam = LayerGradCam(self.model, self.model[-4])

    def step(self):
        self.integrated.attribute(
            self.input, target=self.target, n_steps=50, method="gausslegendre", internal_batch_size=self.rows
        )
        # Its gradient needs an input that asks for one, where no parameter does.
        self.grad_cam.attribute(self.input.clone().requires_grad_(), target=self.target)


class Vision(Worker):
    def __init__(self, library):
        import torch

        if library == "onnxruntime":
            import onnxruntime

            self.version = onnxruntime.__version__
        elif library == "captum":
            import captum

            self.version = captum.__version__
        else:
            self.version = torch.__version__
        super().__init__()
        self.library, self.works = library, WORKS[library]

    def variants(self, work):
        layouts = ["contiguous", "channels_last"]
        if self.library == "onnxruntime":
            return [""]
        if self.library == "dataloader":
            return ["pillow", "torchvision"]
        if self.library == "captum":
            return [f"{layout}+{rows}" for layout in layouts for rows in (64, 256)]
        if NETWORKS[work][1] == "tune":
            return [f"{layout}+{update}" for layout in layouts for update in ("fused", "foreach")]
        return layouts

    def choose(self, request):
        from torch_worker import configure, quiet_times

        variants = self.variants(request["work"])
        if len(variants) == 1:
            return {"variant": variants[0], "variants_us": {}}
        configure(request["threads"])
        # One after the other: two of these at once would not fit into small machines.
        quiet = {}
        for variant in variants:
            candidate = self.make(request, variant)
            quiet |= quiet_times({variant: candidate}, rounds=1)
            del candidate
        return {"variant": min(quiet, key=quiet.get), "variants_us": quiet}

    def create(self, request):
        from torch_worker import configure

        configure(request["threads"])
        return self.make(request, request["variant"])

    def make(self, request, variant):
        work, folder, threads = request["work"], request["file"], request["threads"]
        if self.library == "onnxruntime":
            return Session(work, folder, threads)
        if self.library == "dataloader":
            return Folder(folder, variant, threads)
        if self.library == "captum":
            return Explained(variant)
        return Trained(work, variant)


if __name__ == "__main__":
    Vision(sys.argv[1]).serve()
