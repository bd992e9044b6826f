"""The list of pictures; indoors.py and outdoors.py fill it."""

from . import stage

PICTURES = {}


def picture(seed, **settings):
    """Register a scene; it starts from an empty stage with a seed of its own."""

    def register(build):
        def compose():
            stage.clear(seed, **settings)
            build()

        PICTURES[build.__name__] = compose
        return build

    return register
