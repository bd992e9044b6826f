"""Clocks, books and balls around the origin. Lengths are metres."""

import math

import bpy
from mathutils import Vector

from . import materials, shapes


def clock(radius=0.15, hour=10, minute=9, rim=(0.012, 0.012, 0.014), feet=False):
    """A round clock that faces -y, its centre in the origin (on its feet: above it)."""
    ink = materials.plain("ink", (0.012, 0.012, 0.014), 0.4)
    face = materials.plain("face", (0.86, 0.85, 0.80), 0.55)
    case = [
        (0, 0),
        (0.9, 0),
        (1, 0.02),
        (1, 0.02),
        (1.04, 0.1),
        (1.03, 0.2),
        (0.98, 0.24),
        (0.93, 0.2),
        (0.91, 0.12),
    ]
    ring = shapes.lathe(
        "rim",
        [(r * radius, z * radius) for r, z in shapes.curve(case, 5)],
        materials.plain("rim", rim, 0.25, coat_weight=0.5),
        128,
    )
    dial = shapes.lathe("dial", [(0.92 * radius, 0.12 * radius), (0, 0.12 * radius)], face, 128)
    for part in (ring, dial):
        part.rotation_euler.x = math.pi / 2
    front = -0.122 * radius
    parts = [ring, dial]
    for tick in range(60):
        angle, long = tick * math.pi / 30, tick % 5 == 0
        size = (radius * (0.022 if long else 0.008), 0.001, radius * (0.09 if long else 0.05))
        parts.append(_on_dial(shapes.box("tick", size, (0, 0, 0), ink), angle, radius * 0.83, front))
    for number in range(1, 13):
        angle = number * math.pi / 6
        at = (0.66 * radius * math.sin(angle), front, 0.66 * radius * math.cos(angle))
        parts.append(shapes.text(str(number), 0.2 * radius, at, ink, 0.0004))
    red = materials.plain("second", (0.6, 0.02, 0.015), 0.4)
    for angle, length, width, depth, colour in (
        ((hour % 12 + minute / 60) * math.pi / 6, 0.5, 0.055, 0.03, ink),
        (minute * math.pi / 30, 0.74, 0.04, 0.045, ink),
        (3.9, 0.8, 0.012, 0.06, red),
    ):
        bar = shapes.box("hand", (radius * width, 0.0012, radius * (length + 0.16)), (0, 0, 0), colour)
        parts.append(_on_dial(bar, angle, radius * (length - 0.16) / 2, front - depth * radius))
    cap = shapes.lathe("cap", [(0.045 * radius, 0), (0.045 * radius, 0.19 * radius), (0, 0.2 * radius)], ink)
    cap.rotation_euler.x = math.pi / 2
    parts.append(cap)
    if feet:
        for side in (-1, 1):
            path = [
                (side * 0.5 * radius, -0.1 * radius, -0.8 * radius),
                (side * 0.72 * radius, -0.12 * radius, -1.18 * radius),
            ]
            parts.append(shapes.sweep("foot", path, [0.06 * radius, 0.045 * radius], parts[0].data.materials[0]))
    thing = shapes.join(parts)
    return thing


def _on_dial(part, angle, distance, depth):
    """Turn a part that stands upright to `angle` clockwise from twelve, `distance` from the centre."""
    return shapes.place(part, (distance * math.sin(angle), depth, distance * math.cos(angle)), tilt=(0, angle))


def book(size=(0.15, 0.22, 0.03), colour=(0.1, 0.2, 0.4)):
    """A closed hardback lying flat: width along x, spine at -x, thickness along z."""
    width, length, thick = size
    cloth = materials.plain("cloth", colour, 0.6)
    board = 0.0028
    parts = [
        shapes.box("cover", (width, length, board), (0, 0, board / 2), cloth, 0.001),
        shapes.box("cover", (width, length, board), (0, 0, thick - board / 2), cloth, 0.001),
    ]
    arc = [
        (-width / 2 - 0.10 * thick * math.sin(a), thick / 2 * (1 - math.cos(a)))
        for a in [i * math.pi / 12 for i in range(13)]
    ]
    rows = [(x, y, z) for x, z in arc for y in (-length / 2, length / 2)]
    parts.append(shapes.mesh("spine", rows, [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(12)], cloth))
    gold = materials.plain("gold", (0.75, 0.55, 0.22), 0.35, metallic=0.8)
    for y in (-0.36, -0.30, 0.30, 0.36):  # raised bands instead of a title
        band = [(x - 0.0006, y * length + d, z) for x, z in arc[1:-1] for d in (-0.0018, 0.0018)]
        parts.append(shapes.mesh("band", band, [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(10)], gold))
    parts.append(
        shapes.box(
            "pages",
            (width - 0.006, length - 0.008, thick - 2 * board),
            (0, 0, thick / 2),
            materials.plain("pages", (0.80, 0.74, 0.62), 0.9),
        )
    )
    return shapes.join(parts)


def soccer_ball(radius=0.11):
    """A ball of 12 dark and 20 light panels with sunk seams; its centre is the origin."""
    golden = (1 + 5**0.5) / 2
    corners = [
        Vector(p).normalized() for a in (-1, 1) for b in (-golden, golden) for p in ((0, a, b), (a, b, 0), (b, 0, a))
    ]
    side = min((corners[0] - c).length for c in corners[1:])
    middles = []
    for i, a in enumerate(corners):
        for j, b in enumerate(corners[:i]):
            middles += [
                a + b + c
                for c in corners[:j]
                if all(abs((p - q).length - side) < 1e-3 for p, q in ((a, b), (b, c), (a, c)))
            ]
    middles = [m.normalized() for m in middles]

    def panel(direction):
        """How far each kind of panel reaches in a direction: which one is outermost, and how clearly."""
        reach = [(direction.dot(c) / 0.9393, 0) for c in corners] + [(direction.dot(m) / 0.9149, 1) for m in middles]
        first, second = sorted(reach, reverse=True)[:2]
        return first[1], first[0] - second[0]

    bpy.ops.mesh.primitive_ico_sphere_add(subdivisions=7, radius=1)
    ball = bpy.context.object
    ball.data.materials.append(materials.attribute_paint("leather", 0.42, coat_weight=0.2))
    colours = {}
    for vertex in ball.data.vertices:
        kind, margin = panel(vertex.co)
        seam = math.exp(-((margin / 0.012) ** 2))
        base = (0.78, 0.78, 0.76) if kind else (0.014, 0.014, 0.016)
        colours[vertex.index] = [c * (1 - 0.8 * seam) for c in base]
        vertex.co = vertex.co * radius * (1 - 0.022 * seam)
    remaining = iter(colours.values())
    shapes.paint(ball, lambda _: next(remaining))
    ball.data.shade_smooth()
    return ball
