"""Apples, oranges and bananas, standing on z = 0 around the origin. Lengths are metres."""

import math
import random

from . import materials, shapes

APPLE = [
    (0, 0.16),
    (0.1, 0.1),
    (0.26, 0.02),
    (0.42, 0.03),
    (0.66, 0.2),
    (0.88, 0.56),
    (1, 1.0),
    (0.98, 1.3),
    (0.84, 1.58),
    (0.62, 1.73),
    (0.42, 1.75),
    (0.24, 1.67),
    (0.1, 1.52),
    (0, 1.44),
]
BANANA_WIDTH = [0.18, 0.26, 0.34, 0.55, 0.82, 0.97, 1.0, 1.0, 0.96, 0.82, 0.55, 0.26, 0.2, 0.16]


def apple(radius=0.04, skin=None):
    """An apple with its stem; no two are alike."""
    profile = [(r * radius, z * radius) for r, z in shapes.curve(APPLE)]
    body = shapes.lathe("apple", profile, skin or materials.apple_skin())
    turn, lean = random.uniform(0, 6.28), random.uniform(-0.05, 0.05)
    for vertex in body.data.vertices:
        angle, low = math.atan2(vertex.co.y, vertex.co.x) + turn, 1 - vertex.co.z / (1.8 * radius)
        stretch = 1 + 0.025 * math.cos(5 * angle) * low + lean * math.cos(angle)  # five lobes below, a fuller side
        vertex.co.x, vertex.co.y = vertex.co.x * stretch, vertex.co.y * stretch
    bend = random.uniform(-0.2, 0.2)
    path = [(0, 0, 1.4), (0.02 * bend, 0.01, 1.65), (0.3 * bend, 0.05, 1.9), (0.8 * bend, 0.12, 2.1)]
    path = [tuple(c * radius for c in p) for p in shapes.curve(path, 4)]
    thick = [radius * (0.035 + 0.03 * (i / (len(path) - 1)) ** 3) for i in range(len(path))]
    stem = shapes.sweep("stem", path, thick, materials.plain("stem", (0.07, 0.035, 0.014), 0.8), 10)
    return shapes.join([body, stem])


def orange(radius=0.04):
    """An orange, a little flat, with the green star where it hung."""
    profile = []
    for i in range(49):
        t = math.pi * i / 48
        dimple = 0.06 * math.exp(-(((math.pi - t) / 0.16) ** 2))
        profile.append((radius * math.sin(t), radius * 0.95 * (1 - math.cos(t) - dimple)))
    body = shapes.lathe("orange", profile, materials.orange_peel())
    green = materials.plain("calyx", (0.12, 0.13, 0.03), 0.8)
    star = shapes.sweep(
        "star",
        [(0, 0, 1.82 * radius), (0, 0, 1.88 * radius)],
        [0.11 * radius, 0.07 * radius],
        green,
        20,
        lambda a: 1 + 0.35 * math.cos(5 * a),
    )
    return shapes.join([body, star])


def banana(length=0.20, thickness=0.0165):
    """A banana lying on its side, bent in the plane of the table, with a stem and a dark tip."""
    n = len(BANANA_WIDTH)
    bow = 1.75  # the arc it follows, in radians
    radius = length / (2 * math.sin(bow / 2))
    ends = [
        (radius * math.sin(bow * (i / (n - 1) - 0.5)), radius * (1 - math.cos(bow * (i / (n - 1) - 0.5))), w)
        for i, w in enumerate(BANANA_WIDTH)
    ]
    fine = shapes.curve(ends)
    path = [(x, y, thickness * (0.95 + 0.5 * max(0, -x / length - 0.3))) for x, y, _ in fine]
    body = shapes.sweep(
        "banana",
        path,
        [thickness * w for _, _, w in fine],
        materials.attribute_paint("banana", 0.42, subsurface_weight=0.06, subsurface_scale=0.004),
        30,
        lambda a: 1 + 0.05 * math.cos(5 * a),
    )
    spots = [
        (random.uniform(-0.42, 0.42) * length, random.uniform(0, 6.28), random.uniform(0.001, 0.0025))
        for _ in range(26)
    ]

    def colour(point):
        """Yellow, greener at the stem, brown at both ends and in a few freckles."""
        along = point.x / length
        ends = max(0.0, min(1.0, (abs(along) - 0.455) / 0.035))
        green = max(0.0, min(1.0, (-along - 0.3) / 0.2))
        base = [0.86 - 0.35 * green, 0.56 - 0.12 * green, 0.035]
        for x, a, size in spots:
            near = math.hypot(point.x - x, thickness * (math.atan2(point.z - thickness, 0.01) - a + 3))
            ends = max(ends, 0.55 if near < size else 0)
        return [b * (1 - ends) + d * ends for b, d in zip(base, (0.09, 0.05, 0.02), strict=True)]

    shapes.paint(body, colour)
    return body
