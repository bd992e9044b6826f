"""Meshes: turned, swept and boxed shapes. Lengths are metres, angles radians; the z axis points up."""

import math

import bpy
from mathutils import Vector

SMOOTH_BELOW = math.radians(38)


def mesh(name, vertices, faces, material):
    """Put a mesh into the scene, smooth except at its sharp edges."""
    data = bpy.data.meshes.new(name)
    data.from_pydata(vertices, [], faces)
    data.update()
    thing = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(thing)
    data.materials.append(material)
    data.shade_smooth()
    data.set_sharp_from_angle(angle=SMOOTH_BELOW)
    return thing


def curve(points, steps=6):
    """A Catmull-Rom curve through points; a point given twice makes a corner."""
    padded = [points[0], *points, points[-1]]
    result = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for i in range(steps):
            t = i / steps
            result.append(
                tuple(
                    0.5 * (2 * q + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t**2 + (3 * q - p - 3 * r + s) * t**3)
                    for p, q, r, s in zip(a, b, c, d, strict=True)
                )
            )
    return [*result, tuple(points[-1])]


def lathe(name, profile, material, sides=72):
    """Turn a profile of (radius, height), listed from the bottom up the outside, around the z axis."""
    n = len(profile)
    vertices = [
        (max(r, 0.0) * math.cos(2 * math.pi * i / sides), max(r, 0.0) * math.sin(2 * math.pi * i / sides), z)
        for i in range(sides)
        for r, z in profile
    ]
    faces = []
    for i in range(sides):
        a, b = i * n, (i + 1) % sides * n
        faces += [(a + k, b + k, b + k + 1, a + k + 1) for k in range(n - 1)]
    return mesh(name, vertices, faces, material)


def sweep(name, points, radii, material, sides=24, section=None):
    """A tube along points; `section(angle)` scales the radius around the tube."""
    points = [Vector(p) for p in points]
    vertices, faces, side = [], [], Vector((0.31, 0.95, 0.05))
    for i, (point, radius) in enumerate(zip(points, radii, strict=True)):
        along = (points[min(i + 1, len(points) - 1)] - points[max(i - 1, 0)]).normalized()
        side = (side - along * side.dot(along)).normalized()  # carried along, so that the tube does not twist
        up = along.cross(side)
        for k in range(sides):
            a = 2 * math.pi * k / sides
            reach = radius * (section(a) if section else 1)
            vertices.append(point + reach * (math.cos(a) * side + math.sin(a) * up))
    for i in range(len(points) - 1):
        for k in range(sides):
            j = (k + 1) % sides
            a, b = i * sides, (i + 1) * sides
            faces.append((a + k, a + j, b + j, b + k))
    faces += [tuple(range(sides))[::-1], tuple(range(len(vertices) - sides, len(vertices)))]
    return mesh(name, vertices, faces, material)


def box(name, size, centre, material, bevel=0.0):
    """A box of `size` around `centre`, its edges rounded by `bevel`."""
    sx, sy, sz = (s / 2 for s in size)
    corners = [(x, y, z) for x in (-sx, sx) for y in (-sy, sy) for z in (-sz, sz)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    thing = mesh(name, corners, faces, material)
    thing.location = centre
    if bevel:
        round_off = thing.modifiers.new("bevel", "BEVEL")
        round_off.width, round_off.segments = bevel, 3
    return thing


def text(words, size, centre, material, depth=0.001):
    """Letters that stand upright and face -y."""
    data = bpy.data.curves.new("text", "FONT")
    data.body, data.size, data.extrude = words, size, depth
    data.align_x = data.align_y = "CENTER"
    thing = bpy.data.objects.new("text", data)
    bpy.context.scene.collection.objects.link(thing)
    thing.location, thing.rotation_euler = centre, (math.pi / 2, 0, 0)
    data.materials.append(material)
    return thing


def paint(thing, colour_at):
    """Write the colour attribute "paint": colour_at(vertex position) -> linear RGB."""
    layer = thing.data.color_attributes.new("paint", "FLOAT_COLOR", "POINT")
    for vertex, entry in zip(thing.data.vertices, layer.data, strict=True):
        entry.color = (*colour_at(vertex.co), 1)


def join(parts):
    """Make one object of several, its origin at the world's; modifiers and text become plain mesh."""
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    solid = []
    for part in parts:
        data = bpy.data.meshes.new_from_object(part.evaluated_get(graph), depsgraph=graph)
        data.transform(part.matrix_world)
        solid.append(bpy.data.objects.new(part.name, data))
        bpy.context.scene.collection.objects.link(solid[-1])
        bpy.data.objects.remove(part)
    bpy.context.view_layer.update()
    if len(solid) > 1:
        with bpy.context.temp_override(active_object=solid[0], selected_editable_objects=solid):
            bpy.ops.object.join()
    return solid[0]


def place(thing, at, turn=0.0, tilt=(0.0, 0.0), label=None):
    """Set an object down at `at`; `label` is its class in truth.json."""
    thing.location, thing.rotation_euler = at, (*tilt, turn)
    if label:
        thing["label"] = label
    return thing
