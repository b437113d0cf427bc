"""Writes crates/gyrus-vision/tests/golden/onnx: small ONNX files with the outputs that onnxruntime computes, and files that must be
refused. Needs `onnx`, `onnxruntime`, `timm`, `transformers` and `onnxscript` beside golden/requirements.txt; then
`python golden/onnx_files.py`.
"""

import io
import json
from pathlib import Path

import numpy
import onnx
import onnxruntime
import timm
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).parents[1] / "crates/gyrus-vision/tests/golden/onnx"
RANDOM = numpy.random.default_rng(3)


def weight(name: str, *shape: int, positive: bool = False) -> TensorProto:
    fan_in = numpy.prod(shape[1:]) if len(shape) > 1 else 1
    values = RANDOM.normal(size=shape) * (1.5 / fan_in) ** 0.5
    values = numpy.abs(values) + 0.5 if positive else values
    return numpy_helper.from_array(values.astype(numpy.float32), name)


def norm(name: str, channels: int) -> list:
    return [weight(f"{name}.{part}", channels, positive=part in ("weight", "var")) for part in ("weight", "bias", "mean", "var")]


def model(name: str, nodes: list, stored: list, shape: list, outputs: int = 5) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    inputs, answers = [value("picture", TensorProto.FLOAT, shape)], [value("scores", TensorProto.FLOAT, [shape[0], outputs])]
    graph = helper.make_graph(nodes, name, inputs, answers, initializer=stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def residual() -> onnx.ModelProto:
    node = helper.make_node
    nodes = [
        node("Conv", ["picture", "stem.weight"], ["c1"], pads=[0, 0, 1, 1], strides=[2, 2]),
        node("BatchNormalization", ["c1", "n1.weight", "n1.bias", "n1.mean", "n1.var"], ["b1"], epsilon=1e-3),
        node("Clip", ["b1", "zero", "six"], ["r1"]),
        node("MaxPool", ["r1"], ["p1"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Conv", ["p1", "deep.weight", "deep.bias"], ["c2"], pads=[1, 1, 1, 1], group=8),
        node("HardSwish", ["c2"], ["h2"]),
        node("GlobalAveragePool", ["h2"], ["squeezed"]),
        node("Conv", ["squeezed", "reduce.weight", "reduce.bias"], ["reduced"]),
        node("Relu", ["reduced"], ["rectified"]),
        node("Conv", ["rectified", "expand.weight", "expand.bias"], ["expanded"]),
        node("Sigmoid", ["expanded"], ["gate"]),
        node("Mul", ["h2", "gate"], ["excited"]),
        node("Conv", ["excited", "narrow.weight"], ["c3"]),
        node("BatchNormalization", ["c3", "n3.weight", "n3.bias", "n3.mean", "n3.var"], ["b3"]),
        node("Add", ["b3", "p1"], ["s3"]),
        node("Relu", ["s3"], ["r3"]),
        node("Add", ["r3", "p1"], ["s4"]),
        node("AveragePool", ["s4"], ["a4"], kernel_shape=[2, 2], strides=[1, 1]),
        node("Tanh", ["s4"], ["t4"]),
        node("ReduceMean", ["a4"], ["m4"], axes=[-2, -1], keepdims=1),
        node("GlobalAveragePool", ["t4"], ["m5"]),
        node("Add", ["m4", "m5"], ["m6"]),
        node("Flatten", ["m6"], ["flat"]),
        node("Gemm", ["flat", "head.weight", "head.bias"], ["scores"], transB=1),
    ]
    stored = [weight("stem.weight", 8, 3, 3, 3), *norm("n1", 8), weight("deep.weight", 8, 1, 3, 3), weight("deep.bias", 8)]
    stored += [weight("reduce.weight", 2, 8, 1, 1), weight("reduce.bias", 2), weight("expand.weight", 8, 2, 1, 1), weight("expand.bias", 8)]
    stored += [weight("narrow.weight", 8, 8, 1, 1), *norm("n3", 8), weight("head.weight", 5, 8), weight("head.bias", 5)]
    stored += [numpy_helper.from_array(numpy.float32(value), name) for name, value in (("zero", 0), ("six", 6))]
    return model("residual", nodes, stored, [1, 3, 17, 17])


def product() -> onnx.ModelProto:
    node = helper.make_node
    nodes = [
        node("Conv", ["picture", "w", "b"], ["c1"], auto_pad="SAME_UPPER", name="first"),
        node("Relu", ["c1"], ["r1"]),
        node("Constant", [], ["shape"], value=numpy_helper.from_array(numpy.array([-1, 4 * 6 * 6]), "")),
        node("Reshape", ["r1", "shape"], ["flat"]),
        node("MatMul", ["flat", "m"], ["product"]),
        node("Add", ["product", "bias"], ["sum"]),
        node("Softmax", ["sum"], ["scores"], axis=-1),
    ]
    stored = [weight("w", 4, 3, 4, 4), weight("b", 4), weight("m", 4 * 6 * 6, 5), weight("bias", 5)]
    return model("product", nodes, stored, ["batch", 3, 6, 6])


def exported() -> dict[str, onnx.ModelProto]:
    """Small networks of timm and transformers, as PyTorch's two exporters write them."""
    torch.manual_seed(5)
    sizes = dict(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=2, mlp_ratio=2, num_classes=5)
    vit = timm.models.vision_transformer.VisionTransformer
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, image_size=16, patch_size=4, num_labels=5
    )
    networks = {
        "vit_timm_script": vit(**sizes),
        "vit_timm_plain_dynamo": vit(**sizes, init_values=0.5),
        "vit_timm_mean_dynamo": vit(**sizes, global_pool="avg", class_token=False),
        "vit_transformers_script": transformers.ViTForImageClassification(config),
        "vit_transformers_dynamo": transformers.ViTForImageClassification(config),
        "convnext_timm_script": timm.models.convnext.ConvNeXt(dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), num_classes=5),
    }
    made = {}
    for name, network in networks.items():
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        for part in network.modules():
            if "plain" in name and hasattr(part, "fused_attn"):
                part.fused_attn = False
        side = 32 if name.startswith("convnext") else 16
        picture, settings = torch.zeros(1, 3, side, side), dict(input_names=["picture"], output_names=["scores"])
        if name.endswith("script"):
            settings.update(opset_version=17, dynamic_axes={"picture": {0: "batch"}} if name.startswith("vit_timm") else None)
            stream = io.BytesIO()
            torch.onnx.export(network.eval(), (picture,), stream, dynamo=False, **settings)
            model = onnx.load_from_string(stream.getvalue())
        else:
            model = torch.onnx.export(network.eval(), (picture,), dynamo=True, **settings).model_proto
        model.graph.name = name
        for node in model.graph.node:
            del node.metadata_props[:]
        made[name] = model
    return made


def refused() -> dict[str, onnx.ModelProto]:
    node = helper.make_node
    w = lambda: weight("w", 5, 3, 1, 1)
    gap = [node("GlobalAveragePool", ["c"], ["g"]), node("Flatten", ["g"], ["scores"])]
    conv = node("Conv", ["picture", "w"], ["c"], name="conv")
    unknown = [conv, node("Erf", ["c"], ["e"], name="the-erf"), node("GlobalAveragePool", ["e"], ["g"]), node("Flatten", ["g"], ["scores"])]
    cycle = [node("Add", ["picture", "c"], ["a"], name="the-sum"), node("Conv", ["a", "w"], ["c"]), *gap]
    outside = weight("w", 5, 3, 1, 1)
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../../../../secret")
    absurd = weight("w", 5, 3, 1, 1)
    absurd.dims[0] = 1 << 60
    turned = [node("Transpose", ["picture"], ["t"], perm=[0, 2, 3, 1], name="turn"), node("Conv", ["t", "w"], ["c"]), *gap]
    shape = [1, 3, 6, 6]
    return dict(
        unknown=model("unknown", unknown, [w()], shape),
        cycle=model("cycle", cycle, [w()], shape),
        outside=model("outside", [conv, *gap], [outside], shape),
        absurd=model("absurd", [conv, *gap], [absurd], shape),
        turned=model("turned", turned, [w()], shape),
        loose=model("loose", [conv, *gap], [w()], [1, 3, "height", "width"]),
    )


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    cases = []
    for made in (residual(), product(), *exported().values()):
        onnx.checker.check_model(made)
        path = FOLDER / f"{made.graph.name}.onnx"
        onnx.save(made, path)
        side = made.graph.input[0].type.tensor_type.shape.dim[2].dim_value
        index = numpy.arange(3 * side * side)
        picture = ((index * 37 % 101 - 50) / 32).astype(numpy.float32).reshape(1, 3, side, side)
        scores = onnxruntime.InferenceSession(path).run(None, {"picture": picture})[0]
        cases.append(dict(name=made.graph.name, side=side, scores=[float(f"{score:.9g}") for score in scores[0].tolist()]))
        print(path, path.stat().st_size, scores)
    for name, made in refused().items():
        (FOLDER / f"{name}.onnx").write_bytes(made.SerializeToString())
    made_by = f"golden/onnx_files.py with onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}"
    (FOLDER / "scores.json").write_text(json.dumps(dict(made_by=made_by, cases=cases)) + "\n")


if __name__ == "__main__":
    main()
