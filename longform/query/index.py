"""The index of a feature space, kept in the bank: made, extended, and checked against what the bank says.

    index/<space>/index.json          what it covers and how it was made; written last, in one step
    index/<space>/<name>.faiss        the vectors
    index/<space>/<name>.parquet      the row of the space behind each of them

The bank's own format takes no notice of the folder: it can be deleted at any time.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from longform.query import ann
from longform.query.ann import VectorIndex
from longform.query.exact import METRICS, Metric, Vectors, prepared
from longform.query.recall import measured_recall
from longform.query.rows import KEYS, check_space, identities, stream_rows, vectors_in
from pipeline.bank import filesystem
from pipeline.bank.errors import BankError
from pipeline.bank.locks import lock
from pipeline.bank.reader import FeatureBank
from pipeline.bank.schema import FEATURES

FOLDER = "index"
RECALL_AT = 10

_FORMAT_VERSION = 1
_NAME = "index.json"
_FILE_NAME = re.compile(r"[0-9a-f]{16}\.(faiss|parquet)")
_ATTEMPTS = 5
_RECALL_QUERIES = 200
_SEED = 20260101


class SpaceIndexError(BankError):
    """An index that is missing, damaged, of another version, or does not fit its space."""


class StaleIndexError(SpaceIndexError):
    """The bank has changed since the index was made."""


@dataclass(frozen=True, kw_only=True)
class IndexFacts:
    """What index.json says. `videos` maps each video covered to what made its rows (see `rows.identities`)."""

    space: str
    dim: int
    metric: Metric
    type: str
    factory: str
    rows: int
    recall_at_10: float
    vectors_file: str
    rows_file: str
    videos: Mapping[str, str]
    versions: Mapping[str, str]
    format_version: int = _FORMAT_VERSION


@dataclass(frozen=True)
class Coverage:
    """How an index differs from the bank: videos the bank has besides, with other rows, and no more."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    vanished: tuple[str, ...]

    @property
    def is_stale(self) -> bool:
        """True if the index holds rows that the bank does not."""
        return bool(self.changed or self.vanished)

    def in_words(self) -> str:
        named = (("added", self.added), ("changed", self.changed), ("gone", self.vanished))
        parts = [
            f"{len(ids)} {what} ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})" for what, ids in named if ids
        ]
        return "videos since: " + "; ".join(parts)


@dataclass(frozen=True)
class BuildReport:
    """What `build` did: "built", "rebuilt", "extended" or "up to date", and why."""

    action: str
    reason: str
    added_rows: int
    facts: IndexFacts


@dataclass(frozen=True)
class SpaceIndex:
    """An index open for searching: row i of `rows` (columns `KEYS`) is vector i."""

    facts: IndexFacts
    vectors: VectorIndex
    rows: pa.Table


