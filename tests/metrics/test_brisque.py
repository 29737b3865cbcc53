"""BRISQUE against scikit-learn's regression, written as libsvm writes it, and against the statistics of NIQE."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVR

import tiny
from unlearnable import registry
from unlearnable.errors import SetupError
from unlearnable.metrics import brisque
from unlearnable.metrics.quality import patches


def files(folder, machine, scaler):
    """A regression of scikit-learn in the two text files."""
    gamma, rho = machine._gamma, -machine.intercept_[0]
    head = f"svm_type epsilon_svr\nkernel_type rbf\ngamma {gamma!r}\nnr_class 2\ntotal_sv 0\nrho {float(rho)!r}\nSV\n"
    rows = [
        " ".join([repr(float(c)), *(f"{i}:{float(v)!r}" for i, v in enumerate(vector, 1) if v)])
        for c, vector in zip(machine.dual_coef_[0], machine.support_vectors_)
    ]
    (folder / "allmodel").write_text(head + "\n".join(rows) + "\n")
    ranges = [f"{i} {low!r} {high!r}" for i, (low, high) in enumerate(zip(*map(list, scaler)), 1)]
    (folder / "allrange").write_text("x\n-1 1\n" + "\n".join(ranges) + "\n")


def test_it_is_the_regression_of_the_statistics(tmp_path, monkeypatch):
    x = tiny.pictures(6, seed=3, side=96)
    rows = torch.stack([brisque.statistics(image[None]) for image in x]).numpy()
    scaler = MinMaxScaler((-1, 1)).fit(rows)
    scores = np.array([10.0, 80.0, 35.0, 20.0, 60.0, 5.0])
    machine = SVR(gamma=0.05, C=500, epsilon=0.5).fit(scaler.transform(rows), scores)
    files(tmp_path, machine, (scaler.data_min_.tolist(), scaler.data_max_.tolist()))
    monkeypatch.setenv(brisque.FOLDER, str(tmp_path))
    found = registry.load("brisque", "metric")(x)
    assert found.tolist() == pytest.approx(machine.predict(scaler.transform(rows)).tolist(), rel=1e-6)
    assert found.std() > 5


def test_on_one_patch_its_statistics_are_those_of_niqe():
    for image in tiny.pictures(2, seed=5, side=96):
        assert brisque.statistics(image[None]).tolist() == pytest.approx(patches(image[None])[0, :-1].tolist())


def test_what_is_missing_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.delenv(brisque.FOLDER, raising=False)
    with pytest.raises(SetupError, match="allmodel and allrange in a folder named by UNLEARNABLE_BRISQUE: put them"):
        brisque.brisque(tiny.pictures(1))
    for name in ("allmodel", "allrange"):
        (tmp_path / name).write_text("gamma 1\n")
    monkeypatch.setenv(brisque.FOLDER, str(tmp_path))
    with pytest.raises(SetupError, match="are not whole"):
        brisque.brisque(tiny.pictures(1))
