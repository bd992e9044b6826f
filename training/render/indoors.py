"""Pictures on a table or a wall: one function each, named after its file. Lengths are metres."""

from . import fruits, materials, stage, tableware, things
from .gallery import picture
from .shapes import place


@picture(1)
def apple():
    """One apple on a table."""
    stage.room()
    place(fruits.apple(), (0, 0, 0), 0.6, (0.12, 0.06), "apple")
    stage.camera((0.03, -0.34, 0.13), (0, 0, 0.036))


@picture(2)
def oranges():
    """Two oranges that touch."""
    stage.room(paint=(0.40, 0.52, 0.56))
    place(fruits.orange(0.04), (-0.041, 0, 0), 1.0, (0.25, -0.2), "orange")
    place(fruits.orange(0.042), (0.040, 0.012, 0), 2.0, (-0.1, 0.3), "orange")
    stage.camera((0.02, -0.36, 0.15), (0, 0, 0.034))


@picture(3)
def clock():
    """A clock on a wall."""
    stage.wall(materials.plaster((0.60, 0.55, 0.45)), 0.0)
    stage.lamp((-1.4, -1.6, 1.4), (0, 0, 0), 60, 1.0, (1.0, 0.97, 0.92))
    stage.lamp((1.6, -1.4, 0.2), (0, 0, 0), 8, 1.0, (1.0, 0.88, 0.74))
    stage.ambient()
    place(things.clock(), (0, -0.002, 0), label="clock")
    stage.camera((0.12, -0.85, -0.06), (0, 0, 0), f_stop=8)


@picture(4)
def fruit():
    """Apples, oranges and a banana in and around a bowl."""
    stage.room(wood=materials.wood((0.10, 0.042, 0.018), (0.27, 0.13, 0.055)), paint=(0.58, 0.62, 0.54))
    place(tableware.bowl(0.13, 0.07), (0.03, 0.06, 0), label="bowl")
    place(fruits.orange(0.041), (-0.022, 0.03, 0.026), 1.0, (0.4, 0.3), "orange")
    place(fruits.apple(0.040), (0.066, 0.022, 0.028), 0.4, (0.25, 0.2), "apple")
    place(fruits.orange(0.040), (0.078, 0.104, 0.028), 2.2, (0.3, -0.2), "orange")
    place(fruits.apple(0.038), (-0.010, 0.112, 0.03), 2.4, (-0.2, 0.1), "apple")
    place(fruits.banana(0.19), (-0.108, -0.085, 0), 0.3, label="banana")
    place(fruits.apple(0.039), (0.17, -0.06, 0), 4.0, (0.1, -0.15), "apple")
    place(fruits.orange(0.040), (0.05, -0.125, 0), 5.0, (-0.4, 0.2), "orange")
    stage.camera((0.05, -0.62, 0.38), (0.0, 0, 0.015), f_stop=8)


@picture(5)
def apples():
    """Three apples, one of them green."""
    stage.room(wood=materials.wood((0.30, 0.19, 0.10), (0.62, 0.45, 0.27)), paint=(0.62, 0.50, 0.38))
    green = materials.apple_skin((0.17, 0.26, 0.02), (0.42, 0.48, 0.07))
    place(fruits.apple(0.040), (-0.078, 0.01, 0), 0.6, (0.1, 0.1), "apple")
    place(fruits.apple(0.039, green), (0.012, -0.03, 0), 2.5, (0.14, -0.05), "apple")
    place(fruits.apple(0.041), (0.088, 0.035, 0), 4.4, (0.1, 0.12), "apple")
    stage.camera((0.0, -0.44, 0.17), (0.005, 0, 0.032))


@picture(6)
def banana():
    """Two bananas that lie against each other."""
    stage.room(wood=materials.wood((0.12, 0.05, 0.02), (0.32, 0.16, 0.07)), paint=(0.45, 0.56, 0.58))
    place(fruits.banana(0.20), (0.0, -0.05, 0), 0.12, label="banana")
    place(fruits.banana(0.19), (0.02, -0.002, 0), -0.02, label="banana")
    stage.camera((0.02, -0.31, 0.30), (0.005, 0, 0.01), f_stop=8)