def build(
    bank: FeatureBank,
    space: str,
    kind: str | None = None,
    metric: Metric | None = None,
    *,
    rebuild: bool = False,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> BuildReport:
    """Make the index of a space, or bring it up to date.

    `kind` is "flat", "ivf", "hnsw", "pq" or a FAISS factory string, `metric` "cosine" or "l2"; None keeps those of the
    index that is there, else takes "hnsw" and "cosine". New videos are added to an index that is there; it is made
    anew if videos changed or vanished, if another kind or metric is asked for, or with `rebuild`. The bank is streamed;
    the index lies in memory, of HNSW the vectors twice while it is made. `device` "cuda" makes it on a GPU, if FAISS
    has one. Raises UnknownNameError, ConfigError for a kind that FAISS does not know, cannot train or cannot make on
    the device, and BankBusyError while another process makes the same index.
    """
    check_space(bank, space)
    if metric not in (None, *METRICS):
        raise SpaceIndexError(f"Cannot index {space!r}: got metric {metric!r}, expected one of {', '.join(METRICS)}.")
    with lock(bank.fs, bank.root, f"index.{space}", timeout_s=0.0):
        old = _facts_or_none(bank, space)
        kind = kind or (old.type if old else "hnsw")
        metric = metric or (old.metric if old else "cosine")
        made = _Making(bank, space, kind, metric, device, progress)
        if old is None:
            return made.fill(None, "built", "there was none")
        now = coverage(old, bank)
        if why := "as asked for" if rebuild else _reason_to_rebuild(old, now, bank.spaces[space].dim, kind, metric):
            return made.fill(None, "rebuilt", why)
        if not now.added:
            return BuildReport("up to date", f"{len(old.videos)} videos are in it", 0, old)
        return made.fill(old, "extended", now.in_words())


def open_index(bank: FeatureBank, space: str) -> SpaceIndex | None:
    """The index of a space, or None where none was made. Raises SpaceIndexError for one that cannot be used."""
    check_space(bank, space)
    for _ in range(_ATTEMPTS):
        facts = read_facts(bank, space)
        if facts is None:
            return None
        _refuse_other_dim(facts, bank)
        try:
            opened = SpaceIndex(
                facts,
                VectorIndex.read(bank.fs, _path(bank, space, facts.vectors_file)),
                _read_rows(bank, _path(bank, space, facts.rows_file)),
            )
        except FileNotFoundError:  # replaced since index.json was read
            continue
        counts = {facts.rows, opened.vectors.count, opened.rows.num_rows}
        if opened.vectors.dim != facts.dim or len(counts) != 1:
            raise _damaged(
                bank, space, f"{opened.vectors.dim} values, {sorted(counts)} rows", f"{facts.dim}, {facts.rows}"
            )
        return opened
    raise _damaged(bank, space, "no files", "those that index.json names")


def coverage(facts: IndexFacts, bank: FeatureBank) -> Coverage:
    """What the bank's snapshot has that the index lacks, and the other way round."""
    now, then = identities(bank, facts.space), facts.videos
    return Coverage(
        added=tuple(sorted(now.keys() - then.keys())),
        changed=tuple(sorted(video_id for video_id in now.keys() & then.keys() if now[video_id] != then[video_id])),
        vanished=tuple(sorted(then.keys() - now.keys())),
    )


def read_facts(bank: FeatureBank, space: str) -> IndexFacts | None:
    """index.json of a space; None where there is none. Raises SpaceIndexError for another version or a damaged file."""
    try:
        content = json.loads(filesystem.read_bytes(bank.fs, _path(bank, space, _NAME)))
        version = int(content["format_version"])
        if version == _FORMAT_VERSION:
            facts = IndexFacts(**content)
            if facts.space != space:
                raise _damaged(bank, space, f"an index of space {facts.space!r}", f"one of {space!r}")
            if foreign := [name for name in (facts.vectors_file, facts.rows_file) if not _FILE_NAME.fullmatch(name)]:
                raise _damaged(bank, space, f"a file named {foreign[0]!r}", "names that `longform index` gives")
            return facts
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(
            bank, space, f"an index.json that does not parse ({error})", "what `longform index` wrote"
        ) from error
    raise SpaceIndexError(
        f"Cannot read the index of {space!r}: got format version {version}, expected {_FORMAT_VERSION}. "
        "Upgrade longform, or run `longform index` again after deleting the folder."
    )


@dataclass(frozen=True)
class _Making:
    """One call of `build`, once it is known what to do."""

    bank: FeatureBank
    space: str
    kind: str
    metric: Metric
    device: str
    progress: Callable[[str], None]

    def fill(self, old: IndexFacts | None, action: str, reason: str) -> BuildReport:
        """Make the index anew, or add to an old one what it lacks, and publish it."""
        covered = dict(old.videos) if old else {}
        now = identities(self.bank, self.space)
        new = {video_id: made_by for video_id, made_by in now.items() if video_id not in covered}
        new_rows = _count(self.bank, self.space, new)
        if not new_rows:
            raise SpaceIndexError(
                f"Cannot index {self.space!r}: got no rows in any video, expected some. Extract it first."
            )
        opened = open_index(self.bank, self.space) if old else None
        dim = self.bank.spaces[self.space].dim
        factory = opened.facts.factory if opened else ann.factory_string(self.kind, dim, new_rows)
        vectors = opened.vectors if opened else VectorIndex.make(factory, dim, self.metric)
        added = self._add(vectors, factory, new, new_rows)
        keys = pa.concat_tables([*([opened.rows] if opened else []), *added]).combine_chunks()
        self.progress(f"measuring recall@{RECALL_AT}")
        facts = IndexFacts(
            space=self.space,
            dim=vectors.dim,
            metric=self.metric,
            type=self.kind,
            factory=factory,
            rows=keys.num_rows,
            recall_at_10=_recall(self.bank, self.space, vectors, keys, self.metric),
            vectors_file=f"{uuid.uuid4().hex[:16]}.faiss",
            rows_file=f"{uuid.uuid4().hex[:16]}.parquet",
            videos={**covered, **new},
            versions={"faiss": ann.VERSION},
        )
        _publish(self.bank, facts, vectors, keys)
        return BuildReport(action, reason, new_rows, facts)

    def _add(self, vectors: VectorIndex, factory: str, video_ids: Collection[str], count: int) -> list[pa.Table]:
        """Let the index learn from these videos if it must, and add their `count` rows, whose keys are returned."""
        keys: list[pa.Table] = []

        def batches() -> Iterator[Vectors]:
            done = 0
            for rows in stream_rows(self.bank, self.space, video_ids):
                yield prepared(vectors_in(rows), self.metric)
                keys.append(rows.select(KEYS))
                done += rows.num_rows
                self.progress(f"read {done} of {count} rows")

        wanted = vectors.training_rows
        with vectors.on_device(self.device):
            if wanted:
                self.progress(f"training {factory}")
                sample = _sample(self.bank, self.space, video_ids, wanted)
                vectors.train(prepared(vectors_in(sample), self.metric))
            vectors.fill(batches(), count)
        return keys


def _path(bank: FeatureBank, space: str, name: str) -> str:
    return filesystem.join(bank.root, FOLDER, space, name)


def _facts_or_none(bank: FeatureBank, space: str) -> IndexFacts | None:
    """As `read_facts`; None also where the file is of no use, for it is about to be replaced."""
    try:
        return read_facts(bank, space)
    except SpaceIndexError:
        return None


def _reason_to_rebuild(old: IndexFacts, now: Coverage, dim: int, kind: str, metric: Metric) -> str | None:
    if (old.type, old.metric) != (kind, metric):
        return f"it was {old.type} ({old.metric})"
    if old.dim != dim:
        return f"it was of {old.dim} values"
    return now.in_words() if now.is_stale else None


def _refuse_other_dim(facts: IndexFacts, bank: FeatureBank) -> None:
    dim = bank.spaces[facts.space].dim if facts.space in bank.spaces else None
    if dim != facts.dim:
        raise SpaceIndexError(
            f"Cannot use the index of {facts.space!r}: got {facts.dim} values a row, expected {dim} as in the bank. "
            "Run `longform index` again."
        )


def _read_rows(bank: FeatureBank, path: str) -> pa.Table:
    with bank.fs.open_input_file(path) as source:
        try:
            return pq.read_table(source, columns=list(KEYS))
        except (pa.ArrowException, ValueError) as error:
            raise SpaceIndexError(f"Cannot read {path!r}: {error}. Delete its folder, run `longform index`.") from error


def _damaged(bank: FeatureBank, space: str, got: str, expected: str) -> SpaceIndexError:
    folder = filesystem.join(bank.root, FOLDER, space)
    return SpaceIndexError(
        f"Cannot use the index in {folder!r}: got {got}, expected {expected}. "
        "Delete the folder and run `longform index` again."
    )


def _count(bank: FeatureBank, space: str, video_ids: Collection[str]) -> int:
    return sum(file.rows for video_id, file in bank.snapshot.entries(FEATURES + space) if video_id in video_ids)


def _sample(bank: FeatureBank, space: str, video_ids: Collection[str], count: int) -> pa.Table:
    """Rows of these videos chosen at random, the same ones for the same bank; all rows where there are fewer."""
    total = _count(bank, space, video_ids)
    chosen = np.sort(np.random.default_rng(_SEED).choice(total, min(count, total), replace=False))
    parts, first = [], 0
    for rows in stream_rows(bank, space, video_ids):
        inside = chosen[np.searchsorted(chosen, first) : np.searchsorted(chosen, first + rows.num_rows)] - first
        parts.append(rows.take(inside))
        first += rows.num_rows
    return pa.concat_tables(parts)


def _recall(bank: FeatureBank, space: str, index: VectorIndex, keys: pa.Table, metric: Metric) -> float:
    """Recall of an index that covers all videos of the bank, on rows of some of them."""
    ids = sorted(identities(bank, space))
    chosen = np.random.default_rng(_SEED).permutation(len(ids))[:_RECALL_QUERIES]
    queries = _sample(bank, space, {ids[i] for i in chosen}, _RECALL_QUERIES)
    return measured_recall(index, keys, metric, queries, stream_rows(bank, space, ids), RECALL_AT)


def _publish(bank: FeatureBank, facts: IndexFacts, vectors: VectorIndex, keys: pa.Table) -> None:
    """The files first, then index.json that names them, then the end of the files it named before."""
    folder = filesystem.join(bank.root, FOLDER, facts.space)
    with (
        filesystem.publishing(bank.fs, _path(bank, facts.space, facts.vectors_file)) as temporary,
        bank.fs.open_output_stream(temporary) as out,
    ):
        vectors.write(out)
    with filesystem.publishing(bank.fs, _path(bank, facts.space, facts.rows_file)) as temporary:
        pq.write_table(keys, temporary, filesystem=bank.fs, compression="zstd")
    data = json.dumps(asdict(facts), indent=1, ensure_ascii=False).encode()
    filesystem.write_bytes_atomic(bank.fs, filesystem.join(folder, _NAME), data)
    for info in filesystem.list_files(bank.fs, folder):
        if info.base_name not in (_NAME, facts.vectors_file, facts.rows_file):
            filesystem.delete_quietly(bank.fs, info.path)
