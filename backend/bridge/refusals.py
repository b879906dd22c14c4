"""Refusals of the contracts that no later try can change."""

from __future__ import annotations

#: Names of errors: what was refused so is failed, everything else is tried again.
PERMANENT = frozenset(
    (
        "SerialsOverlap",
        "SerialIntervalInvalid",
        "TrustReceiptCancelled",
        "TrustReceiptExpired",
        "TrustSeriesForeign",
        "TrustSeriesNotCanonical",
        "CreditsClassHashDiffers",
        "CreditsClassNameInvalid",
        "CreditsCohortNotAscending",
        "CreditsVintageInvalid",
        "RegistryDateInvalid",
        "RegistryRetirementTonnesDiffer",
    )
)
