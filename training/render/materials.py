"""What things are made of. Colours are linear RGB, lengths are metres."""

from .nodes import Shader


def plain(name, colour, roughness=0.5, **inputs):
    """One colour all over: paint, plastic, metal."""
    return Shader(name, colour, roughness, **inputs).material


def glow(name, colour, strength):
    """A surface that gives light."""
    return plain(name, colour, 0.4, emission_color=(*colour, 1), emission_strength=strength)


def glass(name, colour, roughness=0.02):
    """Coloured glass."""
    return plain(name, colour, roughness, transmission_weight=1.0, ior=1.45)


def attribute_paint(name, roughness=0.4, **inputs):
    """Paint that the mesh brings along as its colour attribute "paint"."""
    s = Shader(name, roughness=roughness, **inputs)
    s.put("Base Color", s.node("VertexColor", settings={"layer_name": "paint"}))
    return s.material


def wood(dark=(0.16, 0.07, 0.028), light=(0.42, 0.22, 0.095), plank=0.14, roughness=0.38):
    """Planks along x, each with its own tone, and a fine grain."""
    s = Shader("wood", roughness=roughness)
    flat = s.coordinates()
    boards = s.node(
        "TexBrick",
        settings={"offset": 0.37},
        Vector=flat,
        Color1=(0.78,) * 3,
        Color2=(1.12,) * 3,
        Mortar=(0.25,) * 3,
        Scale=1.0,
        Mortar_Size=0.0012,
        Mortar_Smooth=0.4,
        Brick_Width=1.9,
        Row_Height=plank,
    )
    grain = s.noise(s.coordinates(scale=(3, 42, 42)), 1.0, 9.0, 0.9)
    pores = s.noise(s.coordinates(scale=(30, 900, 900)), 1.0, 2.0)
    colour = s.ramp(grain, (0.3, dark), (0.7, light))
    colour = s.mix(0.25, colour, s.ramp(pores, (0.35, (0.3,) * 3), (0.6, (1.0,) * 3)), "MULTIPLY")
    s.put("Base Color", s.mix(1.0, colour, boards, "MULTIPLY"))
    s.put("Roughness", s.ramp(grain, (0.3, (roughness + 0.15,) * 3), (0.7, (roughness - 0.08,) * 3)))
    s.bump(pores, 0.15, 0.0005)
    return s.material


def plaster(colour):
    """A painted wall, not quite even."""
    s = Shader("plaster", roughness=0.85)
    clouds = s.noise(s.coordinates(), 2.5, 6.0)
    s.put("Base Color", s.ramp(clouds, (0.3, tuple(c * 0.86 for c in colour)), (0.7, colour)))
    s.bump(s.noise(s.coordinates(), 160.0, 3.0), 0.12, 0.002)
    return s.material


def tiles(colour, joint=(0.45, 0.44, 0.42), size=(0.2, 0.1), roughness=0.18):
    """Rows of tiles or bricks, each row shifted by half of one; size and joint colour as given."""
    s = Shader("tiles", roughness=roughness)
    bricks = s.node(
        "TexBrick",
        Vector=s.coordinates(),
        Color1=colour,
        Color2=tuple(c * (0.8 + roughness / 10) for c in colour),
        Mortar=joint,
        Scale=1.0,
        Mortar_Size=0.04 * size[1],
        Brick_Width=size[0],
        Row_Height=size[1],
    )
    s.put("Base Color", s.mix(roughness * 0.6, bricks, s.noise(s.coordinates(), 7.0, 8.0), "SOFT_LIGHT"))
    return s.material


def apple_skin(blush=(0.36, 0.006, 0.012), ground=(0.62, 0.34, 0.045)):
    """Red streaks from pole to pole over a yellow ground, pale specks, a waxy shine."""
    s = Shader("apple", roughness=0.3, subsurface_weight=0.08, subsurface_scale=0.004, coat_weight=0.25)
    streaks = s.noise(s.coordinates("Generated", (9, 9, 1.1)), 1.6, 6.0, 0.4)
    patches = s.noise(s.coordinates("Generated"), 1.7, 2.0)
    value = s.mix(0.55, s.node("RGBToBW", Color=streaks), s.node("RGBToBW", Color=patches))
    colour = s.ramp(value, (0.38, blush), (0.53, tuple(c * 1.5 for c in blush)), (0.68, ground))
    specks = s.node("TexVoronoi", Vector=s.coordinates("Generated"), Scale=34.0)
    dots = s.ramp(specks, (0.06, (0.75, 0.55, 0.3)), (0.12, (0, 0, 0)))
    s.put("Base Color", s.mix(0.22, colour, dots, "ADD"))
    return s.material


def orange_peel():
    """Pitted, oily peel."""
    s = Shader("orange", roughness=0.36, subsurface_weight=0.1, subsurface_scale=0.004, coat_weight=0.15)
    where = s.coordinates("Generated")
    s.put("Base Color", s.ramp(s.noise(where, 3.0), (0.3, (0.80, 0.17, 0.004)), (0.7, (0.90, 0.26, 0.008))))
    pits = s.node("TexVoronoi", Vector=where, Scale=42.0, settings={"feature": "SMOOTH_F1"})
    s.bump(pits, 0.45, 0.0016)
    return s.material


def ceramic(colour):
    """Glazed pottery."""
    return plain("ceramic", colour, 0.16, coat_weight=0.4)


def asphalt():
    """A road."""
    s = Shader("asphalt", roughness=0.8)
    grit = s.noise(s.coordinates(), 240.0, 4.0)
    stains = s.noise(s.coordinates(), 0.7, 5.0)
    s.put(
        "Base Color",
        s.mix(
            0.5,
            s.ramp(grit, (0.3, (0.02,) * 3), (0.7, (0.15,) * 3)),
            s.ramp(stains, (0.3, (0.045,) * 3), (0.7, (0.11, 0.105, 0.1))),
        ),
    )
    s.bump(grit, 0.5, 0.004)
    return s.material


def leaves(dark=(0.012, 0.05, 0.006), light=(0.10, 0.22, 0.025), scale=9.0):
    """Grass, hedges and tree tops."""
    s = Shader("leaves", roughness=0.75)
    clouds = s.noise(s.coordinates(), scale, 8.0)
    s.put("Base Color", s.ramp(clouds, (0.32, dark), (0.7, light)))
    return s.material
