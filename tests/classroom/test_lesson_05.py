"""The checks of lesson 5, both ways: solutions pass, the skeletons and typical mistakes get the right hint."""

import json
import random
import sqlite3
import threading
from contextlib import asynccontextmanager, closing, suppress
from functools import cache
from io import BytesIO
from itertools import count
from typing import Annotated

import joblib
import numpy as np
import pytest
from fastapi import FastAPI, HTTPException, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from helpers import cell_with
from pydantic import BaseModel, ConfigDict, Field, create_model
from sklearn.ensemble import RandomForestClassifier

from classroom.checks import check


class Loose(BaseModel):
    amount: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
    hour: Annotated[int, Field(ge=0, le=23)]
    abroad: bool
    failed_tries: Annotated[int, Field(ge=0, le=20)]


class Payment(Loose):
    model_config = ConfigDict(extra="forbid")


async def refuse(request, error):
    mistakes = [{key: each[key] for key in ("type", "loc", "msg")} for each in error.errors()]
    return JSONResponse({"detail": mistakes}, 422)


@cache
def model_file():
    """The bytes of the model that the notebook's own cell makes."""
    space = {"np": np, "joblib": joblib, "BytesIO": BytesIO, "RandomForestClassifier": RandomForestClassifier}
    exec(cell_with("05_serving_models.ipynb", "FRAUD_FILE ="), space)
    return space["FRAUD_FILE"]


@cache
def forest():
    return joblib.load(BytesIO(model_file()))


def row(payment):
    return [[payment.amount, payment.hour, payment.abroad, payment.failed_tries]]


def score(payment):
    return forest().predict_proba(row(payment))[0, 1].item()


def as_class(payment):
    return float(forest().predict(row(payment))[0])


def swapped(payment):
    return forest().predict_proba([[payment.amount, payment.hour, payment.failed_tries, payment.abroad]])[0, 1].item()


def read_again(payment):
    return joblib.load(BytesIO(model_file())).predict_proba(row(payment))[0, 1].item()


def fraud_app(schema=Payment, *, load="lifespan", handler=True, decide=None, predict=score, model=None):
    loads, lock = [], threading.Lock()
    forest()  # before the check counts

    @asynccontextmanager
    async def lifespan(app):
        if load == "lifespan":
            loads.append(1)
        yield

    handlers = {RequestValidationError: refuse} if handler else {}
    app = FastAPI(lifespan=lifespan, exception_handlers=handlers)
    name = {"name": "fraud", "version": "1"} if model is None else model

    @app.get("/v1/model")
    def card():
        return name | {"loads": len(loads)}

    @app.post("/v1/fraud")
    def fraud(payment: schema, threshold: Annotated[float, Query(ge=0, le=1)] = 0.5):
        with lock:
            if load == "request" or (load == "lazy" and not loads):
                loads.append(1)
        probability = predict(payment)
        decision = probability >= threshold if decide is None else decide(probability)
        return {"probability": probability, "threshold": threshold, "fraud": decision, "model": name}

    return app


def test_fraud_solution_passes(capsys):
    assert check("05.1", fraud_app()).ok
    assert "well done" in capsys.readouterr().out


def test_fraud_solution_passes_a_second_time_though_the_lifespan_runs_again():
    app = fraud_app()
    assert check("05.1", app).ok and check("05.1", app).ok


def test_fraud_skeleton_is_told_to_add_the_route(capsys):
    assert not check("05.1", FastAPI()).ok
    out = capsys.readouterr().out
    assert "@app.get('/v1/model')" in out and out.count("NOT YET") == 1


def test_fraud_without_the_second_route(capsys):
    app = FastAPI()
    app.get("/v1/model")(lambda: {"name": "fraud", "version": "1", "loads": 1})
    assert not check("05.1", app).ok
    assert "@app.post('/v1/fraud')" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("app", "hint"),
    [
        (lambda: fraud_app(load="request"), "take the model from request.state"),
        (lambda: fraud_app(load="lazy"), "load in the lifespan"),
        (lambda: fraud_app(decide=lambda probability: probability >= 0.5), "the threshold of this request"),
        (lambda: fraud_app(Loose), 'extra="forbid"'),
        (lambda: fraud_app(predict=lambda payment: 1 - score(payment)), "the second probability is fraud's"),
        (lambda: fraud_app(model={"name": "forest", "version": 2}), "both are texts"),
        (lambda: fraud_app(predict=lambda payment: np.float32(score(payment))), "speaks of numpy"),
        (lambda: fraud_app(predict=as_class), "predict gives a class"),
        (lambda: fraud_app(predict=swapped), "abroad, failed_tries, as in training"),
        (lambda: fraud_app(predict=lambda payment: min(1, payment.amount / 10_000)), "ask the trained model"),
        (lambda: fraud_app(predict=lambda payment: f"{score(payment)}", decide=bool), "ask the trained model"),
        (lambda: fraud_app(predict=read_again), "1, but the model was loaded"),
    ],
    ids=[
        "a load for each request",
        "a lazy load",
        "a fixed threshold",
        "unknown fields",
        "the wrong class",
        "no name",
        "numpy's numbers",
        "a class",
        "another order",
        "no model",
        "a text",
        "a load for each request that is not counted",
    ],
)
def test_fraud_mistakes(app, hint, capsys):
    assert not check("05.1", app()).ok
    assert hint in capsys.readouterr().out


def test_fraud_may_round_its_probabilities():
    assert check("05.1", fraud_app(predict=lambda payment: round(score(payment), 3))).ok


