"""The difference of two clocks is known as well as the best answer was, and no worse than the newest."""

from storage.postgres.clock import ServerClock

START = 1_795_000_000_000_000


def test_an_answer_lies_between_question_and_receipt() -> None:
    clock = ServerClock()
    clock.learn(START, START + 5_000_000 + 100, START + 400)
    assert (clock.ahead, clock.unsure) == (4_999_900, 400)


def test_the_quickest_answer_tells_most_and_a_slow_one_nothing() -> None:
    clock = ServerClock()
    clock.learn(START, START + 40_000, START + 90_000)
    clock.learn(START + 100_000, START + 100_100, START + 100_300)
    assert -200 <= clock.ahead <= 100
    before = clock.unsure
    clock.learn(START + 200_000, START + 200_100, START + 900_000)
    assert clock.unsure - before <= 200
    assert -300 <= clock.ahead <= 200


def test_what_is_known_wears_out() -> None:
    clock = ServerClock()
    clock.learn(START, START + 100, START + 200)
    hour = START + 36_000_000_000
    clock.learn(hour, hour + 50_000, hour + 100_000)
    assert clock.unsure == 100_000


def test_a_clock_that_was_set_is_learned_anew() -> None:
    clock = ServerClock()
    clock.learn(START, START + 100, START + 200)
    clock.learn(START + 1_000, START + 60_001_100, START + 1_200)
    assert (clock.ahead, clock.unsure) == (60_000_000, 200)
