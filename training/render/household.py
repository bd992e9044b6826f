"""Things for a table or a wall, standing on z = 0 around the origin unless said otherwise. Lengths are metres."""

import math
import random

from . import materials, shapes


def clock(radius=0.15, hour=10, minute=9, rim=(0.012, 0.012, 0.014), feet=False):
    """A round clock that faces -y, its centre in the origin (on its feet: above it)."""
    ink = materials.plain("ink", (0.012, 0.012, 0.014), 0.4)
    face = materials.plain("face", (0.86, 0.85, 0.80), 0.55)
    case = [(0, 0), (0.9, 0), (1, 0.02), (1, 0.02), (1.04, 0.1), (1.03, 0.2), (0.98, 0.24), (0.93, 0.2), (0.91, 0.12)]
    ring = shapes.lathe("rim", [(r * radius, z * radius) for r, z in shapes.curve(case, 5)],
                        materials.plain("rim", rim, 0.25, coat_weight=0.5), 128)
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
            path = [(side * 0.5 * radius, -0.1 * radius, -0.8 * radius), (side * 0.72 * radius, -0.12 * radius, -1.18 * radius)]
            parts.append(shapes.sweep("foot", path, [0.06 * radius, 0.045 * radius], parts[0].data.materials[0]))
    thing = shapes.join(parts)
    return thing


def _on_dial(part, angle, distance, depth):
    """Turn a part that stands upright to `angle` clockwise from twelve, `distance` from the centre."""
    return shapes.place(part, (distance * math.sin(angle), depth, distance * math.cos(angle)), tilt=(0, angle))


def bowl(radius=0.13, height=0.075, material=None):
    """A round bowl with a foot."""
    outside = [(0, 0), (0.40, 0), (0.42, 0), (0.42, 0.08), (0.45, 0.1), (0.75, 0.34), (0.93, 0.7), (0.99, 0.98), (0.98, 1.0)]
    inside = [(0.955, 0.98), (0.89, 0.7), (0.71, 0.4), (0.4, 0.19), (0, 0.15)]
    profile = [(r * radius, z * height) for r, z in shapes.curve(outside + inside)]
    return shapes.lathe("bowl", profile, material or materials.ceramic((0.75, 0.76, 0.74)), 96)


def soup(radius, height):
    """The filling of a bowl(radius, height): soup with herbs on it."""
    level = 0.74 * height
    parts = [shapes.lathe("soup", [(0.893 * radius, level), (0, level)],
                          materials.plain("soup", (0.62, 0.10, 0.012), 0.12, subsurface_weight=0.1, subsurface_scale=0.004))]
    herb = materials.plain("herb", (0.06, 0.20, 0.02), 0.6)
    for _ in range(26):
        a, reach = random.uniform(0, 6.28), 0.7 * radius * random.random() ** 0.6
        leaf = shapes.box("leaf", (random.uniform(0.003, 0.009), 0.003, 0.0008), (0, 0, 0), herb)
        parts.append(shapes.place(leaf, (reach * math.cos(a), reach * math.sin(a), level + 0.0004), 5 * a))
    return shapes.join(parts)


def cup(radius=0.042, height=0.092, colour=(0.62, 0.08, 0.05)):
    """A mug with coffee in it; the handle points to +x."""
    pottery = materials.ceramic(colour)
    profile = [(0, 0), (0.85, 0), (0.9, 0), (0.97, 0.06), (1, 0.2), (1, 0.6), (1, 0.97), (0.98, 1.0), (0.94, 0.98),
               (0.93, 0.6), (0.92, 0.15), (0.8, 0.07), (0, 0.06)]
    body = shapes.lathe("cup", [(r * radius, z * height) for r, z in shapes.curve(profile)], pottery)
    path = [(0.94, 0.80), (1.25, 0.86), (1.62, 0.74), (1.72, 0.52), (1.55, 0.30), (1.2, 0.2), (0.94, 0.22)]
    path = [(x * radius, 0, z * height) for x, z in shapes.curve(path)]
    handle = shapes.sweep("handle", path, [0.13 * radius] * len(path), pottery)
    drink = shapes.lathe("coffee", [(0.935 * radius, 0.84 * height), (0, 0.84 * height)],
                         materials.plain("coffee", (0.035, 0.014, 0.006), 0.08))
    return shapes.join([body, handle, drink])


