"""The fixture `lab`, as users get it; they name the plugin in their topmost conftest instead."""

from __future__ import annotations

from srmd.lab.plugin import lab, lab_settings, lab_stage

__all__ = ["lab", "lab_settings", "lab_stage"]
