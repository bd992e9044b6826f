"""Things that stand outside, on z = 0 around the origin, their front towards -y. Lengths are metres."""

import math
import random

import bpy

from . import materials, shapes


def stop_sign(width=0.75, height=2.1):
    """A red octagon on a post; `height` is that of its centre."""
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
    parts.append(shapes.sweep("post", [(0, 0.03, 0), (0, 0.03, height + 0.25)], [0.026, 0.026], steel))
    for z in (-0.22, 0.22):
        bolt = shapes.lathe("bolt", [(0.012, 0), (0.012, 0.004), (0, 0.007)], steel, 12)
        parts.append(shapes.place(bolt, (0, -0.006, height + z * width / 0.75), tilt=(math.pi / 2, 0)))
    return shapes.join(parts)


def traffic_light(lit=0):
    """Three lamps with visors, 0.3 m each; `lit` counts from the top: red, amber, green. The centre is the origin."""
    shell = materials.plain("shell", (0.018, 0.02, 0.018), 0.35)
    parts = [shapes.box("case", (0.36, 0.2, 1.06), (0, 0, 0), shell, 0.03)]
    board = shapes.box("board", (0.62, 0.01, 1.36), (0, 0.07, 0), materials.plain("board", (0.012, 0.012, 0.012), 0.6), 0.004)
    parts.append(board)
    for i, colour in enumerate(((1.0, 0.02, 0.012), (1.0, 0.42, 0.01), (0.02, 0.9, 0.3))):
        z = 0.34 - 0.34 * i
        paint = materials.glow("lens", colour, 2.2) if i == lit else \
            materials.plain("lens", tuple(c * 0.10 + 0.01 for c in colour), 0.15, coat_weight=0.6)
        lens = shapes.lathe("lens", [(0.14 * math.cos(a), 0.04 * math.sin(a)) for a in [k * math.pi / 16 for k in range(9)]], paint)
        parts.append(shapes.place(lens, (0, -0.1, z), tilt=(math.pi / 2, 0)))
        hood = []
        for k in range(33):
            a = math.radians(-30 + 240 * k / 32)
            reach = 0.10 + 0.16 * max(0, math.sin(a * 0.75 + 0.4))
            hood += [(0.155 * math.cos(a), -0.08, z + 0.155 * math.sin(a)), (0.155 * math.cos(a), -0.1 - reach, z + 0.155 * math.sin(a))]
        visor = shapes.mesh("visor", hood, [(2 * k, 2 * k + 1, 2 * k + 3, 2 * k + 2) for k in range(32)], shell)
        visor.modifiers.new("thick", "SOLIDIFY").thickness = 0.006
        parts.append(visor)
    parts.append(shapes.sweep("pole", [(0, 0.16, -3.5), (0, 0.16, 0.9)], [0.055, 0.05],
                              materials.plain("pole", (0.16, 0.17, 0.17), 0.5, metallic=0.5)))
    return shapes.join(parts)


# of a hatchback, from nose to tail: x, half width, floor, waist, top, half width of the top
STATIONS = [
    (2.06, 0.66, 0.30, 0.60, 0.64, 0.58), (1.97, 0.80, 0.22, 0.68, 0.74, 0.68), (1.45, 0.87, 0.19, 0.80, 0.89, 0.72),
    (0.92, 0.88, 0.19, 0.88, 0.97, 0.73), (0.16, 0.88, 0.19, 0.91, 1.41, 0.60), (-0.30, 0.88, 0.19, 0.92, 1.46, 0.60),
    (-0.38, 0.88, 0.19, 0.92, 1.465, 0.60), (-1.15, 0.88, 0.19, 0.94, 1.44, 0.59), (-1.55, 0.87, 0.19, 0.95, 1.36, 0.57),
    (-1.90, 0.85, 0.22, 0.96, 1.02, 0.64), (-2.02, 0.80, 0.28, 0.80, 0.86, 0.66), (-2.06, 0.70, 0.34, 0.56, 0.60, 0.60),
]


