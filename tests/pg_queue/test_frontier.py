"""Nothing that can still come up is left behind, whatever transactions do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from durable_pg_queue.frontier import (
    ACTIVITIES,
    MOST_LANES,
    MOST_PENDING,
    PLACES,
    RUNS,
    USUAL,
    Frontier,
    Mark,
    Range,
    Snapshot,
)

RUN, ACTIVITY = USUAL


def rank(lane: int, place: int) -> int:
    return lane * PLACES + place


def ranges(frontier: Frontier) -> list[Range]:
    return frontier.ranges(RUNS) + frontier.ranges(ACTIVITIES)


def holds(frontier: Frontier, of: int) -> bool:
    return any(r.start <= of < r.end for r in ranges(frontier))


def surveyed(frontier: Frontier, ranks: set[int], snapshot: Snapshot) -> Frontier:
    """As the server does it."""
    found = [min((rank for rank in ranks if r.start <= rank < r.end), default=None) for r in ranges(frontier)]
    return frontier.moved(found, snapshot)


def snapshot(xmax: int, *running: int, server: str = "one") -> Snapshot:
    return Snapshot(running, xmax, server)


class Server:
    """Transactions that make entries ready, and entries that go."""

    def __init__(self) -> None:
        self.next = 1
        self.written: dict[int, set[int]] = {}  # ranks, by the transactions that are going on
        self.visible: set[int] = set()

    def begin(self) -> None:
        self.written[self.next] = set()
        self.next += 1

    def write(self, lane: int, nth: int) -> None:
        if self.written:
            number = sorted(self.written)[nth % len(self.written)]
            self.written[number].add(rank(lane, number))

    def end(self, nth: int, commit: bool) -> None:
        if self.written:
            ranks = self.written.pop(sorted(self.written)[nth % len(self.written)])
            self.visible |= ranks if commit else set()

    def complete(self, nth: int) -> None:
        if self.visible:
            self.visible.remove(sorted(self.visible)[nth % len(self.visible)])

    def snapshot(self) -> Snapshot:
        # Behind the last one that is over, as Postgres has it.
        over = set(range(1, self.next)) - self.written.keys()
        xmax = max(over, default=0) + 1
        return snapshot(xmax, *(number for number in sorted(self.written) if number < xmax))


lanes = st.sampled_from([RUN - 9, RUN - 1, RUN, RUN + 1, ACTIVITY, ACTIVITY + 5])
steps = st.one_of(
    st.tuples(st.just("begin")),
    st.tuples(st.just("write"), lanes, st.integers(0, 9)),
    st.tuples(st.just("end"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("complete"), st.integers(0, 9)),
    st.tuples(st.just("survey")),
    st.tuples(st.just("claim")),
)


@given(st.lists(steps, max_size=60), st.sets(st.builds(rank, lanes, st.sampled_from([3, 20, 10**12])), max_size=3))
def test_every_entry_is_in_a_range_whatever_happened(program: list[tuple[object, ...]], loaded: set[int]) -> None:
    """*loaded* came with a dump: their places are numbers of another server."""
    server, frontier = Server(), Frontier()
    server.visible |= loaded
    for name, *arguments in program:
        match name:
            case "survey":
                frontier = surveyed(frontier, server.visible, server.snapshot())
            case "claim":
                frontier = frontier.with_ranks(sorted(server.visible)[:3])
            case _:
                getattr(server, str(name))(*arguments)
        assert all(holds(frontier, entry) for entry in server.visible)
    # And nothing has become so small that it cannot hold what comes next.
    for lane in (RUN - 9, RUN, RUN + 1, ACTIVITY + 5):
        assert holds(frontier, rank(lane, server.next))


@given(st.lists(steps, max_size=60))
def test_ranges_are_in_order_and_apart(program: list[tuple[object, ...]]) -> None:
    server, frontier = Server(), Frontier()
    for name, *arguments in program:
        if name == "survey":
            frontier = surveyed(frontier, server.visible, server.snapshot())
        elif name != "claim":
            getattr(server, str(name))(*arguments)
    bounds = [bound for r in ranges(frontier) for bound in r]
    assert bounds == sorted(bounds)


def test_at_first_everything_is_looked_at() -> None:
    assert all(holds(Frontier(), rank(lane, place)) for lane in (0, RUN, 65535, 65536, 131071) for place in (1, 10**12))


def test_what_died_is_not_looked_at_again() -> None:
    frontier = surveyed(Frontier(), set(), snapshot(1000))
    assert not holds(frontier, rank(RUN, 999))
    assert not holds(frontier, rank(ACTIVITY, 999))
    assert holds(frontier, rank(RUN, 1000))


def test_place_of_a_running_transaction_is_looked_at_until_it_is_over() -> None:
    frontier = surveyed(Frontier(), set(), snapshot(1000, 500))
    assert [holds(frontier, rank(RUN, place)) for place in (499, 500, 501)] == [False, True, False]
    frontier = surveyed(frontier, set(), snapshot(2000, 500))
    assert holds(frontier, rank(RUN, 500))
    frontier = surveyed(frontier, set(), snapshot(2000))
    assert not holds(frontier, rank(RUN, 500))


def test_first_entry_that_is_there_stays_in_view() -> None:
    frontier = surveyed(Frontier(), {rank(RUN, 700), rank(RUN, 900)}, snapshot(1000))
    assert [holds(frontier, rank(RUN, place)) for place in (699, 700, 800)] == [False, True, True]


def test_lane_is_learned_from_an_entry_in_it() -> None:
    frontier = surveyed(Frontier().with_ranks([rank(RUN - 5, 300)]), set(), snapshot(1000))
    assert not holds(frontier, rank(RUN - 5, 999))
    frontier = surveyed(Frontier(), {rank(RUN - 5, 300)}, snapshot(1000))
    assert [holds(frontier, rank(RUN - 5, place)) for place in (299, 300)] == [False, True]


def test_numbers_of_another_server_mean_nothing() -> None:
    frontier = surveyed(Frontier(), set(), snapshot(1000))
    frontier = surveyed(frontier, set(), snapshot(2000, server="two"))
    assert holds(frontier, rank(RUN, 1))


def test_entry_of_an_older_server_hides_none_of_this_one() -> None:
    frontier = surveyed(Frontier(), {rank(RUN, 10**12)}, snapshot(1000))
    assert [holds(frontier, rank(RUN, place)) for place in (999, 1000, 2000, 10**12)] == [False, True, True, True]


def test_memory_is_bounded() -> None:
    many = Frontier().with_ranks(rank(lane, 1) for lane in range(MOST_LANES))
    assert many.with_ranks([rank(40_000, 1)]) is many
    assert Mark.at(10**6, tuple(range(100, 101 + MOST_PENDING))) == Mark(100)


def test_snapshot_is_read_as_postgres_writes_it() -> None:
    assert Snapshot.parse("753:760:753,758", "one") == Snapshot((753, 758), 760, "one")
    assert Snapshot.parse("753:753:", "one") == Snapshot((), 753, "one")
