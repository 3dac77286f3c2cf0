"""Write a made-up table of passengers, with what such lists have: names, codes, dates, and cells
that are missing. Run `python examples/voyage_table.py FILE.csv`."""

import csv
import random
import sys
from pathlib import Path

PASSENGERS = 900
PORTS, DECKS = ("Cherbourg", "Queenstown", "Southampton"), "ABCDEF"
HEADER = ("id", "name", "sex", "age", "fare", "class", "deck", "port", "boarded", "survived")


def passenger(number: int, chance: random.Random) -> list[object]:
    """One row: whoever is a woman, or travels in a better class, survives more often."""
    is_woman, travelled = chance.random() < 0.36, chance.choices((1, 2, 3), (24, 21, 55))[0]
    age = "" if chance.random() < 0.2 else round(chance.gammavariate(6, 5), 1)
    deck = "" if travelled == 3 and chance.random() < 0.8 else chance.choice(DECKS)
    port = "" if chance.random() < 0.02 else chance.choices(PORTS, (19, 9, 72))[0]
    fare, day = round(chance.lognormvariate(4.6 - 0.8 * travelled, 0.4), 4), f"1912-04-{chance.randint(10, 12)}"
    survived = "yes" if 2.2 * is_woman - 0.8 * (travelled - 2) - 1 + chance.gauss(0, 0.7) > 0 else "no"
    sex = "female" if is_woman else "male"
    return [number, f"Passenger, {number:03}", sex, age, fare, travelled, deck, port, day, survived]


if __name__ == "__main__":
    path, source = Path(sys.argv[1]), random.Random(11)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *(passenger(number, source) for number in range(1, PASSENGERS + 1))])
