"""Pictures under the sky: one function each, named after its file. Lengths are metres."""

from . import cars, materials, stage, street, things
from .gallery import picture
from .shapes import box, place


@picture(9)
def ball():
    """A football on a lawn."""
    stage.sky(38, 200)
    street.lawn(-1.6, 7.0, 190_000)
    for x, y in ((-7, 22), (-1.5, 26), (4.5, 23), (10, 27)):
        place(street.tree(7, 3.0), (x, y, 0), x)
    place(things.soccer_ball(), (0, 0, 0.122), 0.0, (0.0, 0.0), "sports ball")
    stage.camera((-0.2, -1.9, 0.8), (-0.1, 0, 0.2), 60, 4)


@picture(10)
def stop_sign():
    """A stop sign at a road with trees."""
    stage.sky(40, 215)
    street.lawn(0, 1)
    for x, y in ((-9, 20), (-4.5, 24), (0.5, 21), (5, 25), (9.5, 20)):
        place(street.tree(5, 2.6), (x, y, 0), x)
    place(street.stop_sign(), (0, 0, 0), 0.12, label="stop sign")
    place(street.post(2.35), (0, 0, 0), 0.12)
    stage.camera((-0.25, -2.5, 1.75), (0, 0, 2.0), 55, 2.8)


@picture(11)
def traffic_light():
    """A traffic light that shows red."""
    stage.sky(30, 230)
    for x, y in ((-3.5, 14), (3.5, 17)):
        place(street.tree(5.2, 2.4), (x, y, 0), x)
    place(street.traffic_light(0), (0, 0, 3.6), -0.02, label="traffic light")
    place(street.post(4.5, 0.05, 0.16), (0, 0, 0), -0.02)
    stage.camera((-0.4, -3.6, 2.3), (0, 0, 3.55), 52, 4)


@picture(13)
def car():
    """A car parked before a row of bushes."""
    stage.sky(42, 215)
    street.lawn(-25, 7)
    stage.road(materials.asphalt(), -30, 3.2)
    box("kerb", (60, 0.18, 0.12), (0, 3.2, 0.06), materials.plain("kerb", (0.33, 0.32, 0.30), 0.8), 0.02)
    for i in range(13):
        place(street.tree(1.3, 1.5), (1.5 * i - 9, 8 + i % 3 * 0.4, 0), i)
    place(cars.car((0.02, 0.07, 0.20)), (0, 0, 0), -0.66, label="car")
    stage.camera((0.5, -7.8, 1.35), (0.05, 0, 0.72), 50, 5.6)
