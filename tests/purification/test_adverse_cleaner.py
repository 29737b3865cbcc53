"""AdverseCleaner's filters against loops over pixels, and against OpenCV where it is installed."""

import numpy as np
import pytest
import torch

from tiny import pictures
from unlearnable.purification.adverse_cleaner import AdverseCleaner, bilateral, guided
from unlearnable.purification.simple import CropResize


def sample(side=24):
    """Levels ``[1 3 h w]`` with edges and a little noise, which a bilateral filter of 8 levels takes for texture."""
    noise = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    return ((255 * pictures(1, seed=4) + 4 * noise).clamp(0, 255))[..., :side, : side - 3]


def mirrored(i, n):
    return -i if i < 0 else 2 * (n - 1) - i if i >= n else i


def slow_bilateral(x):
    x = x[0].double().numpy().transpose(1, 2, 0)
    h, w, _ = x.shape
    y = np.zeros_like(x)
    for i in range(h):
        for j in range(w):
            total = weights = 0.0
            for di in range(-2, 3):
                for dj in range(-2, 3):
                    if np.hypot(di, dj) > 2:
                        continue
                    near = x[mirrored(i + di, h), mirrored(j + dj, w)]
                    colour = np.abs(near - x[i, j]).sum()
                    weight = np.exp(-(di**2 + dj**2) / 128) * np.exp(-(colour**2) / 128)
                    total, weights = total + weight * near, weights + weight
            y[i, j] = total / weights
    return y


def slow_guided(guide, y):
    """Each window's ridge regression of y on the guide's colours, all windows' answers at a pixel averaged."""
    around = ((4, 4), (4, 4), (0, 0))
    p, q = (np.pad(a[0].double().numpy().transpose(1, 2, 0), around, mode="symmetric") for a in (guide, y))
    h, w = guide.shape[-2:]
    a, b = np.zeros((h, w, 3, 3)), np.zeros((h, w, 3))
    for i in range(h):
        for j in range(w):
            colours, wanted = (s[i : i + 9, j : j + 9].reshape(81, 3) for s in (p, q))
            centred = colours - colours.mean(0)
            cov, both = centred.T @ centred / 81, centred.T @ (wanted - wanted.mean(0)) / 81
            a[i, j] = np.linalg.solve(cov + 16 * np.eye(3), both)
            b[i, j] = wanted.mean(0) - colours.mean(0) @ a[i, j]
    a, b = (np.pad(s, ((4, 4), (4, 4)) + ((0, 0),) * (s.ndim - 2), mode="symmetric") for s in (a, b))
    out = np.zeros((h, w, 3))
    for i in range(h):
        for j in range(w):
            middle = p[i + 4, j + 4]
            out[i, j] = middle @ a[i : i + 9, j : j + 9].mean((0, 1)) + b[i : i + 9, j : j + 9].mean((0, 1))
    return out


def test_the_bilateral_filter_against_loops():
    x = sample()
    ours = bilateral(x)[0].permute(1, 2, 0).double().numpy()
    assert np.allclose(ours, slow_bilateral(x), atol=1e-3) and np.abs(ours - x[0].permute(1, 2, 0).numpy()).max() > 2


def test_the_guided_filter_against_regressions():
    x = sample(18)
    y = bilateral(bilateral(x))
    ours = guided(x, y)[0].permute(1, 2, 0).double().numpy()
    assert np.allclose(ours, slow_guided(x, y), atol=1e-3)
    assert (guided(x, x) - x).abs().mean() < (bilateral(x) - x).abs().mean() + 5


def test_against_opencv():
    cv2 = pytest.importorskip("cv2")
    x = sample()
    picture = np.ascontiguousarray(x[0].permute(1, 2, 0).numpy().astype(np.float32))
    theirs = cv2.bilateralFilter(picture, 5, 8, 8)
    assert np.allclose(bilateral(x)[0].permute(1, 2, 0).numpy(), theirs, atol=0.02)
    if hasattr(cv2, "ximgproc"):  # in opencv-contrib alone
        smooth = np.ascontiguousarray(theirs)
        ours = guided(x, torch.from_numpy(theirs).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
        assert np.allclose(ours, cv2.ximgproc.guidedFilter(picture, smooth, 4, 16), atol=0.05)


def test_noise_goes_and_edges_stay():
    x = torch.zeros(1, 3, 32, 32)
    x[..., 16:] = 0.8
    noise = 3 / 255 * torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    shown = ((x + 0.1 + noise) * 255).round() / 255
    y = AdverseCleaner()(shown)
    flat, edge = y[..., 4:12], y[..., 16].mean() - y[..., 15].mean()
    assert flat.std() < 0.4 * shown[..., 4:12].std() and edge > 0.7
    assert torch.equal((y * 255).round(), y * 255) or ((y * 255).round() - y * 255).abs().max() < 1e-3


def test_a_crop_is_a_part_of_the_picture_at_a_place_of_its_own():
    x = torch.arange(40.0).view(1, 1, 40, 1).expand(2, 3, 40, 50) / 64 + torch.tensor([0.0, 0.01]).view(2, 1, 1, 1)
    tops = set()
    for seed in range(6):
        y = CropResize(0.5)(x, seed=seed)
        for one, clean in zip(y, x):
            slope = float((one[0, 30] - one[0, 10]).mean()) * 64 / 20
            assert slope == pytest.approx(0.5, abs=0.01), "twice as large"
            tops.add(round(float(one[0, 20].mean() - clean[0, 0].mean()) * 64))
    assert len(tops) > 4
