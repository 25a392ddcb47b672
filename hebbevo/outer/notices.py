"""What the user should know before a study is continued."""

from __future__ import annotations

import platform

from hebbevo import native, user_code, user_modules
from hebbevo.data.amounts import WRITE_REGRESSION, may_be_amounts
from hebbevo.execution.config import ExecutorConfig
from hebbevo.outer.native_studies import may_be_native
from hebbevo.outer.packing import cohorts_per_generation
from hebbevo.spec.schema import AUTO
from hebbevo.study.ledger import Ledger


def notices(ledger: Ledger, config: ExecutorConfig) -> list[str]:
    """Lines about the study that explain slow, meaningless or incomparable results, if there are any.

    Args:
        ledger: the study.
        config: where it is about to be trained.
    """
    found = []
    facts = ledger.facts
    changed = [name for name, digest in facts.code.items() if user_code.source_digest(name) != digest]
    named = {name.partition(":")[0] for name in changed}
    changed += [name for name in user_modules.changed(facts.modules) if name not in named]
    if changed:
        names = ", ".join(changed)
        found.append(f"the code of {names} has changed since the study began; results may not compare")
    found.extend(facts.findings.remarks)
    if may_be_amounts(facts.classes):
        found.append(
            f"each of the {len(facts.classes)} different numbers in the target is taken for a class; "
            f"if they are amounts, {WRITE_REGRESSION} for a new study"
        )
    search = ledger.spec.search
    cohorts = cohorts_per_generation(search.population, search.replicates, facts.cohort_width)
    if facts.device == "cpu" and (spare := config.spare_cores(facts.threads, cohorts)) > 0:
        used = facts.threads * cohorts
        noun = "cohort" if cohorts == 1 else "cohorts"
        found.append(
            f"uses {used} of {used + spare} cores: a generation is {cohorts} {noun} of up to "
            f"{facts.cohort_width} networks; a new study with a larger population uses more"
        )
    if (
        search.engine == AUTO
        and facts.device == "cpu"
        and not native.is_built()
        and may_be_native(ledger.spec)
    ):
        found.append(f"trained by PyTorch: {native.why_missing()}")
    if ledger.facts.alone:
        found.append(f"the networks train one by one: {ledger.facts.alone}")
    if facts.invalid:
        found.append(f"trials of some genomes will be recorded as failed: {facts.invalid}")
    if not facts.repeatable:
        found.append(
            f"a step of {ledger.spec.network.module} came out otherwise when it was repeated; give its own "
            "random generators a seed, and let nothing depend on the time"
        )
    if ledger.facts.short:
        task, rows = ledger.spec.task, ledger.facts.rows["train"]
        found.append(
            f"no neuron can die: {task.epochs} x {rows} rows end before the warm-up; "
            "raise task.epochs, or lower task.batch_size or network.settings.warmup"
        )
    if ledger.facts.device == "cpu" and ledger.spec.task.precision == "bfloat16" and not has_bfloat16():
        found.append(
            "this CPU has no instructions for bfloat16, which is then several times slower than float32; "
            "leave --precision out in a new study"
        )
    return found


def has_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16; processors other than x86 count as having them."""
    import torch

    return platform.machine() not in ("x86_64", "AMD64") or torch.cpu._is_avx512_bf16_supported()
