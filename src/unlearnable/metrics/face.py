"""Faces: does a detector still find one, and is it still the same person. Needs OpenCV and two small model files.

OpenCV's YuNet (Wu et al. 2023) finds faces and its SFace (Zhong et al. 2021, arXiv 2205.12010) embeds them; both model
files are free to use, and neither is fetched by us. The papers of this field use RetinaFace and ArcFace: figures of
different networks do not compare.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.errors import SetupError, UsageError, shown
from unlearnable.metrics.base import FACES, check, metric

FOLDER = "UNLEARNABLE_FACE_MODELS"
DETECTOR, RECOGNISER = "face_detection_yunet_2023mar.onnx", "face_recognition_sface_2021dec.onnx"
SURE = 0.6  # detector's score from which a face counts


class OpenCV:
    """YuNet and SFace. `folder` holds both model files, by default the one that UNLEARNABLE_FACE_MODELS names."""

    def __init__(self, folder: str | Path | None = None) -> None:
        models = Path(folder or os.environ.get(FOLDER, ""))
        try:
            import cv2
        except ImportError as error:
            raise SetupError(
                "faces need OpenCV: run `pip install -c constraints.txt 'unlearnable[face]'`, and put "
                f"{DETECTOR} and {RECOGNISER} into a folder named by {FOLDER}"
            ) from error
        missing = [name for name in (DETECTOR, RECOGNISER) if not (models / name).is_file()]
        if missing:
            where = shown(models) if folder or os.environ.get(FOLDER) else f"a folder named by {FOLDER}"
            raise SetupError(f"faces need {' and '.join(missing)} in {where}: get them from opencv/opencv_zoo")
        try:
            self._detector: Any = cv2.FaceDetectorYN.create(str(models / DETECTOR), "", (320, 320), SURE)
            self._recogniser: Any = cv2.FaceRecognizerSF.create(str(models / RECOGNISER), "")
        except cv2.error as error:
            raise SetupError(f"OpenCV cannot read the face models in {shown(models)}: get them again") from error

    def __call__(self, image: Tensor) -> Tensor | None:
        """The most certain face of a picture ``[3 h w]`` in [0, 1], embedded ``[d]``; None where there is none."""
        check(image[None])
        pixels = (image.permute(1, 2, 0).flip(-1) * 255).round().to(torch.uint8).cpu().contiguous().numpy()  # BGR
        self._detector.setInputSize((pixels.shape[1], pixels.shape[0]))
        _, detections = self._detector.detect(pixels)
        if detections is None or not len(detections):
            return None
        best = detections[detections[:, -1].argmax()]
        return torch.from_numpy(self._recogniser.feature(self._recogniser.alignCrop(pixels, best)).copy()).flatten()


@metric(FACES, higher_is_better=True, unit="share")
def fdfr(faces: Sequence[Tensor | None], references: Sequence[Tensor | None] = ()) -> Tensor:
    """Face detection failure rate: share of pictures in which no face is found.

    Unit: share from 0 to 1; one row of 0 or 1 a picture. Better for the owner, on generated pictures: higher.
    Needs: the extra `face` and two model files. Source: Anti-DreamBooth, arXiv 2303.15433, section 5.1.
    """
    return torch.tensor([float(face is None) for face in faces], dtype=torch.float64)


@metric(FACES, higher_is_better=False)
def ism(faces: Sequence[Tensor | None], references: Sequence[Tensor | None]) -> Tensor:
    """Identity score matching: cosine of a picture's face to the mean face of the person's clean pictures.

    Unit: cosine, -1 to 1; NaN, and left out of the mean, where no face is found. Better for the owner: lower.
    Needs: the extra `face` and two model files. Source: Anti-DreamBooth, arXiv 2303.15433, section 5.1.
    """
    clean_faces = [F.normalize(face.double(), dim=0) for face in references if face is not None]
    if not clean_faces:
        raise UsageError(f"ism needs a face in the clean pictures, and none was found in {len(references)} of them")
    person = F.normalize(torch.stack(clean_faces).mean(0), dim=0)
    rows = [torch.nan if face is None else float(F.normalize(face.double(), dim=0) @ person) for face in faces]
    return torch.tensor(rows, dtype=torch.float64)
