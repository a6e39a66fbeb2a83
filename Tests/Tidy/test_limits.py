"""Every row of docs/LIMITS.md names a test that reaches the limit (Tests/limits.tsv), and the test is there."""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Only ever fewer.
WITHOUT_A_TEST = 10


def rows() -> list[str]:
    """How each row of the page's table begins."""
    lines = (ROOT / "docs/LIMITS.md").read_text().splitlines()
    return [line.split("|")[1].strip() for line in lines if line.startswith("| ") and not line.startswith("| what | ")]


def proofs() -> dict[str, list[str]]:
    lines = [line.split("\t") for line in (ROOT / "Tests/limits.tsv").read_text().splitlines() if line and not line.startswith("#")]
    return {each[0]: each[1:] for each in lines}


def nearest(row: str, beginnings: list[str]) -> str | None:
    """The longest beginning of the row: "request body" is no proof of "request body, by rule"."""
    return max((each for each in beginnings if row.startswith(each)), key=len, default=None)


def is_there(proof: str) -> bool:
    file, name = proof.removeprefix("E ").split("::")
    path = ROOT / ("Tests/EndToEnd" if proof.startswith("E ") else "Tests") / file
    if not path.exists():
        return False
    text = path.read_text()
    if proof.startswith("E "):
        return f"def {name}(" in text
    # Of a Swift test some words of its name are enough.
    return any(name.lower() in found.lower() for found in re.findall(r"func (`[^`]+`|\w+)", text))


def test_every_limit_has_its_proof_and_every_proof_its_limit():
    known = list(proofs())
    used = [nearest(row, known) for row in rows()]
    missing = [row for row, found in zip(rows(), used) if found is None]
    assert not missing, "rows of docs/LIMITS.md that are not in Tests/limits.tsv"
    assert set(known) == set(used), "lines of Tests/limits.tsv for rows that are gone"


def test_the_tests_exist():
    gone = [proof for each in proofs().values() if each[0] != "-" for proof in each if not is_there(proof)]
    assert not gone


def test_no_more_rows_are_without_a_test():
    without = [row for row, proof in proofs().items() if proof[0] == "-"]
    assert all(len(proof) == 2 for row, proof in proofs().items() if proof[0] == "-"), "a row without a test says why"
    assert len(without) <= WITHOUT_A_TEST, without
