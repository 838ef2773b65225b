"""What the project says of itself in several files is the same in all of them."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]


def test_every_dependency_has_an_exact_version_that_satisfies_it() -> None:
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    groups += PROJECT["dependency-groups"].values()
    requirements = [Requirement(line) for group in groups for line in group]
    assert len(requirements) > 20
    for requirement in requirements:
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not in constraints.txt"
        assert requirement.specifier.contains(version), f"{requirement} but {version} in constraints.txt"


def test_the_workflow_tests_every_supported_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    supported = Requirement("python" + PROJECT["project"]["requires-python"]).specifier
    assert all(supported.contains(version) for version in matrix["python"])
    assert not supported.contains("3.10")
    assert {runner.split("-")[0] for runner in matrix["os"]} == {"ubuntu", "macos"}


@pytest.mark.parametrize("package", ["maskgen", "mfr_train"])
def test_the_reference_has_every_public_name(package: str) -> None:
    page = (ROOT / "docs" / "api" / f"{package}.md").read_text()
    shown = re.findall(rf"^\.\. auto\w+:: {package}\.(\w+)$", page, re.M)
    assert sorted(shown) == sorted(importlib.import_module(package).__all__)
