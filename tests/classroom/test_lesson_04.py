"""The checks of lesson 4, both ways: solutions pass; skeletons and typical mistakes fail with the right hint."""

import time

import pytest
from fastapi import Depends, FastAPI, HTTPException, Response
from sqlalchemy import URL
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import registry
from sqlmodel import Field, Session, SQLModel, create_engine, select

from classroom.checks import check

LOOK = 0.02  # seconds that a look before the leap takes, so that the race is sure to be lost


class Base(SQLModel, registry=registry()):
    pass


class Album(Base, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)


class Loose(Base, table=True):  # an album without the constraint
    id: int | None = Field(default=None, primary_key=True)
    name: str


class Camera(Base, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str
    place: str
    active: bool


@pytest.fixture
def session_dependency(tmp_path):
    """A dependency that gives sessions of a new database."""
    engine = create_engine(URL.create("sqlite", database=str(tmp_path / "test.db")), connect_args={"timeout": 30})
    Base.metadata.create_all(engine)

    def get_session():
        with Session(engine) as session:
            yield session

    yield Depends(get_session)
    engine.dispose()


def unrefreshed(session, row):
    session.add(row)
    session.commit()
    return row


def store(session, row):
    session.refresh(unrefreshed(session, row))
    return row


# --- exercise 1


class AlbumIn(SQLModel):
    name: str = Field(min_length=1, max_length=50)


class Narrow(SQLModel):
    name: str = Field(min_length=2, max_length=50)


class Short(SQLModel):
    name: str = Field(min_length=1, max_length=49)


class AnyAlbum(SQLModel):
    name: str


def conflict(session, album):
    try:
        return store(session, album)
    except IntegrityError:
        session.rollback()
        raise HTTPException(409) from None


def look(session, album):
    if session.exec(select(type(album)).where(type(album).name == album.name)).first():
        raise HTTPException(409)
    time.sleep(LOOK)
    return store(session, album)


def broken(session, album):
    return store(session, AnyAlbum(name=album.name))


def forgetful_look(session, album):
    """A look that knows nothing of the database, only that every album is new."""
    return store(session, album)


def album_app(dependency, Table=Album, insert=conflict, Model=AlbumIn, location="/albums/{}", after_delete=204):
    app = FastAPI()

    @app.post("/albums", status_code=201)
    def create(new: Model, response: Response, session: Session = dependency):
        album = insert(session, Table(name=new.name))
        response.headers["Location"] = location.format(album.id)
        return album

    @app.get("/albums/{number}")
    def read(number: int, session: Session = dependency):
        return session.get(Table, number) or Response(status_code=404)

    @app.delete("/albums/{number}", status_code=after_delete)
    def remove(number: int, session: Session = dependency):
        album = session.get(Table, number)
        if album is None:
            raise HTTPException(404)
        session.delete(album)
        session.commit()

    return app


def test_albums_solution_passes(session_dependency):
    app = album_app(session_dependency)
    assert check("04.1", app).ok
    assert check("04.1", app).ok  # also on a database that holds something


def test_a_rule_that_is_broken_without_a_race_is_not_raced(session_dependency):
    report = check("04.1", album_app(session_dependency, Table=Loose, insert=forgetful_look))
    assert not any("8 clients" in text for _, text in report.lines)


def test_albums_skeleton_is_told_to_add_the_route(capsys):
    report = check("04.1", FastAPI())
    assert not report.ok and len(report.lines) == 1
    assert ".post('/albums', status_code=201)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "mistake, hint",
    [
        ({"Table": Loose, "insert": look}, "a look before the insert proves nothing"),
        ({"insert": look}, "a look before the insert proves nothing"),
        ({"Table": Loose, "insert": forgetful_look}, "unique=True in the table"),
        ({"insert": broken}, "the function is there and raised this error"),
        ({"Model": AnyAlbum}, "a table model checks nothing"),
        ({"Model": Narrow}, "NOT YET  a name of 1 characters"),
        ({"Model": Short}, "NOT YET  a name of 50 characters"),
        ({"location": "/album/{}"}, 'response.headers["Location"]'),
        ({"after_delete": 200}, "status_code=204 in the decorator"),
    ],
)
def test_albums_mistakes(session_dependency, mistake, hint, capsys):
    assert not check("04.1", album_app(session_dependency, **mistake)).ok
    assert hint in capsys.readouterr().out


