"""Recipes of benchmarks: what is wrong with one is a sentence; readers of the data sets' layouts."""

from pathlib import Path

import pytest
import small

from unlearnable.bench.study import Attack, Prompt, load
from unlearnable.bench.subjects import subjects
from unlearnable.errors import UsageError

RECIPES = Path(__file__).parents[2] / "benchmarks" / "recipes" / "bench"


def recipe(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text('subjects = ["objects/*"]\n' + text)
    return path


def test_a_recipe_says_what_is_tried(tmp_path):
    found = load(
        recipe(
            tmp_path,
            'methods = ["ldu:k=4,t_start=0.5"]\npurify = ["resize:0.50"]\nshares = [1, 0.5]\n'
            'attackers = ["lora", {name = "dreambooth", label = "short", steps = 9}]\n'
            'prompts = [{label = "same"}, {label = "other", prompt = "one {token}", token = "xyz"}]\n',
        )
    )
    assert found.methods == ("random", "ldu:k=4,t_start=0.5")  # the control is in every benchmark
    assert found.purify == ("resize:0.5",)  # canonical
    assert found.attackers == (Attack("lora", "lora"), Attack("short", "dreambooth", settings={"steps": 9}))
    assert found.prompts[1] == Prompt("other", "one {token}", "xyz")
    made = found.recipe("ldu:k=4,t_start=0.5", "perceptual:0.2", "embedded", "x").protection()
    assert (made.parameterisation.k, made.parameterisation.t_start, made.constraint.bound) == (4, 0.5, 0.2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('metods = ["advdm"]', "did you mean 'methods'"),
        ('methods = ["advdn"]', "did you mean 'advdm'"),
        ('methods = ["ldu:kk=4"]', "ldu has no option 'kk'"),
        ('methods = ["clean"]', "'clean' is no method"),
        ('methods = "advdm"', "is 'advdm': give a list of texts"),
        ('budgets = ["eps:8"]', "write linf:8, psnr:36.1 or perceptual:0.2"),
        ('budgets = ["linf:much"]', "holds no number"),
        ('purify = ["jpg"]', "did you mean 'jpeg'"),
        ('attackers = ["dreamboth"]', "did you mean 'dreambooth'"),
        ("attackers = [{steps = 3}]", "a list of names or tables"),
        ('prompts = [{token = "x"}]', "has no label"),
        ("seeds = [0, 0]", "seeds 0, 0: give one or more, each once"),
        ("seeds = [true]", "a list of whole numbers"),
        ("shares = [1.5]", "share 1.5 is out of range"),
        ("photos = 0", "photos 0 is too small"),
        ("photos = [", "cannot read the recipe"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, text, said):
    with pytest.raises(UsageError) as error:
        load(recipe(tmp_path, text))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_recipes_that_ship_can_be_read():
    assert {path.name for path in RECIPES.glob("*.toml")} >= {"smoke.toml", "embedded.toml"}
    for path in RECIPES.glob("*.toml"):
        assert load(path).subjects


def test_the_recipe_in_the_documentation_can_be_read(tmp_path):
    text = (RECIPES.parents[2] / "docs" / "how-to" / "benchmark.md").read_text()
    (tmp_path / "recipe.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    found = load(tmp_path / "recipe.toml")
    assert len(found.methods) == 4 and len(found.attackers) == 2 and found.shares == (1.0, 0.5)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(paths) -> list[str]:
    return [path.name for path in paths]


def test_our_folders(tmp_path):
    touch(tmp_path, *[f"objects/duck_toy2/{i}.jpg" for i in range(5)], "objects/duck_toy2/notes.txt", "other/x/0.jpg")
    touch(tmp_path, *[f"styles/monet/{i}.png" for i in range(8)])
    touch(tmp_path, *[f"people/ann/set_{part}/{part}{i}.png" for part in "ABC" for i in range(3)])
    duck, monet, ann = subjects(tmp_path, "folders", ["objects/*", "styles/*", "people/ann"], photos=3)
    assert (names(duck.protected), names(duck.held_out)) == (["0.jpg", "1.jpg", "2.jpg"], ["3.jpg", "4.jpg"])
    assert duck.prompt("sks") == "a photo of sks duck toy" and duck.kind == "object"
    assert monet.prompt("xyz") == "a painting in the style of xyz" and len(monet.held_out) == 3
    assert (names(ann.reference), names(ann.protected)) == (
        ["A0.png", "A1.png", "A2.png"],
        ["B0.png", "B1.png", "B2.png"],
    )
    assert ann.prompt("sks", "{token} as a {thing}") == "sks as a person" and names(ann.held_out)[0] == "C0.png"


@pytest.mark.parametrize("layout", ["celeba-hq", "vggface2"])
def test_identities_in_three_sets(tmp_path, layout):
    touch(tmp_path, *[f"n000050/set_{part}/{i}.png" for part in "ABC" for i in range(4)], "readme/set.txt")
    (found,) = subjects(tmp_path, layout, ["*"], photos=4)
    assert (found.name, found.kind, len(found.protected), found.protected[0].parent.name) == (
        "n000050",
        "person",
        4,
        "set_B",
    )
    assert found.held_out[0].parent.name == "set_C" and found.reference[0].parent.name == "set_A"


def cut(subject) -> tuple[list[str], ...]:
    return names(subject.reference), names(subject.protected), names(subject.held_out)


def test_vggface2_as_it_is_handed_out_is_cut_into_three_sets(tmp_path):
    touch(tmp_path, *[f"train/n000002/00{i:02}_01.jpg" for i in range(15)], "test/n000001/0001_01.jpg")
    touch(tmp_path, *[f"n000009/set_{part}/0.jpg" for part in "ABC"])
    (found,) = subjects(tmp_path, "vggface2", ["train/n0*"], photos=4)
    a, b, c = cut(found)
    assert (a[0], b[0], c[0], c[-1]) == ("0000_01.jpg", "0004_01.jpg", "0008_01.jpg", "0011_01.jpg") and len(b) == 4
    assert [s.name for s in subjects(tmp_path, "vggface2", ["n*", "train/*"], photos=9)] == ["n000009", "train/n000002"]
    with pytest.raises(UsageError, match="has 1 pictures: give 3 or more, one for each set"):
        subjects(tmp_path, "vggface2", ["test/*"], photos=4)


def test_celeba_hq_as_it_is_handed_out_is_joined_to_its_identities(tmp_path):
    touch(tmp_path, *[f"CelebA-HQ-img/{i}.jpg" for i in range(8)])
    rows = [f"{i:>6} {100 + i:>8} {100 + i:06}.jpg" for i in range(9)]  # the ninth picture is not on disk
    (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").write_text("idx orig_idx orig_file\n" + "\n".join(rows))
    who = [f"{100 + i:06}.jpg {7 if i % 4 else 12}" for i in range(9)]
    (tmp_path / "identity_CelebA.txt").write_text("\n".join(who) + "\n")
    (found,) = subjects(tmp_path, "celeba-hq", ["*"], photos=4)  # identity 12 has two pictures here
    assert found.name == "7" and cut(found) == (["1.jpg", "2.jpg"], ["3.jpg", "5.jpg"], ["6.jpg", "7.jpg"])
    (tmp_path / "identity_CelebA.txt").write_text("000100.jpg\n")
    with pytest.raises(UsageError, match=r"the tables of CelebA-HQ in .* are not its own"):
        subjects(tmp_path, "celeba-hq", ["*"], photos=4)


def test_dreambooth_classes_are_its_own_where_it_lists_them(tmp_path):
    touch(tmp_path, *[f"wolf_plushie/{i}.jpg" for i in range(4)], *[f"cat2/{i}.jpg" for i in range(4)])
    listed = "Classes\n\nsubject_name,class\nwolf_plushie,stuffed animal\n\nPrompts\n'a {0} {1}, in the snow, x'\n"
    (tmp_path / "prompts_and_classes.txt").write_text(listed)
    cat, wolf = subjects(tmp_path, "dreambooth", ["cat2", "wolf*"], photos=2)
    assert (cat.thing, wolf.prompt("sks")) == ("cat", "a photo of sks stuffed animal")


def test_wikiart_by_artist_as_files_and_as_folders(tmp_path):
    touch(tmp_path, *[f"Rococo/canaletto_view-{i}.jpg" for i in range(3)], "Rococo/francois-boucher_x.jpg")
    touch(tmp_path, *[f"Fauvism/henri-matisse/{i}.jpg" for i in range(3)])
    found = subjects(tmp_path, "wikiart", ["Fauvism/*", "Rococo/canaletto"], photos=2)
    assert [s.name for s in found] == ["Fauvism/henri-matisse", "Rococo/canaletto"]
    assert [len(s.protected) + len(s.held_out) for s in found] == [3, 3] and found[1].kind == "style"


def test_dreambooth_objects(tmp_path):
    touch(tmp_path, *[f"dog6/0{i}.jpg" for i in range(5)])
    (dog,) = subjects(tmp_path, "dreambooth", ["dog6"], photos=9)
    assert dog.prompt("sks") == "a photo of sks dog" and (len(dog.protected), len(dog.held_out)) == (4, 1)


@pytest.mark.parametrize(
    ("layout", "wanted", "said"),
    [
        ("wikiart2", "*", "did you mean 'wikiart'"),
        ("folders", "objects/bal", "did you mean 'objects/ball'"),
        ("folders", "objects/one", "1 pictures: give 2 or more"),
        ("vggface2", "*", "laid out otherwise than vggface2: give NAME/set_A, set_B, set_C, or train/NAME"),
        ("celeba-hq", "*", "laid out otherwise than celeba-hq: give NAME/set_A, set_B, set_C, or CelebA-HQ-img with"),
    ],
)
def test_subjects_that_cannot_be_had(tmp_path, layout, wanted, said):
    touch(small.data(tmp_path), "objects/one/0.png")
    with pytest.raises(UsageError, match=said):
        subjects(tmp_path, layout, [wanted], photos=2)


def test_a_folder_that_is_not_here(tmp_path):
    with pytest.raises(UsageError, match="name another with --data"):
        subjects(tmp_path / "none", "folders", ["*"], photos=2)