def car(colour=(0.42, 0.02, 0.02)):
    """A small hatchback that drives towards +x."""
    lacquer = materials.plain("lacquer", colour, 0.28, metallic=0.25, coat_weight=1.0, coat_roughness=0.04)
    dark = materials.plain("window", (0.008, 0.01, 0.012), 0.04, coat_weight=1.0)
    black = materials.plain("black", (0.012, 0.012, 0.013), 0.5)
    vertices = []
    for x, wide, floor, waist, top, narrow in STATIONS:
        half = [(0.6 * wide, floor), (0.97 * wide, floor + 0.05), (wide, (floor + waist) / 2), (0.97 * wide, waist),
                (narrow, top - 0.01), (0.5 * narrow, top + 0.02)]
        vertices += [(x, -y, z) for y, z in half] + [(x, y, z) for y, z in reversed(half)]
    faces, glazed = [], []
    for s in range(len(STATIONS) - 1):
        for k in range(12):
            j = (k + 1) % 12
            faces.append((12 * s + k, 12 * s + j, 12 * s + 12 + j, 12 * s + 12 + k))
            side, over = k in (3, 7), k in (4, 5, 6)
            glazed.append(1 if side and s in (3, 4, 6, 7) else 2 if over and s in (3, 8) else 0)
    faces += [tuple(range(12))[::-1], tuple(range(len(vertices) - 12, len(vertices)))]
    body = shapes.mesh("body", vertices, faces, lacquer)
    body.data.materials.append(dark)
    body.data.materials.append(dark)  # twice, so that side windows and windscreens count as different
    for face, window in zip(body.data.polygons, glazed, strict=False):
        face.material_index = window
    _crease(body.data)
    smooth = body.modifiers.new("smooth", "SUBSURF")
    smooth.levels = smooth.render_levels = 3
    parts = [body]
    for x in (1.27, -1.27):
        for side in (-1, 1):
            arch = shapes.lathe("arch", [(0, -0.3), (0.365, -0.3), (0.365, 0.3), (0, 0.3)], black, 64)
            shapes.place(arch, (x, side * 0.85, 0.33), tilt=(math.pi / 2, 0))
            bpy.context.view_layer.update()
            cut = body.modifiers.new("arch", "BOOLEAN")
            cut.object, cut.operation = arch, "DIFFERENCE"
            arch.hide_render = True
            parts += _wheel(x, side)
    for side in (-1, 1):
        for a, b in ((3, 4), (8, 9)):
            ends = [(STATIONS[i][0], side * (STATIONS[i][5] - 0.01), STATIONS[i][4] - 0.02) for i in (a, b)]
            parts.append(shapes.sweep("pillar", ends, [0.035, 0.035], lacquer, 16))
    clear = materials.plain("lamp", (0.75, 0.78, 0.8), 0.08, coat_weight=1.0)
    red = materials.plain("tail", (0.45, 0.005, 0.005), 0.1, coat_weight=1.0)
    for side in (-1, 1):
        for at, size, paint in (((1.84, 0.60 * side, 0.64), (0.19, 0.15, 0.07), clear),
                                ((-1.95, 0.66 * side, 0.80), (0.08, 0.13, 0.11), red),
                                ((0.72, 0.97 * side, 0.95), (0.07, 0.10, 0.065), lacquer)):
            bulb = shapes.lathe("bulb", [(math.sin(t), -math.cos(t)) for t in [k * math.pi / 16 for k in range(17)]], paint, 32)
            bulb.scale = size
            parts.append(shapes.place(bulb, at, -0.35 * side if paint is clear else 0))
        for x in (0.02, -0.98):
            parts.append(shapes.box("handle", (0.16, 0.02, 0.025), (x, 0.875 * side, 0.79), lacquer, 0.008))
        for x, low in ((0.88, 0.34), (-0.34, 0.30)):
            parts.append(shapes.box("seam", (0.008, 0.012, 0.88 - low), (x, 0.872 * side, (0.86 + low) / 2), black))
        parts.append(shapes.box("sill", (1.75, 0.03, 0.08), (0, 0.86 * side, 0.24), black, 0.01))
    parts.append(shapes.box("grille", (0.10, 0.92, 0.13), (2.0, 0, 0.40), black, 0.03))
    parts.append(shapes.box("plate", (0.02, 0.46, 0.1), (2.055, 0, 0.41), materials.plain("plate", (0.8,) * 3, 0.5), 0.004))
    thing = shapes.join(parts)
    for arch in [o for o in bpy.data.objects if o.name.startswith("arch")]:
        bpy.data.objects.remove(arch)
    return thing


