# SPDX-License-Identifier: Apache-2.0
"""TensorRT without a GPU: Torch-TensorRT's own lowering, conversion and engine, and what the engine is told to compute.

The network definition is evaluated layer by layer in PyTorch, which checks the conversion, not TensorRT's kernels.
Nothing runs on an engine here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cen_model.deploy.backends.tensorrt import SETTINGS


def import_torch_tensorrt(monkeypatch):
    """The module, in a process without a GPU: on import and while lowering, it asks for one's properties."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 7))  # a Jetson Orin's
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (1 << 33, 1 << 33))
    return import_module("torch_tensorrt")


def lower(program: torch.export.ExportedProgram, inputs: Sequence[Tensor]) -> torch.fx.GraphModule:
    """The engine's graph. Raises AssertionError unless TensorRT takes all of it, as one engine."""
    torch_tensorrt = import_module("torch_tensorrt")
    device = torch_tensorrt.Device(gpu_id=0)
    module = torch_tensorrt.dynamo.compile(program, inputs=inputs, device=device, dryrun=True, **SETTINGS)
    (engine,) = (child for name, child in module.named_children() if "_run_on_acc" in name)
    return engine


def convert(graph_module: torch.fx.GraphModule, inputs: Sequence[Tensor]):
    """Torch-TensorRT's interpreter, with the network definition that its converters made."""
    conversion = import_module("torch_tensorrt.dynamo.conversion._TRTInterpreter")
    dtypes = import_module("torch_tensorrt.dynamo.conversion._conversion").infer_module_output_dtypes(graph_module)
    prepare = import_module("torch_tensorrt.dynamo.utils").prepare_inputs
    settings = import_module("torch_tensorrt.dynamo").CompilationSettings(**SETTINGS)
    interpreter = conversion.TRTInterpreter(graph_module, prepare(list(inputs)), dtypes, settings)
    interpreter._construct_trt_network_def()
    return interpreter


def build_engine(interpreter) -> None:
    """Let TensorRT for RTX build the network ahead of time. Raises AssertionError where it refuses."""
    config = interpreter._populate_trt_builder_config()
    engine = interpreter.builder.build_serialized_network(interpreter.ctx.net, config)
    assert engine is not None and engine.nbytes > 0, "TensorRT's log says why it refuses the network"


def emulate(network, inputs: Sequence[Tensor]) -> list[Tensor]:
    """What a network definition makes of inputs, each layer in PyTorch. Raises KeyError at a layer not known here."""
    tensorrt = import_module("tensorrt")
    values = {network.get_input(i).name: x for i, x in enumerate(inputs)}
    for layer in map(network.get_layer, range(network.num_layers)):
        arguments = [layer.get_input(i) for i in range(layer.num_inputs)]
        class_name, compute = LAYERS[layer.type.name]
        layer.__class__ = getattr(tensorrt, class_name)
        result = compute(layer, *(values[each.name] if each is not None else None for each in arguments))
        results = result if isinstance(result, tuple) else (result,)
        for output, value in zip(map(layer.get_output, range(layer.num_outputs)), results, strict=True):
            assert tuple(output.shape) == tuple(value.shape), f"{layer.name}: {output.shape}, not {value.shape}"
            assert output.dtype.name == TYPES[value.dtype], f"{layer.name}: {output.dtype}, not {value.dtype}"
            values[output.name] = value
    return [values[network.get_output(i).name] for i in range(network.num_outputs)]


TYPES = {
    torch.float32: "FLOAT",
    torch.float16: "HALF",
    torch.bfloat16: "BF16",
    torch.int32: "INT32",
    torch.int64: "INT64",
    torch.bool: "BOOL",
}


def tensor(weights) -> Tensor:
    """Of weights as the bindings give them: as an array, or as an object with a method for it."""
    return torch.from_numpy(np.array(weights if isinstance(weights, np.ndarray) else weights.numpy()))


def convolution(layer, x: Tensor) -> Tensor:
    assert tuple(layer.pre_padding) == tuple(layer.post_padding)
    weight = tensor(layer.kernel).view(layer.num_output_maps, -1, *layer.kernel_size_nd)
    bias = tensor(layer.bias) if layer.bias is not None and layer.bias.size else None
    sizes = (tuple(layer.stride_nd), tuple(layer.padding_nd), tuple(layer.dilation_nd))
    return F.conv2d(x, weight, bias, *sizes, layer.num_groups)


def pooling(layer, x: Tensor) -> Tensor:
    assert layer.padding_mode.name == "EXPLICIT_ROUND_DOWN" and tuple(layer.pre_padding) == tuple(layer.post_padding)
    sizes = (tuple(layer.window_size_nd), tuple(layer.stride_nd), tuple(layer.padding_nd))
    if layer.type.name == "MAX":
        return F.max_pool2d(x, *sizes)
    return F.avg_pool2d(x, *sizes, count_include_pad=not layer.average_count_excludes_padding)


