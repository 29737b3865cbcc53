"""Sinks, where outputs go: folders of this machine, or URLs of any store that fsspec knows."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from unlearnable.errors import PictureError, SetupError, UsageError, WriteError, shown
from unlearnable.images import files
from unlearnable.images.limits import DEFAULT
from unlearnable.storage import journal
from unlearnable.storage.atomic import write_bytes

SCHEME = "://"


class Sink(Protocol):
    """A folder or bucket for outputs, with the journal of its files."""

    @property
    def journal(self) -> journal.Journal: ...

    def at(self, name: str | Path) -> Path | str:
        """The path or URL of the output of that name."""

    def has(self, entry: dict[str, Any]) -> bool:
        """Whether the file that a journal's line speaks of is still there."""

    def put(self, name: str | Path, data: bytes) -> None:
        """Write a file atomically: readers see the old one or the complete new one."""


@dataclass
class Folder:
    """A folder of this machine."""

    path: Path
    journal: journal.Journal

    @classmethod
    def open(cls, path: Path) -> Folder:
        return cls(path, journal.Journal.open(path))

    def at(self, name: str | Path) -> Path:
        return files.target(self.path, Path(name))

    def has(self, entry: dict[str, Any]) -> bool:
        path = self.path / entry["output"]
        return path.is_file() and path.stat().st_size == entry["bytes"]

    def put(self, name: str | Path, data: bytes) -> None:
        write_bytes(self.at(name), data)


@dataclass
class Pages(journal.Journal):
    """A journal of small files, as objects of a store cannot be appended to: a file for each line."""

    store: Any = None
    root: str = ""

    def append(self, entry: dict[str, Any]) -> None:
        name = f"{self.root}/{time.time_ns():020}.jsonl"
        try:
            self.store.pipe_file(name, (json.dumps(entry, sort_keys=True) + "\n").encode())
        except OSError as error:
            remedy = f"{error}: check the address and your rights, and run the same command again"
            raise SetupError(f"the journal {shown(name)} cannot be written ({remedy})") from error
        self.note(entry)


@dataclass
class Bucket:
    """A folder of a store, by its URL. Stores show an object when it is whole."""

    url: str
    store: Any
    root: str
    journal: Pages
    sizes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, url: str) -> Bucket:
        store, root = reach(url)
        book = Pages(Path(journal.NAME), store=store, root=f"{root}/{journal.NAME}")
        try:
            sizes = {name: facts["size"] for name, facts in store.find(root, detail=True).items()}
            pages = sorted(name for name in sizes if name.startswith(f"{book.root}/"))
            read = store.cat(pages) if pages else {}
        except FileNotFoundError:
            return cls(url, store, root, book)
        except OSError as error:
            raise UsageError(
                f"cannot use {shown(url)!r} as the output folder: {error}; name another with -o"
            ) from error
        for name in pages:
            for entry in journal.lines(read[name].decode("utf-8", errors="replace")):
                book.note(entry)
        return cls(url, store, root, book, sizes)

    def at(self, name: str | Path) -> str:
        return f"{self.url.rstrip('/')}/{Path(name).as_posix()}"

    def has(self, entry: dict[str, Any]) -> bool:
        return self.sizes.get(f"{self.root}/{entry['output']}") == entry["bytes"]

    def put(self, name: str | Path, data: bytes) -> None:
        path = f"{self.root}/{Path(name).as_posix()}"
        try:
            self.store.pipe_file(path, bytes(data))
        except OSError as error:
            raise WriteError(f"{shown(self.at(name))} could not be written ({error}): check your rights") from error
        self.sizes[path] = len(data)


def is_url(address: str | Path) -> bool:
    return isinstance(address, str) and SCHEME in address


def reach(url: str) -> tuple[Any, str]:
    """The store behind a URL, and the path in it. Raises SetupError where a package for it is lacking."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise SetupError(f"{shown(url)} needs fsspec: run `pip install 'unlearnable[bench]'`") from error
    try:
        store, root = url_to_fs(url)
    except ImportError as error:  # fsspec's sentence names the package
        raise SetupError(f"{shown(url)} needs another package: {error}") from error
    except ValueError as error:
        raise UsageError(
            f"{shown(url)} is no address that fsspec knows ({error}): name a folder, or s3://..."
        ) from error
    return store, root.rstrip("/")


def fetched(url: str) -> bytes:
    """The bytes behind a URL; PictureError where there are none, or too many."""
    store, path = reach(url)
    try:
        if (store.size(path) or 0) > DEFAULT.max_bytes:
            raise PictureError(f"{shown(url)} is larger than {DEFAULT.max_bytes / 2**20:g} MB; store a smaller file")
        data: bytes = store.cat_file(path)
    except OSError as error:
        raise PictureError(f"{shown(url)} could not be fetched ({error}); check the address and your rights") from error
    return data
