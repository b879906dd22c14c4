"""Every layout Causeway reads, each with its adapter; docs/layouts.md lists them."""

from __future__ import annotations

from backend.registries.acr import (
    AcrCancellations,
    AcrHoldings,
    AcrIssuances,
    AcrProjects,
    AcrRetirements,
)
from backend.registries.arb import ArbIssuances
from backend.registries.art import (
    ArtCancellations,
    ArtHoldings,
    ArtIssuances,
    ArtProjects,
    ArtRetirements,
)
from backend.registries.car import (
    CarCancellations,
    CarHoldings,
    CarIssuances,
    CarProjects,
    CarRetirements,
)
from backend.registries.ccer import CcerHoldings
from backend.registries.cdm import CdmCancellations, CdmIssuances
from backend.registries.cercarbono import (
    CercarbonoIssuances,
    CercarbonoProjects,
    CercarbonoRetirements,
)
from backend.registries.gold_standard import (
    GoldStandardHoldings,
    GoldStandardIssuances,
    GoldStandardRetirements,
)
from backend.registries.gold_standard_projects import GoldStandardProjects
from backend.registries.isometric import (
    IsometricIssuances,
    IsometricProjects,
    IsometricRetirements,
)
from backend.registries.phcer import PhcerHoldings
from backend.registries.protocol import Adapter
from backend.registries.puro import PuroHoldings
from backend.registries.verra import VerraVcuExport
from backend.registries.verra_projects import VerraProjects, VerraProjectsOf2026

ADAPTERS: tuple[Adapter, ...] = (
    VerraVcuExport(),
    VerraProjects(),
    VerraProjectsOf2026(),
    GoldStandardIssuances(),
    GoldStandardRetirements(),
    GoldStandardProjects(),
    CdmIssuances(),
    CdmCancellations(),
    AcrIssuances(),
    AcrRetirements(),
    AcrCancellations(),
    AcrProjects(),
    CarIssuances(),
    CarRetirements(),
    CarCancellations(),
    CarProjects(),
    ArtIssuances(),
    ArtRetirements(),
    ArtCancellations(),
    ArtProjects(),
    ArbIssuances(),
    CercarbonoIssuances(),
    CercarbonoRetirements(),
    CercarbonoProjects(),
    IsometricIssuances(),
    IsometricRetirements(),
    IsometricProjects(),
    GoldStandardHoldings(),
    AcrHoldings(),
    CarHoldings(),
    ArtHoldings(),
    PuroHoldings(),
    CcerHoldings(),
    PhcerHoldings(),
)
