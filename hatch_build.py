"""Compiles the native engine when the package is built or installed; without a compiler, leaves it out."""

import importlib.util
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeEngine(BuildHookInterface):
    """The build hook of hatchling."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the package's folder, which a wheel and an editable installation both take."""
        spec = importlib.util.spec_from_file_location(
            "building", Path(self.root, "hebbevo", "native", "building.py")
        )
        assert spec and spec.loader
        building = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(building)
        widths, problem = building.build()
        if problem:
            self.app.display_warning(f"the native engine lacks builds for some processors, or all: {problem}")
        if widths:  # any Python can load them, on this kind of machine
            system = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{system}"
