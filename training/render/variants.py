"""Other views of the same scenes, as photos to train on: python -m training.render.variants FOLDER [--count 6]

Each is seen from another side and distance, under another light, at 256 pixels; none of them is a picture in images/.
truth.json beside them (COCO form) holds the boxes that the renderer knows; a second run goes on after the last picture.
"""

import argparse
import json
import random
from pathlib import Path

import bpy
from mathutils import Matrix, Vector

from . import indoors, outdoors, stage, truth  # noqa: F401 (the scenes register themselves)
from .gallery import PICTURES

NAMES = Path(__file__).parents[2] / "yololab/vision/starter.names"


def turn(side: float, nearer: float, higher: float) -> None:
    """Move the camera around what it looks at: radians to the side, a factor of the distance, radians up."""
    camera = bpy.context.scene.camera
    distance = camera.data.dof.focus_distance
    middle = camera.location + camera.matrix_world.to_quaternion() @ Vector((0, 0, -distance))
    away = camera.location - middle
    away = Matrix.Rotation(side, 3, "Z") @ Matrix.Rotation(higher, 3, away.cross((0, 0, 1))) @ away * nearer
    camera.location = middle + away
    camera.rotation_euler = (-away).to_track_quat("-Z", "Y").to_euler()
    camera.data.dof.focus_distance = distance * nearer
    camera.data.shift_x, camera.data.shift_y = random.uniform(-0.12, 0.12), random.uniform(-0.08, 0.08)


def relight() -> None:
    """Other strengths and colours for every lamp, another exposure."""
    bpy.context.scene.view_settings.exposure += random.uniform(-0.5, 0.4)
    for light in bpy.data.lights:
        light.energy *= random.uniform(0.5, 1.5)
        light.color = [min(1.0, part * random.uniform(0.8, 1.1)) for part in light.color]


def main() -> None:
    parser = argparse.ArgumentParser(description="Render other views of the sample scenes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=6, help="of each scene")
    parser.add_argument("--scenes", nargs="+", default=list(PICTURES))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    record = options.folder / "truth.json"
    entries = truth.read(record) if record.exists() else {}
    for number in range(options.count):
        for name in options.scenes:
            file = options.folder / f"{name}-{number}.jpg"
            if file.name in entries:
                continue
            PICTURES[name]()
            bpy.context.view_layer.update()
            random.seed(f"{name} {number}")
            side = random.choice((-1, 1)) * random.uniform(0.08, 0.4)
            turn(side, random.uniform(0.85, 1.7), random.uniform(-0.02, 0.12))
            relight()
            scene = bpy.context.scene
            scene.render.resolution_x, scene.render.resolution_y, scene.cycles.samples = 256, 192, 16
            scene.render.image_settings.file_format = "JPEG"
            stage.shoot(file)
            entries[file.name] = 256, 192, truth.visible_boxes()
            record.write_text(json.dumps(truth.coco(entries, NAMES.read_text().splitlines()), indent=1) + "\n")
            print(file.name, len(entries[file.name][2]), flush=True)


if __name__ == "__main__":
    main()
