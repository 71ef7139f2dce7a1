"""The package says what it holds, and under which licences; `nox -s package` builds it and holds the result to that."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
NOTICE = (ROOT / "NOTICE").read_text()
VENDORED = re.findall(r'"((?:[\w.-]+)@[\d.]+)",\n\s+"sha512-', (ROOT / "noxfile.py").read_text())
"""npm packages, some of whose files lie in the repository."""
LICENCE_FILES = [file for pattern in PROJECT["license-files"] for file in sorted(ROOT.glob(pattern))]
SHIPPED = [
    file
    for folder in ("page/static/vendor", "openapi/reference")
    for file in (ROOT / "src/monitor/http" / folder).iterdir()
]
LICENCES = {
    "MIT": "The MIT License (MIT)",
    "Apache-2.0": "Apache License\n",
    "BSD-3-Clause": "Redistributions in binary form must reproduce",
}


def test_the_licence_files_are_all_that_there_are() -> None:
    # To hatchling ** is no more than *.
    assert not any("**" in pattern for pattern in PROJECT["license-files"])
    assert set(LICENCE_FILES) == {
        ROOT / "LICENSE",
        ROOT / "NOTICE",
        *(file for file in SHIPPED if file.suffix in {".LICENSE", ".NOTICE"}),
    }


def test_the_expression_names_each_licence_of_which_a_text_is_there() -> None:
    texts = "".join(file.read_text() for file in LICENCE_FILES)
    named = PROJECT["license"].split(" AND ")
    assert named == [licence for licence, words in LICENCES.items() if words in texts]
    assert set(re.findall(r"\b(?:MIT|Apache-2\.0|BSD-3-Clause|MPL-2\.0)\b", NOTICE)) == {*named, "MPL-2.0"}


@pytest.mark.parametrize("package", VENDORED)
def test_each_vendored_package_is_named_with_its_version_and_licence(package: str) -> None:
    name, _, version = package.partition("@")
    assert re.search(rf"\b{re.escape(name)} {re.escape(version)}\b", NOTICE, re.IGNORECASE), package


def test_every_vendored_package_is_found() -> None:
    assert {package.partition("@")[0] for package in VENDORED} >= {"preact", "htm", "uplot", "swagger-ui-dist"}


def test_what_only_tests_use_under_another_licence_stays_out_of_the_archives() -> None:
    assert "/tests/browser/vendor" in PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["exclude"]


def test_links_of_the_readme_are_absolute_on_the_page_of_a_package_index() -> None:
    (rule,) = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
    repository = PROJECT["urls"]["Repository"]
    assert rule["replacement"].startswith(f"]({repository}/")
    text = re.sub(rule["pattern"], rule["replacement"], (ROOT / "README.md").read_text())
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert any(link.startswith(repository) for link in links)
    assert [link for link in links if not link.startswith(("https://", "http://", "#"))] == []


def test_the_addresses_are_those_that_indexes_know_and_of_one_repository() -> None:
    assert PROJECT["urls"].keys() == {"Repository", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith(PROJECT["urls"]["Repository"]) for url in PROJECT["urls"].values())


def test_the_classifiers_name_every_version_that_may_be_installed() -> None:
    versions = [
        classifier.rpartition(" ")[2] for classifier in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", classifier)
    ]
    assert versions[0] == PROJECT["requires-python"].removeprefix(">=")
    assert [int(version.partition(".")[2]) for version in versions] == list(range(11, 11 + len(versions)))
    # An expression replaces them, by PEP 639.
    assert not any(classifier.startswith("License ::") for classifier in PROJECT["classifiers"])
