"""From what a report says to testcases that exercise it, by what each of them was measured to reach. Pure."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from farm.repro.experience import Experience, Standing, experience
from farm.repro.understanding import CONCEPTS, Understanding
from farm.results.reached import Reached, without_parameters

# What the subjects of a report weigh beside its functions, by a function that only runs there and by a stack's word.
_SUBJECT, _STACK = 2.0, 3.0
# For each thing on its stack that the report says nothing of, a testcase keeps this much of its fit.
_UNSAID = 0.95
# Of a function that nobody reached by that name (inlined, renamed) the weight goes to those that share this much of it.
_FAMILY_WORDS = 2


@dataclass(frozen=True)
class Proposal:
    """A testcase that may show what the report is about."""

    testcase: str
    stacks: tuple[str, ...]
    # Share of what the report names that it exercises, 0 to 1.
    share: float
    # The same, less for what lies on its stacks and is not in the report, and more for what is known of it about the
    # place that a patch changes; proposals are in this order.
    fit: float
    # Functions of the report that it reaches, the weightiest first, and subjects.
    because: tuple[str, ...]
    flavor: str
    standing: Standing


def propose(report: Understanding, reached: Reached) -> list[Proposal]:
    """The farm's own testcases that are for a report or a patch, best first."""
    return rank(report, reached, known=experience(report))


def rank(report: Understanding, reached: Reached, flavors: Mapping[str, Sequence[str]] | None = None,
         known: Experience | None = None) -> list[Proposal]:
    """Proposals, best first: of every testcase function its best parameters. `known` is of a report with a patch.

    Of testcases that fit alike the one with the most stacks comes first: a load for many stacks can be run on a smaller
    one. Of parameters that fit alike, those whose stacks no better proposal has: two chances on one stack are one.
    """
    # Reaching a function says nothing when every testcase does, and most when one alone does.
    rarity = {name: math.log(rare) for name, rare in reached.rarity.items()}
    wanted = _wanted(report, reached, rarity)
    stacks = _stack_words(report, reached)
    unsaid = {word for one in CONCEPTS for word in one.stack} - {
        word for subject in report.subjects for word in subject.stack}
    total = sum(wanted.values()) + sum(stacks.values())
    proposals: list[Proposal] = []
    for testcase, functions in reached.functions.items():
        text = " / ".join(reached.stacks[testcase])
        hits = {name: weight for name, weight in wanted.items() if name in functions}
        words = {word: weight for word, weight in stacks.items() if _has(text, word)}
        score = sum(hits.values()) + sum(words.values())
        share = score / total if total else 0.0
        named = sorted(hits, key=lambda name: (-hits[name], name))[:4]
        standing = known.of(testcase) if known else Standing()
        if share > 0 or standing.weight:
            fit = share * _UNSAID ** sum(_has(text, word) for word in unsaid) + standing.weight
            flavor = _flavor(report, (flavors or {}).get(without_parameters(testcase), ()), standing)
            proposals.append(Proposal(
                testcase, reached.stacks[testcase], share, fit, (*named, *words), flavor, standing))
    variants = Counter(map(without_parameters, reached.functions))
    return _one_of_each(sorted(
        proposals, key=lambda one: (-one.fit, -variants[without_parameters(one.testcase)], one.testcase)))


def _one_of_each(proposals: Iterable[Proposal]) -> list[Proposal]:
    """Of every testcase function one of its best, in the order given: with the parameters that caught a bug, if any."""
    variants: dict[str, list[Proposal]] = {}
    for one in proposals:
        variants.setdefault(without_parameters(one.testcase), []).append(one)
    chosen: list[Proposal] = []
    for each in variants.values():
        alike = [one for one in each if one.standing.exact] or [one for one in each if one.fit == each[0].fit]
        taken = {one.stacks for one in chosen}
        chosen.append(next((one for one in alike if one.stacks not in taken), alike[0]))
    return chosen


def _flavor(report: Understanding, possible: Iterable[str], standing: Standing) -> str:
    allowed, asked = tuple(possible), filter(None, (standing.flavor, *report.flavors))
    return next((one for one in asked if not allowed or one in allowed), "base")


def _wanted(report: Understanding, reached: Reached, rarity: Mapping[str, float]) -> dict[str, float]:
    """Functions and what reaching each is worth."""
    found: dict[str, float] = {}
    for name, weight in report.functions.items():
        stand_ins = [name] if name in rarity else _family(name, reached.known)
        for one in stand_ins:
            found[one] = found.get(one, 0.0) + weight * rarity[one] / len(stand_ins)
    for subject in report.subjects:
        much = _SUBJECT * (1 + math.log2(report.concepts[subject.name]))
        present = [name for name in subject.functions if name in rarity]
        for one in present:
            found[one] = found.get(one, 0.0) + much * rarity[one] / len(present)
    return {name: weight for name, weight in found.items() if weight > 0}


def _family(name: str, known: Iterable[str]) -> list[str]:
    words = [word for word in name.split("_") if word]
    if len(words) <= _FAMILY_WORDS:
        return []
    start = "_".join(words[:_FAMILY_WORDS]) + "_"
    return [one for one in known if one.lstrip("_").startswith(start)]


def _stack_words(report: Understanding, reached: Reached) -> dict[str, float]:
    """Words of stacks that the report's subjects ask for, worth the more the fewer testcases have them."""
    texts = [" / ".join(stacks) for stacks in reached.stacks.values()]
    found: dict[str, float] = {}
    for subject in report.subjects:
        present = [word for word in subject.stack if any(_has(text, word) for text in texts)]
        for word in present:
            rare = math.log(len(texts) / sum(_has(text, word) for text in texts))
            much = _STACK * (1 + math.log2(report.concepts[subject.name])) * rare / len(present)
            found[word] = max(found.get(word, 0.0), much)
    return {word: weight for word, weight in found.items() if weight > 0}


def _has(stack: str, word: str) -> bool:
    return re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", stack) is not None
