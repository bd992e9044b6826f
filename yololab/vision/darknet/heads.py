"""Darknet's activations and heads as nodes of an ONNX graph; a head says what the last convolution before it means."""

import numpy as np

from .cfg import Section
from .layers import Layer, chosen_anchors
from .nodes import Nodes


def activate(graph: Nodes, name: str, options: Section) -> str:
    """The activation that a layer's options ask for, one of `darknet_plan.ACTIVATIONS`."""
    match activation := options.get("activation", "linear"):
        case "linear":
            return name
        case "relu":
            return graph.add("Relu", name)
        case "relu6":
            return graph.add("Clip", name, graph.constant(0), graph.constant(6))
        case "leaky":
            return graph.add("LeakyRelu", name, alpha=0.1)
        case "logistic":
            return graph.add("Sigmoid", name)
        case "tanh":
            return graph.add("Tanh", name)
        case "elu" | "selu":
            return graph.add(activation.capitalize(), name)
        case "swish":
            return graph.add("Mul", name, graph.add("Sigmoid", name))
        case _:  # mish, Misra 2019
            return graph.add("Mul", name, graph.add("Tanh", graph.add("Softplus", name)))


def yolo(graph: Nodes, layer: Layer, source: str) -> str:
    """Redmon and Farhadi 2018, section 2.1; with new_coords Wang, Bochkovskiy and Liao 2021 (Scaled-YOLOv4)."""
    options = layer.options
    anchors = np.array(options.decimals("anchors")).reshape(-1, 2)[chosen_anchors(options)]
    center, size, objectness, classes = _split(graph, layer, source, len(anchors))
    new = options.number("new_coords", 0, 0, 1) == 1
    if not new:  # else the convolution before has done it
        center = graph.add("Sigmoid", center)
    center = _centers(graph, layer, center, len(anchors), options.decimal("scale_x_y", 1))
    sides = np.tile(anchors / np.array(graph.size), (layer.width * layer.height, 1))[None]
    if new:
        size = graph.add("Mul", graph.add("Mul", size, size), graph.constant(4 * sides))
        scores = graph.add("Mul", classes, objectness)
    else:
        size = graph.add("Mul", graph.add("Exp", size), graph.constant(sides))
        objectness = graph.add("Sigmoid", objectness)
        scores = graph.add("Mul", graph.add("Sigmoid", classes), objectness)
    return graph.add("Concat", center, size, objectness, scores, axis=2)


def region(graph: Nodes, layer: Layer, source: str) -> str:
    """Redmon and Farhadi 2017 (YOLO9000), section 2: anchors in cells, and a softmax over the classes."""
    options = layer.options
    anchors = np.array(options.decimals("anchors")).reshape(-1, 2)
    center, size, objectness, classes = _split(graph, layer, source, len(anchors))
    center = _centers(graph, layer, graph.add("Sigmoid", center), len(anchors), 1)
    sides = np.tile(anchors / np.array([layer.width, layer.height]), (layer.width * layer.height, 1))[None]
    size = graph.add("Mul", graph.add("Exp", size), graph.constant(sides))
    objectness = graph.add("Sigmoid", objectness)
    softmax = options.number("softmax", 0, 0, 1) == 1
    probabilities = graph.add("Softmax", classes, axis=2) if softmax else graph.add("Sigmoid", classes)
    return graph.add("Concat", center, size, objectness, graph.add("Mul", probabilities, objectness), axis=2)


def _split(graph: Nodes, layer: Layer, source: str, anchors: int) -> list[str]:
    """The columns of a head: centers, sizes, objectness, classes; cells first, then anchors, as Darknet counts."""
    columns, cells = 5 + layer.options.number("classes"), layer.width * layer.height
    split = graph.add("Reshape", source, graph.constant([0, anchors, columns, cells], np.int64))
    turned = graph.add("Transpose", split, perm=[0, 3, 1, 2])
    rows = graph.add("Reshape", turned, graph.constant([0, cells * anchors, columns], np.int64))
    names = [f"{each}_{layer.options.index}" for each in ("center", "size", "objectness", "classes")]
    lengths = graph.constant([2, 2, 1, columns - 5], np.int64)
    return graph.split(rows, lengths, names)


def _centers(graph: Nodes, layer: Layer, center: str, anchors: int, stretch: float) -> str:
    """Offsets within a cell to fractions of the picture."""
    sides, cells = np.array([layer.width, layer.height]), layer.width * layer.height
    grid = np.stack(np.meshgrid(np.arange(layer.width), np.arange(layer.height)), -1).reshape(1, -1, 1, 2)
    shift = np.broadcast_to(grid - (stretch - 1) / 2, (1, cells, anchors, 2)).reshape(1, -1, 2) / sides
    return graph.add("Add", graph.add("Mul", center, graph.constant(stretch / sides)), graph.constant(shift))
