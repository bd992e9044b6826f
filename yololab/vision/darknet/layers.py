"""What each kind of Darknet layer gives, and how many numbers it takes from the weights.

One function for each section: (its options, the layer before it, all layers before it) -> Layer.
Raises BrokenModel for options that are not possible, or do not fit the layers before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...errors import BrokenModel
from .cfg import Section

MAX_KERNEL = 64  # and the longest stride and padding


@dataclass(frozen=True)
class Layer:
    """What a layer gives: channels, and the width and height of its grid. weights: its numbers in the file."""

    options: Section
    channels: int
    width: int
    height: int
    weights: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.width, self.height


Make = Callable[[Section, Layer, Sequence[Layer]], Layer]


def convolutional(options: Section, last: Layer, layers: Sequence[Layer]) -> Layer:
    filters, size = options.number("filters", low=1), options.number("size", 1, 1, MAX_KERNEL)
    groups = options.number("groups", 1, 1)
    if last.channels % groups or filters % groups:
        raise BrokenModel(f"{options} says groups={groups}; {last.channels} channels and {filters} filters do not fit.")
    dilation = options.number("dilation", 1, 1, MAX_KERNEL)
    across, down = strides(options)
    reach = 2 * padding(options) * dilation - dilation * (size - 1)
    numbers = filters * (1 + 3 * options.number("batch_normalize", 0, 0, 1) + last.channels // groups * size * size)
    width, height = (last.width + reach - 1) // across + 1, (last.height + reach - 1) // down + 1
    return Layer(options, filters, width, height, numbers)


def padding(options: Section) -> int:
    """Of a convolution, on each side."""
    if options.number("pad", 0, 0, 1):
        return options.number("size", 1, 1, MAX_KERNEL) // 2
    return options.number("padding", 0, 0, MAX_KERNEL)


def strides(options: Section) -> tuple[int, int]:
    """Across and down."""
    both = options.number("stride", 1, 1, MAX_KERNEL)
    return options.number("stride_x", both, 1, MAX_KERNEL), options.number("stride_y", both, 1, MAX_KERNEL)


def maxpool(options: Section, last: Layer, layers: Sequence[Layer]) -> Layer:
    if options.get("maxpool_depth", "0") != "0" or "stride_x" in options or "stride_y" in options:
        raise BrokenModel(f"{options} says maxpool_depth, stride_x or stride_y, which is not supported.")
    stride = options.number("stride", 1, 1, MAX_KERNEL)
    size = options.number("size", stride, 1, MAX_KERNEL)
    around = options.number("padding", size - 1, 0, 2 * size - 1)  # of both sides together
    if around // 2 >= size or around - around // 2 >= size:
        raise BrokenModel(f"{options} says padding={around}, which is more than its size.")
    width, height = ((side + around - size) // stride + 1 for side in (last.width, last.height))
    return Layer(options, last.channels, width, height)


def upsample(options: Section, last: Layer, layers: Sequence[Layer]) -> Layer:
    stride = options.number("stride", 2, 1, MAX_KERNEL)
    options.decimal("scale", 1)
    return Layer(options, last.channels, last.width * stride, last.height * stride)


def route(options: Section, last: Layer, layers: Sequence[Layer]) -> Layer:
    sources = [layers[number] for number in options.layers("layers")]
    groups = options.number("groups", 1, 1)
    options.number("group_id", 0, 0, groups - 1)
    if any(source.channels % groups for source in sources):
        raise BrokenModel(f"{options} says groups={groups}, which does not fit its channels.")
    if len(shapes := {(source.width, source.height) for source in sources}) > 1:
        raise BrokenModel(f"{options} joins grids of different sizes: {', '.join(f'{w} x {h}' for w, h in shapes)}.")
    return Layer(options, sum(source.channels // groups for source in sources), sources[0].width, sources[0].height)


def shortcut(options: Section, last: Layer, layers: Sequence[Layer]) -> Layer:
    """Of layers of other widths it takes the first channels; of the layer before it, all."""
    sources = [layers[number] for number in options.layers("from")]
    for source in sources:
        _same_grid(options, last, source)
    weights = 0
    if (kind := options.get("weights_type", "none")) != "none":
        if kind not in ("per_feature", "per_layer", "per_channel"):
            raise BrokenModel(f"{options} says weights_type={kind[:40]}, which is not known.")
        if (how := options.get("weights_normalization", "none")) not in ("none", "relu", "softmax"):
            raise BrokenModel(f"{options} says weights_normalization={how[:40]}, which is not known.")
        weights = (len(sources) + 1) * (last.channels if kind == "per_channel" else 1)
    return Layer(options, *last.shape, weights)


def scale_channels(options: Section, last: Layer, layers: Sequence[Layer]) -> Layer:
    """A layer times one number for each of its channels, from the layer before."""
    source = layers[options.layers("from")[0]]
    if last.shape != (source.channels, 1, 1) or options.get("scale_wh", "0") != "0":
        raise BrokenModel(f"{options} follows a layer that does not give one number for each channel.")
    return Layer(options, *source.shape)


def sam(options: Section, last: Layer, layers: Sequence[Layer]) -> Layer:
    source = layers[options.layers("from")[0]]
    if source.shape != last.shape:
        raise BrokenModel(f"{options} multiplies layers of different shapes.")
    return Layer(options, *last.shape)


def avgpool(options: Section, last: Layer, layers: Sequence[Layer]) -> Layer:
    return Layer(options, last.channels, 1, 1)


def dropout(options: Section, last: Layer, layers: Sequence[Layer]) -> Layer:
    """Only training drops."""
    return Layer(options, *last.shape)


def reorg(options: Section, last: Layer, layers: Sequence[Layer]) -> Layer:
    """Each square of stride x stride cells becomes one cell with more channels."""
    stride = options.number("stride", 2, 1, MAX_KERNEL)
    if last.width % stride or last.height % stride or last.channels % stride**2:
        raise BrokenModel(f"{options} says stride={stride}; {last.width} x {last.height} x {last.channels} do not fit.")
    return Layer(options, last.channels * stride**2, last.width // stride, last.height // stride)


def yolo(options: Section, last: Layer, layers: Sequence[Layer]) -> Layer:
    anchors, classes = len(options.decimals("anchors")) / 2, options.number("classes", low=1)
    mask = chosen_anchors(options)
    if not mask or anchors % 1 or not all(0 <= number < anchors for number in mask):
        raise BrokenModel(f"{options} chooses the anchors {mask[:9]} of {anchors:g}.")
    return _head(options, last, len(mask), classes)


def chosen_anchors(options: Section) -> list[int]:
    """The numbers of the anchors of a [yolo], by default all. Raises BrokenModel."""
    numbers = options.decimals("mask")
    return [int(each) for each in numbers] if numbers else list(range(len(options.decimals("anchors")) // 2))


def region(options: Section, last: Layer, layers: Sequence[Layer]) -> Layer:
    anchors, classes = options.number("num", 1, 1), options.number("classes", low=1)
    if len(options.decimals("anchors")) != 2 * anchors or options.get("coords", "4") != "4":
        raise BrokenModel(f"{options} needs 2 numbers for each of its {anchors} anchors, and coords=4.")
    return _head(options, last, anchors, classes)


def _head(options: Section, last: Layer, anchors: int, classes: int) -> Layer:
    if last.channels != anchors * (5 + classes):
        raise BrokenModel(
            f"{options} has {anchors} anchors and {classes} classes, so it must follow {anchors * (5 + classes)} "
            f"filters, and follows {last.channels} filters."
        )
    return Layer(options, *last.shape)


def _same_grid(options: Section, last: Layer, source: Layer) -> None:
    if (source.width, source.height) != (last.width, last.height):
        raise BrokenModel(
            f"{options} adds grids of different shapes: "
            f"{last.width} x {last.height} and {source.width} x {source.height}."
        )


LAYERS: dict[str, Make] = {
    each.__name__: each
    for each in (convolutional, maxpool, avgpool, upsample, route, shortcut, scale_channels, sam, dropout, reorg, yolo,
                 region)
}  # fmt: skip
