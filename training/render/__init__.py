"""The sample pictures of the lab and their true boxes, made from code with Blender's Cycles."""
