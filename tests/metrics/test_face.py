"""Arithmetic of FDFR and ISM on invented faces, how OpenCV is called, and what is said without it."""

import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from unlearnable.errors import SetupError, UsageError
from unlearnable.metrics import face
from unlearnable.metrics.base import Score


def test_detection_failures_are_counted():
    found = face.fdfr([torch.ones(3), None, None, torch.ones(3)])
    assert found.tolist() == [0, 1, 1, 0] and Score("fdfr", found, True).mean == 0.5


def test_identity_is_the_cosine_to_the_mean_clean_face():
    clean = [torch.tensor([2.0, 0.0]), torch.tensor([0.0, 5.0]), None]  # lengths do not count: the mean is diagonal
    rows = face.ism([torch.tensor([1.0, 1.0]), torch.tensor([3.0, 0.0]), None, torch.tensor([-1.0, -1.0])], clean)
    assert rows[[0, 1, 3]].tolist() == pytest.approx([1, math.sqrt(0.5), -1]) and rows[2].isnan()
    assert Score("ism", rows, False).mean == pytest.approx(math.sqrt(0.5) / 3)  # pictures without a face left out
    with pytest.raises(UsageError, match="none was found in 2 of them"):
        face.ism([torch.ones(2)], [None, None])


@pytest.fixture
def no_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.delenv(face.FOLDER, raising=False)


@pytest.fixture
def opencv(monkeypatch):
    """Stands in for cv2: finds faces where a picture is red, and embeds their colour."""
    monkeypatch.delenv(face.FOLDER, raising=False)
    calls = types.SimpleNamespace(size=None, sure=None)

    class Detector:
        def setInputSize(self, size):
            calls.size = size

        def detect(self, pixels):
            assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
            if pixels[..., 2].mean() < 128:  # BGR
                return 0, None
            faces = np.zeros((2, 15), np.float32)
            faces[:, -1], faces[:, 0] = (0.7, 0.9), (10, 20)
            return 2, faces

    class Recogniser:
        def alignCrop(self, pixels, box):
            assert box[0] == 20, "the most certain face counts"
            return pixels

        def feature(self, pixels):
            return pixels.reshape(-1, 3).mean(0, keepdims=True).astype(np.float32)

    module = types.ModuleType("cv2")

    def detector(path, config, size, sure):
        calls.sure = sure
        if Path(path).read_bytes():
            raise module.error("not a model")
        return Detector()

    module.error = type("error", (Exception,), {})
    module.FaceDetectorYN = types.SimpleNamespace(create=detector)
    module.FaceRecognizerSF = types.SimpleNamespace(create=lambda path, config: Recogniser())
    monkeypatch.setitem(sys.modules, "cv2", module)
    return calls


def test_without_opencv_one_sentence_names_the_extra(no_opencv):
    with pytest.raises(SetupError, match=r"pip install -c constraints.txt 'unlearnable\[face\]'"):
        face.OpenCV()


def test_without_model_files_one_sentence_names_them(opencv, tmp_path, monkeypatch):
    with pytest.raises(SetupError, match="a folder named by UNLEARNABLE_FACE_MODELS"):
        face.OpenCV()
    (tmp_path / face.DETECTOR).write_bytes(b"")
    monkeypatch.setenv(face.FOLDER, str(tmp_path))
    with pytest.raises(SetupError, match=f"faces need {face.RECOGNISER} in "):
        face.OpenCV()


def test_damaged_model_files_are_one_sentence(opencv, tmp_path):
    for name in (face.DETECTOR, face.RECOGNISER):
        (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(SetupError, match="OpenCV cannot read the face models"):
        face.OpenCV(tmp_path)


def test_opencv_is_given_upright_bgr_bytes_and_its_best_face_taken(opencv, tmp_path):
    for name in (face.DETECTOR, face.RECOGNISER):
        (tmp_path / name).write_bytes(b"")
    reader = face.OpenCV(tmp_path)
    red, blue = torch.zeros(3, 20, 30), torch.zeros(3, 20, 30)
    red[0], blue[2] = 1, 1
    assert reader(red).tolist() == [0, 0, 255] and opencv.size == (30, 20) and opencv.sure == face.SURE
    assert reader(blue) is None
