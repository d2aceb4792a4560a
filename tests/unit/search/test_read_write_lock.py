"""Readers share, a writer is alone."""

import threading

from backend.search.read_write_lock import ReadWriteLock

PATIENCE_SECONDS = 10


def test_readers_hold_it_together():
    lock, both = ReadWriteLock(), threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def read():
        with lock.reading():
            both.wait()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not both.broken


def test_writer_waits_for_readers_and_goes_before_later_ones():
    lock, order = ReadWriteLock(), []

    def write():
        with lock.writing():
            order.append("writer")

    def read_later():
        with lock.reading():
            order.append("reader")

    with lock.reading():
        writer = threading.Thread(target=write)
        writer.start()
        while not lock._writers_waiting:
            pass
        reader = threading.Thread(target=read_later)
        reader.start()
        assert order == []
    writer.join(PATIENCE_SECONDS)
    reader.join(PATIENCE_SECONDS)
    assert order == ["writer", "reader"]
