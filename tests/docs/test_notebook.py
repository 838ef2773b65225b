"""The tutorial runs from its first cell to its last, and is stored without outputs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.once import once

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


def test_it_is_stored_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook after a run in a new folder, with the code of this checkout."""
    return nbformat.read(once(tmp_path_factory, "tutorial", _execute) / "executed.ipynb", as_version=4)


def _execute(folder: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("OMP_NUM_THREADS", "1")  # threads that wait for each other on busy cores take minutes
        client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}})
        client.execute()
    nbformat.write(notebook, folder / "executed.ipynb")


def outputs(notebook: Any, code: str) -> dict[str, Any]:
    """What the cell with this code shows, by MIME type; printed text as `stdout`."""
    [cell] = [cell for cell in notebook.cells if cell.cell_type == "code" and code in cell.source]
    shown: dict[str, Any] = {}
    for output in cell.outputs:
        shown |= {"stdout": output.text} if output.output_type == "stream" and output.name == "stdout" else {}
        shown |= output.get("data", {})
    return shown


@pytest.mark.slow
def test_every_step_shows_its_result(executed: Any) -> None:
    assert "96 photographs" in outputs(executed, "maskgen demo")["stdout"]
    assert "text/html" in outputs(executed, "maskgen.build(")
    assert "text/html" in outputs(executed, "maskgen.open(")
    assert "image/png" in outputs(executed, "row.show()")
    assert "(112, 112, 3)" in outputs(executed, "maskgen.draw(")["text/plain"]
    for scenario in ("U-U", "U-M", "M-M"):
        assert scenario in outputs(executed, "run=run")["text/html"]
    assert "%" in outputs(executed, "eer.interval")["stdout"]
    assert "tutorial" in outputs(executed, "pivot")["text/html"]
