"""The tables made from the archives' own folder layouts, the split, the crops and the captions."""

import io

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from data import TABLES, captions, data_folder, held_out, load
from tables import make


def picture(file, size=(200, 150), colour=(200, 30, 60)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(file)


@pytest.fixture
def archives(tmp_path):
    """One small folder for each archive, in its own layout."""
    caltech = tmp_path / "101_ObjectCategories"
    for name in ("Faces", "electric_guitar", "BACKGROUND_Google"):
        picture(caltech / name / "image_0001.jpg")
    (caltech / "Faces" / "image_0002.jpg").write_bytes(b"not a picture")
    for name in ("roses", "daisy"):
        picture(tmp_path / "flower_photos" / name / "1_n.jpg", size=(90, 300))
    clothing = tmp_path / "clothing"
    for name in ("a1", "b2", "c3"):
        picture(clothing / "images_compressed" / f"{name}.jpg")
    rows = [
        "image,sender_id,label,kids",
        "a1,1,Longsleeve,False",
        "b2,1,Not sure,False",
        "c3,2,T-Shirt,True",
        "d4,2,Hat,0",
    ]
    (clothing / "images.csv").write_text("\n".join(rows))
    return {"caltech101": caltech, "flowers": tmp_path / "flower_photos", "clothing": clothing}


EXPECTED = {
    "caltech101": {
        "101_ObjectCategories/Faces/image_0001.jpg": ("person", "a photo of a person"),
        "101_ObjectCategories/electric_guitar/image_0001.jpg": ("electric guitar", "a photo of an electric guitar"),
    },
    "flowers": {
        "flower_photos/roses/1_n.jpg": ("rose", "a photo of a rose"),
        "flower_photos/daisy/1_n.jpg": ("daisy", "a photo of a daisy"),
    },
    "clothing": {
        "images/a1.jpg": ("long sleeve shirt", "a photo of a long sleeve shirt"),
        "images/c3.jpg": ("t-shirt", "a photo of a t-shirt"),
    },
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_from_an_archive(archives, tmp_path, name):
    out = tmp_path / f"{name}.parquet"
    assert make(name, archives[name], out) == len(EXPECTED[name])
    rows = pq.read_table(out).to_pylist()
    assert {row["path"]: (row["label"], row["caption"]) for row in rows} == EXPECTED[name]
    opened = Image.open(io.BytesIO(rows[0]["image"]))
    assert (opened.format, opened.size, opened.mode) == ("WEBP", (128, 128), "RGB")


def test_the_tables_are_what_training_reads(archives, tmp_path):
    for name in TABLES:
        make(name, archives[name], tmp_path / f"{name}.parquet")
    parts = [load(data_folder(str(tmp_path)), part) for part in ("train", "held-out")]
    assert sum(len(part) for part in parts) == 6
    assert parts[0].pixels.shape[1:] == (3, 128, 128)
    assert abs(parts[0].pixels[0, :, 64, 64].float() - torch.tensor([200.0, 30.0, 60.0])).max() < 8


def test_no_tables_or_no_pictures_is_said_plainly(tmp_path):
    with pytest.raises(FileNotFoundError, match="--data"):
        data_folder(str(tmp_path))
    with pytest.raises(ValueError, match="holds no flowers pictures"):
        make("flowers", tmp_path, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_twentieth_is_held_out_and_always_the_same():
    chosen = [held_out(f"caltech101/{i}.jpg") for i in range(4000)]
    assert 0.035 < sum(chosen) / 4000 < 0.065
    assert chosen == [held_out(f"caltech101/{i}.jpg") for i in range(4000)]


def test_captions_use_the_templates_and_drop_a_tenth():
    texts = captions(["umbrella"] * 4000, torch.Generator().manual_seed(0))
    assert set(texts) == {"", "a photo of an umbrella", "a close-up photo of an umbrella", "umbrella"}
    assert 0.08 < texts.count("") / 4000 < 0.12