@picture(7)
def cup_and_bottle():
    """A mug in front of a bottle of wine."""
    stage.room(covering=materials.tiles((0.62, 0.66, 0.62)), distance=0.75)
    place(tableware.bottle(0.30), (-0.075, 0.06, 0), 0.4, label="bottle")
    place(tableware.cup(colour=(0.08, 0.22, 0.36)), (0.055, -0.02, 0), -0.5, label="cup")
    stage.camera((0.03, -0.72, 0.25), (0, 0, 0.135))


@picture(8)
def bowl():
    """A bowl of pea soup."""
    stage.room(wood=materials.wood((0.10, 0.042, 0.018), (0.27, 0.13, 0.055)), paint=(0.55, 0.53, 0.50))
    place(tableware.bowl(0.09, 0.06), (0, 0, 0), label="bowl")
    place(tableware.soup(0.09, 0.06), (0, 0, 0))
    stage.camera((0.06, -0.52, 0.22), (0, 0.02, 0.04), f_stop=8)


@picture(14)
def clock_desk():
    """A small clock on a desk, beside two books."""
    stage.room(wood=materials.wood((0.12, 0.05, 0.02), (0.32, 0.16, 0.07)), paint=(0.40, 0.50, 0.46), distance=0.9)
    place(things.clock(0.075, 7, 22, (0.10, 0.28, 0.27), feet=True), (-0.03, 0, 0.0925), 0.12, label="clock")
    place(things.book((0.13, 0.19, 0.03), (0.45, 0.16, 0.04)), (0.15, 0.05, 0), 1.75, label="book")
    place(things.book((0.12, 0.18, 0.026), (0.06, 0.12, 0.26)), (0.155, 0.05, 0.031), 1.5, label="book")
    stage.camera((0.06, -0.52, 0.16), (0.03, 0, 0.075))


@picture(15)
def crowd():
    """Many things that hide one another: for thresholds and non-maximum suppression."""
    stage.room(wood=materials.wood((0.13, 0.055, 0.022), (0.36, 0.19, 0.08)), distance=0.55, paint=(0.62, 0.58, 0.48))
    place(things.clock(0.11, 4, 36), (0.235, 0.545, 0.245), label="clock")
    for i, colour in enumerate(((0.05, 0.12, 0.22), (0.40, 0.30, 0.12), (0.28, 0.04, 0.04))):
        place(
            things.book((0.15, 0.22 - 0.01 * i, 0.034), colour),
            (-0.26, 0.20, 0.0345 * i),
            1.55 + 0.12 * i,
            label="book",
        )
    place(tableware.bottle(0.31), (-0.08, 0.22, 0), 0.4, label="bottle")
    place(tableware.bottle(0.29, (0.30, 0.20, 0.05), (0.75, 0.76, 0.74)), (0.005, 0.26, 0), 0.4, label="bottle")
    place(tableware.bowl(0.13, 0.07), (0.10, 0.06, 0), label="bowl")
    for x, y, z, kind in (
        (0.05, 0.03, 0.027, "orange"),
        (0.135, 0.02, 0.028, "apple"),
        (0.15, 0.105, 0.028, "orange"),
        (0.065, 0.112, 0.03, "apple"),
        (0.10, 0.064, 0.083, "orange"),
    ):
        thing = fruits.orange(0.040) if kind == "orange" else fruits.apple(0.039)
        place(thing, (x, y, z), 9 * x, (0.2, 0.15), kind)
    place(tableware.cup(), (-0.17, 0.02, 0), 2.4, label="cup")
    place(tableware.cup(colour=(0.70, 0.70, 0.66)), (-0.095, -0.055, 0), -0.4, label="cup")
    place(fruits.banana(0.20), (0.03, -0.155, 0), 0.15, label="banana")
    place(fruits.banana(0.19), (0.045, -0.115, 0), 0.05, label="banana")
    for x, y, kind in (
        (0.20, -0.10, "apple"),
        (0.262, -0.045, "apple"),
        (-0.20, -0.12, "orange"),
        (0.285, -0.125, "orange"),
    ):
        thing = fruits.orange(0.040) if kind == "orange" else fruits.apple(0.040)
        place(thing, (x, y, 0), 7 * x, (0.15, 0.1), kind)
    stage.camera((0.02, -1.02, 0.48), (0.01, 0.06, 0.10), f_stop=9)
