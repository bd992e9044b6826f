"""Bowls, cups and bottles, standing on z = 0 around the origin. Lengths are metres."""

import math
import random

from . import materials, shapes


def bowl(radius=0.13, height=0.075, material=None):
    """A round bowl with a foot."""
    outside = [
        (0, 0),
        (0.40, 0),
        (0.42, 0),
        (0.42, 0.08),
        (0.45, 0.1),
        (0.75, 0.34),
        (0.93, 0.7),
        (0.99, 0.98),
        (0.98, 1.0),
    ]
    inside = [(0.955, 0.98), (0.89, 0.7), (0.71, 0.4), (0.4, 0.19), (0, 0.15)]
    profile = [(r * radius, z * height) for r, z in shapes.curve(outside + inside)]
    return shapes.lathe("bowl", profile, material or materials.ceramic((0.75, 0.76, 0.74)), 96)


def soup(radius, height):
    """The filling of a bowl(radius, height): soup with herbs on it."""
    level = 0.74 * height
    parts = [
        shapes.lathe(
            "soup",
            [(0.893 * radius, level), (0, level)],
            materials.plain("soup", (0.22, 0.30, 0.04), 0.12, subsurface_weight=0.1, subsurface_scale=0.004),
        )
    ]
    herb = materials.plain("herb", (0.06, 0.20, 0.02), 0.6)
    for _ in range(26):
        a, reach = random.uniform(0, 6.28), 0.7 * radius * random.random() ** 0.6
        leaf = shapes.box("leaf", (random.uniform(0.003, 0.009), 0.003, 0.0008), (0, 0, 0), herb)
        parts.append(shapes.place(leaf, (reach * math.cos(a), reach * math.sin(a), level + 0.0004), 5 * a))
    return shapes.join(parts)


def cup(radius=0.042, height=0.092, colour=(0.62, 0.08, 0.05)):
    """A mug with coffee in it; the handle points to +x."""
    pottery = materials.ceramic(colour)
    profile = [
        (0, 0),
        (0.85, 0),
        (0.9, 0),
        (0.97, 0.06),
        (1, 0.2),
        (1, 0.6),
        (1, 0.97),
        (0.98, 1.0),
        (0.94, 0.98),
        (0.93, 0.6),
        (0.92, 0.15),
        (0.8, 0.07),
        (0, 0.06),
    ]
    body = shapes.lathe("cup", [(r * radius, z * height) for r, z in shapes.curve(profile)], pottery)
    path = [(0.94, 0.80), (1.25, 0.86), (1.62, 0.74), (1.72, 0.52), (1.55, 0.30), (1.2, 0.2), (0.94, 0.22)]
    path = [(x * radius, 0, z * height) for x, z in shapes.curve(path)]
    handle = shapes.sweep("handle", path, [0.13 * radius] * len(path), pottery)
    drink = shapes.lathe(
        "coffee",
        [(0.935 * radius, 0.84 * height), (0, 0.84 * height)],
        materials.plain("coffee", (0.035, 0.014, 0.006), 0.08),
    )
    return shapes.join([body, handle, drink])


def bottle(height=0.30, colour=(0.10, 0.30, 0.08), label=(0.80, 0.74, 0.60)):
    """A wine bottle with a blank label, dark wine up to the shoulder and a foil cap."""
    profile = [
        (0, 0.01),
        (0.028, 0),
        (0.036, 0.004),
        (0.0375, 0.015),
        (0.0375, 0.015),
        (0.0375, 0.17),
        (0.0375, 0.185),
        (0.033, 0.205),
        (0.019, 0.228),
        (0.0145, 0.245),
        (0.0140, 0.26),
        (0.0140, 0.292),
        (0.012, 0.299),
        (0, 0.3),
    ]
    scale = height / 0.30
    points = [(r * scale, z * scale) for r, z in shapes.curve(profile)]
    body = shapes.lathe(
        "bottle", points, materials.plain("glass", tuple(c * 0.15 for c in colour), 0.06, coat_weight=1.0), 96
    )
    paper = shapes.lathe(
        "label", [(0.0379 * scale, z * scale) for z in (0.05, 0.13)], materials.plain("paper", label, 0.7), 96
    )
    foil = shapes.curve(
        [(0.0150, 0.235), (0.0148, 0.26), (0.0148, 0.292), (0.0155, 0.293), (0.0155, 0.299), (0.0, 0.301)]
    )
    foil = shapes.lathe(
        "foil",
        [(r * scale, z * scale) for r, z in foil],
        materials.plain("foil", (0.22, 0.012, 0.02), 0.35, metallic=0.6),
    )
    return shapes.join([body, paper, foil])
