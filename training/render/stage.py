"""The empty room or street around the objects: ground, walls, light, camera, and the rendering itself."""

import math
import os
import random
import sys

import bpy
from mathutils import Vector

from . import materials, shapes


def clear(seed, size=(640, 480), samples=64):
    """Start an empty scene; the seed makes every render of it the same."""
    random.seed(seed)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples, scene.cycles.seed = "CPU", samples, seed
    scene.cycles.use_denoising = scene.cycles.use_adaptive_sampling = True
    scene.cycles.adaptive_threshold, scene.cycles.max_bounces = 0.04, 6
    scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.exposure = 0.6
    scene.view_settings.look = "AgX - Medium High Contrast"
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True


def ambient(colour=(0.8, 0.88, 1.0), strength=0.25):
    """An even light from all around."""
    background = bpy.context.scene.world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (*colour, 1)
    background.inputs["Strength"].default_value = strength


def sky(elevation=35, rotation=120, strength=0.12):
    """Daylight with a sun; angles in degrees."""
    tree = bpy.context.scene.world.node_tree
    air = tree.nodes.new("ShaderNodeTexSky")
    air.sky_type, air.sun_size, air.sun_intensity = "NISHITA", math.radians(3), 0.35
    air.sun_elevation, air.sun_rotation = math.radians(elevation), math.radians(rotation)
    tree.links.new(air.outputs[0], tree.nodes["Background"].inputs["Color"])
    tree.nodes["Background"].inputs["Strength"].default_value = strength


def lamp(at, towards, watts, size, colour=(1, 1, 1)):
    """A square soft light, such as a window."""
    data = bpy.data.lights.new("lamp", "AREA")
    data.energy, data.size, data.color = watts, size, colour
    thing = bpy.data.objects.new("lamp", data)
    bpy.context.scene.collection.objects.link(thing)
    thing.location, thing.rotation_euler = at, _aim(at, towards)
    return thing


def table(material, depth=0.6, width=3.0):
    """A table top at z = 0 that ends `depth` behind the middle."""
    return shapes.box("table", (width, depth + 1.2, 0.04), (0, (depth - 1.2) / 2, -0.02), material, 0.006)


def wall(material, distance):
    """A wall across the view, `distance` behind the middle."""
    thing = shapes.mesh("wall", [(-6, -4, 0), (6, -4, 0), (6, 4, 0), (-6, 4, 0)], [(0, 1, 2, 3)], material)
    return shapes.place(thing, (0, distance, 0.5), tilt=(math.pi / 2, 0))


def road(material, near, far):
    """A flat strip across the view from y = near to far, just above the ground."""
    return shapes.mesh(
        "road",
        [(-60, near, 0.003), (60, near, 0.003), (60, far, 0.003), (-60, far, 0.003)],
        [(0, 1, 2, 3)],
        material,
    )


def room(wood=None, paint=(0.62, 0.58, 0.50), distance=1.5, depth=0.6, covering=None):
    """A table before a wall, a large window to the left and a weak warm light to the right."""
    table(wood or materials.wood(), depth)
    wall(covering or materials.plaster(paint), distance)
    lamp((-1.3, -0.5, 1.3), (0, 0.1, 0), 26, 0.9, (1.0, 0.97, 0.92))
    lamp((1.6, -0.9, 1.0), (0, 0, 0), 5, 0.8, (1.0, 0.86, 0.70))
    lamp((-0.6, distance - 0.5, 2.0), (0.2, distance, 0.4), 9, 0.6, (1.0, 0.95, 0.88))
    ambient()


def camera(at, towards, lens=50, f_stop=5.6):
    """A camera `at` a point, sharp at `towards`; `lens` in millimetres."""
    data = bpy.data.cameras.new("camera")
    data.lens, data.clip_start = lens, 0.01
    data.dof.use_dof, data.dof.aperture_fstop = True, f_stop
    data.dof.focus_distance = (Vector(towards) - Vector(at)).length
    thing = bpy.data.objects.new("camera", data)
    bpy.context.scene.collection.objects.link(thing)
    thing.location, thing.rotation_euler = at, _aim(at, towards)
    bpy.context.scene.camera = thing


def shoot(path, draft=False):
    """Render the scene to a PNG file; a draft has half the width and a quarter of the samples."""
    scene = bpy.context.scene
    scene.render.filepath = str(path)
    if draft:
        scene.render.resolution_x //= 2
        scene.render.resolution_y //= 2
        scene.cycles.samples //= 4
    sys.stdout.flush()
    out = os.dup(1)  # Blender reports every sample on stdout, past Python
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        bpy.ops.render.render(write_still=True)
    finally:
        os.dup2(out, 1)
        os.close(out)


def _aim(at, towards):
    return (Vector(towards) - Vector(at)).to_track_quat("-Z", "Y").to_euler()