def activation(layer, x: Tensor) -> Tensor:
    if layer.type.name == "HARD_SIGMOID":
        return (layer.alpha * x + layer.beta).clamp(0, 1)
    if layer.type.name == "CLIP":
        return x.clamp(layer.alpha, layer.beta)
    return {"RELU": F.relu, "SIGMOID": F.sigmoid}[layer.type.name](x)


def resize(layer, x: Tensor) -> Tensor:
    assert layer.resize_mode.name == "LINEAR"
    align = {"ALIGN_CORNERS": True, "HALF_PIXEL": False}[layer.coordinate_transformation.name]
    return F.interpolate(x, size=tuple(layer.shape)[2:], mode="bilinear", align_corners=align)


def shuffle(layer, x: Tensor) -> Tensor:
    x = x.permute(tuple(layer.first_transpose)[: x.ndim])
    sizes = layer.reshape_dims
    if sizes is not None:
        kept = layer.zero_is_placeholder
        x = x.reshape([x.shape[i] if size == 0 and kept else size for i, size in enumerate(sizes)])
    return x.permute(tuple(layer.second_transpose)[: x.ndim])


def slices(layer, x: Tensor) -> Tensor:
    for axis, (start, size, step) in enumerate(zip(layer.start, layer.shape, layer.stride, strict=True)):
        x = x.index_select(axis, start + step * torch.arange(size))  # a step of 0 repeats
    return x


def gather(layer, x: Tensor, index: Tensor) -> Tensor:
    assert layer.mode.name == "DEFAULT"
    before, after = x.shape[: layer.axis], x.shape[layer.axis + 1 :]
    return x.index_select(layer.axis, index.flatten()).view(*before, *index.shape, *after)


def matrix_multiply(layer, x: Tensor, y: Tensor) -> Tensor:
    assert layer.op0.name == layer.op1.name == "NONE"
    return x @ y


def reduce(layer, x: Tensor) -> Tensor:
    apply = {"AVG": torch.mean, "MAX": torch.amax, "MIN": torch.amin, "SUM": torch.sum}[layer.op.name]
    return apply(x, dim=axes(layer), keepdim=layer.keep_dims)


def top_k(layer, x: Tensor) -> tuple[Tensor, Tensor]:
    assert layer.op.name == "MAX"
    values, indices = x.topk(layer.k, *axes(layer))
    return values, indices.int()


def axes(layer) -> list[int]:
    """From their bit mask."""
    return [axis for axis in range(8) if layer.axes >> axis & 1]


ELEMENTWISE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "SUM": torch.add,
    "SUB": torch.sub,
    "PROD": torch.mul,
    "DIV": torch.div,
    "MAX": torch.maximum,
    "MIN": torch.minimum,
    "AND": torch.logical_and,
    "GREATER": torch.gt,
    "LESS": torch.lt,
    "EQUAL": torch.eq,
}
UNARY = {
    "ABS": torch.abs,
    "EXP": torch.exp,
    "NOT": torch.logical_not,
    "RECIP": torch.reciprocal,
    "ROUND": torch.round,
}

LAYERS: dict[str, tuple[str, Callable]] = {
    "ACTIVATION": ("IActivationLayer", activation),
    "CAST": ("ICastLayer", lambda layer, x: x.to(DTYPES[layer.to_type.name])),
    "CONCATENATION": ("IConcatenationLayer", lambda layer, *parts: torch.cat(parts, layer.axis)),
    "CONSTANT": ("IConstantLayer", lambda layer: tensor(layer.weights).view(tuple(layer.shape))),
    "CONVOLUTION": ("IConvolutionLayer", convolution),
    "ELEMENTWISE": ("IElementWiseLayer", lambda layer, x, y: ELEMENTWISE[layer.op.name](x, y)),
    "GATHER": ("IGatherLayer", gather),
    "MATRIX_MULTIPLY": ("IMatrixMultiplyLayer", matrix_multiply),
    "POOLING": ("IPoolingLayer", pooling),
    "REDUCE": ("IReduceLayer", reduce),
    "RESIZE": ("IResizeLayer", resize),
    "SELECT": ("ISelectLayer", lambda layer, mask, x, y: torch.where(mask, x, y)),
    "SHUFFLE": ("IShuffleLayer", shuffle),
    "SOFTMAX": ("ISoftMaxLayer", lambda layer, x: x.softmax(*axes(layer))),
    "SLICE": ("ISliceLayer", slices),
    "TOPK": ("ITopKLayer", top_k),
    "UNARY": ("IUnaryLayer", lambda layer, x: UNARY[layer.op.name](x)),
    "UNSQUEEZE": ("IUnsqueezeLayer", lambda layer, x, axes: x.unsqueeze(int(axes))),
}
DTYPES = {name: dtype for dtype, name in TYPES.items()}
