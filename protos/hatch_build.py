"""Generates src/salon/**/*_pb2*.py and their type stubs from salon/**/*.proto when the package is built."""

import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GenerateContracts(BuildHookInterface):
    """Runs protoc; the folder of a .proto is its package, so the absolute imports it writes are right."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        target = root / "src"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        sources = sorted(str(p.relative_to(root)) for p in root.glob("salon/**/*.proto"))
        if not sources:
            raise FileNotFoundError(f"no .proto files under {root}/salon")
        # protoc looks for its plugins on the path, where a virtual environment that is not activated is not.
        os.environ["PATH"] = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))
        include = Path(protoc.__file__).parent / "_proto"
        arguments = ["protoc", f"-I{root}", f"-I{include}", f"--python_out={target}"]
        arguments += [f"--grpc_python_out={target}", f"--mypy_out={target}", f"--mypy_grpc_out={target}"]
        if protoc.main([*arguments, *sources]) != 0:
            raise RuntimeError("protoc failed")
        for folder in [target / "salon", *(p for p in (target / "salon").rglob("*") if p.is_dir())]:
            (folder / "__init__.py").touch()
        (target / "salon" / "py.typed").touch()
