"""Properties that hold for any input: budgets, tiles, chains, options, and a journal that is killed at any byte."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from unlearnable.errors import UsageError
from unlearnable.images import views
from unlearnable.options import applied
from unlearnable.protection import strengths
from unlearnable.protection.constraints import L2Constraint, LinfConstraint, psnr
from unlearnable.purification.chain import parse
from unlearnable.rng import generator
from unlearnable.storage.journal import NAME, Journal

# Derandomised: a suite that fails by chance on one machine in a hundred helps nobody.
CALM = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
CONSTRAINTS = st.one_of(
    st.floats(0, 64).map(LinfConstraint),
    st.floats(1, 64).map(lambda eps: LinfConstraint(eps, local=True)),
    st.floats(0, 40).map(L2Constraint),
    st.floats(0.5, 40).map(lambda rms: L2Constraint(rms, local=True)),
    st.floats(20, 60).map(psnr),
)


@CALM
@given(CONSTRAINTS, st.integers(0, 2**16), st.floats(0, 1), st.floats(0.001, 2))
def test_what_is_projected_and_sealed_is_within_its_budget(constraint, seed, free_share, size):
    rng = generator("pictures", seed)
    x = torch.rand(1, 3, 24, 20, generator=rng)
    delta = size * torch.randn(x.shape, generator=rng)
    mask = (torch.rand(1, 1, 24, 20, generator=rng) < free_share).float()
    inside = constraint.project(x, delta, mask)
    assert (x + inside).min() >= -1e-6 and (x + inside).max() <= 1 + 1e-6
    assert not inside[(mask == 0).expand_as(inside)].any()
    assert torch.allclose(constraint.project(x, inside, mask), inside, atol=0.05 * constraint.radius / 255 + 1e-6)
    levels = (x[0] * 255).round()
    sealed = constraint.seal(levels, delta[0] * 255, mask[0])
    assert torch.equal(sealed, sealed.round()) and constraint.is_satisfied(sealed, levels, mask[0])
    assert (levels + sealed).min() >= 0 and (levels + sealed).max() <= 255
    assert not sealed[(mask[0] == 0).expand_as(sealed)].any()


@CALM
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([64, 128]), st.sampled_from([4, 8, 16]))
def test_tiles_cover_every_pixel_and_blend_to_one(height, width, resolution, multiple):
    canvas = views.plan(height, width, resolution=resolution, tile=3 * resolution // 2, multiple=multiple, minimum=64)
    assert canvas.tile_height % multiple == 0 and canvas.tile_width % multiple == 0
    picture = torch.rand(3, height, width, generator=generator("p", height, width))
    shown = views.cut(canvas, picture)
    assert shown.shape == (len(canvas.tiles), 3, canvas.tile_height, canvas.tile_width)
    assert shown.min() >= picture.min() - 1e-5 and shown.max() <= picture.max() + 1e-5
    back = views.merge(canvas, torch.ones_like(shown))
    assert back.shape == picture.shape and torch.allclose(back, torch.ones_like(back), atol=1e-5)


LINKS = st.one_of(
    st.integers(1, 100).map(lambda q: f"jpeg:{q}"),
    st.floats(0.1, 1).map(lambda f: f"resize:{f:.3g}"),
    st.floats(0.1, 5).map(lambda s: f"blur:{s:.3g}"),
    st.integers(0, 60).map(lambda n: f"noise:{n}"),
    st.integers(0, 40).map(lambda n: f"median:{2 * n + 1}"),
)


@CALM
@given(st.lists(LINKS, min_size=1, max_size=5))
def test_a_chain_says_its_own_name(links):
    chain = parse("+".join(links))
    assert parse(chain.name) == chain and len(chain.links) == len(links)


@CALM
@given(st.text(alphabet="jpeg:resizblu+=0175.-, \u00e9", max_size=40))
def test_no_text_breaks_the_parsers(text):
    for read in (parse, lambda options: applied(strengths.protection("ldu"), options)):
        try:
            read(text)
        except UsageError as error:
            assert str(error) and "\n" not in str(error)


class AJournal(RuleBasedStateMachine):
    """Runs that write, are killed in the middle of a line, go on, and make pictures again with other settings."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.out, self.known = Path(self.folder.name), {}
        self.journal = Journal.open(self.out)

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(picture=st.integers(0, 4), content=st.integers(0, 2), recipe=st.integers(0, 2))
    def write(self, picture, content, recipe):
        entry = {
            "name": f"{picture}.png", "input_sha256": str(content), "recipe_hash": str(recipe),
            "output": f"{picture}.png", "bytes": 10, "measured": {"linf": 3},
        }  # fmt: skip
        self.journal.append(entry)
        self.known[entry["output"]] = (entry["name"], entry["input_sha256"], entry["recipe_hash"])

    @rule(line=st.sampled_from([{"run": {}}, {"input_sha256": "x"}, {"name": 3, "output": "0.png"}]))
    def write_what_is_no_picture(self, line):
        self.journal.append(line)

    @rule()
    def run_again(self):
        self.journal = Journal.open(self.out)

    @precondition(lambda self: self.known)
    @rule(cut=st.integers(1, 60))
    def killed_in_a_line(self, cut):
        """The next picture's line is cut short: that picture is not done, all others are."""
        half = b'{"name": "9.png", "input_sha256": "0", "recipe_hash": "0", "output": "9.png", "bytes": 1}'[:-1]
        with (self.out / NAME).open("ab") as file:
            file.write(half[:cut])
        self.journal = Journal.open(self.out)

    @invariant()
    def the_last_line_of_each_file_counts(self):
        assert {entry["output"]: key for key, entry in self.journal.done.items()} == self.known


AJournal.TestCase.settings = settings(CALM, stateful_step_count=20, max_examples=25)
TestAJournal = AJournal.TestCase