def limited(**changed):
    """The input's class with one other limit."""
    fields = {name: (Annotated[kind, Field(**changed.get(name, limits))], ...) for name, kind, limits in (
        ("amount", float, {"gt": 0, "le": 100_000, "allow_inf_nan": False}),
        ("hour", int, {"ge": 0, "le": 23}),
        ("failed_tries", int, {"ge": 0, "le": 20}),
    )}  # fmt: skip
    return create_model("Limited", __config__=ConfigDict(extra="forbid"), abroad=(bool, ...), **fields)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"hour": {"le": 23}}, 'NOT YET  422 for {"hour": -1}'),
        ({"failed_tries": {"le": 20}}, 'NOT YET  422 for {"failed_tries": -1}'),
        ({"hour": {"ge": 0, "lt": 23}}, 'NOT YET  200 for {"hour": 23}'),
        ({"amount": {"gt": 0, "lt": 100_000}}, 'NOT YET  200 for {"amount": 100000}'),
        ({"failed_tries": {"ge": 0, "lt": 20}}, 'NOT YET  200 for {"failed_tries": 20}'),
    ],
)
def test_fraud_limits(changed, line, capsys, monkeypatch):
    monkeypatch.setattr(random, "randint", lambda least, most: (least + most) // 2)  # no payment at an edge before
    assert not check("05.1", fraud_app(limited(**changed))).ok
    out = capsys.readouterr().out
    assert line in out and "Field(ge=..., le=...)" in out and out.count("NOT YET") == 1


def test_fraud_with_a_default_for_another_field(capsys):
    class Defaults(Payment):
        abroad: bool = False

    assert not check("05.1", fraud_app(Defaults)).ok
    assert '422 for {"abroad": left out}' in capsys.readouterr().out


@pytest.mark.parametrize("answer", [0.5, "loads", None, [1]])
def test_fraud_whose_model_route_answers_no_dictionary(answer, capsys):
    app = FastAPI()
    app.get("/v1/model")(lambda: answer)
    assert not check("05.1", app).ok
    assert "return a dictionary" in capsys.readouterr().out


def test_fraud_whose_model_is_a_text(capsys):
    app = FastAPI()
    app.get("/v1/model")(lambda: {"name": "fraud", "version": "1", "loads": 1})
    app.post("/v1/fraud")(lambda: {"probability": 0.1, "threshold": 0.5, "fraud": False, "model": "fraud"})
    assert not check("05.1", app).ok
    assert "both are texts" in capsys.readouterr().out


def test_fraud_without_limits(capsys):
    class NoLimits(BaseModel):
        model_config = ConfigDict(extra="forbid")
        amount: float
        hour: float
        abroad: bool
        failed_tries: int = 0

    def predict(payment):
        return min(max(score(payment), 0), 1)

    assert not check("05.1", fraud_app(NoLimits, predict=predict)).ok
    out = capsys.readouterr().out
    assert "Field(ge=" in out and "declare the hour as an int" in out and "give no field a default" in out


def test_fraud_whose_refusal_cannot_be_written(capsys):
    assert not check("05.1", fraud_app(handler=False)).ok
    out = capsys.readouterr().out
    assert "the handler of part 5" in out and out.count("NOT YET") == 1


def test_fraud_that_keeps_a_request_in_a_global(capsys):
    last, calls, together = [], count(), threading.Barrier(12)

    def predict(payment):
        last[:] = [payment]
        if next(calls) and not together.broken:  # the first one comes alone
            with suppress(threading.BrokenBarrierError):
                together.wait(0.5)  # every other request of the burst writes meanwhile
        return score(last[0])

    assert not check("05.1", fraud_app(predict=predict)).ok
    assert "keep nothing of a request in a global variable" in capsys.readouterr().out


def test_wrong_then_right_in_one_process():
    """A student corrects the cell and checks again: no restart is needed."""
    assert not check("05.1", fraud_app(load="request")).ok
    assert check("05.1", fraud_app()).ok


# exercise 2


def shop_factory(*, few=None, cut=True, fallback=True, live=True, low=1, crash=False):
    """A factory that does everything right, or one thing not."""

    def make_shop(path, popular):
        app = FastAPI()

        def rows():
            with closing(sqlite3.connect(path)) as database:
                return {row[0]: row[1:] for row in database.execute("SELECT * FROM recommendation")}

        kept = rows()

        @app.get("/v1/customers/{customer}/recommendations")
        def recommendations(customer: int, top: Annotated[int, Query(ge=low, le=5)] = 3):
            row = (rows() if live else kept).get(customer)
            if row is None:
                if not fallback:
                    raise HTTPException(404)
                return {"products": popular[: few or top], "source": "popular", "run": None}
            products = row[0] if crash else json.loads(row[0])
            products = products.copy() if crash else products
            return {"products": products[:top] if cut else products, "source": "batch", "run": row[1]}

        return app

    return make_shop


def test_shop_wrong_then_right_in_one_process(capsys):
    assert not check("05.2", shop_factory(live=False)).ok
    assert check("05.2", shop_factory()).ok
    assert "well done" in capsys.readouterr().out


def test_shop_skeleton_is_told_to_add_the_route(capsys):
    assert not check("05.2", lambda path, popular: FastAPI()).ok
    out = capsys.readouterr().out
    assert "inside make_shop" in out and out.count("NOT YET") == 1


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"cut": False}, "[:top] cuts it"),
        ({"fallback": False}, "fetchone() gives None"),
        ({"few": 3}, "cut to top"),
        ({"live": False}, "at each request"),
        ({"low": 0}, "Query(ge=1, le=5)"),
        ({"crash": True}, "'str' object has no attribute 'copy'"),
    ],
)
def test_shop_mistakes(mistake, hint, capsys):
    assert not check("05.2", shop_factory(**mistake)).ok
    assert hint in capsys.readouterr().out
