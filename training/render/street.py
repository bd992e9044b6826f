"""Things that stand outside, on z = 0 around the origin, their front towards -y. Lengths are metres."""

import math
import random

import bpy

from . import materials, shapes


def post(height, radius=0.026, behind=0.03):
    """A steel post, a little behind the origin: the label of what it carries is not its own."""
    steel = materials.plain("post", (0.45, 0.46, 0.47), 0.4, metallic=0.8)
    return shapes.sweep("post", [(0, behind, 0), (0, behind, height)], [radius, radius], steel)


def stop_sign(width=0.75, height=2.1):
    """A red octagon without its post; `height` is that of its centre."""
    white = materials.plain("white", (0.85, 0.85, 0.83), 0.45)
    red = materials.plain("red", (0.34, 0.003, 0.006), 0.4)
    steel = materials.plain("steel", (0.45, 0.46, 0.47), 0.4, metallic=0.8)
    parts = []
    for size, depth, colour in ((1.0, 0.004, white), (0.94, 0.006, red)):
        radius = size * width / 2 / math.cos(math.pi / 8)
        plate = shapes.lathe("plate", [(0, 0), (radius, 0), (radius, depth), (0, depth)], colour, 8)
        parts.append(shapes.place(plate, (0, 0, height), tilt=(math.pi / 2, math.pi / 8)))
    words = shapes.text("STOP", 0.36 * width, (0, -0.007, height), white, 0.001)
    words.data.offset, words.data.space_character = 0.006 * width, 1.06
    words.scale = (0.94, 1.15, 1)
    parts.append(words)
    for z in (-0.22, 0.22):
        bolt = shapes.lathe("bolt", [(0.012, 0), (0.012, 0.004), (0, 0.007)], steel, 12)
        parts.append(shapes.place(bolt, (0, -0.006, height + z * width / 0.75), tilt=(math.pi / 2, 0)))
    return shapes.join(parts)


def traffic_light(lit=0):
    """Three lamps with visors, no pole, the centre in the origin; `lit` counts red, amber, green from 0."""
    shell = materials.plain("shell", (0.018, 0.02, 0.018), 0.35)
    parts = [shapes.box("case", (0.36, 0.2, 1.06), (0, 0, 0), shell, 0.03)]
    board = shapes.box(
        "board", (0.62, 0.01, 1.36), (0, 0.07, 0), materials.plain("board", (0.012, 0.012, 0.012), 0.6), 0.004
    )
    parts.append(board)
    for i, colour in enumerate(((1.0, 0.004, 0.003), (1.0, 0.42, 0.01), (0.02, 0.9, 0.3))):
        z = 0.34 - 0.34 * i
        paint = (
            materials.glow("lens", colour, 1.3)
            if i == lit
            else materials.plain("lens", tuple(c * 0.10 + 0.01 for c in colour), 0.15, coat_weight=0.6)
        )
        lens = shapes.lathe(
            "lens",
            [(0.14 * math.cos(a), 0.04 * math.sin(a)) for a in [k * math.pi / 16 for k in range(9)]],
            paint,
        )
        parts.append(shapes.place(lens, (0, -0.1, z), tilt=(math.pi / 2, 0)))
        hood = []
        for k in range(33):
            a = math.radians(-30 + 240 * k / 32)
            reach = 0.10 + 0.16 * max(0, math.sin(a * 0.75 + 0.4))
            hood += [
                (0.155 * math.cos(a), -0.08, z + 0.155 * math.sin(a)),
                (0.155 * math.cos(a), -0.1 - reach, z + 0.155 * math.sin(a)),
            ]
        visor = shapes.mesh("visor", hood, [(2 * k, 2 * k + 1, 2 * k + 3, 2 * k + 2) for k in range(32)], shell)
        visor.modifiers.new("thick", "SOLIDIFY").thickness = 0.006
        parts.append(visor)
    return shapes.join(parts)


def tree(height=6.0, crown=2.2):
    """A trunk and a cloud of leaves."""
    bark = materials.plain("bark", (0.06, 0.04, 0.025), 0.9)
    parts = [shapes.sweep("trunk", [(0, 0, 0), (0.05, 0, height * 0.7)], [0.18, 0.10], bark, 12)]
    green = materials.leaves(scale=3.0)
    for _ in range(26):
        a, reach, z = random.uniform(0, 6.28), crown * random.uniform(0, 0.75), random.uniform(-0.35, 0.5)
        bpy.ops.mesh.primitive_ico_sphere_add(subdivisions=4, radius=crown * random.uniform(0.25, 0.42))
        tuft = bpy.context.object
        tuft.data.materials.append(green)
        tuft.location = (reach * math.cos(a), reach * math.sin(a), height * 0.72 + crown * z)
        for vertex in tuft.data.vertices:
            vertex.co *= random.uniform(0.86, 1.14)
        parts.append(tuft)
    return shapes.join(parts)


def lawn(near, far, blades=0, tall=0.045):
    """Ground at z = 0; between y = near and far with single blades of grass, on a strip that widens."""
    soil = shapes.mesh(
        "soil",
        [(-60, near - 5, 0), (60, near - 5, 0), (60, 200, 0), (-60, 200, 0)],
        [(0, 1, 2, 3)],
        materials.leaves((0.03, 0.08, 0.01), (0.11, 0.22, 0.03), 6.0),
    )
    vertices, faces = [], []
    for n in range(blades):
        y = near + (far - near) * random.random() ** 1.5  # dense where the camera is
        x = random.uniform(-1, 1) * (0.8 + 0.5 * (y - near))
        a, h, lean = random.uniform(0, 6.28), tall * random.uniform(0.5, 1.0), random.uniform(0.1, 0.7)
        cx, cy, dx, dy = (
            math.cos(a) * 0.0016,
            math.sin(a) * 0.0016,
            -math.sin(a) * lean * h,
            math.cos(a) * lean * h,
        )
        vertices += [
            (x - cx, y - cy, 0),
            (x + cx, y + cy, 0),
            (x + cx + dx * 0.35, y + cy + dy * 0.35, h * 0.6),
            (x - cx + dx * 0.35, y - cy + dy * 0.35, h * 0.6),
            (x + dx, y + dy, h),
        ]
        faces += [(5 * n, 5 * n + 1, 5 * n + 2, 5 * n + 3), (5 * n + 3, 5 * n + 2, 5 * n + 4)]
    if blades:
        shapes.mesh("grass", vertices, faces, materials.leaves((0.03, 0.09, 0.008), (0.20, 0.36, 0.05), 25.0))
    return soil
