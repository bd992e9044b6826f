"""A few words for building shader nodes, so that materials.py reads like a recipe."""

import bpy


class Shader:
    """A new material with one Principled surface; methods add nodes and return output sockets."""

    def __init__(self, name, colour=(0.8, 0.8, 0.8), roughness=0.5, **inputs):
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.surface = self.tree.nodes["Principled BSDF"]
        self.put("Base Color", (*colour, 1))
        self.put("Roughness", roughness)
        for socket, value in inputs.items():
            self.put(socket.replace("_", " ").title().replace("Ior", "IOR"), value)

    def put(self, socket, value):
        """Give an input of the surface a constant, or the output of another node."""
        self._fill(self.surface.inputs[socket], value)

    def node(self, kind, output=0, settings=None, **inputs):
        """Add one node; `inputs` by socket name with spaces as underscores."""
        node = self.tree.nodes.new("ShaderNode" + kind)
        for key, value in (settings or {}).items():
            setattr(node, key, value)
        for key, value in inputs.items():
            self._fill(node.inputs[key.replace("_", " ")], value)
        return node.outputs[output]

    def coordinates(self, kind="Object", scale=(1, 1, 1)):
        """Where on the object we are: "Object" is in metres, "Generated" runs from 0 to 1."""
        return self.node("Mapping", Vector=self.node("TexCoord", kind), Scale=scale)

    def noise(self, where, scale, detail=4.0, distortion=0.0):
        """Cloudy values around one half."""
        return self.node("TexNoise", Vector=where, Scale=scale, Detail=detail, Distortion=distortion)

    def ramp(self, value, *stops):
        """Turn a value into a colour; each stop is (position, colour)."""
        output = self.node("ValToRGB", Fac=value)
        elements = output.node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(0.5)
        for element, (position, colour) in zip(elements, stops, strict=True):
            element.position = position
            element.color = (*colour, 1)
        return output

    def mix(self, amount, one, other, blend="MIX"):
        """Blend two colours."""
        return self.node("MixRGB", settings={"blend_type": blend}, Fac=amount, Color1=one, Color2=other)

    def bump(self, height, strength, distance):
        """Let the surface look uneven; `distance` in metres."""
        self.put("Normal", self.node("Bump", Height=height, Strength=strength, Distance=distance))

    def _fill(self, socket, value):
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        else:
            if socket.type == "RGBA" and len(value) == 3:
                value = (*value, 1)
            socket.default_value = value
