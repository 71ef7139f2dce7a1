"""Memory of a group: what is read was written whole, whatever happens to the writer."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.http.metrics import SharedMemory, make_files
from monitor.http.metrics.memory import COPY_BYTES


@pytest.fixture
def files() -> Iterator[list[int]]:
    made = make_files(2)
    yield made
    for file in made:
        os.close(file)


def test_a_part_is_what_its_process_wrote_last_for_every_process(files: list[int]) -> None:
    first, second = SharedMemory(files, 0), SharedMemory(files, 1)
    assert (len(first), first.read(0), first.read(1)) == (2, None, None)
    for data in (b"one", b"", b"a longer one", b"two"):
        first.write(data)
        assert first.read(0) == second.read(0) == data
    assert second.read(1) is None


def test_a_successor_goes_on_where_its_predecessor_ended(files: list[int]) -> None:
    before = SharedMemory(files, 0)
    for data in (b"1", b"2", b"3"):
        before.write(data)
    after = SharedMemory(files, 0)
    assert after.read(0) == b"3"
    after.write(b"4")
    assert SharedMemory(files, 1).read(0) == b"4"


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.binary(min_size=1, max_size=40), st.integers(0, 80))
@example([b"0"], b"\1", 4)
def test_a_write_that_was_cut_leaves_the_one_before(written: list[bytes], cut: bytes, offset: int) -> None:
    """However much of the next write has come down, the last whole one is read, or the next one."""
    files = make_files(1)
    try:
        memory = SharedMemory(files, 0)
        for data in written:
            memory.write(data)
        older = (len(written) + 1) % 2 * COPY_BYTES
        os.pwrite(files[0], cut, older + offset)
        assert memory.read(0) == written[-1]
    finally:
        os.close(files[0])


def test_more_than_a_part_holds_is_refused_and_what_was_there_stays(files: list[int]) -> None:
    memory = SharedMemory(files, 0)
    memory.write(b"small")
    with pytest.raises(ValueError, match="more than"):
        memory.write(bytes(COPY_BYTES))
    assert memory.read(0) == b"small"


def test_without_memory_files_it_takes_temporary_ones_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    [file] = make_files(1)
    memory = SharedMemory([file], 0)
    memory.write(b"here")
    assert (memory.read(0), os.fstat(file).st_nlink) == (b"here", 0)
    os.close(file)
