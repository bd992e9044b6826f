"""True boxes from the renderer: the VISIBLE extent of every labelled object, in COCO form."""

import json

import bpy


def visible_boxes():
    """Send one ray through the middle of each pixel; return [(label, [x, y, w, h], pixels seen), ...]."""
    scene = bpy.context.scene
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    width, height = scene.render.resolution_x, scene.render.resolution_y
    eye = scene.camera.matrix_world
    start = eye.translation
    frame = scene.camera.data.view_frame(scene=scene)
    top_right, bottom_right, _, top_left = (eye.to_3x3() @ corner for corner in frame)
    across, down = top_right - top_left, bottom_right - top_right
    seen = {}
    for y in range(height):
        row = top_left + down * ((y + 0.5) / height)
        for x in range(width):
            hit, _, _, _, thing, _ = scene.ray_cast(graph, start, row + across * ((x + 0.5) / width))
            if hit and "label" in thing:
                box = seen.setdefault(thing.name, [thing["label"], x, y, x, y, 0])
                box[1], box[3] = min(box[1], x), max(box[3], x)
                box[4] = y
                box[5] += 1
    return [(label, [x1, y1, x2 + 1 - x1, y2 + 1 - y1], area) for label, x1, y1, x2, y2, area in seen.values()]


def coco(pictures, names):
    """Make the COCO document; `pictures` maps a file name to (width, height, visible_boxes())."""
    document = {"images": [], "annotations": [], "categories": []}
    document["categories"] = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    for image_id, (file, (width, height, boxes)) in enumerate(sorted(pictures.items()), 1):
        document["images"].append({"id": image_id, "file_name": file, "width": width, "height": height})
        for label, box, area in boxes:
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": names.index(label) + 1,
                    "bbox": box,
                    "area": area,
                    "iscrowd": 0,
                }
            )
    return document


def read(file):
    """Undo coco(): read the file back into the mapping it was made from."""
    document = json.loads(file.read_text())
    names = {c["id"]: c["name"] for c in document["categories"]}
    pictures = {i["id"]: (i["file_name"], (i["width"], i["height"], [])) for i in document["images"]}
    for a in document["annotations"]:
        pictures[a["image_id"]][1][2].append((names[a["category_id"]], a["bbox"], a["area"]))
    return dict(pictures.values())
