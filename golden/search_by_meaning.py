"""Measures `gyrus search` by words alone and by words and meaning, on CACM and on SciFact's claims.

    python golden/search_by_meaning.py gyrus DATA ENCODER cacm|scifact

DATA holds `retrieval/cacm` and `retrieval/scifact`; ENCODER is a sentence encoder of the BERT family, such as
all-MiniLM-L6-v2. Each document is one passage. CACM: mean average precision of 1,000 hits over the 52 judged topics, judgments as
published; SciFact: recall and nDCG at 10 over the claims of the development set that have evidence.
"""

import gzip
import io
import json
import math
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PROGRAM, DATA, ENCODER, NAME = sys.argv[1], Path(sys.argv[2]) / "retrieval", sys.argv[3], sys.argv[4]


def cacm(folder: Path):
    data = DATA / "cacm"
    with tarfile.open(data / "cacm.tar.gz") as archive:
        for member in archive.getmembers():
            if member.isfile():
                (folder / Path(member.name).name).write_bytes(archive.extractfile(member).read())
    topics = {}
    for part in (data / "topics.cacm.txt").read_text().split("<DOC>")[1:]:
        number, rest = re.match(r"\s*<DOCNO>\s*(\d+)\s*</DOCNO>(.*?)</DOC>", part, re.S).groups()
        topics[number] = " ".join(rest.split())
    relevant = {}
    for line in (data / "qrels.cacm.txt").read_text().splitlines():
        topic, _, document, judgment = line.split()
        if int(judgment) > 0:
            relevant.setdefault(topic, set()).add(document)
    return {topic: (text, relevant[topic]) for topic, text in topics.items() if topic in relevant}


def scifact(folder: Path):
    data = DATA / "scifact"
    with gzip.open(data / "corpus.jsonl.gz", "rt") as lines:
        for line in lines:
            document = json.loads(line)
            text = document["title"] + "\n" + " ".join(document["abstract"])
            (folder / f"{document['doc_id']}.txt").write_text(text)
    queries = {}
    for line in (data / "claims_dev.jsonl").read_text().splitlines():
        claim = json.loads(line)
        if claim["evidence"]:
            queries[str(claim["id"])] = (claim["claim"], set(claim["evidence"]))
    return queries


def measure(folder: Path, queries, options: list[str], top: int) -> list[list[str]]:
    words = "\n".join(text for text, _ in queries.values()) + "\n"
    command = [PROGRAM, "search", str(folder), "--json", "--top", str(top), "--per-source", "1", *options]
    run = subprocess.run(command, input=words, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in io.StringIO(run.stdout) if line.strip()]
    assert len(answers) == len(queries), (len(answers), len(queries))
    return [[Path(hit["source"]).stem for hit in answer["hits"]] for answer in answers]


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    queries = {"cacm": cacm, "scifact": scifact}[NAME](folder)
    subprocess.run([PROGRAM, "index", name, "--quiet", "--passage", "1000000", "--model", ENCODER], check=True)
    for label, options in [("words", []), ("words and meaning", ["--model", ENCODER])]:
        rankings = measure(folder, queries, options, 1000 if NAME == "cacm" else 10)
        sums = {"MAP": 0.0, "P30": 0.0, "recall@10": 0.0, "nDCG@10": 0.0}
        for ranking, (_, relevant) in zip(rankings, queries.values()):
            hits = [document in relevant for document in ranking]
            found = 0
            for place, hit in enumerate(hits, 1):
                found += hit
                sums["MAP"] += hit * found / place / len(relevant)
            sums["P30"] += sum(hits[:30]) / 30
            sums["recall@10"] += sum(hits[:10]) / len(relevant)
            ideal = sum(1 / math.log2(place + 1) for place in range(1, min(10, len(relevant)) + 1))
            sums["nDCG@10"] += sum(hit / math.log2(place + 1) for place, hit in enumerate(hits[:10], 1)) / ideal
        kept = ["MAP", "P30"] if NAME == "cacm" else ["recall@10", "nDCG@10"]
        print(NAME, len(queries), label, *(f"{key} {sums[key] / len(queries):.4f}" for key in kept), flush=True)
