"""A car that stands on z = 0 around the origin. Lengths are metres."""

import math

import bpy

from . import materials, shapes

# of a hatchback, from nose to tail: x, half width, floor, waist, top, half width of the top
STATIONS = [
    (2.06, 0.66, 0.30, 0.60, 0.64, 0.58),
    (1.97, 0.80, 0.22, 0.68, 0.74, 0.68),
    (1.45, 0.87, 0.19, 0.80, 0.89, 0.72),
    (0.92, 0.88, 0.19, 0.88, 0.97, 0.73),
    (0.16, 0.88, 0.19, 0.91, 1.41, 0.60),
    (-0.30, 0.88, 0.19, 0.92, 1.46, 0.60),
    (-0.38, 0.88, 0.19, 0.92, 1.465, 0.60),
    (-1.15, 0.88, 0.19, 0.94, 1.44, 0.59),
    (-1.55, 0.87, 0.19, 0.95, 1.36, 0.57),
    (-1.90, 0.85, 0.22, 0.96, 1.02, 0.64),
    (-2.02, 0.80, 0.28, 0.80, 0.86, 0.66),
    (-2.06, 0.70, 0.34, 0.56, 0.60, 0.60),
]


def car(colour=(0.42, 0.02, 0.02)):
    """A small hatchback that drives towards +x."""
    lacquer = materials.plain("lacquer", colour, 0.28, metallic=0.25, coat_weight=1.0, coat_roughness=0.04)
    dark = materials.plain("window", (0.008, 0.01, 0.012), 0.04, coat_weight=1.0)
    black = materials.plain("black", (0.012, 0.012, 0.013), 0.5)
    vertices = []
    for x, wide, floor, waist, top, narrow in STATIONS:
        half = [
            (0.6 * wide, floor),
            (0.97 * wide, floor + 0.05),
            (wide, (floor + waist) / 2),
            (0.97 * wide, waist),
            (narrow, top - 0.01),
            (0.5 * narrow, top + 0.02),
        ]
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
        for at, size, paint in (
            ((1.89, 0.58 * side, 0.64), (0.16, 0.17, 0.075), clear),
            ((-1.95, 0.66 * side, 0.80), (0.08, 0.13, 0.11), red),
            ((0.72, 0.97 * side, 0.95), (0.07, 0.10, 0.065), lacquer),
        ):
            bulb = shapes.lathe(
                "bulb", [(math.sin(t), -math.cos(t)) for t in [k * math.pi / 16 for k in range(17)]], paint, 32
            )
            bulb.scale = size
            parts.append(shapes.place(bulb, at, -0.35 * side if paint is clear else 0))
        for x in (0.02, -0.98):
            parts.append(shapes.box("handle", (0.16, 0.02, 0.025), (x, 0.875 * side, 0.79), lacquer, 0.008))
        for x, low in ((0.88, 0.34), (-0.34, 0.30)):
            parts.append(shapes.box("seam", (0.008, 0.012, 0.88 - low), (x, 0.872 * side, (0.86 + low) / 2), black))
        parts.append(shapes.box("sill", (1.75, 0.03, 0.08), (0, 0.86 * side, 0.24), black, 0.01))
    parts.append(shapes.box("grille", (0.10, 0.96, 0.15), (2.025, 0, 0.43), black, 0.03))
    parts.append(
        shapes.box("plate", (0.02, 0.46, 0.1), (2.08, 0, 0.40), materials.plain("plate", (0.8,) * 3, 0.5), 0.004)
    )
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
    tyre = shapes.curve(
        [(0.66, -0.1), (0.72, 0.0), (0.94, 0.0), (0.94, 0.0), (1, 0.05), (1, 0.55), (0.94, 0.6), (0.66, 0.6)], 4
    )
    tyre = shapes.lathe("tyre", [(r * radius, -z) for r, z in tyre], rubber)
    rim = shapes.lathe("rim", [(0.70 * radius, 0.0), (0.64 * radius, -0.01), (0.62 * radius, -0.06)], alloy)
    back = shapes.lathe("back", [(0.68 * radius, -0.07), (0, -0.07)], rubber)
    hub = shapes.lathe("hub", [(0.16 * radius, -0.03), (0.14 * radius, -0.008), (0, -0.005)], alloy)
    parts = [tyre, rim, back, hub]
    for k in range(10):
        a = k * math.pi / 5
        spoke = shapes.box(
            "spoke",
            (0.56 * radius, 0.035, 0.02),
            (0.38 * radius * math.cos(a), 0.38 * radius * math.sin(a), -0.022),
            alloy,
            0.006,
        )
        parts.append(shapes.place(spoke, tuple(spoke.location), a))
    wheel = shapes.join(parts)
    return [shapes.place(wheel, (x, side * 0.81, radius), tilt=(side * -math.pi / 2, 0))]