def _crease(data):
    """Keep the edges between paint and windows crisp under subdivision."""
    kinds = {}
    for face in data.polygons:
        for edge in face.edge_keys:
            kinds.setdefault(edge, set()).add(face.material_index)
    layer = data.attributes.new("crease_edge", "FLOAT", "EDGE")
    for edge in data.edges:
        layer.data[edge.index].value = 0.75 if len(kinds[edge.key]) > 1 else 0.0


def _wheel(x, side, radius=0.325):
    """A tyre and a rim with ten spokes."""
    rubber = materials.plain("rubber", (0.014, 0.014, 0.015), 0.75)
    alloy = materials.plain("alloy", (0.55, 0.56, 0.58), 0.3, metallic=0.9)
    tyre = shapes.curve([(0.66, -0.1), (0.72, 0.0), (0.94, 0.0), (0.94, 0.0), (1, 0.05), (1, 0.55), (0.94, 0.6), (0.66, 0.6)], 4)
    tyre = shapes.lathe("tyre", [(r * radius, -z) for r, z in tyre], rubber)
    rim = shapes.lathe("rim", [(0.70 * radius, 0.0), (0.64 * radius, -0.01), (0.62 * radius, -0.06)], alloy)
    back = shapes.lathe("back", [(0.68 * radius, -0.07), (0, -0.07)], rubber)
    hub = shapes.lathe("hub", [(0.16 * radius, -0.03), (0.14 * radius, -0.008), (0, -0.005)], alloy)
    parts = [tyre, rim, back, hub]
    for k in range(10):
        a = k * math.pi / 5
        spoke = shapes.box("spoke", (0.56 * radius, 0.035, 0.02), (0.38 * radius * math.cos(a), 0.38 * radius * math.sin(a), -0.022), alloy, 0.006)
        parts.append(shapes.place(spoke, tuple(spoke.location), a))
    wheel = shapes.join(parts)
    return [shapes.place(wheel, (x, side * 0.84, radius), tilt=(side * -math.pi / 2, 0))]


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


def lawn(width, near, far, blades, tall=0.045):
    """Ground at z = 0 from y = near to far, with single blades of grass."""
    soil = shapes.mesh("soil", [(-60, near - 5, 0), (60, near - 5, 0), (60, 200, 0), (-60, 200, 0)], [(0, 1, 2, 3)],
                       materials.leaves((0.03, 0.08, 0.01), (0.11, 0.22, 0.03), 6.0))
    vertices, faces = [], []
    for n in range(blades):
        x, y = random.uniform(-width / 2, width / 2), near + (far - near) * random.random() ** 1.5
        a, h, lean = random.uniform(0, 6.28), tall * random.uniform(0.5, 1.0), random.uniform(0.1, 0.7)
        cx, cy, dx, dy = math.cos(a) * 0.0016, math.sin(a) * 0.0016, -math.sin(a) * lean * h, math.cos(a) * lean * h
        vertices += [(x - cx, y - cy, 0), (x + cx, y + cy, 0), (x + cx + dx * 0.35, y + cy + dy * 0.35, h * 0.6),
                     (x - cx + dx * 0.35, y - cy + dy * 0.35, h * 0.6), (x + dx, y + dy, h)]
        faces += [(5 * n, 5 * n + 1, 5 * n + 2, 5 * n + 3), (5 * n + 3, 5 * n + 2, 5 * n + 4)]
    if blades:
        shapes.mesh("grass", vertices, faces, materials.leaves((0.03, 0.09, 0.008), (0.20, 0.36, 0.05), 25.0))
    return soil
