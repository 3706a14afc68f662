"""A summary says what the text says, wherever the text says it."""

from __future__ import annotations

import pytest

from apps.agents.runtimes.builtin.summarizer import split_sentences, summarize

# Each text's first sentence says what the whole is about; the others surround it.
TEXTS = {
    "English, a harbour": [
        "The harbour of Port Ellis will close its old grain terminal and move all grain ships to "
        "the new terminal on the north quay.",
        "Grain ships have called at the old terminal for ninety years.",
        "The new terminal on the north quay can load grain ships twice as fast.",
        "A bakery near the market sells bread with seeds.",
        "The harbour office says that ships will be told the date in spring.",
        "Gulls nest on the roofs in May.",
    ],
    "English, software": [
        "The team replaced the message queue with a database table because lost messages had "
        "caused lost orders.",
        "Messages in the queue were lost whenever a server was restarted.",
        "Every lost message was a lost order for a customer.",
        "A database table keeps each message until its order is done.",
        "Somebody brought cake on Friday.",
        "The office has new chairs.",
    ],
    "German, a railway": [
        "Die neue Bahnstrecke verbindet ab Dezember die Hafenstadt mit dem Flughafen und ersetzt "
        "die alte Buslinie.",
        "Die alte Buslinie brauchte vom Hafen zum Flughafen eine Stunde.",
        "Auf der neuen Bahnstrecke fahren die Züge alle zehn Minuten.",
        "Der Flughafen rechnet ab Dezember mit mehr Reisenden aus der Hafenstadt.",
        "Im Park blühen im März die Kirschen.",
        "Ein Kiosk verkauft Eis.",
    ],
    "French, a museum": [
        "Le musée de la ville rouvre ses salles de peinture après deux ans de travaux et expose "
        "de nouveau toute sa collection de peinture.",
        "Les travaux ont duré deux ans dans toutes les salles.",
        "La collection de peinture du musée était restée en réserve pendant les travaux.",
        "Les nouvelles salles montrent la peinture dans l'ordre des années.",
        "Un chat dort souvent devant la porte.",
        "Il pleut beaucoup en novembre.",
    ],
    "German, energy": [
        "Das Stadtwerk baut einen großen Wärmespeicher, damit Strom aus Windkraft im Winter die "
        "Häuser der Stadt heizen kann.",
        "Der Wärmespeicher nimmt Strom aus Windkraft auf, wenn viel Wind weht.",
        "Im Winter heizt der Speicher damit die Häuser der Stadt.",
        "Das Stadtwerk spart so Gas für die Heizung der Häuser.",
        "Am Sonntag spielt eine Kapelle.",
        "Die Kantine hat eine neue Karte.",
    ],
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_key_sentence_is_chosen_wherever_it_stands(name: str) -> None:
    key, *rest = TEXTS[name]

    for place in range(len(rest) + 1):
        text = " ".join([*rest[:place], key, *rest[place:]])
        assert key in summarize(text, sentences=2)


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_beside_the_point_is_left_out_and_the_order_kept(name: str) -> None:
    text = " ".join(TEXTS[name])
    chosen = split_sentences(summarize(text, sentences=3))

    assert len(chosen) == 3
    assert not set(chosen) & set(TEXTS[name][-2:])
    assert chosen == [sentence for sentence in TEXTS[name] if sentence in chosen]


def test_a_short_text_is_its_own_summary() -> None:
    assert summarize("One thing.  And\nanother.", sentences=3) == "One thing. And another."


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Dr. Osei paid 3.50 in St. Gallen. She left.", 2),
        ("Er kam z. B. am 3. März an. Dann ging er.", 2),
        ("“Is it late?” he asked. “It is!” she said.", 2),
        ("J. S. Bach wrote it. It is short!", 2),
        ("今日は雨です。明日は晴れます。", 2),
        ("A heading\n\nA sentence.", 2),
        ("no end", 1),
        ("   ", 0),
    ],
)
def test_sentences_end_where_they_end(text: str, sentences: int) -> None:
    assert len(split_sentences(text)) == sentences


def test_it_is_the_same_every_time_and_copes_with_length() -> None:
    text = " ".join(f"Sentence {n} is about topic {n % 7} and number {n}." for n in range(2000))
    assert summarize(text) == summarize(text)
    assert len(split_sentences(summarize(text))) == 3


def test_hostile_texts_end() -> None:
    for text in ("." * 100_000, "a. " * 30_000, "(" * 100_000, "\n" * 100_000, "x" * 100_000):
        assert isinstance(summarize(text), str)


@pytest.mark.parametrize(
    "text", ["." * 99_999 + "x", ("." * 30_000 + '"') * 3 + "x", "\n" + " " * 99_998 + "x"]
)
def test_marks_that_end_no_sentence_are_read_once(text: str) -> None:
    assert split_sentences(text) == [text.strip()]


def test_sentences_end_in_other_scripts() -> None:
    assert split_sentences("यह पहला है। यह दूसरा है।") == ["यह पहला है।", "यह दूसरा है।"]
    assert len(split_sentences("هل تسمع؟ نعم.")) == 2