# --- exercise 2


class CameraIn(SQLModel):
    name: str = Field(min_length=1, max_length=50)
    place: str = ""
    active: bool = True


class CameraPatch(SQLModel):
    name: str = Field(default=None, min_length=1, max_length=50)
    place: str = None
    active: bool = None


class Nullable(SQLModel):
    name: str | None = None
    place: str | None = None
    active: bool | None = None


def camera_app(dependency, put=None, patch=None, Patch=CameraPatch, save=store):
    app = FastAPI()

    @app.post("/cameras", status_code=201)
    def create(new: CameraIn, session: Session = dependency):
        return store(session, Camera(**new.model_dump()))

    @app.get("/cameras/{number}")
    def read(number: int, session: Session = dependency):
        camera = session.get(Camera, number)
        if camera is None:
            raise HTTPException(404)
        return camera

    if put:

        @app.put("/cameras/{number}")
        def replace(new: CameraIn, session: Session = dependency, camera: Camera = Depends(read)):  # noqa: B008
            return save(session, camera.sqlmodel_update(put(new)))

    if patch:

        @app.patch("/cameras/{number}")
        def update(new: Patch, session: Session = dependency, camera: Camera = Depends(read)):  # noqa: B008
            return save(session, camera.sqlmodel_update(patch(new)))

    return app


def everything(new):
    return new.model_dump()


def what_was_sent(new):
    return new.model_dump(exclude_unset=True)


def truthy(new):
    return {key: value for key, value in new.model_dump().items() if value}


def no_nulls(new):
    return new.model_dump(exclude_none=True)


def test_cameras_solution_passes(session_dependency):
    assert check("04.2", camera_app(session_dependency, everything, what_was_sent)).ok


def test_cameras_skeleton_lacks_both(session_dependency, capsys):
    assert not check("04.2", camera_app(session_dependency)).ok
    out = capsys.readouterr().out
    assert "@cameras.put('/cameras/{number}')" in out and "@cameras.patch(" in out and "ok       POST" in out


@pytest.mark.parametrize(
    "put, patch, Patch, hint",
    [
        (what_was_sent, what_was_sent, CameraPatch, "copy all its fields, those left out as well"),
        (everything, everything, CameraIn, "model_dump(exclude_unset=True) holds the fields that came"),
        (everything, truthy, CameraPatch, "do not ask `if value:`"),
        (everything, no_nulls, Nullable, "defaults are not checked"),
    ],
)
def test_cameras_mistakes(session_dependency, put, patch, Patch, hint, capsys):
    assert not check("04.2", camera_app(session_dependency, put, patch, Patch)).ok
    assert hint in capsys.readouterr().out


def test_cameras_answered_without_a_refresh(session_dependency, capsys):
    assert not check("04.2", camera_app(session_dependency, everything, what_was_sent, save=unrefreshed)).ok
    assert capsys.readouterr().out.count("session.refresh, or a response_model") == 2


def test_wrong_then_right_in_one_process(session_dependency):
    """A student corrects the cell and checks again: no restart is needed."""
    assert not check("04.1", album_app(session_dependency, insert=look)).ok
    assert check("04.1", album_app(session_dependency)).ok
    assert not check("04.2", camera_app(session_dependency, everything, truthy)).ok
    assert check("04.2", camera_app(session_dependency, everything, what_was_sent)).ok


def test_a_crash_is_shown_with_its_error(session_dependency, capsys):
    def crashes(new):
        return new.no_such_field

    assert not check("04.2", camera_app(session_dependency, crashes, what_was_sent)).ok
    assert "no_such_field" in capsys.readouterr().out
