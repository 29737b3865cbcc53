"""Originals and their protected twins for people to look at: a sheet of each, and one page with a slider for each.

The page needs no script from elsewhere. Its pictures lie beside it, lossless: a lossy one would look like a protection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from unlearnable.errors import PictureError, shown
from unlearnable.evaluation.html import environment
from unlearnable.images import compare, files
from unlearnable.images.read import scaled
from unlearnable.storage.atomic import write_text

PAGE = "index.html"
SIDE = 2048  # px that the longer side of a picture on the page has at most


@dataclass(frozen=True)
class Slide:
    """A picture on the page: its name, addresses beside the page, its size there, and what was measured."""

    name: str
    before: str
    after: str
    sheet: str
    height: int
    width: int
    smaller: bool
    psnr: float | None
    linf: float


@dataclass
class Comparison:
    """What is written to ``out/compare`` as pictures are done; originals are scaled to `side`, as twins were."""

    out: Path
    side: int = 0
    slides: list[Slide] = field(default_factory=list)

    def add(self, source: Path, output: Path, measured: dict[str, float]) -> None:
        """Compare a file with its original. Raises PictureError where their sizes differ."""
        before, after = files.within(source, self.side), files.read(output)
        if before.pixels.shape != after.pixels.shape:
            raise PictureError(f"{source} and {output} differ in size: compare a picture with its own twin")
        mode, sheet = files.mode_of(source), compare.page_for(self.out, output)
        page = files.Picture(compare.sheet(before.pixels, after.pixels))
        files.write(page, sheet, format="PNG", mode=mode)
        height, width = size = before.pixels.shape[:2]
        fits = files.size_within(height, width, SIDE)
        for picture, what in ((before, "before"), (after, "after")):
            place = self._beside(sheet, what)
            files.write(picture if fits == size else scaled(picture, *fits), place, format="WEBP", mode=mode)
        psnr = measured.get("psnr")
        self.slides.append(
            Slide(
                name=shown(output.relative_to(self.out)),
                before=self._address(self._beside(sheet, "before")),
                after=self._address(self._beside(sheet, "after")),
                sheet=self._address(sheet),
                height=fits[0],
                width=fits[1],
                smaller=fits != size,
                psnr=None if psnr is None or math.isinf(psnr) else psnr,
                linf=measured["linf"],
            )
        )

    def _beside(self, sheet: Path, what: str) -> Path:
        return sheet.with_name(f"{sheet.name}.{what}.webp")

    def _address(self, path: Path) -> str:
        return quote(path.relative_to(self.folder).as_posix())

    @property
    def folder(self) -> Path:
        return self.out / compare.FOLDER

    def close(self) -> Path | None:
        """Write the page, if there is anything on it; where it is."""
        if not self.slides:
            return None
        template = environment().get_template("comparison.html.j2")
        write_text(self.folder / PAGE, template.render(slides=self.slides, side=SIDE))
        return self.folder / PAGE