def bottle(height=0.30, colour=(0.10, 0.30, 0.08), label=(0.80, 0.74, 0.60)):
    """A wine bottle with a blank label, dark wine up to the shoulder and a foil cap."""
    profile = [(0, 0.01), (0.028, 0), (0.036, 0.004), (0.0375, 0.015), (0.0375, 0.015), (0.0375, 0.17), (0.0375, 0.185),
               (0.033, 0.205), (0.019, 0.228), (0.0145, 0.245), (0.0140, 0.26), (0.0140, 0.292), (0.012, 0.299), (0, 0.3)]
    scale = height / 0.30
    points = [(r * scale, z * scale) for r, z in shapes.curve(profile)]
    body = shapes.lathe("bottle", points, materials.plain("glass", tuple(c * 0.15 for c in colour), 0.06, coat_weight=1.0), 96)
    paper = shapes.lathe("label", [(0.0379 * scale, z * scale) for z in (0.05, 0.13)], materials.plain("paper", label, 0.7), 96)
    foil = shapes.curve([(0.0150, 0.235), (0.0148, 0.26), (0.0148, 0.292), (0.0155, 0.293), (0.0155, 0.299), (0.0, 0.301)])
    foil = shapes.lathe("foil", [(r * scale, z * scale) for r, z in foil],
                        materials.plain("foil", (0.22, 0.012, 0.02), 0.35, metallic=0.6))
    return shapes.join([body, paper, foil])


def book(size=(0.15, 0.22, 0.03), colour=(0.1, 0.2, 0.4)):
    """A closed hardback lying flat: width along x, spine at -x, thickness along z."""
    width, length, thick = size
    cloth = materials.plain("cloth", colour, 0.6)
    board = 0.0028
    parts = [
        shapes.box("cover", (width, length, board), (0, 0, board / 2), cloth, 0.001),
        shapes.box("cover", (width, length, board), (0, 0, thick - board / 2), cloth, 0.001),
    ]
    arc = [(-width / 2 - 0.10 * thick * math.sin(a), thick / 2 * (1 - math.cos(a))) for a in [i * math.pi / 12 for i in range(13)]]
    rows = [(x, y, z) for x, z in arc for y in (-length / 2, length / 2)]
    parts.append(shapes.mesh("spine", rows, [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(12)], cloth))
    gold = materials.plain("gold", (0.75, 0.55, 0.22), 0.35, metallic=0.8)
    for y in (-0.36, -0.30, 0.30, 0.36):  # raised bands instead of a title
        band = [(x - 0.0006, y * length + d, z) for x, z in arc[1:-1] for d in (-0.0018, 0.0018)]
        parts.append(shapes.mesh("band", band, [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(10)], gold))
    parts.append(shapes.box("pages", (width - 0.006, length - 0.008, thick - 2 * board), (0, 0, thick / 2),
                            materials.plain("pages", (0.80, 0.74, 0.62), 0.9)))
    return shapes.join(parts)


def soccer_ball(radius=0.11):
    """A ball of 12 dark and 20 light panels with sunk seams."""
    import bpy
    from mathutils import Vector

    golden = (1 + 5**0.5) / 2
    corners = [Vector(p).normalized() for a in (-1, 1) for b in (-golden, golden)
               for p in ((0, a, b), (a, b, 0), (b, 0, a))]
    side = min((corners[0] - c).length for c in corners[1:])
    middles = []
    for i, a in enumerate(corners):
        for j, b in enumerate(corners[:i]):
            middles += [a + b + c for c in corners[:j]
                        if all(abs((p - q).length - side) < 1e-3 for p, q in ((a, b), (b, c), (a, c)))]
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
        seam = math.exp(-(margin / 0.012) ** 2)
        base = (0.78, 0.78, 0.76) if kind else (0.014, 0.014, 0.016)
        colours[vertex.index] = [c * (1 - 0.8 * seam) for c in base]
        vertex.co = vertex.co * radius * (1 - 0.022 * seam)
        vertex.co.z += radius
    remaining = iter(colours.values())
    shapes.paint(ball, lambda _: next(remaining))
    ball.data.shade_smooth()
    return ball


def row_of_books(count, height=0.24):
    """Upright books side by side along +x from x = 0; returns the books."""
    palette = [(0.30, 0.03, 0.03), (0.03, 0.10, 0.25), (0.05, 0.18, 0.10), (0.55, 0.33, 0.06), (0.16, 0.16, 0.17),
               (0.45, 0.40, 0.32), (0.22, 0.05, 0.16), (0.04, 0.22, 0.27)]
    x, books = 0.0, []
    for i in range(count):
        thick, tall = random.uniform(0.022, 0.05), height * random.uniform(0.78, 1.0)
        one = book((random.uniform(0.14, 0.17), tall, thick), palette[i % len(palette)])
        # lying -> standing with the spine towards -y
        one.rotation_euler = (math.pi / 2, 0, math.pi / 2)
        one.location = (x, 0, tall / 2)
        x += thick + 0.001
        books.append(one)
    return books
