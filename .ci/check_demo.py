#!/usr/bin/env python3
"""Checks the JSON of one release demo: every field is there, and says what the demo promises."""
import json
import sys
import time


def main():
    demo = json.load(open(sys.argv[1], encoding="utf-8"))
    rounds = demo["rounds"]
    check("20 rounds", rounds == 20)
    check("one accuracy a round", len(demo["accuracy_by_round"]) == rounds)
    check("accuracy is the last one", demo["accuracy"] == demo["accuracy_by_round"][-1])
    check("at least 95 % of the held-out images are right", demo["accuracy"] >= 0.95)
    check("it took less than two minutes", 0 < demo["seconds"] < 120)

    tenures = demo["tenures"]
    check("tenures have ids, terms, aggregators, rounds", all(is_tenure(tenure) for tenure in tenures))
    check("every round was published in a tenure", sum(tenure["rounds"] for tenure in tenures) == rounds)
    check("no tenure came twice", len({tenure["tenure"] for tenure in tenures}) == len(tenures))
    check("at least 4 members were aggregator", demo["distinct_aggregators"] >= 4)
    check("they are counted rightly", demo["distinct_aggregators"] == len({t["aggregator"] for t in tenures}))

    kill = demo["kill"]
    check("a member was killed", kill["peer"] in {member["id"] for member in demo["members"]})
    check("half-way", 1 <= kill["round"] <= rounds)
    check("a new tenure followed", 0 < kill["recovered_ms"] < 10_000)
    check("the round was published all the same", kill["round_published"] is True)

    updates = demo["updates"]
    check("updates were sealed and accepted", updates["sealed"] >= updates["accepted"] >= rounds)
    check("none was refused", updates["refused"] == 0)
    check("no round was lost", demo["lost_rounds"] == 0)
    check("no update was lost", demo["lost_updates"] == 0)

    model = demo["model"]
    check("the model is there", open(model["path"], "rb").read(8) != b"")
    check("its digest is named", len(model["digest"]) == 64)
    check("it has about 72,000 parameters", 70_000 <= model["params"] <= 74_000)

    members = demo["members"]
    check("8 members", len(members) == 8)
    check("3 operators and 5 agents", sorted(member["role"] for member in members) == ["agent"] * 5 + ["operator"] * 3)
    check("each in bounded memory", all(0 < member["rss_mb"] < 500 for member in members))


def is_tenure(tenure):
    return all(isinstance(tenure[field], int) for field in ("tenure", "term", "aggregator", "rounds"))


def check(what, holds):
    print(f"{'ok' if holds else 'FAILED':7}{what}")
    if not holds:
        sys.exit(f"the demo does not hold what it promises: {what}")


if __name__ == "__main__":
    main()
